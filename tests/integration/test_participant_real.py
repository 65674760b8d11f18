"""The whole participant run on the real scans, against FreeSurfer's labels and the published transforms."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import DATA_ROOT
from tests.realdata import build
from thalbids.bids.results.outputs import read_table
from thalbids.cli.main import main
from thalbids.registration.transforms import displacement, read_itk

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not DATA_ROOT.is_dir(), reason=f"the real scans are not in {DATA_ROOT}"),
]
RAW12 = DATA_ROOT / "open_ms/longitudinal/raw/patient12"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run over all real scans."""
    raw = build(DATA_ROOT, tmp_path_factory.mktemp("raw"))
    result = tmp_path_factory.mktemp("out")
    assert main([str(raw), str(result), "participant", "--nprocs", "2"]) == 0
    return result


def mask_of(out: Path, subject: str, desc: str, session: str = "") -> nib.Nifti1Image:
    folder = out / f"sub-{subject}" / session / "anat"
    (path,) = folder.glob(f"*_seg-thalamus_desc-{desc}_dseg.nii.gz")
    return nib.load(path)


@pytest.mark.parametrize(("subject", "source"), [("fs01", "sub-01"), ("fs06", "sub-06")])
def test_thalami_agree_with_aseg_and_sides_are_right(out: Path, subject: str, source: str) -> None:
    found = mask_of(out, subject, "synthalT1w")
    aseg = nib.as_closest_canonical(nib.load(DATA_ROOT / "freesurfer6" / source / "mri/aseg.mgz"))
    assert np.allclose(found.affine, aseg.affine)
    labels, truth = np.asarray(found.dataobj), np.asarray(aseg.dataobj)
    for side in (10, 49):
        mask, reference = labels == side, truth == side
        assert 2 * (mask & reference).sum() / (mask.sum() + reference.sum()) > 0.87


@pytest.mark.parametrize("study", [1, 2])
def test_flair_lies_where_the_published_transform_puts_it(out: Path, study: int) -> None:
    name = f"sub-ms12_ses-{study}"
    folder = out / f"sub-ms12/ses-{study}/anat"
    published = np.linalg.inv(read_itk(RAW12 / f"study{study}_T1W_intrastudy_to_FLAIR.txt"))
    ours = read_itk(folder / f"{name}_from-FLAIR_to-T1w_mode-image_xfm.txt")
    brain = nib.load(folder / f"{name}_desc-brain_mask.nii.gz")
    points = nib.affines.apply_affine(brain.affine, np.argwhere(np.asarray(brain.dataobj) > 0)[::500])
    assert displacement(ours, published, points).mean() < 1.0


def test_contrasts_of_one_patient_agree(out: Path) -> None:
    t1, flair, r1 = (np.asarray(mask_of(out, "ms07", f"synthal{i}").dataobj) > 0 for i in ("T1w", "FLAIR", "R1map"))
    for other, least in ((flair, 0.92), (r1, 0.95)):
        assert 2 * (t1 & other).sum() / (t1.sum() + other.sum()) > least


def test_every_mask_is_trusted_and_the_union_is_never_smaller(out: Path) -> None:
    for path in out.glob("sub-*/**/*_desc-thalamus_morph.tsv"):
        rows = {row["method"]: row for row in read_table(path)}
        assert {row["status"] for row in rows.values()} <= {"ok", "missing"}, path
        if rows["synthalT1FLAIR"]["status"] == "ok":
            union, one = (float(rows[m]["volume_mm3"] or 0) for m in ("synthalT1FLAIR", "synthalT1w"))
            assert union >= one


def test_the_results_pass_the_validator(out: Path, tmp_path: Path) -> None:
    from tests.integration.test_validator import VALIDATOR, unregistered_descs, unresolved_uris, validate

    if VALIDATOR is None:
        pytest.skip("bids-validator-deno is not installed")
    assert not validate(out, tmp_path / "report.json")
    figures = {"head", "masks", "ensembles", "change", "thumbnail", "R1before", "R1after"}  # for people
    assert unregistered_descs(out) <= figures
    assert not unresolved_uris(out)
