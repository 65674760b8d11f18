"""Values of maps inside masks."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.qmri.readout import brain_summary, doubts, read_out, summary


def two_boxes() -> np.ndarray:
    """Two touching boxes of 5 x 5 x 5 voxels."""
    labels = np.zeros((14, 9, 9), dtype=np.uint8)
    labels[2:7, 2:7, 2:7] = 10
    labels[7:12, 2:7, 2:7] = 49
    return labels


def test_sides_and_regions() -> None:
    labels = two_boxes()
    values = np.where(labels == 10, 0.8, np.where(labels == 49, 0.9, 5.0))
    found = read_out(values, labels)
    assert {key: r.voxels for key, r in found.items()} == {
        ("whole", "both"): 250, ("whole", "left"): 125, ("whole", "right"): 125,
        ("eroded", "both"): 54, ("eroded", "left"): 27, ("eroded", "right"): 27,
    }  # fmt: skip
    assert found[("whole", "left")].mean == pytest.approx(0.8)
    assert found[("eroded", "right")].median == pytest.approx(0.9)
    assert found[("whole", "both")].mean == pytest.approx(0.85)
    assert found[("whole", "both")].sd == pytest.approx(0.05 * np.sqrt(250 / 249))


def test_undefined_voxels_are_left_out_and_counted() -> None:
    labels = two_boxes()
    values = np.full(labels.shape, 0.8)
    values[2, 2:7, 2:7] = 0
    values[3, 2, 2] = np.nan
    left = read_out(values, labels)[("whole", "left")]
    assert (left.voxels, left.undefined) == (99, 26)
    assert left.mean == pytest.approx(0.8)


def test_too_few_voxels_have_no_mean() -> None:
    found = summary(np.array([0.8] * 9 + [0.0] * 20))
    assert (found.voxels, found.undefined) == (9, 20)
    assert np.isnan([found.mean, found.median, found.sd]).all()


def test_an_empty_mask_has_nothing() -> None:
    found = read_out(np.ones((5, 5, 5)), np.zeros((5, 5, 5), dtype=np.uint8))
    assert all(r.voxels == 0 and np.isnan(r.mean) for r in found.values())


def test_peaks_of_grey_and_white_matter() -> None:
    rng = np.random.default_rng(9)
    values = np.concatenate([rng.normal(0.65, 0.05, 60000), rng.normal(1.0, 0.05, 50000), np.zeros(1100)])
    found = brain_summary(values, np.ones(values.shape, dtype=bool), ceiling=2.0)
    assert found["peaks"] == pytest.approx([0.65, 1.0], abs=0.02)
    assert found["undefined"] == pytest.approx(0.01, abs=1e-3)
    assert found["clamped"] == 0
    assert found["percentiles"]["50"] == pytest.approx(0.72, abs=0.05)


def test_clamped_voxels_are_a_share() -> None:
    values = np.array([0.5] * 75 + [2.0] * 25, dtype=np.float32)
    assert brain_summary(values, np.ones(100, dtype=bool), 2.0)["clamped"] == 0.25


def test_nothing_in_the_brain() -> None:
    assert brain_summary(np.zeros(8), np.ones(8, dtype=bool))["undefined"] == 1


@pytest.mark.parametrize(
    ("suffix", "median", "doubtful"),
    [
        ("R1map", 0.8, False),
        ("R1map", 0.08, True),
        ("MTsat", 1.1, False),
        ("PDmap", 9.0, False),
        ("R1map", np.nan, False),
    ],
)
def test_doubts(suffix: str, median: float, doubtful: bool) -> None:
    assert bool(doubts(suffix, median)) == doubtful
