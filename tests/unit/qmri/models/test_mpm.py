"""Maps of simulated and of real multi-parameter mapping data."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from thalbids.qmri.models.flash import Weighting, ernst
from thalbids.qmri.models.mpm import FitOptions, Weighted, fit_maps, relative_density
from thalbids.qmri.models.spoiling import SETS, correct

TE = np.arange(1, 7) * 0.00246
PROTOCOL = {"PDw": Weighting(4, 0.018), "T1w": Weighting(25, 0.018), "MTw": Weighting(5, 0.037)}
DATA = Path(os.environ.get("THALBIDS_TEST_DATA", "absent")) / "mpm_subvolume"


def simulated(
    r1: np.ndarray,
    r2star: np.ndarray,
    transmit: np.ndarray,
    sigma: float = 0.0,
    contrasts: tuple = ("PDw", "T1w", "MTw"),
) -> dict[str, Weighted]:
    """Echoes of a medium of amplitude 10000 with an MT saturation of 1 percent."""
    rng = np.random.default_rng(0)
    made = {}
    for name in contrasts:
        contrast = PROTOCOL[name]
        delta = 0.01 if name == "MTw" else 0.0
        start = ernst(1e4, r1, np.deg2rad(contrast.flip_angle) * transmit, contrast.repetition_time, delta)
        echoes = [start * np.exp(-te * r2star) for te in TE]
        made[name] = Weighted(contrast, TE, [e + rng.normal(0, sigma, e.shape) if sigma else e for e in echoes])
    return made


def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = np.meshgrid(np.linspace(0.2, 1.9, 8), np.linspace(5, 60, 6), np.linspace(0.6, 1.3, 7), indexing="ij")
    return tuple(axes)  # type: ignore[return-value]


def test_maps_are_the_truth_of_noise_free_signals() -> None:
    r1, r2star, transmit = grid()
    maps = fit_maps(simulated(r1, r2star, transmit), transmit)
    np.testing.assert_allclose(maps.values["R1map"], r1, rtol=1e-5)
    np.testing.assert_allclose(maps.values["R2starmap"], r2star, rtol=1e-5)
    np.testing.assert_allclose(maps.values["PDmap"], 1, rtol=1e-5)
    assert not maps.undefined.any()
    assert not maps.clamped.any()


def test_result_does_not_depend_on_the_parts() -> None:
    r1, r2star, transmit = grid()
    data = simulated(r1, r2star, transmit, sigma=3.0)
    whole, parts = fit_maps(data, transmit), fit_maps(data, transmit, chunk=41)
    for name, value in whole.values.items():
        np.testing.assert_array_equal(parts.values[name], value)
        np.testing.assert_array_equal(parts.errors[name], whole.errors[name])


@pytest.mark.parametrize("fit", ["ols", "weighted"])
def test_standard_errors_are_the_scatter_of_repeated_noise(fit: str) -> None:
    shape = (20, 50, 20)
    data = simulated(np.full(shape, 0.8), np.full(shape, 20.0), np.full(shape, 0.9), sigma=2.0)
    maps = fit_maps(data, np.full(shape, 0.9), FitOptions(fit=fit))
    for name, value in maps.values.items():
        assert np.median(maps.errors[name]) == pytest.approx(value.std(), rel=0.06), name


def test_small_angles_are_the_known_bias() -> None:
    ones = np.ones((2, 2, 2))
    maps = fit_maps(simulated(0.7 * ones, 20 * ones, 0.85 * ones), 0.85 * ones, FitOptions(form="small-angle"))
    assert float(maps.values["R1map"][0, 0, 0]) == pytest.approx(0.6921, abs=5e-5)


def test_spoiling_correction_is_applied_to_the_map_and_its_error() -> None:
    ones = np.ones((4, 4, 4))
    data = simulated(0.8 * ones, 20 * ones, ones, sigma=1.0)
    plain = fit_maps(data, ones, FitOptions(form="small-angle"))
    mended = fit_maps(data, ones, FitOptions(form="small-angle", spoiling=SETS["v2k"]))
    r1, slope = correct(plain.values["R1map"].astype(np.float64), SETS["v2k"], 1.0)
    np.testing.assert_allclose(mended.values["R1map"], r1, rtol=1e-5)
    np.testing.assert_allclose(mended.errors["R1map"], slope * plain.errors["R1map"], rtol=1e-5)


def test_undefined_and_clamped_voxels_are_marked() -> None:
    r1 = np.array([0.8, 0.8, 3.0, 0.8])
    data = simulated(r1, np.full(4, 20.0), np.ones(4))
    data["T1w"].signals[3][1] = 0
    maps = fit_maps(data, np.array([1, 1, 1, np.nan]))
    assert maps.undefined.tolist() == [False, True, False, True]
    assert maps.clamped.tolist() == [False, False, True, False]
    assert maps.values["R1map"].tolist() == pytest.approx([0.8, 0, 2.0, 0], rel=1e-5)


def test_two_contrasts_give_no_mtsat() -> None:
    ones = np.ones((2, 2, 2))
    maps = fit_maps(simulated(ones, 20 * ones, ones, contrasts=("PDw", "T1w")))
    assert set(maps.values) == {"R1map", "PDmap", "R2starmap"}


def test_single_echoes_give_no_decay_and_no_errors() -> None:
    ones = np.ones((2, 2, 2))
    data = {k: Weighted(w.contrast, w.echo_times[:1], w.signals[:1]) for k, w in simulated(ones, ones, ones).items()}
    maps = fit_maps(data)
    assert set(maps.values) == {"R1map", "PDmap", "MTsat"}
    assert not maps.errors
    np.testing.assert_allclose(maps.values["R1map"], 1, rtol=1e-5)


def test_relative_density_is_one_in_tissue() -> None:
    scaled, factor = relative_density(np.array([2.0, 4.0, 6.0, 90.0]), np.array([0.6, 0.8, 1.0, 0.25]))
    assert scaled.tolist() == [0.5, 1.0, 1.5, 22.5]
    assert factor == 0.25
    _, inside = relative_density(np.array([2.0, 4.0, 6.0]), np.array([0.6, 0.8, 1.0]), np.array([True, False, False]))
    assert inside == 0.5


def test_noise_of_the_air_does_not_set_the_density() -> None:
    shape = (30, 20, 20)
    r1, head = np.full(shape, 0.8), np.zeros(shape, dtype=bool)
    head[:6] = True
    rng = np.random.default_rng(12)
    data = {}
    for name, one in simulated(r1, np.full(shape, 20.0), np.ones(shape)).items():
        noisy = [np.abs(np.where(head, echo, 0) + rng.normal(0, 3, shape)) for echo in one.signals]
        data[name] = Weighted(one.contrast, one.echo_times, noisy)
    assert np.median(fit_maps(data, head=head).values["PDmap"][head]) == pytest.approx(1, abs=0.02)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="THALBIDS_TEST_DATA has no mpm_subvolume")
@pytest.mark.parametrize(("form", "below"), [("half-angle", 4.0), ("small-angle", 5.7), ("exact", 4.0)])
def test_supplied_maps_of_real_data(form: str, below: float) -> None:
    """Maps fitted by another program (the R package qMRI, with a spoiling correction of its own)."""

    def volume(name: str) -> np.ndarray:
        return np.asarray(nib.load(DATA / f"{name}.nii.gz").dataobj, dtype=np.float32).squeeze()

    echoes = {"PDw": ("pdw", 8, 6.0), "T1w": ("t1w", 8, 21.0), "MTw": ("mtw", 6, 6.0)}
    data = {
        name: Weighted(
            Weighting(angle, 0.025), np.arange(1, n + 1) * 0.0023, [volume(f"{stem}_{k}") for k in range(1, n + 1)]
        )
        for name, (stem, n, angle) in echoes.items()
    }
    maps = fit_maps(data, volume("B1map") / 100, FitOptions(form=form, fit="ols"))
    theirs, mask = volume("R1map"), volume("mask") > 0
    mask &= (theirs > 0.2) & (theirs < 1.9) & (maps.values["R1map"] > 0)
    ours = maps.values["R1map"][mask]
    assert np.corrcoef(ours, theirs[mask])[0, 1] == pytest.approx(0.91, abs=0.03)
    assert 100 * (1 - np.median(ours / theirs[mask])) == pytest.approx(below, abs=0.6)
    for name, other, middle in (("R2starmap", "R2starmap", 1.0), ("MTsat", "MTmap", 1.055)):
        there = volume(other)
        positive = mask & (there > 0)
        assert np.median(maps.values[name][positive] / there[positive]) == pytest.approx(middle, abs=0.03), name
