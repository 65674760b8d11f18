"""Change of quantitative maps inside the thalamus over three and more visits: ``group_qmri_mixed``."""

from __future__ import annotations

from typing import Any

from thalbids.bids.tabular.tables import Table, table
from thalbids.group.analyses.over_time import mixed
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.modelling import models, sites
from thalbids.group.modelling.map_values import about_map, in_place_of_volumes, maps_of
from thalbids.group.modelling.missing import after_fit, missing_table
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.beyond import View

MIXED = about_map(mixed.MIXED)


def tables(cohort: Cohort) -> list[Table]:
    """``group_qmri_mixed``, and the ledger; each map is a family of its own for the correction."""
    rows: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    for name in maps_of(cohort):
        fits = [
            {"map": name, **row, "formula": row["formula"].replace("volume_ml", name)}
            for row in mixed.fitted(in_place_of_volumes(cohort, name))
        ]
        rows += fits
        lost += after_fit(_ledgers(cohort, name), fits)
    adjust(rows, {"p_fdr": ("map", "subset", "random")}, {"term": "years"})
    choices = {
        "model": "value ~ years + " + " + ".join(cohort.settings.group.map_covariates),
        "site": "random intercept" if sites.modelled(cohort) else "not in the model",
        "estimation": "restricted maximum likelihood",
        "family_of_p_fdr": "methods of a subset, for each map",
    }
    notes = models.left_out_notes("qmri_mixed", rows)
    return [table("group_qmri_mixed", rows, MIXED, settings=choices, notes=notes), missing_table(lost)]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many sessions each model has."""
    return [row for name in maps_of(cohort) for row in _ledgers(cohort, name)]


def _ledgers(cohort: Cohort, name: str) -> list[dict[str, Any]]:
    ledger = mixed.ledgers(in_place_of_volumes(cohort, name))
    return [row | {"analysis": f"{row['analysis']}_{name}", "outcome": name} for row in ledger]


VIEW = View(
    "Quantitative maps, mixed models of three and more visits: change per year",
    {"subset": ("all",), "term": ("years",)},
    ("map", *mixed.VIEW.columns),
)
ANALYSIS = Analysis("mixed models of maps", tables, ledgers, views={"qmri_mixed": VIEW})
