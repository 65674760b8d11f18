from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.conftest import rotation_matrix
from thalbids.errors import ImageError, RegistrationError
from thalbids.image.grids import resample_to
from thalbids.image.orientation import to_ras
from thalbids.registration.gate import Attempt, choose, judge, peak, register

SHAPE = (64, 60, 56)


def _brain(seed: int = 0) -> np.ndarray:
    """Folds without order, a few voxels wide: what no shift matches."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 1.2)
    return (1000 + 300 * noise / noise.std()).astype(np.float32)


def _image(data: np.ndarray, affine: np.ndarray | None = None) -> nib.Nifti1Image:
    return nib.Nifti1Image(data.astype(np.float32), np.eye(4) if affine is None else affine)


def _mask() -> nib.Nifti1Image:
    mask = np.zeros(SHAPE, np.uint8)
    mask[8:-8, 8:-8, 8:-8] = 1
    return nib.Nifti1Image(mask, np.eye(4))


T1W = _image(_brain())
FLAIR = _image(
    2000 - _brain() + 60 * np.random.default_rng(1).standard_normal(SHAPE)
)  # the same brain, another contrast
OTHER = _image(_brain(5))
MASK = _mask()


@dataclass(frozen=True)
class Fixed:
    """A strategy whose answer is known."""

    name: str
    group: str = "g"
    shift: tuple[float, float, float] = (0, 0, 0)
    interpolation: str = "linear"
    cutoff: float = 0.3
    software: str = "none 1.0"
    problem: str = ""

    def estimate(self, fixed, moving, mask, seed):
        if self.problem:
            raise RegistrationError(self.problem)
        matrix = np.eye(4)
        matrix[:3, 3] = self.shift
        return matrix


def _attempt(strategy: str, group: str, mi: float | None, passed: bool) -> Attempt:
    return Attempt(strategy, group, "linear", 0.3, "none", mi=mi, passed=passed)


@pytest.mark.parametrize(
    ("fsl_mi", "fsl_nc", "ants", "expected"),
    [  # every case of the paper's rule: MI of the two FSL strategies and of ANTs, negative: failed
        (0.5, 0.4, 0.9, "fsl-mi"),
        (0.4, 0.5, 0.9, "fsl-nc"),
        (0.5, 0.5, 0.9, "fsl-mi"),
        (0.5, -0.9, 0.9, "fsl-mi"),
        (-0.9, 0.4, 0.9, "fsl-nc"),
        (-0.2, -0.2, 0.4, "ants"),
        (-0.2, -0.2, -0.2, None),
    ],
)
def test_the_rule_of_the_paper(fsl_mi, fsl_nc, ants, expected):
    attempts = [
        _attempt("fsl-mi", "fsl", abs(fsl_mi), fsl_mi > 0),
        _attempt("fsl-nc", "fsl", abs(fsl_nc), fsl_nc > 0),
        _attempt("ants", "ants", abs(ants), ants > 0),
    ]
    chosen = choose(attempts)
    assert (chosen.strategy if chosen else None) == expected


@pytest.mark.parametrize(
    ("fsl_mi", "fsl_nc", "ants", "expected"),
    [  # to the letter: both of FSL's, otherwise ANTs; excluded only when all three failed
        (0.4, 0.5, 0.9, "fsl-nc"),
        (0.5, -0.9, 0.4, "ants"),
        (-0.9, 0.5, -0.4, "fsl-nc"),
        (-0.2, -0.2, -0.2, None),
    ],
)
def test_the_rule_of_the_paper_to_the_letter(fsl_mi, fsl_nc, ants, expected):
    attempts = [
        _attempt("fsl-mi", "fsl", abs(fsl_mi), fsl_mi > 0),
        _attempt("fsl-nc", "fsl", abs(fsl_nc), fsl_nc > 0),
        _attempt("ants", "ants", abs(ants), ants > 0),
    ]
    chosen = choose(attempts, "every")
    assert (chosen.strategy if chosen else None) == expected


def test_the_rule_over_any_number_of_groups():
    for passed in itertools.product((False, True), repeat=4):
        attempts = [_attempt(f"s{i}", f"g{i // 2}", 0.3 + 0.1 * i, p) for i, p in enumerate(passed)]
        chosen = choose(attempts)
        expected = [i for i in (1, 0, 3, 2) if passed[i]]  # the later member of a group has the higher MI
        assert (chosen.strategy if chosen else None) == (f"s{expected[0]}" if expected else None)
    assert choose([]) is None
    assert choose([_attempt("a", "g", None, False)]) is None


def test_a_right_image_passes_and_comes_back_on_the_grid():
    outcome = register(FLAIR, T1W, MASK, [Fixed("one")])
    assert outcome.chosen == "one" and outcome.reason == ""
    np.testing.assert_array_equal(outcome.image.get_fdata(), FLAIR.get_fdata())
    (attempt,) = outcome.attempts
    assert attempt.mi > 0.9 and attempt.coverage == 1 and attempt.sharpness > 0.8
    assert attempt.shift_mm == 0 and attempt.rotation_degrees == pytest.approx(0, abs=1e-6)
    assert outcome.software == [{"Name": "none", "Version": "1.0"}]


def test_resampling_goes_through_the_matrix_once():
    pose = rotation_matrix(6, -4, 3, centre=(30, 30, 28))
    pose[:3, 3] += (2, -3, 1)
    moved = nib.Nifti1Image(np.asarray(FLAIR.dataobj), pose)

    class Known(Fixed):
        def estimate(self, fixed, moving, mask, seed):
            return pose

    outcome = register(moved, T1W, MASK, [Known("known")])
    np.testing.assert_allclose(outcome.image.get_fdata(), FLAIR.get_fdata(), rtol=1e-4)
    np.testing.assert_array_equal(outcome.matrix, pose)
    assert outcome.attempts[0].rotation_degrees == pytest.approx(7.9, abs=0.2)


def test_another_person_and_a_misaligned_image_fail_with_a_reason():
    for moving, shift in ((OTHER, (0, 0, 0)), (FLAIR, (5, 0, 0)), (FLAIR, (0, 0, 3))):
        outcome = register(moving, T1W, MASK, [Fixed("one", shift=shift)])
        assert outcome.chosen is None and outcome.image is None and outcome.matrix is None
        assert "one: the mutual information" in outcome.reason and "below the cut-off of 0.30" in outcome.reason


def test_sharpness_catches_what_the_cut_off_lets_through():
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(SHAPE), 12)
    a = _image(1000 + 3000 * smooth / smooth.std())
    b = _image(a.get_fdata() + 1000 * np.random.default_rng(4).standard_normal(SHAPE))
    outcome = register(b, a, MASK, [Fixed("one")])
    (attempt,) = outcome.attempts
    assert attempt.mi > 0.5 and not attempt.passed
    assert "another person" in attempt.reason and "cut-off" not in attempt.reason


def test_peaks_of_known_images():
    for image in (FLAIR, T1W):
        around = peak(image, T1W, MASK, np.eye(4))
        assert around.sharpness > 0.8 and around.gain < -0.2
    away = np.eye(4)
    away[0, 3] = 4  # one of the six directions leads back to the peak
    assert peak(FLAIR, T1W, MASK, away).sharpness < 0
    for outside in (
        _image(np.zeros(SHAPE)),
        nib.Nifti1Image(np.asarray(FLAIR.dataobj), np.eye(4) + np.eye(4, k=3) * 500),
    ):
        around = peak(outside, T1W, MASK, np.eye(4))
        assert np.isnan(around.sharpness) and np.isnan(around.gain)
    around = peak(FLAIR, T1W, _image(np.zeros(SHAPE)), np.eye(4))
    assert np.isnan(around.sharpness) and np.isnan(around.gain)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_gain_finds_a_better_place_next_door(axis, sign):
    shifted = np.eye(4)
    shifted[axis, 3] = 2 * sign
    turned = rotation_matrix(**{"xyz"[axis]: 4 * sign}, centre=(32, 30, 28))
    for matrix in (shifted, turned):
        around = peak(FLAIR, T1W, MASK, matrix)
        assert around.gain > 0.05
    shifted[axis, 3] = 0.5 * sign
    assert peak(FLAIR, T1W, MASK, shifted).gain < 0


@pytest.mark.parametrize(
    ("numbers", "fault", "warning"),
    [  # mi, cut-off, coverage, sharpness, gain
        ((0.5, 0.25, 1.0, 0.7, -0.4), "", ""),
        ((0.24, 0.25, 1.0, 0.7, -0.4), "below the cut-off of 0.25", ""),
        ((0.26, 0.25, 1.0, 0.7, -0.4), "", "just above the cut-off"),
        ((0.5, 0.25, 1.0, 0.39, -0.4), "another person", ""),
        ((0.5, 0.25, 1.0, 0.41, -0.4), "", "not sharp"),
        ((0.5, 0.25, 1.0, 0.7, 0.06), "fits better when moved", ""),
        ((0.5, 0.25, 1.0, 0.7, 0.04), "", ""),
        ((0.5, 0.25, 0.49, 0.7, -0.4), "covers only 49 %", ""),
        ((0.5, 0.25, 0.9, 0.7, -0.4), "", "covers 90 %"),
        ((None, 0.25, 1.0, None, None), "not measurable", ""),
        ((0.5, 0.0, 1.0, None, None), "an unknown amount", ""),
    ],
)
def test_each_number_alone_decides(numbers, fault, warning):
    faults, warnings = judge(*numbers)
    assert bool(faults) == bool(fault) and fault in "; ".join(faults)
    assert warning in "; ".join(warnings)
    if not fault:
        assert bool(warnings) == bool(warning)


def test_an_image_that_covers_little_of_the_brain_fails():
    part = _image(FLAIR.get_fdata()[:, :, :26])
    outcome = register(part, T1W, MASK, [Fixed("one")])
    (attempt,) = outcome.attempts
    assert attempt.mi > 0.9 and attempt.coverage == pytest.approx(18 / 40)
    assert "covers only 45 % of the brain" in outcome.reason
    most = register(_image(FLAIR.get_fdata()[:, :, :44]), T1W, MASK, [Fixed("one")])
    assert most.chosen == "one" and most.warnings == ("the image covers 90 % of the brain",)
    none = register(FLAIR, T1W, MASK, [Fixed("one", shift=(500, 0, 0))])
    assert none.attempts[0].coverage == 0 and none.attempts[0].mi is None
    assert none.reason == "one: the image covers only 0 % of the brain (at least 50 %)"


def test_voxels_outside_the_field_of_view_do_not_count():
    whole = register(FLAIR, T1W, MASK, [Fixed("one")]).attempts[0].mi
    part = register(_image(FLAIR.get_fdata()[:, :, :40]), T1W, MASK, [Fixed("one")]).attempts[0].mi
    assert part == pytest.approx(whole, abs=0.05)


def test_close_calls_are_warnings():
    mi = register(FLAIR, T1W, MASK, [Fixed("one")]).attempts[0].mi
    outcome = register(FLAIR, T1W, MASK, [Fixed("one", cutoff=mi / 1.1)])
    assert outcome.chosen == "one" and "just above the cut-off" in outcome.warnings[0]
    assert register(FLAIR, T1W, MASK, [Fixed("one", cutoff=mi / 1.3)]).warnings == ()


def test_groups_are_tried_only_as_far_as_needed():
    first = [Fixed("a", "first", (0.4, 0, 0)), Fixed("b", "first")]
    last = [Fixed("c", "last")]
    outcome = register(FLAIR, T1W, MASK, [*first, *last])
    assert [attempt.strategy for attempt in outcome.attempts] == ["a", "b"] and outcome.chosen == "b"
    assert all(attempt.passed for attempt in outcome.attempts)
    bad = [replace(strategy, shift=(9, 0, 0)) for strategy in first]
    outcome = register(FLAIR, T1W, MASK, [*bad, *last])
    assert [attempt.passed for attempt in outcome.attempts] == [False, False, True] and outcome.chosen == "c"


def test_a_strategy_that_breaks_is_an_attempt():
    outcome = register(FLAIR, T1W, MASK, [Fixed("a", "first", problem="It crashed."), Fixed("b", "last")])
    assert outcome.chosen == "b"
    assert outcome.attempts[0].reason == "no transform was found: It crashed."
    outcome = register(FLAIR, T1W, MASK, [Fixed("a", problem="It crashed.")])
    assert outcome.chosen is None and "a: no transform was found: It crashed." in outcome.reason


def test_interpolation_is_the_strategys():
    shift = (0.5, 0.25, 0)
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    for interpolation, order in (("linear", 1), ("spline", 3)):
        outcome = register(FLAIR, T1W, MASK, [Fixed("one", shift=shift, interpolation=interpolation)])
        expected = resample_to(FLAIR, T1W, order, matrix=matrix).get_fdata()
        np.testing.assert_array_equal(outcome.image.get_fdata(), expected)


def test_orientation_of_the_voxels_does_not_matter():
    data = np.asarray(FLAIR.dataobj)[::-1, ::-1]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:2, 3] = SHAPE[0] - 1, SHAPE[1] - 1
    flipped = nib.Nifti1Image(np.transpose(data, (2, 0, 1)), affine[:, [2, 0, 1, 3]])
    assert to_ras(flipped)[1].source == "SLP"
    one = register(FLAIR, T1W, MASK, [Fixed("one")])
    two = register(flipped, T1W, MASK, [Fixed("one")])
    np.testing.assert_allclose(two.image.get_fdata(), one.image.get_fdata(), rtol=1e-5)
    assert two.attempts[0].mi == pytest.approx(one.attempts[0].mi, abs=1e-3)


def test_json_holds_everything_but_the_arrays():
    outcome = register(FLAIR, T1W, MASK, [Fixed("one"), Fixed("two", problem="No.")])
    for attempt in outcome.attempts:
        content = json.loads(json.dumps(attempt.to_json(), allow_nan=False))
        assert content["metric"] == "mutual information" and content["unit"] == "nats"
        assert set(content) >= {
            "strategy",
            "interpolation",
            "mi",
            "cutoff",
            "passed",
            "reason",
            "coverage",
            "sharpness",
        }
        assert "matrix" not in content and "image" not in content


def test_masks_that_do_not_fit():
    with pytest.raises(ImageError, match="not on the grid"):
        register(FLAIR, T1W, nib.Nifti1Image(np.ones((9, 9, 9)), np.eye(4)), [Fixed("one")])
    with pytest.raises(ImageError, match="empty"):
        register(FLAIR, T1W, nib.Nifti1Image(np.zeros(SHAPE), np.eye(4)), [Fixed("one")])
    assert register(FLAIR, T1W, MASK, []).reason == "no registration strategy was given"
