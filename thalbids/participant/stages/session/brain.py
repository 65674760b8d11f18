"""The brain mask of a session, where it is another than the embedded method's: a tool's, or one that the user has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids import families
from thalbids.bids.dataset import existing
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import ImageError, MetadataError, ThalbidsError
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.image.overlap import counts, dice
from thalbids.methods import given as elsewhere
from thalbids.methods.base import Method
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages.session import label_maps
from thalbids.participant.step_io import RefusalParams, given, image_of, refuse
from thalbids.types import Session

GIVEN = "brain"  # the name in --derivatives
MIN_DICE = 0.7  # with the embedded brain mask; below, one of the two is of another head or another structure


@dataclass(frozen=True)
class BrainParams(Params):
    """``source`` is a family or ``given``."""

    kind = "brain"
    source: str
    t1w_uri: str
    sources: tuple[str, ...]


def source_of(session: Session, source: str, given: Path | None, able: Collection[str]) -> str:
    """Whose brain mask a session gets: that of a family, or ``given``.

    ``source`` is that of ``[brain]``, ``given`` the dataset of given brain masks. ``auto`` takes a given one, else that
    of the first family among ``able`` (those that this run computes) whose brain mask is good enough, else the embedded
    one.
    """
    if source != "auto":
        return source
    if given is not None and _given(session, given) is not None:
        return "given"
    if "T1w" not in session.images:  # what the others read
        return families.embedded()
    return next((family for family in families.with_brain_mask("auto") if family in able), families.embedded())


def _given(session: Session, place: Path) -> existing.GivenMask | str | None:
    """The given brain mask, why it cannot be taken, or None."""
    try:
        return existing.brain_mask(GIVEN, place, session)
    except MetadataError as error:
        return f"{error.problem} {error.mend}"


def add_steps(plan: SessionPlan, methods: Sequence[Method]) -> None:
    """The step that makes the brain mask when it is not the embedded one."""
    embedded = families.of(families.embedded())
    plan.origins["brain mask"] = embedded.label if plan.brain_source == embedded.family else plan.brain_source
    if plan.brain_source == embedded.family:
        return
    if plan.brain_source == "given":
        _take(plan)
        return
    if plan.reference != "T1w":
        _refuse(plan, f"the session has no T1w image to take the brain mask of {plan.brain_source} from.")
        return
    method = next((m for m in methods if m.family == plan.brain_source), None)
    try:
        there = method is not None and (label_maps.has_results(plan, method) or plan.brain_source in plan.runnable)
    except ThalbidsError as error:
        _refuse(plan, error.problem)
        return
    if method is None or not there:
        _refuse(plan, f"there is no result of {plan.brain_source} for {plan.name} to take the brain mask from.")
        return
    maps = label_maps.add_label_maps(plan, method, ["T1w"])
    labels = label_maps.label_map(plan, method.family, "T1w")
    _add(plan, {"labels": labels}, plan.uri_of(labels), maps)


def _take(plan: SessionPlan) -> None:
    """The brain mask that the user has."""
    mask = _given(plan.session, plan.settings.inputs.derivatives[GIVEN])
    if not isinstance(mask, existing.GivenMask):
        _refuse(plan, mask or f"there is no brain mask for {plan.name} in the given results.")
        return
    plan.origins["brain mask"] = f"given, {mask.uri}"
    _add(plan, {"mask": mask.path, "raw": plan.session.images[plan.reference].path}, mask.uri)


def _add(plan: SessionPlan, inputs: dict[str, Path], source: str, *needs: str) -> None:
    plan.brain_step = plan.add(
        "brain",
        brain,
        inputs={"T1w": plan.t1w, "seen": plan.seen_brain, **inputs},
        outputs={"brain": plan.brain},
        params=BrainParams(plan.brain_source, plan.t1w_uri, (source,)),
        needs=(plan.anatomy, *needs),
        memory_gb=plan.memory(1.0),
    )


def _refuse(plan: SessionPlan, problem: str) -> None:
    params = RefusalParams(problem, "Give one, or choose another [brain] source.")
    plan.brain_step = plan.add(
        "brain", refuse, inputs={}, outputs={"brain": plan.brain}, params=params, needs=(plan.anatomy,)
    )


@recorded_as("thalbids.pipeline.mask_steps.brain")
def brain(inputs: Inputs, outputs: Outputs, params: BrainParams, upstream: Upstream) -> Done:
    """The brain mask from a tool's label map, or one that the user has, checked against the embedded one."""
    from thalbids.methods.registry import methods

    t1w = load_image(given(inputs, "T1w"))
    notes: list[str] = []
    if params.source == "given":
        path = given(inputs, "mask")
        data, notes = elsewhere.on_grid(path, given(inputs, "raw"), t1w)
        mask = data != 0
    else:
        path = given(inputs, "labels")
        method: Any = methods()[params.source]
        mask = method.brain(np.asarray(load_labels(path).dataobj), t1w.affine)
    seen = np.asarray(load_labels(given(inputs, "seen")).dataobj) != 0
    agreement = dice(counts(reference=seen, prediction=mask))
    if not agreement >= MIN_DICE:
        image = image_of(params.t1w_uri)
        problem = f"the brain mask of {params.source} is not on the brain of this {image} (Dice {agreement:.2f})."
        raise ImageError(problem, "Look at both: is it of this person and session, in that image's space?", path)
    save_image(mask, t1w.affine, outputs["brain"], dtype=np.uint8)
    source = "Supplied by the user" if params.source == "given" else f"By {params.source}"
    return Done(
        {
            "brain": {
                "Type": "Brain",
                "Manual": False,
                "Sources": list(params.sources),
                "SpatialReference": params.t1w_uri,
                "Description": f"Brain. {source}.",
                "BrainSource": params.source,
                "DiceWithSynthal": agreement,
                "Notes": notes,
            }
        }
    )
