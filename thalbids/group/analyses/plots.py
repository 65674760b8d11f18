"""Tables for figures that no other analysis writes: residuals of the models, and the PBVC per person."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from thalbids.bids.tables import PARTICIPANT, Column, Table, column, count, table
from thalbids.group.analyses import crosssectional, longitudinal
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, PAIR, SESSIONS
from thalbids.group.models import Plan
from thalbids.group.samples import Sample, baseline, pairs
from thalbids.group.statistics import fit

MIN_RESIDUALS = 3
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
}
WHOLEBRAIN: dict[str, Column] = {
    **PARTICIPANT,
    **PAIR,
    "pbvc": column("Percentage brain volume change", "Change of the whole brain between both sessions.", "percent"),
    "source": column("Source", "Where it comes from."),
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_residuals`` of one method (the first of the clinical models), what they say about normality and equal
    variances (``group_residual_checks``), and ``group_wholebrain``.
    """
    rows = [row for plan, sample, pair in _models(cohort) for row in _rows(plan, sample, pair, cohort.model_methods[0])]
    known = cohort.pbvc[cohort.pbvc["status"] == "ok"]
    people = known[list(WHOLEBRAIN)].to_dict("records")
    note = {"why": "to judge the choice of a logarithm and of robust errors (HC3) by eye; everybody, no subset"}
    return [
        table("group_residuals", rows, RESIDUALS, settings=note),
        table("group_residual_checks", checks(rows), CHECKS, settings=note),
        table("group_wholebrain", people, WHOLEBRAIN),
    ]


def checks(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``group_residual_checks``: one per model with three and more residuals."""
    models: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    keys = [name for name in CHECKS if name in RESIDUALS]
    for row in rows:
        models.setdefault(tuple(row[name] for name in keys), []).append(row)
    made = []
    for key, own in models.items():
        residual, fitted = (np.array([row[name] for row in own]) for name in ("residual", "fitted"))
        if residual.size >= MIN_RESIDUALS:
            r = math.nan if fit.constant(residual) else float(stats.probplot(residual)[1][2])
            rho = (
                math.nan
                if fit.constant(fitted) or fit.constant(np.abs(residual))
                else float(stats.spearmanr(fitted, np.abs(residual)).statistic)
            )
            made.append({**dict(zip(keys, key, strict=True)), "n": residual.size, "qq_r": r, "spread_rho": rho})
    return made


def _models(cohort: Cohort) -> Iterator[tuple[Plan, Sample, str]]:
    """The plans of both analyses; those with a logarithm also without it."""
    if not cohort.model_methods:
        return
    cross = crosssectional.plan()
    yield cross, baseline(cohort), ""
    yield replace(cross, logged=(), outcomes=cross.logged), baseline(cohort), ""
    for pair in longitudinal.pairs_of(cohort)[:1]:
        yield longitudinal.plan(), pairs(cohort, pair), pair


def _rows(plan: Plan, sample: Sample, pair: str, method: str) -> Iterator[dict[str, Any]]:
    """The residuals of every model of a plan that can be fitted."""
    people = sample.table["participant_id"].to_numpy()
    for outcome in plan.outcomes:
        columns = plan.columns(sample, outcome, method)
        used = fit.listwise(columns)
        rows = {name: values[used] for name, values in columns.items()}
        predictors = (plan.predictor, *plan.covariates)
        if fit.missing(columns, used) or fit.unfit(outcome, predictors, rows):
            continue
        X = np.column_stack([*(rows[name] for name in predictors), np.ones(used.sum())])
        expected = X @ np.linalg.lstsq(X, rows[outcome], rcond=None)[0]
        transform = "log" if outcome in plan.logged else "none"
        for person, value, y in zip(people[used], expected, rows[outcome], strict=True):
            yield {
                "analysis": plan.analysis, "outcome": outcome, "method": method, "transform": transform,
                "sessions": pair, "participant_id": person, "fitted": value, "residual": y - value,
            }  # fmt: skip


ANALYSIS = Analysis("plots", tables, told=("residuals", "residual_checks", "wholebrain"))
