"""How the T1w (or what takes its place) of a later session lies to that of the first, for pictures of the report only.

No volume is measured on an image that was moved by this.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thalbids.bids.results.outputs import write_json
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.io import load_image, load_labels
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.step_io import given

STRATEGIES = ("ants", "ants-centre")  # by the scanner's coordinates; without them
CUTOFF = 0.25  # nats, that of FLAIR; two T1w of one person have more


@dataclass(frozen=True)
class AlignmentParams(Params):
    """``first``: the label of the first session."""

    kind = "alignment"
    first: str | None
    sources: tuple[str, ...]
    seed: int
    bins: int


def add_steps(subject: SubjectPlan) -> None:
    """One step for each later session that was asked for."""
    for plan in subject.usable[1:]:
        if plan.name in subject.asked:
            _add(plan, subject.usable[0], subject.needs(subject.usable[0]))


def path_of(plan: SessionPlan, first: SessionPlan) -> Path:
    """Where the alignment of a session to the first one is recorded."""
    return plan.path("xfm", ".json", from_=plan.reference, to=f"first{first.reference}", mode="image")


def _add(plan: SessionPlan, first: SessionPlan, before: tuple[str, ...]) -> None:
    plan.add(
        "align with first session",
        align,
        inputs={"first": first.t1w, "brain": first.brain, "T1w": plan.t1w},
        outputs={"alignment": path_of(plan, first)},
        params=AlignmentParams(
            first=first.session.session,
            sources=(plan.t1w_uri, first.t1w_uri),
            seed=plan.settings.run.seed,
            bins=plan.settings.registration.bins,
        ),
        needs=(*before, plan.anatomy),
        memory_gb=2.0,
    )


@recorded_as("thalbids.pipeline.alignment.align")
def align(inputs: Inputs, outputs: Outputs, params: AlignmentParams, upstream: Upstream) -> Done:
    """Register this T1w to the first one, rigidly, and judge it as any registration; a failure is an answer too."""
    from thalbids.registration import gate
    from thalbids.registration.strategies import configured

    first, brain, t1w = (given(inputs, key) for key in ("first", "brain", "T1w"))
    outcome = gate.register(
        load_image(t1w), load_image(first), load_labels(brain),
        configured(STRATEGIES, dict.fromkeys(STRATEGIES, CUTOFF)), bins=params.bins, seed=params.seed,
    )  # fmt: skip
    content = {
        "Description": "Where points of the first session's image lie in this one's (RAS+ mm); for pictures only.",
        "First": params.first,
        "Sources": list(params.sources),
        "Chosen": outcome.chosen,
        "Reason": outcome.reason,
        "Matrix": None if outcome.matrix is None else np.asarray(outcome.matrix).tolist(),
        "Attempts": [attempt.to_json() for attempt in outcome.attempts],
        "Software": outcome.software,
    }
    write_json(outputs["alignment"], content)
    return Done()
