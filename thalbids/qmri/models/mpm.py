"""R1, R2*, proton density and MT saturation from multi-parameter mapping, in parts that fit the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from thalbids.qmri.models.estatics import fit_decay
from thalbids.qmri.models.flash import DualAngle, Weighting, dual_angle, mt_saturation
from thalbids.qmri.models.spoiling import SpoilingSet, correct

CHUNK = 100_000  # voxels at a time: about 150 MB with 20 echoes
PDW, T1W, MTW = "PDw", "T1w", "MTw"


@dataclass(frozen=True)
class Weighted:
    """The images of one weighting.

    Attributes
    ----------
    contrast : flip angle and repetition time
    echo_times : in s, one per signal
    signals : magnitude volumes on one grid, the same of all weightings
    """

    contrast: Weighting
    echo_times: Sequence[float]
    signals: Sequence[np.ndarray]


@dataclass(frozen=True)
class FitOptions:
    """How maps are computed: the settings of ``[qmri]`` that concern the fit."""

    form: str = "exact"
    fit: str = "weighted"
    spoiling: SpoilingSet | None = None
    mt_residual: float = 0.4
    largest_r1: float = 2.0  # 1/s
    largest_r2star: float = 200.0  # 1/s


@dataclass(frozen=True)
class FittedMaps:
    """Maps by their BIDS suffix, their standard errors, and how many voxels are not what the formula gave.

    ``values`` and ``errors`` hold float32 volumes; an undefined voxel is 0 in all of them. ``undefined`` marks voxels
    without a fit: a signal that is not positive, or no R1 that solves the equations. ``clamped`` marks voxels whose R1
    was above the largest value.
    """

    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    undefined: np.ndarray
    clamped: np.ndarray


def fit_maps(
    weighted: Mapping[str, Weighted],
    transmit: np.ndarray | None = None,
    options: FitOptions | None = None,
    chunk: int = CHUNK,
    head: np.ndarray | None = None,
    threads: int = 1,
) -> FittedMaps:
    """The maps of one session.

    Parameters
    ----------
    weighted : ``PDw`` and ``T1w``, and ``MTw`` where there is one. One echo each (MTS) gives no R2* and no errors.
    transmit : f_T on the same grid; None: the nominal flip angles are taken for the true ones
    options : None: `FitOptions` as it stands
    chunk : voxels at a time; the result does not depend on it
    threads : chunks at a time; the result does not depend on it
    head : where tissue is looked for, to make the proton density relative: noise of the air has any R1. None: all

    Returns
    -------
    FittedMaps
        ``R1map`` (1/s), ``PDmap`` (relative to the median of tissue, `relative_density`), ``R2starmap`` (1/s) and
        ``MTsat`` (percent units) where there is what they need.
    """
    options = options or FitOptions()
    shape = weighted[PDW].signals[0].shape
    n = int(np.prod(shape))
    flat = {name: [np.reshape(s, -1) for s in w.signals] for name, w in weighted.items()}
    field = None if transmit is None else np.reshape(transmit, -1)
    names = _names(weighted)
    values = {name: np.zeros(n, dtype=np.float32) for name in names}
    errors = {name: np.zeros(n, dtype=np.float32) for name in (names if _has_decay(weighted) else ())}
    undefined, clamped = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    limits = {"R1map": (0.0, options.largest_r1), "R2starmap": (0.0, options.largest_r2star)}

    def work(start: int) -> None:
        part = slice(start, start + chunk)
        signals = {name: np.stack([s[part] for s in volumes]).astype(np.float64) for name, volumes in flat.items()}
        b1 = 1.0 if field is None else np.asarray(field[part], dtype=np.float64)
        maps, spread = _fit_part(weighted, signals, b1, options)
        undefined[part] = ~_defined(maps["R1map"], maps.get("R2starmap"), b1)
        clamped[part] = ~undefined[part] & (maps["R1map"] > options.largest_r1)
        for name, value in maps.items():
            low, high = limits.get(name, (-np.inf, np.inf))
            kept = np.where(undefined[part] | ~np.isfinite(value), 0, np.clip(value, low, high))
            values[name][part] = kept
        for name, value in spread.items():
            errors[name][part] = np.where(undefined[part] | ~np.isfinite(value), 0, value)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(work, range(0, n, chunk)))
    values["PDmap"], scale = relative_density(
        values["PDmap"], values["R1map"], None if head is None else np.reshape(head, -1)
    )
    if "PDmap" in errors:
        errors["PDmap"] *= np.float32(scale)

    def shaped(maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: volume.reshape(shape) for name, volume in maps.items()}

    return FittedMaps(shaped(values), shaped(errors), undefined.reshape(shape), clamped.reshape(shape))


def relative_density(amplitude: np.ndarray, r1: np.ndarray, head: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """The amplitude over its median where R1 is that of brain tissue (0.5 - 1.2 1/s) in the head, and the factor.

    The receive field is still in it: values of distant places cannot be compared.
    """
    inside = (r1 > 0.5) & (r1 < 1.2) & (amplitude > 0)
    tissue = amplitude[inside if head is None else inside & head]
    factor = float(1 / np.median(tissue)) if tissue.size else 1.0
    return (amplitude * np.float32(factor)).astype(np.float32), factor


def _names(weighted: Mapping[str, Weighted]) -> tuple[str, ...]:
    decay = ("R2starmap",) if _has_decay(weighted) else ()
    return ("R1map", "PDmap", *decay, *(("MTsat",) if MTW in weighted else ()))


def _has_decay(weighted: Mapping[str, Weighted]) -> bool:
    return all(len(w.signals) > 1 for w in weighted.values())


def _defined(r1: np.ndarray, r2star: np.ndarray | None, transmit: np.ndarray | float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        good = np.isfinite(r1) & (r1 > 0) & (np.asarray(transmit) > 0)
    return good if r2star is None else good & np.isfinite(r2star)


def _fit_part(
    weighted: Mapping[str, Weighted],
    signals: Mapping[str, np.ndarray],
    transmit: np.ndarray | float,
    options: FitOptions,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Maps and standard errors of some voxels, unlimited; NaN where there is none."""
    order = [name for name in (PDW, T1W, MTW) if name in weighted]
    covariance = None
    maps: dict[str, np.ndarray] = {}
    if _has_decay(weighted):
        decay = fit_decay([signals[n] for n in order], [weighted[n].echo_times for n in order], options.fit)
        start = dict(zip(order, np.exp(decay.intercepts), strict=True))
        covariance, maps["R2starmap"] = decay.covariance, decay.r2star
    else:
        start = {name: np.where(signals[name][0] > 0, signals[name][0], np.nan) for name in order}
    pd, t1 = weighted[PDW].contrast, weighted[T1W].contrast
    angles = dual_angle(start[PDW], start[T1W], pd, t1, transmit, options.form)
    gradients = {
        "R1map": [angles.r1_by_pd, angles.r1_by_t1],
        "PDmap": [angles.amplitude_by_pd, angles.amplitude_by_t1],
    }
    maps |= {"R1map": angles.r1, "PDmap": angles.amplitude}
    if options.spoiling is not None:
        maps["R1map"], slope = correct(angles.r1, options.spoiling, transmit)
        gradients["R1map"] = [slope * g for g in gradients["R1map"]]
    if MTW in weighted:
        small: DualAngle = angles
        if options.form != "small-angle":
            small = dual_angle(start[PDW], start[T1W], pd, t1, transmit, "small-angle")
        residual = options.mt_residual if np.ndim(transmit) else 0.0
        saturation = mt_saturation(start[MTW], weighted[MTW].contrast, small, transmit, residual)
        maps["MTsat"] = saturation.value
        gradients["MTsat"] = [saturation.by_pd, saturation.by_t1, saturation.by_mt]
    if covariance is None:
        return maps, {}
    errors = {name: propagated(gradient, covariance) for name, gradient in gradients.items()}
    return maps, errors | {"R2starmap": np.sqrt(covariance[-1, -1])}


def propagated(gradient: Sequence[np.ndarray], covariance: np.ndarray) -> np.ndarray:
    """Standard error of a function of the first intercepts, to first order: sqrt(g' C g)."""
    total = np.zeros(covariance.shape[2:])
    for i, gi in enumerate(gradient):
        for j, gj in enumerate(gradient):
            total += gi * gj * covariance[i, j]
    with np.errstate(invalid="ignore"):
        error: np.ndarray = np.sqrt(total)
    return error
