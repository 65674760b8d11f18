"""White noise is measured and removed; edges and flat images stay."""

import numpy as np
import pytest
from scipy import stats

from thalbids.image.noise import noise_sd, noise_share, non_local_means


def two_levels(shape: tuple[int, ...] = (36, 33, 30)) -> np.ndarray:
    """100 on one side of a slanting plane, 60 on the other."""
    x, y, z = np.indices(shape)
    return np.where(x + 0.4 * y - 0.3 * z > 18, 100.0, 60.0).astype(np.float32)


@pytest.mark.parametrize("sd", [0.5, 3.0, 12.0])
def test_noise_is_measured_to_a_few_percent(sd: float) -> None:
    noisy = two_levels() + np.random.default_rng(1).normal(0, sd, (36, 33, 30))
    assert noise_sd(noisy) == pytest.approx(sd, rel=0.06)


def test_background_does_not_count_and_nothing_has_no_noise() -> None:
    image = two_levels() + np.random.default_rng(2).normal(0, 4, (36, 33, 30))
    image[:, :, :16] = 0
    assert noise_sd(image) == pytest.approx(4, rel=0.1)
    assert noise_sd(np.ones((8, 8, 8))) == 0
    assert noise_sd(np.zeros((8, 8, 8))) is None
    assert noise_sd(np.ones((1, 8, 8))) is None


def test_noise_goes_and_the_edge_stays() -> None:
    truth = two_levels()
    noisy = truth + np.random.default_rng(3).normal(0, 4, truth.shape)
    clean = non_local_means(noisy, 4.0)
    inner = (slice(3, -3),) * 3
    error = (clean - truth)[inner]
    assert error.std() < 0.35 * 4 and abs(error.mean()) < 0.1
    # no voxel of one side takes the other's level: the plane does not move
    assert ((clean > 80) == (truth > 80))[inner].mean() > 0.999


def test_no_noise_changes_nothing_and_small_images_work() -> None:
    truth = two_levels()
    assert np.array_equal(non_local_means(truth, 0.0), truth)
    assert non_local_means(np.ones((1, 2, 3)), 1.0) == pytest.approx(np.ones((1, 2, 3)))


def test_order_of_axes_and_flips_change_nothing() -> None:
    noisy = two_levels((14, 12, 10)) + np.random.default_rng(4).normal(0, 4, (14, 12, 10))
    once = non_local_means(noisy, 4.0)
    turned = non_local_means(noisy.transpose(2, 0, 1)[::-1], 4.0)
    assert turned[::-1].transpose(1, 2, 0) == pytest.approx(once, abs=1e-3)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("thick", [False, True])
def test_the_noise_of_a_scan_as_a_share_of_the_brain(share: float, thick: bool) -> None:
    rng = np.random.default_rng(2)
    x, y, z = np.indices((64, 64, 64))
    tissue = 1000 + 150 * np.sin(x / 3) * np.sin(y / 4) * np.sin(z / 3)  # structures of about 1 cm
    tissue = tissue[:, :, ::4] if thick else tissue
    noise = share * 1000 * rng.standard_normal((2, *tissue.shape))
    scan = np.hypot(tissue + noise[0], noise[1])  # a magnitude image
    inside = np.zeros(scan.shape, bool)
    inside[8:-8, 8:-8, 2:-2] = True
    rice = stats.rice(1 / share)  # noise makes a magnitude image brighter, and is itself a little smaller there
    assert noise_share(scan, inside) == pytest.approx(rice.std() / rice.median(), rel=0.05)


def test_the_air_around_a_noisy_head_does_not_count_inside_a_mask() -> None:
    """Rayleigh noise of the air is 0.66 of that in tissue; at 30 % it is bright enough to be taken for tissue."""
    inside = np.zeros((64, 64, 64), bool)
    inside[16:48, 16:48, 16:48] = True
    noise = 300 * np.random.default_rng(6).standard_normal((2, *inside.shape))
    scan = np.hypot(1000 * inside + noise[0], noise[1])
    rice = stats.rice(1 / 0.3)
    assert noise_share(scan, inside) == pytest.approx(rice.std() / rice.median(), rel=0.05)
    assert noise_sd(scan) < 0.85 * 300 * rice.std()  # what whoever judges by brightness alone gets


def test_nothing_to_judge_noise_by() -> None:
    scan = np.ones((9, 9, 9))
    assert noise_share(scan, np.zeros(scan.shape)) is None
    assert noise_share(-scan, scan) is None
    assert noise_share(scan, scan) == 0
