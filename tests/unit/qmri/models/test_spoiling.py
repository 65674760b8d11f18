"""The spoiling correction: its formula, and that a set is used for its own protocol only."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.errors import UsageError
from thalbids.qmri.models.flash import Weighting
from thalbids.qmri.models.spoiling import SETS, chosen_set, correct

V2K = (Weighting(6, 0.0245), Weighting(21, 0.0245))


def test_formula_in_milliseconds() -> None:
    coefficients = SETS["v2k"]
    a = 71.2817617982844 * 0.81 - 92.2992876164017 * 0.9 + 45.8278193851731  # ms
    b = -0.137859046784839 * 0.81 + 0.122423212397157 * 0.9 + 0.957642744668469
    per_ms = 0.7e-3
    corrected, _ = correct(np.array([0.7]), coefficients, 0.9)
    assert corrected[0] == pytest.approx(1000 * per_ms / (a * per_ms + b))


@pytest.mark.parametrize("name", SETS)
def test_t1_changes_by_a_few_percent_only(name: str) -> None:
    """T1 = A + B T1u: within what imperfect spoiling does to tissue."""
    r1 = np.linspace(0.4, 1.2, 9)
    for transmit in (0.8, 1.0, 1.2):
        corrected, _ = correct(r1, SETS[name], transmit)
        assert np.all(np.abs(corrected / r1 - 1) < 0.2)


def test_derivative_against_differences() -> None:
    r1, step = np.linspace(0.3, 2, 5), 1e-6
    _, slope = correct(r1, SETS["ClassicFIL"], 1.1)
    high, low = (correct(r1 + s, SETS["ClassicFIL"], 1.1)[0] for s in (step, -step))
    np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=1e-6)


def test_the_set_of_the_protocol_is_given() -> None:
    assert chosen_set("v2k", *V2K, "small-angle", has_transmit=True) is SETS["v2k"]


@pytest.mark.parametrize(
    ("pd", "t1", "form", "has_transmit", "words"),
    [
        (*V2K, "exact", True, "for the form small-angle, not exact"),
        (*V2K, "small-angle", False, "needs a B1"),
        (Weighting(4, 0.0245), V2K[1], "small-angle", True, "6 degrees and TR 24.5 ms, not 4 degrees"),
        (V2K[0], Weighting(21, 0.018), "small-angle", True, "T1w images"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(
    pd: Weighting, t1: Weighting, form: str, has_transmit: bool, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        chosen_set("v2k", pd, t1, form, has_transmit=has_transmit)
