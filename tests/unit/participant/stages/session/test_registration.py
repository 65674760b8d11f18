"""R1 from maps, before anything is registered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from thalbids.errors import ImageError
from thalbids.participant.stages.session.registration import as_r1, register, same_image


def test_the_unit_is_judged_where_the_brain_of_the_t1w_lies() -> None:
    """The map has another grid than the brain mask, and a background of small numbers around a brain off its middle."""
    brain = np.zeros((40, 40, 40), dtype=np.uint8)
    brain[2:12, 2:12, 2:12] = 1
    values = np.random.default_rng(1).uniform(0, 0.001, (20, 20, 20)).astype(np.float32)
    values[1:6, 1:6, 1:6] = 1100.0
    image = nib.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1.0]))
    mask = nib.Nifti1Image(brain, np.eye(4))
    params: Any = SimpleNamespace(suffix="T1map", units=None)
    with pytest.raises(ImageError, match=r"x\.nii\.gz: The T1 map is not in s.* its median is 1100"):
        as_r1(image, params, Path("x.nii.gz"), mask)
    params.units = "ms"
    r1, told = as_r1(image, params, Path("x.nii.gz"), mask)
    assert np.asarray(r1.dataobj)[3, 3, 3] == pytest.approx(1 / 1.1)
    assert told["Units"] == "1/s"


def test_the_reference_under_another_name_is_known_by_its_voxels() -> None:
    values = np.random.default_rng(1).uniform(0, 9, (8, 9, 10)).astype(np.float32)
    t1w, moved = (nib.Nifti1Image(values.copy(), affine) for affine in (np.eye(4), np.diag([2.0, 2, 2, 1])))
    assert same_image(moved, t1w)
    assert not same_image(nib.Nifti1Image(values + np.eye(9, 10, dtype=np.float32), np.eye(4)), t1w)
    assert not same_image(nib.Nifti1Image(values[:7], np.eye(4)), t1w)


@pytest.mark.parametrize(("name", "suffix"), [("FLAIR", "FLAIR"), ("R1map", "T1map")])
def test_scattered_nan_are_filled_before_an_image_is_registered(
    name: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A T1 map of 1.25 s (R1: 0.8 1/s), or a FLAIR of two values."""
    values = np.full((10, 11, 12), 1.25, np.float32)
    values[:, :2] = 0.5
    values[3, 5, 6] = np.nan
    affine, brain = np.diag([-1.0, 1, 1, 1]), np.zeros(values.shape, np.uint8)
    brain[2:4, 4:6, 5:10] = 1
    for what, data in {"image": values, "T1w": np.where(np.isnan(values), 9, values), "brain": brain}.items():
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{what}.nii.gz")
    paths = {what: tmp_path / f"{what}.nii.gz" for what in ("image", "T1w", "brain")}

    def found(moving: nib.Nifti1Image, fixed: nib.Nifti1Image, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(
            image=moving, matrix=np.eye(4), chosen="rigid", reason="", attempts=[], warnings=[], software={}
        )

    monkeypatch.setattr("thalbids.registration.gate.register", found)
    params: Any = SimpleNamespace(
        image=name, suffix=suffix, source="", units=None, skull_stripped=True, t1w_uri="bids::x_T1w.nii.gz",
        transform_uri="", strategies=("mattes",), strategies_note="", cutoffs={}, rule="", bins=32, brain_source="",
        seed=1, choice="", estimation_algorithm=None, estimation_reference=None, program=None,
        rejected=(),
    )  # fmt: skip
    done = register(paths, {"image": tmp_path / "out.nii.gz", "transform": tmp_path / "x.txt"}, params, {})
    told, made = done.sidecars["image"], nib.load(tmp_path / "out.nii.gz").get_fdata()
    assert told["FilledShare"] == pytest.approx(1 / 20)
    assert made[-1 - 3, 5, 6] == pytest.approx(1.25 if name == "FLAIR" else 0.8, rel=1e-4)
