"""The noise around the head in UNIT1."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from thalbids.qmri.unit1 import without_noise

SHAPE = (60, 64, 60)


def head(noise: bool, low: float = 0.0, high: float = 4095.0) -> tuple[nib.Nifti1Image, np.ndarray]:
    """A brain, a skull that is nothing but noise in UNIT1, and a scalp of 5 voxels; and where the head is."""
    rng = np.random.default_rng(1)
    x, y, z = np.indices(SHAPE)
    away = np.sqrt((x - 30) ** 2 + (y - 32) ** 2 + (z - 30) ** 2)
    values = np.where(away < 16, 0.7 + 0.03 * rng.standard_normal(SHAPE), 0.0)
    values[(away >= 19) & (away < 24)] = 0.9
    air = (values == 0) & noise
    values[air] = rng.uniform(0, 1, int(air.sum()))
    return nib.Nifti1Image((low + (high - low) * np.clip(values, 0, 1)).astype(np.float32), np.eye(4)), away < 24


def test_the_noise_around_the_head_becomes_0_and_the_head_stays() -> None:
    for low, high in ((0.0, 4095.0), (-0.5, 0.5)):
        image, inside = head(noise=True, low=low, high=high)
        found, notes = without_noise(image)
        data = np.asarray(found.dataobj)
        assert len(notes) == 1 and notes[0].startswith("The noise outside the head was set to 0")
        assert (data[inside] > 0).mean() > 0.98  # scalp and skull too
        assert (data[~inside] == 0).mean() > 0.85  # but for a rim
        brain = np.asarray(image.dataobj)[25:35, 27:37, 25:35]
        assert np.corrcoef(data[25:35, 27:37, 25:35].ravel(), brain.ravel())[0, 1] > 0.999


def test_an_image_without_noise_is_left_alone() -> None:
    image, _ = head(noise=False)
    assert without_noise(image) == (image, [])
