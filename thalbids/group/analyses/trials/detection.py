"""Which measure detects most: response, trial size and smallest detectable change of all, on the same people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.results.names import registered
from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.clinical.longitudinal import pairs_of
from thalbids.group.analyses.over_time.detectable import limits
from thalbids.group.analyses.trials.samplesize import patients, populations
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, REASON, SESSIONS
from thalbids.group.modelling.registered import DIFFERENCE, REGISTRATION, by_registration
from thalbids.group.modelling.samples import pairs, wide
from thalbids.group.statistics.fits import power
from thalbids.reports.group.beyond import View

PBVC = "pbvc"
WHOLE_BRAIN = "siena"  # the method of PBVC
EFFECT, POWER = 0.5, 0.8
Key = tuple[str, str]  # method, measure
KEYS = ["participant_id", "session_id_baseline", "session_id_followup"]

DETECTION: dict[str, Column] = {
    **METHOD,
    "measure": column(
        "Measure of change",
        "How the change was measured.",
        Levels={
            DIFFERENCE: "Difference of the volumes of two visits",
            REGISTRATION: "By registration of the two visits, at the border of the method's mask",
            PBVC: "Whole-brain change (SIENA)",
        },
    ),
    "population": column("Population", 'A diagnosis group, or "patients", everybody but the controls.'),
    **SESSIONS,
    "rank": count("Rank", "1 detects most: the standardised response mean that is most negative."),
    "n": count("Number of people", "With an annual change by every measure of this table: the same for all."),
    "srm": column("Standardised response mean", "Mean / SD of the change in percent per year; negative is loss."),
    "srm_ci_low": column("Lower bound", "Of its 95 % interval (noncentral t)."),
    "srm_ci_high": column("Upper bound", "Of its 95 % interval (noncentral t)."),
    "behind": column("Behind the first", "Standardised response mean minus that of rank 1."),
    "behind_ci_low": column(
        "Lower bound", "Of its 95 % percentile interval; people resampled, measures kept together."
    ),
    "behind_ci_high": column("Upper bound", "See behind_ci_low."),
    "share_first": column("Share first", "Of the resamples, those in which this measure has rank 1."),
    "n_per_arm": count("Participants per arm", "Half of the loss stopped, power 80 %, relative to no change."),
    "n_per_arm_ci_low": count("Lower bound", "Of its 95 % percentile interval."),
    "n_per_arm_ci_high": count("Upper bound", "Of its 95 % percentile interval; n/a when there is none."),
    "smallest_change": column(
        "Smallest detectable change", "Of one person between the two visits, at 95 %; as group_detectable.", "percent"
    ),
    "smallest_change_source": column("Source", "Where its noise was measured: repeated scans, or controls."),
    **REASON,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_detection``."""
    draws, seed = cohort.settings.group.bootstrap, cohort.settings.run.seed
    rows = [row for pair in pairs_of(cohort) for row in rows_of_pair(cohort, pair, draws, seed)]
    choices = {"effect": EFFECT, "power": POWER, "draws": draws, "seed": seed, "methods": list(cohort.compared)}
    return [table("group_detection", rows, DETECTION, settings=choices)]


def rows_of_pair(cohort: Cohort, pair: str, draws: int, seed: int) -> list[dict[str, Any]]:
    """Every population and measure, the best first."""
    percent = changes(cohort, pair)
    if not percent:
        return []
    sample, controls = pairs(cohort, pair), cohort.settings.checks.controls
    diagnosis = sample.table["diagnosis"].to_numpy(dtype=object)
    years = sample.columns(["interval_years"])["interval_years"]
    values = np.stack(list(percent.values()), axis=1) / np.where(years > 0, years, np.nan)[:, None]
    noise = {key: _limit(cohort, pair, key, change[diagnosis == controls]) for key, change in percent.items()}
    rows = []
    for population in (name for name in populations(diagnosis) if name != controls):
        chosen = patients(diagnosis, controls) if population == power.PATIENTS else diagnosis == population
        complete = values[chosen & np.isfinite(values).all(axis=1)]
        ranks = ranked(dict(zip(percent, complete.T, strict=True)), seed, draws)
        rows += [
            {"population": population, "sessions": pair, **noise[row["method"], row["measure"]], **row} for row in ranks
        ]
    return rows


def changes(cohort: Cohort, pair: str) -> dict[Key, np.ndarray]:
    """Change in percent between the two visits by every measure that anybody has; NaN where there is none."""
    sample = pairs(cohort, pair)
    base = wide(cohort, sample.table["participant_id"], sample.table["session_id_baseline"])
    percent = 100 * sample.volumes["total"] / base.where(base > 0)
    changes_of: dict[Key, np.ndarray] = {}
    of_measure = by_registration(cohort, pair)
    moved = pd.DataFrame() if of_measure is None else _of_pairs(of_measure, pair, sample.table)
    for method in cohort.compared:
        changes_of[method, DIFFERENCE] = percent[method].to_numpy(dtype=np.float64)
        if registered(method) in moved:
            changes_of[method, REGISTRATION] = moved[registered(method)].to_numpy(dtype=np.float64)
    changes_of[WHOLE_BRAIN, PBVC] = _joined(sample.table, cohort.pbvc[cohort.pbvc["status"] == "ok"], "pbvc")
    return {key: values for key, values in changes_of.items() if np.isfinite(values).any()}


def _of_pairs(of_measure: Cohort, pair: str, table: pd.DataFrame) -> pd.DataFrame:
    """Change in percent by registration (a column per method) of the pairs of another sample, in its order."""
    sample = pairs(of_measure, pair, "available")
    base = wide(of_measure, sample.table["participant_id"], sample.table["session_id_baseline"])
    percent = (100 * sample.volumes["total"] / base.where(base > 0)).set_axis(sample.table["participant_id"])
    return percent.reindex(table["participant_id"])


def _joined(table: pd.DataFrame, known: pd.DataFrame, column: str) -> np.ndarray:
    """The values of a column for the pairs of visits of a table; NaN where there is none."""
    known = known.drop_duplicates(KEYS)[[*KEYS, column]]
    values = table[KEYS].merge(known, on=KEYS, how="left", validate="one_to_one")[column]
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def ranked(rates: Mapping[Key, np.ndarray], seed: int, draws: int = power.DRAWS) -> list[dict[str, Any]]:
    """The measures by their standardised response mean, the most negative first.

    Parameters
    ----------
    rates : per method and measure the change in percent per year of the same people, without gaps
    """
    rows = [_row(key, values, seed, draws) for key, values in rates.items()]
    good = [row for row in rows if not row["unfit"]]
    if good:
        _compare(good, np.stack([rates[row["method"], row["measure"]] for row in good], axis=1), seed, draws)
    rows.sort(key=lambda row: row.get("rank", math.inf))
    return [{key: value for key, value in row.items() if key != "unfit"} for row in rows]


def _row(key: Key, values: np.ndarray, seed: int, draws: int) -> dict[str, Any]:
    answer = power.response(values)
    size = next(
        row
        for row in power.sizes(values, np.empty(0), seed, draws)
        if (row["effect"], row["power"], row["relative_to"]) == (EFFECT, POWER, "no change")
    )
    row = {"method": key[0], "measure": key[1], "unfit": bool(answer["reason"])}
    row |= {name: answer[name] for name in ("n", "srm", "srm_ci_low", "srm_ci_high")}
    row |= {"n_per_arm": size["n_per_arm"], "reason": answer["reason"] or size["reason"]}
    return row | {f"n_per_arm_{end}": size[end] for end in ("ci_low", "ci_high")}


def _compare(rows: list[dict[str, Any]], values: np.ndarray, seed: int, draws: int) -> None:
    """Ranks, and how far each lies behind the first, with what resampling the people makes of both."""
    drawn = resampled(values, seed, draws)
    order = np.argsort([row["srm"] for row in rows], kind="stable")
    best = int(order[0])
    firsts = np.bincount(drawn.argmin(axis=1), minlength=len(rows)) / len(drawn)
    behind = drawn - drawn[:, [best]]
    low, high = np.quantile(behind, [0.025, 0.975], axis=0)
    for rank, index in enumerate(order, start=1):
        row = rows[index]
        row |= {"rank": float(rank), "share_first": float(firsts[index])}
        row |= {"behind": row["srm"] - rows[best]["srm"]}
        row |= {"behind_ci_low": float(low[index]), "behind_ci_high": float(high[index])}


def resampled(values: np.ndarray, seed: int, draws: int) -> np.ndarray:
    """Standardised response means (draws, measures) of resampled people (rows of ``values``); a resample without
    variation counts as no response.
    """
    mean, sd = power.moments(values, seed, draws)
    return np.divide(mean, sd, out=np.zeros_like(mean), where=sd > 0)


def _limit(cohort: Cohort, pair: str, key: Key, controls: np.ndarray) -> dict[str, Any]:
    """The smallest detectable change of a measure in percent, and where it comes from."""
    of_measure = by_registration(cohort, pair) if key[1] == REGISTRATION else cohort
    repeats = cohort.repeats.iloc[:0] if of_measure is None or key[1] == PBVC else of_measure.repeats
    name = registered(key[0]) if key[1] == REGISTRATION else key[0]
    limit = limits(repeats, name, "percent", controls)
    value = limit.factor * limit.noise.estimate
    return {"smallest_change": value, "smallest_change_source": limit.source if math.isfinite(value) else ""}


VIEW = View(
    "Which measure of change detects most, on the same people",
    {},
    (
        "rank", "method", "measure", "population", "n", "srm", "srm_ci_low", "srm_ci_high", "behind", "behind_ci_low",
        "behind_ci_high", "share_first", "n_per_arm", "smallest_change", "reason",
    ),
)  # fmt: skip
ANALYSIS = Analysis("detection", tables, views={"detection": VIEW})
