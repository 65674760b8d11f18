"""What SynThal refuses: an image without a head, and weights that are not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from thalbids.errors import ImageError, MissingToolError
from thalbids.inference import synthal as inference
from thalbids.methods import synthal


@pytest.mark.parametrize(("centre", "icv"), [(None, 1.5e6), (np.zeros(3), 2.9e5)])
def test_without_thalami_or_with_a_tiny_brain_there_is_no_head(
    centre: np.ndarray | None, icv: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthal, "see_head", lambda image, network, axes: SimpleNamespace(centre=centre, icv_mm3=icv))
    monkeypatch.setattr(inference, "networks", lambda precision: (None, None))
    with pytest.raises(ImageError, match=f"no head with thalami was found .*{icv / 1000:.0f} mL"):
        synthal.head_of(nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4)), "full")


@pytest.mark.parametrize(
    ("shape", "size", "voxels"),
    [
        ((256, 256, 256), 0.1, True),  # a tenth, three times as large
        ((176, 256, 256), 3.0, True),
        ((176, 256, 256), 1.0, False),
        ((100, 200, 220), 1.0, False),  # cut at the side
        ((400, 400, 450), 1.0, False),  # a wide margin
    ],
)
def test_where_no_head_can_be_the_voxel_sizes_are_to_be_checked(
    shape: tuple[int, int, int], size: float, voxels: bool
) -> None:
    image = nib.Nifti1Image(np.broadcast_to(np.float32(0), shape), np.diag([size, size, size, 1.0]))
    told = synthal.advice(image, "Look.")
    assert told.startswith("Check the voxel sizes in the header (unit: mm): by these the image is ") == voxels
    assert told.endswith("Look.")


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert synthal.unavailable() is None
    monkeypatch.setattr(inference, "WEIGHTS", tmp_path)
    (tmp_path / "head.xml").touch()
    assert "head.bin, roi.xml, roi.bin" in (synthal.unavailable() or "")
    with pytest.raises(MissingToolError, match="install thalbids again"):
        synthal.weights_checksum.__wrapped__()
