"""The smallest change of a person that is more than noise, and who changed by more: beyond the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.tabular.tables import Column, Table, column, count, table
from thalbids.group.analyses.clinical.longitudinal import measures_of
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import DIAGNOSIS, METHOD, REASON, SESSIONS
from thalbids.group.modelling.registered import CHANGE_MEASURE, with_measure
from thalbids.group.modelling.samples import pairs, wide
from thalbids.group.statistics.concordance.agreement import sd
from thalbids.reports.group.beyond import View
from thalbids.types import Estimate

Z = 1.96
MIN_CONTROLS = 5
MIN_DF = 3  # degrees of freedom of the repeated scans
UNITS = ("ml", "percent")


DETECTABLE: dict[str, Column] = {
    **METHOD,
    "unit": column("Unit", "ml, or percent of baseline."),
    **SESSIONS,
    **DIAGNOSIS,
    "source": column(
        "Source",
        "Where the noise was measured.",
        Levels={
            "repeated scans": "Several scans of a session (run-, rescan_of): 1.96 sqrt(2) x standard deviation within "
            "sessions",
            "controls": "Healthy controls: 1.96 x standard deviation of their change, true changes included",
        },
    ),
    "n_source": count("Size of the source", "Sessions with repeated scans, or controls with a change."),
    "noise_sd": column(
        "Noise", "Standard deviation within sessions, or of the controls' change; in the unit of the row."
    ),
    "smallest_change": column("Smallest detectable change", "Of one person, at 95 %; in the unit of the row."),
    "ci_low": column("Lower bound", "Of its 95 % interval (chi-square)."),
    "ci_high": column("Upper bound", "Of its 95 % interval (chi-square)."),
    "n": count("Number of participants", "With a change."),
    "n_loss": count("Lost more", "Participants who lost more than the smallest detectable change."),
    "share_loss": column("Share that lost more", "n_loss / n."),
    "share_loss_ci_low": column("Lower bound", "Of the 95 % interval of share_loss (Wilson)."),
    "share_loss_ci_high": column("Upper bound", "Of the 95 % interval of share_loss (Wilson)."),
    "n_gain": count("Gained more", "Participants who gained more than the smallest detectable change."),
    "share_gain": column("Share that gained more", "n_gain / n; 2.5 % are expected without any change."),
    "share_gain_ci_low": column("Lower bound", "Of the 95 % interval of share_gain (Wilson)."),
    "share_gain_ci_high": column("Upper bound", "Of the 95 % interval of share_gain (Wilson)."),
    **REASON,
    **CHANGE_MEASURE,
}


@dataclass(frozen=True)
class Limit:
    """The smallest detectable change: 1.96 sqrt(2) SEM of repeated scans, or 1.96 SD of the controls' change."""

    source: str
    noise: Estimate
    factor: float
    n: int


def tables(cohort: Cohort) -> list[Table]:
    """``group_detectable``."""
    rows: list[dict[str, Any]] = []
    for of_measure, pair in measures_of(cohort):
        sample = pairs(of_measure, pair)
        base = wide(of_measure, sample.table["participant_id"], sample.table["session_id_baseline"])
        change = {"ml": sample.volumes["total"], "percent": 100 * sample.volumes["total"] / base.where(base > 0)}
        diagnosis = sample.table["diagnosis"].to_numpy(dtype=object)
        for method in of_measure.methods:
            for unit in UNITS:
                values = change[unit][method].to_numpy(dtype=np.float64)
                limit = limits(of_measure.repeats, method, unit, values[diagnosis == cohort.settings.checks.controls])
                rows += [
                    {"method": method, "unit": unit, "sessions": pair, **row}
                    for row in shares(limit, values, diagnosis)
                ]
    choices = {
        "repeated_scans": "1.96 sqrt(2) SEM",
        "controls": "1.96 SD of the change of " + cohort.settings.checks.controls,
    }
    return [table("group_detectable", with_measure(rows), DETECTABLE, settings=choices)]


def limits(repeats: pd.DataFrame, method: str, unit: str, controls: np.ndarray) -> Limit:
    """From repeated scans of a session where there are any of the method, else from the controls' change."""
    limit = repeated(repeats, method, unit)
    if limit.n:
        return limit
    values = controls[np.isfinite(controls)]
    if values.size < MIN_CONTROLS:
        reason = f"no repeated scans; controls with a change: {values.size}, at least {MIN_CONTROLS} are needed"
        return Limit("controls", Estimate(reason=reason), Z, values.size)
    noise = sd(values, values.size - 1, float(np.sum((values - values.mean()) ** 2)))
    return Limit("controls", noise, Z, values.size)


def repeated(repeats: pd.DataFrame, method: str, unit: str) -> Limit:
    """SEM, the standard deviation within sessions, pooled over the sessions with two and more scans.

    In percent, each scan's volume is taken relative to the mean of its session.
    """
    of_method = repeats[(repeats["method"] == method) & (repeats["status"] == "ok")] if len(repeats) else repeats
    squares, df, sessions = 0.0, 0, 0
    for _, part in of_method.groupby(["participant_id", "session_id"]) if len(of_method) else ():
        values = part["volume_ml"].dropna().to_numpy(dtype=np.float64)
        if values.size > 1 and values.mean() > 0:
            scaled = 100 * values / values.mean() if unit == "percent" else values
            squares += float(np.sum((scaled - scaled.mean()) ** 2))
            df, sessions = df + values.size - 1, sessions + 1
    if not df:
        return Limit("repeated scans", Estimate(), Z * math.sqrt(2), 0)
    if df < MIN_DF:
        reason = f"too few sessions with repeated scans: {sessions}"
        return Limit("repeated scans", Estimate(reason=reason), Z * math.sqrt(2), sessions)
    return Limit("repeated scans", sd(np.empty(df + 1), df, squares), Z * math.sqrt(2), sessions)


def shares(limit: Limit, change: np.ndarray, diagnosis: np.ndarray) -> list[dict[str, Any]]:
    """Rows of ``group_detectable``: the limit, and per diagnosis how many lost or gained more."""
    noise, factor = limit.noise, limit.factor
    threshold = factor * noise.estimate
    shared = {
        "source": limit.source,
        "n_source": limit.n,
        "noise_sd": noise.estimate,
        "smallest_change": threshold,
        "ci_low": factor * noise.ci_low,
        "ci_high": factor * noise.ci_high,
        "reason": noise.reason,
    }
    rows = []
    for name in ("all", *sorted({str(item) for item in diagnosis if item})):
        values = change if name == "all" else change[diagnosis == name]
        values = values[np.isfinite(values)]
        rows.append({"diagnosis": name, **shared, "n": values.size, **_beyond(values, threshold)})
    return rows


def _beyond(values: np.ndarray, threshold: float) -> dict[str, float]:
    if not math.isfinite(threshold) or not values.size:
        return {}
    from statsmodels.stats.proportion import proportion_confint

    counts: dict[str, float] = {}
    for word, beyond in (("loss", int(np.sum(values < -threshold))), ("gain", int(np.sum(values > threshold)))):
        low, high = proportion_confint(beyond, values.size, method="wilson")
        counts |= {f"n_{word}": beyond, f"share_{word}": beyond / values.size}
        counts |= {f"share_{word}_ci_low": float(low), f"share_{word}_ci_high": float(high)}
    return counts


VIEW = View(
    "Smallest detectable change of one person, and who changed more",
    {"unit": ("percent",), "diagnosis": ("all",)},
    ("method", "source", "n_source", "smallest_change", "ci_low", "ci_high", "n", "share_loss", "share_gain", "reason"),
)
ANALYSIS = Analysis("detectable", tables, views={"detectable": VIEW})
