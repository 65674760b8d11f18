"""How the T1w (or what takes its place) of a later session lies to that of the first: for pictures of the report,
and whether both show the same person. No volume is measured on an image that was moved by this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.outputs import write_json
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.grids import resample_to
from thalbids.image.io import load_image, load_labels
from thalbids.image.similarity import correlation
from thalbids.methods.given import MIN_CORRELATION
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.step_io import given, image_of

STEP = "align with first session"
STRATEGIES = ("ants", "ants-centre")  # by the scanner's coordinates; without them
SAME_PERSON = MIN_CORRELATION  # of two images of one contrast
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
    first = subject.first
    for plan in subject.usable:
        if first is not None and plan is not first and plan.name in subject.asked:
            _add(plan, first, subject.needs(first))


def path_of(plan: SessionPlan, first: SessionPlan) -> Path:
    """Where the alignment of a session to the first one is recorded."""
    return plan.path("xfm", ".json", from_=plan.reference, to=f"first{first.reference}", mode="image")


def step_of(plan: SessionPlan) -> str:
    """The name of the step that aligns a session."""
    return plan.step_name(STEP)


def _add(plan: SessionPlan, first: SessionPlan, before: tuple[str, ...]) -> None:
    plan.add(
        STEP,
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
        version=2,
    )


@recorded_as("thalbids.pipeline.alignment.align")
def align(inputs: Inputs, outputs: Outputs, params: AlignmentParams, upstream: Upstream) -> Done:
    """Register this T1w to the first one, rigidly, and judge it as any registration; a failure is an answer too."""
    from thalbids.registration import gate
    from thalbids.registration.strategies import configured

    first, brain, t1w = (given(inputs, key) for key in ("first", "brain", "T1w"))
    image, reference, mask = load_image(t1w), load_image(first), load_labels(brain)
    outcome = gate.register(
        image, reference, mask,
        configured(STRATEGIES, dict.fromkeys(STRATEGIES, CUTOFF)), bins=params.bins, seed=params.seed,
    )  # fmt: skip
    content = {
        "Description": "Where points of the first session's image lie in this one's (RAS+ mm); Correlation: of the two "
        "in the brain, of images of one contrast.",
        "First": params.first,
        "Sources": list(params.sources),
        "Chosen": outcome.chosen,
        "Reason": outcome.reason,
        "Matrix": None if outcome.matrix is None else np.asarray(outcome.matrix).tolist(),
        "Correlation": None,
        "Attempts": [attempt.to_json() for attempt in outcome.attempts],
        "Software": outcome.software,
    }
    if outcome.matrix is not None and len({image_of(source) for source in params.sources}) == 1:
        moved = np.asarray(resample_to(image, reference, order=1, matrix=outcome.matrix).dataobj)
        inside = (np.asarray(mask.dataobj) != 0) & (moved > 0)
        found = correlation(np.asarray(reference.dataobj), moved, inside)
        content["Correlation"] = None if math.isnan(found) else found
    write_json(outputs["alignment"], content)
    return Done()


def other_person(record: Mapping[str, Any]) -> str:
    """Why a session may show another person than the first one, by the record of its alignment; "" when it does not."""
    first = f"ses-{record['First']}"
    if record["Chosen"] is None:
        return f"its image could not be brought to that of {first} ({record['Reason']}): is it the same person?"
    found = record["Correlation"]
    if found is not None and found < SAME_PERSON:
        return f"its image does not look like that of {first} (correlation in the brain {found:.2f}): the same person?"
    return ""
