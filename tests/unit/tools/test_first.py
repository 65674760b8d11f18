"""FIRST: the right call, the right file, and every sign of failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import ORIENTATIONS
from tests.unit.tools.conftest import scan, world_centres
from thalbids.programs import FslSettings
from thalbids.tools import first
from thalbids.tools.runner import Dry, ToolError

Install = Callable[..., Path]
FAST = FslSettings(timeout_minutes=0.005)


def brain(image: nib.Nifti1Image) -> np.ndarray:
    return (np.asarray(image.dataobj) > 0).astype(np.uint8)


@pytest.fixture(autouse=True)
def no_fsl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FSLDIR", raising=False)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_come_back_on_the_grid_of_the_scan(tmp_path: Path, install: Install, orientation: str) -> None:
    install("run_first_all")
    image = scan(orientation)
    found = first.segment(image, brain(image), tmp_path / "work", FslSettings())
    assert found.labels.shape == image.shape and found.labels.dtype == np.uint8
    left, right = world_centres(found.labels, image.affine, (10, 49))
    # the ball's centre is (3, -5, 7), the ellipsoids lie 11 mm beside it
    np.testing.assert_allclose([left, right], [(-8, -5, 7), (14, -5, 7)], atol=1.0)
    given = nib.load(tmp_path / "work" / "T1_brain.nii.gz")
    if orientation != "oblique":
        assert "".join(nib.aff2axcodes(given.affine)) == "RAS"
    assert found.source == "first_all_none_firstseg.nii.gz"


def test_the_brain_mask_is_applied(tmp_path: Path, install: Install) -> None:
    install("run_first_all")
    image = scan()
    mask = brain(image)
    mask[:, :30] = 0
    first.segment(image, mask, tmp_path / "work", FslSettings())
    given = np.asarray(nib.load(tmp_path / "work" / "T1_brain.nii.gz").dataobj)
    np.testing.assert_array_equal(given > 0, mask > 0)
    np.testing.assert_allclose(given[mask > 0], np.asarray(image.dataobj)[mask > 0])


def test_command_line(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    call = first.command(tmp_path, FslSettings(timeout_minutes=7))
    assert call.argv == (
        "run_first_all", "-i", "T1_brain.nii.gz", "-o", "first", "-s", "L_Thal,R_Thal", "-b",
    )  # fmt: skip
    assert call.timeout_s == 420
    assert call.env["FSLSUBALREADYRUN"] == "true" and call.env["FSLOUTPUTTYPE"] == "NIFTI_GZ"
    assert "SGE_ROOT" in call.unset
    program = install("run_first_all")  # into the folder bin
    monkeypatch.setenv("FSLDIR", str(tmp_path))
    call = first.command(tmp_path, FslSettings())
    assert call.argv[0] == str(program) and call.env["FSLDIR"] == str(tmp_path)
    container = first.command(tmp_path, FslSettings(runner="docker", image="fsl"))
    assert container.argv[0] == "run_first_all" and "PATH" not in container.env


def test_single_structures_stand_in_for_the_merged_file(tmp_path: Path, install: Install) -> None:
    install("run_first_all")
    image = scan("LPS")
    merged = first.segment(image, brain(image), tmp_path / "a", FslSettings())
    install("run_first_all", "single structures")
    single = first.segment(image, brain(image), tmp_path / "b", FslSettings())
    np.testing.assert_array_equal(merged.labels, single.labels)
    assert "first-L_Thal_corr.nii.gz" in single.source


def test_other_names_of_the_merged_file_are_found_and_the_4d_one_is_not(tmp_path: Path, install: Install) -> None:
    install("run_first_all")
    image = scan()
    work = tmp_path / "work"
    before = first.segment(image, brain(image), work, FslSettings()).labels
    (work / "first_all_none_firstseg.nii.gz").rename(work / "first_all_fast_firstseg.nii.gz")
    np.testing.assert_array_equal(first.read(work, image)[0], before)


def test_noise_on_standard_error_is_no_failure(tmp_path: Path, install: Install) -> None:
    install("run_first_all", "noise")
    image = scan()
    found = first.segment(image, brain(image), tmp_path / "work", FslSettings())
    assert "libpng" in found.finished.log.read_text()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fails", r"failed with exit status 1.*cannot open volume"),
        ("silent failure", r"complained in its error log.*T1_brain_to_std_sub"),
        ("complains", r"complained in its error log.*bad_alloc"),
        ("missing side", r"found no right thalamus \(label 49\)"),
        ("one structure", r"left no first_all_\*_firstseg.nii.gz, and no first-R_Thal_corr.nii.gz either"),
        ("other grid", r"on another grid"),
        ("killed", r"killed by SIGKILL.*Loading"),
        ("hangs", r"time limit"),
    ],
)
def test_each_failure_is_told(tmp_path: Path, install: Install, mode: str, message: str) -> None:
    install("run_first_all", mode)
    image = scan()
    with pytest.raises(ToolError, match=re.compile(message, re.DOTALL)):
        first.segment(image, brain(image), tmp_path / "work", FAST if mode == "hangs" else FslSettings())


def test_a_job_that_submits_itself_is_a_failure_and_does_not_write_later(tmp_path: Path, install: Install) -> None:
    install("run_first_all", "submits itself")
    image = scan()
    with pytest.raises(ToolError, match="may have submitted itself"):
        first.segment(image, brain(image), tmp_path / "work", FslSettings())
    time.sleep(1.3)
    assert not list((tmp_path / "work").glob("first_all*"))


def test_results_of_an_earlier_try_are_not_taken(tmp_path: Path, install: Install) -> None:
    image = scan()
    install("run_first_all")
    first.segment(image, brain(image), tmp_path / "work", FslSettings())
    install("run_first_all", "silent failure")
    with pytest.raises(ToolError):
        first.segment(image, brain(image), tmp_path / "work", FslSettings())
    install("run_first_all")
    first.segment(image, brain(image), tmp_path / "work", FslSettings())


def test_unknown_labels_are_refused(tmp_path: Path, install: Install) -> None:
    install("run_first_all")
    image = scan()
    work = tmp_path / "work"
    first.segment(image, brain(image), work, FslSettings())
    path = work / "first_all_none_firstseg.nii.gz"
    labels = np.asarray(nib.load(path).dataobj).copy()
    labels[0, 0, 0] = 110  # a boundary voxel that was not corrected
    nib.save(nib.Nifti1Image(labels, image.affine), path)
    with pytest.raises(ToolError, match="no thalamus: \\[110\\]"):
        first.read(work, image)


def test_check_says_what_to_do(install: Install) -> None:
    missing = first.check(FslSettings())
    assert not missing.ok and "run_first_all" in missing.problem and "FSL" in missing.mend
    program = install("run_first_all")
    assert first.check(FslSettings()).where == str(program)
    assert first.check(FslSettings(command=("no-such-module-command",))).problem


def test_dry(tmp_path: Path) -> None:
    dry, image = Dry(), scan()
    with pytest.raises(ToolError, match="left no"):  # nothing ran, so nothing is there
        first.segment(image, brain(image), tmp_path / "work", FslSettings(), runs=dry)
    assert [c.argv[0] for c in dry.commands] == ["run_first_all"]


def test_fsl_sub_keeps_its_work_here(tmp_path: Path, install: Install) -> None:
    """The real fsl_sub (FSL 6.0.6 and later), of a person whose own settings hand everything to SLURM."""
    home, work = tmp_path / "home", tmp_path / "with space"
    for folder in (home, work):
        folder.mkdir()
    (home / ".fsl_sub.yml").write_text("method: slurm\n")
    call = first.command(work, FslSettings())
    program = Path(sys.executable).with_name("fsl_sub")
    words = [str(program), "-l", "logs", "sh", "-c", "touch done"]
    taken = {key: value for key, value in os.environ.items() if key not in call.unset}
    without = subprocess.run(words, cwd=work, env=taken | {"HOME": str(home)}, capture_output=True, check=False)
    assert without.returncode and not (work / "done").exists()
    subprocess.run(words, cwd=work, env=taken | {"HOME": str(home)} | dict(call.env), capture_output=True, check=True)
    assert (work / "done").exists()
