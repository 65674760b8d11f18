"""The quality control of a session learns of the person's other visits: how they were acquired, the skull's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from thalbids.bids.results.outputs import sidecar
from thalbids.participant.session import PlannedMask, SessionPlan, SubjectPlan
from thalbids.participant.stages.session.measures import MeasuresParams, VisitAcquisition


def add_steps(subject: SubjectPlan) -> None:
    """No step of its own: the measures of each asked session wait for the T1w of the others and read what it tells."""
    if len(subject.usable) < 2:
        return
    for plan in subject.usable:
        if plan.name in subject.asked:
            _tell(subject, plan)


def _tell(subject: SubjectPlan, plan: SessionPlan) -> None:
    others = [other for other in subject.usable if other is not plan]
    masks = {other.name: [mask for mask in other.masks if mask.step is not None] for other in others}
    visit = _visit(plan, f"sidecar {plan.reference}", {})
    told = (visit, *(_visit(other, f"visit {other.name}", _keys(other, masks[other.name])) for other in others))
    files = {f"visit {other.name}": sidecar(other.t1w) for other in others}
    for other in others:
        keys = _keys(other, masks[other.name])
        files |= {keys[mask.desc]: sidecar(other.dseg(mask.desc)) for mask in masks[other.name]}
    steps = [mask.step for other in others if other.name in subject.asked for mask in masks[other.name] if mask.step]
    for number, step in enumerate(plan.steps):
        if isinstance(step.params, MeasuresParams):
            plan.steps[number] = replace(
                step,
                inputs={**step.inputs, **files},
                params=replace(step.params, visits=told),
                after=tuple(dict.fromkeys((*step.after, *subject.needs(*others), *steps))),
            )


def _keys(plan: SessionPlan, masks: Sequence[PlannedMask]) -> dict[str, str]:
    """The inputs that hold the sidecars of a visit's masks, by their labels."""
    return {mask.desc: f"visit {plan.name} {mask.desc}" for mask in masks}


def _visit(plan: SessionPlan, key: str, masks: Mapping[str, str]) -> VisitAcquisition:
    images = {name: plan.acquired(name) for name in plan.session.images if name in plan.images}
    return VisitAcquisition(plan.session.session or "without a label", images, key, masks)
