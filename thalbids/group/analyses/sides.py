"""Left, right and asymmetry in place of the whole thalamus: beyond the paper."""

from __future__ import annotations

from thalbids.bids.tables import Table, table
from thalbids.group.analyses import crosssectional, longitudinal
from thalbids.group.cohort import Cohort
from thalbids.group.missing import after_fit, missing_table
from thalbids.group.model_columns import SIDES
from thalbids.group.samples import ALL, MEASURES, baseline, pairs
from thalbids.group.statistics import models
from thalbids.group.statistics.models import Rows


def tables(cohort: Cohort) -> list[Table]:
    """``group_sides``, and the ledger; each measure of each analysis is a family of its own."""
    cross = baseline(cohort)
    changes = {pair: pairs(cohort, pair) for pair in longitudinal.pairs_of(cohort)}
    rows: Rows = []
    lost: Rows = []
    for measure in MEASURES[1:]:
        plan = crosssectional.plan(measure)
        fitted = models.rows(plan, cohort, cross, (ALL,))
        rows += _named("crosssectional", fitted)
        lost += after_fit(models.ledgers(plan, cohort, cross), fitted)
        plan = longitudinal.plan(measure=measure)
        for pair, sample in changes.items():
            fitted = models.rows(plan, cohort, sample, (ALL,), sessions=pair)
            rows += _named("longitudinal", fitted)
            lost += after_fit(models.ledgers(plan, cohort, sample, pair), fitted)
    everybody = [row for row in lost if row["subset"] == ALL]
    return [table("group_sides", rows, SIDES, settings=longitudinal.choices(cohort)), missing_table(everybody)]


def _named(analysis: str, rows: Rows) -> Rows:
    return [{"analysis": analysis, **row} for row in rows]
