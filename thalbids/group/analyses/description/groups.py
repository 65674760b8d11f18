"""Diagnosis groups against controls: volumes adjusted for age, sex and intracranial volume, and the section on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.tabular.own import OUTCOMES
from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.description import normative
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import FORMULA, METHOD, REASON
from thalbids.group.modelling import models, sites
from thalbids.group.modelling.design import ALIASED, Design, design, known
from thalbids.group.modelling.missing import ledger, missing_table
from thalbids.group.modelling.samples import Sample, baseline
from thalbids.group.statistics.fits import contrasts
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.figures import clinical, descriptive, look, marks
from thalbids.reports.group.figures.canvas import Figure, Panel
from thalbids.reports.group.group_data import (
    Tables,
    in_order,
    interval,
    listed,
    methods_in,
    number,
    p_value,
    rows_of,
    stars,
)
from thalbids.reports.group.section import PageTable, Section, counted, remark

if TYPE_CHECKING:
    import pandas as pd

NO_COVARIATES = ("diagnosis", "disease_duration", *OUTCOMES)  # what makes the groups, and scores that follow from it
OMNIBUS = "any difference"

CONTRASTS: dict[str, Column] = {
    **METHOD,
    "group": column("Group", f'Diagnosis group; "{OMNIBUS}" is the test that no two groups differ (F).'),
    "reference": column("Reference", "Diagnosis group that it is compared with."),
    "n": count("Number in the group", "People with every value; of all groups in the row of the F test."),
    "n_reference": count("Number in the reference", "People with every value."),
    "adjusted_mean": column("Adjusted mean", "Of the group, at the mean of every covariate.", "mL"),
    "adjusted_mean_reference": column("Adjusted mean of the reference", "At the mean of every covariate.", "mL"),
    "difference": column("Difference", "Adjusted mean of the group minus that of the reference.", "mL"),
    "se": column("Standard error", "Of the difference.", "mL"),
    "ci_low": column("Lower bound", "Of the 95 % interval of the difference (t).", "mL"),
    "ci_high": column("Upper bound", "Of the 95 % interval of the difference (t).", "mL"),
    "difference_percent": column("Difference in percent", "Of the adjusted mean of the reference.", "percent"),
    "statistic": column("Statistic", "t of a difference; F of the test of all groups."),
    "df1": count("Numerator degrees of freedom", "Of F."),
    "df": count("Degrees of freedom", "Residual degrees of freedom of the model."),
    "p": column("p value", "Two-sided."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over methods x contrasts; F tests over the methods."),
    "d": column("Cohen's d", "Difference / residual standard deviation."),
    "d_ci_low": column("Lower bound of d", "Of its 95 % interval (noncentral t)."),
    "d_ci_high": column("Upper bound of d", "Of its 95 % interval (noncentral t)."),
    "partial_eta2": column("Partial eta squared", "Share of the variance left by the covariates; F test only."),
    "p_hc3": column("p value with HC3", "Of the same difference, robust against unequal variances (normal)."),
    "p_slopes": column(
        "p of equal slopes", "Test that the covariates have the same slope in every group, which the model takes so."
    ),
    "adjusted_for": column("Covariates", "What the means are adjusted for: those that vary and that somebody has."),
    **REASON,
    **{name: FORMULA[name] for name in ("left_out", "levels")},
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_diagnosis_contrasts``, and the ledger."""
    checks, sample = cohort.settings.checks, baseline(cohort)
    rows = [row for method in cohort.model_methods for row in compared(cohort, sample, method)]
    tested = [row for row in rows if row["group"] != OMNIBUS]
    adjust(tested, {"p_fdr": ()})
    adjust([row for row in rows if row["group"] == OMNIBUS], {"p_fdr": ()})
    choices = {
        "model": "volume ~ diagnosis + " + " + ".join(covariates_of(cohort)),
        "site": "a covariate" if sites.modelled(cohort) else "no covariate",
        "controls": checks.controls,
        "contrasts": checks.contrasts,
        "smallest_group": checks.smallest_group,
    }
    told = table(
        "group_diagnosis_contrasts",
        rows,
        CONTRASTS,
        settings=choices,
        notes=[*small_groups(cohort, sample), *left_out(rows)],
    )
    return [told, missing_table(ledgers(cohort))]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many people each comparison has."""
    sample, entries = baseline(cohort), []
    for method in cohort.model_methods:
        model, group = model_of(cohort, sample, method)
        lost = {f"no {name}".replace("icv_z", "icv"): mask for name, mask in model.lost.items()}
        lost |= {"no diagnosis": sample.table["diagnosis"].to_numpy() == "", "small diagnosis group": group == ""}
        entries.append(ledger("diagnosis_contrasts", "volume_ml", method, lost))
    return entries


def covariates_of(cohort: Cohort) -> tuple[str, ...]:
    """The covariates of the clinical models, without the diagnosis itself."""
    group = cohort.settings.group
    return tuple(dict.fromkeys(n for n in (*group.covariates, *group.extra_covariates) if n not in NO_COVARIATES))


def model_of(cohort: Cohort, sample: Sample, method: str) -> tuple[Design, np.ndarray]:
    """The model of one method, and everybody's group: "" where it has too few people with every value.

    Covariates and sites are those of the clinical models (`thalbids.group.design`). A covariate that a whole group
    lacks (lesions, of controls) is left out too, as it would take the group with it.
    """
    least, volume = cohort.settings.checks.smallest_group, sample.volumes["total"][method].to_numpy(dtype=np.float64)
    group = sample.table["diagnosis"].to_numpy(dtype=object).astype(str)
    group = large_groups(group, np.isfinite(volume), least)
    while True:
        model = _design(cohort, sample, volume, group)
        complete = ~np.any(list(model.lost.values()), axis=0)
        smaller = large_groups(group, complete, least)
        if (smaller == group).all():
            return model, group
        group = smaller


def large_groups(group: np.ndarray, complete: np.ndarray, least: int) -> np.ndarray:
    """The groups of at least ``least`` complete rows; "" in place of the others."""
    large = [name for name in set(group) if name and int((complete & (group == name)).sum()) >= least]
    return np.where(np.isin(group, large), group, "")


def _design(cohort: Cohort, sample: Sample, volume: np.ndarray, group: np.ndarray) -> Design:
    settings = cohort.settings.group
    covariates = sample.covariates(covariates_of(cohort))
    lacking = {name: _lacking(values, volume, group) for name, values in covariates.items()}
    lacking = {} if settings.strict else {name: words for name, words in lacking.items() if words}
    covariates = {name: values for name, values in covariates.items() if name not in lacking}
    added = sites.modelled(cohort) and "site" not in covariates
    if added:
        covariates["site"] = sites.site_words(sample.table["site"])
    levels = sorted(set(group) - {""})
    dummies = {f"group {name}": np.where(group == "", np.nan, group == name).astype(float) for name in levels[1:]}
    model = design(
        "volume",
        {"volume": np.where(group == "", np.nan, volume), **dummies},
        covariates,
        strict=settings.strict,
        smallest=settings.smallest_level,
        dispensable=("site",) if added else (),
    )
    lost = {"volume": ~np.isfinite(volume), **{name: model.lost[name] for name in model.covariates}}
    return replace(model, left_out=lacking | dict(model.left_out), lost=lost)


def _lacking(values: np.ndarray, volume: np.ndarray, group: np.ndarray) -> str:
    """Which group has nobody with this covariate, in words, where others have it; "" for none."""
    there = known(values) & np.isfinite(volume)
    without = [name for name in sorted(set(group) - {""}) if not there[group == name].any()]
    return f"missing for everybody in {', '.join(without)}" if without and there.any() else ""


def compared(cohort: Cohort, sample: Sample, method: str) -> list[dict[str, Any]]:
    """Rows of the table for one method: the F test, then the contrasts."""
    checks = cohort.settings.checks
    model, named = model_of(cohort, sample, method)
    used = ~np.any(list(model.lost.values()), axis=0) & (named != "")
    group, rows = named[used], {name: values[used] for name, values in model.columns.items()}
    numeric = [name for name in model.covariates if name in rows]
    categories = [name for name in rows if "[" in name and name.split("[")[0] in model.covariates]
    start = {"method": method, "adjusted_for": " ".join(model.covariates)}
    start |= {name: words for name, words in model.told().items() if name != "formula"}
    levels = sorted(set(group))
    wanted = contrasts.pairs_of(levels, checks.controls, checks.contrasts == "all")
    columns = [rows[name] for name in (*numeric, *categories)]
    reason = "nobody has every value"
    if used.any():
        reason = contrasts.unfit(rows["volume"], group, (*numeric, *categories), columns)
    if checks.controls not in levels and checks.contrasts != "all":
        reason = reason or f"fewer than {checks.smallest_group} controls ({checks.controls})"
    if reason:
        return [start | {"group": OMNIBUS, "reference": "", "n": int(used.sum()), "p": np.nan, "reason": reason}]
    parts = columns[: len(numeric)], columns[len(numeric) :]
    differences = contrasts.ancova(rows["volume"], group, parts[0], wanted, parts[1])
    size, mean = (
        dict(zip(differences.groups, differences.n, strict=True)),
        dict(zip(differences.groups, differences.means, strict=True)),
    )
    shared = start | {"df": differences.df, "p_slopes": differences.p_slopes, "reason": ""}
    whole = {
        "statistic": differences.f,
        "df1": differences.df1,
        "p": differences.p,
        "partial_eta2": differences.partial_eta2,
    }
    entries = [shared | {"group": OMNIBUS, "reference": "", "n": int(used.sum()), **whole}]
    for one in differences.contrasts:
        numbers = {name: getattr(one, name) for name in CONTRASTS if hasattr(one, name)}
        means = {"adjusted_mean": mean[one.group], "adjusted_mean_reference": mean[one.reference]}
        percent = 100 * one.difference / mean[one.reference]
        sizes = {"n": size[one.group], "n_reference": size[one.reference], "difference_percent": percent}
        entries.append(shared | numbers | means | sizes)
    return entries


def small_groups(cohort: Cohort, sample: Sample) -> list[str]:
    """Which diagnosis groups are too small to be compared, in a sentence."""
    counts = sample.table["diagnosis"].value_counts()
    least = cohort.settings.checks.smallest_group
    small = [f"{name} ({n})" for name, n in counts.items() if name and n < least]
    return [f"diagnosis contrasts: groups of fewer than {least} people are left out: {', '.join(small)}."] * bool(small)


def left_out(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which covariates the comparisons do without, in sentences, and what that means where it is the site."""
    omnibus = [row for row in rows if row["group"] == OMNIBUS]
    notes = models.left_out_notes("diagnosis contrasts", omnibus)
    if any(f"site ({ALIASED})" in str(row["left_out"]) for row in omnibus):
        notes.append(
            "warning: diagnosis contrasts: diagnosis groups and sites go together, so that a difference between groups "
            "may be one between sites."
        )
    return notes


def section(tables: Tables) -> Section:
    """Groups against controls: adjusted differences, and norms."""
    section = Section("groups", "Diagnosis groups against controls")
    table = tables.get("diagnosis_contrasts", ("method", "group", "reference", "difference", "d", "p_fdr"))
    tested = table[table["difference"].notna()]
    section.add(_figure(tables), descriptive.normative(tables))
    if "left_out" in table.columns:
        section.warnings += [_sentence(note) for note in left_out(table.to_dict("records"))]
    norms = tables.get("normative", ("participant_id", "z", "reason"))
    section.warnings += [_sentence(note) for note in normative.without(norms) if note.startswith("warning:")]
    reasons = table["reason"].dropna().unique() if "reason" in table.columns else []
    if tested.empty:
        text = f"No groups could be compared: {listed([str(r) for r in reasons], 3)}." if len(reasons) else ""
        if section.figures:
            section.says += [text] * bool(text)
        else:
            section.nothing = text or "No groups could be compared: there are no diagnoses, or no volumes."
            return section
    section.says.append(_in_short(tested))
    if len(tested):
        section.tables.append(_shown(tables, tested))
        adjusted = tested["adjusted_for"].dropna().unique()
        words = listed([clinical_word(name) for name in str(adjusted[0]).split()], 6) if len(adjusted) else "nothing"
        section.caveats.append(
            f"Adjusted for {words} (analysis of covariance, common slopes); d is the difference over the residual "
            "standard deviation. p is corrected over methods times contrasts."
        )
    summary = tables.get("normative_summary", ("method", "diagnosis", "n", "mean", "share_low"))
    if len(summary.dropna(subset=["mean"])):
        section.tables.append(_norms(tables, summary.dropna(subset=["mean"])))
    return section


def _contrasts(tested: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Group, reference and rows of each contrast, in the order of the paper's diagnoses."""
    rows_of_contrast = dict(iter(tested.groupby(["group", "reference"], sort=False)))
    order = {
        name: place
        for place, name in enumerate(in_order({name for name, _ in rows_of_contrast}, descriptive.DIAGNOSES))
    }
    return [(*key, rows_of_contrast[key]) for key in sorted(rows_of_contrast, key=lambda key: (order[key[0]], key[1]))]


def _in_short(tested: pd.DataFrame) -> str:
    """Of each contrast how many methods differ, and by how much, in one sentence."""
    parts: list[str] = []
    for group, reference, rows in _contrasts(tested):
        differ = (
            f"{(rows['p_fdr'] < clinical.ALPHA).sum()} of {counted(len(rows), 'method') if not parts else len(rows)}"
        )
        ends = f"d {number(rows['d'].min())} to {number(rows['d'].max())}"
        parts.append(f"{group} against {reference}: {differ}{' differ' if not parts else ''} ({ends})")
    return f"{'; '.join(parts)}. Adjusted; corrected p below 0.05."


def _sentence(note: str) -> str:
    """A warning of the terminal on the page."""
    text = note.removeprefix("warning: ")
    return text[:1].upper() + text[1:]


def clinical_word(name: str) -> str:
    """How people read a covariate."""
    return {"icv_z": "intracranial volume", "icv_ml": "intracranial volume"}.get(name, name.replace("_", " "))


def _shown(tables: Tables, tested: Any) -> PageTable:
    rows = [
        [
            f"{row['group']} – {row['reference']}",
            look.label(row["method"]),
            number(row["difference"]),
            interval(row["ci_low"], row["ci_high"]),
            number(row["difference_percent"], 1),
            f"{number(row['d'])} {interval(row['d_ci_low'], row['d_ci_high'])}",
            p_value(row["p"]),
            p_value(row["p_fdr"]),
            f"{number(row['n'], 0)} / {number(row['n_reference'], 0)}",
            remark(row.get("reason")),
        ]
        for method in methods_in(tested)
        for row in rows_of(tested, method=method).to_dict("records")
    ]
    order = [f"{group} – {reference}" for group, reference, _ in _contrasts(tested)]
    rows.sort(key=lambda row: order.index(row[0]))
    header = ["Contrast", "Method", "Difference (mL)", "95 % interval", "%", "d", "p", "p corrected", "n", "Remark"]
    return PageTable("Adjusted differences", header, rows, tables.file("diagnosis_contrasts"))


def _norms(tables: Tables, summary: Any) -> PageTable:
    groups = descriptive.diagnoses_in(summary)
    rows = []
    for method in methods_in(summary):
        cells = []
        for group in groups:
            of_group = rows_of(summary, method=method, diagnosis=group)
            row = of_group.iloc[0] if len(of_group) else None
            text = "–" if row is None else f"{number(row['mean'])}; {number(100 * row['share_low'], 0)} %"
            cells.append(text if row is None else f"{text} ({number(row['n'], 0)})")
        rows.append([look.label(method), *cells])
    title = "Normative scores at baseline: mean z; share below the controls' 5th percentile (n)"
    return PageTable(title, ["Method", *groups], rows, tables.file("normative_summary"))


def _figure(tables: Tables) -> Figure | None:
    """The d of every contrast, a panel each."""
    table = tables.get("diagnosis_contrasts", ("method", "group", "reference", "d", "d_ci_low", "d_ci_high", "p_fdr"))
    panels = []
    for group, reference, contrast in _contrasts(table.dropna(subset=["d"])):
        rows, said = [], []
        for method in methods_in(contrast):
            row = contrast[contrast["method"] == method].iloc[0]
            good = bool(row["p_fdr"] < clinical.ALPHA)
            shape = look.colour(method), look.marker(method), good, stars(row["p_fdr"])
            rows.append(marks.Dot(look.label(method), row["d"], row["d_ci_low"], row["d_ci_high"], *shape))
            said.append(f"{look.label(method)} {number(row['d'])} (p {p_value(row['p_fdr'])})")
        draw = partial(marks.dots, rows=rows, xlabel="d (adjusted)")
        title = f"{group} – {reference}"
        panels.append(Panel(title, f"{title}: {listed(said, 12)}.", draw, height=marks.height(len(rows))))
    if not panels:
        return None
    intro = (
        "Adjusted difference in residual standard deviations, with 95 % interval; below 0: the first group has smaller "
        "thalami. Filled with a dot: corrected p below 0.05."
    )
    return Figure("groups", "Adjusted differences between groups", intro, panels, tables.file("diagnosis_contrasts"), 2)


ANALYSIS = Analysis(
    "groups", tables, ledgers, sections={"groups": section}, told=("diagnosis_contrasts", "normative_summary")
)
