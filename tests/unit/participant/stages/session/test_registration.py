"""R1 from maps, before anything is registered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from thalbids.errors import ImageError
from thalbids.participant.stages.session.registration import as_r1, same_image


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
