"""Tables for figures that no other analysis writes: residuals of the models, and the PBVC per person."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from thalbids.bids.tabular.tables import PARTICIPANT, Column, Table, column, count, table
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, PAIR, SESSIONS
from thalbids.group.modelling import models
from thalbids.group.modelling.models import Plan
from thalbids.group.modelling.registered import measured
from thalbids.group.modelling.samples import ALL, Sample, baseline, pairs
from thalbids.group.statistics.fits import fit

ALPHA = 0.05
MIN_RESIDUALS = 3
THINNED = 400  # residuals that are kept of a model, besides those of the first method
RESIDUALS: dict[str, Column] = {
    "analysis": column("Analysis", "crosssectional or longitudinal: the models of the table of that name."),
    "outcome": column("Outcome", "Outcome of the model."),
    **METHOD,
    "transform": column("Transformation", "log: the natural logarithm of the outcome is modelled."),
    **SESSIONS,
    **PARTICIPANT,
    "fitted": column("Fitted value", "Value that the model expects, in the units of the outcome, or of its logarithm."),
    "residual": column("Residual", "Observed minus fitted value."),
}
CHECKS: dict[str, Column] = {
    **{name: RESIDUALS[name] for name in ("analysis", "outcome", "method", "transform", "sessions")},
    "n": count("Number", "Residuals of the model."),
    "qq_r": column("QQ correlation", "Correlation of the ordered residuals with normal quantiles; 1: normal."),
    "spread_rho": column(
        "Spread over fit",
        "Spearman's correlation of the size of the residuals with the fitted values; far from 0: unequal variances.",
    ),
    "claim": column(
        "Claim",
        "Whether the corrected p of the volume is below 0.05, so that the model enters a claim.",
        Levels={"true": "It is", "false": "It is not"},
    ),
}
WHOLEBRAIN: dict[str, Column] = {
    **PARTICIPANT,
    **PAIR,
    "pbvc": column("Percentage brain volume change", "Change of the whole brain between both sessions.", "percent"),
    "source": column("Source", "Where it comes from."),
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_residuals`` of the first method and of every model that enters a claim (corrected p of the volume below
    0.05), what the residuals of all models say about normality and equal variances (``group_residual_checks``), and
    ``group_wholebrain``.
    """
    rows: list[dict[str, Any]] = []
    checked: list[dict[str, Any]] = []
    for of_measure, plan, sample, pair, fitted in _models(cohort):
        claimed = claims(fitted, plan.predictor)
        for method in of_measure.model_methods:
            for residuals in _residuals(plan, sample, pair, method):
                claim = (residuals.key["outcome"], method) in claimed
                checked += [{**row, "claim": claim} for row in checks(residuals)]
                first = method == cohort.model_methods[0]
                rows += residuals.rows(None) if first else residuals.rows(THINNED) if claim else []
    known = cohort.pbvc[cohort.pbvc["status"] == "ok"]
    people = known[list(WHOLEBRAIN)].to_dict("records")
    note: dict[str, object] = {"thinned_to": THINNED}
    note |= {"why": "to judge the choice of a logarithm and of robust errors (HC3) by eye; everybody, no subset"}
    return [
        table("group_residuals", rows, RESIDUALS, settings=note),
        table("group_residual_checks", checked, CHECKS, settings=note),
        table("group_wholebrain", people, WHOLEBRAIN),
    ]


def claims(rows: Iterable[Mapping[str, Any]], predictor: str) -> set[tuple[str, str]]:
    """Outcome and method of the models of everybody whose volume has a corrected p below 0.05."""
    volume = [row for row in rows if row["subset"] == ALL and row["term"] == predictor]
    return {(row["outcome"], row["method"]) for row in volume if row["p_fdr"] < ALPHA}


def plan_without_logarithm(cohort: Cohort) -> Plan:
    """The models of the outcomes with a logarithm, without it: to see what it is for."""
    cross = crosssectional.plan(cohort)
    return replace(cross, logged=(), outcomes=tuple(name for name in cross.outcomes if name in cross.logged))


@dataclass(frozen=True)
class Residuals:
    """The residuals of one model: what tells it apart, people, fitted values and residuals, (n,) each."""

    key: dict[str, str]
    people: np.ndarray
    fitted: np.ndarray
    residual: np.ndarray

    def rows(self, most: int | None) -> list[dict[str, Any]]:
        """Rows of ``group_residuals``; of more than ``most`` those evenly spaced in their order by size."""
        places = np.arange(self.residual.size)
        if most is not None and places.size > most:
            order = np.argsort(self.residual, kind="stable")
            places = order[np.unique(np.linspace(0, places.size - 1, most).round().astype(int))]
        return [
            {**self.key, "participant_id": self.people[i], "fitted": self.fitted[i], "residual": self.residual[i]}
            for i in places
        ]


def checks(residuals: Residuals) -> list[dict[str, Any]]:
    """The row of ``group_residual_checks`` of a model with three and more residuals."""
    if residuals.residual.size < MIN_RESIDUALS:
        return []
    size = np.abs(residuals.residual)
    r = math.nan if fit.constant(residuals.residual) else float(stats.probplot(residuals.residual)[1][2])
    flat = fit.constant(residuals.fitted) or fit.constant(size)
    rho = math.nan if flat else float(stats.spearmanr(residuals.fitted, size).statistic)
    return [{**residuals.key, "n": residuals.residual.size, "qq_r": r, "spread_rho": rho}]


def _models(cohort: Cohort) -> Iterator[tuple[Cohort, Plan, Sample, str, models.Rows]]:
    """The plans of both analyses and their rows; those with a logarithm also without it, which enter no claim."""
    if not cohort.model_methods:
        return
    yield cohort, crosssectional.plan(cohort), baseline(cohort), "", crosssectional.fitted(cohort)
    yield cohort, plan_without_logarithm(cohort), baseline(cohort), "", []
    for pair in longitudinal.pairs_of(cohort)[:1]:
        for _, of_measure in measured(cohort, pair):
            yield (
                of_measure,
                longitudinal.plan(of_measure),
                pairs(of_measure, pair),
                pair,
                longitudinal.fitted(of_measure, pair),
            )


def _residuals(plan: Plan, sample: Sample, pair: str, method: str) -> Iterator[Residuals]:
    """The residuals of every model of a plan that can be fitted."""
    people = sample.table["participant_id"].to_numpy()
    for outcome in plan.outcomes:
        if outcome in plan.levels:
            continue  # proportional odds have no residuals
        model = plan.design(sample, outcome, method)
        columns, predictors = model.columns, model.predictors
        used = fit.listwise(columns)
        rows = {name: values[used] for name, values in columns.items()}
        if fit.missing(columns, used) or fit.unfit(outcome, predictors, rows):
            continue
        X = np.column_stack([*(rows[name] for name in predictors), np.ones(used.sum())])
        expected = X @ np.linalg.lstsq(X, rows[outcome], rcond=None)[0]
        transform = "log" if outcome in plan.logged else "none"
        key = {"analysis": plan.analysis, "outcome": outcome, "method": method, "transform": transform}
        yield Residuals(key | {"sessions": pair}, people[used], expected, rows[outcome] - expected)


ANALYSIS = Analysis("plots", tables, told=("residuals", "residual_checks", "wholebrain"))
