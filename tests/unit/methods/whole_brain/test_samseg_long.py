"""SAMSEG on all visits of a person together: what is planned, the space between them, and visits that do not belong."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests import standins
from tests.conftest import rotation_matrix
from tests.unit.methods.whole_brain.test_samseg_images import session
from tests.unit.participant.planning import Fixed, no_weights
from tests.unit.tools.conftest import scan
from thalbids.engine.step import check_plan
from thalbids.errors import ImageError
from thalbids.image.io import save_image
from thalbids.methods.base import Request
from thalbids.methods.whole_brain import samseg_long
from thalbids.methods.whole_brain.samseg_long import SamsegLong, between
from thalbids.participant.plan import plan, steps_of
from thalbids.registration.ants_rigid import AntsRigid
from thalbids.settings import Settings, load

__all__ = ["no_weights"]


def test_all_visits_of_a_person_are_one_run(tmp_path: Path) -> None:
    visits = [session(tmp_path, ("T1w",), label) for label in ("1", "2")]
    subjects = list(plan(visits, tmp_path / "out", [SamsegLong(), Fixed()], Settings()))
    steps = steps_of(subjects)
    check_plan(steps)
    (maps,) = [step for step in steps if step.name == "sub-01 samsegLong label maps"]
    assert {"sub-01_ses-1 brain", "sub-01_ses-2 brain"} <= set(maps.inputs)
    assert "sub-01_ses-2 probability" in maps.outputs
    assert maps.memory_gb > 11.7  # measured with two visits
    third = [*visits, session(tmp_path, ("T1w",), "3")]
    steps = steps_of(plan(third, tmp_path / "out3", [SamsegLong(), Fixed()], Settings()))
    (more,) = [step for step in steps if step.name == "sub-01 samsegLong label maps"]
    assert more.memory_gb == pytest.approx(maps.memory_gb + 1.5)
    named = load(None, {"methods": {"names": ["samsegLong", "synthal"]}})
    (alone,) = plan(visits[:1], tmp_path / "out2", [SamsegLong(), Fixed()], named)
    (lacking,) = [mask for mask in alone.sessions[0].masks if mask.desc == "samsegLong"]
    assert "there are not two" in lacking.reason


def head(seed: int, matrix: np.ndarray) -> nib.Nifti1Image:
    """A brain of smooth blobs, turned and shifted by its header."""
    random = np.random.default_rng(seed)
    data = ndimage.gaussian_filter(random.normal(size=(48, 48, 48)), 3) * 40 + 10
    grid = np.indices((48, 48, 48)) - 23.5
    data[(grid**2).sum(0) > 20**2] = 0
    return nib.Nifti1Image(np.maximum(data, 0).astype(np.float32), matrix @ np.diag([3.0, 3, 3, 1]))


def requests(folder: Path, images: dict[str, nib.Nifti1Image]) -> dict[str, Request]:
    answers = {}
    for name, image in images.items():
        path = folder / f"{name}.nii.gz"
        save_image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine, path)
        answers[name] = Request("T1w", image, path, (0, 0, 0), {}, folder)
    return answers


def by_header(monkeypatch: pytest.MonkeyPatch, places: dict[int, np.ndarray]) -> None:
    """A registration that knows where each image lies, by its first voxel's place in the world."""

    def estimate(self: AntsRigid, fixed: nib.Nifti1Image, moving: nib.Nifti1Image, *given: object) -> np.ndarray:
        one, other = (
            next(place for place in places.values() if np.allclose(place[:3, 3], image.affine[:3, 3]))
            for image in (fixed, moving)
        )
        return np.asarray(other @ np.linalg.inv(one))

    monkeypatch.setattr(AntsRigid, "estimate", estimate)


def shifted(mm: float) -> np.ndarray:
    matrix = rotation_matrix(0, 0, 4, centre=(70, 70, 70))
    matrix[0, 3] += mm
    return matrix


def test_the_space_between_two_visits_is_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_header(monkeypatch, {1: np.eye(4), 2: shifted(3)})
    matrices, odd = between(requests(tmp_path, {"a": head(1, np.eye(4)), "b": head(1, shifted(3))}))
    there, back = matrices["a"], matrices["b"]
    assert not odd
    np.testing.assert_allclose(back @ np.linalg.inv(there), shifted(3), atol=1e-6)
    np.testing.assert_allclose(there @ back, back @ there, atol=1e-6)
    np.testing.assert_allclose(there @ there @ shifted(3), np.eye(4), atol=1e-6)


def test_a_visit_with_another_brain_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {number: shifted(10.0 * number) for number in range(4)}
    by_header(monkeypatch, places)
    brains = {"a": head(1, places[0]), "b": head(1, places[1]), "x": head(2, places[2])}
    matrices, odd = between(requests(tmp_path, brains))
    assert list(matrices) == ["a", "b"] and list(odd) == ["x"]
    assert "not that of a, b (correlation" in odd["x"]
    np.testing.assert_allclose(
        matrices["b"] @ np.linalg.inv(matrices["a"]), places[1] @ np.linalg.inv(places[0]), atol=1e-6
    )
    with pytest.raises(ImageError, match=r"the same brain after registration \(correlation a and x: -?0\.\d\d\)"):
        between(requests(tmp_path, {name: brains[name] for name in "ax"}))
    two_and_two = brains | {"y": head(2, places[3])}  # nobody can tell whose visits these are
    with pytest.raises(ImageError, match=r"a and x.*a and y.*b and x.*b and y"):
        between(requests(tmp_path, two_and_two))


@pytest.mark.parametrize("mm", [0, 150])
def test_the_registration_needs_no_common_coordinates(tmp_path: Path, mm: float) -> None:
    matrices, odd = between(requests(tmp_path, {"a": head(1, np.eye(4)), "b": head(1, shifted(mm))}))
    assert not odd
    middle = np.array([70.5, 70.5, 70.5, 1])  # of the brain
    moved = matrices["b"] @ np.linalg.inv(matrices["a"]) @ middle
    np.testing.assert_allclose(moved, shifted(mm) @ middle, atol=1.0)


def test_what_is_left_of_three_visits_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = standins.install(tmp_path / "bin", "run_samseg_long")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path / "cache"))
    visits = requests(tmp_path, {name: scan() for name in ("a", "b", "x")})
    same = {"a": np.eye(4), "b": np.eye(4)}
    monkeypatch.setattr(samseg_long, "between", lambda requests: (same, {"x": "another brain"}))
    maps, failed = SamsegLong().session_maps(visits)
    assert list(maps) == ["a", "b"] and failed == {"x": "another brain"}
    assert maps["a"].metadata["Visits"] == ["a", "b"]
