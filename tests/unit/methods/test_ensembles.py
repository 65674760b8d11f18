"""Ensembles against sets written out by hand."""

import numpy as np
import pytest

from thalbids.methods.ensembles import STAPLE_MARGIN, fuse

A = np.array([10, 10, 10, 0, 0, 49, 49, 0], np.uint8).reshape(8, 1, 1)
B = np.array([10, 0, 10, 10, 0, 49, 0, 0], np.uint8).reshape(8, 1, 1)
C = np.array([10, 0, 49, 0, 10, 0, 49, 0], np.uint8).reshape(8, 1, 1)


@pytest.mark.parametrize(
    ("members", "rule", "expected"),
    [
        ((A, B), "mean", [10, 10, 10, 10, 0, 49, 49, 0]),  # mean >= 0.5 of two is the union
        ((A, B, C), "mean", [10, 0, 10, 0, 0, 49, 49, 0]),  # of three the majority
        ((A, B), "intersection", [10, 0, 10, 0, 0, 49, 0, 0]),
        ((A, B, C), "intersection", [10, 0, 10, 0, 0, 0, 0, 0]),
        ((C, A), "mean", [10, 10, 49, 0, 10, 49, 49, 0]),  # a tie of sides goes to the first member
    ],
)
def test_rules(members: tuple[np.ndarray, ...], rule: str, expected: list[int]) -> None:
    out = fuse(members, rule)
    assert out.dtype == np.uint8
    assert out.ravel().tolist() == expected


@pytest.mark.parametrize("rule", ["mean", "intersection", "staple"])
def test_background_changes_nothing_within_reach(rule: str) -> None:
    rng = np.random.default_rng(5)
    near = [rng.choice(np.array([0, 10, 49], np.uint8), (12, 9, 10)) for _ in range(3)]
    margin = [(STAPLE_MARGIN, STAPLE_MARGIN)] * 3
    fused = fuse([np.pad(one, margin) for one in near], rule)
    assert fused.any()
    assert np.array_equal(fuse([np.pad(one, 30) for one in near], rule), np.pad(fused, 30 - STAPLE_MARGIN))


def test_many_members_do_not_overflow() -> None:
    out = fuse([np.full((2, 2, 2), 49, np.uint8)] * 200, "mean")
    assert (out == 49).all()


def test_staple_recovers_the_truth_from_raters_with_independent_errors() -> None:
    rng = np.random.default_rng(3)
    truth = np.zeros((24, 24, 24), np.uint8)
    truth[6:12, 6:18, 6:18], truth[12:18, 6:18, 6:18] = 10, 49
    raters = []
    for _ in range(3):
        wrong = rng.random(truth.shape) < 0.08
        raters.append(np.where(wrong & (truth > 0), 0, truth))
    fused = fuse(raters, "staple")
    majority = fuse(raters, "mean")
    errors = [(f != truth).sum() for f in (fused, majority, raters[0])]
    assert errors[0] <= errors[1] < errors[2]


@pytest.mark.parametrize("rule", ["mean", "intersection", "staple"])
def test_empty_masks_stay_empty(rule: str) -> None:
    assert not fuse([np.zeros((5, 5, 5), np.uint8)] * 3, rule).any()


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="two masks"):
        fuse([A], "mean")
    with pytest.raises(ValueError, match="one grid"):
        fuse([A, A[:4]], "mean")
    with pytest.raises(ValueError, match="unknown rule"):
        fuse([A, B], "median")
