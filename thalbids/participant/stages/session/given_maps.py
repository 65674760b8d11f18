"""Quantitative maps that the user has (``--derivatives maps=PATH``): R1 of the session, others for the readout, B1+."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.bids.dataset import given_maps
from thalbids.bids.dataset.given_maps import GivenMap
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import MetadataError
from thalbids.image.grids import resample_to, same_grid
from thalbids.image.io import load_image, save_image
from thalbids.image.orientation import to_ras
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages.session.registration import RegistrationParams, params_of, register, transform_of
from thalbids.participant.step_io import RefusalParams, given, refuse, there

LOG = logging.getLogger(__name__)
R1 = ("R1map", "T1map")  # what becomes R1 of the session, the first that there is


@dataclass(frozen=True)
class GivenMapParams(Params):
    """``on_t1w``: the name says that the map lies on the T1w; ``registration``: how it is registered where it lies on
    no grid that is known.
    """

    kind = "given map"
    registration: RegistrationParams
    on_t1w: bool

    def to_json(self) -> dict[str, Any]:
        return {"OnT1w": self.on_t1w, **self.registration.to_json()}


def take(plan: SessionPlan) -> None:
    """Find the maps: R1 stands among the images of the session, B1+ among the raw ones, others wait for the readout."""
    root = plan.settings.inputs.derivatives.get(given_maps.NAME)
    if root is None:
        return
    try:
        usable, notes = given_maps.given_maps(root, plan.session)
        fields = given_maps.given_fields(root, plan.session)
    except MetadataError as error:
        usable, notes, fields = {}, [f"maps: {error.problem}"], ()
    images = dict(plan.session.images)
    name = next((name for name in R1 if name in usable), None)
    if name is not None:
        notes.append(f"R1map: {usable[name].image.path.name} of the given maps is used.")
        images["R1map"] = usable.pop(name).image
    elif not usable:
        notes.append("maps: none given for this session.")
    raw = plan.session.raw
    if fields and not plan.session.raw_images("TB1map"):
        notes.append(f"B1+: {fields[0].path.name} of the given maps is used.")
        raw = (*raw, *fields)
    for note in notes:
        LOG.info("%s: %s", plan.name, note)
    kept = [note for note in plan.session.notes if not ("R1map" in images and note == "R1map: none found.")]
    plan.session = replace(plan.session, images=images, raw=raw, notes=(*kept, *notes))
    plan.given_maps = usable


def add_steps(plan: SessionPlan) -> dict[str, tuple[str, Path]]:
    """The given maps on the T1w grid: step and file by name; none where one of the same name was fitted here."""
    steps = {}
    for name, one in plan.given_maps.items():
        if name in plan.fitted or name in plan.images:
            continue
        entities = {key: value for key, value in one.image.entities.items() if key in ("model", "param")}
        target = plan.path(one.image.suffix, **entities, space=plan.reference, desc="preproc")
        steps[name] = (_step(plan, one, target), target)
    return steps


def _step(plan: SessionPlan, one: GivenMap, target: Path) -> str:
    entities = {"from_": re.sub("[^0-9A-Za-z]", "", one.name), "to": plan.reference, "mode": "image"}
    inputs: dict[str, Path | None] = {"image": one.image.path, "T1w": plan.t1w, "brain": plan.brain}
    inputs["raw T1w"] = plan.session.images[plan.reference].path
    after: tuple[str, ...] = ()
    if "R1map" in plan.images:
        inputs |= {"R1map": plan.session.images["R1map"].path, "R1map transform": transform_of(plan, "R1map")}
        after = (plan.images["R1map"],)
    refused = RefusalParams(one.image.problem)
    on_t1w = one.on_t1w and plan.reference == "T1w"
    return plan.add(
        f"read {one.name}",
        refuse if one.image.problem else bring,
        inputs={} if one.image.problem else inputs,
        outputs={"image": target, "transform": plan.path("xfm", ".txt", **entities)},
        params=refused if one.image.problem else GivenMapParams(params_of(plan, one.name, one.image), on_t1w),
        needs=tuple(dict.fromkeys((plan.anatomy, plan.brain_step))),
        after=after,
        record=plan.path("xfm", ".json", **entities),
        memory_gb=plan.memory(2.0),
        optional=("transform",),
    )


@recorded_as("thalbids.qmri.bring")
def bring(inputs: Inputs, outputs: Outputs, params: GivenMapParams, upstream: Upstream) -> Done:
    """A given map on the T1w grid: where its header says, by the transform of R1, or registered as FLAIR is."""
    registration = params.registration
    t1w = load_image(given(inputs, "T1w"))
    loaded = load_image(given(inputs, "image"))
    place, matrix = _place(loaded, inputs, on_t1w=params.on_t1w)
    if place is None:
        return register(inputs, outputs, registration, upstream)
    moving, _ = to_ras(loaded)
    save_image(
        np.asarray(resample_to(moving, t1w, matrix=matrix).dataobj), t1w.affine, outputs["image"], dtype=np.float32
    )
    told = {
        "Units": str(registration.units or "arbitrary"),
        "Sources": [registration.source, registration.t1w_uri],
        "SpatialReference": registration.t1w_uri,
        "SkullStripped": False,
        "Description": f"{registration.image} on the grid of the T1w, {place}, linear interpolation.",
    }
    return Done(
        {"image": told, "record": {"Image": registration.image, "Sources": [registration.source], "Place": place}}
    )


def _place(image: nib.Nifti1Image, inputs: Inputs, *, on_t1w: bool) -> tuple[str | None, np.ndarray | None]:
    """In words how a map lies on the T1w, and RAS+ mm of the T1w to RAS+ mm of the map; None where nobody knows."""
    if on_t1w or same_grid(image, load_image(given(inputs, "raw T1w"))):
        return "where its header says", None
    from thalbids.registration.transforms import read_itk

    transform, r1 = there(inputs, "R1map transform"), there(inputs, "R1map")
    if transform is not None and r1 is not None and same_grid(image, load_image(r1)):
        return "by the transform of the R1 map, whose grid it has", read_itk(transform)
    return None, None
