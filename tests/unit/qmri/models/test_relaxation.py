from __future__ import annotations

import numpy as np
import pytest

from thalbids.errors import ImageError, MetadataError
from thalbids.qmri.models.relaxation import MAX_R1, check_r1_unit, check_t1_unit, r1_from_map, t1_to_r1

TISSUE_R1 = np.array([0.0, 0.25, 0.6, 0.7, 0.8, 1.0, 1.1])  # background, CSF, grey matter, white matter; 1/s at 3 T
TISSUE_T1 = np.array([0.0, 4.0, 1.6, 1.4, 1.25, 1.0, 0.9])


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000)])
def test_t1_to_r1(unit, factor):
    r1 = t1_to_r1(TISSUE_T1 * factor, unit)
    np.testing.assert_allclose(r1, [0, 0.25, 0.625, 1 / 1.4, 0.8, 1, 1 / 0.9], rtol=1e-6)
    assert r1.dtype == np.float32


def test_t1_that_cannot_be_inverted():
    np.testing.assert_array_equal(
        t1_to_r1(np.array([0, -1, np.nan, np.inf, 1e-6, 1e-300]), "s"), [0, 0, 0, 0, MAX_R1, MAX_R1]
    )


def test_integer_maps():
    np.testing.assert_allclose(r1_from_map(np.array([0, 1000, 2000], np.int16), "T1map", "ms")[0], [0, 1, 0.5])


@pytest.mark.parametrize("units", ["ms", "MS", " msec", "milliseconds"])
def test_milliseconds_are_accepted_only_when_the_sidecar_says_so(units):
    r1, how = r1_from_map(TISSUE_T1 * 1000, "T1map", units)
    np.testing.assert_allclose(r1, t1_to_r1(TISSUE_T1, "s"), rtol=1e-6)
    assert "ms" in how
    for said in (None, "s"):
        with pytest.raises(ImageError, match="not in s") as caught:
            r1_from_map(TISSUE_T1 * 1000, "T1map", said)
        assert '"Units": "ms"' in caught.value.mend
    with pytest.raises(ImageError, match="not in ms, as its sidecar says"):
        r1_from_map(TISSUE_T1, "T1map", units)


@pytest.mark.parametrize("units", ["1/ms", "ms^-1", "ms-1", "kHz"])
def test_per_millisecond_is_accepted_only_when_the_sidecar_says_so(units):
    r1, how = r1_from_map(TISSUE_R1 / 1000, "R1map", units)
    np.testing.assert_allclose(r1, TISSUE_R1, rtol=1e-6)
    assert "1/ms" in how
    for said in (None, "1/s", "s-1", "Hz"):
        with pytest.raises(ImageError, match="not in 1/s") as caught:
            r1_from_map(TISSUE_R1 / 1000, "R1map", said)
        assert '"Units": "1/ms"' in caught.value.mend
    with pytest.raises(ImageError, match="not in 1/ms"):
        r1_from_map(TISSUE_R1, "R1map", units)


@pytest.mark.parametrize("units", [None, "1/s", "s^-1", "1 / s", "hz"])
def test_r1_as_bids_wants_it(units):
    data = np.array([-0.3, 0.7, np.nan, np.inf, 1.1])
    np.testing.assert_allclose(r1_from_map(data, "R1map", units)[0], [0, 0.7, 0, 0, 1.1], rtol=1e-6)


def test_outliers_and_background_do_not_change_the_unit():
    t1 = np.concatenate([np.zeros(10_000), np.tile(TISSUE_T1[1:], 100), np.full(50, 1e5), np.full(20, -5)])
    assert check_t1_unit(t1) == "s"
    r1 = np.concatenate([np.zeros(10_000), np.tile(TISSUE_R1[1:], 100), np.full(50, 1e5), np.full(20, 1e-6)])
    assert check_r1_unit(r1) == "1/s"


def test_a_t1_map_named_r1_is_refused():
    for data in (TISSUE_T1 * 1000, np.linspace(0, 1000, 50)):
        with pytest.raises(ImageError, match="no R1"):
            r1_from_map(data, "R1map")


@pytest.mark.parametrize("units", ["arbitrary", "", ["s"], "us"])
def test_unknown_units(units):
    for suffix in ("R1map", "T1map"):
        with pytest.raises(MetadataError, match="not understood"):
            r1_from_map(TISSUE_R1, suffix, units)


@pytest.mark.parametrize("suffix", ["R1map", "T1map"])
def test_maps_without_a_positive_value(suffix):
    with pytest.raises(ImageError, match="no positive value"):
        r1_from_map(np.array([-1.0, 0.0, np.nan]), suffix)


def test_other_suffixes():
    with pytest.raises(ValueError, match="T1w"):
        r1_from_map(TISSUE_R1, "T1w")


class TestUnitsInsideTheBrain:
    """The background is most of an image: small numbers in it outweigh the head."""

    @staticmethod
    def head(inside: float, background: float) -> tuple[np.ndarray, np.ndarray]:
        brain = np.zeros((20, 20, 20), dtype=bool)
        brain[7:12, 2:9, 3:10] = True
        data = np.random.default_rng(1).uniform(0, background, brain.shape)
        data[brain] = inside
        return data, brain

    @pytest.mark.parametrize("background", [0.0, 0.001, 0.01])
    def test_t1_in_ms_is_not_taken_for_s(self, background: float) -> None:
        data, brain = self.head(1000.0, background)
        with pytest.raises(ImageError, match="not in s, as BIDS requires: its median is 1000"):
            r1_from_map(data, "T1map", None, brain)
        r1, _ = r1_from_map(data, "T1map", "ms", brain)
        assert np.allclose(r1[brain], 1.0)

    @pytest.mark.parametrize("background", [0.0, 0.001])
    def test_r1_in_per_s_passes(self, background: float) -> None:
        data, brain = self.head(1.0, background)
        r1, _ = r1_from_map(data, "R1map", None, brain)
        assert np.allclose(r1[brain], 1.0)

    def test_a_mask_that_misses_the_map_leaves_its_middle(self) -> None:
        data = np.full((20, 20, 20), 0.001)
        data[4:16, 4:16, 4:16] = 1000.0
        with pytest.raises(ImageError, match="its median is 1000"):
            r1_from_map(data, "T1map", None, np.zeros(data.shape, dtype=bool))


@pytest.mark.parametrize(("suffix", "factor", "units"), [
    ("T1map", 1e6, None), ("T1map", 1e6, "ms"), ("T1map", 1e9, "ms"), ("T1map", 1 / 60, None), ("R1map", 10, None),
    ("R1map", 100, None),
])  # fmt: skip
def test_values_in_no_unit_that_is_known_are_refused_whatever_the_sidecar_says(suffix, factor, units):
    """Microseconds, nanoseconds, minutes; R1 times ten."""
    data = np.full((10, 10, 10), 1.1 * factor, np.float32)
    with pytest.raises(ImageError, match=r"are no [RT]1 in"):
        r1_from_map(data, suffix, units)
