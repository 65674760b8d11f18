"""The plan of a run, top to bottom as the flow in ``docs/architecture.md``; what each stage does is in its own file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from thalbids.bids.results.norms import Norm
from thalbids.engine.step import Step
from thalbids.families import SEVERAL_SESSIONS, of
from thalbids.methods.base import Method
from thalbids.participant.dates import Years
from thalbids.participant.session import REGISTERED, SessionPlan, Shared, SubjectPlan
from thalbids.participant.stages.person import alignment, change, page, siena, together, visits
from thalbids.participant.stages.session import (
    anatomy,
    brain,
    ensembles,
    given_maps,
    icv,
    masks,
    measures,
    microstructure,
    r1,
    registration,
    relaxometry,
    template,
)
from thalbids.participant.step_io import RefusalParams, refuse
from thalbids.raters.ratings import RatersVerdict
from thalbids.settings import Settings
from thalbids.types import Session


def plan(
    sessions: Sequence[Session],
    out_dir: Path,
    methods: Sequence[Method],
    settings: Settings,
    every: Sequence[Session] | None = None,
    runnable: Collection[str] | None = None,
    kept: Collection[str] = (),
    years: Years | None = None,
    norms: Mapping[str, tuple[Norm, ...]] | None = None,
) -> Iterator[SubjectPlan]:
    """What a run does for each person, planned when it is asked for.

    ``every`` holds all sessions of the people, also those that were not asked for: a participant's page shows what
    earlier runs made of them. ``runnable`` are the families that are run where there is no result yet (None: all),
    ``kept`` those of earlier runs, which are looked up and not computed; ``years``: when the visits were; ``norms``:
    what an earlier group level says of each session's volumes.
    """
    asked = {session.name for session in sessions}
    families = [method.family for method in methods] if runnable is None else runnable
    of_subject: dict[str, list[Session]] = {}
    for session in every or sessions:
        of_subject.setdefault(session.subject, []).append(session)
    shared = Shared()
    for label in dict.fromkeys(session.subject for session in sessions):
        named = of_subject.get(label, [])
        plans = [
            begin_session(one, out_dir, methods, settings, families, kept, alone=len(named) == 1, shared=shared)
            for one in named
        ]
        complete = all(session.name in asked for session in named)
        plans = [one for one in plans if one.name in asked or one.qc.exists()]
        when = (years or {}).get(label, {})
        subject = SubjectPlan(
            label, out_dir, settings, plans, asked, complete, years=when, norms=norms or {}, shared=shared
        )
        yield plan_subject(subject, methods)


def plan_subject(subject: SubjectPlan, methods: Sequence[Method]) -> SubjectPlan:
    """Add the masks of several sessions together, the end of each session, what compares sessions, and the page."""
    for method in methods:
        if of(method.family).reads == SEVERAL_SESSIONS:
            together.add_steps(subject, method)
    for plan in subject.sessions:
        end_session(plan, methods)
    visits.add_steps(subject)
    alignment.add_steps(subject)
    siena.add_steps(subject)
    change.add_steps(subject)
    if subject.settings.outputs.report:
        page.add_steps(subject)
    return subject


def begin_session(
    session: Session,
    out_dir: Path,
    methods: Sequence[Method],
    settings: Settings,
    runnable: Collection[str] | None = None,
    kept: Collection[str] = (),
    *,
    alone: bool = True,
    shared: Shared | None = None,
) -> SessionPlan:
    """A session up to its masks; ``runnable`` and ``kept`` as in :func:`plan`, ``alone``: there is no other session."""
    families = [method.family for method in methods] if runnable is None else runnable
    source = brain.source_of(
        session, settings.brain.source, settings.inputs.derivatives.get(brain.GIVEN), set(families) - set(kept)
    )
    plan = SessionPlan(session, out_dir, settings, source, families, kept, alone, shared=shared or Shared())
    if not plan.usable:
        params = RefusalParams(session.problem or "there is no image to measure on.")
        plan.add("inputs", refuse, inputs={}, outputs={"none": plan.qc}, params=params)
        return plan
    anatomy.add_steps(plan)
    brain.add_steps(plan, methods)
    given_maps.take(plan)
    relaxometry.add_steps(plan)
    for image in REGISTERED:
        registration.add_steps(plan, image)
    r1.add_steps(plan)
    plan_masks(plan, methods)
    return plan


def end_session(plan: SessionPlan, methods: Sequence[Method]) -> SessionPlan:
    """A session from its masks on; rows in the order in which methods were chosen."""
    if not plan.usable:
        return plan
    order = [method.family for method in methods]
    plan.masks.sort(key=lambda mask: order.index(mask.family))
    plan.masks += masks.unplanned(plan)
    microstructure.add_steps(plan)
    icv.add_steps(plan)
    measures.add_steps(plan)
    template.add_steps(plan)
    return plan


def plan_masks(plan: SessionPlan, methods: Sequence[Method]) -> None:
    """The masks of every method that reads this session alone, an envelope before what it cuts."""
    of_one_session = [method for method in methods if of(method.family).reads != SEVERAL_SESSIONS]
    for method in sorted(of_one_session, key=lambda method: len(plan.once(masks.families, method))):
        before = len(plan.steps)
        masks.add_steps(plan, method)
        ensembles.add_steps(plan, method)
        if method.family in plan.kept:
            plan.steps[before:] = [replace(step, look_up=True) for step in plan.steps[before:]]


def steps_of(subjects: Iterable[SubjectPlan]) -> list[Step]:
    """All steps of a run, each after those that it waits for."""
    return [step for subject in subjects for step in subject.all_steps]


RATED = {registration.RegistrationParams.kind: registration.rated, measures.MeasuresParams.kind: measures.rated}


def rated(steps: Iterable[Step], verdicts: Mapping[str, Sequence[RatersVerdict]]) -> list[Step]:
    """The steps with what raters failed among their parameters; ``verdicts`` by session."""
    return [
        RATED[step.kind](step, verdicts[step.session]) if step.session in verdicts and step.kind in RATED else step
        for step in steps
    ]
