"""The page of one person, after everything else of all sessions and what looks at several of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import thalbids
from thalbids import families
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.methods.base import own_settings, trait
from thalbids.participant.reporting import PROBABILITY, PageParams, PageSession, ShownMask, write
from thalbids.participant.session import REGISTERED, SessionPlan, SubjectPlan, below
from thalbids.participant.stages.person import alignment, change, siena
from thalbids.registration.strategies import configured_for
from thalbids.settings import Settings


def add_steps(subject: SubjectPlan) -> None:
    """One step for the page."""
    whole_brain, pairs = siena.table_of(subject), change.table_of(subject)
    inputs: dict[str, Path] = {"whole-brain change": whole_brain, "change": pairs}
    sessions = []
    for plan in subject.sessions:
        files = shown_files(plan, subject.first or plan)
        inputs |= {f"{plan.name} {key}": path for key, path in files.items()}
        sessions.append(
            PageSession(
                name=plan.name,
                session=plan.session.session,
                files={key: below(subject.out_dir, path) for key, path in files.items()},
                methods=tuple(ShownMask(mask.desc, mask.image, mask.protocol) for mask in plan.masks),
                steps=_steps_of(plan),
                problem=plan.session.problem or "",
                norms=subject.norms.get(plan.name, ()),
            )
        )
    subject.add(
        "report",
        report,
        subject.own[-1],
        inputs=inputs,
        outputs={"page": subject.out_dir / f"{subject.name}.html"},
        params=PageParams(
            subject=subject.subject,
            sessions=tuple(sessions),
            change=below(subject.out_dir, whole_brain),
            pairs=below(subject.out_dir, pairs),
            settings=subject.shared.of(subject.settings, result_settings),
            version=str(thalbids.__version__),
        ),
        after=tuple(step.name for step in subject.all_steps),
        memory_gb=1.5,  # 1.03 at two visits of 256 x 256 x 256 voxels
        record=subject.out_dir / subject.name / "figures" / f"{subject.name}_report.json",
        version=14,  # why two visits cannot be compared, beside their volumes
    )


def _steps_of(plan: SessionPlan) -> tuple[str, ...]:
    """The steps of a session, and those of several sessions that its masks come from: the page tells their failures."""
    roots = (root for mask in plan.masks for root in mask.roots)
    return tuple(dict.fromkeys([*(step.name for step in plan.steps), *roots]))


def shown_files(plan: SessionPlan, first: SessionPlan) -> dict[str, Path]:
    """The files of a session that the page shows; ``first``: the person's first session with an image."""
    files = {"qc": plan.qc, "volumes": plan.volumes, "icv": plan.icv, "T1w": plan.t1w, "brain": plan.brain}
    files |= {name: plan.registered(name) for name in plan.others}
    if "R1map scaled" in plan.images:
        files["scaled R1map"] = plan.segmentable["R1map"]
    if plan.maps:
        files |= {"map quality": plan.maps_qc, "maps in masks": plan.readout}
        files |= {f"map {name}": path for name, path in plan.maps.items()}
    if plan is not first:
        files["alignment"] = alignment.path_of(plan, first)
    files |= {f"{PROBABILITY}{desc}": path for desc, path in probabilities(plan).items()}
    return files | {mask.desc: plan.dseg(mask.desc) for mask in plan.masks if mask.step is not None}


def probabilities(plan: SessionPlan) -> dict[str, Path]:
    """The probability maps that this session's steps make (SynThal's, SAMSEG's posterior), by the mask's label."""
    written = [path for step in plan.steps for path in step.outputs.values() if path.name.endswith("_probseg.nii.gz")]
    if not written:
        return {}
    outputs = {str(path): path for path in written}
    entities = {"space": plan.reference, "label": "thalamus"}
    names = {mask.desc: plan.relative("probseg", desc=mask.desc, **entities) for mask in plan.masks}
    return {desc: outputs[path] for desc, name in names.items() if (path := f"{plan.out_dir}/{name}") in outputs}


def result_settings(settings: Settings) -> dict[str, Any]:
    """The settings that can change a result, for the report; how many processes ran is none of them."""
    by_method: dict[str, Any] = {}
    for method in families.methods().values():
        by_method |= trait(method, "shown_settings", own_settings(method, settings))
    return {
        "methods": list(settings.methods.names),
        "extra ensembles": list(settings.methods.extra_ensembles),
        "registration": {name: {s.name: s.cutoff for s in configured_for(name, settings)} for name in REGISTERED},
        "registration rule": settings.registration.rule,
        "mutual information bins": settings.registration.bins,
        "brain mask": settings.brain.source,
        **by_method,
        "precision": settings.run.precision,
        "seed": settings.run.seed,
    }


@recorded_as("thalbids.pipeline.steps.report")
def report(inputs: Inputs, outputs: Outputs, params: PageParams, upstream: Upstream) -> Done:
    """The page of one person."""
    from thalbids.engine.lock import shared_files

    out_dir = outputs["page"].parent
    folder = out_dir / f"sub-{params.subject}" / "figures"
    with shared_files(out_dir, f"sub-{params.subject}"):  # jobs on different sessions of one person write the same page
        for old in folder.glob("sub-*_thalamus.svg"):
            old.unlink()
        figures = write(outputs["page"], params, upstream)
    shown = [{"Session": session.session, "Problem": session.problem} for session in params.sessions]
    written = sorted(path.name for path in figures if path != outputs["page"])
    return Done({"record": {"Figures": written, "Sessions": shown}})
