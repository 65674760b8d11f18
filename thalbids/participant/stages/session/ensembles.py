"""Ensembles of the masks that one family makes of several images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thalbids import families
from thalbids.bids.results import names
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.io import load_labels
from thalbids.methods.base import Method
from thalbids.participant.session import PlannedMask, SessionPlan, files_of
from thalbids.participant.stages.session import masks
from thalbids.participant.step_io import given, write_masks


@dataclass(frozen=True)
class EnsembleParams(Params):
    """``members``: the images whose masks are fused by the ``rule``; ``sources``: the URIs of these masks."""

    kind = "ensemble"
    members: tuple[str, ...]
    rule: str
    desc: str
    sources: tuple[str, ...]
    t1w_uri: str


def add_steps(plan: SessionPlan, method: Method) -> None:
    """The paper's four ensembles, and those beyond it that were asked for, as far as the method reads their images."""
    if len(method.images) < 2 or families.of(method.family).reads != families.ONE_IMAGE:
        return
    members = {mask.images[0]: mask for mask in plan.masks if mask.family == method.family and len(mask.images) == 1}
    for images in (images for images in names.ENSEMBLES if members.keys() >= set(images)):
        for rule in ("mean", *plan.settings.methods.extra_ensembles):
            if rule != "staple" or len(images) > 2:
                plan.masks.append(_planned(plan, masks.blank(plan, method, images, rule), rule, members))


def _planned(plan: SessionPlan, mask: PlannedMask, rule: str, members: Mapping[str, PlannedMask]) -> PlannedMask:
    """The ensemble with the step that makes it, or with the reason why it is missing."""
    images = mask.images
    descs = tuple(members[image].desc for image in images)
    lacking = [members[image] for image in images if members[image].step is None]
    if lacking:
        reason = lacking[0].reason
        if all(member.reason == f"the session has no {member.images[0]} image" for member in lacking):
            reason = f"the session has no {' and no '.join(member.images[0] for member in lacking)} image"
        return replace(mask, members=descs, reason=reason)
    dsegs = {image: plan.dseg(members[image].desc) for image in images}
    step = plan.add(
        mask.desc,
        ensemble,
        inputs=dsegs,
        outputs=files_of(plan, mask.desc),
        params=EnsembleParams(
            members=images,
            rule=rule,
            desc=mask.desc,
            sources=tuple(plan.uri_of(path) for path in dsegs.values()),
            t1w_uri=plan.t1w_uri,
        ),
        needs=tuple(step for image in images if (step := members[image].step)),
        memory_gb=plan.memory(1.0),
    )
    roots = [root for image in images for root in (*members[image].roots, members[image].step) if root]
    return replace(mask, members=descs, step=step, roots=tuple(dict.fromkeys(roots)))


@recorded_as("thalbids.pipeline.steps.ensemble")
def ensemble(inputs: Inputs, outputs: Outputs, params: EnsembleParams, upstream: Upstream) -> Done:
    """Several masks of one family fused into one."""
    from thalbids.methods.ensembles import THRESHOLD, fuse

    members = [load_labels(given(inputs, image)) for image in params.members]
    labels = fuse([np.asarray(m.dataobj) for m in members], params.rule)
    common: dict[str, Any] = {
        "SpatialReference": params.t1w_uri,
        "Sources": list(params.sources),
        "Manual": False,
        "Description": names.by_desc(params.desc).description,
        "EnsembleRule": params.rule,
        "EnsembleMembers": list(params.members),
    }
    if params.rule != "intersection":
        common["EnsembleThreshold"] = THRESHOLD
    return Done(write_masks(labels, members[0].affine, outputs, common))
