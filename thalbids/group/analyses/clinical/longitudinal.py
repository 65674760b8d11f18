"""Change of clinical scores against change of thalamus volume (paper, 2.7.5 and 3.6), with its sensitivity analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.group.analysis import Analysis
from thalbids.reports.group.beyond import View, unfitted
from thalbids.reports.group.figures import clinical
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.section import Section

if TYPE_CHECKING:
    from thalbids.settings import Group

import functools
from dataclasses import replace

from thalbids.bids.tabular.tables import Column, Table, table
from thalbids.group.analyses.clinical import crosssectional
from thalbids.group.cohort import Cohort
from thalbids.group.columns import FITTED, MEASURE, METHOD, OUTCOME, SENSITIVITY, SESSIONS, SUBSET
from thalbids.group.modelling import models, sites
from thalbids.group.modelling.missing import after_fit, missing_table
from thalbids.group.modelling.models import Plan, Rows
from thalbids.group.modelling.registered import CHANGE_MEASURE, by_registration, with_measure
from thalbids.group.modelling.samples import ALL, Sample, annual, pairs
from thalbids.group.statistics.fits.fit import NOBODY

WINSORISED = {"winsor_1_99": (0.01, 0.99), "winsor_5_95": (0.05, 0.95)}


LONGITUDINAL: dict[str, Column] = {
    **OUTCOME,
    **METHOD,
    **SUBSET,
    **SENSITIVITY,
    **MEASURE,
    **SESSIONS,
    **FITTED,
    **CHANGE_MEASURE,
}


ANNUALISED: dict[str, Column] = LONGITUDINAL


def tables(cohort: Cohort) -> list[Table]:
    """``group_longitudinal``, ``group_annualised`` (beyond the paper), and the ledger."""
    cohorts = measures_of(cohort)
    rows = with_measure(
        row for of_measure, pair in cohorts for row in (*fitted(of_measure, pair), *winsorised(of_measure, pair))
    )
    rates = with_measure(
        row for of_measure, pair in cohorts for row in rates_of(of_measure, pair, pairs(of_measure, pair))
    )
    before = {
        name: [row for row in ledgers(cohort) if row["analysis"] == name] for name in ("longitudinal", "annualised")
    }
    notes = [
        *models.left_out_notes("longitudinal", rows),
        *models.costly_notes(before["longitudinal"]),
        *crosssectional.warned(rows),
    ]
    if "consecutive" in cohort.settings.group.pairs:
        notes = [*notes, "longitudinal models: consecutive visits of a person are not independent; see group_mixed."]
    planned = choices(cohort)
    lost = after_fit(before["longitudinal"], rows) + after_fit(before["annualised"], rates)
    return [
        table("group_longitudinal", rows, LONGITUDINAL, settings=planned, notes=notes),
        table("group_annualised", rates, ANNUALISED, settings=planned),
        missing_table(lost),
    ]


def ledgers(cohort: Cohort) -> Rows:
    """How many rows each model has, without fitting it."""
    lines: Rows = []
    for of_measure, pair in measures_of(cohort):
        sample = pairs(of_measure, pair)
        lines += models.ledgers(plan(of_measure), of_measure, sample, pair)
        lines += models.ledgers(rate_plan(of_measure), of_measure, annual(sample), pair)
    return lines


def pairs_of(cohort: Cohort) -> list[str]:
    """The pairs of sessions asked for in which a person counts once."""
    return [pair for pair in cohort.settings.group.pairs if pair != "consecutive"]


def measures_of(cohort: Cohort) -> list[tuple[Cohort, str]]:
    """The cohort with each of these pairs, then that of changes by registration with each pair that has any."""
    asked = pairs_of(cohort)
    moved = [(by_registration(cohort, pair), pair) for pair in asked]
    return [
        *((cohort, pair) for pair in asked),
        *((of_measure, pair) for of_measure, pair in moved if of_measure is not None),
    ]


@functools.lru_cache(maxsize=8)
def fitted(cohort: Cohort, pair: str) -> Rows:
    """The rows of ``group_longitudinal`` without winsorised ones. Not to be changed."""
    return models.rows(plan(cohort), cohort, pairs(cohort, pair), sessions=pair)


def winsorised(cohort: Cohort, pair: str) -> Rows:
    """The rows of ``group_longitudinal`` of everybody with winsorised change."""
    plans = [plan(cohort, name, *ends) for name, ends in WINSORISED.items()]
    return [row for one in plans for row in models.rows(one, cohort, pairs(cohort, pair), (ALL,), sessions=pair)]


def rates_of(cohort: Cohort, pair: str, sample: Sample) -> Rows:
    """Rows of ``group_annualised``: change per year of the score on change per year of the volume."""
    rates = models.rows(rate_plan(cohort), cohort, annual(sample), sessions=pair)
    years = sample.columns(["interval_years"])["interval_years"]
    if years.size and not (years > 0).any():  # not the scores are missing but what they are divided by
        rates = [row | {"reason": f"interval_years {NOBODY}"} for row in rates]
    return rates


def plan(
    cohort: Cohort, sensitivity: str = "none", low: float = 0.0, high: float = 1.0, measure: str = "total"
) -> Plan:
    """d_outcome ~ d_volume + age + sex + z(ICV) + steroid + interval_years, or what the settings say; the predictor
    clipped at two quantiles.
    """
    planned = of_settings(cohort.settings.group, measure, sites.modelled(cohort))
    return replace(planned, sensitivity=sensitivity, prepare=functools.partial(winsorise, low=low, high=high))


def of_settings(group: Group, measure: str = "total", site: bool = False) -> Plan:
    """The plan without a look at data; ``site`` adds the site."""
    return Plan(
        analysis="longitudinal" if measure == "total" else f"longitudinal_{measure}",
        outcomes=tuple(f"d_{name}" for name in group.outcomes_change),
        predictor="delta_asymmetry" if measure == "asymmetry" else "delta_volume_ml",
        covariates=tuple(dict.fromkeys((*group.covariates_change, *group.extra_covariates))),
        measure=measure,
        **crosssectional.shared(group, site),
    )


def rate_plan(cohort: Cohort) -> Plan:
    """The same of rates; the interval, which both contain, is no covariate."""
    return rates_of_plan(plan(cohort))


def rates_of_plan(of_changes: Plan) -> Plan:
    """The plan of rates to that of changes."""
    return replace(
        of_changes,
        analysis="annualised",
        predictor="delta_volume_ml_per_year",
        covariates=tuple(name for name in of_changes.covariates if name != "interval_years"),
    )


def winsorise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The values clipped at two of their quantiles (numpy's linear quantiles); NaN stays.

    scipy's ``mstats.winsorize`` replaces a count of values instead, which is another thing.

    Examples
    --------
    >>> winsorise(np.array([0.0, 1, 2, 3, 100]), 0.25, 0.75).tolist()
    [1.0, 1.0, 2.0, 3.0, 3.0]
    """
    there = values[np.isfinite(values)]
    if not there.size:
        return values
    return np.clip(values, *np.quantile(there, [low, high], method="linear"))


def choices(cohort: Cohort) -> dict[str, Any]:
    """The choices behind the tables, for their JSON."""
    planned = plan(cohort)
    return crosssectional.choices(cohort) | {
        "model": "change of outcome ~ change of volume + " + " + ".join(planned.covariates),
        "log": [],
        "HC3": [name for name in planned.robust if name in planned.outcomes],
        "ordinal": [name for name in planned.levels if name in planned.outcomes],
        "pairs": pairs_of(cohort),
        "winsorised": {name: list(limits) for name, limits in WINSORISED.items()},
    }


def section(tables: Tables) -> Section:
    """Change of volume and change of clinical scores."""
    section = Section("longitudinal", "Change of clinical scores and change of volume")
    table = clinical.volume_rows(tables, "longitudinal", subset="all", sensitivity="none")
    if table.empty:
        section.nothing = "No longitudinal model could be planned: a second visit with volumes and scores is needed."
    elif why := unfitted(table):
        section.nothing = f"No longitudinal model could be fitted: {why}."
    if section.nothing:
        return section
    which = {"subset": "all", "sensitivity": "none"}
    section.add(
        clinical.forest(tables, "longitudinal", "Coefficients of the change of volume", "longitudinal", **which)
    )
    crosssectional.show_models(section, tables, table, "longitudinal")
    crosssectional.show_residuals(section, tables, "longitudinal")
    section.caveats.append(
        "Over one or two years scores change little and volumes change by about the error of the method: read these "
        "coefficients as exploratory."
    )
    return section


VIEW = View(
    "Scores and volumes per year: the volume's coefficient",
    {"subset": ("all",), "term": ("delta_volume_ml_per_year",)},
    ("outcome", "method", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason"),
)
ANALYSIS = Analysis(
    "longitudinal",
    tables,
    ledgers,
    sections={"longitudinal": section},
    views={"annualised": VIEW},
    told=("longitudinal",),
)
