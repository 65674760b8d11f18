"""A BIDS dataset made from the real scans of the test data (``python -m tests.realdata DATA_DIR DESTINATION``).

fs01, fs06: FreeSurfer's T1.mgz; ms12: a patient with thick slices, two sessions; ms07: a patient in MNI space,
brain-extracted, with an R1-like map made from the T1 (no real R1 map of a whole head is in the data); vm01: a
skull-stripped scan that came without an affine.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

MNI = "open_ms/cross_sectional/MNI/patient07/{}_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"


def build(root: Path, destination: Path) -> Path:
    """Write the dataset and give its folder."""
    write_json(
        destination / "dataset_description.json", {"Name": "Real scans", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    )
    (destination / "README.md").write_text("Real scans for tests of thalbids, converted and otherwise unchanged.\n")
    for sub, label in (("sub-01", "fs01"), ("sub-06", "fs06")):
        image = nib.load(root / "freesurfer6" / sub / "mri" / "T1.mgz")
        save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), destination, label, None, "T1w")
    for study in (1, 2):
        for contrast, suffix in (("T1W", "T1w"), ("FLAIR", "FLAIR"), ("T2W", "T2w")):
            source = root / f"open_ms/longitudinal/raw/patient12/study{study}_{contrast}.nii.gz"
            copy(source, place(destination, "ms12", str(study), suffix))
    for contrast, suffix in (("T1", "T1w"), ("FLAIR", "FLAIR")):
        copy(root / MNI.format(contrast), place(destination, "ms07", None, suffix))
    t1 = nib.load(root / MNI.format("T1"))
    data = np.clip(np.asarray(t1.dataobj, np.float32), 0, None)
    r1 = (data / np.percentile(data[data > 0], 90)).astype(np.float32)  # white matter near 1.0 per second
    save(nib.Nifti1Image(r1, t1.affine), destination, "ms07", None, "R1map", {"Units": "1/s"})
    with np.load(root / "voxelmorph/test_scan.npz") as f:
        affine = np.array([[-1.0, 0, 0, 80], [0, 0, 1, -112], [0, -1, 0, 96], [0, 0, 0, 1]])
        save(nib.Nifti1Image(f["vol"].astype(np.float32), affine), destination, "vm01", None, "T1w")
    return destination


def place(destination: Path, subject: str, session: str | None, suffix: str) -> Path:
    own = [f"sub-{subject}"] + ([f"ses-{session}"] if session else [])
    path = destination.joinpath(*own, "anat", "_".join([*own, suffix]) + ".nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_name(path.name.replace(".nii.gz", ".json")), {"MagneticFieldStrength": 3})
    return path


def save(
    image: nib.Nifti1Image, destination: Path, subject: str, session: str | None, suffix: str, extra: dict | None = None
) -> None:
    path = place(destination, subject, session, suffix)
    nib.save(image, path)
    if extra:
        write_json(path.with_name(path.name.replace(".nii.gz", ".json")), {"MagneticFieldStrength": 3} | extra)


def copy(source: Path, path: Path) -> None:
    shutil.copyfile(source, path)


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))
