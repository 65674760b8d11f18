"""Real scans averaged to coarse voxels: where volumes are only flagged, and where they are excluded."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import DATA_ROOT
from thalbids.cli.main import main
from thalbids.files import read_table
from thalbids.image.io import load_image, save_image


def averaged(image: nib.Nifti1Image, n: int) -> nib.Nifti1Image:
    """Cubes of n voxels a side as one voxel."""
    data = np.asarray(image.dataobj, np.float32)
    x, y, z = (size // n for size in data.shape)
    data = data[: x * n, : y * n, : z * n].reshape(x, n, y, n, z, n).mean((1, 3, 5))
    affine = image.affine @ np.diag([n, n, n, 1.0])
    affine[:3, 3] += image.affine[:3, :3] @ np.full(3, (n - 1) / 2)
    return nib.Nifti1Image(data, affine)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA_ROOT.is_dir(), reason=f"the real scans are not in {DATA_ROOT}")
@pytest.mark.parametrize("person", ["sub-01", "sub-06"])
def test_coarse_voxels_are_told_and_the_coarsest_excluded(
    person: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = load_image(DATA_ROOT / "freesurfer6" / person / "mri/T1.mgz")
    rows, said = {}, {}
    for n in (1, 4, 5):
        image = averaged(scan, n)
        path = save_image(np.asarray(image.dataobj), image.affine, tmp_path / f"{n}mm.nii.gz")
        assert main(["segment", str(path)]) == int(n == 5)
        said[n] = capsys.readouterr()
        (rows[n],) = read_table(tmp_path / f"{n}mm_thalamus.tsv")
    assert "voxels of" not in said[1].err and rows[1]["scan_note"] is None
    assert "voxels of 4 x 4 x 4 mm" in said[4].err and "voxels of 4 x 4 x 4 mm" in str(rows[4]["scan_note"])
    assert rows[5]["status"] == "excluded" and "125 mm3" in str(rows[5]["reason"])
    error = {n: float(str(rows[n]["volume_mm3"])) / float(str(rows[1]["volume_mm3"])) - 1 for n in (4, 5)}
    assert -0.1 < error[4] < 0 and -0.2 < error[5] < -0.09
