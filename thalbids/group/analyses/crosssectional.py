"""Clinical scores against thalamus volume at baseline (paper, 2.7.4 and 3.4)."""

from __future__ import annotations

from typing import Any

from thalbids.bids.tables import Table, table
from thalbids.group.cohort import Cohort
from thalbids.group.missing import after_fit, missing_table
from thalbids.group.model_columns import CROSSSECTIONAL
from thalbids.group.samples import OUTCOMES, baseline
from thalbids.group.statistics import models
from thalbids.group.statistics.models import Plan

COVARIATES = ("age", "sex", "icv_z")
LOGGED = ("t25fw", "nhpt")  # right-skewed (paper, 3.4)
ROBUST = ("edss", "disease_duration")  # heteroscedastic (paper, 3.4)


def tables(cohort: Cohort) -> list[Table]:
    """``group_crosssectional``, and the ledger."""
    rows = models.rows(plan(), cohort, baseline(cohort))
    told = table("group_crosssectional", rows, CROSSSECTIONAL, settings=choices(cohort), notes=warned(rows))
    return [told, missing_table(after_fit(ledgers(cohort), rows))]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many rows each model has, without fitting it."""
    return models.ledgers(plan(), cohort, baseline(cohort))


def plan(measure: str = "total") -> Plan:
    """Outcome ~ volume + age + sex + z(ICV)."""
    return Plan(
        analysis="crosssectional" if measure == "total" else f"crosssectional_{measure}",
        outcomes=OUTCOMES,
        predictor="asymmetry" if measure == "asymmetry" else "volume_ml",
        covariates=COVARIATES,
        robust=ROBUST,
        logged=LOGGED,
        measure=measure,
    )


def choices(cohort: Cohort) -> dict[str, Any]:
    """The choices behind the table, for its JSON."""
    return {
        "model": "outcome ~ volume + " + " + ".join(COVARIATES),
        "log": list(LOGGED),
        "HC3": list(ROBUST),
        "methods": list(cohort.model_methods),
        "methods_left_out": [name for name in cohort.methods if name not in cohort.model_methods],
        "family_of_p_fdr": "methods x outcomes of a subset; p_fdr_outcome: the methods of an outcome",
        "icv": cohort.settings.group.icv,
        "harmonise": cohort.settings.group.harmonise,
    }


def warned(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for the terminal when estimates have the opposite sign of what is expected."""
    found = sorted({f"{row['outcome']} ({row['method']})" for row in rows if row.get("warning")})
    shown = ", ".join(found[:5]) + (" and others" if len(found) > 5 else "")
    return [f"warning: counter-intuitive sign, see the column warning: {shown}."] if found else []
