"""Correction of R1 for imperfect spoiling (Preibisch and Deichmann 2009).

R1 = R1u / (A(f_T) R1u + B(f_T)), R1u in 1/ms, A and B quadratic in f_T. Coefficients hold for one protocol and for one
form of the signal: those below were computed for T2 = 64 ms and small angles, and are the ones that the hMRI toolbox
(Tabelow et al. 2019) distributes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thalbids.errors import UsageError
from thalbids.qmri.models.flash import Weighting

TOLERANCE = 1e-6  # relative, between the protocol of a set and that of the data


@dataclass(frozen=True)
class SpoilingSet:
    """Coefficients of one protocol: of f_T^2, f_T and 1; A in ms."""

    pd: Weighting
    t1: Weighting
    a: tuple[float, float, float]
    b: tuple[float, float, float]
    form: str = "small-angle"


SETS = {
    "ClassicFIL": SpoilingSet(
        Weighting(6, 0.0237), Weighting(20, 0.0187),
        (78.9228195006542, -101.113338489192, 47.8783287525126),
        (-0.147476233142129, 0.126487385091045, 0.956824374979504),
    ),
    "NewFILHelms": SpoilingSet(
        Weighting(5, 0.0245), Weighting(29, 0.0245),
        (93.45503484593048, -120.5752858196904, 55.91107791336906),
        (-0.167301931434861, 0.113507432776106, 0.961765216743606),
    ),
    "SiemPrLausGK": SpoilingSet(
        Weighting(6, 0.024), Weighting(20, 0.019),
        (67.02310202710088, -86.83411710384154, 43.81581859234987),
        (-0.130876849571103, 0.117721807209409, 0.959180058389875),
    ),
    "HResFIL": SpoilingSet(
        Weighting(6, 0.0237), Weighting(28, 0.0237),
        (131.7257319014170, -169.9833074433892, 73.37259567737165),
        (-0.218804328507184, 0.178745853134922, 0.939514554747592),
    ),
    "NHResFIL": SpoilingSet(
        Weighting(5, 0.02525), Weighting(29, 0.02525),
        (88.8623036106612, -114.526218941363, 53.8168602253166),
        (-0.132904017579521, 0.113959390779008, 0.960799295622202),
    ),
    "v2k": SpoilingSet(
        Weighting(6, 0.0245), Weighting(21, 0.0245),
        (71.2817617982844, -92.2992876164017, 45.8278193851731),
        (-0.137859046784839, 0.122423212397157, 0.957642744668469),
    ),
    "v3star": SpoilingSet(
        Weighting(6, 0.025), Weighting(21, 0.025),
        (57.427573706259864, -79.30074289881044, 39.21858475186388),
        (-0.121114060111119, 0.121684347499374, 0.955987357483519),
    ),
}  # fmt: skip


def chosen_set(name: str, pd: Weighting, t1: Weighting, form: str, *, has_transmit: bool) -> SpoilingSet:
    """The set of coefficients of this name, when it fits the data.

    Raises
    ------
    UsageError
        The set is for another protocol or another form of the signal, or there is no B1+ map.
    """
    spoiling = SETS[name]
    if not has_transmit:
        raise UsageError(f"the spoiling correction {name} needs a B1+ map.", 'Set [qmri] spoiling = "none".')
    if form != spoiling.form:
        mend = f'Set [qmri] form = "{spoiling.form}", or spoiling = "none".'
        raise UsageError(f"the spoiling correction {name} was computed for the form {spoiling.form}, not {form}.", mend)
    for what, given, theirs in (("PDw", pd, spoiling.pd), ("T1w", t1, spoiling.t1)):
        pairs = ((given.flip_angle, theirs.flip_angle), (given.repetition_time, theirs.repetition_time))
        if any(abs(x - y) > TOLERANCE * y for x, y in pairs):
            problem = f"the spoiling correction {name} is for {what} images of {_words(theirs)}, not {_words(given)}."
            raise UsageError(problem, 'Set [qmri] spoiling = "none", or the set of your protocol.')
    return spoiling


def correct(r1: np.ndarray, coefficients: SpoilingSet, transmit: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """R1 in 1/s, corrected, and its derivative by the uncorrected one."""
    a, b = np.polyval(coefficients.a, transmit) / 1000, np.polyval(coefficients.b, transmit)
    with np.errstate(divide="ignore", invalid="ignore"):
        divisor = a * r1 + b
        return r1 / divisor, b / divisor**2


def _words(contrast: Weighting) -> str:
    return f"{contrast.flip_angle:g} degrees and TR {contrast.repetition_time * 1000:g} ms"
