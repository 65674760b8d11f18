"""Left, right and asymmetry in place of the whole thalamus: beyond the paper."""

from __future__ import annotations

from thalbids.bids.tabular.tables import Column, Table, column, table
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.analyses.clinical.longitudinal import LONGITUDINAL
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.modelling import models
from thalbids.group.modelling.missing import after_fit, missing_table
from thalbids.group.modelling.models import Rows
from thalbids.group.modelling.registered import with_measure
from thalbids.group.modelling.samples import ALL, MEASURES, baseline, pairs
from thalbids.reports.group.beyond import View

SIDES: dict[str, Column] = {
    "analysis": column("Analysis", "crosssectional or longitudinal: the model that the measure enters."),
    **LONGITUDINAL,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_sides``, and the ledger; each measure of each analysis is a family of its own."""
    cross = baseline(cohort)
    changes = [(of_measure, pair, pairs(of_measure, pair)) for of_measure, pair in longitudinal.measures_of(cohort)]
    rows: Rows = []
    lost: Rows = []
    for measure in MEASURES[1:]:
        plan = crosssectional.plan(cohort, measure)
        fitted = models.rows(plan, cohort, cross, (ALL,))
        rows += _named("crosssectional", fitted)
        lost += after_fit(models.ledgers(plan, cohort, cross), fitted)
        plan = longitudinal.plan(cohort, measure=measure)
        for of_measure, pair, sample in changes:
            fitted = models.rows(plan, of_measure, sample, (ALL,), sessions=pair)
            rows += _named("longitudinal", fitted)
            lost += after_fit(models.ledgers(plan, of_measure, sample, pair), fitted)
    everybody = [row for row in lost if row["subset"] == ALL]
    return [
        table("group_sides", with_measure(rows), SIDES, settings=longitudinal.choices(cohort)),
        missing_table(everybody),
    ]


def _named(analysis: str, rows: Rows) -> Rows:
    return [{"analysis": analysis, **row} for row in rows]


VIEW = View(
    "Left, right and asymmetry: the volume's coefficient",
    {"term": ("volume_ml", "delta_volume_ml", "asymmetry", "delta_asymmetry")},
    ("analysis", "outcome", "method", "measure", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason"),
)
ANALYSIS = Analysis("sides", tables, views={"sides": VIEW})
