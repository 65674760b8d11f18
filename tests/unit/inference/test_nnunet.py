"""nnU-Net version 1: plans and weights read, windows, sums over folds and mirrorings, against their definitions."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from tests import checkpoints
from tests.unit.inference.test_unet import expected
from thalbids.errors import ImageError, MissingToolError
from thalbids.inference import nnunet

SIDE = (16, 12, 8)


def planned(**other: Any) -> nnunet.Plans:
    usual = {"features": 2, "convolutions": 2, "classes": 5, "axes": (0, 1, 2), "scheme": "nonCT", "masked": False}
    shape = {"window": SIDE, "pools": ((2, 2, 2), (2, 2, 1)), "kernels": ((3, 3, 1), (3, 3, 3), (3, 3, 3))}
    return nnunet.Plans(**(shape | usual | other))


def test_plans_and_weights_are_those_of_the_files(tmp_path: Path) -> None:
    fold = checkpoints.random_nnunet(tmp_path / "fold_0", 1)
    found = nnunet.check_layout(fold)
    assert found == planned(classes=32)
    assert nnunet.features(planned(features=32, pools=((2, 2, 2),) * 5)) == [32, 64, 128, 256, 320, 320]
    shapes = nnunet.shapes(found)
    assert shapes["conv_blocks_context.2.0.blocks.0.conv.weight"] == (8, 4, 3, 3, 3)
    assert shapes["conv_blocks_localization.1.0.blocks.0.conv.weight"] == (2, 4, 3, 3, 3)
    assert shapes["tu.0.weight"] == (8, 4, 2, 2, 1) and shapes["seg_outputs.1.weight"] == (32, 2, 1, 1, 1)


@pytest.mark.parametrize(
    ("plans", "info", "message"),
    [
        ({"current_spacing": np.array([1.0, 1.0, 1.2])}, {}, r"voxels of \(1\.0, 1\.0, 1\.2\) mm"),
        ({"num_modalities": 2}, {}, "2 images"),
        ({"normalization_schemes": {0: "CT2"}}, {}, "normalisation CT2"),
        ({"preprocessor_name": "PreprocessorFor2D"}, {}, "preprocessor PreprocessorFor2D"),
        ({}, {"name": "nnUNetTrainer"}, "trainer nnUNetTrainer"),
        ({}, {"init": ("plans.pkl", 0)}, r"no plans of nnU-Net version 1 \(IndexError"),
        ({}, {"init": ("plans.pkl", 0, None, None, True, 3)}, r"no plans of nnU-Net version 1 \(KeyError"),
        ({"conv_kernel_sizes": [[3, 3, 3]]}, {}, "not one kernel more than pools"),
        ({"pool_op_kernel_sizes": [[2, 2, 2], [2, 5, 1]]}, {}, "not pools of 1 or 2"),
        ({"conv_kernel_sizes": [[3, 3, 1], [3, 3, 3], [3, 3]]}, {}, "not kernels of 1 or 3"),
        ({"transpose_forward": [0, 0, 1]}, {}, "not axes 0, 1 and 2"),
        ({"conv_per_stage": 3 * 10**6}, {}, "not convolutions"),
        ({"base_num_features": float("inf")}, {}, "no plans of nnU-Net version 1 .OverflowError"),
        ({"base_num_features": 0}, {}, "not features"),
        ({"patch_size": np.array([16, 12, 9]), "pool_op_kernel_sizes": [[2, 2, 2]] * 2}, {}, "that the pools divide"),
        ({"patch_size": np.array([2**20, 2**20, 2**20])}, {}, "of ordinary size"),
        ({}, {"name": "x" * 10**6}, r"the trainer x{80}, which"),
    ],
)
def test_other_plans_are_refused(tmp_path: Path, plans: dict[str, Any], info: dict[str, Any], message: str) -> None:
    fold = tmp_path / "fold_0"
    checkpoints.nnunet_fold(fold, checkpoints.nnunet_plans(**plans), {"x": np.zeros(1, np.float32)}, **info)
    with pytest.raises(MissingToolError, match=message):
        nnunet.plans(fold)


def test_post_processing_that_is_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / nnunet.AFTERWARDS).write_text("[" * 100_000)
    with pytest.raises(MissingToolError, match="post-processing cannot be read"):
        nnunet.largest_only(tmp_path)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    fold = checkpoints.random_nnunet(tmp_path / "fold_0", 1)
    checkpoints.nnunet_fold(fold, checkpoints.nnunet_plans(base_num_features=4), {"x": np.zeros(1, np.float32)})
    with pytest.raises(MissingToolError, match=r"not of the network of its plans: it has no conv_blocks_context"):
        nnunet.check_layout(fold)
    path = fold / nnunet.WEIGHTS
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(MissingToolError, match="cannot be read"):
        nnunet.check_layout(fold)
    path.unlink()
    with pytest.raises(MissingToolError, match="is not there"):
        nnunet.check_layout(fold)
    other = checkpoints.random_nnunet(tmp_path / "fold_1", 2)
    masked = checkpoints.nnunet_plans(use_mask_for_norm={0: True})
    with pytest.raises(MissingToolError, match=r"plans are not those of fold_1"):
        nnunet.Ensemble([other, checkpoints.random_nnunet(tmp_path / "fold_2", 3, masked)])


def test_probabilities_are_added_over_folds_and_averaged_over_mirrorings(tmp_path: Path) -> None:
    """Against the network of plain numpy, in double precision."""
    folds = [checkpoints.random_nnunet(tmp_path / f"fold_{i}", i) for i in (0, 1)]
    window = np.random.default_rng(5).normal(0, 1, SIDE).astype(np.float32)
    wanted = np.zeros((32, *SIDE))
    for fold in folds:
        net = nnunet.unet(nnunet.plans(fold), nnunet.checkpoint.read(fold / nnunet.WEIGHTS, nnunet.TABLE))
        for flips in product((False, True), repeat=3):
            axes = [axis for axis, flip in enumerate(flips) if flip]
            scores = np.exp(expected(net, np.flip(window, axes)))
            wanted += np.flip(scores / scores.sum(0), [axis + 1 for axis in axes]) / 8
    found = nnunet.Ensemble(folds, mirrored=True)(window)
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    assert np.abs(nnunet.Ensemble(folds)(window) - wanted).max() > 0.05


@pytest.mark.parametrize(
    ("length", "wanted"), [(16, [0]), (17, [0, 1]), (24, [0, 8]), (25, [0, 4, 9]), (40, [0, 8, 16, 24])]
)
def test_windows_lie_at_even_distances(length: int, wanted: list[int]) -> None:
    assert nnunet.starts(length, 16) == wanted


def test_weights_are_a_gaussian_cut_at_four_sd() -> None:
    found = nnunet.weights(SIDE)
    assert found.max() == found[8, 6, 4] == 1 and found.dtype == np.float32 and found.min() > 0
    at = np.arange(16) - 8
    line = norm.pdf(at / 2) / norm.pdf(0)
    np.testing.assert_allclose(found[:, 6, 4], line, rtol=1e-6)


class Levels:
    """Scores that depend on the voxel, on its place in the window and on the whole window."""

    def __init__(self, plans: nnunet.Plans):
        self.plans, self.windows = plans, 0

    def __call__(self, window: np.ndarray) -> np.ndarray:
        self.windows += 1
        seen = window + 0.3 * np.linspace(0, 1, window.shape[0])[:, None, None] + window.mean()
        return np.stack([-((seen - level) ** 2) for level in np.linspace(-1.5, 1.5, 5)]).astype(np.float32)


def plain(image: np.ndarray, net: Levels) -> np.ndarray:
    """By definition, of an image that is not 0 in a box of 30 x 13 x 11 voxels."""
    box = (slice(2, 32), slice(1, 14), slice(3, 14))
    seen = image[box].astype(np.float64).T
    seen = (seen - seen.mean()) / seen.std()
    padded = np.pad(seen, ((2, 3), (0, 0), (0, 0)))
    scores = np.zeros((5, *padded.shape))
    for at in product([0], [0, 1], [0, 4, 7, 11, 15, 18, 22]):
        where = tuple(slice(a, a + n) for a, n in zip(at, SIDE, strict=True))
        scores[:, *where] += net(padded[where]) * nnunet.weights(SIDE)
    out = np.zeros(image.shape, np.uint8)
    out[box] = scores.argmax(0)[2:-3].T
    return out


def test_labels_are_those_of_the_definition_and_the_same_in_a_part() -> None:
    random, net = np.random.default_rng(2), Levels(planned())
    image = np.zeros((34, 16, 15), np.float32)
    image[2:32, 1:14, 3:14] = random.uniform(1, 200, (30, 13, 11))
    wanted = plain(image, net)
    net.windows = 0
    found = nnunet.segment(image, net)
    assert np.count_nonzero(found != wanted) <= 2 and net.windows == 14 and found.flags.c_contiguous
    part = (slice(1, 6), slice(0, 16), slice(2, 9))
    near = nnunet.segment(image, net, part)
    assert (near[part] == found[part]).all() and np.count_nonzero(near) == np.count_nonzero(near[part])
    assert net.windows == 14 + 2
    with pytest.raises(ImageError, match="every voxel of the image is 0"):
        nnunet.segment(np.zeros((20, 20, 20)), net)


def test_axes_in_another_order_give_the_same_image_back() -> None:
    random = np.random.default_rng(3)
    image = random.uniform(1, 200, (12, 12, 12)).astype(np.float32)
    turned = SimpleNamespace(plans=planned(window=(12, 12, 12), axes=(2, 0, 1), classes=2))

    class Net:
        plans = turned.plans

        def __call__(self, window: np.ndarray) -> np.ndarray:
            return np.stack([-window, window])

    seen = (image - image.mean()) / image.std()
    assert np.count_nonzero(nnunet.segment(image, Net()) != (seen > 0)) <= 1  # at the mean itself


def test_intensities_inside_a_mask_and_of_the_training() -> None:
    image = np.random.default_rng(1).uniform(50, 100, (6, 6, 6)).astype(np.float32)
    mask = np.zeros(image.shape, bool)
    mask[1:5, 1:5, 1:5] = True
    found = nnunet.normalise(image, mask, planned(masked=True))
    assert (found[~mask] == 0).all()
    np.testing.assert_allclose([found[mask].mean(), found[mask].std()], [0, 1], atol=1e-5)
    given = nnunet.normalise(image, mask, planned(scheme="CT", intensities=(70.0, 10.0, 60.0, 90.0)))
    np.testing.assert_allclose(given, (np.clip(image, 60, 90) - 70) / 10, atol=1e-5)


def test_only_the_largest_part_of_a_class_is_kept_where_the_model_says_so(tmp_path: Path) -> None:
    assert nnunet.largest_only(tmp_path) == ()
    path = tmp_path / "postprocessing.json"
    path.write_text(json.dumps({"for_which_classes": [1, [2, 3]], "min_valid_object_sizes": "None"}))
    assert nnunet.largest_only(tmp_path) == ((1,), (2, 3))
    labels = np.zeros((9, 3, 3), np.uint8)
    labels[0:2], labels[3], labels[5, 0], labels[7], labels[8, 1, 1] = 1, 1, 2, 3, 4
    wanted = labels.copy()
    wanted[3], wanted[5] = 0, 0
    assert (nnunet.keep_largest(labels, ((1,), (2, 3))) == wanted).all()
    path.write_text(json.dumps({"for_which_classes": [1], "min_valid_object_sizes": "{1: 20.0}"}))
    with pytest.raises(MissingToolError, match="smallest sizes"):
        nnunet.largest_only(tmp_path)
    path.write_text("{")
    with pytest.raises(MissingToolError, match="cannot be read"):
        nnunet.largest_only(tmp_path)
