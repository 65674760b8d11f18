"""The thalamus masks of a session, of one image each or of several together: given, or made by a method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from thalbids import families as known
from thalbids.bids.results import names
from thalbids.bids.results.outputs import derivative, read_json, sidecar
from thalbids.engine.params import IF_SET, LOCAL, Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import ImageError, ThalbidsError
from thalbids.files import names_in
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.methods.base import Method, Request, own_settings, trait
from thalbids.methods.embedded import SynthalSettings
from thalbids.participant.session import PlannedMask, SessionPlan, files_of
from thalbids.participant.stages.session import given, label_maps
from thalbids.participant.step_io import SCANNED, labels_of, there, work_folder, write_masks
from thalbids.participant.step_io import given as at
from thalbids.settings import MethodSettings, Settings
from thalbids.types import Session

WHERE_THERE = ("T2w", "UNIT1")  # images whose absence is no missing mask
STALE = "its mask in this folder is of an earlier run and not current, or this run cannot tell"


@dataclass(frozen=True)
class SegmentParams(Params):
    """``sources``: the URIs of what the mask is made from; ``method``: what the method's own ``params`` gave."""

    kind = "mask"
    family: str
    image: str
    desc: str
    sources: tuple[str, ...]
    t1w_uri: str
    method: Mapping[str, Any]
    visit: str = field(default="", metadata=IF_SET)  # the session, where the label map was made of several together
    settings: MethodSettings = field(default_factory=MethodSettings, metadata=LOCAL)


def families_in(out_dir: Path, sessions: Iterable[Session]) -> set[str]:
    """The families whose thalamus masks these sessions have in the output folder, from whichever run."""
    return {kind.family for session in sessions for kind in _found(out_dir, session)}


def unplanned(plan: SessionPlan) -> list[PlannedMask]:
    """Rows for masks in the output folder that this run does not plan, so that no mask is without a row."""
    planned = {mask.desc for mask in plan.masks}
    return [
        PlannedMask(kind.desc, kind.family, kind.images, kind.image, reason=STALE)
        for kind in _found(plan.out_dir, plan.session)
        if kind.desc not in planned
    ]


def _found(out_dir: Path, session: Session) -> list[names.MaskKind]:
    """The methods whose masks of this session are in the output folder, in the order of their names."""
    kinds = []
    pattern = out_dir / derivative(session, "mask", space=session.reference, label="thalamus", desc="0")
    start, end = pattern.name.split("0_mask")
    end = f"_mask{end}"
    for name in sorted(names_in(pattern.parent)):
        if name.startswith(start) and name.endswith(end):
            with suppress(KeyError):  # of somebody else's method
                kinds.append(names.by_desc(name.removeprefix(start).removesuffix(end)))
    return kinds


def families(method: Method, settings: Settings) -> tuple[str, ...]:
    """The families whose mask a method needs, without the brain."""
    needed = trait(method, "builds_on", own_settings(method, settings))
    return tuple(name for name in needed if name != "brain")


def blank(plan: SessionPlan, method: Method, images: tuple[str, ...], rule: str = "mean") -> PlannedMask:
    """The row of a mask of which nothing is planned yet; its name shows an envelope other than the paper's."""
    return plan.once(_blank, method, images, rule, method.family in plan.kept)


def _blank(method: Method, images: tuple[str, ...], rule: str, kept: bool, settings: Settings) -> PlannedMask:
    needed = families(method, settings)
    envelope = needed[0] if known.of(method.family).cut_with else ""
    kind = names.method(method.family, images, rule, envelope)
    return PlannedMask(kind.desc, method.family, images, kind.image, method.protocol, builds_on=needed, kept=kept)


def add_steps(plan: SessionPlan, method: Method) -> None:
    """One mask per image, or one of all: given, else made where the method runs and the images are there."""
    together = known.of(method.family).reads != known.ONE_IMAGE
    usual = [name for name in method.images if name not in WHERE_THERE or name in plan.session.images]
    groups = [tuple(method.images)] if together else [(name,) for name in usual]
    masks = [given_or_missing(plan, method, images) for images in groups]
    to_run = [mask for mask in masks if mask.step is None and not mask.reason]
    if to_run and hasattr(method, "label_maps"):
        members = {one: member_of(plan, one) for one in trait(method, "maps_build_on", plan.once(own_settings, method))}
        label_maps.add_label_maps(
            plan, method, list(dict.fromkeys(name for mask in to_run for name in mask.images)),
            {one: member for one, member in members.items() if member is not None},
        )  # fmt: skip
    plan.masks += [segmented(plan, method, mask) if mask in to_run else mask for mask in masks]


def given_or_missing(plan: SessionPlan, method: Method, images: tuple[str, ...]) -> PlannedMask:
    """The mask with the step that takes a given one, or with why it is missing; with neither where the method runs."""
    mask = blank(plan, method, images)
    try:
        return given.taken(plan, mask) or replace(mask, reason=_cannot_run(plan, method, images))
    except ThalbidsError as error:  # what exists cannot be used: this mask fails, the session goes on
        return given.refused(plan, mask, error)


def _cannot_run(plan: SessionPlan, method: Method, images: tuple[str, ...]) -> str:
    """Why the method does not run on these images here; "" when it does."""
    results = label_maps.has_results(plan, method)  # asked in any case: results that cannot be used are refused
    lacking = [image for image in images if image not in plan.segmentable]
    if lacking:
        return f"the session has no {' and no '.join(lacking)} image"
    if method.family not in plan.runnable and not results:
        return f"there is no result of {method.family} for this session, and it is not run here"
    for family in plan.once(families, method):
        member = member_of(plan, family)
        if member is None or member.step is None:
            reason = member.reason if member else "it is not among the methods of this run"
            return f"it needs the mask of {plan.once(families, method)[0]} as its envelope: {reason}"
    return ""


def member_of(plan: SessionPlan, family: str) -> PlannedMask | None:
    """The mask of a family that others build on: that of the reference image, or of several together."""
    usual = (mask for mask in plan.masks if mask.images == (plan.reference,) or mask.image == "several")
    return next((mask for mask in usual if mask.family == family), None)


def segmented(plan: SessionPlan, method: Method, mask: PlannedMask, visit: str = "") -> PlannedMask:
    """The mask with the step that makes it; ``visit``: its label map is made of several sessions together."""
    name, *further = mask.images
    path, settings = plan.segmentable[name], plan.once(own_settings, method)
    outputs = dict(files_of(plan, mask.desc))
    if plan.settings.of(SynthalSettings).write_probabilities and method.family not in plan.prepared:
        outputs["probability"] = plan.path("probseg", space=plan.reference, label="thalamus", desc=mask.desc)
    needs, roots = [plan.anatomy, plan.image_step(name)], [plan.anatomy, plan.images[name]]
    inputs: dict[str, Path | None] = {"image": path, "seen": sidecar(plan.t1w)}
    for other in further:
        inputs[f"image {other}"] = plan.segmentable[other]
        needs.append(plan.image_step(other))
        roots.append(plan.images[other])
    if "brain" in trait(method, "builds_on", settings):
        inputs["brain"] = plan.brain
        needs.append(plan.brain_step)
    if method.family in plan.prepared:
        labels = label_maps.label_map(plan, method.family, name)
        record = label_maps.maps_record(
            plan.out_dir, plan.name.partition("_")[0] if visit else plan.name, method.family
        )
        inputs |= {"labels": labels, "labels sidecar": sidecar(labels), "maps": record}
        needs.append(plan.prepared[method.family])
    others = [plan.segmentable[other] for other in further] + ([plan.brain] if "brain" in inputs else [])
    for family in plan.once(families, method):
        member = member_of(plan, family)
        assert member is not None and member.step is not None  # cannot_run saw to it
        others.append(plan.dseg(member.desc))
        inputs[f"mask {family}"] = others[-1]
        needs.append(member.step)
        roots += member.roots
    step = plan.add(
        mask.desc,
        segment,
        inputs=inputs,
        outputs=outputs,
        params=SegmentParams(
            family=method.family,
            image=name,
            desc=mask.desc,
            sources=tuple(plan.uri_of(source) for source in (inputs.get("labels") or path, *others)),
            t1w_uri=plan.t1w_uri,
            method=dict(method.params(settings)),
            visit=visit,
            settings=settings,
        ),
        needs=tuple(dict.fromkeys(needs)),
        memory_gb=plan.memory(1.0 if method.family in plan.prepared else method.memory_gb),
        version=method.version,
        gpu=trait(method, "gpu", settings) and method.family not in plan.prepared,
        optional=("probability",),
    )
    return replace(mask, step=step, roots=tuple(dict.fromkeys([*roots, *needs])))


@recorded_as("thalbids.pipeline.steps.segment")
def segment(inputs: Inputs, outputs: Outputs, params: SegmentParams, upstream: Upstream) -> Done:
    """One method on one image."""
    from thalbids.methods.registry import methods

    method = methods()[params.family]
    image = load_image(at(inputs, "image"))
    labels = there(inputs, "labels")
    if "labels" in inputs and labels is None:
        why = read_json(at(inputs, "maps")).get("Failed", {}).get(params.visit or params.image, "it gave no labels.")
        raise ImageError(f"{params.family} on the {params.image}: {why}")
    images = {key.removeprefix("image "): load_image(at(inputs, key)) for key in inputs if key.startswith("image ")}
    seen = read_json(at(inputs, "seen"))
    of_reference = at(inputs, "seen") == sidecar(at(inputs, "image"))
    told = read_json(at(inputs, "labels sidecar")) if labels is not None else {}
    scanned = read_json(sidecar(at(inputs, "image"))).get(SCANNED)
    with work_folder(params.settings.run.work_dir) as workdir:
        request = Request(
            params.image,
            image,
            inputs.get("brain") or Path("there is no brain mask"),
            tuple(seen["ThalamiCentreMm"]),
            params.method,
            workdir,
            path=at(inputs, "image"),
            settings=params.settings,
            labels=None if labels is None else np.asarray(load_labels(labels).dataobj),
            told=told,
            masks={key.removeprefix("mask "): labels_of(inputs, key) for key in inputs if key.startswith("mask ")},
            images={params.image: image, **images},
            box=seen.get("ThalamiBox") if of_reference else None,
            voxel_size=tuple(scanned) if scanned else None,
        )
        try:
            segmentation = method.segment(request)
        except ImageError as error:
            raise ImageError(error.problem, error.mend, error.path or at(inputs, "image")) from None
    common = {
        "SpatialReference": params.t1w_uri,
        "Sources": list(params.sources),
        "Manual": False,
        "Description": names.by_desc(params.desc).description,
        "Software": told.get("Software", list(trait(method, "software", params.settings))),
    } | dict(segmentation.metadata)
    sidecars = write_masks(segmentation.labels, image.affine, outputs, common)
    if "probability" in outputs and segmentation.probability is not None:
        save_image(segmentation.probability, image.affine, outputs["probability"], dtype=np.float32)
        sidecars["probability"] = common | {"Type": "ROI"}
    return Done(sidecars)
