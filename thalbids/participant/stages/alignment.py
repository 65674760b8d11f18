"""How the T1w of a later session lies to that of the first one, for the pictures of the report only.

No volume is measured on an image that was moved by this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.outputs import write_json
from thalbids.engine.step import Done, StepResult, recorded_as
from thalbids.image.io import load_image, load_labels

if TYPE_CHECKING:
    from thalbids.participant.plan import SessionPlan

STRATEGIES = ("ants", "ants-centre")  # by the scanner's coordinates; without them
CUTOFF = 0.25  # nats, that of FLAIR; two T1w of one person have more


def plan_alignments(own: Sequence[SessionPlan], asked: Collection[str]) -> None:
    """Add to each later session of a participant that was asked for the step that aligns it with the first session."""
    usable = [made for made in own if made.session.problem is None and "T1w" in made.session.images]
    for made in usable[1:]:
        if made.session.name in asked:
            _plan_alignment(made, usable[0], asked)


def path_of(made: SessionPlan) -> Path:
    """Where the alignment of a session is recorded."""
    return made.path("xfm", ".json", from_="T1w", to="firstT1w", mode="image")


def _plan_alignment(made: SessionPlan, first: SessionPlan, asked: Collection[str]) -> None:
    before = (first.images["T1w"],) if first.session.name in asked else ()
    made.add(
        "align with first session",
        align,
        inputs={"first": first.t1w, "brain": first.brain, "T1w": made.t1w},
        outputs={"alignment": path_of(made)},
        params={
            "First": first.session.session, "Sources": [made.t1w_uri, first.t1w_uri],
            "Seed": made.settings.run.seed, "Bins": made.settings.registration.bins,
        },
        needs=(*before, made.images["T1w"]),
        memory_gb=2.0,
    )  # fmt: skip


@recorded_as("thalbids.pipeline.alignment.align")
def align(
    inputs: Mapping[str, Path | None],
    outputs: Mapping[str, Path],
    params: Mapping[str, Any],
    upstream: Mapping[str, StepResult],
) -> Done:
    """Register this T1w to the first one, rigidly, and judge it as any registration; a failure is an answer too."""
    from thalbids.registration import gate
    from thalbids.registration.strategies import configured

    first, brain, t1w = (inputs[key] for key in ("first", "brain", "T1w"))
    assert first is not None and brain is not None and t1w is not None
    outcome = gate.register(
        load_image(t1w), load_image(first), load_labels(brain),
        configured(STRATEGIES, dict.fromkeys(STRATEGIES, CUTOFF)), bins=params["Bins"], seed=params["Seed"],
    )  # fmt: skip
    content = {
        "Description": "Where points of the first session's T1w lie in this one (RAS+ mm); for pictures only.",
        "First": params["First"],
        "Sources": params["Sources"],
        "Chosen": outcome.chosen,
        "Reason": outcome.reason,
        "Matrix": None if outcome.matrix is None else np.asarray(outcome.matrix).tolist(),
        "Attempts": [attempt.to_json() for attempt in outcome.attempts],
        "Software": outcome.software,
    }
    write_json(outputs["alignment"], content)
    return Done()
