"""What is known before a run: what will fail, by the plan and the headers of images, and what is there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from thalbids.engine.step import Step
from thalbids.errors import ImageError, some
from thalbids.image.io import shape_and_affine
from thalbids.participant.session import SessionPlan
from thalbids.participant.step_io import RefusalParams

MOST_TOLD = 20  # reasons in the last lines of a dry run
NAMED = 3  # steps or images of one reason


def unreadable(plan: SessionPlan) -> dict[str, str]:
    """The images of a session whose header cannot be read, and why.

    Headers are read once, for the facts of the acquisition; only one without facts is opened again, for the reason.
    """
    reasons = {}
    for name, image in plan.session.images.items():
        if image.problem or name in plan.made or plan.acquired(name)["voxel_size_mm"] is not None:
            continue
        try:
            shape_and_affine(image.path)
        except ImageError as error:
            reasons[name] = str(error)
    return reasons


def failures(plans: Iterable[SessionPlan], steps: Iterable[Step], lost: Iterable[str] = ()) -> list[tuple[str, str]]:
    """What is to fail, and why: people and sessions that cannot be named in results (``lost``), steps that only say
    what they lack, images that cannot be opened. An image whose data are damaged is seen by the run alone.
    """
    refused = [
        (step.name, f"{step.params.problem} {step.params.mend}".strip())
        for step in steps
        if isinstance(step.params, RefusalParams) and not step.look_up
    ]
    images = [(f"{plan.name} {name}", why) for plan in plans for name, why in unreadable(plan).items()]
    return [*(("", reason) for reason in lost), *refused, *images]


def told(foreseen: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each reason, as many as the last lines of a run have."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in foreseen:
        by_reason.setdefault(reason, []).append(name)
    lines = [
        f"will fail: {f'{some(names, NAMED)}: ' if any(names) else ''}{reason}" for reason, names in by_reason.items()
    ]
    more = len(lines) - MOST_TOLD
    return [*lines[:MOST_TOLD], f"... and {more} more, see above"] if more > 0 else lines


def with_results(steps: Iterable[Step], out_dir: Path) -> int:
    """How many of these steps an earlier run ended, by their records; whether these still hold is not looked at."""
    return sum(step.record_path.is_file() or step.excluded_path(out_dir).is_file() for step in steps)
