"""Clinical scores against quantitative maps inside the thalamus, as against its volume: beyond the paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from thalbids.bids.tabular.tables import Column, Table, column, table
from thalbids.group import comparability
from thalbids.group.analyses.clinical import crosssectional, longitudinal, ordinal
from thalbids.group.analyses.clinical.longitudinal import LONGITUDINAL
from thalbids.group.analyses.clinical.ordinal import ORDINAL
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.modelling import models, sites
from thalbids.group.modelling.map_values import maps_of, wide
from thalbids.group.modelling.missing import after_fit, missing_table
from thalbids.group.modelling.models import Plan, Rows
from thalbids.group.modelling.samples import Sample, baseline, difference, pairs

MAP = {"map": column("Map", "The quantitative map whose value inside the masks is the predictor.")}
TERM_OF_MAP = {
    "term": column(
        "Term",
        "Coefficient of the model: the name of the map (its value inside the mask, in the unit of group_qmri), delta_ "
        "and the name (its change, follow-up minus baseline), or a covariate as in group_crosssectional.",
    )
}
UNSIGNED = ("sign", "warning", "measure")  # nothing is expected of the sign, and the map is the measure
MODELS: dict[str, Column] = {
    "analysis": column("Analysis", "crosssectional or longitudinal: the model that the map enters."),
    **MAP,
    **{name: about for name, about in LONGITUDINAL.items() if name not in UNSIGNED},
    **TERM_OF_MAP,
}
CATEGORIES: dict[str, Column] = {
    **MAP,
    **{name: about for name, about in ORDINAL.items() if name not in UNSIGNED},
    **TERM_OF_MAP,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_qmri_models``, ``group_qmri_ordinal``, and the ledger; each map is a family of its own."""
    rows: Rows = []
    categories: Rows = []
    lost: Rows = []
    for name in maps_of(cohort):
        for analysis, plan, sample, pair in planned(cohort, name):
            fitted = models.rows(plan, cohort, sample)
            rows += [{"analysis": analysis, "map": name, **row, "sessions": pair} for row in fitted]
            lost += after_fit(models.ledgers(plan, cohort, sample, pair), fitted)
            if pair:
                categories += [{"map": name, **row} for row in ordinal.fitted(plan, cohort, sample, pair)]
    group = cohort.settings.group
    choices = {
        "region": group.map_region,
        "statistic": group.map_statistic,
        "covariates": list(group.map_covariates),
        "covariates_change": list(group.map_covariates_change),
        "family_of_p_fdr": "methods x outcomes of a subset, for each map and analysis",
    }
    return [
        table("group_qmri_models", rows, MODELS, settings=choices),
        table("group_qmri_ordinal", categories, CATEGORIES, settings=choices),
        missing_table(lost),
    ]


def planned(cohort: Cohort, name: str) -> list[tuple[str, Plan, Sample, str]]:
    """The models of a map: analysis, plan, sample, and the pair of sessions ("" for the baseline)."""
    group, site = cohort.settings.group, sites.modelled(cohort)
    more = group.extra_covariates
    cross = crosssectional.of_settings(group, site=site)
    change = longitudinal.of_settings(group, site=site)
    plans = [
        ("crosssectional", _of_map(cross, name, name, (*group.map_covariates, *more)), baseline_of(cohort, name), "")
    ]
    plan = _of_map(change, name, f"delta_{name}", (*group.map_covariates_change, *more))
    return plans + [
        ("longitudinal", plan, change_of(cohort, name, pair), pair) for pair in longitudinal.pairs_of(cohort)
    ]


def _of_map(plan: Plan, name: str, predictor: str, covariates: tuple[str, ...]) -> Plan:
    """The plan of volumes with a map as the measure."""
    return replace(
        plan, analysis=f"{plan.analysis}_{name}", measure=name, predictor=predictor,
        covariates=tuple(dict.fromkeys(covariates)),
    )  # fmt: skip


def baseline_of(cohort: Cohort, name: str) -> Sample:
    """The sample of the cross-sectional models with a map in place of the volumes."""
    sample = baseline(cohort)
    return Sample(sample.table, {name: wide(cohort, name, *_keys(sample.table, "session_id"))})


def change_of(cohort: Cohort, name: str, pair: str) -> Sample:
    """The sample of the longitudinal models with the change of a map in place of that of the volumes."""
    sample = pairs(cohort, pair)
    before, after = (
        wide(cohort, name, *_keys(sample.table, f"session_id_{when}")) for when in ("baseline", "followup")
    )
    taken = comparability.of_pairs_taken(cohort, sample.table, difference(before, after))
    return Sample(sample.table, {name: taken})


def _keys(frame: pd.DataFrame, session: str) -> tuple[Any, Any]:
    return frame["participant_id"], frame[session]


def ledgers(cohort: Cohort) -> Rows:
    """How many rows each model has, without fitting it."""
    return [
        row
        for name in maps_of(cohort)
        for _, plan, sample, pair in planned(cohort, name)
        for row in models.ledgers(plan, cohort, sample, pair)
    ]


ANALYSIS = Analysis("models of maps", tables, ledgers, told=("qmri_models", "qmri_ordinal"))
