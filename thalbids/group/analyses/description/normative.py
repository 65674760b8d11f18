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

from thalbids.bids.tabular.counting import natural
from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column, count, table
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.columns import METHOD, REASON
from thalbids.group.modelling import sites
from thalbids.group.statistics.fits import fit
from thalbids.group.statistics.testing.lost import wilson

COVARIATES = ("age", "sex", "icv_ml")
_ALONE = 1e-8  # 1 - leverage below which a control alone determines a coefficient
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
    controls, group = cohort.settings.checks.controls, cohort.settings.group
    data = frame(cohort)
    covariates = tuple(name for name in COVARIATES if data[name].notna().any())
    if not group.strict:
        covariates = tuple(name for name in covariates if not fit.constant(data[name].dropna().to_numpy(dtype=float)))
    smallest = group.smallest_level if sites.modelled(cohort) else 0
    parts = [scores(rows, covariates, controls, smallest) for _, rows in data.groupby("method", sort=False)]
    scored = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(NORMATIVE))
    choices = {"controls": controls, "covariates": list(covariates), "smallest_df": MIN_DF, "site": bool(smallest)}
    absent = [name for name in COVARIATES if name not in covariates]
    notes = []
    if absent and len(data):
        notes.append(
            f"normative scores: not adjusted for {', '.join(absent)}, which nobody has, or which does not vary."
        )
    notes += without(scored)
    return [
        Table("group_normative", scored[list(NORMATIVE)], NORMATIVE, choices, notes),
        table("group_normative_summary", summary(cohort, scored), SUMMARY, settings=choices | {"low_percentile": LOW}),
    ]


def without(scored: pd.DataFrame) -> list[str]:
    """How many people have no z by any method, and why; a warning where others have one."""
    people = scored.groupby("participant_id", sort=False).agg(known=("z", "count"), reason=("reason", "first"))
    none = people[people["known"] == 0]
    if none.empty:
        return []
    why = "; ".join(f"{reason} ({n})" for reason, n in none["reason"].value_counts().head(3).items())
    first = "" if len(none) == len(people) else "warning: "
    return [f"{first}normative scores: {len(none)} of {len(people)} people have none: {why}."]


def summary(cohort: Cohort, all_scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of ``group_normative_summary``: per method and diagnosis, at everybody's baseline session."""
    first = baseline(cohort)[_KEYS]
    scored = all_scores.merge(first, on=_KEYS).dropna(subset=["z"])
    rows = []
    for (method, diagnosis), part in scored[scored["diagnosis"] != ""].groupby(["method", "diagnosis"], sort=False):
        z, n = part["z"].to_numpy(dtype=np.float64), len(part)
        low = int((part["percentile"] < LOW).sum())
        sd = float(z.std(ddof=1)) if n > 1 else math.nan
        half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n) if n > 1 else math.nan
        share = wilson(low, n)
        mean = float(z.mean())
        rows.append(
            {"method": method, "diagnosis": diagnosis, "n": n, "mean": mean, "sd": sd, "ci_low": mean - half,
             "ci_high": mean + half, "n_low": low, "share_low": low / n, "share_low_ci_low": share[0],
             "share_low_ci_high": share[1]}
        )  # fmt: skip
    return rows


def frame(cohort: Cohort) -> pd.DataFrame:
    """Usable volumes with the covariates of their visit; ``first`` marks each person's first session of the method."""
    visits = cohort.visits[[*_KEYS, "order", "age", "female", "diagnosis", "site"]]
    merged = cohort.usable[[*_KEYS, "method", "volume_ml", "icv_ml"]].merge(
        visits, on=_KEYS, how="left", validate="many_to_one"
    )
    merged["sex"] = 1.0 - merged["female"].astype(float)
    merged["site"] = sites.site_words(merged["site"])
    merged["first"] = merged["order"] == merged.groupby(["participant_id", "method"])["order"].transform("min")
    return merged.reset_index(drop=True)


def scores(volumes: pd.DataFrame, covariates: tuple[str, ...], controls: str, smallest: int = 0) -> pd.DataFrame:
    """``expected_ml``, ``prediction_sd_ml``, ``z`` and ``percentile`` of the rows of one method.

    ``smallest``: controls that a site needs, each of which then has a level of its own; 0 where models know of no site.
    A covariate that does not vary among the controls is left out, and people with another value have no z.
    """
    columns = {name: volumes[name].to_numpy(dtype=np.float64) for name in covariates}
    y = volumes["volume_ml"].to_numpy(dtype=np.float64)
    complete = np.all([np.isfinite(y), *(np.isfinite(values) for values in columns.values())], axis=0)
    used = (volumes["diagnosis"] == controls).to_numpy() & complete & volumes["first"].to_numpy(dtype=bool)
    why, columns = _known_of_controls(volumes, columns, used, smallest)
    used &= why == ""
    names = tuple(columns)
    X = np.column_stack([*columns.values(), np.ones(len(volumes))])
    result = volumes[[*_KEYS, "method", "volume_ml", "diagnosis"]].copy()
    result["n_controls"] = int(used.sum())
    result["adjusted_for"] = " ".join(dict.fromkeys(name.split("[")[0] for name in names))
    reason = _unfit(X[used], y[used], names, controls)
    if smallest and "combination" in reason:
        return scores(volumes, covariates, controls)  # the site cannot be told from the rest, as in the clinical models
    if reason:
        return result.assign(expected_ml=np.nan, prediction_sd_ml=np.nan, z=np.nan, percentile=np.nan, reason=reason)
    expected, spread, df = predict(X[used], y[used], X)
    degrees = np.full(y.size, float(df))
    _left_out(volumes["participant_id"].to_numpy(dtype=object), X, y, used, (expected, spread, degrees))
    expected[why != ""] = spread[why != ""] = np.nan
    z = (y - expected) / spread
    result = result.assign(expected_ml=expected, prediction_sd_ml=spread, z=z, percentile=100 * stats.t.cdf(z, degrees))
    raw = {name: volumes[name].to_numpy(dtype=np.float64) for name in covariates}
    result["reason"] = _notes(raw, used, why, complete, z)
    return result


def _known_of_controls(
    volumes: pd.DataFrame, columns: dict[str, np.ndarray], used: np.ndarray, smallest: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Why a row is like no control ("" where it is), and the columns of the controls' model."""
    why = np.full(len(volumes), "", dtype=object)
    kept = {}
    for name, values in columns.items():
        if used.sum() > 1 and fit.constant(values[used]):
            why[np.isfinite(values) & (values != values[used][0])] = f"controls: {name} does not vary"
        else:
            kept[name] = values
    if smallest and used.any():
        site = volumes["site"].to_numpy(dtype=object)
        counts = pd.Series(site[used]).value_counts()
        large = [name for name in counts.index if counts[name] >= smallest]
        why[~np.isin(site, large)] = f"fewer than {smallest} controls of this site"
        kept |= {f"site[{name}]": (site == name).astype(float) for name in sorted(large, key=natural)[1:]}
    return why, kept


def _left_out(
    people: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    used: np.ndarray,
    fitted: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Write what the model without them says of the controls into expectation, SD and degrees of freedom: each of them
    is one row of it, which is taken out of its sums (Sherman and Morrison).
    """
    expected, spread, degrees = fitted
    scale = np.linalg.norm(X[used], axis=0)
    rows = X / scale
    inverse = np.linalg.inv(rows[used].T @ rows[used])
    beta = inverse @ rows[used].T @ y[used]
    residual = y[used] - rows[used] @ beta
    df = int(used.sum()) - X.shape[1] - 1
    place = {person: i for i, person in enumerate(people[used])}
    of_controls = np.flatnonzero([person in place for person in people])  # np.isin takes n^2 for words
    their = np.array([place[person] for person in people[of_controls]], dtype=int)
    x, new = rows[used][their], rows[of_controls]
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    with np.errstate(invalid="ignore", divide="ignore"):
        free = np.where(1 - leverage > _ALONE, 1 - leverage, np.nan)  # one who alone determines a coefficient: no norm
        cross = np.einsum("ij,jk,ik->i", new, inverse, x)
        ahead = np.einsum("ij,jk,ik->i", new, inverse, new) + cross**2 / free
        s2 = (
            (residual @ residual - residual[their] ** 2 / free) / df
            if df >= MIN_DF
            else np.full(of_controls.size, np.nan)
        )
        expected[of_controls] = new @ beta - cross * residual[their] / free
        spread[of_controls] = np.sqrt(s2 * (1 + ahead))
    degrees[of_controls] = df


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
        return f"controls ({controls}) with every value: {y.size}, at least {X.shape[1] + MIN_DF} are needed"
    rows = {"volume_ml": y, **{name: X[:, i] for i, name in enumerate(covariates)}}
    problem = fit.unfit("volume_ml", covariates, rows)
    return f"controls: {problem}" if problem else ""


def _notes(
    columns: dict[str, np.ndarray], controls: np.ndarray, why: np.ndarray, complete: np.ndarray, z: np.ndarray
) -> list[str]:
    """Why a row has no z, or that it lies outside the controls' ages or head sizes."""
    lines = []
    ends = {name: (values[controls].min(), values[controls].max()) for name, values in columns.items()}
    for i in range(len(z)):
        lacking = [name for name, values in columns.items() if not math.isfinite(values[i])]
        if not complete[i]:
            lines.append("no " + ", ".join(lacking) if lacking else "no volume")
        elif why[i]:
            lines.append(why[i])
        elif not math.isfinite(z[i]):
            lines.append("without this person there are too few controls")
        else:
            beyond = [name for name, (low, high) in ends.items() if not low <= columns[name][i] <= high]
            lines.append("outside the controls' range of " + ", ".join(beyond) if beyond else "")
    return lines


ANALYSIS = Analysis("normative", tables, told=("normative",))
