"""The intracranial volumes of a session: given, of tools, and the embedded one, as far as they are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalbids import families
from thalbids.bids.results.dictionaries import ICV_COLUMNS, ICV_MORPH, STRIPPED_NOTE
from thalbids.bids.results.outputs import read_json, sidecar, write_table
from thalbids.bids.tabular.given_tables import read_icv
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.methods.base import own_settings
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages.session import label_maps
from thalbids.participant.step_io import given, there
from thalbids.qc import rules

GIVEN = "icv"  # the name in --derivatives
CUT_OFF_NOTE = "the field of view ends inside the skull or at it, so its volume cannot be measured"


@dataclass(frozen=True)
class IcvParams(Params):
    """Who it is, and the data dictionary of the table."""

    kind = "icv"
    subject: str
    session: str | None
    dictionary: Mapping[str, Any]


def icv_file(plan: SessionPlan, method: Any) -> Path | None:
    """The file of a method's own results that holds the session's intracranial volume; None without one."""
    settings, given = plan.once(own_settings, method), plan.settings.inputs.derivatives.get(method.family)
    path: Path | None = method.icv_file(settings, plan.session, alone=plan.alone, given=given)
    return path


def add_steps(plan: SessionPlan) -> None:
    """One step for the table."""
    inputs: dict[str, Path | None] = {families.embedded(): sidecar(plan.t1w)}
    after: list[str] = []
    for family, method in measuring().items():
        if family in plan.prepared:
            inputs[family] = sidecar(label_maps.label_map(plan, family, "T1w"))
            after.append(plan.prepared[family])
        elif (path := icv_file(plan, method)) is not None:
            inputs[f"{family} results"] = path
    if GIVEN in plan.settings.inputs.derivatives:
        inputs["given"] = plan.settings.inputs.derivatives[GIVEN]
    plan.add(
        "icv",
        icv,
        inputs=inputs,
        outputs={"icv": plan.icv},
        params=IcvParams(plan.session.subject, plan.session.session, ICV_MORPH),
        needs=(plan.anatomy,),
        after=tuple(after),
        memory_gb=0.5,
        version=3,  # a full stop between the sentences of a note
    )


def measuring() -> dict[str, Any]:
    """The methods, besides the embedded one, whose results hold an intracranial volume; the preferred one first."""
    known = families.methods()
    return {family: known[family] for family in families.icv_sources() if hasattr(known.get(family), "icv_mm3")}


@recorded_as("thalbids.pipeline.mask_steps.icv")
def icv(inputs: Inputs, outputs: Outputs, params: IcvParams, upstream: Upstream) -> Done:
    """The intracranial volumes of a session, the preferred one first."""
    rows: list[dict[str, Any]] = []
    if (table := inputs.get("given")) is not None:
        rows += [{"source": "given", "icv_mm3": v} for v in given_icv(table, params.subject, params.session)]
    for family, method in measuring().items():
        path = there(inputs, family) or inputs.get(f"{family} results")
        volume = None if path is None else method.icv_mm3(path)
        rows += [{"source": family, "icv_mm3": volume}] if volume is not None else []
    embedded = families.embedded()
    anatomy = read_json(given(inputs, embedded))
    volume = anatomy["IntracranialVolumeMm3"]
    note = what_it_lacks(volume, stripped=anatomy["SkullStripped"])
    rows.append({"source": embedded, "icv_mm3": volume, "note": note})
    write_table(outputs["icv"], [judged(row) for row in rows], ICV_COLUMNS)
    return Done({"icv": params.dictionary})


def what_it_lacks(volume: float | None, *, stripped: bool) -> str | None:
    """Why SynThal gives no intracranial volume, or what its volume leaves out."""
    return CUT_OFF_NOTE if volume is None else STRIPPED_NOTE if stripped else None


def judged(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table with its status, and in its note what is implausible."""
    flags = rules.apply(rules.ICV_RULES, row)
    status = "missing" if row["icv_mm3"] is None else "excluded" if rules.distrusted(flags) else "ok"
    told = [f"{row['note']}."] if row.get("note") and flags else [row.get("note")]
    note = " ".join(filter(None, [*told, *(flag["reason"] for flag in flags)]))
    return {**row, "note": note or None, "status": status}


def given_icv(table: Path, subject: str, session: str | None) -> list[float]:
    """The intracranial volume (mm^3) that a given table has of a session, else of the person; empty when none.

    Raises
    ------
    MetadataError
        As `thalbids.bids.tabular.given_tables.read_icv`.
    """
    volumes = read_icv(table)
    keys = dict.fromkeys([(f"sub-{subject}", f"ses-{session}" if session else None), (f"sub-{subject}", None)])
    return [volumes[key] for key in keys if key in volumes][:1]
