"""R1 from inversion recovery: simulated magnitudes."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.qmri.models.inversion import fit_inversion

TIMES = (0.05, 0.4, 1.1, 2.5)


def magnitudes(r1: np.ndarray, efficiency: float = 0.95, times: tuple[float, ...] = TIMES) -> np.ndarray:
    """Signals for a repetition time of 2.55 s."""
    rest = np.exp(-2.55 * r1)
    return np.abs(np.stack([500 * (1 - (1 + efficiency) * np.exp(-t * r1) + rest) for t in times]))


@pytest.mark.parametrize("efficiency", [0.9, 1.0])
def test_truth_of_noise_free_signals(efficiency: float) -> None:
    r1 = np.linspace(0.3, 2.5, 45)
    np.testing.assert_allclose(fit_inversion(magnitudes(r1, efficiency), TIMES), r1, rtol=5e-4)


def test_order_of_the_times_does_not_matter() -> None:
    r1, shuffled = np.linspace(0.5, 1.5, 5), (2, 0, 3, 1)
    found = fit_inversion(magnitudes(r1)[list(shuffled)], [TIMES[k] for k in shuffled])
    np.testing.assert_allclose(found, r1, rtol=5e-4)


def test_noise_leaves_the_median_in_place() -> None:
    rng = np.random.default_rng(7)
    times = (0.05, 0.2, 0.4, 0.8, 1.2, 2.5)
    clean = magnitudes(np.full(5000, 0.8), times=times)
    found = fit_inversion(np.abs(clean + rng.normal(0, 3, clean.shape)), times)
    assert np.nanmedian(found) == pytest.approx(0.8, rel=0.01)


def test_no_signal_is_no_number() -> None:
    signals = magnitudes(np.full(3, 0.9))
    signals[:, 0] = 0
    signals[2, 1] = np.nan
    assert np.isnan(fit_inversion(signals, TIMES)).tolist() == [True, True, False]


@pytest.mark.parametrize("times", [(0.1, 0.4, 0.9), (0.1, 0.4, 0.4, 0.9)])
def test_too_few_times_are_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="inversion times"):
        fit_inversion(np.ones((len(times), 1)), times)
