"""Thalamus masks that the user has (``--derivatives``), on the T1w grid by their header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thalbids import families
from thalbids.bids.dataset import existing
from thalbids.bids.results import names
from thalbids.bids.results.outputs import read_json, sidecar
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import ThalbidsError
from thalbids.image.io import load_image, load_labels
from thalbids.methods import given as elsewhere
from thalbids.participant.session import PlannedMask, SessionPlan, files_of
from thalbids.participant.step_io import RefusalParams, given, refuse, write_masks


@dataclass(frozen=True)
class GivenMaskParams(Params):
    """``source``: the file's URI; ``labelled``: whether it tells left from right."""

    kind = "given mask"
    desc: str
    source: str
    labelled: bool
    t1w_uri: str
    protocol: str


def given_results(places: Mapping[str, Path], family: str, desc: str) -> dict[str, Path]:
    """The ``--derivatives`` that may hold a mask of this name: by its own name first, then by its family."""
    names_of = {key.lower(): key for key in places}
    keys = [names_of[name] for name in (desc.lower(), family.lower()) if name in names_of]
    return {key: places[key] for key in dict.fromkeys(keys)}


def taken(plan: SessionPlan, mask: PlannedMask) -> PlannedMask | None:
    """The mask with the step that takes one that exists; None when there is none for this session.

    Raises
    ------
    ThalbidsError
        What exists cannot be used.
    """
    several = not families.of(mask.family).single
    for key, root in given_results(plan.settings.inputs.derivatives, mask.family, mask.desc).items():
        exact = several and key != mask.desc
        existing_mask = existing.thalamus_mask(key, root, plan.session, desc=mask.desc, exact=exact)
        if existing_mask is not None:
            plan.origins[mask.desc] = f"given, {existing_mask.uri}"
            return replace(mask, step=_add(plan, mask, existing_mask), roots=(plan.anatomy,))
    return None


def refused(plan: SessionPlan, mask: PlannedMask, error: ThalbidsError) -> PlannedMask:
    """The mask with the step that says why it cannot be had."""
    step = plan.add(
        mask.desc,
        refuse,
        inputs={},
        outputs=files_of(plan, mask.desc),
        params=RefusalParams(error.problem, error.mend),
        needs=(plan.anatomy,),
    )
    return replace(mask, step=step, roots=(plan.anatomy,))


def _add(plan: SessionPlan, mask: PlannedMask, existing_mask: existing.GivenMask) -> str:
    told = sidecar(existing_mask.path)
    return plan.add(
        mask.desc,
        given_mask,
        inputs={
            "mask": existing_mask.path, "told": told if told.exists() else None,
            "raw": plan.session.images[plan.reference].path,
            "T1w": plan.t1w, "seen": sidecar(plan.t1w), "brain": plan.seen_brain,
        },
        outputs=files_of(plan, mask.desc),
        params=GivenMaskParams(mask.desc, existing_mask.uri, existing_mask.labelled, plan.t1w_uri, mask.protocol),
        needs=(plan.anatomy,),
        memory_gb=plan.memory(1.0),
    )  # fmt: skip


@recorded_as("thalbids.pipeline.mask_steps.given_mask")
def given_mask(inputs: Inputs, outputs: Outputs, params: GivenMaskParams, upstream: Upstream) -> Done:
    """A thalamus mask that the user has, brought to the T1w grid."""
    path, t1w = given(inputs, "mask"), load_image(given(inputs, "T1w"))
    data, notes = elsewhere.on_grid(path, given(inputs, "raw"), t1w)
    centre = read_json(given(inputs, "seen"))["ThalamiCentreMm"]
    labels = elsewhere.thalamus_of(data, params.labelled, t1w.affine, centre, path)
    inside = elsewhere.check_in_brain(labels, np.asarray(load_labels(given(inputs, "brain")).dataobj), path)
    told = read_json(given(inputs, "told")) if inputs["told"] is not None else {}
    common = {
        "SpatialReference": params.t1w_uri,
        "Sources": [params.source],
        "Manual": told.get("Manual") is True,
        "Description": f"{names.by_desc(params.desc).description} Supplied by the user.",
        "Protocol": params.protocol,
        "Given": True,
        "Sides": "labels of the file" if len(np.unique(data)) > 2 else "split at the midline",
        "InBrainFraction": inside,
        "Notes": notes,
    }
    return Done(write_masks(labels, t1w.affine, outputs, common))
