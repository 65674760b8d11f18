"""Volumes, their change, and the whole brain's change."""

from __future__ import annotations

from thalbids.reports.group.figures import clinical, descriptive, look
from thalbids.reports.group.group_data import Tables, interval, methods_in, number, p_value, rows_of
from thalbids.reports.group.sections.base import Section, Shown, count, per_group, unions, word

LEAST_PAIRS = 6  # the smallest exact two-sided p of a signed-rank test is 2 / 2^n


def volumes(tables: Tables) -> Section:
    """Thalamic volumes."""
    section = Section("volumes", "Thalamus volumes")
    section.add(descriptive.volumes(tables))
    if not section.figures:
        section.nothing = "There is no usable volume in group_volumes.tsv."
        return section
    found = rows_of(
        tables.get("descriptives", ("variable", "method", "diagnosis", "median")),
        variable="volume_ml",
        sample="baseline",
    ).dropna(subset=["median", "method"])
    everybody = rows_of(found, diagnosis="all").sort_values("median")
    if len(everybody):
        low, high = everybody.iloc[0], everybody.iloc[-1]
        text = f"The median volume at baseline is {number(low['median'])} mL by {look.label(low['method'])}"
        if len(everybody) > 1:
            text += f", the smallest, and {number(high['median'])} mL by {look.label(high['method'])}, the largest"
        section.says.append(f"{text} (n = {number(low['n'], 0)}).")
        header, rows = per_group(found, lambda row: f"{number(row['median'])} {interval(row['q1'], row['q3'])}")
        section.tables.append(Shown("Median [quartiles] at baseline, mL", header, rows, tables.file("descriptives")))
    if len(tables.get("harmonised")):
        section.caveats.append("Volumes were harmonised over sites by ComBat before anything was computed from them.")
    section.caveats.append(
        "Each method follows its own definition of the thalamus: volumes of different methods, or protocols, are not "
        "interchangeable and must not be mixed in one analysis."
    )
    section.caveats += unions(methods_in(tables.get("volumes")))
    return section


def change(tables: Tables) -> Section:
    """Change between visits."""
    section = Section("change", "Change of thalamic volume")
    section.add(descriptive.change(tables))
    if not section.figures:
        section.nothing = "No participant has volumes of the same method at two sessions."
        return section
    summary = tables.get("change_summary", ("method", "diagnosis", "measure", "mean", "sd", "n"))
    own = rows_of(summary, measure="delta_percent", diagnosis="all").dropna(subset=["mean"]).sort_values("mean")
    if len(own):
        first, last = own.iloc[0], own.iloc[-1]
        text = f"The mean change is {number(first['mean'])} ± {number(first['sd'])} % by {look.label(first['method'])}"
        if len(own) > 1:
            least = f"{number(last['mean'])} ± {number(last['sd'])} % by {look.label(last['method'])}"
            text += f", the most negative, and {least}, the least negative"
        section.says.append(f"{text} (n = {number(first['n'], 0)}).")
    percent = rows_of(summary, measure="delta_percent")
    if len(percent):
        header, rows = per_group(
            percent, lambda row: f"{number(row['mean'])} ± {number(row['sd'])}; {number(row['n'], 0)}"
        )
        section.tables.append(Shown("Mean ± SD in % of baseline; n", header, rows, tables.file("change_summary")))
    tests = tables.get("change_tests", ("method", "method2", "p_fdr")).dropna(subset=["p_fdr"])
    if len(tests):
        below = int((tests["p_fdr"] < clinical.ALPHA).sum())
        section.says.append(
            f"{below} of {count(len(tests), 'pair')} of methods differ (paired Wilcoxon, corrected over the pairs)."
        )
        if "n" in tests.columns and tests["n"].max() < LEAST_PAIRS:
            section.caveats.append(
                f"With {number(tests['n'].max(), 0)} people the exact p of this test is never below "
                f"{number(2 / 2 ** tests['n'].max(), 2)}: that no pair differs says nothing."
            )
    section.caveats += [
        "Groups are described, not compared by a test: they differ in size, and some are small.",
        "Manual masks exist at one time point in most studies: more measured loss is not a proof of a better method.",
    ]
    return section


def pbvc(tables: Tables) -> Section:
    """Thalamic change and the whole brain's."""
    section = Section("pbvc", "Thalamic change and whole-brain change (SIENA)")
    table = tables.get("pbvc", ("method", "r")).dropna(subset=["r"]).sort_values("r")
    if table.empty:
        section.nothing = (
            "There is no percentage brain volume change (PBVC) for anybody: SIENA was not run, or not given."
        )
        return section
    section.figures += descriptive.pbvc(tables)
    best, least = table.iloc[-1], table.iloc[0]
    ends = interval(best.get("ci_low"), best.get("ci_high"))
    text = f"{look.label(best['method'])} has the strongest correlation with PBVC, r = {number(best['r'])} {ends}"
    section.says.append(
        text + (f"; {look.label(least['method'])} the weakest, r = {number(least['r'])}." if len(table) > 1 else ".")
    )
    tests = tables.get("pbvc_tests", ("method", "method2", "test", "p_fdr"))
    for test in dict.fromkeys(tests["test"].dropna()):
        own = rows_of(tests, test=test).dropna(subset=["p_fdr"])
        if len(own):
            below = int((own["p_fdr"] < clinical.ALPHA).sum())
            section.says.append(
                f"By the test of {word(test)}, {below} of {count(len(own), 'pair')} of correlations differ."
            )
    rows = [
        [
            look.label(m),
            number(r["r"]),
            interval(r.get("ci_low"), r.get("ci_high")),
            p_value(r.get("p_fdr")),
            number(r.get("n"), 0),
        ]
        for m in methods_in(table)
        for r in rows_of(table, method=m).to_dict("records")
    ]
    section.tables.append(
        Shown("Pearson correlations", ["Method", "r", "95 % interval", "p corrected", "n"], rows, tables.file("pbvc"))
    )
    section.caveats += [
        (
            "The paper names a Wilcoxon test between methods on PBVC. It cannot be done: there is one PBVC per person, "
            "the same for every method. Correlations that share the PBVC are compared here (Williams, Steiger, Zou's "
            "interval)."
        ),
        "The thalamus is part of the brain: some correlation is there by construction.",
    ]
    return section
