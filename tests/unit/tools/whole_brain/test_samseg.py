"""SAMSEG: what it is told, what is read, and every failure; the stand-in leaves what the real one left."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import standins
from tests.conftest import ORIENTATIONS, rotation_matrix, world_image
from tests.unit.tools.conftest import head, scan, world_centres
from thalbids.image.grids import same_grid
from thalbids.programs import SamsegSettings
from thalbids.tools import environments
from thalbids.tools.runner import ToolError
from thalbids.tools.whole_brain import samseg

Install = Callable[..., Path]


def test_command_line(tmp_path: Path) -> None:
    call = samseg.command(tmp_path, ["T1w"], SamsegSettings(), threads=3)
    assert call.argv == (
        "run_samseg", "-i", str(tmp_path / "T1w.nii.gz"), "-o", str(tmp_path / "out"), "--threads", "3",
        "--save-posteriors", "Left-Thalamus", "Right-Thalamus",
    )  # fmt: skip
    assert call.timeout_s == 180 * 60
    both = samseg.command(tmp_path, ["T1w", "FLAIR"], SamsegSettings(lesion=True, options=("--history",))).argv
    assert both[2:4] == (str(tmp_path / "T1w.nii.gz"), str(tmp_path / "FLAIR.nii.gz"))
    assert both[-6:] == ("--pallidum-separate", "--lesion", "--lesion-mask-pattern", "0", "1", "--history")
    assert "--pallidum-separate" not in samseg.command(tmp_path, ["T1w", "R1map"], SamsegSettings()).argv
    assert "--pallidum-separate" in samseg.command(tmp_path, ["T1w", "T2w"], SamsegSettings()).argv
    assert "--pallidum-separate" in samseg.command(tmp_path, ["T1w"], SamsegSettings(pallidum_separate="yes")).argv
    assert (
        "--pallidum-separate"
        not in samseg.command(tmp_path, ["T1w", "T2w"], SamsegSettings(pallidum_separate="no")).argv
    )


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_posteriors_and_volumes_come_back_onto_the_scan(
    tmp_path: Path, install: Install, orientation: str
) -> None:
    install("run_samseg")
    image = scan(orientation)
    found = samseg.segment({"T1w": image}, tmp_path / "with a space", SamsegSettings())
    assert found.labels.shape == image.shape and {10, 49} <= set(np.unique(found.labels))
    left, right = world_centres(found.labels, image.affine, (10, 49))
    np.testing.assert_allclose((left + right) / 2, [3, -5, 7], atol=1.0)
    assert left[0] < right[0]
    voxel = abs(np.linalg.det(image.affine[:3, :3]))
    for label in (10, 49):
        assert found.soft_mm3[label] == pytest.approx(0.9 * (found.labels == label).sum() * voxel, rel=0.02)
    assert found.probability is not None
    assert found.probability.sum() * voxel == pytest.approx(sum(found.soft_mm3.values()), rel=0.02)
    assert found.icv_mm3 == pytest.approx(1.1 * (np.asarray(image.dataobj) > 0).sum() * voxel, rel=0.02)
    assert found.names[10] == "Left-Thalamus" and found.names[49] == "Right-Thalamus"
    assert not found.lesions.any()


def test_what_nan_and_a_sheared_grid_become(tmp_path: Path) -> None:
    image = world_image("RAS", (40, 40, 30), head)
    data = np.asarray(image.dataobj).copy()
    data[0, 0, 0] = np.nan
    samseg.write(nib.Nifti1Image(data, image.affine), tmp_path / "a.nii.gz")
    written = nib.load(tmp_path / "a.nii.gz")
    assert same_grid(written, image) and np.isfinite(np.asarray(written.dataobj)).all()
    sheared = image.affine.copy()
    sheared[0, 2] += 0.3
    samseg.write(nib.Nifti1Image(np.nan_to_num(data), sheared), tmp_path / "b.nii.gz")
    turned = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(turned.affine[:3, :3], np.eye(3))
    np.testing.assert_allclose(turned.get_qform(), turned.affine, atol=1e-5)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fails", r"failed with exit status 1.*Singular matrix"),
        ("silent failure", r"seg\.mgz"),
        ("half", r"sbtiv\.stats"),
        ("missing side", r"the right thalamus \(label 49\) of SAMSEG lies nowhere"),
        ("killed", r"killed by SIGKILL"),
        ("hangs", r"time limit"),
    ],
)
def test_each_failure_is_told(tmp_path: Path, install: Install, fault: str, message: str) -> None:
    install("run_samseg", fault)
    limit = 0.005 if fault == "hangs" else 5.0
    with pytest.raises(ToolError, match=re.compile(message, re.DOTALL)):
        samseg.segment({"T1w": scan()}, tmp_path / "work", SamsegSettings(timeout_minutes=limit))


def test_tensorflow_keeps_to_the_threads_of_the_step(tmp_path: Path) -> None:
    lesions = SamsegSettings(lesion=True)
    for call in (
        samseg.command(tmp_path, ["T1w"], lesions, threads=3),
        samseg.command_long(tmp_path, ["a", "b"], ["T1w"], lesions, threads=3),
    ):
        assert call.variables["TF_NUM_INTRAOP_THREADS"] == "3" and call.variables["TF_NUM_INTEROP_THREADS"] == "1"
    assert not samseg.command(tmp_path, ["T1w"], SamsegSettings(), threads=3).env


def test_lesions_are_label_99(tmp_path: Path, install: Install) -> None:
    install("run_samseg")
    found = samseg.segment({"T1w": scan(), "FLAIR": scan()}, tmp_path / "work", SamsegSettings(lesion=True))
    assert found.lesions.sum() == 8 and found.lesions.dtype == np.uint8


def test_names_and_numbers_of_freesurfer_6_are_read(tmp_path: Path) -> None:
    standins.samseg_results([scan()], tmp_path, words=["--save-posteriors"])
    (tmp_path / "samseg.fs.stats").unlink()
    (tmp_path / "sbtiv.stats").unlink()
    for side in samseg.SIDES:
        (tmp_path / "posteriors" / f"{side}.mgz").rename(tmp_path / "posteriors" / f"{side}-Proper.mgz")
    stats = tmp_path / "samseg.stats"
    told = stats.read_text().replace("Thalamus,", "Thalamus-Proper,")
    stats.write_text(told)
    found = samseg.read(tmp_path, scan())
    assert found.names == {} and set(found.soft_mm3) == {10, 49}
    assert found.icv_mm3 and found.probability is not None
    shutil.rmtree(tmp_path / "posteriors")
    assert samseg.read(tmp_path, scan()).probability is None


def test_it_is_taken_from_its_own_environment_unless_the_settings_name_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    found = samseg.check(SamsegSettings())
    assert not found.ok and "thalbids setup samseg" in found.mend
    program = standins.install(environments.folder("samseg") / "bin", "run_samseg")
    assert not samseg.check(SamsegSettings()).ok  # not made to its end
    (environments.folder("samseg") / environments.DONE).write_text("")
    assert samseg.check(SamsegSettings()).where == str(program)
    other = SamsegSettings(command=("micromamba", "run", "run_samseg"))
    words = samseg.runner(other, samseg.LONGITUDINAL).words(samseg.command(tmp_path, ["T1w"], other))
    assert words[:3] == ("micromamba", "run", "run_samseg_long")
    long = samseg.runner(SamsegSettings(), samseg.LONGITUDINAL).words(
        samseg.command(tmp_path, ["T1w"], SamsegSettings())
    )
    assert long[0] == str(program.with_name("run_samseg_long"))


def test_lesions_without_tensorflow_are_refused_beforehand(install: Install) -> None:
    install("run_samseg")
    assert samseg.check(SamsegSettings()).ok
    found = samseg.check(SamsegSettings(lesion=True))
    assert "TensorFlow" in found.problem and "thalbids setup samseg-lesion" in found.mend


def turned() -> np.ndarray:
    """4 mm and 6 degrees: RAS of the space between the visits to RAS of the second visit."""
    matrix = rotation_matrix(0, 0, 6, centre=(3, -5, 7))
    matrix[:3, 3] += (0, 4, 0)
    return matrix


def visits() -> tuple[dict[str, dict[str, nib.Nifti1Image]], dict[str, np.ndarray]]:
    first, matrix = scan(), turned()
    second = nib.Nifti1Image(np.asarray(first.dataobj), matrix @ first.affine)
    return {"sub-01_ses-1": {"T1w": first}, "sub-01_ses-2": {"T1w": second}}, {
        "sub-01_ses-1": np.eye(4), "sub-01_ses-2": matrix,
    }  # fmt: skip


def test_visits_are_segmented_in_the_space_between_them_and_come_back(tmp_path: Path, install: Install) -> None:
    install("run_samseg_long")
    images, matrices = visits()
    found, failed = samseg.segment_long(images, matrices, tmp_path / "a b", SamsegSettings())
    assert not failed and list(found) == list(images)
    middles = []
    for name, results in found.items():
        image = images[name]["T1w"]
        assert results.labels.shape == image.shape and results.probability is not None
        centres = world_centres(results.labels, image.affine, (10, 49))
        middles.append((np.linalg.inv(matrices[name]) @ [*centres.mean(axis=0), 1])[:3])
    np.testing.assert_allclose(middles[0], middles[1], atol=0.5)
    a, b = (int((r.labels == 10).sum()) for r in found.values())
    assert a == pytest.approx(b, rel=0.05)
    words = samseg.command_long(tmp_path, ["s1", "s2"], ["T1w", "FLAIR"], SamsegSettings(), threads=2).argv
    assert words[:7] == (
        "run_samseg_long", "-t", str(tmp_path / "s1/T1w.nii.gz"), str(tmp_path / "s1/FLAIR.nii.gz"),
        "-t", str(tmp_path / "s2/T1w.nii.gz"), str(tmp_path / "s2/FLAIR.nii.gz"),
    )  # fmt: skip


def test_visits_whose_scanners_count_from_elsewhere_lose_nothing(tmp_path: Path, install: Install) -> None:
    install("run_samseg_long")
    first, away = scan(), np.eye(4)
    away[:3, 3] = 0, 0, 80
    images = {"a": {"T1w": first}, "b": {"T1w": nib.Nifti1Image(np.asarray(first.dataobj), away @ first.affine)}}
    half = np.eye(4)
    half[2, 3] = 40  # the space lies half-way
    found, failed = samseg.segment_long(images, {"a": np.linalg.inv(half), "b": half}, tmp_path, SamsegSettings())
    (tmp_path / "one").mkdir()
    alone = samseg.segment_long({"a": images["a"], "same": images["a"]}, {"a": np.eye(4), "same": np.eye(4)},
                                tmp_path / "one", SamsegSettings())[0]["a"]  # fmt: skip
    assert not failed
    for name in images:
        np.testing.assert_array_equal(found[name].labels, alone.labels)


@pytest.mark.parametrize(
    ("fault", "message"), [("fails", "exit status 1"), ("half", r"samseg\.stats"), ("killed", "SIGKILL")]
)
def test_failures_of_visits_together_are_told(tmp_path: Path, install: Install, fault: str, message: str) -> None:
    install("run_samseg_long", fault)
    with pytest.raises(ToolError, match=message):
        samseg.segment_long(*visits(), tmp_path, SamsegSettings())


def test_a_visit_without_a_thalamus_does_not_take_the_others_along(tmp_path: Path, install: Install) -> None:
    install("run_samseg_long", "missing side")
    found, failed = samseg.segment_long(*visits(), tmp_path, SamsegSettings())
    assert list(found) == ["sub-01_ses-1"] and "label 49" in failed["sub-01_ses-2"]


REAL = os.environ.get("THALBIDS_TEST_SAMSEG")


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="SAMSEG is not installed (THALBIDS_TEST_SAMSEG names run_samseg)")
def test_the_real_program_knows_our_options(tmp_path: Path) -> None:
    assert REAL is not None
    settings = SamsegSettings(command=(REAL,), options=("--reg-only", "--help"))
    assert samseg.check(settings).ok and (samseg.version(settings) or "").startswith("SAMSEG 0.4")
    with pytest.raises(ToolError) as error:  # it shows its help and leaves no results
        samseg.segment({"T1w": scan(), "FLAIR": scan()}, tmp_path, settings)
    assert "exit status 0" in str(error.value) or "seg.mgz" in str(error.value)
