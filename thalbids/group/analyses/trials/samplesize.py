"""Participants per arm of a trial whose endpoint is the annual change of the thalamus: beyond the paper."""

from __future__ import annotations

from typing import Any

import numpy as np

from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.clinical.longitudinal import measures_of
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, REASON, SESSIONS
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import ALL, pairs, subsets, wide
from thalbids.group.statistics.fits import power
from thalbids.reports.group.beyond import View

POWER: dict[str, Column] = {
    **METHOD,
    "population": column("Population", 'Who is treated: a diagnosis group, or "patients", everybody but the controls.'),
    **SESSIONS,
    "effect": column("Effect", "Share of the loss that the treatment stops."),
    "power": column("Power", "Probability of a significant result, two-sided 5 %."),
    "n_per_arm": count("Participants per arm", "Rounded up; without dropout."),
    "ci_low": count("Lower bound", "Of the 95 % percentile interval of the bootstrap."),
    "ci_high": count("Upper bound", "Of the 95 % percentile interval of the bootstrap; n/a when there is none."),
    "relative_to": column(
        "Relative to",
        "What the treatment cannot stop.",
        Levels={
            "no change": "Nothing: the loss is the patients' mean change",
            "controls": "Their mean change: the loss is what patients lose beyond it; n/a with too few controls",
        },
    ),
    "mean": column("Mean change", "Of the patients.", "percent per year"),
    "sd": column("SD of the change", "Of the patients.", "percent per year"),
    "mean_controls": column("Mean change of the controls", "Of the healthy controls.", "percent per year"),
    "n_patients": count("Number of patients", "With an annual change."),
    "n_controls": count("Number of controls", "With an annual change."),
    **REASON,
    **CHANGE_MEASURE,
}


RESPONSE: dict[str, Column] = {
    **METHOD,
    "population": column("Population", 'A diagnosis group, or "patients", everybody but the controls.'),
    **SESSIONS,
    "n": count("Number of people", "With an annual change."),
    "mean": column("Mean change", "Arithmetic mean.", "percent per year"),
    "ci_low": column("Lower bound", "Of the 95 % interval of the mean (t).", "percent per year"),
    "ci_high": column("Upper bound", "Of the 95 % interval of the mean (t).", "percent per year"),
    "sd": column("SD of the change", "Sample standard deviation (n - 1).", "percent per year"),
    "srm": column("Standardised response mean", "Mean / SD; the further from 0, the more responsive."),
    "srm_ci_low": column("Lower bound", "Of its 95 % interval (noncentral t)."),
    "srm_ci_high": column("Upper bound", "Of its 95 % interval (noncentral t)."),
    **REASON,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_samplesize`` and ``group_responsiveness``."""
    rows: list[dict[str, Any]] = []
    responses: list[dict[str, Any]] = []
    draws, seed, checks = cohort.settings.group.bootstrap, cohort.settings.run.seed, cohort.settings.checks
    for of_measure, pair in measures_of(cohort):
        diagnosis, rates = annual_percent(of_measure, pair)
        for method, values in rates.items():
            controls = values[diagnosis == checks.controls]
            for population in (power.PATIENTS, *(name for name in subsets(cohort) if name != ALL)):
                chosen = (
                    patients(diagnosis, checks.controls) if population == power.PATIENTS else diagnosis == population
                )
                key = {"method": method, "population": population, "sessions": pair}
                rows += [key | row for row in power.sizes(values[chosen], controls, seed, draws, checks.least_controls)]
            for population in populations(diagnosis):
                chosen = (
                    patients(diagnosis, checks.controls) if population == power.PATIENTS else diagnosis == population
                )
                key = {"method": method, "population": population, "sessions": pair}
                responses.append(key | power.response(values[chosen]))
    choices = {
        "alpha": power.ALPHA,
        "two_sided": True,
        "draws": draws,
        "seed": seed,
        "controls": checks.controls,
        "least_controls": checks.least_controls,
    }
    return [
        table("group_samplesize", with_measure(rows), POWER, settings=choices),
        table("group_responsiveness", with_measure(responses), RESPONSE, settings={"controls": checks.controls}),
    ]


def populations(diagnosis: np.ndarray) -> list[str]:
    """Everybody but the controls, then each diagnosis group."""
    return [power.PATIENTS, *sorted({str(name) for name in diagnosis if name})]


def annual_percent(cohort: Cohort, pair: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Diagnoses, and per method the change in percent of baseline per year; NaN where there is none."""
    sample = pairs(cohort, pair)
    base = wide(cohort, sample.table["participant_id"], sample.table["session_id_baseline"])
    years = sample.columns(["interval_years"])["interval_years"]
    rate = (100 * sample.volumes["total"] / base.where(base > 0)).mul(1 / np.where(years > 0, years, np.nan), axis=0)
    return sample.table["diagnosis"].to_numpy(dtype=object), {name: rate[name].to_numpy() for name in rate}


def patients(diagnosis: np.ndarray, controls: str) -> np.ndarray:
    """Who has a diagnosis and is no control."""
    return np.array([bool(name) and name != controls for name in diagnosis], dtype=bool)


VIEW = View(
    "People per arm of a trial",
    {},
    ("method", "population", "effect", "power", "n_per_arm", "ci_low", "ci_high", "relative_to", "reason"),
    last=True,
)
RESPONSE_VIEW = View(
    "Standardised response mean of the annual change",
    {},
    ("method", "population", "n", "mean", "ci_low", "ci_high", "sd", "srm", "srm_ci_low", "srm_ci_high", "reason"),
    last=True,
)
ANALYSIS = Analysis("samplesize", tables, views={"samplesize": VIEW, "responsiveness": RESPONSE_VIEW})
