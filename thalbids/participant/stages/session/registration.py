"""FLAIR, T2w, or R1 from R1map or T1map, onto the grid of the reference image: strategies, metric gate, choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.bids.dataset.inputs import MISSED
from thalbids.bids.results.outputs import uri
from thalbids.engine.params import IF_SET, LOCAL, Params
from thalbids.engine.step import Done, Inputs, Outputs, Step, Upstream, recorded_as
from thalbids.errors import ImageError, ThalbidsError
from thalbids.image.grids import resample_to, zooms
from thalbids.image.io import load_image, load_labels, save_intensities
from thalbids.image.orientation import to_ras
from thalbids.inference.boxes import without_background, without_padding
from thalbids.participant.session import SessionPlan
from thalbids.participant.step_io import SCANNED, RefusalParams, given, image_of, refuse, scan_facts
from thalbids.programs import FslSettings, Program
from thalbids.raters import effect
from thalbids.raters.ratings import RatersVerdict
from thalbids.registration.strategies import configured_for, note_on
from thalbids.types import InputImage

COPIED = {  # fields of a raw map's sidecar that ours repeats, and where the parameters hold them
    "EstimationAlgorithm": "estimation_algorithm",
    "EstimationReference": "estimation_reference",
}


@dataclass(frozen=True)
class RegistrationParams(Params):
    """``units`` and ``skull_stripped`` are what the sidecar says; ``rejected`` what raters failed: strategy, SHA-256 of
    the registered image, reason.
    """

    kind = "registration"
    image: str
    suffix: str
    source: str
    units: object
    skull_stripped: object
    t1w_uri: str
    transform_uri: str
    strategies: tuple[str, ...]
    strategies_note: str
    software: tuple[str, ...]
    cutoffs: Mapping[str, float]
    rule: str
    bins: int
    brain_source: str
    seed: int
    estimation_algorithm: object = field(default=None, metadata=IF_SET)
    estimation_reference: object = field(default=None, metadata=IF_SET)
    rejected: tuple[Mapping[str, str], ...] = field(default=(), metadata=IF_SET)
    choice: str = field(default="", metadata=IF_SET)  # every, where that is asked for
    program: Program = field(default_factory=Program, metadata=LOCAL)


def add_steps(plan: SessionPlan, name: str) -> None:
    """Bring FLAIR, R1 or T2w onto the reference's grid, or note that the session has none."""
    if name not in plan.others:
        if name not in plan.session.images and name in MISSED:
            plan.missing.append({"item": name, "reason": f"the session has no {name} image"})
        return
    image = plan.session.images[name]
    before = [plan.made[name]] if name in plan.made else []
    target, transform = plan.registered(name), transform_of(plan, name)
    plan.images[name] = plan.add(
        f"register {name}",
        refuse if image.problem else register,
        inputs={"image": None if image.problem else image.path, "T1w": plan.t1w, "brain": plan.brain},
        outputs={"image": target, "transform": transform},
        params=RefusalParams(image.problem) if image.problem else params_of(plan, name, image),
        needs=tuple(dict.fromkeys((plan.anatomy, plan.brain_step, *before))),
        record=record_of(plan, name),
        memory_gb=plan.memory(1.5),
        version=13,  # scattered NaN are filled; smoothness
    )
    plan.segmentable[name] = target


def transform_of(plan: SessionPlan, name: str) -> Path:
    """Where the transform of an image lies."""
    return plan.path("xfm", ".txt", **_entities(plan, name))


def record_of(plan: SessionPlan, name: str) -> Path:
    """Where the registration of an image is recorded."""
    return plan.path("xfm", ".json", **_entities(plan, name))


def _entities(plan: SessionPlan, name: str) -> dict[str, str]:
    return {"from_": name, "to": plan.reference, "mode": "image"}


def params_of(plan: SessionPlan, name: str, image: InputImage) -> RegistrationParams:
    """How an image is registered by the settings."""
    strategies = plan.once(configured_for, name)
    return RegistrationParams(
        image=name,
        suffix=image.suffix,
        source=image.uri,
        units=image.metadata.get("Units"),
        skull_stripped=image.metadata.get("SkullStripped"),
        t1w_uri=plan.t1w_uri,
        transform_uri=uri(plan.relative("xfm", ".txt", **_entities(plan, name))),
        strategies=tuple(strategy.name for strategy in strategies),
        strategies_note=plan.once(note_on, name),
        software=tuple(dict.fromkeys(strategy.software for strategy in strategies)),
        cutoffs={strategy.name: strategy.cutoff for strategy in strategies},
        rule=plan.settings.registration.rule,
        bins=plan.settings.registration.bins,
        brain_source=plan.brain_source,
        seed=plan.settings.run.seed,
        choice="" if plan.settings.registration.choice == "any" else plan.settings.registration.choice,
        estimation_algorithm=image.metadata.get("EstimationAlgorithm"),
        estimation_reference=image.metadata.get("EstimationReference"),
        program=plan.settings.of(FslSettings),
    )


def rated(step: Step, verdicts: Sequence[RatersVerdict]) -> Step:
    """The step with what raters failed of this image; a step without keeps its fingerprint."""
    assert isinstance(step.params, RegistrationParams)
    rejected = effect.rejected(verdicts, step.params.image)
    return replace(step, params=replace(step.params, rejected=rejected)) if rejected else step


@recorded_as("thalbids.pipeline.steps.register")
def register(inputs: Inputs, outputs: Outputs, params: RegistrationParams, upstream: Upstream) -> Done:
    """Register an image; excluded where no strategy passes the gate."""
    from thalbids.registration import gate, transforms
    from thalbids.registration.strategies import configured

    path = given(inputs, "image")
    moving = load_image(path, fill=True)  # maps too: a 0 would lower what is interpolated beside it
    notes = list(moving.extra.get("notes", ()))
    converted: dict[str, Any] = {}
    target = image_of(params.t1w_uri)
    fixed, brain = load_image(given(inputs, "T1w")), load_labels(given(inputs, "brain"))
    if params.image == "R1map":
        moving, converted = as_r1(moving, params, path, brain)
    moving, _ = to_ras(moving)
    filled = moving.extra.get("filled")
    copied = [f"it is the {target} once more, voxel by voxel: one may be a copy"] if same_image(moving, fixed) else []
    clean = without_padding if params.image == "R1map" else without_background
    moving = nib.Nifti1Image(clean(np.asarray(moving.dataobj)), moving.affine)
    strategies = configured(params.strategies, params.cutoffs, program=params.program)
    seen_by = effect.Registrations(params.rejected, fixed.affine)
    outcome = gate.register(
        moving, fixed, brain, strategies, bins=params.bins, seed=params.seed, rule=params.rule,
        minimum=0.0 if params.image == "R1map" else None, review=seen_by.review,
        choice=params.choice or "any",
    )  # fmt: skip
    notes += seen_by.stale()
    if params.strategies_note:
        notes.append(params.strategies_note)
    record = {
        "Image": params.image,
        "Sources": [params.source, params.t1w_uri],
        "Chosen": outcome.chosen,
        "Reason": outcome.reason,
        "Strategies": list(params.strategies),
        "Rule": params.rule,
        "BrainSource": params.brain_source,
        "Attempts": [
            attempt.to_json() | {"warnings": [*attempt.warnings, *(copied if attempt.passed else [])]}
            for attempt in outcome.attempts
        ],
        "Warnings": [*outcome.warnings, *copied],
        **({"FailedByRater": seen_by.applied} if seen_by.applied else {}),
        "Software": outcome.software,
        "Description": f"Maps points of the {target} to points of the image (ITK convention: LPS, fixed to moving).",
        "Notes": notes,
    }
    if outcome.image is None or outcome.matrix is None:
        return Done({"record": record}, "excluded", outcome.reason)
    transforms.write_itk(outcome.matrix, outputs["transform"])
    data = np.asarray(outcome.image.dataobj)
    save_intensities(data, fixed.affine, outputs["image"])
    stripped = params.skull_stripped
    if not isinstance(stripped, bool):
        stripped = looks_stripped(data, np.asarray(brain.dataobj), zooms(fixed.affine))
    metadata = {
        "Units": "arbitrary",
        "Sources": [params.source, params.t1w_uri],
        "SpatialReference": params.t1w_uri,
        "SkullStripped": bool(stripped),
        "Description": f"{params.image} registered to the {target} ({outcome.chosen}) and resampled once to its grid.",
        "Transform": params.transform_uri,
        SCANNED: [float(zoom) for zoom in zooms(moving.affine)],
        **_of_scan(moving, brain, outcome.matrix, filled),
        "Notes": notes,
        **{key: getattr(params, name) for key, name in COPIED.items() if getattr(params, name) is not None},
    } | converted
    return Done({"image": metadata, "transform": record})


def same_image(moving: nib.Nifti1Image, fixed: nib.Nifti1Image) -> bool:
    """Whether an image is the reference itself under another name, both in RAS order: its mask is called another's."""
    return moving.shape == fixed.shape and np.array_equal(np.asarray(moving.dataobj), np.asarray(fixed.dataobj))


def _of_scan(
    moving: nib.Nifti1Image, brain: nib.Nifti1Image, matrix: np.ndarray, filled: np.ndarray | None
) -> dict[str, float | None]:
    """What is told of the image before it was resampled; ``matrix`` maps fixed to moving RAS+ mm."""
    inside = resample_to(brain, moving, matrix=np.linalg.inv(matrix), order=0)
    return scan_facts(np.asarray(moving.dataobj), np.asarray(inside.dataobj), zooms(moving.affine), filled)


def as_r1(
    image: nib.Nifti1Image, params: RegistrationParams, path: Path, brain: nib.Nifti1Image
) -> tuple[nib.Nifti1Image, dict[str, Any]]:
    """R1 in 1/s from an R1map or a T1map, its unit judged where the brain of the T1w lies by the headers."""
    from thalbids.qmri.models.relaxation import r1_from_map

    try:
        inside = np.asarray(resample_to(brain, image, order=0).dataobj) > 0
        r1, how = r1_from_map(np.asarray(image.dataobj), params.suffix, params.units, inside)
    except ThalbidsError as error:
        raise ImageError(error.problem, error.mend, path) from None
    return nib.Nifti1Image(r1, image.affine, extra=image.extra), {"Units": "1/s", "Conversion": how}


def looks_stripped(data: np.ndarray, brain: np.ndarray, sizes: Sequence[float]) -> bool:
    """Whether the shell around the brain mask where the scalp should be is nearly empty.

    ``data`` and ``brain`` (x, y, z) share a grid of voxels of ``sizes`` mm. The mask holds a margin around the brain.
    """
    from scipy import ndimage

    from thalbids.inference.boxes import without_air
    from thalbids.inference.head import BRAIN_MARGIN_MM, empty_shell

    coarse = (slice(None, None, 2),) * 3
    away = ndimage.distance_transform_edt(brain[coarse] == 0, [2 * size for size in sizes])
    return empty_shell(without_air(data, sizes)[coarse] != 0, away + BRAIN_MARGIN_MM)
