"""Volumes against those of the controls: z-scores by age, sex and intracranial volume, beyond the paper.

z = (volume - expected) / SD of the prediction, from least squares in the controls' first sessions. A control's own z
leaves that person out of the fit, or it would be too small.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column, count, table
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.columns import METHOD, REASON
from thalbids.group.statistics.fits import fit

COVARIATES = ("age", "sex", "icv_ml")
MIN_DF = 5  # residual degrees of freedom of the controls' model
_KEYS = ["participant_id", "session_id"]


NORMATIVE: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    **METHOD,
    "diagnosis": column("Diagnosis", "Diagnosis group; n/a when unknown."),
    "volume_ml": column("Thalamus volume", "Left and right.", "mL"),
    "expected_ml": column("Expected volume", "Of a control of this age, sex and intracranial volume.", "mL"),
    "prediction_sd_ml": column("SD of the prediction", "Of a single control's volume around the expected one.", "mL"),
    "z": column("z", "(volume - expected) / SD of the prediction; a control's own is made without that person."),
    "percentile": column(
        "Percentile", "Of the t distribution with the degrees of freedom of the controls' model.", "percent"
    ),
    "n_controls": count("Number of controls", "Healthy controls in the model, first sessions."),
    "adjusted_for": column("Covariates", "What the expected volume depends on."),
    **REASON,
}
LOW = 5.0  # percentile below which a volume counts as small
SUMMARY: dict[str, Column] = {
    **METHOD,
    "diagnosis": column("Diagnosis", "Diagnosis group at the baseline."),
    "n": count("Number of people", "With a z at their baseline session."),
    "mean": column("Mean z", "Of the people's z at baseline."),
    "sd": column("SD of z", "Sample standard deviation (n - 1); 1 is expected of controls."),
    "ci_low": column("Lower bound", "Of the 95 % interval of the mean (t)."),
    "ci_high": column("Upper bound", "Of the 95 % interval of the mean (t)."),
    "n_low": count("Small volumes", "People below the 5th percentile of the controls."),
    "share_low": column("Share of small volumes", "n_low / n; 0.05 is expected of controls."),
    "share_low_ci_low": column("Lower bound", "Of the 95 % interval of the share (Wilson)."),
    "share_low_ci_high": column("Upper bound", "Of the 95 % interval of the share (Wilson)."),
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_normative``, and per diagnosis what it says of the baseline (``group_normative_summary``)."""
    controls = cohort.settings.checks.controls
    data = frame(cohort)
    covariates = tuple(name for name in COVARIATES if data[name].notna().any())
    parts = [scores(own, covariates, controls) for _, own in data.groupby("method", sort=False)]
    made = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(NORMATIVE))
    choices = {"controls": controls, "covariates": list(covariates), "smallest_df": MIN_DF}
    absent = [name for name in COVARIATES if name not in covariates]
    notes = (
        [f"normative scores: not adjusted for {', '.join(absent)}, which nobody has."] if absent and len(data) else []
    )
    return [
        Table("group_normative", made[list(NORMATIVE)], NORMATIVE, choices, notes),
        table("group_normative_summary", summary(cohort, made), SUMMARY, settings=choices | {"low_percentile": LOW}),
    ]


def summary(cohort: Cohort, made: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of ``group_normative_summary``: per method and diagnosis, at everybody's baseline session."""
    from statsmodels.stats.proportion import proportion_confint

    first = baseline(cohort)[_KEYS]
    own = made.merge(first, on=_KEYS).dropna(subset=["z"])
    rows = []
    for (method, diagnosis), part in own[own["diagnosis"] != ""].groupby(["method", "diagnosis"], sort=False):
        z, n = part["z"].to_numpy(dtype=np.float64), len(part)
        low = int((part["percentile"] < LOW).sum())
        sd = float(z.std(ddof=1)) if n > 1 else math.nan
        half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n) if n > 1 else math.nan
        share = [float(bound) for bound in proportion_confint(low, n, method="wilson")]
        mean = float(z.mean())
        rows.append(
            {"method": method, "diagnosis": diagnosis, "n": n, "mean": mean, "sd": sd, "ci_low": mean - half,
             "ci_high": mean + half, "n_low": low, "share_low": low / n, "share_low_ci_low": share[0],
             "share_low_ci_high": share[1]}
        )  # fmt: skip
    return rows


def frame(cohort: Cohort) -> pd.DataFrame:
    """Usable volumes with the covariates of their visit; ``first`` marks each person's first session of the method."""
    visits = cohort.visits[[*_KEYS, "order", "age", "female", "diagnosis"]]
    made = cohort.usable[[*_KEYS, "method", "volume_ml", "icv_ml"]].merge(
        visits, on=_KEYS, how="left", validate="many_to_one"
    )
    made["sex"] = 1.0 - made["female"].astype(float)
    made["first"] = made["order"] == made.groupby(["participant_id", "method"])["order"].transform("min")
    return made.reset_index(drop=True)


def scores(own: pd.DataFrame, covariates: tuple[str, ...], controls: str) -> pd.DataFrame:
    """``expected_ml``, ``prediction_sd_ml``, ``z`` and ``percentile`` of the rows of one method."""
    X = np.column_stack([*(own[name].to_numpy(dtype=np.float64) for name in covariates), np.ones(len(own))])
    y = own["volume_ml"].to_numpy(dtype=np.float64)
    control = (own["diagnosis"] == controls).to_numpy()
    complete = np.isfinite(X).all(axis=1) & np.isfinite(y)
    used = control & complete & own["first"].to_numpy(dtype=bool)
    made = own[[*_KEYS, "method", "volume_ml", "diagnosis"]].copy()
    made["n_controls"] = int(used.sum())
    made["adjusted_for"] = " ".join(covariates)
    reason = _unfit(X[used], y[used], covariates, controls)
    if reason:
        return made.assign(expected_ml=np.nan, prediction_sd_ml=np.nan, z=np.nan, percentile=np.nan, reason=reason)
    expected, spread, df = predict(X[used], y[used], X)
    people = own["participant_id"].to_numpy(dtype=object)
    degrees = np.full(y.size, float(df))
    for person in set(people[used]):
        rest, mine = used & (people != person), people == person
        if _unfit(X[rest], y[rest], covariates, controls):
            expected[mine], spread[mine] = np.nan, np.nan
        else:
            expected[mine], spread[mine], degrees[mine] = predict(X[rest], y[rest], X[mine])
    z = (y - expected) / spread
    made = made.assign(expected_ml=expected, prediction_sd_ml=spread, z=z, percentile=100 * stats.t.cdf(z, degrees))
    made["reason"] = _notes(own, X, X[used], covariates, complete, z)
    return made


def predict(X: np.ndarray, y: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Expected values at ``new``, the SD of a prediction s sqrt(1 + x (X'X)^-1 x'), and the degrees of freedom of s."""
    scale = np.linalg.norm(X, axis=0)
    inverse = np.linalg.inv((X / scale).T @ (X / scale))
    beta = inverse @ (X / scale).T @ y
    df = X.shape[0] - X.shape[1]
    s2 = float(np.sum((y - X / scale @ beta) ** 2)) / df
    rows = new / scale
    return rows @ beta, np.sqrt(s2 * (1 + np.einsum("ij,jk,ik->i", rows, inverse, rows))), df


def _unfit(X: np.ndarray, y: np.ndarray, covariates: tuple[str, ...], controls: str) -> str:
    if y.size < X.shape[1] + MIN_DF:
        return f"{y.size} controls ({controls}) with every value, at least {X.shape[1] + MIN_DF} are needed"
    rows = {"volume_ml": y, **{name: X[:, i] for i, name in enumerate(covariates)}}
    problem = fit.unfit("volume_ml", covariates, rows)
    return f"controls: {problem}" if problem else ""


def _notes(
    own: pd.DataFrame,
    X: np.ndarray,
    controls: np.ndarray,
    covariates: tuple[str, ...],
    complete: np.ndarray,
    z: np.ndarray,
) -> list[str]:
    """Why a row has no z, or that it lies outside the controls' ages or head sizes."""
    made = []
    low, high = controls.min(axis=0), controls.max(axis=0)
    outside = (low > X) | (high < X)
    for i in range(len(own)):
        if not complete[i]:
            lacking = [name for k, name in enumerate(covariates) if not math.isfinite(X[i, k])]
            made.append("no " + ", ".join(lacking) if lacking else "no volume")
        elif not math.isfinite(z[i]):
            made.append("without this person there are too few controls")
        else:
            beyond = [name for k, name in enumerate(covariates) if outside[i, k]]
            made.append("outside the controls' range of " + ", ".join(beyond) if beyond else "")
    return made


ANALYSIS = Analysis("normative", tables, told=("normative",))
