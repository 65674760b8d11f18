"""Who progressed by EDSS, whether it was confirmed, and its association with the thalamus: beyond the paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.tabular.tables import PARTICIPANT, Column, Table, column, count, table
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.group.analyses.over_time.change import by_diagnosis
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.columns import DIAGNOSIS, ESTIMATE, FORMULA, METHOD, REASON, SESSIONS, SUBSET, TERM
from thalbids.group.modelling.models import Plan
from thalbids.group.modelling.registered import CHANGE_MEASURE, measured, with_measure
from thalbids.group.modelling.samples import Sample, pairs, subsets
from thalbids.group.modelling.samples import baseline as first_visits
from thalbids.group.statistics.fits import progression
from thalbids.group.statistics.testing.correction import adjust
from thalbids.group.statistics.testing.lost import wilson
from thalbids.reports.group.beyond import View

OUTCOMES = ("progression", "confirmed")
_YES = "1: yes; 0: no; n/a: cannot be known."
_OUTCOME = {
    "outcome": column(
        "Outcome",
        "What happened.",
        Levels={
            "progression": "EDSS a step above the baseline at any later visit",
            "confirmed": "The same, and still there at the visit that confirms it",
        },
    )
}

PROGRESSION: dict[str, Column] = {
    **PARTICIPANT,
    "diagnosis": column("Diagnosis", "Diagnosis group at the baseline; n/a when unknown."),
    "session_id_baseline": column("Baseline session", "First session with a usable volume."),
    "edss_baseline": column("EDSS at baseline", "At that session."),
    "step": column("Step", "Increase that counts: 1.5 from EDSS 0, 1.0 up to 5.5, 0.5 from 6.0 (edss_high)."),
    "n_visits": count("Later visits", "With EDSS, with or without MRI."),
    "progression": count("Progression", _YES),
    "session_id_progression": column("Session of the progression", "The first at which EDSS was a step higher."),
    "years_to_progression": column("Time to the progression", "Since the baseline.", "year"),
    "confirmed": count("Confirmed progression", _YES),
    "session_id_confirmation": column("Session of the confirmation", "The visit that confirmed a progression."),
    **REASON,
}
SUMMARY: dict[str, Column] = {
    **DIAGNOSIS,
    **_OUTCOME,
    "n": count("Number of people", "In whom it can be known."),
    "n_progressed": count("Progressed", "People with it."),
    "share": column("Share", "n_progressed / n."),
    "ci_low": column("Lower bound", "Of the 95 % interval of the share (Wilson)."),
    "ci_high": column("Upper bound", "Of the 95 % interval of the share (Wilson)."),
}
MODELS: dict[str, Column] = {
    **_OUTCOME,
    "predictor": column("Predictor", "volume_ml at baseline, or delta_volume_ml, its change between the sessions."),
    **METHOD,
    **SUBSET,
    **SESSIONS,
    **TERM,
    **ESTIMATE,
    "estimate": column("Coefficient", "Change of the log odds of a progression per unit of the term."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over methods x outcomes of a predictor; volume term only."),
    "odds_ratio": column("Odds ratio", "exp(coefficient)."),
    "n": count("Number of rows", "People with every value."),
    "n_stable": count("Without progression", "Of those rows."),
    "n_progressed": count("With progression", "Of those rows."),
    **REASON,
    **FORMULA,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_progression``, its shares, and its models."""
    checks = cohort.settings.checks
    people = courses(cohort)
    models = with_measure(
        row
        for of_measure, plan, sample, pair in _plans(cohort)
        for row in _models(of_measure, plan, sample, pair, people)
    )
    family = ("change_measure", "predictor", "subset", "sessions")
    adjust(models, {"p_fdr": family}, {"term": ("volume_ml", "delta_volume_ml")})
    choices = {"edss_high": checks.edss_high, "confirm_weeks": checks.confirm_weeks}
    return [
        Table("group_progression", people[list(PROGRESSION)], PROGRESSION, choices),
        table("group_progression_summary", summary(people), SUMMARY, settings=choices),
        table("group_progression_models", models, MODELS, settings=choices | {"model": "logistic regression"}),
    ]


def courses(cohort: Cohort) -> pd.DataFrame:
    """Rows of ``group_progression``, one per person of the baseline sample."""
    checks = cohort.settings.checks
    start = baseline(cohort)
    known = cohort.visits[cohort.visits["edss"].notna()].sort_values(["participant_id", "order"], kind="stable")
    order, years_, edss_ = (known[name].to_numpy(dtype=np.float64) for name in ("order", "years", "edss"))
    sessions = known["session_id"].to_numpy(dtype=object)
    places = known.reset_index(drop=True).groupby("participant_id", sort=False).indices
    nowhere = np.empty(0, dtype=int)
    rows = []
    for one in start.to_dict("records"):
        place = places.get(one["participant_id"], nowhere)
        later = place[order[place] > one["order"]]
        years, edss = years_[later] - one["years"], edss_[later]
        course = progression.course(one["edss"], edss, years, checks.edss_high, checks.confirm_weeks)
        labels = sessions[later].tolist()
        high = one["edss"] == one["edss"]
        rows.append(
            {
                "participant_id": one["participant_id"], "diagnosis": one["diagnosis"],
                "session_id_baseline": one["session_id"], "edss_baseline": one["edss"],
                "step": progression.step(one["edss"], checks.edss_high) if high else np.nan,
                "n_visits": len(labels), "progression": course.progression,
                "session_id_progression": labels[course.first] if course.first >= 0 else "",
                "years_to_progression": float(years[course.first]) if course.first >= 0 else np.nan,
                "confirmed": course.confirmed,
                "session_id_confirmation": labels[course.confirmation] if course.confirmation >= 0 else "",
                "reason": _reason(one["edss"], len(labels), course),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(PROGRESSION))


def _reason(edss: float, visits: int, course: progression.Course) -> str:
    if edss != edss:
        return "no EDSS at baseline"
    if not visits:
        return "no later EDSS"
    if visits < 2:
        return "one later EDSS: nothing can be confirmed"
    return "" if course.confirmed == course.confirmed else "no visit is late enough to confirm the progression"


def summary(people: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of ``group_progression_summary``."""
    rows = []
    for diagnosis, part in by_diagnosis(people):
        for outcome in OUTCOMES:
            values = part[outcome].dropna()
            n, hit = len(values), int(values.sum())
            low, high = wilson(hit, n) if n else (np.nan, np.nan)
            ends = {"ci_low": low, "ci_high": high}
            share = hit / n if n else np.nan
            rows.append(
                {"diagnosis": diagnosis, "outcome": outcome, "n": n, "n_progressed": hit, "share": share, **ends}
            )
    return rows


def _plans(cohort: Cohort) -> Iterator[tuple[Cohort, Plan, Sample, str]]:
    yield cohort, crosssectional.plan(cohort), first_visits(cohort), ""
    for pair in longitudinal.pairs_of(cohort)[:1]:
        for _, of_measure in measured(cohort, pair):
            yield of_measure, longitudinal.plan(of_measure), pairs(of_measure, pair), pair


def _models(cohort: Cohort, plan: Plan, sample: Sample, pair: str, people: pd.DataFrame) -> list[dict[str, Any]]:
    """Every outcome and method: progression on the volume or its change, and the covariates of that analysis."""
    what = people.set_index("participant_id")[list(OUTCOMES)].reindex(sample.table["participant_id"]).reset_index()
    joined = Sample(sample.table.assign(**{name: what[name].to_numpy() for name in OUTCOMES}), sample.volumes)
    rows = []
    for subset in subsets(cohort):
        inside = joined.within(subset)
        for outcome in OUTCOMES:
            for method in cohort.model_methods:
                model = plan.design(inside, outcome, method)
                key = {"outcome": outcome, "predictor": plan.predictor, "method": method, "subset": subset}
                fitted = progression.logit(outcome, model.predictors, model.columns)
                rows += [key | {"sessions": pair} | row | model.told() for row in fitted]
    return rows


VIEWS = {
    "progression_summary": View("EDSS progression, and confirmed progression", {}, ()),
    "progression_models": View(
        "EDSS progression: log odds per mL",
        {"subset": ("all",), "term": ("volume_ml", "delta_volume_ml")},
        ("outcome", "predictor", "method", "estimate", "ci_low", "ci_high", "odds_ratio", "p_fdr", "n_progressed", "n",
         "reason"),
    ),
}  # fmt: skip
ANALYSIS = Analysis("progression", tables, views=VIEWS, told=("progression",))
