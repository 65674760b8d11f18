"""Participants per arm of a trial whose endpoint is the annual change of the thalamus: beyond the paper.

Two arms, two-sided 5 %, normal approximation: n = 2 (z_(1 - alpha/2) + z_power)^2 SD^2 / (effect x loss)^2, where the
loss is the patients' mean annual change, and beside it that minus the mean change of the controls, which no treatment
is expected to stop.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from scipy import stats

from thalbids.group.statistics.fits.contrasts import noncentral
from thalbids.group.statistics.fits.fit import constant

ALPHA = 0.05
POWERS = (0.8, 0.9)
EFFECTS = (0.3, 0.5)  # share of the loss that the treatment stops
PATIENTS = "patients"
MIN_PATIENTS = 5
LEAST_CONTROLS = 10
RELATIVE = ("no change", "controls")
DRAWS = 2000
_EXACT = 1e-14  # share of the variance that is rounding noise
_CHUNK = 4_000_000  # values resampled at once


def sizes(
    patients: np.ndarray, controls: np.ndarray, seed: int, draws: int = DRAWS, least: int = LEAST_CONTROLS
) -> list[dict[str, Any]]:
    """Rows of ``group_samplesize`` for one method and population: every effect and power, with bootstrap intervals.

    First relative to no change, then to the controls' mean change; with fewer controls than ``least`` the second has no
    number and says why.

    Parameters
    ----------
    patients, controls : change in percent per year; NaN is left out
    """
    patients, controls = (values[np.isfinite(values)] for values in (patients, controls))
    unfit = _unfit(patients)
    drawn = None if unfit else tuple(values[:, 0] for values in moments(patients[:, None], seed, draws))
    shared = {
        "n_patients": patients.size,
        "n_controls": controls.size,
        "mean": float(patients.mean()) if patients.size else math.nan,
        "sd": float(patients.std(ddof=1)) if patients.size > 1 else math.nan,
        "mean_controls": float(controls.mean()) if controls.size else math.nan,
    }
    rows = []
    for relative in RELATIVE:
        few = relative == "controls" and controls.size < least
        loss = (shared["mean_controls"] if relative == "controls" else 0.0) - shared["mean"]
        beyond = " beyond that of the controls" if relative == "controls" else ""
        reason = f"controls with a change: {controls.size}, at least {least} are needed" if few else unfit
        reason = reason or ("" if loss > 0 else "no loss that a treatment could stop" + beyond)
        ratio, ratios = math.nan, np.empty(0)
        if not reason and drawn is not None:
            ratio = (shared["sd"] / loss) ** 2
            stopped = np.zeros(draws)
            if relative == "controls":
                stopped = moments(controls[:, None], seed + 1, draws)[0][:, 0]
            ratios = _ratios(drawn, stopped)
        rows += _rows({"relative_to": relative, **shared}, ratio, ratios, reason)
    return rows


def response(change: np.ndarray) -> dict[str, Any]:
    """The standardised response mean, mean / SD of the change, with its interval (noncentral t; Cohen 1988).

    Returns
    -------
    dict
        ``n``, ``mean`` with its t interval (``ci_low``, ``ci_high``), ``sd``, ``srm``, ``srm_ci_low``, ``srm_ci_high``,
        ``reason``.
    """
    values = change[np.isfinite(change)]
    names = ("mean", "ci_low", "ci_high", "sd", "srm", "srm_ci_low", "srm_ci_high")
    row: dict[str, Any] = {"n": values.size, **dict.fromkeys(names, math.nan), "reason": _unfit(values)}
    if row["reason"]:
        return row
    n, mean, sd = values.size, float(values.mean()), float(values.std(ddof=1))
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * sd / math.sqrt(n)
    low, high = noncentral(mean / sd * math.sqrt(n), n - 1)
    ends = {"srm_ci_low": low / math.sqrt(n), "srm_ci_high": high / math.sqrt(n)}
    return row | {"mean": mean, "ci_low": mean - half, "ci_high": mean + half, "sd": sd, "srm": mean / sd, **ends}


def _unfit(values: np.ndarray) -> str:
    if values.size < MIN_PATIENTS:
        return f"people with a change: {values.size}, at least {MIN_PATIENTS} are needed"
    return "the change does not vary" if constant(values) else ""


def _rows(shared: dict[str, Any], ratio: float, ratios: np.ndarray, reason: str) -> list[dict[str, Any]]:
    rows = []
    for effect in EFFECTS:
        for power in POWERS:
            factor = 2 * (stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(power)) ** 2 / effect**2
            rows.append({"effect": effect, "power": power, **shared, **_bounds(factor, ratio, ratios, reason)})
    return rows


def _ratios(drawn: tuple[np.ndarray, ...], controls: np.ndarray) -> np.ndarray:
    """(SD / loss)^2 of resamples of patients and controls; infinite where a resample shows no loss."""
    mean, sd = drawn
    loss = controls - mean
    with np.errstate(over="ignore"):  # a loss near nothing needs patients without end
        return np.where(loss > 0, (sd / np.where(loss > 0, loss, 1.0)) ** 2, math.inf)


def moments(values: np.ndarray, seed: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (ddof 1) of resamples of people, which depend on their number and the seed alone.

    Parameters
    ----------
    values : (n, m), m measures of the same people

    Returns
    -------
    (mean, sd)
        (draws, m) each; an SD that is rounding noise is 0
    """
    n, m = values.shape
    centre = values.mean(axis=0)
    products, step = np.hstack([values - centre, (values - centre) ** 2]), max(1, _CHUNK // n)
    counts = _counts(n, seed, draws)
    sums = np.concatenate([counts[start : start + step] @ products for start in range(0, draws, step)])
    mean = sums[:, :m] / n
    variance = (sums[:, m:] - n * mean**2) / (n - 1)
    noise = _EXACT * products[:, m:].mean(axis=0)
    return centre + mean, np.sqrt(np.where(variance > noise, variance, 0.0))


@functools.lru_cache(maxsize=2)  # methods known of the same people share their resamples
def _counts(n: int, seed: int, draws: int) -> np.ndarray:
    """How often each value is in each resample, (draws, n); drawn a few hundred at a time, which bounds the memory."""
    rng, step = np.random.default_rng(seed), max(1, _CHUNK // n)
    parts = []
    for start in range(0, draws, step):
        size = min(step, draws - start)
        places = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        parts.append(np.bincount(places.ravel(), minlength=size * n).reshape(size, n).astype(np.uint8))
    return np.concatenate(parts)


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
