"""R1 from several flip angles: simulated signals, and the digital reference object of QIBA."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

from thalbids.qmri.models.flash import ernst
from thalbids.qmri.models.vfa import FITS, fit_vfa

ANGLES = (3.0, 10.0, 20.0)
REFERENCES = Path(os.environ.get("THALBIDS_TEST_DATA", "absent")) / "vfa_osipi" / "t1_quiba_data.csv"


def simulated(r1: np.ndarray, transmit: np.ndarray | float = 1.0) -> np.ndarray:
    return np.stack([ernst(2000.0, r1, np.deg2rad(a) * transmit, 0.015) for a in ANGLES])


@pytest.mark.parametrize("fit", FITS)
def test_noise_free_signals_give_the_truth(fit: str) -> None:
    r1, transmit = (v.ravel() for v in np.meshgrid(np.linspace(0.2, 3, 15), np.linspace(0.6, 1.3, 8)))
    found, amplitude = fit_vfa(simulated(r1, transmit), ANGLES, 0.015, transmit, fit)
    np.testing.assert_allclose(found, r1, rtol=1e-6)
    np.testing.assert_allclose(amplitude, 2000, rtol=1e-6)


def test_nonlinear_fit_is_the_least_squares_of_scipy() -> None:
    rng = np.random.default_rng(5)
    signals = simulated(np.linspace(0.4, 2, 12)) + rng.normal(0, 2, (3, 12))
    found, amplitude = fit_vfa(signals, ANGLES, 0.015)
    for k in range(12):

        def misfit(x: np.ndarray, k: int = k) -> np.ndarray:
            return ernst(x[0] * 1000, x[1], np.deg2rad(ANGLES), 0.015) - signals[:, k]

        best = least_squares(misfit, [2.0, 1.0], xtol=1e-12, ftol=1e-12).x
        assert (amplitude[k] / 1000, found[k]) == pytest.approx(tuple(best), rel=1e-4)


def test_weights_are_those_of_the_noise() -> None:
    """One more fit by numpy with the weights of the result gives the result again."""
    signals = simulated(np.array([0.8])) + np.array([[1.0], [-2.0], [1.5]])
    found, _ = fit_vfa(signals, ANGLES, 0.015, fit="weighted")
    angle, e1 = np.deg2rad(ANGLES), np.exp(-0.015 * found[0])
    weight = np.sin(angle) / (1 - e1 * np.cos(angle))  # polyfit squares it
    slope, _ = np.polyfit(signals[:, 0] / np.tan(angle), signals[:, 0] / np.sin(angle), 1, w=weight)
    assert slope == pytest.approx(e1, rel=1e-6)


def test_voxels_without_signal_or_solution_are_no_number() -> None:
    signals = simulated(np.full(3, 0.8))
    signals[1, 0] = 0
    signals[:, 1] = (1, 100, 1000)  # no R1 makes that
    found, _ = fit_vfa(signals, ANGLES, 0.015, fit="linear")
    assert np.isnan(found).tolist() == [True, True, False]


@pytest.mark.parametrize("angles", [(3.0,), (3.0, 3.0), (3.0, 10.0)])
def test_too_few_angles_are_refused(angles: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="flip angles"):
        fit_vfa(simulated(np.ones(1))[: len(angles) - (len(angles) == 2 and angles[1] == 10)], angles, 0.015)


@pytest.mark.data
@pytest.mark.skipif(not REFERENCES.is_file(), reason="THALBIDS_TEST_DATA has no vfa_osipi")
@pytest.mark.parametrize("fit", ["linear", "nonlinear"])
def test_digital_reference_object(fit: str) -> None:
    """Its R1 is in 1/ms; noise of standard deviation 2 and 10."""
    with REFERENCES.open() as table:
        rows = list(csv.DictReader(table))
    deviations = []
    for row in rows:
        angles, signals = ([float(v) for v in row[key].split()] for key in ("FA", "s"))
        found, _ = fit_vfa(np.array(signals)[:, None], angles, float(row["TR"].split()[0]), fit=fit)
        deviations.append(float(found[0]) / (1000 * float(row["R1"])) - 1)
    assert abs(np.median(deviations)) < 0.005
    assert np.quantile(np.abs(deviations), 0.9) < (0.05 if fit == "nonlinear" else 0.1)
