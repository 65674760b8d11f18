"""Builders of synthetic images, shared by every test: any orientation, any kind of header, values known
analytically."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import nibabel as nib
import numpy as np
import pytest

# a busy machine is no defect of what is tested
hypothesis.settings.register_profile("thalbids", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("thalbids")

ORIENTATIONS = ("RAS", "LAS", "LPS", "PIR", "LIA", "oblique", "anisotropic", "anisotropic-LPS")
HEADER_KINDS = ("both", "sform-only", "qform-only")

UNTIL = float(os.environ.get("THALBIDS_TEST_UNTIL") or "inf")  # seconds since 1970: no test begins later
DATA_ROOT = Path(os.environ.get("THALBIDS_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def affine_of(orientation: str, shape: tuple[int, int, int]) -> np.ndarray:
    """A voxel-to-RAS affine (1 mm, or 0.8 x 1 x 3 mm when anisotropic) whose grid is centred near (3, -5, 7) mm."""
    zooms = np.array([0.8, 1.0, 3.0]) if orientation.startswith("anisotropic") else np.ones(3)
    codes = {"oblique": "RAS", "anisotropic": "RAS", "anisotropic-LPS": "LPS"}.get(orientation, orientation)
    linear = np.zeros((3, 3))
    for column, code in enumerate(codes):
        linear["RAS".find(code) if code in "RAS" else "LPI".find(code), column] = 1 if code in "RAS" else -1
    linear = linear @ np.diag(zooms)
    if orientation == "oblique":
        linear = rotation_matrix(12, -9, 17)[:3, :3] @ linear
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = np.array([3.0, -5.0, 7.0]) - linear @ ((np.array(shape) - 1) / 2)
    return affine


def rotation_matrix(
    x: float = 0, y: float = 0, z: float = 0, centre: tuple[float, float, float] = (0, 0, 0)
) -> np.ndarray:
    """(4, 4) rotation by degrees about the x, then y, then z axis through ``centre``."""
    matrix = np.eye(3)
    for axis, degrees in enumerate((x, y, z)):
        angle = np.deg2rad(degrees)
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    out = np.eye(4)
    out[:3, :3] = matrix
    out[:3, 3] = np.array(centre) - matrix @ np.array(centre)
    return out


def world_coordinates(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """RAS+ mm of every voxel centre, shape (3, *shape)."""
    index = np.indices(shape).reshape(3, -1)
    return (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape)


def ramp(world: np.ndarray) -> np.ndarray:
    """A linear function of the world: linear interpolation reproduces it exactly."""
    return 100 + 2.0 * world[0] - 1.5 * world[1] + 0.7 * world[2]


def world_image(
    orientation: str = "RAS",
    shape: tuple[int, int, int] = (12, 14, 10),
    function: Callable[[np.ndarray], np.ndarray] = ramp,
) -> nib.Nifti1Image:
    """Image whose value at a voxel is ``function`` of its world coordinates, in float32, sform and qform set."""
    affine = affine_of(orientation, shape)
    image = nib.Nifti1Image(function(world_coordinates(affine, shape)).astype(np.float32), affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return image


def with_header(image: nib.Nifti1Image, kind: str) -> nib.Nifti1Image:
    """The same image with sform, qform or both."""
    image = nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header)
    image.set_sform(image.affine, code=0 if kind == "qform-only" else 1)
    if kind == "sform-only":
        image.set_qform(np.diag([5.0, 5.0, 5.0, 1.0]), code=0)  # must be ignored, with its zooms
        image.header.set_zooms(np.linalg.norm(image.affine[:3, :3], axis=0))
    return image


@pytest.fixture(autouse=True, scope="session")
def nothing_fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs and weights that whoever runs the tests has fetched are not taken in place of stand-ins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALBIDS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=ORIENTATIONS)
def orientation(request: pytest.FixtureRequest) -> str:
    """Every orientation, one test each."""
    return request.param


@pytest.fixture(params=HEADER_KINDS)
def header_kind(request: pytest.FixtureRequest) -> str:
    """Every kind of header that holds a geometry, one test each."""
    return request.param


@pytest.fixture
def data_root() -> Path:
    """Folder of real data beside the checkout; the test is skipped where it is missing."""
    if not DATA_ROOT.is_dir():
        pytest.skip(f"no real scans at {DATA_ROOT}: set THALBIDS_TEST_DATA")
    return DATA_ROOT


def pytest_configure() -> None:
    """Take SIGINT as a terminal gives it: a job started in the background inherits that it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Leave out what would begin too late for a CI with a limit."""
    if time.time() > UNTIL:
        pytest.skip("the time for tests is over (THALBIDS_TEST_UNTIL)")
