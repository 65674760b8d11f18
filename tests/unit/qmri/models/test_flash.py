"""R1 and MTsat of simulated signals against the truth that made them."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.qmri.models.flash import FORMS, Weighting, dual_angle, ernst, mt_saturation

PROTOCOLS = {  # PDw, T1w: flip angle in degrees, TR in s
    "paper": (Weighting(4, 0.018), Weighting(25, 0.018)),
    "v2k": (Weighting(6, 0.0245), Weighting(21, 0.0245)),
    "two TRs": (Weighting(6, 0.0237), Weighting(20, 0.0187)),
    "long TR": (Weighting(5, 0.037), Weighting(28, 0.025)),
}


def signals(protocol: str, r1: np.ndarray, transmit: np.ndarray | float, amplitude: float = 1000.0) -> tuple:
    """Signals by the Ernst equation, and what made them."""
    pd, t1 = PROTOCOLS[protocol]
    made = [ernst(amplitude, r1, np.deg2rad(c.flip_angle) * transmit, c.repetition_time) for c in (pd, t1)]
    return (*made, pd, t1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_exact_form_returns_the_truth(protocol: str) -> None:
    r1, transmit = np.meshgrid(np.linspace(0.2, 3, 29), np.linspace(0.6, 1.3, 15))
    found = dual_angle(*signals(protocol, r1, transmit), transmit, "exact")
    np.testing.assert_allclose(found.r1, r1, rtol=1e-7)
    np.testing.assert_allclose(found.amplitude, 1000, rtol=1e-7)


@pytest.mark.parametrize(
    ("protocol", "form", "transmit", "expected", "digits"),
    [  # values computed independently from the same formulas
        ("paper", "half-angle", 1.0, 0.699991, 6),
        ("paper", "half-angle", 0.85, 0.699991, 6),
        ("paper", "half-angle", 1.1, 0.699991, 6),
        ("paper", "small-angle", 1.0, 0.6878, 4),
        ("paper", "small-angle", 0.85, 0.6921, 4),
        ("paper", "small-angle", 1.1, 0.6844, 4),
        ("v2k", "half-angle", 1.0, 0.699983, 6),
        ("v2k", "small-angle", 1.0, 0.6909, 4),
    ],
)
def test_forms_against_known_values(protocol: str, form: str, transmit: float, expected: float, digits: int) -> None:
    found = dual_angle(*signals(protocol, np.array(0.7), transmit), transmit, form)
    assert round(float(found.r1), digits) == expected


@pytest.mark.parametrize(("transmit", "expected"), [(0.85, 0.9731), (1.1, 0.5762)])
def test_r1_without_the_transmit_field(transmit: float, expected: float) -> None:
    found = dual_angle(*signals("paper", np.array(0.7), transmit), 1.0, "half-angle")
    assert round(float(found.r1), 4) == expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_derivatives_against_differences(protocol: str, form: str) -> None:
    r1, step = np.linspace(0.25, 2.5, 10), 1e-5
    pd_signal, t1_signal, pd, t1 = signals(protocol, r1, 0.9)
    found = dual_angle(pd_signal, t1_signal, pd, t1, 0.9, form)
    by = {}
    for name, up in (("pd", (np.exp(step), 1)), ("t1", (1, np.exp(step)))):
        high = dual_angle(pd_signal * up[0], t1_signal * up[1], pd, t1, 0.9, form)
        low = dual_angle(pd_signal / up[0], t1_signal / up[1], pd, t1, 0.9, form)
        by[name] = ((high.r1 - low.r1) / (2 * step), (high.amplitude - low.amplitude) / (2 * step))
    limit = 0.01 if form == "exact" else 1e-6
    np.testing.assert_allclose(found.r1_by_pd, by["pd"][0], rtol=limit)
    np.testing.assert_allclose(found.r1_by_t1, by["t1"][0], rtol=limit)
    np.testing.assert_allclose(found.amplitude_by_pd, by["pd"][1], rtol=limit, atol=limit * 1000)
    np.testing.assert_allclose(found.amplitude_by_t1, by["t1"][1], rtol=limit, atol=limit * 1000)


@pytest.mark.parametrize("delta", [0.0, 0.005, 0.012, 0.02])
def test_saturation_of_simulated_pulses(delta: float) -> None:
    pd_signal, t1_signal, pd, t1 = signals("paper", np.array(0.9), 1.0)
    mt = Weighting(5, 0.037)
    mt_signal = ernst(1000.0, np.array(0.9), np.deg2rad(5.0), mt.repetition_time, saturation=delta)
    small = dual_angle(pd_signal, t1_signal, pd, t1, 1.0, "small-angle")
    found = mt_saturation(mt_signal, mt, small)
    assert found.value == pytest.approx(100 * delta, rel=0.04, abs=0.02)  # percent units; a formula of small angles


def test_transmit_field_leaves_the_saturation_of_nominal_angles() -> None:
    """Pulses that saturate with the square of the field, and nothing else, leave no trace of the field."""
    mt, values = Weighting(5, 0.037), []
    for transmit in (0.8, 1.0, 1.2):
        pd_signal, t1_signal, pd, t1 = signals("paper", np.array(0.9), transmit)
        angle = np.deg2rad(5.0) * transmit
        mt_signal = ernst(1000.0, np.array(0.9), angle, mt.repetition_time, saturation=0.012 * transmit**2)
        small = dual_angle(pd_signal, t1_signal, pd, t1, transmit, "small-angle")
        values.append(float(mt_saturation(mt_signal, mt, small, transmit, residual=0.0).value))
    assert values == pytest.approx([1.2] * 3, rel=0.04)
    assert max(values) / min(values) < 1.015  # against 2.25 of the saturation itself


def test_residual_of_the_field_is_taken_out() -> None:
    pd_signal, t1_signal, pd, t1 = signals("paper", np.array(0.9), 1.1)
    small = dual_angle(pd_signal, t1_signal, pd, t1, 1.1, "small-angle")
    mt, mt_signal = Weighting(5, 0.037), np.array(30.0)
    with_it, without = (mt_saturation(mt_signal, mt, small, 1.1, residual).value for residual in (0.4, 0.0))
    assert with_it / without == pytest.approx(0.6 / (1 - 0.44))


def test_saturation_derivatives_against_differences() -> None:
    pd_signal, t1_signal, pd, t1 = signals("paper", np.linspace(0.4, 1.5, 5), 1.1)
    mt, step = Weighting(5, 0.037), 1e-5
    mt_signal = ernst(1000.0, np.linspace(0.4, 1.5, 5), np.deg2rad(5.5), mt.repetition_time, saturation=0.01)

    def value(up: tuple[float, float, float]) -> np.ndarray:
        small = dual_angle(pd_signal * np.exp(up[0]), t1_signal * np.exp(up[1]), pd, t1, 1.1, "small-angle")
        return mt_saturation(mt_signal * np.exp(up[2]), mt, small, 1.1)

    found = value((0, 0, 0))
    for axis, derivative in enumerate((found.by_pd, found.by_t1, found.by_mt)):
        up = [0.0, 0.0, 0.0]
        up[axis] = step
        down = [-u for u in up]
        np.testing.assert_allclose(derivative, (value(up).value - value(down).value) / (2 * step), rtol=1e-5)


def test_no_solution_is_no_number() -> None:
    pd, t1 = PROTOCOLS["paper"]
    found = dual_angle(np.array([0.0, np.nan]), np.array([0.0, 1.0]), pd, t1)
    assert np.isnan(found.r1).all()


@pytest.mark.parametrize(("angle", "tr"), [(0, 0.018), (180, 0.018), (20, 0), (20, float("nan"))])
def test_impossible_protocols_are_refused(angle: float, tr: float) -> None:
    with pytest.raises(ValueError, match="no flip angle"):
        Weighting(angle, tr)


def test_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="no form"):
        dual_angle(np.ones(1), np.ones(1), *PROTOCOLS["paper"], form="tan")
