"""The real scans that the networks are judged on, each with what is known of it. None of them was trained on.

`root` is a folder laid out as `data/README.md` describes: FreeSurfer 6 and 7 results, the open MS data set, a
VoxelMorph scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

MNI = "open_ms/cross_sectional/MNI/patient07/{}_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"


@dataclass(frozen=True)
class RealScan:
    """A scan, its reference labels on the same grid (or None) and its brain mask (or None)."""

    name: str
    image: nib.Nifti1Image
    labels: np.ndarray | None = None
    brain: np.ndarray | None = None


def nifti(path: Path) -> nib.Nifti1Image:
    image = nib.load(path)
    return nib.Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def scans(root: Path) -> list[RealScan]:
    """All real scans under `root`."""
    found = []
    for sub in ("sub-01", "sub-06"):
        mri = root / "freesurfer6" / sub / "mri"
        found.append(RealScan(f"freesurfer6 {sub} T1", nifti(mri / "T1.mgz"), *references(mri)))
    mri = root / "freesurfer7_bert/mri"
    found.append(RealScan("bert norm", nifti(mri / "norm.mgz"), *references(mri)))
    with np.load(root / "voxelmorph/test_scan.npz") as f:
        # no affine in the file: left-inferior-anterior voxel order, as its labels and its anatomy show
        affine = np.array([[-1.0, 0, 0, 80], [0, 0, 1, -112], [0, -1, 0, 96], [0, 0, 0, 1]])
        found.append(RealScan("voxelmorph", nib.Nifti1Image(f["vol"].astype(np.float32), affine), f["seg"].astype(int)))
    for contrast in ("T1", "T2", "FLAIR", "T1POST"):
        found.append(RealScan(f"patient07 {contrast}", nifti(root / MNI.format(contrast))))
    for study in (1, 2):
        for contrast in ("T1W", "T2W", "FLAIR"):
            path = root / f"open_ms/longitudinal/raw/patient12/study{study}_{contrast}.nii.gz"
            found.append(RealScan(f"patient12 study{study} {contrast}", nifti(path)))
    return found


def references(mri: Path) -> tuple[np.ndarray, np.ndarray]:
    """FreeSurfer's aseg and whether a voxel is inside its brainmask."""
    return (
        np.asarray(nib.load(mri / "aseg.mgz").dataobj).astype(int),
        np.asarray(nib.load(mri / "brainmask.mgz").dataobj) > 0,
    )
