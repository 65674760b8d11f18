"""The spoiled gradient echo (FLASH): its signal, and R1, proton density and MT saturation from two or three of them.

With t = 2 tan(a / 2) the steady state of Ernst and Anderson (1966) is

    S = A t / (1 + t^2 / 4 / tanh(R1 TR / 2))

and with tanh(x) = x the rational form of Helms et al. (2008). Angles are local ones: nominal flip angle times the
transmit field f_T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FORMS = ("exact", "half-angle", "small-angle")
ITERATIONS = 4  # of the exact form; each gains at least two digits where R1 TR < 0.4
LARGEST_R1 = 20.0  # 1/s; keeps the iteration finite in noise


@dataclass(frozen=True)
class Weighting:
    """The protocol of one weighting: nominal flip angle in degrees, repetition time in s."""

    flip_angle: float
    repetition_time: float

    def __post_init__(self) -> None:
        if not 0 < self.flip_angle < 180 or not self.repetition_time > 0:
            raise ValueError(f"no flip angle in degrees or repetition time in seconds: {self}")


def ernst(
    amplitude: np.ndarray | float,
    r1: np.ndarray,
    angle: np.ndarray | float,
    tr: float,
    saturation: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Steady-state signal of a spoiled gradient echo.

    Parameters
    ----------
    amplitude : signal of the full magnetisation after a pulse of 90 degrees
    r1 : longitudinal relaxation rate in 1/s
    angle : local flip angle in rad
    tr : repetition time in s
    saturation : share of the magnetisation that an MT pulse takes away in each TR (Helms et al. 2008)

    Returns
    -------
    array of the broadcast shape
    """
    e1 = np.exp(-np.asarray(r1) * tr)
    signal: np.ndarray = amplitude * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle) * (1 - saturation))
    return signal


def angle_term(flip_angle: float, transmit: np.ndarray | float, form: str) -> np.ndarray:
    """T of the rational signal: f_T a for small angles, else 2 tan(f_T a / 2); ``flip_angle`` in degrees."""
    if form not in FORMS:
        raise ValueError(f"no form of the signal: {form}")
    angle = np.deg2rad(flip_angle) * np.asarray(transmit)
    term: np.ndarray = angle if form == "small-angle" else 2 * np.tan(angle / 2)
    return term


@dataclass(frozen=True)
class DualAngle:
    """R1 and amplitude from a PD-weighted and a T1-weighted signal at TE = 0, with their derivatives.

    The derivatives are those by the logarithm of each signal, as ESTATICS estimates logarithms: ``r1_by_pd`` is
    dR1 / d ln S_PD. Voxels without a solution are NaN.
    """

    r1: np.ndarray
    amplitude: np.ndarray
    r1_by_pd: np.ndarray
    r1_by_t1: np.ndarray
    amplitude_by_pd: np.ndarray
    amplitude_by_t1: np.ndarray


def dual_angle(
    pd_signal: np.ndarray,
    t1_signal: np.ndarray,
    pd: Weighting,
    t1: Weighting,
    transmit: np.ndarray | float = 1.0,
    form: str = "exact",
) -> DualAngle:
    """R1 (1/s) and amplitude from two flip angles.

    Parameters
    ----------
    pd_signal, t1_signal : signals extrapolated to TE = 0, of one shape
    pd, t1 : the protocols
    transmit : f_T, B1+ relative to the nominal one
    form : ``exact``; ``half-angle`` neglects only (R1 TR / 2)^2 / 3, relative to 1 (Helms et al. 2008, Edwards et al.
        2026); ``small-angle`` also takes tan(a / 2) for a / 2 (Weiskopf et al. 2013, hMRI toolbox up to 0.6)

    Notes
    -----
    R1 = 1/2 (S_PD t_PD / TR_PD - S_T1 t_T1 / TR_T1) / (S_T1 / t_T1 - S_PD / t_PD); the exact form replaces each TR by
    2 tanh(R1 TR / 2) / R1, which a fixed-point iteration finds.
    """
    terms = _Terms.of(pd_signal, t1_signal, pd, t1, transmit, form)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        r1 = terms.solve(1.0, 1.0)
        stretch_pd, stretch_t1 = np.ones_like(r1), np.ones_like(r1)
        if form == "exact":
            for _ in range(ITERATIONS):
                stretch_pd, stretch_t1 = _stretch(r1, pd.repetition_time), _stretch(r1, t1.repetition_time)
                r1 = terms.solve(stretch_pd, stretch_t1)
        return terms.derived(r1, stretch_pd, stretch_t1)


@dataclass(frozen=True)
class _Terms:
    """The four products of which the formulas consist: signal times or by t, and by TR."""

    pd_over_t: np.ndarray
    t1_over_t: np.ndarray
    pd_times_t: np.ndarray  # S t / TR / 2
    t1_times_t: np.ndarray

    @classmethod
    def of(
        cls,
        pd_signal: np.ndarray,
        t1_signal: np.ndarray,
        pd: Weighting,
        t1: Weighting,
        transmit: np.ndarray | float,
        form: str,
    ) -> _Terms:
        t_pd, t_t1 = angle_term(pd.flip_angle, transmit, form), angle_term(t1.flip_angle, transmit, form)
        with np.errstate(divide="ignore", invalid="ignore"):
            return cls(
                pd_signal / t_pd,
                t1_signal / t_t1,
                pd_signal * t_pd / pd.repetition_time / 2,
                t1_signal * t_t1 / t1.repetition_time / 2,
            )

    def solve(self, stretch_pd: np.ndarray | float, stretch_t1: np.ndarray | float) -> np.ndarray:
        numerator = self.pd_times_t * stretch_pd - self.t1_times_t * stretch_t1
        return numerator / (self.t1_over_t - self.pd_over_t)

    def derived(self, r1: np.ndarray, stretch_pd: np.ndarray, stretch_t1: np.ndarray) -> DualAngle:
        """The derivatives neglect that the stretch changes with R1 (less than 1 % of them where R1 TR < 0.1)."""
        spread = self.t1_over_t - self.pd_over_t
        r1_by_pd = (self.pd_times_t * stretch_pd + r1 * self.pd_over_t) / spread
        r1_by_t1 = (-self.t1_times_t * stretch_t1 - r1 * self.t1_over_t) / spread
        saturated = self.pd_times_t * stretch_pd / r1
        amplitude = self.pd_over_t + saturated
        return DualAngle(
            r1,
            amplitude,
            r1_by_pd,
            r1_by_t1,
            amplitude_by_pd=amplitude - saturated / r1 * r1_by_pd,
            amplitude_by_t1=-saturated / r1 * r1_by_t1,
        )


def _stretch(r1: np.ndarray, tr: float) -> np.ndarray:
    """X / tanh(x) with x = R1 TR / 2: what makes the rational form exact; 1 for R1 = 0."""
    x = np.clip(r1, 0, LARGEST_R1) * tr / 2
    return np.divide(x, np.tanh(x), out=np.ones_like(x), where=x > 1e-6)


@dataclass(frozen=True)
class Saturation:
    """MT saturation in percent units and its derivatives by the logarithms of the three signals."""

    value: np.ndarray
    by_pd: np.ndarray
    by_t1: np.ndarray
    by_mt: np.ndarray


def mt_saturation(
    mt_signal: np.ndarray, mt: Weighting, small: DualAngle, transmit: np.ndarray | float = 1.0, residual: float = 0.4
) -> Saturation:
    """MT saturation in percent units (Helms et al. 2008).

    Parameters
    ----------
    mt_signal : the MT-weighted signal at TE = 0
    mt : its protocol
    small : what `dual_angle` gives for small angles, the form in which MTsat is defined
    transmit : f_T
    residual : C of the factor (1 - C) / (1 - C f_T) that takes out what is left of the transmit field after the
        division by f_T^2 (Weiskopf et al. 2013: 0.4; 0 for none)

    Notes
    -----
    100 ((A a / S_MT - 1) R1 TR - a^2 / 2) with the local angle a, over f_T^2: what nominal angles would give.
    """
    angle = angle_term(mt.flip_angle, transmit, "small-angle")
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 100 / np.square(transmit) * (1 - residual) / (1 - residual * np.asarray(transmit))
        ratio = small.amplitude * angle / mt_signal
        rate = mt.repetition_time * small.r1
        change = scale * mt.repetition_time
        return Saturation(
            value=scale * ((ratio - 1) * rate - angle**2 / 2),
            by_pd=change * (ratio / small.amplitude * small.amplitude_by_pd * small.r1 + (ratio - 1) * small.r1_by_pd),
            by_t1=change * (ratio / small.amplitude * small.amplitude_by_t1 * small.r1 + (ratio - 1) * small.r1_by_t1),
            by_mt=-change * ratio * small.r1,
        )
