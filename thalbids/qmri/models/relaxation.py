"""R1 from the relaxation maps that BIDS knows, with the unit checked: the BIDS validator does not check it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from thalbids.errors import ImageError, MetadataError

MAX_R1 = 10.0  # 1/s; tissue, fat and blood stay below 4 at 1.5 - 7 T, what lies above is 1/T1 of noise
MIN_PLAUSIBLE_R1 = 0.05  # 1/s; the median of a head in 1/s is 0.3 - 1.2, in 1/ms a thousandth of that
MAX_PLAUSIBLE_R1 = 5.0  # 1/s; at 0.06 T white matter has 3.7
PLAUSIBLE_T1 = (0.2, 20.0)  # s; medians outside of this are neither s nor ms

MIN_INSIDE = 100  # positive voxels by which a unit can be judged

_MS, _S = "ms", "s"
_SPELLINGS = {
    _S: ("s", "sec", "secs", "second", "seconds"),
    _MS: ("ms", "msec", "msecs", "millisecond", "milliseconds"),
}
_INVERSE_SPELLINGS = {
    "1/s": (
        *(f"1/{s}" for s in _SPELLINGS[_S]),
        "s^-1",
        "s-1",
        "s^{-1}",
        "s**-1",
        "s\u207b\u00b9",
        "/s",
        "hz",
        "hertz",
    ),
    "1/ms": (
        *(f"1/{s}" for s in _SPELLINGS[_MS]),
        "ms^-1",
        "ms-1",
        "ms^{-1}",
        "ms**-1",
        "ms\u207b\u00b9",
        "/ms",
        "khz",
    ),
}


def r1_from_map(
    data: np.ndarray, suffix: str, units: object = None, brain: np.ndarray | None = None
) -> tuple[np.ndarray, str]:
    """R1 in 1/s from an R1map or a T1map.

    Parameters
    ----------
    data : the map
    suffix : ``R1map`` or ``T1map``
    units : the ``Units`` of the sidecar; None when it has none (BIDS then means 1/s and s)
    brain : where the brain is, about (bool, like ``data``): the unit is judged there, as a background of small numbers
        instead of 0 would outweigh the head. Without it, or where it misses the map, the middle of the map is taken

    Returns
    -------
    float32 array of R1 in 1/s, at least 0 (undefined voxels are 0), and how it was made, in words, for a sidecar.

    Raises
    ------
    ImageError
        When the values cannot be in the unit that the sidecar (or BIDS) says.
    MetadataError
        When the unit is not understood.
    """
    inside = _inside(data, brain)
    if suffix == "T1map":
        unit = check_t1_unit(inside, units)
        return t1_to_r1(data, unit), f"1/T1, T1 in {unit}, at most {MAX_R1:g} 1/s, 0 where T1 is not positive"
    if suffix != "R1map":
        raise ValueError(f"R1map or T1map expected, not {suffix}")
    unit = check_r1_unit(inside, units)
    r1 = np.clip(np.nan_to_num(np.asarray(data, dtype=np.float32), nan=0, posinf=0, neginf=0), 0, None)
    if unit == "1/ms":
        return r1 * np.float32(1000), "R1 in 1/ms times 1000, negative values set to 0"
    return r1, "R1 in 1/s, negative values set to 0"


def t1_to_r1(data: np.ndarray, unit: str) -> np.ndarray:
    """R1 = 1/T1 in 1/s.

    Parameters
    ----------
    data : T1 map
    unit : ``s`` or ``ms``

    Returns
    -------
    float32 array; 0 where T1 is 0, negative or not finite (background, failed fit), at most 10 1/s (T1 of 100 ms),
    because the inverse of noise near 0 would dwarf every tissue.
    """
    seconds = np.asarray(data, dtype=np.float64) * {_S: 1.0, _MS: 1e-3}[unit]
    defined = np.isfinite(seconds) & (seconds > 0)
    r1 = np.divide(1.0, seconds, out=np.zeros_like(seconds), where=defined)
    clamped: np.ndarray = np.minimum(r1, MAX_R1).astype(np.float32)
    return clamped


def check_t1_unit(data: np.ndarray, units: object = None) -> str:
    """``s`` or ``ms``: what the sidecar says (BIDS default: s), when the values agree.

    A median of the positive voxels above 20 means milliseconds (tissue: 0.2 to 5 s). One that is below 0.2 s, or above
    20 s as milliseconds too, is no T1 in either.
    """
    said = _spelled(units, _SPELLINGS, default=_S)
    median = _median(data, "T1map")
    looks = _MS if median > PLAUSIBLE_T1[1] else _S
    if not PLAUSIBLE_T1[0] <= median * (1e-3 if looks == _MS else 1) <= PLAUSIBLE_T1[1]:
        raise ImageError(
            f"The values of the T1 map are no T1 in s or ms: their median is {median:.4g}.",
            "Give T1 in s (about 0.7 to 2 in the brain) or ms.",
        )
    if said != looks:
        source = "as BIDS requires" if units is None else "as its sidecar says"
        raise ImageError(
            f"The T1 map is not in {said}, {source}: its median is {median:.4g}.",
            f'Write "Units": "{looks}" into its JSON sidecar if that is its unit, or convert the map to seconds.',
        )
    return said


def check_r1_unit(data: np.ndarray, units: object = None) -> str:
    """``1/s`` or ``1/ms``: what the sidecar says (BIDS default: 1/s), when the values agree.

    A median of the positive voxels below 0.05 means 1/ms; above 5 it is no R1 at all (a T1 map, or already rescaled).
    """
    said = _spelled(units, _INVERSE_SPELLINGS, default="1/s")
    median = _median(data, "R1map")
    if median > MAX_PLAUSIBLE_R1:
        raise ImageError(
            f"The values of the R1 map are no R1 in 1/s or 1/ms: their median is {median:.4g}.",
            "Give R1 in 1/s (about 0.3 to 1.5 in the brain), or name the file T1map if it holds T1.",
        )
    looks = "1/ms" if median < MIN_PLAUSIBLE_R1 else "1/s"
    if said != looks:
        source = "as BIDS requires" if units is None else "as its sidecar says"
        raise ImageError(
            f"The R1 map is not in {said}, {source}: its median is {median:.4g}.",
            f'Write "Units": "{looks}" into its JSON sidecar if that is its unit, or convert the map to 1/s.',
        )
    return said


def _inside(data: np.ndarray, brain: np.ndarray | None) -> np.ndarray:
    """The values of the map in the brain, or in the middle half along each axis; all where that has no positive one."""
    values = np.asarray(data)
    middle = tuple(slice(n // 4, n - n // 4) for n in values.shape)
    for part in ([] if brain is None else [values[brain]]) + [values[middle]]:
        if (np.isfinite(part) & (part > 0)).sum() >= MIN_INSIDE:
            return part
    return values


def _median(data: np.ndarray, name: str) -> float:
    """Median of the positive, finite voxels: background of 0 and failed fits do not count."""
    values = np.asarray(data)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        raise ImageError(f"The {name} has no positive value.", "Export the map again.")
    return float(np.median(values))


def _spelled(units: object, spellings: Mapping[str, tuple[str, ...]], default: str) -> str:
    if units is None:
        return default
    text = str(units).strip().lower().replace(" ", "")
    for unit, accepted in spellings.items():
        if text in accepted:
            return unit
    raise MetadataError(
        f"The unit {units!r} of the sidecar is not understood.",
        f'Write "Units": "{default}" (or the true one of {", ".join(spellings)}) into the JSON sidecar.',
    )
