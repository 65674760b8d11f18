"""The score at follow-up given that at baseline, on the change of the volume: beside the models of the change score."""

from __future__ import annotations

from dataclasses import replace

from thalbids.bids.tabular.own import OUTCOMES
from thalbids.bids.tabular.tables import Column, Table, column, table
from thalbids.group.analyses.clinical import longitudinal
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import FITTED, METHOD, SESSIONS, SUBSET
from thalbids.group.modelling import models
from thalbids.group.modelling.models import Rows
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import pairs
from thalbids.group.statistics.fits import signs
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.beyond import View

TERM = "baseline_score"
COLUMNS: dict[str, Column] = {
    "outcome": column("Outcome", "Score at the follow-up; the score at the baseline is a covariate."),
    **METHOD,
    **SUBSET,
    **SESSIONS,
    **FITTED,
    **CHANGE_MEASURE,
    "term": FITTED["term"] | {"Levels": {**FITTED["term"]["Levels"], TERM: "The score at the baseline"}},  # type: ignore[operator, dict-item]
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_baseline_adjusted``."""
    rows: Rows = []
    for of_measure, pair in longitudinal.measures_of(cohort):
        for name in OUTCOMES:
            rows += with_measure(_of_score(of_measure, pair, name))
    family = ("change_measure", "sessions", "subset")
    families = {"p_fdr": family, "p_fdr_outcome": (*family, "outcome")}
    adjust(rows, families, {"term": longitudinal.plan(cohort).predictor})
    signs.warn(rows)
    choices = longitudinal.choices(cohort)
    covariates = " + ".join(longitudinal.plan(cohort).covariates)
    choices["model"] = f"score at follow-up ~ change of volume + score at baseline + {covariates}"
    return [table("group_baseline_adjusted", [_named(row) for row in rows], COLUMNS, settings=choices)]


def _of_score(cohort: Cohort, pair: str, name: str) -> Rows:
    """The models of one score, with the outcome's name as in group_longitudinal."""
    base = longitudinal.plan(cohort)
    robust = (f"{name}_followup",) if f"d_{name}" in base.robust else ()
    plan = replace(
        base,
        analysis="baseline_adjusted",
        outcomes=(f"{name}_followup",),
        covariates=(f"{name}_baseline", *base.covariates),
        robust=robust,
    )
    rows = models.rows(plan, cohort, pairs(cohort, pair), sessions=pair)
    for row in rows:
        row["outcome"] = f"d_{name}"
        if row["term"] == plan.predictor:
            row["sign"] = signs.sign(row["outcome"], row["estimate"])
        elif row["term"] == f"{name}_baseline":
            row["term"] = TERM
    return rows


def _named(row: dict[str, object]) -> dict[str, object]:
    name = str(row["outcome"]).removeprefix("d_")
    kept = {key: value for key, value in row.items() if key in COLUMNS}
    return {**kept, "outcome": f"{name}_followup"}


VIEW = View(
    "Score at follow-up given the baseline: the coefficient of the change of volume",
    {"subset": ("all",), "term": ("delta_volume_ml",)},
    ("outcome", "method", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason"),
)
ANALYSIS = Analysis("baseline_score", tables, views={"baseline_adjusted": VIEW})
