"""R1 and the other maps of a session from its raw quantitative images: unringing, alignment, fit."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.engine.params import IF_SET, LOCAL, Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import MetadataError
from thalbids.image.io import header_voxels, load_image, save_image
from thalbids.methods.programmed import threads
from thalbids.participant.session import SessionPlan
from thalbids.participant.step_io import given, there
from thalbids.programs import FslSettings, Program
from thalbids.qmri.acquisition import Acquisition, Part, acquired, read_acquisition
from thalbids.qmri.fields import FIELDS, Field, Receive, read_field, read_receive
from thalbids.qmri.images import magnitudes
from thalbids.qmri.models.mpm import MTW, PDW
from thalbids.qmri.reconstruct import MOVABLE, Maps, Options, expected, head_mask, reconstruct
from thalbids.types import InputImage, Session

LOG = logging.getLogger(__name__)
GIVEN = "maps"  # in the setting source: an R1map or T1map that the session has
BYTES_PER_VOXEL = 200  # of the maps and what the fit needs beside the images, which take 4 each
UNITS = {"R1map": "1/s", "R2starmap": "1/s", "PDmap": "arbitrary", "MTsat": "arbitrary"}
MEANING = {
    "R1map": "Longitudinal relaxation rate R1.",
    "R2starmap": "Effective transverse relaxation rate R2*.",
    "PDmap": "Proton density relative to the median of brain tissue; the receive field is still in it.",
    "MTsat": "Magnetisation transfer saturation in percent units.",
}
BODY_COIL = "Proton density relative to the median of brain tissue; the receive field of the body coil is still in it."
COPIED = ("MagneticFieldStrength",)


@dataclass(frozen=True)
class UnringingParams(Params):
    """Where the images come from."""

    kind = "unringing"
    sources: tuple[str, ...]
    paths: tuple[tuple[str, str], ...]  # keys of inputs and outputs


@dataclass(frozen=True)
class ContrastParams(Params):
    """Which contrast is aligned with which, and how."""

    kind = "contrast alignment"
    reference: Part
    part: Part
    strategies: tuple[str, ...]
    cutoffs: Mapping[str, float]
    bins: int
    seed: int
    program: Program = field(default_factory=Program, metadata=LOCAL)


@dataclass(frozen=True)
class FitParams(Params):
    """``aligned``: contrasts that have a transform, if their alignment succeeded; ``needed`` those without which there
    is no R1.
    """

    kind = "relaxometry"
    acquisition: Acquisition
    transmit: Field | None
    options: Options
    aligned: Mapping[str, str]  # name of a part -> the step that aligns it
    unrung: bool
    standard_errors: bool
    metadata: Mapping[str, Any]
    receive: Receive | None = field(default=None, metadata=IF_SET)


def kinds_in_order(session: Session, order: tuple[str, ...]) -> list[str]:
    """The kinds of raw images that R1 may be computed from, by the order of the settings; those before a given map."""
    kinds = acquired(session)
    in_order = []
    for source in order:
        if source == GIVEN and "R1map" in session.images:
            break
        if source in kinds:
            in_order.append(source)
    return in_order


def add_steps(plan: SessionPlan) -> None:
    """The steps to the session's R1 map, which then stands among its images like one that was given.

    A kind whose images or sidecars are not whole gives way to the next; where none is, the first one's problem is told.
    """
    problems: list[tuple[str, str]] = []
    kinds = kinds_in_order(plan.session, plan.settings.qmri.source)
    for kind in kinds:
        try:
            acquisition = read_acquisition(plan.session, kind)
            transmit = None if kind == "IRT1" else read_field(plan.session, plan.settings.qmri.b1)
            receive = read_receive(plan.session, acquisition, plan.settings.qmri.receive)
        except MetadataError as error:
            name = "" if error.path is None else f"{error.path.name}: "
            problems.append((kind, f"{name}{error.problem} {error.mend}".strip()))
            continue
        _note(plan, [f"R1map: not from the raw {other} images. {problem}" for other, problem in problems])
        _note(plan, unused(plan.session, kind, transmit, [name for name, _ in problems]))
        acquisition = _unring(plan, acquisition)
        _fit(plan, acquisition, Fields(transmit, receive), _align(plan, acquisition))
        return
    _note(plan, unused(plan.session, GIVEN, None, [name for name, _ in problems]))
    if plan.reference == "UNIT1" and [name for name, _ in problems] == ["UNIT1"]:  # it is there to be measured on
        _note(plan, [f"R1map: not from the UNIT1 image. {problem}" for _, problem in problems])
    elif problems and "R1map" not in plan.session.images:
        kind, problem = problems[0]
        _stand_in(plan, kind, InputImage(Path(), "", "R1map", problem=problem))


def _note(plan: SessionPlan, notes: Sequence[str]) -> None:
    """Notes of the session, in its QC file and in the log."""
    for note in notes:
        LOG.info("%s: %s", plan.name, note)
    if notes:
        plan.session = replace(plan.session, notes=(*plan.session.notes, *notes))


def unused(session: Session, chosen: str, transmit: Field | None, told: Collection[str] = ()) -> list[str]:
    """What the session has besides the kind that was chosen and the transmit field, in words.

    ``chosen`` may be `GIVEN`; ``told``: kinds of which it is said already why they are not used.
    """
    others = [f"the raw {kind} images" for kind in acquired(session) if kind not in (chosen, *told)]
    notes = []
    if chosen != GIVEN and "R1map" in session.images:
        others.append(f"the {session.images['R1map'].suffix} that is there")
    computed = chosen != GIVEN or "R1map" in session.images
    if others:
        why = "by the order of [qmri] source" if computed else "as [qmri] source does not name them"
        notes.append(f"R1map: {' and '.join(others)} are not used, {why}.")
    fields = [name for name in FIELDS if session.raw_images(name)]
    left = [name for name in fields if transmit is not None and name != transmit.method]
    if left and transmit is not None:
        notes.append(f"R1map: B1+ from {transmit.method}, not from {' or '.join(left)} ([qmri] b1).")
    return notes


def _stand_in(plan: SessionPlan, kind: str, image: InputImage) -> None:
    """The fitted map among the images of the session, in place of one that was given or of none."""
    notes = tuple(note for note in plan.session.notes if note != "R1map: none found.")
    if not image.problem:
        notes = (*notes, f"R1map: from the raw {kind} images.")
    plan.session = replace(plan.session, images={**plan.session.images, "R1map": image}, notes=notes)


def _unring(plan: SessionPlan, acquisition: Acquisition) -> Acquisition:
    """A step for each part, where the settings want it; gives the acquisition that reads its results.

    Magnitudes only: a combined image, a phase or a part of a complex image does not ring as they do.
    """
    if plan.settings.qmri.unringing == "none":
        return acquisition
    if acquisition.kind == "UNIT1" or not magnitudes(acquisition.images):
        _note(plan, [f"R1map: no unringing, which is for magnitudes, of the {acquisition.kind} images."])
        return acquisition
    files: dict[Path, Path] = {}
    for part in acquisition.parts:
        images = magnitudes(part.images)
        inputs: dict[str, Path | None] = {f"raw {k}": image.path for k, image in enumerate(images, start=1)}
        outputs = {}
        for k, image in enumerate(images, start=1):
            outputs[f"image {k}"] = plan.path(image.suffix, **{**image.entities, "desc": "unringed"})
            files[image.path] = outputs[f"image {k}"]
        plan.made[f"unring {part.name}"] = plan.add(
            f"unring {part.name}",
            unring_images,
            inputs=inputs,
            outputs=outputs,
            params=UnringingParams(
                sources=tuple(image.uri for image in images),
                paths=tuple((f"raw {k}", f"image {k}") for k in range(1, len(images) + 1)),
            ),
        )
    return acquisition.reading(files)


def _align(plan: SessionPlan, acquisition: Acquisition) -> dict[str, str]:
    """A step for each contrast after the first; gives them by the name of the part."""
    from thalbids.registration.strategies import configured, resolved

    names = plan.settings.qmri.coregistration
    if acquisition.kind not in MOVABLE or not names:
        return {}
    strategies = configured(resolved(names, "R1map", plan.settings.of(FslSettings)))
    reference, *others = acquisition.parts
    steps = {}
    for part in others:
        transform = transform_of(plan, acquisition, part)
        steps[part.name] = plan.add(
            f"align {part.name}",
            align_contrast,
            inputs={"reference": reference.images[0].path, "image": part.images[0].path},
            outputs={"transform": transform},
            params=ContrastParams(
                reference=reference,
                part=part,
                strategies=tuple(strategy.name for strategy in strategies),
                cutoffs={strategy.name: strategy.cutoff for strategy in strategies},
                bins=plan.settings.registration.bins,
                seed=plan.settings.run.seed,
                program=plan.settings.of(FslSettings),
            ),
            needs=tuple(plan.made[f"unring {p.name}"] for p in (reference, part) if f"unring {p.name}" in plan.made),
            record=transform.with_suffix(".json"),
            memory_gb=1.5,
        )
        plan.contrasts[part.name] = transform.with_suffix(".json")
    return steps


def transform_of(plan: SessionPlan, acquisition: Acquisition, part: Part) -> Path:
    """Where the transform of a contrast lies."""
    return plan.path("xfm", ".txt", from_=part.name, to=acquisition.parts[0].name, mode="image")


@dataclass(frozen=True)
class Fields:
    """The images of the transmit and of the receive field, where there are any."""

    transmit: Field | None = None
    receive: Receive | None = None

    def inputs(self) -> dict[str, Path | None]:
        """The files by the keys of inputs."""
        sets = {"transmit": self.transmit, "receive": self.receive}
        return {f"{n} {k}": image.path for n, images in sets.items() if images for k, image in enumerate(images.images)}


def _fit(plan: SessionPlan, acquisition: Acquisition, measured: Fields, aligned: Mapping[str, str]) -> None:
    suffixes = expected(acquisition)
    outputs = {suffix: plan.path(suffix) for suffix in suffixes}
    errors = {}
    if plan.settings.qmri.standard_errors and acquisition.kind == "MPM":
        errors = {f"{suffix} error": plan.path(suffix, desc="stderr") for suffix in suffixes}
    inputs: dict[str, Path | None] = {}
    for part in acquisition.parts:
        inputs |= {f"{part.name} {k}": image.path for k, image in enumerate(part.images)}
    inputs |= measured.inputs()
    inputs |= {f"transform {name}": transform_of(plan, acquisition, acquisition.part(name)) for name in aligned}
    unrung = [plan.made[f"unring {p.name}"] for p in acquisition.parts if f"unring {p.name}" in plan.made]
    first = acquisition.parts[0].images[0]
    optional = [name for name in (*outputs, *errors) if name.startswith("MTsat")]
    plan.made["R1map"] = plan.add(
        "fit R1map",
        fit,
        inputs=inputs,
        outputs={**outputs, **errors},
        params=FitParams(
            acquisition=acquisition,
            transmit=measured.transmit,
            receive=measured.receive,
            options=Options.of(plan.settings.qmri),
            aligned=aligned,
            unrung=bool(unrung),
            standard_errors=bool(errors),
            metadata={key: first.metadata[key] for key in COPIED if key in first.metadata},
        ),
        needs=(*unrung, *(step for name, step in aligned.items() if name != MTW)),
        after=tuple(step for name, step in aligned.items() if name == MTW),
        memory_gb=_memory(acquisition),
        optional=tuple(optional),
    )
    r1, metadata = outputs["R1map"], {"Units": "1/s", **Maps.described_as(acquisition.kind)}
    _stand_in(plan, acquisition.kind, InputImage(r1, plan.uri_of(r1), "R1map", {}, metadata))
    plan.fitted = {suffix: path for suffix, path in outputs.items() if suffix != "R1map"}


def _memory(acquisition: Acquisition) -> float:
    """In GB, by the header of the first image that is there."""
    # not there yet, or not readable (the step that reads it says so): as large as a usual head
    voxels = header_voxels(acquisition.images[0].path) or 256**3
    return 0.6 + voxels * (BYTES_PER_VOXEL + 4 * len(acquisition.images)) / 1e9


@recorded_as("thalbids.qmri.unring")
def unring_images(inputs: Inputs, outputs: Outputs, params: UnringingParams, upstream: Upstream) -> Done:
    """The images of one contrast without Gibbs ringing."""
    from thalbids.qmri.unringing import unring

    sidecars = {}
    for (raw, path), source in zip(params.paths, params.sources, strict=True):
        image = load_image(given(inputs, raw))
        save_image(unring(np.asarray(image.dataobj)), image.affine, outputs[path])
        sidecars[path] = {
            "Sources": [source],
            "SkullStripped": False,
            "Description": "Raw image without Gibbs ringing (local subvoxel shifts in slices; Kellner et al. 2016).",
        }
    return Done(sidecars)


@recorded_as("thalbids.qmri.align")
def align_contrast(inputs: Inputs, outputs: Outputs, params: ContrastParams, upstream: Upstream) -> Done:
    """One contrast on the first one."""
    from thalbids.qmri.align import align, motion
    from thalbids.registration import transforms
    from thalbids.registration.strategies import configured

    strategies = configured(params.strategies, params.cutoffs, program=params.program)
    outcome = align(params.reference, params.part, strategies, bins=params.bins, seed=params.seed)
    record: dict[str, Any] = {
        "Image": params.part.name,
        "Sources": [params.part.images[0].uri, params.reference.images[0].uri],
        "Chosen": outcome.chosen,
        "Reason": outcome.reason,
        "Attempts": [attempt.to_json() for attempt in outcome.attempts],
        "Warnings": list(outcome.warnings),
        "Software": outcome.software,
        "Description": "Maps points of the reference to points of the image (ITK convention: LPS, fixed to moving).",
    }
    if outcome.matrix is None:
        return Done({"record": record}, "excluded", f"{params.part.name}: {outcome.reason}")
    transforms.write_itk(outcome.matrix, outputs["transform"])
    shift, turned = motion(outcome.matrix, load_image(params.reference.images[0].path))
    return Done({"transform": record | {"ShiftMm": shift, "RotationDegrees": turned}})


@recorded_as("thalbids.qmri.fit")
def fit(inputs: Inputs, outputs: Outputs, params: FitParams, upstream: Upstream) -> Done:
    """The maps. Without the MT-weighted contrast, where that could not be aligned, there is no MTsat."""
    from thalbids.registration.transforms import read_itk

    matrices = {}
    lost = []
    for name, step in params.aligned.items():
        path = there(inputs, f"transform {name}") if upstream[step].usable else None
        if path is None:
            lost.append(name)
        else:
            matrices[name] = read_itk(path)
    acquisition = params.acquisition.without(lost)
    maps = reconstruct(acquisition, params.transmit, matrices, params.options, threads(), params.receive)
    notes = [*maps.notes, *(f"{name} is left out: it could not be aligned with {PDW}." for name in lost)]
    common = _described(maps, params, notes)
    sidecars = {}
    meaning = MEANING | ({"PDmap": BODY_COIL} if params.receive else {})
    for suffix, values in maps.values.items():
        save_image(values, maps.reference.affine, outputs[suffix], dtype=np.float32)
        sidecars[suffix] = {"Description": meaning[suffix], "Units": UNITS[suffix], **common}
        if params.standard_errors:
            key = f"{suffix} error"
            save_image(maps.errors[suffix], maps.reference.affine, outputs[key], dtype=np.float32)
            described = f"Standard error of {suffix}, from the residuals of the decay to first order; without motion."
            sidecars[key] = {"Description": described, "Units": UNITS[suffix], **common}
    return Done(sidecars)


def _described(maps: Maps, params: FitParams, notes: list[str]) -> dict[str, Any]:
    """What all maps of a session share."""
    head = np.asarray(head_mask(load_image(params.acquisition.parts[0].images[0].path)).dataobj) > 0
    used = [
        *params.acquisition.images,
        *(params.transmit.images if params.transmit else ()),
        *(params.receive.images if params.receive else ()),
    ]
    return {
        "SkullStripped": False,
        "Sources": [image.uri for image in used],
        **maps.described,
        **params.metadata,
        "Unringing": "local subvoxel shifts (Kellner et al. 2016)" if params.unrung else "none",
        "Coregistration": "rigid, to the first PDw echo" if params.aligned else "none",
        "UndefinedShareOfHead": float(np.mean(maps.undefined[head])) if head.any() else None,
        "ClampedShareOfHead": float(np.mean(maps.clamped[head])) if head.any() else None,
        "Notes": notes,
    }
