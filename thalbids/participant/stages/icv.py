"""The intracranial volumes of a session: given, FreeSurfer's, SynThal's, as far as they are there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalbids.bids.dictionaries import ICV_COLUMNS, ICV_MORPH
from thalbids.bids.given import read_icv
from thalbids.bids.outputs import read_json, sidecar, write_table
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import ThalbidsError
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages import tools
from thalbids.participant.step_io import given, there
from thalbids.qc import rules
from thalbids.tools.freesurfer import find, read_stats

GIVEN = "icv"  # the name in --derivatives
CUT_OFF_NOTE = "the field of view ends inside the skull, so its volume cannot be measured"
STRIPPED_NOTE = "the scan is skull-stripped: what the stripping removed inside the skull is not counted"


@dataclass(frozen=True)
class IcvParams(Params):
    """Who it is, and the data dictionary of the table."""

    kind = "icv"
    subject: str
    session: str | None
    dictionary: Mapping[str, Any]


def add_steps(plan: SessionPlan) -> None:
    """One step for the table."""
    inputs: dict[str, Path | None] = {"synthal": sidecar(plan.t1w)}
    after: list[str] = []
    if "freesurfer" in plan.prepared:
        inputs["freesurfer"] = sidecar(tools.label_map(plan, "freesurfer", "T1w"))
        after.append(plan.prepared["freesurfer"])
    elif (stats := _given_stats(plan)) is not None:
        inputs["aseg.stats"] = stats
    if GIVEN in plan.settings.inputs.derivatives:
        inputs["given"] = plan.settings.inputs.derivatives[GIVEN]
    plan.add(
        "icv",
        icv,
        inputs=inputs,
        outputs={"icv": plan.icv},
        params=IcvParams(plan.session.subject, plan.session.session, ICV_MORPH),
        needs=(plan.images["T1w"],),
        after=tuple(after),
        memory_gb=0.5,
        version=2,  # says which volumes can be used
    )


def _given_stats(plan: SessionPlan) -> Path | None:
    """``aseg.stats`` of the session beside given masks of FreeSurfer, or in the subjects directory."""
    settings, session = plan.settings, plan.session
    for place in (settings.inputs.derivatives.get("freesurfer"), settings.tools.freesurfer.subjects_dir):
        if place is not None:
            with suppress(ThalbidsError):  # it is being written, or ended with an error
                folder = find(place, session.subject, session.session, only_session=plan.alone)
                if folder is not None and (folder / "stats" / "aseg.stats").is_file():
                    return folder / "stats" / "aseg.stats"
    return None


@recorded_as("thalbids.pipeline.mask_steps.icv")
def icv(inputs: Inputs, outputs: Outputs, params: IcvParams, upstream: Upstream) -> Done:
    """The intracranial volumes of a session, the preferred one first."""
    rows: list[dict[str, Any]] = []
    if (table := inputs.get("given")) is not None:
        rows += [{"source": "given", "icv_mm3": v} for v in given_icv(table, params.subject, params.session)]
    if (told := there(inputs, "freesurfer")) is not None:
        volume = read_json(told).get("EstimatedTotalIntraCranialVolMm3")
        rows += [{"source": "freesurfer", "icv_mm3": volume}] if volume is not None else []
    if (stats := inputs.get("aseg.stats")) is not None:
        volume = read_stats(stats).etiv_mm3
        rows += [{"source": "freesurfer", "icv_mm3": volume}] if volume is not None else []
    anatomy = read_json(given(inputs, "synthal"))
    volume = anatomy["IntracranialVolumeMm3"]
    note = CUT_OFF_NOTE if volume is None else STRIPPED_NOTE if anatomy["SkullStripped"] else None
    rows.append({"source": "synthal", "icv_mm3": volume, "note": note})
    write_table(outputs["icv"], [judged(row) for row in rows], ICV_COLUMNS)
    return Done({"icv": params.dictionary})


def judged(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table with its status, and in its note what is implausible."""
    flags = rules.apply(rules.ICV_RULES, row)
    status = "missing" if row["icv_mm3"] is None else "excluded" if rules.distrusted(flags) else "ok"
    note = " ".join(filter(None, [row.get("note"), *(flag["reason"] for flag in flags)]))
    return {**row, "note": note or None, "status": status}


def given_icv(table: Path, subject: str, session: str | None) -> list[float]:
    """The intracranial volume (mm^3) that a given table has of a session, else of the person; empty when none.

    Raises
    ------
    MetadataError
        As `thalbids.bids.given.read_icv`.
    """
    volumes = read_icv(table)
    keys = dict.fromkeys([(f"sub-{subject}", f"ses-{session}" if session else None), (f"sub-{subject}", None)])
    return [volumes[key] for key in keys if key in volumes][:1]
