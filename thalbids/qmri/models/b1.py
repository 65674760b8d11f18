"""The transmit field f_T, relative to the nominal one, from B1+ maps and from what they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from thalbids.errors import ImageError, MetadataError

FACTOR_RANGE = (0.2, 2.0)  # of the median of a head at 1.5 - 7 T
FWHM_PER_SIGMA = 2.3548200450309493
T1_OF_STE = 1.192  # s; of brain tissue at 3 T, for the decay during the mixing time (Lutti et al. 2010)

_SPELLINGS = {
    "percent": ("percent", "%", "p.u.", "pu"),
    "factor": ("factor", "1", "a.u.", "au", "arbitrary", "ratio", "relative", "unitless"),
}


def factor_from_map(data: np.ndarray, units: object = None) -> tuple[np.ndarray, str]:
    """F_T from a TB1map in percent or as a factor, and which of both it was.

    Parameters
    ----------
    units : the ``Units`` of the sidecar, None without; ``arbitrary`` (BIDS) says nothing and is a factor by its values

    Raises
    ------
    ImageError
        The values are neither, or not what the sidecar says.
    MetadataError
        The unit is not understood.
    """
    values = np.asarray(data, dtype=np.float32)
    there = values[np.isfinite(values) & (values > 0)]
    if not there.size:
        raise ImageError("The B1+ map has no positive value.", "Export the map again.")
    median = float(np.median(there))
    low, high = FACTOR_RANGE
    looks = "factor" if low <= median <= high else "percent" if 100 * low <= median <= 100 * high else None
    if looks is None:
        mend = "Give f_T as a factor (about 1) or in percent (about 100)."
        raise ImageError(f"The B1+ map is no f_T: its median is {median:.4g}.", mend)
    said = _spelled(units)
    if said is not None and said != looks:
        raise ImageError(
            f"The B1+ map is not a {said} as its sidecar says: its median is {median:.4g}.",
            f'Write "Units": "{looks}" into its JSON sidecar if that is its unit.',
        )
    return valid(values / np.float32(100 if looks == "percent" else 1)), looks


def _spelled(units: object) -> str | None:
    if units is None or str(units).strip().lower() == "arbitrary":
        return None
    text = str(units).strip().lower()
    for unit, accepted in _SPELLINGS.items():
        if text in accepted:
            return unit
    mend = 'Write "Units": "percent" or "factor" into the JSON sidecar.'
    raise MetadataError(f"The unit {units!r} of the B1+ map is not understood.", mend)


def valid(factor: np.ndarray) -> np.ndarray:
    """The same with NaN where no field can be: not positive, above 3, or not finite."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(factor) & (factor > 0) & (factor < 3), factor, np.nan)


def from_actual_flip_angle(
    first: np.ndarray, second: np.ndarray, repetition_times: tuple[float, float], flip_angle: float
) -> np.ndarray:
    """F_T by actual flip-angle imaging (Yarnykh 2007): cos a = (r n - 1) / (n - r), r = S2 / S1, n = TR2 / TR1.

    ``second`` is the image of the longer repetition time; ``flip_angle`` is nominal, in degrees.
    """
    n = repetition_times[1] / repetition_times[0]
    if n <= 1:
        raise ValueError("the second repetition time must be the longer one")
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.asarray(second, dtype=np.float64) / first
        return valid(_arccos_degrees((r * n - 1) / (n - r)) / flip_angle)


def from_double_angle(single: np.ndarray, double: np.ndarray, flip_angle: float) -> np.ndarray:
    """F_T by two images with the flip angle and its double at full relaxation (Insko and Bolinger 1993).

    cos a = S(2 a) / (2 S(a)); angles below 90 degrees.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return valid(_arccos_degrees(np.asarray(double, dtype=np.float64) / (2 * single)) / flip_angle)


def from_stimulated_echo(
    spin_echoes: Sequence[np.ndarray],
    stimulated_echoes: Sequence[np.ndarray],
    flip_angles: Sequence[float],
    mixing_time: float,
    t1: float = T1_OF_STE,
) -> np.ndarray:
    """F_T from spin and stimulated echoes at several flip angles (Jiru and Klose 2006, Lutti et al. 2010).

    cos a = exp(TM / T1) S_STE / S_SE, angles below 180 degrees; the median over the flip angles. The EPI distortion is
    not corrected.
    """
    decay = np.exp(mixing_time / t1)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = [
            _arccos_degrees(decay * np.asarray(stimulated, dtype=np.float64) / spin) / angle
            for spin, stimulated, angle in zip(spin_echoes, stimulated_echoes, flip_angles, strict=True)
        ]
    return valid(np.median(factors, axis=0))


def from_turbo_flash(flip_angle_map: np.ndarray, flip_angle: float) -> np.ndarray:
    """F_T from a flip-angle map in tenths of a degree, as TB1TFL (``acq-famp``) stores it (Chung et al. 2010)."""
    return valid(np.asarray(flip_angle_map, dtype=np.float64) / 10 / flip_angle)


def _arccos_degrees(cosine: np.ndarray) -> np.ndarray:
    """The angle; NaN where there is none."""
    return np.rad2deg(np.arccos(np.where(np.abs(cosine) <= 1, cosine, np.nan)))


def smooth(field: np.ndarray, fwhm: float, voxel_sizes: Sequence[float], largest_gap: float = 3.0) -> np.ndarray:
    """A field smoothed by a Gaussian that leaves out NaN, which fills gaps and goes on beyond its edge.

    Parameters
    ----------
    fwhm : in mm; 0 leaves values as they are and fills nothing
    voxel_sizes : in mm
    largest_gap : voxels farther from any value than this many standard deviations of the kernel stay NaN
    """
    if fwhm == 0:
        return field
    sigma = [fwhm / FWHM_PER_SIGMA / size for size in voxel_sizes]
    known = np.isfinite(field)
    weight = gaussian_filter(known.astype(np.float64), sigma, mode="constant", truncate=largest_gap)
    total = gaussian_filter(
        np.where(known, field, 0.0).astype(np.float64), sigma, mode="constant", truncate=largest_gap
    )
    return np.divide(total, weight, out=np.full(field.shape, np.nan), where=weight > 1e-6)


def receive_ratio(array: np.ndarray, body: np.ndarray, fwhm: float, voxel_sizes: Sequence[float]) -> np.ndarray:
    """Sensitivity of the array coil relative to the body coil (Papp et al. 2016), smoothed; NaN where there is none.

    Each contrast is divided by the one measured next to it: what differs between contrasts is motion in the receive
    field.
    """
    numerator, denominator = (smooth(_positive(image), fwhm, voxel_sizes) for image in (array, body))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = numerator / denominator
    return np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nan)


def _positive(image: np.ndarray) -> np.ndarray:
    values = np.asarray(image, dtype=np.float64)
    return np.where(values > 0, values, np.nan)


METHODS: Mapping[str, str] = {
    "TB1map": "the B1+ map as it is",
    "TB1AFI": "actual flip-angle imaging (Yarnykh 2007)",
    "TB1DAM": "double angle (Insko and Bolinger 1993)",
    "TB1EPI": "spin and stimulated echoes (Jiru and Klose 2006)",
    "TB1TFL": "turbo FLASH with preparation pulse (Chung et al. 2010)",
}
