"""The step that everything else of a session needs: the T1w (or what takes its place) in order, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import ImageError
from thalbids.families import embedded
from thalbids.image.grids import zooms
from thalbids.image.io import load_image, save_image
from thalbids.image.orientation import to_ras
from thalbids.inference.boxes import offset_of
from thalbids.participant.session import SessionPlan
from thalbids.participant.step_io import given, image_of, scan_facts
from thalbids.qmri.unit1 import without_noise

if TYPE_CHECKING:
    from thalbids.inference.synthal import OrientedBox

UP_TO_SKULL = "Brain with its fluid up to the inner skull, by SynThal's whole-head network."
CUT_OFF = "The field of view ends inside the skull or at it: brain mask and intracranial volume are not whole."
LEFT_BY_STRIPPING = "What the skull-stripping of the scan left, with what that encloses."


@dataclass(frozen=True)
class AnatomyParams(Params):
    """``skull_stripped`` is what the sidecar says; ``weights`` a checksum of the networks."""

    kind = "anatomy"
    source: str
    t1w_uri: str
    skull_stripped: object
    precision: str
    weights: str


def add_steps(plan: SessionPlan) -> None:
    """One step for the reference image."""
    t1w = plan.session.images[plan.reference]
    if plan.reference != "T1w":
        plan.missing.append({"item": "T1w", "reason": "the session has no T1w image"})
    plan.images[plan.reference] = plan.brain_step = plan.add(
        "anatomy",
        anatomy,
        inputs={"T1w": t1w.path},
        outputs={"T1w": plan.t1w, "brain": plan.seen_brain},
        params=AnatomyParams(
            source=t1w.uri,
            t1w_uri=plan.t1w_uri,
            skull_stripped=t1w.metadata.get("SkullStripped"),
            precision=plan.settings.run.precision,
            weights=_weights(),
        ),
        memory_gb=plan.memory(1.5),
        version=16,  # scattered NaN are filled; smoothness
    )
    plan.segmentable[plan.reference] = plan.t1w


def _weights() -> str:
    from thalbids.methods.synthal import weights_checksum

    return weights_checksum()


def as_stored(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The image with the geometry that a NIfTI file can hold: what is found on it is found again on the file."""
    return nib.Nifti1Image(image.dataobj, np.asarray(image.affine, np.float32).astype(np.float64))


@recorded_as("thalbids.pipeline.steps.anatomy")
def anatomy(inputs: Inputs, outputs: Outputs, params: AnatomyParams, upstream: Upstream) -> Done:
    """T1w in RAS order without resampling, brain mask, intracranial volume and where the thalami are."""
    from thalbids.methods.synthal import head_of, told_of

    image = image_of(params.t1w_uri)
    raw = load_image(given(inputs, "T1w"), fill=True)
    notes = list(raw.extra.get("notes", ()))
    t1w, orientation = to_ras(raw)
    filled = t1w.extra.get("filled")
    if image == "UNIT1":
        t1w, said = without_noise(t1w)
        notes += said
    offset = offset_of(np.asarray(t1w.dataobj))
    if offset:
        t1w = nib.Nifti1Image(np.asarray(t1w.dataobj) - np.float32(offset), t1w.affine)
        notes.append(f"All values were counted from {offset:g}; it was taken off.")
    t1w = as_stored(t1w)
    boxes: dict[bytes, OrientedBox] = {}
    try:
        head = head_of(t1w, params.precision, boxes)
    except ImageError as error:
        raise ImageError(error.problem, error.mend, given(inputs, "T1w")) from None
    assert head.centre is not None
    stripped = params.skull_stripped if isinstance(params.skull_stripped, bool) else head.stripped
    described = LEFT_BY_STRIPPING if head.stripped else UP_TO_SKULL
    if head.cut_off:
        notes.append(CUT_OFF)
        described = f"{described} {CUT_OFF}"
    save_image(np.asarray(t1w.dataobj), t1w.affine, outputs["T1w"])
    save_image(head.brain, t1w.affine, outputs["brain"], dtype=np.uint8)
    grid = {"Sources": [params.source], "SpatialReference": params.t1w_uri}
    return Done(
        {
            "T1w": grid
            | {
                "SkullStripped": bool(stripped),
                "Description": f"{image} image, axes permuted and flipped to right, anterior, superior; not resampled.",
                "Orientation": orientation.to_json(),
                "ThalamiCentreMm": [float(v) for v in head.centre],
                "ThalamiSeen": head.places,
                "ThalamiBox": told_of(boxes.get(head.centre.tobytes())),
                "IntracranialVolumeMm3": None if head.cut_off else head.icv_mm3,
                "SkullCutOffMm2": head.cut_mm2,
                "HeadTiltDegrees": head.tilt,
                **scan_facts(np.asarray(t1w.dataobj), head.brain, zooms(t1w.affine), filled),
                "Notes": notes,
            },
            "brain": grid
            | {
                "Type": "Brain",
                "Manual": False,
                "Sources": [params.t1w_uri],
                "Description": described,
                "BrainSource": embedded(),
            },
        }
    )
