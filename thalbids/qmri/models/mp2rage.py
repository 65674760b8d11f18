"""R1 from MP2RAGE by a look-up table of its own simulation (Marques et al. 2010; B1+: Marques and Gruetter 2013)."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EFFICIENCY = 0.96  # of the adiabatic inversion (Marques et al. 2010)
T1_RANGE = (0.05, 5.0)  # s
T1_STEPS = 2000
B1_STEP = 0.025  # between look-up tables; the rest is interpolated
MOST_SHOTS = 10**6  # of one inversion; more is a slip of the sidecar
UNI_LARGEST = 4095  # UNIT1 as scanners store it: 0 - 4095 for -0.5 - 0.5


@dataclass(frozen=True)
class Mp2rage:
    """The protocol.

    Attributes
    ----------
    repetition_time : from one inversion to the next, s (RepetitionTimePreparation)
    excitation_times : from one excitation to the next, s (RepetitionTimeExcitation), of both blocks
    inversion_times : to the centre of k-space, s
    flip_angles : nominal, degrees
    shots : excitations before and after the centre of k-space
    efficiency : of the inversion
    """

    repetition_time: float
    excitation_times: tuple[float, float]
    inversion_times: tuple[float, float]
    flip_angles: tuple[float, float]
    shots: tuple[int, int]
    efficiency: float = EFFICIENCY

    @property
    def gaps(self) -> tuple[float, float, float]:
        """The times without excitations, in s: before, between and after the two blocks; negative: impossible."""
        before, after = self.shots
        first, second = self.inversion_times
        one, two = self.excitation_times
        return (
            first - before * one,
            second - first - after * one - before * two,
            self.repetition_time - second - after * two,
        )


def shots_of(number: object) -> tuple[int, int]:
    """Excitations before and after the centre of k-space, from NumberShots: one number is halved.

    Raises
    ------
    ValueError
        Neither a positive number nor two, or more than :data:`MOST_SHOTS`.
    """
    values = number if isinstance(number, (list, tuple)) else [number]
    numbers = [
        int(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool) and 1 <= v <= MOST_SHOTS
    ]
    if len(numbers) != len(values) or len(values) not in (1, 2):
        raise ValueError(f"no number of shots: {reprlib.repr(number)}")
    return (numbers[0] // 2, numbers[0] - numbers[0] // 2) if len(numbers) == 1 else (numbers[0], numbers[1])


def simulate(protocol: Mp2rage, t1: np.ndarray, transmit: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The signals of the two inversion times at the centre of k-space, for an amplitude of 1 (Marques 2010, eq. 1-3).

    Parameters
    ----------
    t1 : in s
    transmit : f_T of the excitations; the inversion is adiabatic
    """
    t1 = np.asarray(t1, dtype=np.float64)
    e1 = [np.exp(-time / t1) for time in protocol.excitation_times]
    angles = [math.radians(a) * transmit for a in protocol.flip_angles]
    relax = [np.exp(-gap / t1) for gap in protocol.gaps]
    before, after = protocol.shots
    n = before + after

    def block(mz: np.ndarray | float, k: int, shots: int) -> np.ndarray:
        cosine = math.cos(angles[k])
        kept = (cosine * e1[k]) ** shots
        result: np.ndarray = mz * kept + (1 - e1[k]) * (1 - kept) / (1 - cosine * e1[k])
        return result

    def cycle(mz: np.ndarray | float) -> np.ndarray:
        """Longitudinal magnetisation from the end of one repetition to the end of the next."""
        mz = 1 - (1 + protocol.efficiency * mz) * relax[0]
        mz = 1 - (1 - block(mz, 0, n)) * relax[1]
        return 1 - (1 - block(mz, 1, n)) * relax[2]

    rest = cycle(0.0)
    steady = rest / (1 - (cycle(1.0) - rest))  # a repetition is linear in the magnetisation that it begins with
    start = 1 - (1 + protocol.efficiency * steady) * relax[0]
    first = math.sin(angles[0]) * block(start, 0, before)
    between = 1 - (1 - block(start, 0, n)) * relax[1]
    second = math.sin(angles[1]) * block(between, 1, before)
    return first, second


def unified(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """S1 S2 / (S1^2 + S2^2), -0.5 to 0.5; of complex images the real part (Marques 2010, eq. 4). NaN without signal."""
    total = np.abs(first) ** 2 + np.abs(second) ** 2
    product = np.real(np.conj(first) * second)
    return np.divide(product, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def scaled_unified(data: np.ndarray) -> np.ndarray:
    """UNIT1 as -0.5 to 0.5, from that or from 0 to 4095.

    Raises
    ------
    ValueError
        The values lie in neither range.
    """
    values = np.asarray(data, dtype=np.float64)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low >= -0.5001 and high <= 0.5001:
        return values
    if low >= 0 and 1 < high <= UNI_LARGEST + 1:
        return values / UNI_LARGEST - 0.5
    raise ValueError(f"values from {low:g} to {high:g}; expected -0.5 to 0.5, or 0 to {UNI_LARGEST}")


def as_complex(magnitude: np.ndarray, phase: np.ndarray, units: object) -> np.ndarray:
    """The complex image; a phase whose unit is not ``rad`` is one turn over the range of its integers.

    Raises
    ------
    ValueError
        The phase is neither in radians nor integers of 12 or 13 bits (0 - 4095, -4096 - 4095).
    """
    turn = 2 * math.pi
    if units != "rad":
        low, high = float(np.nanmin(phase)), float(np.nanmax(phase))
        turns = {(0, 4096): 4096, (-4096, 4096): 8192}
        span = next((v for (start, end), v in turns.items() if start <= low and end >= high), None)
        if span is None or high - low < 2 * math.pi + 0.01:
            raise ValueError(f"phase from {low:g} to {high:g} without the unit rad")
        phase = phase * (turn / span)
    result: np.ndarray = magnitude * np.exp(1j * phase)
    return result


def from_parts(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    """The complex image of its parts.

    Raises
    ------
    ValueError
        One has no negative value: it was stored with an offset that is not known.
    """
    for name, values in (("real", real), ("imaginary", imaginary)):
        if not np.nanmin(values) < 0:
            raise ValueError(f"the {name} part has no negative value; it was stored with an offset")
    result: np.ndarray = real + 1j * imaginary
    return result


def look_up_r1(unit1: np.ndarray, protocol: Mp2rage, transmit: np.ndarray | None = None) -> np.ndarray:
    """R1 in 1/s from the unified image.

    Parameters
    ----------
    unit1 : -0.5 to 0.5
    protocol : what was measured
    transmit : f_T on the same grid; None: 1 everywhere, as the method is little sensitive to it at 3 T

    Returns
    -------
    array of R1; NaN where the value is outside the table: below its lowest or above its highest value, where no T1
    or more than one would fit.

    Raises
    ------
    ValueError
        The times of the protocol contradict each other.
    """
    if min(protocol.gaps) < 0:
        raise ValueError(f"the blocks of excitations do not fit between the times: gaps of {protocol.gaps} s")
    if transmit is None:
        return _interpolated(unit1, *_table(protocol, 1.0))
    result = np.full(unit1.shape, np.nan)
    usable = np.isfinite(transmit) & (transmit > 0.2) & (transmit < 2)
    if not usable.any():
        return result
    cell = np.floor(np.where(usable, transmit, 1.0) / B1_STEP).astype(int)
    for index in np.unique(cell[usable]):
        inside = usable & (cell == index)
        low, high = (_interpolated(unit1[inside], *_table(protocol, B1_STEP * k)) for k in (index, index + 1))
        share = transmit[inside] / B1_STEP - index
        result[inside] = low * (1 - share) + high * share
    return result


def _table(protocol: Mp2rage, transmit: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of the unified image, increasing, and their R1: the part of the curve around its steepest fall."""
    t1 = np.geomspace(*T1_RANGE, T1_STEPS)
    values = unified(*simulate(protocol, t1, transmit))
    steps = np.diff(values)
    falling: Sequence[int] = np.flatnonzero(steps >= 0).tolist()
    steepest = int(np.argmin(steps))
    first = max((k + 1 for k in falling if k < steepest), default=0)
    last = min((k for k in falling if k > steepest), default=len(t1) - 1)
    part = slice(first, last + 1)
    return values[part][::-1], 1 / t1[part][::-1]


def _interpolated(unit1: np.ndarray, values: np.ndarray, r1: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / np.interp(unit1, values, 1 / r1, left=np.nan, right=np.nan)
    return np.where(np.isfinite(unit1), result, np.nan)
