"""Masks and volumes against the manual ones, and masks against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from thalbids.reports.group.figures import clinical, look, overlap, volumetric
from thalbids.reports.group.group_data import Tables, in_order, interval, methods_in, number, rows_of
from thalbids.reports.group.sections.base import Section, Shown, count, unions, word
from thalbids.reports.group.sections.beyond import generic

if TYPE_CHECKING:
    import pandas as pd


def overlaps(tables: Tables) -> Section:
    """Dice, precision, sensitivity."""
    section = Section("overlap", "Overlap with the manual masks")
    raters = overlap.raters(tables)
    if not raters:
        section.nothing = "There are no manual masks: name their folder with --derivatives manual=PATH."
        return section
    for rater in raters:
        one = rater if len(raters) > 1 else None
        section.add(overlap.boxes(tables, one))
        summary = tables.get("overlap_summary", ("method", "metric", "median", "q1", "q3"))
        summary = summary if one is None else rows_of(summary, rater=one)
        if len(summary):
            section.says.append(_overlap_sentence(summary, one))
            section.tables.append(_summary(tables, summary, one))
    tests = tables.get("overlap_tests", ("metric", "method", "method2", "p_fdr"))
    dice = rows_of(tests, metric="dice").dropna(subset=["p_fdr"])
    if len(dice):
        below = int((dice["p_fdr"] < clinical.ALPHA).sum())
        section.says.append(
            f"{below} of {count(len(dice), 'pair')} of methods differ in Dice (Wilcoxon signed-rank, "
            "Benjamini-Hochberg over the pairs of a measure)."
        )
    between = generic(tables, "rater_agreement")
    section.tables += [between] if between.rows else []
    section.caveats += [
        "Precision falls when a mask is too large, sensitivity when it is too small; Dice weighs both.",
        *unions(methods_in(tables.get("overlap"))),
        (
            "Manual masks drawn on T1w and FLAIR favour what is seen there: a deviation of an R1 mask need not be an "
            "error."
        ),
    ]
    return section


def _overlap_sentence(summary: pd.DataFrame, rater: str | None) -> str:
    own = rows_of(summary, metric="dice").dropna(subset=["median"]).sort_values("median")
    if own.empty:
        return "No method has a Dice with the manual masks."
    best = own.iloc[-1]
    who = "" if rater is None else f"Against {rater}: "
    spread = interval(best["q1"], best["q3"], 3)
    text = f"{who}{look.label(best['method'])} has the highest median Dice, {number(best['median'], 3)} {spread}"
    if len(own) > 1:
        text += f"; the lowest is that of {look.label(own.iloc[0]['method'])}, {number(own.iloc[0]['median'], 3)}"
    largest = own["n"].max() if "n" in own.columns else np.nan
    return text + (f" (n = {largest:.0f})." if np.isfinite(largest) else ".")


def _summary(tables: Tables, summary: pd.DataFrame, rater: str | None) -> Shown:
    metrics = in_order(summary["metric"].dropna().unique(), [*overlap.METRICS, "hd95_mm", "assd_mm"])
    rows = []
    for method in methods_in(summary):
        cells = []
        for metric in metrics:
            own = rows_of(summary, method=method, metric=metric)
            cells.append(
                f"{number(own.iloc[0]['median'], 3)} ({number(own.iloc[0]['q1'], 3)}–{number(own.iloc[0]['q3'], 3)})"
                if len(own)
                else "–"
            )
        rows.append([look.label(method), *cells])
    title = "Median (quartiles)" + ("" if rater is None else f", rater {rater}")
    return Shown(
        title, ["Method", *(overlap.METRICS.get(m, word(m)) for m in metrics)], rows, tables.file("overlap_summary")
    )


def containment(tables: Tables) -> Section:
    """Which masks lie in which."""
    section = Section("containment", "Containment between methods")
    figure = overlap.containment(tables)
    section.add(figure)
    if figure is None:
        section.nothing = (
            "Containment needs the masks of at least two methods; those that are compared are fewer, or there are no "
            "mask files. By default only masks made from the T1w alone are compared, as in the paper; "
            '[group] containment = "all" in the settings compares every mask.'
        )
        return section
    table = tables.get("containment")
    made = [row for row in table.to_dict("records") if overlap.constructed(row)]
    free = [row for row in table.to_dict("records") if not overlap.constructed(row) and np.isfinite(row["mean"])]
    if free:
        low = min(free, key=lambda row: row["mean"])
        high = max(free, key=lambda row: row["mean"])
        section.says.append(
            f"Of the pairs that are free to differ, {look.label(high['method_inner'])} lies most in "
            f"{look.label(high['method_outer'])} ({number(high['mean'])}), {look.label(low['method_inner'])} least in "
            f"{look.label(low['method_outer'])} ({number(low['mean'])})."
        )
    if made:
        section.caveats.append(
            f"{count(len(made), 'pair')} (starred) are fixed by construction: MindGlide's deep grey matter is cut by "
            "an envelope (FSL FIRST unless the name says otherwise), so its containment in that envelope is 1 "
            "whatever it sees, and errors of the envelope show in its masks; members lie wholly in the union of two."
        )
    section.caveats.append("Containment describes size and position relative to another method, not correctness.")
    return section


def agreement(tables: Tables) -> Section:
    """CCC, ICC, regression, Bland-Altman."""
    section = Section("agreement", "Volumes against the manual masks")
    table = tables.get("agreement", ("method", "quantity", "estimate"))
    if table.empty:
        section.nothing = "There are no manual masks, so there is no volume to compare with."
        return section
    raters: list[str | None] = sorted(table["rater"].dropna().unique()) if "rater" in table.columns else [None]
    for rater in raters:
        one = rater if len(raters) > 1 else None
        section.add(volumetric.scatter(tables, one), volumetric.bland_altman(tables, one))
        own = table if one is None else rows_of(table, rater=one)
        section.says += _agreement_sentences(own, one)
        section.tables.append(_agreement_table(tables, own, one))
    section.caveats += [
        (
            "ICC(C,1) is consistency, ICC(3,1) in the older naming: a constant offset does not lower it. The paper "
            "calls it absolute agreement, but its numbers are these. ICC(A,1), absolute agreement, stands beside it."
        ),
        "CCC falls with any offset, ICC(C,1) does not: a method can rank people well and still be wrong in mL.",
        (
            "A Bland-Altman slope on the mean of both is biased when their variances differ; read the slope on the "
            "manual volume with it."
        ),
    ]
    return section


def _agreement_sentences(table: pd.DataFrame, rater: str | None) -> list[str]:
    says = []
    who = "" if rater is None else f"Against {rater}: "
    ccc = rows_of(table, quantity="ccc").dropna(subset=["estimate"]).sort_values("estimate")
    if len(ccc):
        best = ccc.iloc[-1]
        ends = interval(best.get("ci_low"), best.get("ci_high"))
        says.append(
            f"{who}{look.label(best['method'])} has the highest concordance (CCC {number(best['estimate'])} {ends})."
        )
    bias = rows_of(table, quantity="bias").dropna(subset=["estimate"])
    if len(bias):
        bias = bias.iloc[np.argsort(np.abs(bias["estimate"].to_numpy()))]
        small, large = bias.iloc[0], bias.iloc[-1]
        text = f"{who}The bias is smallest for {look.label(small['method'])} ({number(small['estimate'])} mL)"
        if len(bias) > 1:
            text += f" and largest for {look.label(large['method'])} ({number(large['estimate'])} mL)"
        says.append(text + ".")
    return says


def _agreement_table(tables: Tables, table: pd.DataFrame, rater: str | None) -> Shown:
    columns = (
        ("ccc", "CCC"),
        ("icc_c1", "ICC(C,1)"),
        ("icc_a1", "ICC(A,1)"),
        ("slope", "Slope"),
        ("sd_e", "SDe mL"),
        ("bias", "Bias mL"),
        ("bias_sd", "SD of bias"),
        ("proportional_slope", "Slope on mean"),
        ("proportional_slope_on_reference", "Slope on manual"),
    )
    rows = []
    for method in methods_in(table):
        cells = []
        for quantity, _ in columns:
            own = rows_of(table, method=method, quantity=quantity)
            if own.empty:
                cells.append("–")
                continue
            row = own.iloc[0]
            ends = interval(row.get("ci_low"), row.get("ci_high"))
            cells.append(number(row["estimate"]) + ("" if ends == "–" else f" {ends}"))
        rows.append([look.label(method), *cells])
    title = "Estimate [95 % interval]" + ("" if rater is None else f", rater {rater}")
    return Shown(title, ["Method", *(name for _, name in columns)], rows, tables.file("agreement"))
