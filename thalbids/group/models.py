"""One linear model per method and outcome: what cross-sectional and longitudinal analyses have in common.

A :class:`Plan` says which models an analysis has; :func:`rows` fits them, :func:`ledgers` counts their rows without
fitting anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalbids.group.cohort import Cohort
from thalbids.group.missing import ledger
from thalbids.group.samples import Sample, subsets
from thalbids.group.statistics import fit, signs
from thalbids.group.statistics.correction import adjust

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """The models of an analysis.

    Attributes
    ----------
    analysis : its name in ``group_missing``
    outcomes : columns of the sample's table
    predictor : name of the volume term
    covariates : columns of the sample's table
    robust : outcomes with HC3 covariance
    logged : outcomes whose natural logarithm is modelled
    measure : which volumes: total, left, right, asymmetry
    sensitivity : what was done to the predictor; ``none``
    prepare : changes the predictor (over all rows of the subset, before listwise deletion)
    """

    analysis: str
    outcomes: tuple[str, ...]
    predictor: str
    covariates: tuple[str, ...]
    robust: tuple[str, ...] = ()
    logged: tuple[str, ...] = ()
    measure: str = "total"
    sensitivity: str = "none"
    prepare: Callable[[np.ndarray], np.ndarray] = field(default=lambda values: values)

    def columns(self, sample: Sample, outcome: str, method: str) -> dict[str, np.ndarray]:
        """What the model is fitted on: outcome, predictor, covariates, in this order."""
        y = sample.columns([outcome])[outcome]
        if outcome in self.logged:
            y = np.log(np.where(y > 0, y, np.nan))
        x = self.prepare(sample.volumes[self.measure][method].to_numpy(dtype=np.float64))
        return {outcome: y, self.predictor: x, **sample.columns(self.covariates)}


def rows(plan: Plan, cohort: Cohort, sample: Sample, chosen: tuple[str, ...] | None = None, **more: str) -> Rows:
    """Every term of every model: methods x outcomes within each subset (``chosen``; None takes `subsets`).

    ``p_fdr`` is adjusted over the methods x outcomes of a subset, ``p_fdr_outcome`` over the methods of an outcome;
    both on the volume term only.
    """
    made: Rows = []
    methods = cohort.model_methods
    for subset in subsets(cohort) if chosen is None else chosen:
        inside = sample.within(subset)
        for outcome in plan.outcomes:
            cov_type = "HC3" if outcome in plan.robust else "nonrobust"
            for method in methods:
                columns = plan.columns(inside, outcome, method)
                fitted = fit.ols(outcome, (plan.predictor, *plan.covariates), columns, cov_type)
                key = {"outcome": outcome, "method": method, "subset": subset, "sensitivity": plan.sensitivity}
                made += [key | more | row for row in _terms(plan, outcome, fitted)]
    adjust(made, {"p_fdr": ("subset",), "p_fdr_outcome": ("subset", "outcome")}, {"term": plan.predictor})
    signs.warn(made)
    return made


def ledgers(plan: Plan, cohort: Cohort, sample: Sample, pair: str = "") -> Rows:
    """How many rows each model has, and which missing column costs how many."""
    made = []
    methods = cohort.model_methods
    for subset in subsets(cohort):
        inside = sample.within(subset)
        for outcome in plan.outcomes:
            for method in methods:
                columns = plan.columns(inside, outcome, method)
                lost = {f"no {_word(plan, outcome, name)}": ~np.isfinite(values) for name, values in columns.items()}
                made.append(ledger(plan.analysis, outcome, method, lost, subset=subset, sessions=pair))
    return made


def _word(plan: Plan, outcome: str, name: str) -> str:
    known = {outcome: "outcome", plan.predictor: "volume", "icv_z": "icv", "interval_years": "interval"}
    return known.get(name, name)


def _terms(plan: Plan, outcome: str, fitted: fit.Fitted) -> Rows:
    made = []
    for term in fitted.terms:
        main = term.name == plan.predictor and plan.measure != "asymmetry"
        made.append(
            {
                "measure": plan.measure,
                "transform": "log" if outcome in plan.logged else "none",
                "cov_type": fitted.cov_type,
                "reference": fitted.reference,
                "term": term.name,
                "estimate": term.estimate,
                "se": term.se,
                "ci_low": term.ci_low,
                "ci_high": term.ci_high,
                "statistic": term.statistic,
                "p": term.p,
                "partial_r2": term.partial_r2,
                "beta_std": term.beta_std,
                "n": fitted.n,
                "r2": fitted.r2,
                "sign": signs.sign(outcome, term.estimate) if main else "",
                "warning": "",
                "reason": fitted.reason,
            }
        )
    return made
