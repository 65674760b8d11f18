"""FreeSurfer's results of real people: aseg comes to the T1w grid and back voxel by voxel, the numbers are its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from thalbids.errors import ImageError, ThalbidsError
from thalbids.image.grids import resample_to
from thalbids.image.io import load_image, save_image
from thalbids.image.orientation import to_ras
from thalbids.methods.base import Request
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.programs import FreeSurferSettings
from thalbids.settings import MethodSettings
from thalbids.types import Session

pytestmark = pytest.mark.data

FOLDERS = ("freesurfer6/sub-01", "freesurfer6/sub-06", "freesurfer7_bert")


def stats(folder: Path) -> tuple[float, dict[int, tuple[int, float]]]:
    """eTIV, and voxels and volume by label, read with nothing of ours."""
    lines = (folder / "stats" / "aseg.stats").read_text().splitlines()
    etiv = next(float(line.split(",")[-2]) for line in lines if "EstimatedTotalIntraCranialVol" in line)
    cells = [line.split() for line in lines if not line.startswith("#")]
    return etiv, {int(c[1]): (int(c[2]), float(c[3])) for c in cells}


def request(folder: Path, raw: nib.Nifti1Image, brain: np.ndarray, work: Path) -> Request:
    """What the step gives the method: the T1w in RAS order and SynThal's place for the brain mask."""
    work.mkdir(exist_ok=True)
    save_image(brain.astype(np.uint8), raw.affine, work / "brain.nii.gz")
    found = FreeSurfer().files(folder)
    files = {key: path for key, path in found.items() if path is not None}
    return Request("T1w", raw, work / "brain.nii.gz", (0, 0, 0), {}, work, files=files)


@pytest.mark.parametrize("name", FOLDERS)
def test_masks_counts_and_etiv_are_those_of_freesurfer(data_root: Path, tmp_path: Path, name: str) -> None:
    folder = data_root / name
    conformed = load_image(folder / "mri" / ("T1.mgz" if "6" in name else "norm.mgz"))
    t1w, way = to_ras(conformed)
    method = FreeSurfer()
    asked = request(folder, t1w, np.asarray(t1w.dataobj) > 0, tmp_path)
    made, failed = method.label_maps({"T1w": asked})
    assert failed == {}
    aseg = np.asarray(nib.load(folder / "mri" / "aseg.mgz").dataobj)
    back = np.asarray(way.invert(nib.Nifti1Image(made["T1w"].labels, t1w.affine)).dataobj)
    assert (back == aseg).all()
    etiv, structures = stats(folder)
    told = made["T1w"].metadata
    assert told["EstimatedTotalIntraCranialVolMm3"] == etiv
    mask = method.segment(Request(**{**vars(asked), "labels": made["T1w"].labels, "told": told}))
    for label in (10, 49):
        assert (mask.labels == label).sum() == structures[label][0] == told["StatsNVoxels"][str(label)]
        assert told["StatsVolumeMm3"][str(label)] == structures[label][1]
    assert mask.volume_mm3 == pytest.approx(sum(structures[label][0] for label in (10, 49)))


@pytest.mark.parametrize(("person", "other"), [("sub-01", "sub-06"), ("sub-06", "sub-01")])
def test_the_folder_of_another_person_is_told_by_its_image(
    data_root: Path, tmp_path: Path, person: str, other: str
) -> None:
    """Two people whose heads lie in one place: most labels lie in the brain, and the image differs."""
    folder = data_root / "freesurfer6" / person
    t1w, _ = to_ras(load_image(folder / "mri" / "T1.mgz"))
    brain, _ = to_ras(load_image(folder / "mri" / "brainmask.mgz"))
    rng = np.random.default_rng(1)
    data = np.asarray(t1w.dataobj, dtype=np.float32)
    slope = np.linspace(-0.4, 0.4, data.shape[1], dtype=np.float32)[:, None]
    raw = nib.Nifti1Image(np.maximum(data * np.exp(slope) + rng.normal(0, 8, data.shape), 0), t1w.affine)
    asked = request(folder, raw, np.asarray(brain.dataobj) > 0, tmp_path / "own")
    told = FreeSurfer().label_maps({"T1w": asked})[0]["T1w"].metadata
    assert told["CorrelationWithT1w"] > 0.85
    copy = tmp_path / "fs" / "sub-x"
    shutil.copytree(data_root / "freesurfer6" / other, copy)
    move = np.eye(4)
    both = [nib.load(data_root / "freesurfer6" / name / "mri" / "aseg.mgz") for name in (person, other)]
    middles = [(i.affine @ [*np.argwhere(np.asarray(i.dataobj) > 0).mean(0), 1])[:3] for i in both]
    move[:3, 3] = middles[0] - middles[1]
    for name in ("aseg.mgz", "T1.mgz"):
        image = nib.load(data_root / "freesurfer6" / other / "mri" / name)
        nib.save(nib.MGHImage(np.asarray(image.dataobj), move @ image.affine), copy / "mri" / name)
    with pytest.raises(ImageError, match=r"not this T1w: their correlation in the brain is 0\.[0-4]"):
        FreeSurfer().label_maps({"T1w": request(copy, raw, np.asarray(brain.dataobj) > 0, tmp_path / "other")})


def test_a_finer_oblique_scan_gets_the_labels_where_they_lie(data_root: Path, tmp_path: Path) -> None:
    """The T1w before FreeSurfer conformed it: 0.8 mm, another slant. Each of its voxels takes the nearest label."""
    folder = data_root / "freesurfer6/sub-01"
    conformed = load_image(folder / "mri" / "T1.mgz")
    c, s = np.cos(0.15), np.sin(0.15)
    affine = np.array([[0.8 * c, -0.8 * s, 0, 0], [0.8 * s, 0.8 * c, 0, 0], [0, 0, 0.8, 0], [0, 0, 0, 1.0]])
    affine[:3, 3] = (conformed.affine @ [128, 128, 128, 1])[:3] - affine[:3, :3] @ [110, 130, 110]
    native = resample_to(conformed, nib.Nifti1Image(np.zeros((220, 260, 220), np.float32), affine), order=1)
    asked = request(folder, native, np.asarray(native.dataobj) > 0, tmp_path)
    labels = FreeSurfer().label_maps({"T1w": asked})[0]["T1w"].labels
    aseg = nib.load(folder / "mri" / "aseg.mgz")
    data, back = np.asarray(aseg.dataobj), np.linalg.inv(aseg.affine) @ affine
    inside = np.argwhere(np.isin(labels, (10, 49)))
    index = np.rint(inside @ back[:3, :3].T + back[:3, 3]).astype(int)
    assert (data[tuple(index.T)] == labels[tuple(inside.T)]).all()
    volume = len(inside) * 0.8**3
    assert volume == pytest.approx(np.isin(data, (10, 49)).sum(), rel=0.01)


def test_an_aseg_in_another_place_is_refused(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "freesurfer6/sub-01"
    t1w, _ = to_ras(load_image(folder / "mri" / "T1.mgz"))
    moved = t1w.affine.copy()
    moved[:3, 3] += (0, 0, 90)
    elsewhere = nib.Nifti1Image(np.asarray(t1w.dataobj), moved)
    with pytest.raises(ImageError, match="lie in the brain of this T1w"):
        FreeSurfer().label_maps({"T1w": request(folder, elsewhere, np.asarray(t1w.dataobj) > 60, tmp_path)})


def test_names_of_folders(data_root: Path, tmp_path: Path) -> None:
    for name in ("sub-01_ses-1", "sub-02"):
        shutil.copytree(data_root / "freesurfer6/sub-01", tmp_path / name)
    settings = MethodSettings((FreeSurferSettings(subjects_dir=tmp_path),))
    find = FreeSurfer().results
    assert find(settings, Session("01", "1", {}), alone=False) == tmp_path / "sub-01_ses-1"
    assert find(settings, Session("01", "2", {}), alone=False) is None
    assert find(settings, Session("02", "2", {}), alone=True) == tmp_path / "sub-02"
    assert find(settings, Session("02", "2", {}), alone=False) is None  # it could be of any session
    (tmp_path / "sub-02" / "scripts").mkdir()
    (tmp_path / "sub-02" / "scripts" / "IsRunning.lh+rh").touch()
    with pytest.raises(ThalbidsError, match="at work"):
        find(settings, Session("02", None, {}), alone=True)
