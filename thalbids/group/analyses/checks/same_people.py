"""Methods on the same people: the clinical models on the other sample, and whether associations differ by method.

A method that lacks in some people is fitted on fewer, or other, people than the rest. The common sample has everybody
whom all methods have, where a difference between methods is no difference between people.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.results.names import mask_of
from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.checks import missing_by_method
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import FITTED, METHOD, METHOD2, OUTCOME, REASON, SESSIONS, SUBSET
from thalbids.group.modelling import models
from thalbids.group.modelling.models import Plan, Rows
from thalbids.group.modelling.registered import CHANGE_MEASURE, by_registration, with_measure
from thalbids.group.modelling.samples import SAMPLES, Sample, baseline, pairs, subsets
from thalbids.group.statistics.fits import fit
from thalbids.group.statistics.testing import associations
from thalbids.group.statistics.testing.associations import Difference
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, interval, listed, methods_in, number, p_value, rows_of
from thalbids.reports.group.section import PageTable, Section, by_measure

ANALYSIS_COLUMN = {
    "analysis": column("Analysis", "crosssectional or longitudinal: the models of the table of that name.")
}
OTHER_SAMPLE: dict[str, Column] = {
    **ANALYSIS_COLUMN,
    "sample": column(
        "Sample",
        "People of the model; the tables of the models have the other sample (setting group.sample).",
        Levels={"available": "Everybody whom the method has", "common": "Those whom every method compared has"},
    ),
    **longitudinal.LONGITUDINAL,
}
QUANTITIES = ("partial_r", "beta_std", "r2")
ASSOCIATIONS: dict[str, Column] = {
    **ANALYSIS_COLUMN,
    **OUTCOME,
    **SUBSET,
    **SESSIONS,
    **METHOD,
    **METHOD2,
    "quantity": column(
        "Quantity",
        "What is compared.",
        Levels={
            "partial_r": "Partial correlation of outcome and volume given the covariates",
            "beta_std": "Standardised coefficient of the volume",
            "r2": "R2 of the model",
        },
    ),
    "estimate": column("First method", "The quantity of the first method, on these people."),
    "estimate2": column("Second method", "The quantity of the second method, on the same people."),
    "difference": column("Difference", "First minus second; below 0 is stronger where the association is negative."),
    "ci_low": column("Lower bound", "Of the 95 % interval of the difference: Zou's (partial_r), percentile bootstrap."),
    "ci_high": column("Upper bound", "Of the 95 % interval of the difference."),
    "test": column(
        "Test", "steiger: Steiger's z of partial correlations; bootstrap: difference / SD of the resamples."
    ),
    "statistic": column("Statistic", "z."),
    "p": column("p value", "Two-sided, normal."),
    "p_fdr": column(
        "Adjusted p value",
        "Benjamini-Hochberg over all pairs x outcomes of an analysis, subset and quantity; a "
        "change by registration against that of the same method's volumes is a family of its own.",
    ),
    "p_fdr_outcome": column("Adjusted p value within the outcome", "Benjamini-Hochberg over the pairs of methods."),
    "n": count("Number of people", "With every method compared, the outcome and the covariates."),
    "stronger": column(
        "Stronger", "The method whose association is further from 0, where p_fdr is below 0.05; n/a where it is not."
    ),
    "formula": FITTED["formula"],
    **REASON,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_samples`` and ``group_associations``."""
    group = cohort.settings.group
    other = SAMPLES[SAMPLES.index(group.sample) - 1]
    rows, notes = other_sample(cohort, other)
    tests = with_measure([*compare(cohort), *compare_measures(cohort)])
    choices = {
        "sample": group.sample,
        "methods": list(cohort.compared),
        "draws": group.bootstrap,
        "seed": cohort.settings.run.seed,
    }
    return [
        table("group_samples", with_measure(rows), OTHER_SAMPLE, settings=choices, notes=notes),
        table("group_associations", tests, ASSOCIATIONS, settings=choices),
    ]


def _samples(cohort: Cohort, which: str) -> Iterator[tuple[Cohort, Plan, Sample, str]]:
    """The main models, each with its cohort: changes by registration last."""
    yield cohort, crosssectional.plan(cohort), baseline(cohort, which), ""
    for of_measure, pair in longitudinal.measures_of(cohort):
        yield of_measure, longitudinal.plan(of_measure), pairs(of_measure, pair, which), pair


def other_sample(cohort: Cohort, other: str) -> tuple[Rows, list[str]]:
    """Rows of ``group_samples``, and what to say; none where both samples are the same people."""
    rows: Rows = []
    notes = []
    for (of_measure, plan, sample, pair), (_, _, common, _), (_, _, available, _) in zip(
        *(_samples(cohort, which) for which in (other, "common", "available")), strict=True
    ):
        some = available.volumes["total"][list(of_measure.compared)].notna().any(axis=1).sum()
        if len(common.table) == len(available.table) or not some:
            continue
        by = "" if of_measure is cohort else " by registration"
        what = "people" if not pair else f"pairs of sessions ({pair})"
        notes.append(
            f"{plan.analysis}: {len(common.table)} of {some} {what} have all of {len(of_measure.compared)} methods"
            f"{by}; the models on the {other} sample are in group_samples."
        )
        kept = replace(of_measure, settings=_only(of_measure))
        more = {"sessions": pair} if pair else {}
        rows += [{"analysis": plan.analysis, "sample": other, **row} for row in models.rows(plan, kept, sample, **more)]
    return rows, notes


def _only(cohort: Cohort) -> Any:
    """Settings with the methods that are compared alone in the models."""
    left_out = tuple(name for name in cohort.methods if name not in cohort.compared)
    return replace(cohort.settings, group=replace(cohort.settings.group, not_in_models=left_out))


def compare(cohort: Cohort) -> Rows:
    """Rows of ``group_associations``: every pair of methods on the people who have all of them."""
    rows: Rows = []
    for of_measure, plan, sample, pair in _samples(cohort, "common") if len(cohort.compared) > 1 else ():
        rows += _compared(cohort, cohort.compared, plan, sample, pair) if of_measure is cohort else []
    return _adjusted(rows)


def compare_measures(cohort: Cohort) -> Rows:
    """Rows of ``group_associations``: change by registration against that of the same method's volumes, on the people
    who have both.
    """
    rows: Rows = []
    for pair in longitudinal.pairs_of(cohort):
        registered = by_registration(cohort, pair)
        if registered is None:
            continue
        volumes, moved = (pairs(one, pair, "available") for one in (cohort, registered))  # the same pairs in one order
        for name in (name for name in registered.compared if mask_of(name) in cohort.compared):
            of = {name: moved.volumes["total"][name], mask_of(name): volumes.volumes["total"][mask_of(name)]}
            total = pd.DataFrame({key: values.to_numpy() for key, values in of.items()})
            sample = Sample(volumes.table, {"total": total}).where(total.notna().all(axis=1).to_numpy())
            rows += _compared(cohort, tuple(of), longitudinal.plan(cohort), sample, pair)
    return _adjusted(rows)


def _compared(cohort: Cohort, methods: tuple[str, ...], plan: Plan, sample: Sample, pair: str) -> Rows:
    """The pairs of these methods for every subset and outcome."""
    rows: Rows = []
    for subset in subsets(cohort):
        inside = sample.within(subset)
        models = [_model(methods, plan, inside, outcome) for outcome in plan.outcomes]
        fitted = _fitted(cohort, models)
        for model in models:
            key = {"analysis": plan.analysis, "outcome": model.outcome, "subset": subset, "sessions": pair}
            rows += [key | row for row in _rows(methods, model, fitted.get(model.outcome))]
    return rows


def _adjusted(rows: Rows) -> Rows:
    """The rows, one family, with corrected p and the method that is stronger."""
    family = ("analysis", "subset", "sessions", "quantity")
    adjust(rows, {"p_fdr": family, "p_fdr_outcome": (*family, "outcome")})
    for row in rows:
        row["stronger"] = ""
        if row["p_fdr"] < clinical.ALPHA:
            row["stronger"] = row["method" if abs(row["estimate"]) > abs(row["estimate2"]) else "method2"]
    return rows


@dataclass(frozen=True)
class _Model:
    """The people of one outcome: outcome (n,), volumes (n, methods), covariates with the intercept (n, k)."""

    outcome: str
    y: np.ndarray
    V: np.ndarray
    X: np.ndarray
    formula: str
    reason: str

    @property
    def people(self) -> tuple[bytes, bytes]:
        """The same for outcomes known of the same people."""
        return self.V.tobytes(), self.X.tobytes()


@dataclass(frozen=True)
class _Fitted:
    """Quantities (methods,) of one outcome, and their resamples (draws, methods)."""

    values: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]


def _model(methods: tuple[str, ...], plan: Plan, sample: Sample, outcome: str) -> _Model:
    design = plan.design(sample, outcome, methods[0])
    used = fit.listwise(design.columns)
    X = np.column_stack([*(design.columns[name][used] for name in design.predictors[1:]), np.ones(int(used.sum()))])
    V = sample.volumes["total"].loc[used, list(methods)].to_numpy(dtype=np.float64)
    y = design.columns[outcome][used]
    reason = "proportional odds have no partial correlation" if outcome in plan.levels else ""
    reason = reason or fit.missing(design.columns, used) or associations.unfit(y, V, X, methods)
    return _Model(outcome, y, V, X, design.formula, reason)


def _fitted(cohort: Cohort, models: Sequence[_Model]) -> dict[str, _Fitted]:
    """Estimates and resamples by outcome; outcomes of the same people are resampled together."""
    alike: dict[tuple[bytes, bytes], list[_Model]] = {}
    for model in models:
        if not model.reason:
            alike.setdefault(model.people, []).append(model)
    fits = {}
    for of_people in alike.values():
        Y = np.column_stack([model.y for model in of_people])
        point = associations.fits(Y, of_people[0].V, of_people[0].X)
        settings = cohort.settings
        drawn = associations.resampled(Y, of_people[0].V, of_people[0].X, settings.run.seed, settings.group.bootstrap)
        for i, model in enumerate(of_people):
            values = {"partial_r": point.partial[i], "beta_std": point.beta[i], "r2": point.r2[i]}
            fits[model.outcome] = _Fitted(values, {"beta_std": drawn.beta[:, i], "r2": drawn.r2[:, i]})
    return fits


def _rows(methods: Sequence[str], model: _Model, fitted: _Fitted | None) -> Iterator[dict[str, Any]]:
    """The pairs of methods for one outcome."""
    shared = {"n": model.y.size, "formula": model.formula}
    left = associations.residuals(np.column_stack([model.y, model.V]), model.X) if fitted else None
    for i, j in itertools.combinations(range(len(methods)), 2):
        for quantity in QUANTITIES:
            names = {"method": methods[i], "method2": methods[j], "quantity": quantity, **shared}
            if fitted is None or left is None:
                nothing = dict.fromkeys(("estimate", "estimate2", "difference", "p"), math.nan)
                yield {**names, **nothing, "reason": model.reason}
                continue
            values = fitted.values[quantity]
            if quantity == "partial_r":
                ends = left[:, 0], left[:, i + 1], left[:, j + 1]
                test, difference = "steiger", associations.steiger_zou(*ends, model.X.shape[1] - 1)
            else:
                draws = fitted.draws[quantity]
                test, difference = (
                    "bootstrap",
                    associations.bootstrapped(values[i] - values[j], draws[:, i] - draws[:, j]),
                )
            both = {"estimate": float(values[i]), "estimate2": float(values[j])}
            yield {**names, "test": test, **both, **_numbers(difference)}


def _numbers(difference: Difference) -> dict[str, Any]:
    names = ("difference", "ci_low", "ci_high", "statistic", "p", "reason")
    return {name: getattr(difference, name) for name in names}


def section(tables: Tables) -> Section:
    """Whether methods differ on the same people."""
    section = Section("same_people", "Methods on the same people")
    lost = tables.get("missing_tests", ("analysis", "method", "lost", "variable", "p_fdr", "difference"))
    section.warnings += missing_by_method.said(lost.to_dict("records"))
    every = tables.get("associations", tuple(name for name in ASSOCIATIONS if name not in CHANGE_MEASURE))
    parts = dict(by_measure(every))
    tests = parts.get("", every.iloc[:0])
    other = tables.get("samples", ("analysis", "sample", "outcome", "method", "term", "estimate", "n"))
    if tests.empty and other.empty and not section.warnings:
        section.nothing = "There are fewer than two methods with volumes to compare."
        return section
    for analysis in dict.fromkeys(tests["analysis"]):
        _differences(section, rows_of(tests, analysis=analysis, subset="all"), str(analysis))
    for words, part in parts.items():
        tested = rows_of(part, subset="all").dropna(subset=["p_fdr"])
        if words and len(tested):
            section.says.append(
                "Change by registration and change of the same method's volumes differ in their associations, after "
                f"correction, for {_counts(tested)}."
            )
    if len(other):
        section.tables.append(_beside(tables, other))
    shown = [_cells(row) for row in rows_of(every[every["stronger"].notna()], subset="all").to_dict("records")]
    header = ["Models", "Outcome", "Methods", "Quantity", "Values", "Difference", "95 % interval", "p corrected", "n"]
    if shown:
        section.tables.append(
            PageTable("Differences with a corrected p below 0.05", header, shown, tables.file("associations"))
        )
    section.caveats += [
        "Every comparison is on people who have all of the methods compared (setting group.sample_methods).",
        "That one method is significant and another is not is no difference between them: only these tests say so.",
    ]
    return section


def _differences(section: Section, differences: pd.DataFrame, analysis: str) -> None:
    """A sentence on one analysis."""
    tested = differences.dropna(subset=["p_fdr"])
    name = "Cross-sectional" if analysis == "crosssectional" else "Longitudinal"
    if tested.empty:
        reasons = listed([str(reason) for reason in differences["reason"].dropna().unique()], 3)
        text = f"{name} associations could not be compared between methods, on the people who have all of them"
        section.says.append(f"{text} ({reasons}).")
        return
    people = tested.groupby("outcome")["n"].first()
    span = f"{people.min():.0f}" if people.min() == people.max() else f"{people.min():.0f} to {people.max():.0f}"
    section.says.append(
        f"{name} associations differ between methods, after correction, for {_counts(tested)} (n = {span} with every "
        "method)."
    )


def _counts(tested: pd.DataFrame) -> str:
    """How many pairs differ by each quantity, and which methods are stronger."""
    parts = []
    for quantity, words in (("partial_r", "partial correlations"), ("beta_std", "coefficients"), ("r2", "R²")):
        these = tested[tested["quantity"] == quantity]
        below = these[these["p_fdr"] < clinical.ALPHA]
        most = [look.label(str(m)) for m in below["stronger"].value_counts().index[:3]]
        parts.append(f"{len(below)} of {len(these)} pairs by {words}{f' (stronger: {listed(most)})' if most else ''}")
    return "; ".join(parts)


def _cells(row: dict[str, Any]) -> list[str]:
    both = f"{number(row['estimate'])}, {number(row['estimate2'])}"
    return [
        str(row["analysis"]),
        clinical.outcome_name(str(row["outcome"])),
        f"{look.label(str(row['method']))}, {look.label(str(row['method2']))}",
        str(row["quantity"]),
        both,
        number(row["difference"]),
        interval(row["ci_low"], row["ci_high"]),
        p_value(row["p_fdr"]),
        number(row["n"], 0),
    ]


def _beside(tables: Tables, other: pd.DataFrame) -> PageTable:
    """The volume's coefficients on both samples, each with its own n."""
    rows = []
    for analysis, term in clinical.VOLUME_TERMS.items():
        main = clinical.volume_rows(tables, analysis, subset="all", sensitivity="none")
        beside = rows_of(other[other["term"] == term], analysis=analysis, subset="all")
        for outcome in clinical.outcomes_in(beside):
            for method in methods_in(beside):
                pair = [rows_of(frame, outcome=outcome, method=method) for frame in (main, beside)]
                cells = [_cell(frame.iloc[0]) if len(frame) else ["–"] * 3 for frame in pair]
                rows.append([clinical.outcome_name(outcome), look.label(method), *cells[0], *cells[1]])
    which = str(other["sample"].iloc[0])
    first = SAMPLES[SAMPLES.index(which) - 1]
    header = ["Outcome", "Method", f"β ({first})", "p corrected", "n", f"β ({which})", "p corrected", "n"]
    return PageTable("The volume's coefficient on both samples", header, rows, tables.file("samples"))


def _cell(row: pd.Series) -> list[str]:
    return [number(row["estimate"], 3), p_value(row["p_fdr"]), number(row["n"], 0)]


ANALYSIS = Analysis("same_people", tables, sections={"same_people": section}, told=("samples", "associations"))
