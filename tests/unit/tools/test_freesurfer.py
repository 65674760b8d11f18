"""FreeSurfer: existing results of all versions and streams, and recon-all with every failure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import nitransforms
import numpy as np
import pytest

from tests.conftest import DATA_ROOT, rotation_matrix
from tests.unit.tools.conftest import scan, world_centres
from thalbids.image.io import load_labels
from thalbids.methods.freesurfer import FreeSurfer as FreeSurferMethod
from thalbids.programs import FreeSurferSettings
from thalbids.tools import freesurfer
from thalbids.tools.freesurfer import Structure
from thalbids.tools.runner import ToolError

Install = Callable[..., Path]

FS5 = """\
# Title Segmentation Statistics
# cvs_version $Id: mri_segstats.c,v 1.75.2.9 2013/02/16 00:09:33 greve Exp $
# Measure BrainSegVol-to-eTIV, BrainSegVol-to-eTIV, Ratio of BrainSegVol to eTIV, 0.75, unitless
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1764143.062994, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev normMin normMax normRange
  5  10      8627     8627.3  Left-Thalamus-Proper              97.5704     8.0411    52.0000   118.0000    66.0000
 23  49      7521     7521.4  Right-Thalamus-Proper             96.0889     8.1820    42.0000   116.0000    74.0000
"""
FS8 = FS5.replace("-Proper", "").replace("$Id: mri_segstats.c,v 1.75.2.9 2013/02/16 00:09:33 greve Exp $", "8.0.0")
FS4 = FS5.replace(
    "EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial", "IntraCranialVol, ICV, Intracranial"
)


@pytest.mark.parametrize(
    ("text", "version"),
    [(FS5, "5"), (FS8, "8.0.0"), (FS4, "5"), (FS5.replace("1.75.2.9 2013", "1.121 2016"), "6")],
)
def test_dialects_of_aseg_stats(tmp_path: Path, text: str, version: str) -> None:
    path = tmp_path / "aseg.stats"
    path.write_text(text)
    stats = freesurfer.read_stats(path)
    assert stats.etiv_mm3 == 1764143.062994
    assert stats.structures == {10: Structure(8627, 8627.3), 49: Structure(7521, 7521.4)}
    assert stats.version == version


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "aseg.stats"
    path.write_text("# ColHeaders StructName Volume_mm3 NVoxels SegId\nThalamus 10.5 10 10\nThalamus 20.5 20 49\n")
    stats = freesurfer.read_stats(path)
    assert stats.structures == {10: Structure(10, 10.5), 49: Structure(20, 20.5)}
    assert stats.etiv_mm3 is None and stats.version == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row with SegId 10 and 49"),
        (FS5.replace(" 49 ", " 50 "), "no row with SegId 49"),
        (FS5.replace(" 8627 ", " many "), "cannot be understood"),
        (FS5.replace("# ColHeaders", "# Columns"), "cannot be understood"),
    ],
)
def test_damaged_stats_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "aseg.stats"
    path.write_text(text)
    with pytest.raises(ToolError, match=message):
        freesurfer.read_stats(path)


@pytest.mark.parametrize(
    ("stamp", "version"),
    [
        ("freesurfer-Linux-centos4_x86_64-stable-pub-v5.3.0", "5.3.0"),
        ("freesurfer-Linux-centos6_x86_64-stable-pub-v6.0.0-2beb96c", "6.0.0"),
        ("freesurfer-linux-centos8_x86_64-7.4.1-20230614-7eb8460", "7.4.1"),
        ("freesurfer-linux-ubuntu22_x86_64-8.0.0-20250210-abcdef0", "8.0.0"),
        ("freesurfer-macOS-darwin_arm64-8.1.0-20250729-9eb9b85", "8.1.0"),
        ("freesurfer-linux-centos7_x86_64-dev-20230101-abcdef0", "dev-20230101"),
        ("freesurfer-Linux-centos4_x86_64-dev", "dev"),
        ("freesurfer-Linux-centos4_x86_64-stable5-20130513", "5"),
        ("", ""),
    ],
)
def test_version_of_the_build_stamp(stamp: str, version: str) -> None:
    assert freesurfer.version_number(stamp) == version


def result(folder: Path, *, aseg: bool = True) -> Path:
    """A results folder with a small aseg."""
    for name in ("mri", "stats", "scripts"):
        (folder / name).mkdir(parents=True)
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[5:8, 9, 9], labels[12:14, 9, 9] = 10, 49
    if aseg:
        affine = np.diag([1.0, 1, 1, 1])
        affine[:3, 3] = -10
        nib.save(nib.MGHImage(labels, affine), folder / "mri" / "aseg.mgz")
    (folder / "stats" / "aseg.stats").write_text(FS5)
    return folder


def test_folders_are_found_in_order(tmp_path: Path) -> None:
    long = result(tmp_path / "sub-01_ses-a.long.sub-01")
    assert freesurfer.find(tmp_path, "01", "a") is None
    alone = result(tmp_path / "sub-01")
    assert freesurfer.find(tmp_path, "01", "a") == alone
    assert freesurfer.find(tmp_path, "01", None) == alone
    assert freesurfer.find(tmp_path, "01", "a", only_session=False) is None
    assert freesurfer.find_long(tmp_path, "01", "a") == long
    own = result(tmp_path / "sub-01_ses-a")
    assert freesurfer.find(tmp_path, "01", "a") == own
    assert freesurfer.find(tmp_path, "01", "b", only_session=False) is None
    assert freesurfer.find(tmp_path, "1", "a") is None
    assert freesurfer.find(tmp_path / "none", "01", "a") is None


def test_the_template_of_the_longitudinal_stream_is_no_session(tmp_path: Path) -> None:
    base = result(tmp_path / "sub-01")
    (base / "base-tps").write_text("sub-01_ses-a\nsub-01_ses-b\n")
    assert freesurfer.find(tmp_path, "01", "a") is None


def test_a_parallel_run_is_not_raced_and_an_error_is_not_read(tmp_path: Path) -> None:
    folder = result(tmp_path / "sub-01")
    (folder / "scripts" / "IsRunning.lh+rh").write_text("")
    with pytest.raises(ToolError, match="recon-all is at work on sub-01"):
        freesurfer.find(tmp_path, "01", None)
    (folder / "scripts" / "IsRunning.lh+rh").unlink()
    (folder / "scripts" / "recon-all.error").write_text("")
    (folder / "scripts" / "recon-all.log").write_text("mris_fix_topology: exited\n")
    with pytest.raises(ToolError, match=r"(?s)ended with an error.*mris_fix_topology"):
        freesurfer.find(tmp_path, "01", None)


def test_results_without_stats_are_read_and_without_aseg_refused(tmp_path: Path) -> None:
    folder = result(tmp_path / "a")
    (folder / "scripts" / "build-stamp.txt").write_text("freesurfer-Linux-centos6_x86_64-stable-pub-v6.0.0-2beb96c\n")
    found = freesurfer.read(folder)
    assert found.version == "6.0.0" and found.stats is not None and found.stats.etiv_mm3 == 1764143.062994
    (folder / "stats" / "aseg.stats").unlink()
    assert freesurfer.read(folder).stats is None
    with pytest.raises(ToolError, match=r"no mri/aseg\.mgz"):
        freesurfer.read(result(tmp_path / "b", aseg=False))


def test_thalami_outside_the_scan_are_refused(tmp_path: Path) -> None:
    found = freesurfer.read(result(tmp_path / "sub-01"))
    inside = nib.Nifti1Image(np.zeros((20, 20, 20), np.uint8), nib.load(found.aseg).affine)
    assert ((found.on(inside) == 10).sum(), (found.on(inside) == 49).sum()) == (3, 2)
    elsewhere = inside.affine.copy()
    elsewhere[0, 3] += 300
    with pytest.raises(ToolError, match="lies nowhere in the T1w"):
        found.on(nib.Nifti1Image(np.zeros((20, 20, 20), np.uint8), elsewhere))


def write_lta(path: Path, matrix: np.ndarray, kind: int, source: nib.Nifti1Image, destination: nib.Nifti1Image) -> None:
    def info(image: nib.Nifti1Image) -> str:
        affine, shape = image.affine, np.array(image.shape)
        zooms = np.linalg.norm(affine[:3, :3], axis=0)
        axes = affine[:3, :3] / zooms
        centre = affine[:3, 3] + affine[:3, :3] @ (shape / 2)
        rows = [
            f"{key} = {' '.join(f'{x:.15e}' for x in axes[:, i])}"
            for i, key in enumerate(("xras  ", "yras  ", "zras  "))
        ]
        return "\n".join(
            ["valid = 1  # volume info valid", "filename = x.mgz", f"volume = {' '.join(map(str, shape))}",
             f"voxelsize = {' '.join(f'{z:.15e}' for z in zooms)}", *rows,
             f"cras   = {' '.join(f'{c:.15e}' for c in centre)}"]
        )  # fmt: skip

    rows = "\n".join(" ".join(f"{x:.15e}" for x in row) for row in matrix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"# transform file\ntype      = {kind} # LINEAR\nnxforms   = 1\nmean      = 0.0000 0.0000 0.0000\n"
        f"sigma     = 10000.0000\n1 4 4\n{rows}\nsrc volume info\n{info(source)}\n"
        f"dst volume info\n{info(destination)}\n"
        "subject sub-01\nfscale 0.150000\n"
    )


@pytest.mark.parametrize("kind", [0, 1])
def test_transforms_of_the_longitudinal_stream(tmp_path: Path, kind: int) -> None:
    source, destination = scan("LIA"), scan("oblique")
    ras = rotation_matrix(4, -3, 5, (3, -5, 7)) @ np.array([[1, 0, 0, 2], [0, 1, 0, -1], [0, 0, 1, 3], [0, 0, 0, 1.0]])
    matrix = ras if kind == 1 else np.linalg.inv(destination.affine) @ ras @ source.affine
    path = tmp_path / "a_to_b.lta"
    write_lta(path, matrix, kind, source, destination)
    np.testing.assert_allclose(freesurfer.read_lta(path), ras, atol=1e-6)
    # another program's reading: nitransforms maps the reference's points to the moving image's
    other = nitransforms.linear.load(path, fmt="fs", reference=destination, moving=source)
    point = np.array([[10.0, -20.0, 5.0]])
    ours = (ras @ [*point[0], 1])[:3]
    np.testing.assert_allclose(np.asarray(other.map(point, inverse=True))[0], ours, atol=1e-3)


def test_longitudinal_results_come_back_to_the_session(tmp_path: Path) -> None:
    folder = result(tmp_path / "sub-01_ses-a.long.sub-01")
    with pytest.raises(
        ToolError, match=r"transform sub-01_ses-a_to_sub-01\.lta of the longitudinal result is not there"
    ):
        freesurfer.read(folder)
    base = nib.Nifti1Image(np.zeros((20, 20, 20), np.uint8), nib.load(folder / "mri" / "aseg.mgz").affine)
    shift = np.eye(4)
    shift[:3, 3] = (3, 0, 0)  # the session's head lies 3 mm to the left of the base's
    write_lta(tmp_path / "sub-01" / "mri" / "transforms" / "sub-01_ses-a_to_sub-01.lta", shift, 1, base, base)
    found = freesurfer.read(folder)
    lta = tmp_path / "sub-01" / "mri" / "transforms" / "sub-01_ses-a_to_sub-01.lta"
    assert FreeSurferMethod().files(folder)["transform"] == lta  # its content is part of the fingerprint
    assert "transform" not in FreeSurferMethod().files(tmp_path / "sub-01_ses-a")
    assert "image" not in FreeSurferMethod().files(folder)
    for name in ("T1.mgz", "orig.mgz"):  # the least processed one wins
        (folder / "mri" / name).touch()
        assert FreeSurferMethod().files(folder)["image"] == folder / "mri" / name
    labels = found.on(base)
    assert sorted(np.argwhere(labels == 10)[:, 0].tolist()) == [2, 3, 4]  # 5, 6, 7 in the base


def test_damaged_transforms_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.lta"
    path.write_text("type = 0\n")
    with pytest.raises(ToolError, match="cannot be understood"):
        freesurfer.read_lta(path)
    write_lta(path, np.eye(4), 14, scan(), scan())
    with pytest.raises(ToolError, match="type 14 is not known"):
        freesurfer.read_lta(path)


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FreeSurferSettings:
    """A licence, and a T1w at ``tmp_path/T1.nii.gz``."""
    monkeypatch.setenv("FREESURFER_HOME", str(tmp_path / "fs"))
    monkeypatch.delenv("FS_LICENSE", raising=False)
    (tmp_path / "license.txt").write_text("x")
    nib.save(scan(), tmp_path / "T1.nii.gz")
    return FreeSurferSettings(license_file=tmp_path / "license.txt")


def test_recon_all_is_run_and_read(tmp_path: Path, install: Install, ready: FreeSurferSettings) -> None:
    install("recon-all")
    found, finished = freesurfer.run(tmp_path / "T1.nii.gz", None, tmp_path / "fs", "sub-01", ready)
    assert found.version == "7.4.1" and finished.log.exists()
    image = scan()
    labels = found.on(image)
    np.testing.assert_allclose(world_centres(labels, image.affine, (10, 49)), [(-8, -5, 7), (14, -5, 7)], atol=1.0)
    aseg = np.asarray(nib.load(found.aseg).dataobj)
    assert found.stats is not None
    assert {n: s.voxels for n, s in found.stats.structures.items()} == {n: int((aseg == n).sum()) for n in (10, 49)}
    with pytest.raises(ToolError, match="is there already"):
        freesurfer.run(tmp_path / "T1.nii.gz", None, tmp_path / "fs", "sub-01", ready)


def test_a_space_in_a_path_is_refused_at_the_start(tmp_path: Path, install: Install, ready: FreeSurferSettings) -> None:
    install("recon-all")
    with pytest.raises(ToolError, match="space in a path") as caught:
        freesurfer.run(tmp_path / "T1.nii.gz", None, tmp_path / "my subjects", "sub-01", ready)
    assert "OUT_DIR" in caught.value.mend and not (tmp_path / "my subjects").exists()


def test_command_line(tmp_path: Path, ready: FreeSurferSettings) -> None:
    t1, t2 = tmp_path / "T1.nii.gz", tmp_path / "T2.nii.gz"
    settings = FreeSurferSettings(license_file=ready.license_file, hires=True, options=("-expert", "/x.opts"))
    call = freesurfer.command(t1, t2, tmp_path / "fs", "sub-01", settings, threads=4)
    assert call.env["FS_ALLOW_DEEP"] == "1"
    assert call.argv == (
        "recon-all", "-all", "-s", "sub-01", "-sd", str(tmp_path / "fs"), "-i", str(t1), "-T2", str(t2), "-T2pial",
        "-hires", "-openmp", "4", "-expert", "/x.opts",
    )  # fmt: skip
    assert set(call.reads) == {t1, t2, ready.license_file}
    assert call.timeout_s == 24 * 3600
    plain = freesurfer.command(t1, None, tmp_path / "fs", "sub-01", ready)
    assert "-T2pial" not in plain.argv and "-hires" not in plain.argv and "-openmp" not in plain.argv


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fails", r"failed with exit status 1.*did not converge"),
        ("silent failure", r"did not write aseg.mgz.*exited with ERRORS"),
        ("still running", r"at work on sub-01"),
        ("no stats", r"did not write aseg.stats"),
        ("unfinished", r"did not finish"),
        ("missing side", r"no row with SegId 49"),
        ("killed", r"killed by SIGKILL"),
        ("hangs", r"time limit"),
    ],
)
def test_each_failure_is_told(
    tmp_path: Path, install: Install, ready: FreeSurferSettings, fault: str, message: str
) -> None:
    install("recon-all", fault)
    settings = FreeSurferSettings(license_file=ready.license_file, timeout_minutes=0.005 if fault == "hangs" else 5)
    with pytest.raises(ToolError, match=re.compile(message, re.DOTALL)):
        freesurfer.run(tmp_path / "T1.nii.gz", None, tmp_path / "fs", "sub-01", settings)


def test_the_licence_is_asked_for_when_recon_all_can_run(
    tmp_path: Path, install: Install, ready: FreeSurferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "PATH" in freesurfer.check(ready).problem
    install("recon-all")
    assert freesurfer.check(ready).ok
    assert freesurfer.version(ready) == "FreeSurfer 7.4.1"
    gone = freesurfer.check(FreeSurferSettings())
    assert "licence" in gone.problem and "--fs-license-file" in gone.mend
    monkeypatch.setenv("FS_LICENSE", str(ready.license_file))
    assert freesurfer.check(FreeSurferSettings()).ok
    monkeypatch.delenv("FREESURFER_HOME")
    assert "FREESURFER_HOME" in freesurfer.check(ready).problem


needs_data = pytest.mark.skipif(not (DATA_ROOT / "freesurfer6").is_dir(), reason="no real scans (THALBIDS_TEST_DATA)")


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(
    ("name", "version", "etiv", "voxels"),
    [
        ("freesurfer6/sub-01", "6", 1516267.932629, (9050, 8583)),
        ("freesurfer6/sub-06", "6", None, None),
        ("freesurfer7_bert", "7.2.0", 1520021.264474, (8431, 8629)),
    ],
)
def test_real_results(name: str, version: str, etiv: float | None, voxels: tuple[int, int] | None) -> None:
    found = freesurfer.read(DATA_ROOT / name)
    assert found.version == version and found.stats is not None
    lines = (DATA_ROOT / name / "stats" / "aseg.stats").read_text().splitlines()
    stated = next(float(line.split(", ")[3]) for line in lines if ", eTIV, " in line)
    assert found.stats.etiv_mm3 == stated == (etiv or stated)
    labels = load_labels(found.aseg)
    data = np.asarray(labels.dataobj)
    counts = tuple(int((data == label).sum()) for label in (10, 49))
    assert counts == tuple(found.stats.structures[label].voxels for label in (10, 49)) == (voxels or counts)
    np.testing.assert_array_equal(found.on(labels), data)  # to the grid of the T1.mgz and back: voxel by voxel


@pytest.mark.data
@needs_data
def test_real_stats_of_freesurfer_5() -> None:
    stats = freesurfer.read_stats(DATA_ROOT / "freesurfer5_stats" / "aseg.stats")
    assert stats.version == "5" and stats.etiv_mm3 == 1764143.062994
    assert stats.structures == {10: Structure(8627, 8627.3), 49: Structure(7521, 7521.4)}
