"""One linear model per method and outcome: what cross-sectional and longitudinal analyses have in common.

A :class:`Plan` says which models an analysis has; :func:`rows` fits them, :func:`ledgers` counts their rows without
fitting anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalbids.group.cohort import Cohort
from thalbids.group.modelling.design import Design, design
from thalbids.group.modelling.missing import ledger
from thalbids.group.modelling.samples import MEASURES, Sample, subsets
from thalbids.group.modelling.sites import site_words
from thalbids.group.statistics.fits import fit, ordinal, signs
from thalbids.group.statistics.testing.correction import adjust

Rows = list[dict[str, Any]]
SIGNED = ("total", "left", "right")  # measures of which the sign of an association is expected


@dataclass(frozen=True)
class Plan:
    """The models of an analysis.

    Attributes
    ----------
    analysis : its name in ``group_missing``
    outcomes : columns of the sample's table
    predictor : name of the volume term
    covariates : columns of the sample's table: numbers, or words of a category
    robust : outcomes with HC3 covariance
    reference : distribution of the tests with HC3, ``z`` or ``t``
    logged : outcomes whose natural logarithm is modelled
    levels : outcomes that are modelled by proportional odds
    measure : which volumes: total, left, right, asymmetry; or the name of a quantitative map
    sensitivity : what was done to the predictor; ``none``
    prepare : changes the predictor (over all rows of the subset, before listwise deletion)
    strict : keep covariates that are absent or constant, so that the model is not fitted
    smallest : people whom a level of a categorical covariate needs
    site : the site is a covariate, where it is none already
    """

    analysis: str
    outcomes: tuple[str, ...]
    predictor: str
    covariates: tuple[str, ...]
    robust: tuple[str, ...] = ()
    reference: str = "z"
    logged: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    measure: str = "total"
    sensitivity: str = "none"
    prepare: Callable[[np.ndarray], np.ndarray] = field(default=lambda values: values)
    strict: bool = False
    smallest: int = 1
    site: bool = False

    def design(self, sample: Sample, outcome: str, method: str) -> Design:
        """What the model of this outcome and method is fitted on."""
        y = sample.columns([outcome])[outcome]
        logged = outcome in self.logged
        if logged:
            y = np.log(np.where(y > 0, y, np.nan))
        x = self.prepare(sample.volumes[self.measure][method].to_numpy(dtype=np.float64))
        covariates = sample.covariates(self.covariates)
        added = self.site and "site" not in covariates
        if added:
            covariates["site"] = site_words(sample.table["site"])
        return design(
            outcome,
            {outcome: y, self.predictor: x},
            covariates,
            strict=self.strict,
            smallest=self.smallest,
            dispensable=("site",) if added else (),
            logged=logged,
        )

    def fitted(self, of_model: Design) -> fit.Fitted:
        """The model of a design: least squares, or proportional odds."""
        if of_model.outcome in self.levels:
            return ordinal.levels(of_model.outcome, of_model.predictors, of_model.columns)
        cov_type = "HC3" if of_model.outcome in self.robust else "nonrobust"
        return fit.ols(of_model.outcome, of_model.predictors, of_model.columns, cov_type, self.reference)


def rows(plan: Plan, cohort: Cohort, sample: Sample, chosen: tuple[str, ...] | None = None, **more: str) -> Rows:
    """Every term of every model: methods x outcomes within each subset (``chosen``; None takes `subsets`).

    ``p_fdr`` is adjusted over the methods x outcomes of a subset, ``p_fdr_outcome`` over the methods of an outcome;
    both on the volume term only.
    """
    terms: Rows = []
    methods = cohort.model_methods
    for subset in subsets(cohort) if chosen is None else chosen:
        inside = sample.within(subset)
        for outcome in plan.outcomes:
            for method in methods:
                model = plan.design(inside, outcome, method)
                key = {"outcome": outcome, "method": method, "subset": subset, "sensitivity": plan.sensitivity}
                terms += [key | more | row | model.told() for row in _terms(plan, outcome, plan.fitted(model))]
    adjust(terms, {"p_fdr": ("subset",), "p_fdr_outcome": ("subset", "outcome")}, {"term": plan.predictor})
    signs.warn(terms)
    return terms


def ledgers(plan: Plan, cohort: Cohort, sample: Sample, pair: str = "") -> Rows:
    """How many rows each model has, and which missing column costs how many."""
    lines = []
    methods = cohort.model_methods
    for subset in subsets(cohort):
        inside = sample.within(subset)
        for outcome in plan.outcomes:
            for method in methods:
                model = plan.design(inside, outcome, method)
                lost = {f"no {_word(plan, outcome, name)}": mask for name, mask in model.lost.items()}
                lines.append(ledger(plan.analysis, outcome, method, lost, subset=subset, sessions=pair))
    return lines


def left_out_notes(analysis: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Sentences for the terminal and the page: which covariates were left out of how many models, and why."""
    models = {
        tuple(str(row.get(name)) for name in _MODEL): _text(row.get("left_out"))
        for row in rows
        if row.get("sensitivity", "none") == "none"
    }
    counts = Counter(part for told in models.values() for part in told.split("; ") if part)
    return [
        f"warning: {analysis}: {part.split(' (')[0]} is left out of {n} of {len(models)} models: "
        f"{part.split(' (', 1)[1].removesuffix(')')}."
        for part, n in counts.items()
    ]


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else ""


_MODEL = ("outcome", "method", "subset", "sessions", "threshold")


def costly_notes(ledgers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on covariates whose missing values cost a model more people than it keeps."""
    costs: dict[tuple[str, str], list[str]] = {}
    for row in ledgers:
        reasons = [key for key, value in row.items() if key.startswith("lost_") and value == value]
        for place, key in enumerate(reasons):
            costly = key.startswith("lost_no_") and key not in _NEEDED
            have = row["n_used"] + sum(row[later] for later in reasons[place + 1 :])  # lost for a later reason
            if costly and row[key] > have and row["n_used"] > 0:
                costs.setdefault((row["analysis"], key.removeprefix("lost_no_")), []).append(f"{row['n_used']}")
    return [
        f"warning: {analysis}: {name.replace('_', ' ')} is missing for more people than have it in {len(used)} of "
        f"{sum(row['analysis'] == analysis for row in ledgers)} models (n at most {max(used, key=int)}); without this "
        "covariate they would have more."
        for (analysis, name), used in costs.items()
    ]


_NEEDED = ("lost_no_outcome", "lost_no_volume")


def _word(plan: Plan, outcome: str, name: str) -> str:
    main = "volume" if plan.measure in MEASURES else plan.measure
    known = {outcome: "outcome", plan.predictor: main, "icv_z": "icv", "interval_years": "interval"}
    return known.get(name, name)


def _terms(plan: Plan, outcome: str, fitted: fit.Fitted) -> Rows:
    rows = []
    for term in fitted.terms:
        main = term.name == plan.predictor and plan.measure in SIGNED
        rows.append(
            {
                "measure": plan.measure,
                "transform": "log" if outcome in plan.logged else "ordinal" if outcome in plan.levels else "none",
                "cov_type": fitted.cov_type,
                "reference": fitted.reference,
                **term.cells(),
                "partial_r2": term.partial_r2,
                "beta_std": term.beta_std,
                "n": fitted.n,
                "r2": fitted.r2,
                "sign": signs.sign(outcome, term.estimate) if main else "",
                "warning": "",
                "reason": fitted.reason,
            }
        )
    return rows
