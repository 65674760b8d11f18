"""What is known before a run: what will fail, by the plan and the headers of images, and what is there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from thalbids.bids.dataset.acquisition_facts import Acquisition
from thalbids.engine.step import Step
from thalbids.errors import some
from thalbids.participant.session import SessionPlan
from thalbids.participant.step_io import RefusalParams
from thalbids.types import Session

MOST_TOLD = 20  # reasons in the last lines of a dry run
NAMED = 3  # steps or images of one reason
PLACEHOLDER = 1024  # bytes that an empty file, a bare header or a pointer of git-annex or Git LFS do not reach


class Foreseen:
    """What is known of a run, gathered from one person's plan after the other.

    Attributes
    ----------
    done : steps that have results of an earlier run
    sessions : those of all people
    placeholders : whether no image has more than a header, as in datasets that show how BIDS is used:
        the plan is what counts there
    """

    def __init__(self, out_dir: Path, lost: Iterable[str] = ()) -> None:
        self._out_dir = out_dir if out_dir.is_dir() else None
        self._lost = [("", reason) for reason in lost]
        self._refused: list[tuple[str, str]] = []
        self._closed: list[tuple[str, str]] = []
        self._unusable = self._unreadable = 0  # sessions
        self.done = 0
        self.sessions: list[Session] = []
        self.placeholders = True

    def add(self, plans: Sequence[SessionPlan], steps: Sequence[Step]) -> None:
        """One person."""
        self._refused += refused(steps)
        self.done += with_results(steps, self._out_dir) if self._out_dir else 0
        for plan in plans:
            closed = unreadable(plan)
            images = [
                name for name, image in plan.session.images.items() if not image.problem and name not in plan.made
            ]
            self.sessions.append(plan.session)
            self._closed += [(f"{plan.name} {name}", why) for name, why in closed.items()]
            self._unusable += plan.session.problem is not None
            self._unreadable += plan.session.problem is None and plan.reference in closed
            empty = [name for name in closed if _placeholder(plan.session.images[name].path)]
            self.placeholders = self.placeholders and len(images) == len(empty)

    @property
    def failing(self) -> list[tuple[str, str]]:
        """What is to fail (its name, or "") and why; placeholders do not count.

        People and sessions that cannot be named in results, steps that only say what they lack, images that cannot be
        opened or lack their end. An image that is damaged within is seen by the run alone.
        """
        return [*self._lost, *self._refused, *(() if self.placeholders else self._closed)]

    @property
    def broken(self) -> int:
        """How many sessions cannot be processed; those of placeholders alone could, with images."""
        return self._unusable + (0 if self.placeholders else self._unreadable)

    @property
    def last_lines(self) -> list[str]:
        """What is to fail, and a word on placeholders."""
        none = "no image holds data (placeholders?): this is the plan for images that do; a run would refuse these"
        return [*told(self.failing), *([none] if self.placeholders and self._closed else [])]


def unreadable(plan: SessionPlan) -> dict[str, str]:
    """The images of a session whose header cannot be read, or whose end is missing, and why."""
    acquired = {name: plan.acquired(name) for name, image in plan.session.images.items() if not image.problem}
    return {name: one.unreadable for name, one in acquired.items() if isinstance(one, Acquisition) and one.unreadable}


def _placeholder(path: Path) -> bool:
    """Whether a file that cannot be read as an image holds no more than a header, or is a link to none."""
    try:
        return path.stat().st_size < PLACEHOLDER
    except OSError:
        return True


def refused(steps: Iterable[Step]) -> list[tuple[str, str]]:
    """The steps that only say what they lack, and what that is."""
    return [
        (step.name, f"{step.params.problem} {step.params.mend}".strip())
        for step in steps
        if isinstance(step.params, RefusalParams) and not step.look_up
    ]


def told(foreseen: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each reason, as many as the last lines of a run have."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in foreseen:
        by_reason.setdefault(reason, []).append(name)
    lines = [
        f"will fail: {f'{some(names, NAMED)}: ' if any(names) else ''}{reason}" for reason, names in by_reason.items()
    ]
    return first_ones(lines, MOST_TOLD, "... and {} more, see above")


def first_ones(lines: list[str], most: int, others: str) -> list[str]:
    """As many lines as a terminal should show, and one about the others, with their number."""
    left = len(lines) - most
    return [*lines[:most], others.format(left)] if left > 0 else lines


def with_results(steps: Iterable[Step], out_dir: Path) -> int:
    """How many of these steps an earlier run ended, by their records; whether these still hold is not looked at."""
    return sum(step.record_path.is_file() or step.excluded_path(out_dir).is_file() for step in steps)
