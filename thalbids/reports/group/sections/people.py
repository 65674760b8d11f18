"""Who was measured, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.reports.group.figures import clinical, descriptive, look
from thalbids.reports.group.group_data import Tables, in_order, interval, listed, methods_in, number, rows_of
from thalbids.reports.group.sections.base import Section, Shown, count, span, word

if TYPE_CHECKING:
    import pandas as pd

ORDINAL = ("edss", "d_edss")  # described by median and quartiles, as in the paper


SHARES = ("female", "steroid")


VARIABLES = {
    "age": "Age (years)",
    "female": "Women",
    "disease_duration": "Disease duration (years)",
    "edss": "EDSS",
    "t25fw": "T25FW (s)",
    "nhpt": "9-HPT (s)",
    "sdmt": "SDMT",
    "t25fw_trials": "Trials of T25FW",
    "nhpt_trials": "Trials of 9-HPT",
    "icv_ml": "Intracranial volume (mL)",
    "interval_years": "Interval (years)",
    "steroid": "Steroids in between",
    "d_edss": "Change of EDSS",
    "d_t25fw": "Change of T25FW (s)",
    "d_nhpt": "Change of 9-HPT (s)",
    "d_sdmt": "Change of SDMT",
}


ANALYSES = {"crosssectional": "Cross-sectional", "longitudinal": "Longitudinal", "pbvc": "PBVC"}


def people(tables: Tables) -> Section:
    """Who was measured, and what is missing."""
    section = Section("people", "Who was measured")
    table = tables.get("volumes", ("participant_id", "method"))
    if table.empty:
        section.nothing = "group_volumes.tsv has no rows: no session has a volume yet."
    else:
        persons = table["participant_id"].nunique()
        sessions = len(table[[c for c in ("participant_id", "session_id") if c in table.columns]].drop_duplicates())
        methods = methods_in(table)
        section.says.append(
            f"{count(persons, 'participant')} with {count(sessions, 'session')} and "
            f"{count(len(methods), 'method')}: {listed([look.label(m) for m in methods], 12)}."
        )
        bad = table[table["status"] != "ok"] if "status" in table.columns else table.iloc[0:0]
        if len(bad):
            kinds = bad["status"].value_counts()
            said = listed([f"{n} {kind}" for kind, n in kinds.items()], 6)
            section.warnings.append(
                f"{len(bad)} of {len(table)} volumes are not used ({said}); their reasons stand in the table."
            )
    described = tables.get("descriptives", ("variable", "diagnosis", "n"))
    described = described[described["variable"] != "volume_ml"]
    if len(described):
        samples = list(dict.fromkeys(described["sample"])) if "sample" in described.columns else [None]
        for sample in samples:
            own = described if sample is None else rows_of(described, sample=sample)
            section.tables.append(_descriptives(tables, own, sample))
        first = described if samples[0] is None else rows_of(described, sample=str(samples[0]))
        ages = rows_of(first, variable="age")
        small = ages[(ages["diagnosis"] != "all") & (ages["n"] < 10)]
        if len(small):
            groups = in_order(small["diagnosis"].dropna().unique(), descriptive.DIAGNOSES)
            section.caveats.append(f"Groups with fewer than 10 people ({listed(groups, 6)}) are described, not tested.")
    conflicts = len(tables.get("conflicts"))
    if conflicts:
        section.warnings.append(
            f"Clinical tables contradict each other in {count(conflicts, 'place')}; what was used stands in "
            f"{tables.file('conflicts')}."
        )
    missing = tables.get("missing", ("analysis", "outcome", "method", "n_total", "n_used"))
    if len(missing):
        section.tables.append(_ledger(tables, missing))
    if section.nothing and (section.tables or section.figures):
        section.nothing = ""
    return section


def _descriptives(tables: Tables, table: pd.DataFrame, sample: str | None) -> Shown:
    groups = [*(["all"] if (table["diagnosis"] == "all").any() else []), *descriptive.diagnoses_in(table)]
    rows = []
    for variable in dict.fromkeys(table["variable"].dropna()):
        cells = []
        for group in groups:
            own = rows_of(table, variable=variable, diagnosis=group)
            cells.append(_described(variable, own.iloc[0]) if len(own) and own.iloc[0]["n"] > 0 else "–")
        rows.append([_variable(variable), *cells])
    title = "Mean ± SD, for EDSS median [quartiles]; (n)"
    return Shown(
        title if sample is None else f"{word(sample)}: {title[0].lower()}{title[1:]}",
        ["", *groups],
        rows,
        tables.file("descriptives"),
    )


def _described(variable: str, row: Any) -> str:
    size = f" ({number(row['n'], 0)})"
    if variable in SHARES:
        return f"{number(100 * row['mean'], 0)} %{size}"
    if variable in ORDINAL or not np.isfinite(row.get("mean", np.nan)):
        return f"{number(row.get('median'), 1)} {interval(row.get('q1'), row.get('q3'), 1)}{size}"
    digits = 0 if abs(row["mean"]) >= 200 else 2 if abs(row["mean"]) < 20 else 1
    return f"{number(row['mean'], digits)} ± {number(row['sd'], digits)}{size}"


def _variable(name: str) -> str:
    return VARIABLES.get(name, word(name))


def _ledger(tables: Tables, table: pd.DataFrame) -> Shown:
    table = rows_of(table, subset="all") if "subset" in table.columns else table
    table = table[table["analysis"].isin(["crosssectional", "longitudinal", "ordinal", "pbvc"])]
    reasons = [c for c in table.columns if c.startswith("lost_") and (table[c].fillna(0) > 0).any()]
    rows = []
    for (analysis, outcome), own in table.groupby(["analysis", "outcome"], sort=False, dropna=False):
        counts = [span(own[c]) for c in ("n_total", "n_used", *reasons)]
        rows.append([ANALYSES.get(str(analysis), word(analysis)), clinical.outcome_name(str(outcome)), *counts])
    header = ["Analysis", "Outcome", "n in all", "n used", *(word(r.removeprefix("lost_")) for r in reasons)]
    return Shown("Rows used, and lost by reason; a range where methods differ", header, rows, tables.file("missing"))
