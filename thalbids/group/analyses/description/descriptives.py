"""Descriptives by diagnosis (paper, 3.1 and Tables S1 - S3, S8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.results.names import ordered
from thalbids.group.analysis import Analysis
from thalbids.reports.group.figures import clinical, descriptive, look
from thalbids.reports.group.group_data import Tables, by_keys, in_order, interval, listed, methods_in, number, rows_of
from thalbids.reports.group.section import PageTable, Section, counted, span, word

if TYPE_CHECKING:
    import pandas as pd

import pandas as pd

from thalbids.bids.tabular.own import OUTCOMES
from thalbids.bids.tabular.tables import Column, Table, column, table
from thalbids.group.analyses.over_time.change import by_diagnosis, spread
from thalbids.group.cohort import Cohort, baseline, visit_pairs
from thalbids.group.columns import DIAGNOSIS, METHOD, SPREAD

BASELINE = ("age", "female", "disease_duration", *OUTCOMES, "t25fw_trials", "nhpt_trials", "icv_ml", "attacks")
CHANGES = ("interval_years", *(f"d_{name}" for name in OUTCOMES), "steroid", "pbvc")


DESCRIPTIVES: dict[str, Column] = {
    "variable": column(
        "Variable",
        "What is described: a clinical variable, the change of one (d_), a share (female, steroid: 1 is yes), the "
        "interval, the number of trials behind the mean of a timed test, pbvc, volume_ml of a method, or "
        "volume_manual_ml of a rater (in the column method).",
    ),
    **METHOD,
    **DIAGNOSIS,
    **SPREAD,
    "sample": column(
        "Sample",
        "Whose values.",
        Levels={
            "baseline": "First session with a usable volume of each participant",
            "followed": "The same of participants with a later session, and their change to it",
            "manual": "Participants with a manual mask, at its session (paper, 3.1)",
        },
    ),
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_descriptives``: of the baseline, and of those who were followed."""
    base, pairs = baseline(cohort), visit_pairs(cohort)
    first = _with_pbvc(cohort, pairs.drop_duplicates("participant_id"))
    followed = base[base["participant_id"].isin(first["participant_id"])]
    rows = [
        *_rows(base, BASELINE, "baseline"),
        *_volumes(cohort, base, "baseline"),
        *_rows(followed, BASELINE, "followed"),
        *_rows(first, CHANGES, "followed"),
        *_volumes(cohort, followed, "followed"),
    ]
    sizes = {name: len(part) for name, part in by_diagnosis(base)}
    if set(sizes) == {"all", "unknown"}:  # nobody has a diagnosis
        del sizes["unknown"]
    counts = "; ".join(f"{name} {n}" for name, n in sizes.items())
    notes = [f"participants with a usable volume: {counts}; followed: {len(first)}."]
    return [table("group_descriptives", rows, DESCRIPTIVES, notes=notes)]


def _with_pbvc(cohort: Cohort, pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs of visits with the change of the whole brain between them, NaN where it is not known."""
    keys = ["participant_id", "session_id_baseline", "session_id_followup"]
    known = cohort.pbvc[cohort.pbvc["status"] == "ok"].drop_duplicates(keys)[[*keys, "pbvc"]]
    return pairs.merge(known, on=keys, how="left")


def _rows(frame: pd.DataFrame, variables: tuple[str, ...], sample: str) -> list[dict[str, Any]]:
    return [
        {"variable": name, "diagnosis": diagnosis, "sample": sample, **spread(part[name])}
        for name in variables
        for diagnosis, part in by_diagnosis(frame)
    ]


def _volumes(cohort: Cohort, frame: pd.DataFrame, sample: str) -> list[dict[str, Any]]:
    """The thalamus volume of each method at the baseline session."""
    keys = ["participant_id", "session_id"]
    volumes = frame[[*keys, "diagnosis"]].merge(cohort.usable[[*keys, "method", "volume_ml"]], on=keys)
    return [
        {
            "variable": "volume_ml",
            "method": method,
            "diagnosis": diagnosis,
            "sample": sample,
            **spread(part["volume_ml"]),
        }
        for method, by_method in volumes.groupby("method", sort=False)
        for diagnosis, part in by_diagnosis(by_method)
    ]


def of_masks(cohort: Cohort, overlap: pd.DataFrame) -> list[Table]:
    """``group_descriptives`` of those who have a manual mask: ``overlap`` are rows of ``group_overlap``.

    Of a person with several, the earliest, as in the summaries; the volumes are those of every rater.
    """
    keys = ["participant_id", "session_id"]
    measured = overlap[overlap["status"] == "ok"].drop_duplicates([*keys, "rater"])
    measured = measured.drop_duplicates(["participant_id", "rater"])
    if measured.empty:
        return []
    visits = cohort.visits.drop(columns="icv_ml").merge(
        cohort.volumes[[*keys, "icv_ml"]].drop_duplicates(keys), on=keys
    )
    people = measured.drop_duplicates("participant_id")[keys].merge(visits, on=keys, how="left")
    drawn = measured[[*keys, "rater", "volume_rater_ml"]].merge(visits[[*keys, "diagnosis"]], on=keys, how="left")
    volumes = [
        {"variable": "volume_manual_ml", "method": rater, "diagnosis": diagnosis, **spread(part["volume_rater_ml"])}
        for rater, by_rater in drawn.groupby("rater", sort=False)
        for diagnosis, part in by_diagnosis(by_rater)
    ]
    rows = [*_rows(people, BASELINE, "manual"), *({"sample": "manual", **row} for row in volumes)]
    return [table("group_descriptives", rows, DESCRIPTIVES)]


ORDINAL = ("edss", "d_edss", "attacks")  # described by median and quartiles, as in the paper


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
    "attacks": "Attacks",
    "volume_manual_ml": "Manual volume (mL)",
    "interval_years": "Interval (years)",
    "steroid": "Steroids in between",
    "pbvc": "PBVC (%)",
    "d_edss": "Change of EDSS",
    "d_t25fw": "Change of T25FW (s)",
    "d_nhpt": "Change of 9-HPT (s)",
    "d_sdmt": "Change of SDMT",
}


ANALYSES = {"crosssectional": "Cross-sectional", "longitudinal": "Longitudinal", "pbvc": "PBVC"}


def section(tables: Tables) -> Section:
    """Who was measured, and what is missing."""
    section = Section("people", "Who was measured")
    table = tables.get("volumes", ("participant_id", "method"))
    if table.empty:
        section.nothing = "group_volumes.tsv has no rows: no session has a volume yet."
    else:
        everybody = tables.whole("volumes")  # also those of whom only methods were tried that gave nobody a volume
        persons = everybody["participant_id"].nunique()
        sessions = len(everybody[[c for c in ("participant_id", "session_id") if c in everybody]].drop_duplicates())
        methods = methods_in(table)
        section.says.append(
            f"{counted(persons, 'participant')} with {counted(sessions, 'session')} and "
            f"{counted(len(methods), 'method')}: {listed([look.label(m) for m in methods], 12)}."
        )
        if tables.absent:
            names = ordered(tables.absent)
            section.says.append(
                f"Nobody has a volume by {listed([look.label(m) for m in names], 12)}: not shown here, the reasons "
                f"stand in {tables.file('volumes')}."
            )
        bad = table[table["status"] != "ok"] if "status" in table.columns else table.iloc[0:0]
        if len(bad) == len(table):
            section.warnings.append("Nobody has a usable volume: nothing could be analysed.")
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
            rows = described if sample is None else rows_of(described, sample=sample)
            section.show(_descriptives(tables, rows, sample))
        first = described if samples[0] is None else rows_of(described, sample=str(samples[0]))
        ages = rows_of(first, variable="age")
        groups = [name for name in descriptive.groups_of(ages) if name != "all"]
        small = ages[ages["diagnosis"].isin(groups) & (ages["n"] < 10)]
        if len(small):
            groups = in_order(small["diagnosis"].dropna().unique(), descriptive.DIAGNOSES)
            section.caveats.append(
                f"Groups with fewer than 10 people ({listed(groups, 6)}): their means and tests say little."
            )
    off = len(tables.get("plan_deviations"))
    if off:
        section.warnings.append(
            f"The run deviates from its plan in {counted(off, 'point')}: {tables.file('plan_deviations')}."
        )
    conflicts = len(tables.get("conflicts"))
    if conflicts:
        section.warnings.append(
            f"Clinical tables contradict each other in {counted(conflicts, 'place')}; what was used stands in "
            f"{tables.file('conflicts')}."
        )
    _where(section, tables)
    missing = tables.get("missing", ("analysis", "outcome", "method", "n_total", "n_used"))
    section.show(_ledger(tables, missing))
    if section.nothing and (section.tables or section.figures):
        section.nothing = ""
    return section


def _where(section: Section, tables: Tables) -> None:
    """Sites, and baselines that are not the first session."""
    sites = tables.get("sites", ("site", "n_participants", "role"))
    if len(sites) > 1:
        told = listed([f"{row['site']} ({row['n_participants']})" for row in sites.to_dict("records")], 12)
        known = (sites["role"] != "none").any()
        model = "the site is a covariate of the clinical models" if known else "no clinical model knows of the site"
        section.warnings.append(f"The data come from {len(sites)} sites, {told}: {model}.")
    moved = tables.get("baselines", ("participant_id", "session_id"))
    if len(moved):
        others = int(moved["session_id"].notna().sum())
        instead = f"for {others} of them another session is the baseline" if others else "and no other session has one"
        section.warnings.append(
            f"The first session of {counted(len(moved), 'participant')} has no usable volume, {instead} "
            f"({tables.file('baselines')})."
        )


def _descriptives(tables: Tables, table: pd.DataFrame, sample: str | None) -> PageTable:
    groups = descriptive.groups_of(table)
    rows = []
    first = {key: rows_of_key.iloc[0] for key, rows_of_key in by_keys(table, "variable", "diagnosis").items()}
    for variable in dict.fromkeys(table.loc[table["n"] > 0, "variable"].dropna()):
        cells = []
        for group in groups:
            row = first.get((variable, group))
            cells.append(_described(variable, row) if row is not None and row["n"] > 0 else "–")
        rows.append([_variable(variable), *cells])
    title = "Mean ± SD, for EDSS and attacks median [quartiles]; (n)"
    return PageTable(
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
        return f"{number(row.get('median'))} {interval(row.get('q1'), row.get('q3'))}{size}"
    digits = 0 if abs(row["mean"]) >= 200 else 2 if abs(row["mean"]) < 20 else 1
    spread = f" ± {number(row['sd'], digits)}" if np.isfinite(row.get("sd", np.nan)) else ""
    return f"{number(row['mean'], digits)}{spread}{size}"


def _variable(name: str) -> str:
    return VARIABLES.get(name, word(name))


def _ledger(tables: Tables, table: pd.DataFrame) -> PageTable:
    """What every outcome that somebody has lost on its way into the models."""
    table = rows_of(table, subset="all") if "subset" in table.columns else table
    table = table[table["analysis"].isin(["crosssectional", "longitudinal", "ordinal", "pbvc"])]
    unmeasured = table["lost_no_outcome"].fillna(0) if "lost_no_outcome" in table.columns else 0
    table = table[table["n_total"] > unmeasured]
    reasons = [c for c in table.columns if c.startswith("lost_") and (table[c].fillna(0) > 0).any()]
    rows = []
    for (analysis, outcome), entries in table.groupby(["analysis", "outcome"], sort=False, dropna=False):
        counts = [span(entries[c]) for c in ("n_total", "n_used", *reasons)]
        rows.append([ANALYSES.get(str(analysis), word(analysis)), clinical.outcome_name(str(outcome)), *counts])
    header = ["Analysis", "Outcome", "n in all", "n used", *(word(r.removeprefix("lost_")) for r in reasons)]
    return PageTable(
        "Rows used, and lost by reason; a range where methods differ", header, rows, tables.file("missing")
    )


ANALYSIS = Analysis("descriptives", tables, sections={"people": section}, told=("descriptives", "missing"))
