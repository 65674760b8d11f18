"""Whole-brain change between the sessions of one participant: SIENA's steps, or values that already exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalbids.bids.results.dictionaries import SIENA_COLUMNS, SIENA_MORPH
from thalbids.bids.results.outputs import read_json, sidecar, write_json, write_table
from thalbids.bids.tabular.pbvc import read_given
from thalbids.engine.params import LOCAL, Params
from thalbids.engine.step import Done, Inputs, Outputs, StepResult, Upstream, recorded_as
from thalbids.errors import ImageError, MetadataError, ThalbidsError
from thalbids.methods.programmed import told
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.step_io import given, image_of
from thalbids.programs import FslSettings
from thalbids.scratch import scratch
from thalbids.settings import Settings, Siena
from thalbids.tools import fsl, siena
from thalbids.types import tool_entry


@dataclass(frozen=True)
class SienaPairParams(Params):
    """``options``: SIENA's own; ``software``: what ran; ``pair``: ``ses-`` labels, the earlier session first."""

    kind = "SIENA pair"
    options: Any
    software: tuple[Mapping[str, str], ...]
    sources: tuple[str, ...]
    pair: tuple[str, str]
    program: FslSettings = field(default_factory=FslSettings, metadata=LOCAL)
    work_dir: Path | None = field(default=None, metadata=LOCAL)


@dataclass(frozen=True)
class SienaTableParams(Params):
    """``source``: ``table``, ``directory`` or ``siena``; ``pairs``: labels of sessions; ``steps``: the step of each
    pair that SIENA is run on, by both labels.
    """

    kind = "SIENA table"
    subject: str
    source: str
    pairs: tuple[tuple[str, str], ...]
    steps: Mapping[str, str]
    sources: tuple[str, ...]
    dictionary: Mapping[str, Any]


def check(asked: Siena, program: FslSettings) -> str:
    """What will be done about whole-brain change, in a sentence; to be called before a run.

    Raises
    ------
    UsageError, MissingToolError
        A table and a folder are both given; SIENA is asked for and not installed; a given table cannot be read.
    """
    if asked.table is not None:
        read_given(asked.table)
        return "whole-brain change: read from the given table"
    if asked.directory is not None:
        if not asked.directory.is_dir():
            raise MetadataError(
                "The folder of SIENA results is not there.", "Check [siena] directory.", asked.directory
            )
        return "whole-brain change: read from existing SIENA results"
    if asked.run == "no":
        return "whole-brain change: not wanted"
    siena.command(program.siena_options)
    if asked.run == "yes":
        fsl.required("siena", program)
    elif fsl.missing("siena", program) is not None:
        return "whole-brain change: not measured, FSL's SIENA is not installed"
    return "whole-brain change: by FSL's SIENA, for participants with two sessions or more"


def source_of(asked: Siena, program: FslSettings) -> str | None:
    """``table``, ``directory`` or ``siena``; None when there is nothing to do."""
    if asked.table is not None:
        return "table"
    if asked.directory is not None:
        return "directory"
    if asked.run == "no":
        return None
    if asked.run == "auto" and fsl.missing("siena", program) is not None:
        return None
    return "siena"


def _source(settings: Settings) -> str | None:
    return source_of(settings.siena, settings.of(FslSettings))


def add_steps(subject: SubjectPlan) -> None:
    """The steps of one person: one for each pair of sessions, and the table of all pairs."""
    source = subject.shared.of(subject.settings, _source)
    pairs = subject.pairs(subject.settings.siena.pairs)
    touched = [plan for plan in subject.own if plan.usable and plan.session.session is not None]
    if source is None or not pairs or not touched:
        return
    inputs: dict[str, Path | None] = {}
    steps: dict[str, str] = {}
    for baseline, followup in pairs:
        key = f"{baseline.session.session} {followup.session.session}"
        if source == "siena":
            steps[key], inputs[key] = _plan_pair(subject, baseline, followup, touched[-1])
        elif source == "directory":
            labels = str(baseline.session.session), str(followup.session.session)
            inputs[key] = report_in(subject.settings.siena.directory, subject.subject, *labels)
    if source == "table":
        inputs["table"] = subject.settings.siena.table
    subject.add(
        "siena",
        siena_table,
        touched[-1],
        inputs=inputs,
        outputs={"table": table_of(subject)},
        params=SienaTableParams(
            subject=subject.subject,
            source=source,
            pairs=tuple((str(first.session.session), str(second.session.session)) for first, second in pairs),
            steps=steps,
            sources=tuple(touched[-1].uri_of(path) for key in steps if (path := inputs[key])),
            dictionary=SIENA_MORPH,
        ),
        after=tuple(steps.values()),
    )


def table_of(subject: SubjectPlan) -> Path:
    """The table of all pairs of a person."""
    return subject.file("desc-siena_morph.tsv")


def _plan_pair(
    subject: SubjectPlan, baseline: SessionPlan, followup: SessionPlan, last: SessionPlan
) -> tuple[str, Path]:
    """The step that runs SIENA on a pair, and its record."""
    first, second = baseline.session.session, followup.session.session
    path = subject.file(f"from-{first}_to-{second}_desc-siena_qc.json")
    program = subject.settings.of(FslSettings)
    step = subject.add(
        f"siena ses-{first} to ses-{second}",
        siena_pair,
        last,
        inputs={
            "baseline": baseline.t1w,
            "followup": followup.t1w,
            "baseline sidecar": sidecar(baseline.t1w),
            "followup sidecar": sidecar(followup.t1w),
        },
        outputs={"qc": path},
        params=SienaPairParams(
            options=told(program.siena_options),
            software=(tool_entry(fsl.version("siena", program)),),
            sources=(baseline.t1w_uri, followup.t1w_uri),
            pair=(f"ses-{first}", f"ses-{second}"),
            program=program,
            work_dir=subject.settings.run.work_dir,
        ),
        needs=subject.needs(baseline, followup),
        memory_gb=2.0,
        record=path,
    )
    return step.name, path


@recorded_as("thalbids.pipeline.siena.siena_pair")
def siena_pair(inputs: Inputs, outputs: Outputs, params: SienaPairParams, upstream: Upstream) -> Done:
    """SIENA between two sessions; its QC file holds the result."""
    if any(image_of(source) != "T1w" for source in params.sources):
        raise ImageError("SIENA needs a T1w image in both sessions, and one of them has none.")
    scans = {}
    for role in ("baseline", "followup"):
        path = given(inputs, role)
        if read_json(sidecar(path)).get("SkullStripped"):
            raise ImageError("SIENA needs the skull, and this T1w image is skull-stripped.", "", path)
        scans[role] = path
    with scratch("siena", params.work_dir) as folder:
        result = siena.run(scans["baseline"], scans["followup"], folder, params.program)
    write_json(outputs["qc"], result.to_json() | params.to_json())
    return Done()


@recorded_as("thalbids.pipeline.siena.siena_table")
def siena_table(inputs: Inputs, outputs: Outputs, params: SienaTableParams, upstream: Upstream) -> Done:
    """The table of all pairs of a participant, whatever became of them."""
    rows = []
    for first, second in params.pairs:
        pair = f"{first} {second}"
        row = {
            "session_id_baseline": f"ses-{first}",
            "session_id_followup": f"ses-{second}",
            "source": params.source,
        }
        path = inputs.get("table" if params.source == "table" else pair)
        try:
            if params.source == "table":
                assert path is not None
                row |= given_row(path, params.subject, first, second)
            elif params.source == "directory":
                if path is None:
                    raise siena.SienaError(
                        f"There is no SIENA result, or there are several, for ses-{first} to ses-{second}."
                    )
                row |= judged(siena.read(path.parent).to_json())
            else:
                row |= made_row(upstream[params.steps[pair]], path)
        except ThalbidsError as error:
            row |= {"status": "failed", "reason": error.problem}
        rows.append(row)
    write_table(outputs["table"], rows, SIENA_COLUMNS)
    return Done({"table": params.dictionary})


def made_row(result: StepResult, path: Path | None) -> dict[str, Any]:
    """A pair that SIENA was run on."""
    if not result.usable:
        return {"status": "failed", "reason": result.reason}
    assert path is not None
    return judged(read_json(path))


def judged(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result that failed a check is excluded, and keeps its number."""
    faults = list(result["Faults"])
    return {
        "pbvc": result["Pbvc"],
        "status": "excluded" if faults else "ok",
        "reason": "; ".join([*faults, *result["Warnings"]]) or None,
    }


def given_row(table: Path, subject: str, first: str, second: str) -> dict[str, Any]:
    """A pair of a given table."""
    given = read_given(table).get((f"sub-{subject}", f"ses-{first}", f"ses-{second}"))
    if given is None:
        return {"status": "missing", "reason": "not in the given table"}
    value = {} if math.isnan(given.pbvc) else {"pbvc": given.pbvc}
    return {**value, "status": given.status, **({"reason": given.reason} if given.reason else {})}


def report_in(directory: Path | None, subject: str, first: str, second: str) -> Path | None:
    """The report of a pair among existing SIENA results; None when there is none, or several."""
    assert directory is not None
    try:
        return siena.find_results(directory, subject, first, second) / siena.REPORT
    except siena.SienaError:
        return None
