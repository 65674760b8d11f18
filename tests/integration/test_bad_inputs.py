"""One dataset with a session for every kind of damaged or unusual image, run once.

Each bad one is named with a mend, the good ones go on.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from thalbids.cli.main import main

pytest.importorskip("nilearn")
SHEAR_FREE = 1e-4


def template() -> nib.Nifti1Image:
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=2)
    return nib.Nifti1Image((np.asarray(image.dataobj) * 1000).astype(np.float32), image.affine)


def write(root: Path, subject: str, image: nib.Nifti1Image, suffix: str = "T1w", sidecar: dict | None = None) -> Path:
    path = root / f"sub-{subject}" / "anat" / f"sub-{subject}_{suffix}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    if sidecar is not None:
        path.with_name(f"sub-{subject}_{suffix}.json").write_text(json.dumps(sidecar))
    return path


def with_codes(image: nib.Nifti1Image, sform: int, qform: int) -> nib.Nifti1Image:
    out = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    out.set_sform(image.affine, code=sform)
    out.set_qform(image.affine, code=qform)
    return out


def scaled_int16(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Stored as int16 with slope and intercept, as scanners' converters do."""
    out = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    out.set_data_dtype(np.int16)
    return out


def oblique(image: nib.Nifti1Image) -> nib.Nifti1Image:
    c, s = np.cos(0.2), np.sin(0.2)
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return nib.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine)


def good_images(t1w: nib.Nifti1Image) -> dict[str, nib.Nifti1Image]:
    """Unusual, and to be processed all the same; each shows the same head (the oblique one turned by 11 degrees)."""
    data, affine = np.asarray(t1w.dataobj), t1w.affine
    nan = data.copy()
    nan[0, 0, :5] = np.nan
    lps = nib.orientations.ornt_transform(nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt("LPS"))
    return {
        "plain": t1w,
        "uint8": nib.Nifti1Image((255 * np.clip(data / data.max(), 0, 1)).astype(np.uint8), affine),
        "float64": nib.Nifti1Image(data.astype(np.float64), affine),
        "slope": scaled_int16(t1w),
        "onevolume": nib.Nifti1Image(data[..., None], affine),
        "nan": nib.Nifti1Image(nan, affine),
        "lps": t1w.as_reoriented(lps),
        "lefthanded": nib.Nifti1Image(
            data[::-1], affine @ np.array([[-1, 0, 0, data.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        ),
        "sformonly": with_codes(t1w, 2, 0),
        "qformonly": with_codes(t1w, 0, 1),
        "oblique": oblique(t1w),
    }


def bad_images(t1w: nib.Nifti1Image) -> dict[str, tuple[nib.Nifti1Image, str]]:
    """What is refused, and a word of the message."""
    data, affine = np.asarray(t1w.dataobj), t1w.affine
    rng = np.random.default_rng(0)
    rgb = np.zeros(data.shape, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    rgb["R"] = 7
    return {
        "zero": (nib.Nifti1Image(np.zeros_like(data), affine), "value 0"),
        "allnan": (nib.Nifti1Image(np.full_like(data, np.nan), affine), "NaN"),
        "volumes": (nib.Nifti1Image(np.stack([data, data], -1), affine), "volumes"),
        "slab": (nib.Nifti1Image(data[:, :, 40:42], affine), "voxels"),
        "rgb": (nib.Nifti1Image(rgb, affine), "colour"),
        "noise": (nib.Nifti1Image(rng.normal(100, 10, data.shape).astype(np.float32), affine), "head"),
        "noaffine": (nocodes(data), "sform"),
    }


def nocodes(data: np.ndarray) -> nib.Nifti1Image:
    image = nib.Nifti1Image(data, None)
    image.header["pixdim"][1:4] = 0
    image.header["sform_code"] = image.header["qform_code"] = 0
    return image


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path, str]:
    """Exit code, output folder and what the terminal showed of one run over all of them."""
    import contextlib
    import io

    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    (raw / "dataset_description.json").write_text('{"Name": "bad", "BIDSVersion": "1.10.0"}')
    t1w = template()
    for subject, image in good_images(t1w).items():
        write(raw, subject, image)
    for subject, (image, _) in bad_images(t1w).items():
        write(raw, subject, image)
    content = gzip.decompress(write(raw, "truncated", t1w).read_bytes())
    (raw / "sub-truncated/anat/sub-truncated_T1w.nii.gz").write_bytes(gzip.compress(content)[:20000])
    (raw / "sub-magic/anat").mkdir(parents=True)
    (raw / "sub-magic/anat/sub-magic_T1w.nii.gz").write_bytes(gzip.compress(b"not an image" * 100))
    write(raw, "not1w", t1w, "FLAIR")
    write(raw, "badjson", t1w).with_name("sub-badjson_T1w.json").write_text('{"MagneticFieldStrength": 3,,}')
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        code = main([str(raw), str(out), "participant"])
    return code, out, error.getvalue()


def row(out: Path, subject: str) -> dict[str, str]:
    path = out / f"sub-{subject}/anat/sub-{subject}_desc-thalamus_morph.tsv"
    with path.open() as f:
        return next(r for r in csv.DictReader(f, delimiter="\t") if r["method"] == "synthalT1w")


def test_exit_code_says_that_some_failed_and_no_traceback_is_shown(finished: tuple[int, Path, str]) -> None:
    code, _, shown = finished
    assert code == 1
    assert "Traceback" not in shown


@pytest.mark.parametrize("subject", list(good_images(template())))
def test_unusual_images_are_measured_alike(finished: tuple[int, Path, str], subject: str) -> None:
    _, out, _ = finished
    own, plain = row(out, subject), row(out, "plain")
    assert own["status"] == "ok", own["reason"]
    tolerance = 0.05 if subject in ("oblique", "uint8") else 0.01
    for column in ("volume_mm3", "volume_left_mm3", "volume_right_mm3"):
        assert float(own[column]) == pytest.approx(float(plain[column]), rel=tolerance)


@pytest.mark.parametrize("subject", [*bad_images(template()), "truncated", "magic"])
def test_bad_images_are_named_with_the_reason(finished: tuple[int, Path, str], subject: str) -> None:
    _, out, shown = finished
    lines = [line for line in shown.splitlines() if f"sub-{subject}" in line and "failed" in line.lower()]
    assert lines, shown[-3000:]
    expected = {name: word for name, (_, word) in bad_images(template()).items()}
    expected |= {"truncated": "truncated", "magic": ""}
    assert any(expected[subject].lower() in line.lower() for line in lines), lines
    assert not list(out.glob(f"sub-{subject}/anat/*dseg.nii.gz"))


def test_without_a_t1w_the_flair_is_the_reference_and_that_is_said(finished: tuple[int, Path, str]) -> None:
    _, out, _ = finished
    anat = out / "sub-not1w/anat"
    with (anat / "sub-not1w_desc-thalamus_morph.tsv").open() as f:
        rows = {row["method"]: row for row in csv.DictReader(f, delimiter="\t")}
    assert rows["synthalFLAIR"]["reference"] == "FLAIR" and float(rows["synthalFLAIR"]["volume_mm3"]) > 5000
    assert rows["synthalT1w"]["status"] == "missing" and rows["synthalT1w"]["volume_mm3"] == "n/a"
    assert (anat / "sub-not1w_desc-reoriented_FLAIR.nii.gz").exists()


def test_unreadable_sidecar_is_told(finished: tuple[int, Path, str]) -> None:
    _, _, shown = finished
    assert "badjson" in shown and "json" in shown.lower()
