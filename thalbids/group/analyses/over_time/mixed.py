"""Change over three and more visits, by a mixed model: beyond the paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group import comparability
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import FORMULA, METHOD, REASON, SUBSET
from thalbids.group.modelling import models, sites
from thalbids.group.modelling.design import Design, design
from thalbids.group.modelling.missing import after_fit, ledger, missing_table
from thalbids.group.modelling.registered import CHANGE_MEASURE, DIFFERENCE, measure_of, measured, with_measure
from thalbids.group.modelling.samples import ALL, Sample, baseline, subsets
from thalbids.group.modelling.sites import site_words
from thalbids.group.statistics.fits import mixed
from thalbids.group.statistics.testing.correction import adjust
from thalbids.reports.group.beyond import View

MIXED: dict[str, Column] = {
    **METHOD,
    **SUBSET,
    "random": column(
        "Random effects",
        "What differs between people.",
        Levels={"intercept": "The volume at the first visit", "intercept_slope": "That and the change per year"},
    ),
    "term": column(
        "Term",
        "Coefficient of the model.",
        Levels={
            "years": "Change per year since the first session (mL per year)",
            "age": "Age at the first session (years)",
            "sex": "1 for male, 0 for female",
            "icv_z": "Intracranial volume at the first session, standardised over everybody",
            "intercept": "Volume at the first session, at the mean age, sex and intracranial volume of the rows",
        },
    ),
    "estimate": column("Coefficient", "Change of the volume per unit of the term.", "mL"),
    "se": column("Standard error", "From the restricted likelihood.", "mL"),
    "ci_low": column("Lower bound", "Of the 95 % interval (normal).", "mL"),
    "ci_high": column("Upper bound", "Of the 95 % interval (normal).", "mL"),
    "statistic": column("Statistic", "z."),
    "p": column("p value", "Two-sided, normal."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the methods of a subset; on the term years only."),
    "percent": column("Change per year in percent", "100 x coefficient / mean volume of the rows; term years only."),
    "sd_intercept": column("SD between people", "Standard deviation of the random intercept.", "mL"),
    "sd_slope": column("SD of the change", "Standard deviation of the random slope.", "mL per year"),
    "sd_residual": column("Residual SD", "Standard deviation around a person's line.", "mL"),
    "n_participants": count("Number of participants", "In the model, those with one or two visits too."),
    "n_three": count("Three and more visits", "Participants with three and more visits in the model."),
    "n": count("Number of sessions", "In the model."),
    **REASON,
    **FORMULA,
    "sd_site": column("SD between sites", "Standard deviation of the sites' random intercept; n/a without one.", "mL"),
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_mixed``, and the ledger."""
    rows = with_measure(row for _, of_measure in measured(cohort) for row in fitted(of_measure))
    adjust(rows, {"p_fdr": ("change_measure", "subset", "random")}, {"term": "years"})
    choices = {
        "model": "volume ~ years + " + " + ".join(_covariates(cohort)),
        "site": "random intercept" if sites.modelled(cohort) else "not in the model",
        "estimation": "restricted maximum likelihood",
    }
    notes = models.left_out_notes("mixed", rows)
    told = table("group_mixed", rows, MIXED, settings=choices, notes=notes)
    return [told, missing_table(after_fit(ledgers(cohort), rows))]


def fitted(cohort: Cohort) -> list[dict[str, Any]]:
    """Rows of the table, without corrected p."""
    data = frame(cohort)
    rows: list[dict[str, Any]] = []
    for subset in subsets(cohort):
        inside = data if subset == ALL else data[data["diagnosis"] == subset]
        for method in cohort.model_methods:
            of_method = inside[inside["method"] == method]
            rows += [{"method": method, "subset": subset, **row} for row in _terms(cohort, of_method)]
    return rows


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many sessions each model has."""
    lines = []
    for _, of_measure in measured(cohort):
        data = frame(of_measure)
        for method in of_measure.model_methods:
            of_method = _design(of_measure, data[data["method"] == method])
            lost = {f"no {name}".replace("icv_z", "icv"): mask for name, mask in of_method.lost.items()}
            lines.append(ledger("mixed", "volume_ml", method, lost, subset=ALL))
    return lines


def _terms(cohort: Cohort, rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The models of one method and subset."""
    designed = _design(cohort, rows)
    people = rows["participant_id"].to_numpy(dtype=str)
    site = site_words(rows["site"]) if sites.modelled(cohort) else None
    told = designed.told()
    if site is not None and len(set(site)) < 2:
        site = None
    if site is not None:
        told["formula"] += " + (1 | site)"
    for kind in mixed.RANDOM:
        for row in mixed.terms(designed.columns, designed.predictors, people, kind, site):
            yield row | told


def _covariates(cohort: Cohort) -> tuple[str, ...]:
    group = cohort.settings.group
    named = dict.fromkeys((*group.covariates, *group.extra_covariates))
    return tuple(name for name in named if name != "site" or not sites.modelled(cohort))


def _design(cohort: Cohort, rows: pd.DataFrame) -> Design:
    """Volume ~ years + covariates of the first session."""
    group = cohort.settings.group
    start = {name: rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("volume_ml", "years")}
    covariates = Sample(rows, {}).covariates(_covariates(cohort))
    return design("volume_ml", start, covariates, strict=group.strict, smallest=group.smallest_level)


def frame(cohort: Cohort) -> pd.DataFrame:
    """Every usable volume with the years since the person's baseline, covariates of that session, and the site of the
    scan itself; without those of visits that cannot be compared with the person's others, as participant says.
    """
    first = baseline(cohort).table
    keys = ["participant_id", "session_id"]
    merged = cohort.usable[[*keys, "method", "volume_ml"]].merge(
        cohort.visits[[*keys, "years", "site"]], on=keys, how="left", validate="many_to_one"
    )
    names = dict.fromkeys((*_covariates(cohort), "age", "sex", "icv_z", "diagnosis"))
    kept = [name for name in names if name in first and name != "site"]
    start = first[["participant_id", "years", *kept]].rename(columns={"years": "start"})
    merged = merged.merge(start, on="participant_id", how="left", validate="many_to_one")
    merged["years"] = merged["years"] - merged["start"]
    if any(measure_of(name) != DIFFERENCE for name in cohort.methods):  # a volume at the baseline alone is no change
        merged = merged[merged.groupby(["participant_id", "method"])["session_id"].transform("size") > 1]
    return merged[comparability.in_one_course(cohort, merged)]


VIEW = View(
    "Mixed models of three and more visits: change per year",
    {"subset": ("all",), "term": ("years",)},
    ("method", "random", "estimate", "ci_low", "ci_high", "percent", "p_fdr", "n_participants", "n_three", "reason"),
)
ANALYSIS = Analysis("mixed", tables, ledgers, views={"mixed": VIEW})
