from __future__ import annotations

import json
import subprocess

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import affine_of, rotation_matrix, world_coordinates
from thalbids.errors import MissingToolError, RegistrationError
from thalbids.registration import ants_rigid
from thalbids.registration.ants_rigid import AntsRigid, block_mean
from thalbids.registration.strategies import configured
from thalbids.registration.transforms import displacement

pytest.importorskip("ants")

CENTRE = np.array([3.0, -5.0, 7.0])
POSE = rotation_matrix(6, -5, 8, centre=(3, -5, 7))
POSE[:3, 3] += (4, -3, 5)
BLOBS = np.random.default_rng(0).uniform(-35, 35, (60, 3))
HEIGHTS = np.random.default_rng(1).uniform(-1, 1, 60)


def _head(world: np.ndarray) -> np.ndarray:
    """A ball of 45 mm with smooth structure, known at any place of the world."""
    x = np.moveaxis(world, 0, -1) - CENTRE
    value = np.full(x.shape[:-1], 2.0)
    for place, height in zip(BLOBS, HEIGHTS, strict=True):
        value += height * np.exp(-((x - place) ** 2).sum(axis=-1) / (2 * 9.0**2))
    return value / (1 + np.exp((np.linalg.norm(x, axis=-1) - 45) / 1.0))


def _scan(
    orientation: str, shape: tuple[int, int, int], zoom: float, pose: np.ndarray, contrast: str
) -> nib.Nifti1Image:
    """The head moved by ``pose``, seen on a grid."""
    affine = affine_of(orientation, shape)
    affine[:3, :3] *= zoom
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    world = world_coordinates(affine, shape)
    back = np.linalg.inv(pose)
    value = _head(np.einsum("ij,jxyz->ixyz", back[:3, :3], world) + back[:3, 3][:, None, None, None])
    inside = value > 1
    value = 500 * value if contrast == "T1w" else np.where(inside, 1400 - 400 * value, 100 * value)
    return nib.Nifti1Image(value.astype(np.float32), affine)


T1W = _scan("RAS", (56, 60, 54), 2.0, np.eye(4), "T1w")
POINTS = CENTRE + BLOBS


@pytest.mark.parametrize("moving", ["LPS", "PIR", "oblique", "anisotropic-LPS"])
def test_a_known_pose_is_found_over_orientations(moving):
    shape = (60, 56, 26) if moving.startswith("anisotropic") else (56, 58, 54)
    image = _scan(moving, shape, 1.6 if moving.startswith("anisotropic") else 2.0, POSE, "FLAIR")
    found = AntsRigid().estimate(T1W, image, None, seed=1)
    assert displacement(found, POSE, POINTS).mean() < 0.25
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-12)


def test_the_default_levels_of_ants_find_the_pose_too():
    image = _scan("LPS", (56, 58, 54), 2.0, POSE, "FLAIR")
    (strategy,) = configured(["ants-default"], rule="paper")
    assert strategy.cutoff == 0.30
    found = strategy.estimate(T1W, image, None, seed=1)
    assert displacement(found, POSE, POINTS).mean() < 0.5
    assert not np.array_equal(found, AntsRigid().estimate(T1W, image, None, seed=1))


def test_the_same_bytes_whatever_the_threads_of_the_user(monkeypatch):
    image = _scan("LPS", (56, 58, 54), 2.0, POSE, "FLAIR")
    results = []
    for threads in ("1", "2", "8"):
        monkeypatch.setenv("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", threads)
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(AntsRigid().estimate(T1W, image, None, seed=1).tobytes())
    assert len(set(results)) == 1
    assert AntsRigid().estimate(T1W, image, None, seed=2).tobytes() != results[0]
    monkeypatch.setenv("ANTS_RANDOM_SEED", "77")
    assert AntsRigid().estimate(T1W, image, None, seed=1).tobytes() == results[0]


def test_seed_0_is_a_seed_and_not_the_clock():
    image = _scan("LPS", (56, 58, 54), 2.0, POSE, "FLAIR")
    results = {AntsRigid().estimate(T1W, image, None, seed=0).tobytes() for _ in range(3)}
    assert len(results) == 1


def head_far_away() -> tuple[nib.Nifti1Image, np.ndarray]:
    """A scan without common coordinates with the T1w, and the transform from that to it."""
    far = POSE.copy()
    far[:3, 3] += (300, -200, 150)
    image = _scan("LPS", (56, 58, 54), 2.0, POSE, "T1w")
    return nib.Nifti1Image(np.asarray(image.dataobj), far @ np.linalg.inv(POSE) @ image.affine), far


def test_centre_start_finds_a_head_far_away():
    image, far = head_far_away()
    (strategy,) = configured(["ants-centre"])
    assert displacement(strategy.estimate(T1W, image, None, seed=1), far, POINTS).mean() < 0.25


def test_block_mean_over_orientations(orientation):
    shape = (12, 15, 9)
    affine = affine_of(orientation, shape)
    world = world_coordinates(affine, shape)
    ramp = (3 * world[0] - 2 * world[1] + world[2]).astype(np.float32)
    small = block_mean(nib.Nifti1Image(ramp, affine), 2.0)
    assert small.shape == ((6, 7, 9) if orientation.startswith("anisotropic") else (6, 7, 4))
    world = world_coordinates(small.affine, small.shape)
    np.testing.assert_allclose(small.get_fdata(), 3 * world[0] - 2 * world[1] + world[2], atol=1e-3)


@pytest.mark.parametrize(("zoom", "factor"), [(0.5, 4), (0.8, 2), (0.9, 2), (1.0, 2), (1.2, 1), (1.6, 1), (3.0, 1)])
def test_block_sizes(zoom, factor):
    small = block_mean(nib.Nifti1Image(np.zeros((16, 16, 16), np.float32), np.diag([zoom, zoom, zoom, 1])), 2.0)
    assert small.shape == (16 // factor,) * 3


def _answer(monkeypatch, code, out, error=""):
    def run(command, **kwargs):
        if code == "timeout":
            raise subprocess.TimeoutExpired(command, kwargs["timeout"])
        assert kwargs["env"]["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] == "1"
        return subprocess.CompletedProcess(command, code, out.encode(), error.encode())

    monkeypatch.setattr(ants_rigid.subprocess, "run", run)


@pytest.mark.parametrize(
    ("code", "out", "error", "problem"),
    [
        (-11, "", "", "killed by signal 11"),
        (1, "", "Traceback ...\nRuntimeError: Registration failed with error code 1", "error code 1"),
        (0, "", "All samples map outside moving image buffer", "map outside"),
        (0, "no json", "", "failed"),
        ("timeout", "", "", "stopped after 30 minutes"),
        (0, json.dumps({"parameters": [float("nan")] * 12, "centre": [0, 0, 0]}), "", "not finite"),
    ],
)
def test_failures_are_told(monkeypatch, code, out, error, problem):
    _answer(monkeypatch, code, out, error)
    with pytest.raises(RegistrationError, match=problem):
        AntsRigid().estimate(T1W, T1W, None, seed=1)


def test_a_missing_package_is_no_failed_registration(monkeypatch):
    _answer(monkeypatch, 1, "", "ModuleNotFoundError: No module named 'ants'")
    with pytest.raises(MissingToolError, match="antspyx"):
        AntsRigid().estimate(T1W, T1W, None, seed=1)


def test_centre_start_without_intensity():
    dark = nib.Nifti1Image(-np.ones((20, 20, 20), np.float32), np.eye(4))
    with pytest.raises(RegistrationError, match="positive"):
        AntsRigid(start="centre").estimate(T1W, dark, None, seed=1)
