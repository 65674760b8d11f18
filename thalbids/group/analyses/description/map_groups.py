"""Diagnosis groups against controls, by quantitative maps inside the thalamus: ``group_qmri_contrasts``."""

from __future__ import annotations

from typing import Any

from thalbids.bids.tabular.tables import Table, table
from thalbids.group.analyses.description import groups
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.modelling.map_values import about_map, in_place_of_volumes, maps_of
from thalbids.group.modelling.missing import missing_table
from thalbids.group.modelling.samples import baseline
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.beyond import View

CONTRASTS = about_map(groups.CONTRASTS)


def tables(cohort: Cohort) -> list[Table]:
    """``group_qmri_contrasts``, and the ledger; each map is a family of its own for the correction."""
    rows: list[dict[str, Any]] = []
    for name in maps_of(cohort):
        of_map = in_place_of_volumes(cohort, name)
        sample = baseline(of_map)
        rows += [
            {"map": name, **row} for method in of_map.model_methods for row in groups.compared(of_map, sample, method)
        ]
    adjust([row for row in rows if row["group"] != groups.OMNIBUS], {"p_fdr": ("map",)})
    adjust([row for row in rows if row["group"] == groups.OMNIBUS], {"p_fdr": ("map",)})
    choices = {
        "model": "value ~ diagnosis + " + " + ".join(cohort.settings.group.map_covariates),
        "controls": cohort.settings.checks.controls,
        "contrasts": cohort.settings.checks.contrasts,
        "family_of_p_fdr": "methods x contrasts, for each map",
    }
    told = table("group_qmri_contrasts", rows, CONTRASTS, settings=choices)
    return [told, missing_table(ledgers(cohort))]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many people each comparison has."""
    return [
        row | {"analysis": f"{row['analysis']}_{name}", "outcome": name}
        for name in maps_of(cohort)
        for row in groups.ledgers(in_place_of_volumes(cohort, name))
    ]


VIEW = View(
    "Quantitative maps: diagnosis groups compared",
    {},
    ("map", "method", "group", "reference", "difference", "ci_low", "ci_high", "d", "p_fdr", "n", "reason"),
)
ANALYSIS = Analysis("groups by maps", tables, ledgers, views={"qmri_contrasts": VIEW})
