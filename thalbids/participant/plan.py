"""The plan of a run: which steps each session needs, from its images, the methods and the settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import thalbids
from thalbids.bids.dictionaries import THALAMUS_MORPH
from thalbids.bids.outputs import sidecar, uri
from thalbids.engine.step import Step
from thalbids.methods.base import Method
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.stages import alignment, brains, masks, steps
from thalbids.participant.stages.siena import plan_siena, table_of
from thalbids.participant.stages.template import plan_template
from thalbids.registration.strategies import configured_for, note_on
from thalbids.settings import Settings
from thalbids.types import Session

REGISTERED = ("FLAIR", "R1map")
MINDGLIDE = ("device", "reorient", "keep_largest")  # settings of a tool that can change its result
DBSEGMENT = ("mode", "folds", "test_time_augmentation")


def plan(
    sessions: Sequence[Session],
    out_dir: Path,
    methods: Sequence[Method],
    settings: Settings,
    every: Sequence[Session] | None = None,
    runnable: Collection[str] | None = None,
    kept: Collection[str] = (),
) -> list[SubjectPlan]:
    """What a run does for each person.

    ``every`` holds all sessions of the people, also those that were not asked for: a participant's page shows what
    earlier runs plan of them. ``runnable`` are the families that are run where there is no result yet (None: all),
    ``kept`` those of earlier runs, which are looked up and not computed.
    """
    asked = {session.name for session in sessions}
    families = [method.family for method in methods] if runnable is None else runnable
    plans = []
    for label in dict.fromkeys(session.subject for session in sessions):
        named = [session for session in every or sessions if session.subject == label]
        own = [plan_session(one, out_dir, methods, settings, families, kept, alone=len(named) == 1) for one in named]
        own = [one for one in own if one.name in asked or one.qc.exists()]
        plans.append(plan_subject(SubjectPlan(label, out_dir, settings, own, asked)))
    return plans


def steps_of(subjects: Iterable[SubjectPlan]) -> list[Step]:
    """All steps of a run, each after those that it waits for."""
    return [step for subject in subjects for step in subject.all_steps]


def plan_subject(subject: SubjectPlan) -> SubjectPlan:
    """Add what looks at several sessions of a person, and the page."""
    if subject.settings.outputs.report:
        alignment.plan_alignments(subject)
    plan_siena(subject)
    if subject.settings.outputs.report:
        plan_report(subject)
    return subject


def plan_session(
    session: Session,
    out_dir: Path,
    methods: Sequence[Method],
    settings: Settings,
    runnable: Collection[str] | None = None,
    kept: Collection[str] = (),
    *,
    alone: bool = True,
) -> SessionPlan:
    """The steps of one session; ``runnable`` and ``kept`` as in :func:`plan`, ``alone``: there is no other session."""
    families = [method.family for method in methods] if runnable is None else runnable
    source = brains.source_of(session, settings, set(families) - set(kept))
    plan = SessionPlan(session, out_dir, settings, source, families, kept, alone)
    if not plan.usable:
        problem = session.problem or "there is no T1w image."
        params = {"Problem": problem, "Mend": ""}
        plan.add("inputs", steps.refuse, inputs={}, outputs={"none": plan.qc}, params=params)
        return plan
    anatomy(plan)
    brains.brain(plan, methods)
    for name in REGISTERED:
        register(plan, name)
    for method in sorted(methods, key=lambda m: len(masks.families(m, settings))):  # an envelope before what it cuts
        before = len(plan.steps)
        masks.segment(plan, method)
        masks.ensembles(plan, method)
        if method.family in kept:
            plan.steps[before:] = [replace(step, look_up=True) for step in plan.steps[before:]]
    order = [method.family for method in methods]
    plan.masks.sort(key=lambda mask: order.index(mask.family))  # stable: rows as the methods were chosen
    plan.masks += masks.unplanned(plan)
    brains.icv(plan)
    measures(plan)
    plan_template(plan)
    return plan


def anatomy(plan: SessionPlan) -> None:
    """The step that everything else of the session needs: T1w in order, SynThal's brain mask, where the thalami are."""
    t1w = plan.session.images["T1w"]
    params = {
        "Source": t1w.uri,
        "T1wUri": plan.t1w_uri,
        "SkullStripped": t1w.metadata.get("SkullStripped"),
        "Precision": plan.settings.run.precision,
        "Weights": _weights(),
    }
    plan.images["T1w"] = plan.brain_step = plan.add(
        "anatomy",
        steps.anatomy,
        inputs={"T1w": t1w.path},
        outputs={"T1w": plan.t1w, "brain": plan.seen_brain},
        params=params,
        memory_gb=plan.memory(1.5),
        version=5,  # says where the whole-head network sees each thalamus
    )
    plan.segmentable["T1w"] = plan.t1w


def register(plan: SessionPlan, name: str) -> None:
    """Bring FLAIR or R1 onto the T1w grid, or note that the session has none."""
    if name not in plan.session.images:
        plan.missing.append({"item": name, "reason": f"the session has no {name} image"})
        return
    image, settings = plan.session.images[name], plan.settings.registration
    strategies = configured_for(name, plan.settings)
    kind = name
    xfm = {"from_": kind, "to": "T1w", "mode": "image"}
    target = plan.path(kind, space="T1w", desc="preproc")
    transform = plan.path("xfm", ".txt", **xfm)
    params = {
        "Image": name,
        "Suffix": image.suffix,
        "Source": image.uri,
        "Units": image.metadata.get("Units"),
        "SkullStripped": image.metadata.get("SkullStripped"),
        **{key: image.metadata[key] for key in steps.COPIED if key in image.metadata},
        "T1wUri": plan.t1w_uri,
        "TransformUri": uri(plan.relative("xfm", ".txt", **xfm)),
        "Strategies": [s.name for s in strategies],
        "StrategiesNote": note_on(name, plan.settings),
        "Software": list(dict.fromkeys(s.software for s in strategies)),
        "Cutoffs": {s.name: s.cutoff for s in strategies},
        "Rule": settings.rule,
        "Bins": settings.bins,
        "BrainSource": plan.brain_source,
        "Seed": plan.settings.run.seed,
    }
    if image.problem:
        params = {"Problem": image.problem, "Mend": ""}
    done = plan.add(
        f"register {name}",
        steps.refuse if image.problem else steps.register,
        inputs={"image": None if image.problem else image.path, "T1w": plan.t1w, "brain": plan.brain},
        outputs={"image": target, "transform": transform},
        params=params,
        needs=tuple(dict.fromkeys((plan.images["T1w"], plan.brain_step))),
        record=plan.path("xfm", ".json", **xfm),
        memory_gb=plan.memory(2.0),
        machine=plan.settings,
        version=2,  # another rule of what is skull-stripped
    )
    plan.images[name], plan.segmentable[name] = done, target
    if name == "R1map":
        scale(plan, target)


def scale(plan: SessionPlan, r1: Path) -> None:
    """Scale the registered R1 map; what methods segment is the scaled map."""
    scaled = plan.path("R1map", space="T1w", desc="scaled")
    plan.images["R1map scaled"] = plan.add(
        "scale R1map",
        steps.scale_r1,
        inputs={"R1map": r1, "brain": plan.brain},
        outputs={"image": scaled},
        params={
            "Source": uri(plan.relative("R1map", space="T1w", desc="preproc")),
            "BrainUri": uri(plan.relative("mask", desc="brain")),
            "BrainSource": plan.brain_source,
            "T1wUri": plan.t1w_uri,
        },
        needs=tuple(dict.fromkeys((plan.images["R1map"], plan.brain_step))),
        memory_gb=plan.memory(1.0),
    )
    plan.segmentable["R1map"] = scaled


def measures(plan: SessionPlan) -> None:
    """Volume table and quality control, after everything else of the session and whatever became of it."""
    inputs: dict[str, Path] = {"brain": plan.brain, "icv": plan.icv}
    for mask in plan.masks:
        if mask.step is not None:
            dseg = plan.dseg(mask.desc)
            inputs |= {mask.desc: dseg, f"{mask.desc} sidecar": sidecar(dseg)}
    registered = [name for name in REGISTERED if name in plan.images]
    inputs |= {"image T1w": plan.t1w, "sidecar T1w": sidecar(plan.t1w)}
    for name in registered:
        inputs[f"image {name}"] = plan.registered(name)
        inputs[f"xfm{name}"] = plan.path("xfm", ".json", from_=name, to="T1w", mode="image")
    params = {
        "Subject": plan.session.subject,
        "Session": plan.session.session,
        "Methods": [mask.to_json() for mask in plan.masks],
        "Columns": list(THALAMUS_MORPH),
        "Dictionary": THALAMUS_MORPH,
        "Registered": registered,
        "Images": {
            name: {"source": plan.session.images[name].uri, "step": plan.images[name]} for name in ("T1w", *registered)
        },
        "Notes": [*plan.session.notes, *(f"{what}: {whence}" for what, whence in plan.origins.items())],
        "BrainSource": plan.brain_source,
        "Missing": plan.missing,
    }
    after = tuple(step.name for step in plan.steps)
    plan.add(
        "measures", steps.measures, inputs=inputs, outputs={"qc": plan.qc, "volumes": plan.volumes}, params=params,
        after=after, record=plan.qc, memory_gb=plan.memory(1.0),
    )  # fmt: skip


def plan_report(subject: SubjectPlan) -> None:
    """The page of one person, after everything else of all sessions and what looks at several of them."""
    change_table = table_of(subject)
    inputs: dict[str, Path] = {"whole-brain change": change_table}
    sessions: list[Mapping[str, Any]] = []
    for plan in subject.sessions:
        files = shown_files(plan, later=plan is not subject.sessions[0])
        inputs |= {f"{plan.name} {key}": path for key, path in files.items()}
        sessions.append(
            {
                "Name": plan.name,
                "Session": plan.session.session,
                "Files": {key: path.relative_to(subject.out_dir).as_posix() for key, path in files.items()},
                "Methods": [{"desc": m.desc, "image": m.image, "protocol": m.protocol} for m in plan.masks],
                "Steps": [step.name for step in plan.steps],
                "Problem": plan.session.problem or "",
            }
        )
    subject.add(
        "report",
        steps.report,
        subject.own[-1],
        inputs=inputs,
        outputs={"page": subject.out_dir / f"{subject.name}.html"},
        params={
            "Subject": subject.subject,
            "Sessions": sessions,
            "Change": change_table.relative_to(subject.out_dir).as_posix(),
            "Settings": result_settings(subject.settings),
            "Version": thalbids.__version__,
        },
        after=tuple(step.name for step in subject.all_steps),
        record=subject.out_dir / subject.name / "figures" / f"{subject.name}_report.json",
    )


def shown_files(plan: SessionPlan, *, later: bool) -> dict[str, Path]:
    """The files of a session that the page shows; ``later``: it is not the person's first."""
    files = {"qc": plan.qc, "volumes": plan.volumes, "icv": plan.icv, "T1w": plan.t1w, "brain": plan.brain}
    files |= {name: plan.registered(name) for name in REGISTERED if name in plan.images}
    if "R1map scaled" in plan.images:
        files["scaled R1map"] = plan.path("R1map", space="T1w", desc="scaled")
    if later:
        files["alignment"] = alignment.path_of(plan)
    return files | {mask.desc: plan.dseg(mask.desc) for mask in plan.masks if mask.step is not None}


def result_settings(settings: Settings) -> dict[str, Any]:
    """The settings that can change a result, for the report; how many processes ran is none of them."""
    tools = settings.tools
    return {
        "methods": list(settings.methods.names),
        "extra ensembles": list(settings.methods.extra_ensembles),
        "registration": {name: {s.name: s.cutoff for s in configured_for(name, settings)} for name in REGISTERED},
        "registration rule": settings.registration.rule,
        "mutual information bins": settings.registration.bins,
        "flip averaging": settings.synthal.flip_averaging,
        "brain mask": settings.brain.source,
        "MindGlide": {"envelope": settings.mindglide.envelope, **_named(tools.mindglide, MINDGLIDE)},
        "DBSegment": _named(tools.dbsegment, DBSEGMENT),
        "recon-all": _named(tools.freesurfer, ("hires",)),
        "precision": settings.run.precision,
        "seed": settings.run.seed,
    }


def _named(section: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(section, name) for name in names}


def _weights() -> str:
    from thalbids.methods.synthal import weights_checksum

    return weights_checksum()
