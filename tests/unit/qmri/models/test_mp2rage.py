"""MP2RAGE: its simulation against one that follows every pulse, and R1 back from it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalbids.qmri.models.mp2rage import (
    Mp2rage,
    as_complex,
    from_parts,
    look_up_r1,
    scaled_unified,
    shots_of,
    simulate,
    unified,
)

SEVEN_TESLA = Mp2rage(5.5, (0.0062, 0.0062), (0.8, 2.7), (5.0, 7.0), (79, 80))
THREE_TESLA = Mp2rage(5.0, (0.00714, 0.00714), (0.7, 2.5), (4.0, 5.0), (64, 112))
TWO_TIMES = Mp2rage(5.0, (0.0064, 0.0083), (0.7, 2.5), (4.0, 6.0), (64, 112))
PROTOCOLS = {"3 T": THREE_TESLA, "7 T": SEVEN_TESLA, "two repetition times": TWO_TIMES}


def pulse_by_pulse(protocol: Mp2rage, t1: float, transmit: float) -> tuple[float, float]:
    """The magnetisation after each event, until nothing changes from repetition to repetition."""
    before, after = protocol.shots
    mz, signals = 1.0, [0.0, 0.0]

    def wait(mz: float, time: float) -> float:
        return 1 - (1 - mz) * math.exp(-time / t1)

    for _ in range(60):
        clock = 0.0
        mz *= -protocol.efficiency
        for k in (0, 1):
            angle = math.radians(protocol.flip_angles[k]) * transmit
            excitation = protocol.excitation_times[k]
            begin = protocol.inversion_times[k] - before * excitation
            mz = wait(mz, begin - clock)
            for shot in range(before + after):
                if shot == before:
                    signals[k] = mz * math.sin(angle)
                mz = wait(mz * math.cos(angle), excitation)
            clock = begin + (before + after) * excitation
        mz = wait(mz, protocol.repetition_time - clock)
    return signals[0], signals[1]


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("t1", [0.4, 1.2, 3.5])
@pytest.mark.parametrize("transmit", [0.8, 1.15])
def test_simulation_follows_every_pulse(name: str, t1: float, transmit: float) -> None:
    found = [float(s) for s in simulate(PROTOCOLS[name], np.array(t1), transmit)]
    assert found == pytest.approx(pulse_by_pulse(PROTOCOLS[name], t1, transmit), rel=1e-9)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_r1_of_simulated_tissue(name: str) -> None:
    r1 = np.linspace(0.35, 2.0, 40)
    first, second = simulate(PROTOCOLS[name], 1 / r1)
    np.testing.assert_allclose(look_up_r1(unified(first, second), PROTOCOLS[name]), r1, rtol=1e-4)


def test_r1_with_the_transmit_field() -> None:
    r1, transmit = np.linspace(0.4, 1.6, 13), np.linspace(0.71, 1.29, 13)
    images = np.array([unified(*simulate(SEVEN_TESLA, np.array(1 / r), f)) for r, f in zip(r1, transmit, strict=True)])
    np.testing.assert_allclose(look_up_r1(images, SEVEN_TESLA, transmit), r1, rtol=1e-3)
    assert np.abs(look_up_r1(images, SEVEN_TESLA) / r1 - 1).max() > 0.02  # so that the field matters


def test_values_outside_the_table_are_no_number() -> None:
    transmit = np.array([1.0, 1.0, np.nan])
    assert np.isnan(look_up_r1(np.array([0.5, -0.5, 0.1]), SEVEN_TESLA, transmit)).all()
    assert np.isnan(look_up_r1(np.array([0.5, -0.5, np.nan]), SEVEN_TESLA)).all()


def test_complex_images_give_the_sign() -> None:
    first, second = np.array([-2.0, 3.0]), np.array([4.0, 1.0])
    turn = np.exp(1j * np.array([0.3, 2.0]))
    np.testing.assert_allclose(unified(first * turn, second * turn), first * second / (first**2 + second**2))
    assert np.isnan(unified(np.zeros(1), np.zeros(1))).all()


def test_phase_of_twelve_bits() -> None:
    phase = np.array([0.0, 1024.0, 4095.0])
    np.testing.assert_allclose(np.angle(as_complex(np.ones(3), phase, "arbitrary"))[:2], [0, np.pi / 2])
    np.testing.assert_allclose(np.angle(as_complex(np.ones(2), np.array([-1.0, 1.0]), "rad")), [-1, 1])
    with pytest.raises(ValueError, match="without the unit rad"):
        as_complex(np.ones(2), np.array([-1.0, 1.0]), None)


def test_parts_with_an_offset_are_refused() -> None:
    np.testing.assert_array_equal(from_parts(np.array([-1.0, 2.0]), np.array([3.0, -4.0])), [-1 + 3j, 2 - 4j])
    for parts in ((np.array([2000.0, 2100.0]), np.array([-1.0, 1.0])), (np.array([-1.0, 1.0]), np.array([0.0, 1.0]))):
        with pytest.raises(ValueError, match="no negative value"):
            from_parts(*parts)


def test_range_of_the_unified_image() -> None:
    np.testing.assert_allclose(scaled_unified(np.array([0.0, 4095.0])), [-0.5, 0.5])
    np.testing.assert_allclose(scaled_unified(np.array([-0.5, 0.2])), [-0.5, 0.2])
    with pytest.raises(ValueError, match="expected"):
        scaled_unified(np.array([-3.0, 900.0]))


@pytest.mark.parametrize(("number", "expected"), [(159, (79, 80)), ([64, 112], (64, 112)), ((176,), (88, 88))])
def test_number_of_shots(number: object, expected: tuple[int, int]) -> None:
    assert shots_of(number) == expected


@pytest.mark.parametrize("number", [None, "159", [1, 2, 3], -5, 0.5, True, math.inf, math.nan, 10**400, [64, 10**7]])
def test_no_number_of_shots(number: object) -> None:
    with pytest.raises(ValueError, match="shots"):
        shots_of(number)


def test_times_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        look_up_r1(np.zeros(1), Mp2rage(5.0, (0.02, 0.02), (0.7, 2.5), (4, 5), (88, 88)))
