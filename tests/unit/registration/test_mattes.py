from __future__ import annotations

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.unit.registration.test_ants_rigid import CENTRE, POINTS, POSE, T1W, _scan, head_far_away
from thalbids.errors import RegistrationError
from thalbids.registration import mattes
from thalbids.registration.mattes import MattesRigid, Metric
from thalbids.registration.strategies import configured
from thalbids.registration.transforms import displacement

FLAIR = _scan("LPS", (56, 58, 54), 2.0, POSE, "FLAIR")
MASK = nib.Nifti1Image((np.asarray(T1W.dataobj) > 500).astype(np.uint8), T1W.affine)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "brain"])
@pytest.mark.parametrize("moving", ["LPS", "PIR", "oblique", "anisotropic-LPS"])
def test_a_known_pose_is_found_over_orientations(moving, mask):
    shape = (60, 56, 26) if moving.startswith("anisotropic") else (56, 58, 54)
    image = _scan(moving, shape, 1.6 if moving.startswith("anisotropic") else 2.0, POSE, "FLAIR")
    matrix = MattesRigid().estimate(T1W, image, mask, seed=1)
    assert displacement(matrix, POSE, POINTS).mean() < 0.15
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("degrees", [-20, 25])
def test_a_head_that_is_far_away_is_found_from_identity(degrees):
    far = np.eye(4)
    far[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.6, 0.0, 0.8])).as_matrix()
    far[:3, 3] = CENTRE - far[:3, :3] @ CENTRE + (18, -12, 8)
    image = nib.Nifti1Image(np.asarray(FLAIR.dataobj), far @ FLAIR.affine)
    assert displacement(MattesRigid().estimate(T1W, image, MASK, seed=1), far @ POSE, POINTS).mean() < 0.15


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_of_a_small_image_in_a_large_field_of_view_is_aligned(axis):
    wide = np.pad(np.asarray(T1W.dataobj), 40)
    affine = T1W.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, 40)
    fixed, mask = nib.Nifti1Image(wide, affine), nib.Nifti1Image((wide > 500).astype(np.uint8), affine)
    part = [slice(8, 46)] * 3
    part[axis] = slice(8, 30)
    half = FLAIR.slicer[tuple(part)]
    assert np.prod(half.shape) * 8 < 0.1 * np.prod(wide.shape) * abs(np.linalg.det(affine[:3, :3]))
    assert displacement(MattesRigid().estimate(fixed, half, mask, seed=1), POSE, POINTS).mean() < 0.3


def test_centre_start_finds_a_head_without_common_coordinates():
    image, far = head_far_away()
    (strategy,) = configured(["mattes-centre"])
    assert displacement(strategy.estimate(T1W, image, MASK, seed=1), far, POINTS).mean() < 0.15
    with pytest.raises(RegistrationError, match="do not overlap"):
        MattesRigid().estimate(T1W, image, MASK, seed=1)


def test_the_gradient_is_that_of_finite_differences():
    generator = np.random.default_rng(0)
    points = CENTRE + generator.uniform(-30, 30, (4000, 3))
    metric = Metric(T1W, FLAIR, points)
    start = Rotation.from_rotvec([0.2, -0.1, 0.3]).as_matrix()

    def loss(p):
        return metric.loss(
            Rotation.from_rotvec(p[:3] / mattes.ARM_MM).as_matrix() @ start, p[3:], p[:3] / mattes.ARM_MM
        )

    for here in (np.zeros(6), np.array([6.0, 9.0, -7.0, 1.5, 2.0, -1.0])):
        slope = loss(here)[1]
        steps = [(loss(here + 1e-5 * e)[0] - loss(here - 1e-5 * e)[0]) / 2e-5 for e in np.eye(6)]
        np.testing.assert_allclose(slope, steps, rtol=2e-3, atol=2e-6)


def test_the_information_is_that_of_its_definition():
    """Joint histogram by loops, Parzen window of the moving value: cubic B-spline, of the fixed one: box."""
    generator = np.random.default_rng(3)
    row = generator.integers(0, mattes.BINS, 200)
    value = np.clip(row + generator.normal(0, 1, 200), 2, mattes.BINS - 2.001)
    joint = np.zeros((mattes.BINS, mattes.BINS))
    for i, v in zip(row, value, strict=True):
        for k in range(mattes.BINS):
            u = abs(v - k)
            joint[i, k] += (2 / 3 - u**2 + u**3 / 2 if u < 1 else (2 - u) ** 3 / 6 if u < 2 else 0) / 200
    outer = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    wanted = sum(p * np.log(p / q) for p, q in zip(joint.ravel(), outer.ravel(), strict=True) if p > 0)
    assert mattes._information(row * mattes.BINS, value)[0] == pytest.approx(wanted, rel=1e-9)


def test_other_instructions_of_the_processor_give_the_same_bytes(tmp_path):
    for name, image in (("t1w", T1W), ("flair", FLAIR), ("mask", MASK)):
        nib.save(image, tmp_path / f"{name}.nii")
    script = (
        "import sys, nibabel as nib; from thalbids.registration.mattes import MattesRigid;"
        "a, b, c = (nib.load(f'{sys.argv[1]}/{n}.nii') for n in ('t1w', 'flair', 'mask'));"
        "print(MattesRigid().estimate(a, b, c, 1).tobytes().hex())"
    )
    plain = {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX", "OPENBLAS_CORETYPE": "Nehalem"}
    answers = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)],
            env=dict(os.environ) | changed, capture_output=True, text=True, check=True,
        ).stdout
        for changed in ({}, plain, {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"})
    ]  # fmt: skip
    assert len(set(answers)) == 1 and len(answers[0]) == 16 * 16 + 1
    assert MattesRigid().estimate(T1W, FLAIR, MASK, seed=2).tobytes().hex() != answers[0].strip()


def test_an_image_without_contrast_is_a_failed_attempt():
    flat = nib.Nifti1Image(np.ones(T1W.shape, np.float32), T1W.affine)
    with pytest.raises(RegistrationError, match="same value"):
        MattesRigid().estimate(T1W, flat, MASK, seed=1)


def test_a_slab_too_thin_for_coarse_levels_is_aligned_by_the_fine_ones():
    slab = FLAIR.slicer[:, :, 24:31]
    truth = np.eye(4)
    truth[:3, 3] = (0.8, -0.6, 0.5)
    slab = nib.Nifti1Image(np.asarray(slab.dataobj), truth @ np.linalg.inv(POSE) @ slab.affine)
    matrix = MattesRigid().estimate(T1W, slab, None, seed=1)
    assert displacement(matrix, truth, POINTS).mean() < 0.4
