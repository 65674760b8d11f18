"""Whether the masks of different methods read the same out of a quantitative map; and the section on maps."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from thalbids.bids.tabular.tables import Column, Table, column, table
from thalbids.group.analyses.clinical.map_models import MAP, baseline_of
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import ESTIMATE, METHOD, REASON
from thalbids.group.modelling.map_values import maps_of
from thalbids.group.statistics.concordance.agreement import agreement
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, interval, listed, number, p_value, rows_of
from thalbids.reports.group.section import PageTable, Section, counted, remark

SHOWN = ("ccc", "bias", "loa_low", "loa_high")
NAMES = {"R1map": "R1", "R2starmap": "R2*", "PDmap": "PD (relative)"}
AGREEMENT: dict[str, Column] = {
    **MAP,
    **METHOD,
    "method2": column("Second method", "The method that the first is compared with."),
    "quantity": column("Quantity", "As in group_agreement, with the first method as the reference."),
    **{name: ESTIMATE[name] for name in ("estimate", "ci_low", "ci_high")},
    "n": {"LongName": "Number of people", "Description": "People with a value of both methods at the baseline."},
    **REASON,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_qmri_agreement``: every pair of methods, at the baseline."""
    rows: list[dict[str, Any]] = []
    for name in maps_of(cohort):
        values = baseline_of(cohort, name).volumes[name]
        usable = [method for method in cohort.methods if values[method].notna().any()]
        for first, second in itertools.combinations(usable, 2):
            x, y = values[first].to_numpy(), values[second].to_numpy()
            n = int((values[first].notna() & values[second].notna()).sum())
            for quantity, estimate in agreement(x, y).items():
                numbers = {"estimate": estimate.estimate, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
                key = {"map": name, "method": first, "method2": second, "quantity": quantity}
                rows.append(key | numbers | {"n": n, "reason": estimate.reason})
    group = cohort.settings.group
    choices = {"region": group.map_region, "statistic": group.map_statistic}
    return [table("group_qmri_agreement", rows, AGREEMENT, settings=choices)]


def section(tables: Tables) -> Section:
    """Quantitative maps inside the thalamus: values, associations, agreement."""
    section = Section("maps", "Quantitative maps inside the thalamus")
    summary = tables.get("qmri_summary", ("method", "map", "region", "diagnosis", "n", "mean", "sd"))
    if summary.empty:
        section.nothing = "No session has a quantitative map that was read inside a mask."
        return section
    _values(section, tables, summary)
    models = tables.get("qmri_models", ("analysis", "map", "outcome", "method", "term", "estimate", "p_fdr"))
    _models(section, tables, models)
    _agreement(section, tables)
    section.caveats.append(
        "A map read by masks of different methods is one measurement read several times: methods that agree are no "
        "independent evidence. Masks that take in fluid or capsule shift the mean; the eroded mask has no border."
    )
    return section


def map_name(name: str) -> str:
    """The name of a map for people."""
    return NAMES.get(name, name)


def _values(section: Section, tables: Tables, summary: pd.DataFrame) -> None:
    names = list(dict.fromkeys(summary["map"]))
    section.says.append(f"Maps: {listed([map_name(name) for name in names], 8)}.")
    whole = summary[summary["diagnosis"] == "all"]
    rows = [
        [
            map_name(r["map"]),
            look.label(r["method"]),
            r["region"],
            number(r["n"], 0),
            number(r["mean"], 3),
            number(r["sd"], 3),
        ]
        for r in whole.to_dict("records")
    ]
    header = ["Map", "Method", "Region", "n", "Mean", "SD between people"]
    section.tables.append(PageTable("At the baseline, everybody", header, rows, tables.file("qmri_summary")))


def _models(section: Section, tables: Tables, models: pd.DataFrame) -> None:
    main = models[
        models["term"] == models["map"].where(models["analysis"] == "crosssectional", "delta_" + models["map"])
    ]
    main = rows_of(main, subset="all")
    tested = main.dropna(subset=["p_fdr"])
    if len(tested):
        below = int((tested["p_fdr"] < clinical.ALPHA).sum())
        have = "has" if below == 1 else "have"
        section.says.append(
            f"{below} of {counted(len(tested), 'model')} of clinical scores on maps {have} a corrected p below 0.05."
        )
    rows = [
        [
            map_name(r["map"]), r["analysis"], clinical.outcome_name(r["outcome"]), look.label(r["method"]),
            number(r["estimate"], 3), interval(r.get("ci_low"), r.get("ci_high"), 3), p_value(r["p_fdr"]),
            number(r.get("n"), 0), remark(r.get("reason")),
        ]
        for r in main.to_dict("records")
    ]  # fmt: skip
    header = ["Map", "Analysis", "Outcome", "Method", "β", "95 % interval", "p corrected", "n", "Remark"]
    if rows:
        title = "Clinical scores: the map's coefficient per unit of the map; every term is in the file"
        section.tables.append(PageTable(title, header, rows, tables.file("qmri_models")))


def _agreement(section: Section, tables: Tables) -> None:
    agreements = tables.get("qmri_agreement", ("map", "method", "method2", "quantity", "estimate", "n"))
    rows = []
    for (name, first, second), of_pair in agreements.groupby(["map", "method", "method2"], sort=False):
        values = dict(zip(of_pair["quantity"], of_pair["estimate"], strict=True))
        pair = f"{look.label(str(first))} \N{EN DASH} {look.label(str(second))}"
        cells = [number(values.get(quantity), 3) for quantity in SHOWN]
        rows.append([map_name(str(name)), pair, number(of_pair["n"].iloc[0], 0), *cells])
    if rows:
        header = ["Map", "Methods", "n", "CCC", "Bias", "95 % limits from", "to"]
        title = "Agreement between methods of the value inside their masks"
        section.tables.append(PageTable(title, header, rows, tables.file("qmri_agreement")))


ANALYSIS = Analysis(
    "agreement of maps",
    tables,
    sections={"maps": section},
    told=("qmri_agreement", "qmri_summary"),
)
