"""How the T1w (or what takes its place) of a later session lies to that of the first: for pictures of the report,
and whether both show the same person. No volume is measured on an image that was moved by this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.bids.results.outputs import write_json
from thalbids.engine.params import LOCAL, Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.grids import resample_to
from thalbids.image.io import load_image, load_labels
from thalbids.image.similarity import correlation
from thalbids.methods.given import MIN_CORRELATION
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.step_io import given, image_of, there

STEP = "align with first session"
STRATEGIES = ("mattes", "mattes-centre")  # by the scanner's coordinates; without them
SAME_PERSON = MIN_CORRELATION  # of two images of one contrast
SURELY_SAME = 0.85  # .94 and more in simulated and real second visits, .74 and less where one was mirrored
CUTOFF = 0.25  # nats, that of FLAIR; two T1w of one person have more


@dataclass(frozen=True)
class AlignmentParams(Params):
    """``first``: the label of the first session; ``between``: labels of the visits after it and before this one, with
    the sources of their images, the first of which stands in where the first session got no image. Not recorded, as
    their images are spare inputs, whose names hold the labels.
    """

    kind = "alignment"
    first: str | None
    sources: tuple[str, ...]
    seed: int
    bins: int
    between: Mapping[str, str] = field(default_factory=dict, metadata=LOCAL)


def add_steps(subject: SubjectPlan) -> None:
    """One step for each later session that was asked for."""
    first = subject.first
    if first is None:
        return
    later = subject.usable[subject.usable.index(first) + 1 :]
    for place, plan in enumerate(later):
        if plan.name in subject.asked:
            between = [other for other in later[:place] if other.reference == first.reference]
            _add(subject, plan, first, between)


def path_of(plan: SessionPlan, first: SessionPlan) -> Path:
    """Where the alignment of a session to the first one is recorded."""
    return plan.path("xfm", ".json", from_=plan.reference, to=f"first{first.reference}", mode="image")


def step_of(plan: SessionPlan) -> str:
    """The name of the step that aligns a session."""
    return plan.step_name(STEP)


def _add(subject: SubjectPlan, plan: SessionPlan, first: SessionPlan, between: Sequence[SessionPlan]) -> None:
    before = subject.needs(first)
    others = {str(other.session.session): other for other in between}
    read = {f"{label} image": other.t1w for label, other in others.items()}
    read |= {f"{label} brain": other.brain for label, other in others.items()}
    plan.add(
        STEP,
        align,
        inputs={"first": first.t1w, "brain": first.brain, "T1w": plan.t1w, **read},
        outputs={"alignment": path_of(plan, first)},
        params=AlignmentParams(
            first=first.session.session,
            sources=(plan.t1w_uri, first.t1w_uri),
            seed=plan.settings.run.seed,
            bins=plan.settings.registration.bins,
            between={label: other.t1w_uri for label, other in others.items()},
        ),
        needs=(plan.anatomy,) if others else (*before, plan.anatomy),
        after=(*before, *subject.needs(*between)) if others else (),
        memory_gb=max(plan.memory(1.5), first.memory(1.5)),
        version=5,  # whether the image is the mirror image of the first
        spare=tuple(read),
    )


@recorded_as("thalbids.pipeline.alignment.align")
def align(inputs: Inputs, outputs: Outputs, params: AlignmentParams, upstream: Upstream) -> Done:
    """Register this T1w to the first one, rigidly, and judge it as any registration; a failure is an answer too.

    Where the first session got no image in this run, the next one that did takes its place, and the record names it.
    """
    from thalbids.registration import gate
    from thalbids.registration.strategies import configured

    found_first = _first(inputs, params)
    if found_first is None:
        return Done(status="excluded", reason="no earlier visit has an image")
    label, source, first, brain = found_first
    t1w = given(inputs, "T1w")
    image, reference, mask = load_image(t1w), load_image(first), load_labels(brain)

    def brought(moving: nib.Nifti1Image) -> gate.RegistrationOutcome:
        tried = configured(STRATEGIES, dict.fromkeys(STRATEGIES, CUTOFF))
        return gate.register(moving, reference, mask, tried, bins=params.bins, seed=params.seed)

    outcome = brought(image)
    content = {
        "Description": "Where points of the first session's image lie in this one's (RAS+ mm); Correlation: of the two "
        "in the brain, of images of one contrast; Mirrored: the same of the mirror image, where that is in doubt.",
        "First": label,
        "Sources": [params.sources[0], source],
        "Chosen": outcome.chosen,
        "Reason": outcome.reason,
        "Matrix": None if outcome.matrix is None else np.asarray(outcome.matrix).tolist(),
        "Correlation": None,
        "Mirrored": None,
        "Attempts": [attempt.to_json() for attempt in outcome.attempts],
        "Software": outcome.software,
    }
    if image_of(params.sources[0]) == image_of(source):
        content["Correlation"] = alike = _alike(image, reference, mask, outcome.matrix)
        if alike is None or alike < SURELY_SAME:
            mirror_image = nib.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine)
            content["Mirrored"] = _alike(mirror_image, reference, mask, brought(mirror_image).matrix)
    write_json(outputs["alignment"], content)
    return Done()


def _alike(
    image: nib.Nifti1Image, reference: nib.Nifti1Image, mask: nib.Nifti1Image, matrix: np.ndarray | None
) -> float | None:
    """Correlation in the brain of an image that `matrix` brings to the reference; None without one."""
    if matrix is None:
        return None
    moved = np.asarray(resample_to(image, reference, order=1, matrix=matrix).dataobj)
    inside = (np.asarray(mask.dataobj) != 0) & (moved > 0)
    alike = correlation(np.asarray(reference.dataobj), moved, inside)
    return None if math.isnan(alike) else alike


def _first(inputs: Inputs, params: AlignmentParams) -> tuple[str | None, str, Path, Path] | None:
    """Label, source, image and brain mask of the first session, or of the first one after it that has both."""
    keys = {params.first: ("first", "brain", params.sources[1])}
    keys |= {label: (f"{label} image", f"{label} brain", source) for label, source in params.between.items()}
    for label, (image, brain, source) in keys.items():
        paths = there(inputs, image), there(inputs, brain)
        if paths[0] is not None and paths[1] is not None:
            return label, source, paths[0], paths[1]
    return None


def mirrored(record: Mapping[str, Any]) -> bool:
    """Whether the image of a session is the mirror image of that of the first one, by the record of its alignment."""
    return (record.get("Mirrored") or 0) >= SURELY_SAME


def other_person(record: Mapping[str, Any]) -> str:
    """Why a session may show another person than the first one, by the record of its alignment; "" when it does not."""
    first = f"ses-{record['First']}"
    if mirrored(record):
        return f"its image is the mirror image of that of {first}, or nearly so: were left and right exchanged?"
    if record["Chosen"] is None:
        return f"its image could not be brought to that of {first} ({record['Reason']}): is it the same person?"
    alike = record["Correlation"]
    if alike is not None and alike < SAME_PERSON:
        return f"its image does not look like that of {first} (correlation in the brain {alike:.2f}): the same person?"
    return ""
