"""Participants per arm of a trial whose endpoint is the annual change of the thalamus: beyond the paper.

Two arms, two-sided 5 %, normal approximation: n = 2 (z_(1 - alpha/2) + z_power)^2 SD^2 / (effect x loss)^2, where the
loss is the patients' mean annual change minus that of the controls, which no treatment is expected to stop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from thalbids.group.statistics.fit import constant

ALPHA = 0.05
POWERS = (0.8, 0.9)
EFFECTS = (0.3, 0.5)  # share of the loss that the treatment stops
CONTROLS = "HC"
PATIENTS = "patients"
MIN_PATIENTS = 5
MIN_CONTROLS = 3
DRAWS = 2000
_CHUNK = 4_000_000  # values resampled at once


def sizes(patients: np.ndarray, controls: np.ndarray, seed: int, draws: int = DRAWS) -> list[dict[str, Any]]:
    """Rows of ``group_samplesize`` for one method and population: every effect and power, with bootstrap intervals.

    Parameters
    ----------
    patients, controls : change in percent per year; NaN is left out
    """
    patients, controls = (values[np.isfinite(values)] for values in (patients, controls))
    relative = controls.size >= MIN_CONTROLS
    mean = float(patients.mean()) if patients.size else math.nan
    sd = float(patients.std(ddof=1)) if patients.size > 1 else math.nan
    mean_controls = float(controls.mean()) if controls.size else math.nan
    loss = (mean_controls if relative else 0.0) - mean
    reason = ""
    if patients.size < MIN_PATIENTS:
        reason = f"{patients.size} patients with a change, at least {MIN_PATIENTS} are needed"
    elif constant(patients):
        reason = "the change does not vary"
    elif not loss > 0:
        reason = "no loss that a treatment could stop" + (" beyond that of the controls" if relative else "")
    ratio = math.nan if reason else (sd / loss) ** 2
    ratios = np.empty(0) if reason else resampled(patients, controls if relative else np.empty(0), seed, draws)
    shared = {
        "relative_to": "controls" if relative else "no change",
        "n_patients": patients.size,
        "n_controls": controls.size,
        "mean": mean,
        "sd": sd,
        "mean_controls": mean_controls,
    }
    rows = []
    for effect in EFFECTS:
        for power in POWERS:
            factor = 2 * (stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(power)) ** 2 / effect**2
            rows.append({"effect": effect, "power": power, **shared, **_bounds(factor, ratio, ratios, reason)})
    return rows


def resampled(patients: np.ndarray, controls: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """(SD / loss)^2 of resamples of patients and controls; infinite where a resample shows no loss."""
    rng = np.random.default_rng(seed)
    mean, sd = _moments(patients, rng, draws)
    loss = (_moments(controls, rng, draws)[0] if controls.size else 0.0) - mean
    with np.errstate(over="ignore"):  # a loss near nothing needs patients without end
        return np.where(loss > 0, (sd / np.where(loss > 0, loss, 1.0)) ** 2, math.inf)


def _moments(values: np.ndarray, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (ddof 1) of resamples, a few hundred at a time, which bounds the memory."""
    step = max(1, _CHUNK // values.size)
    parts = [
        values[rng.integers(0, values.size, (min(step, draws - start), values.size))] for start in range(0, draws, step)
    ]
    return np.concatenate([part.mean(axis=1) for part in parts]), np.concatenate(
        [part.std(axis=1, ddof=1) for part in parts]
    )


def _bounds(factor: float, ratio: float, ratios: np.ndarray, reason: str) -> dict[str, Any]:
    """N per arm, rounded up, and its percentile interval; a bound that is infinite is missing and said so."""
    if reason:
        return {"n_per_arm": math.nan, "ci_low": math.nan, "ci_high": math.nan, "reason": reason}
    low, high = np.quantile(ratios, [0.025, 0.975], method="inverted_cdf")
    endless = float(np.mean(np.isinf(ratios)))
    return {
        "n_per_arm": float(math.ceil(factor * ratio)),
        "ci_low": float(math.ceil(factor * low)) if np.isfinite(low) else math.nan,
        "ci_high": float(math.ceil(factor * high)) if np.isfinite(high) else math.nan,
        "reason": "" if np.isfinite(high) else f"no upper bound: {100 * endless:.1f} % of the resamples show no loss",
    }
