"""The command segment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from thalbids.bids.results.outputs import read_table
from thalbids.cli.main import main
from thalbids.errors import ImageError
from thalbids.methods import synthal
from thalbids.participant import segment as command
from thalbids.settings import Settings, load

GOOD = {
    "volume_mm3": 14110.0, "volume_left_mm3": 7080.0, "volume_right_mm3": 7030.0, "icv_mm3": 1358000.0,
    "icv_note": None, "status": "ok", "reason": None,
}  # fmt: skip


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of 13 scans; those called ``bad`` fail, the one called ``odd`` is not trusted, without a network."""

    def segment_one(scan: Path, folder: Path, name: str, settings: Settings) -> Mapping[str, Any]:
        if "bad" in name:
            raise ImageError("The file is empty.", "Copy or convert it again.")
        return GOOD if name != "odd" else {**GOOD, "status": "excluded", "reason": "noise"}

    monkeypatch.setattr(command, "segment_one", segment_one)
    monkeypatch.setattr(command, "weights_checksum", lambda: "")
    monkeypatch.chdir(tmp_path)
    names = [*(f"bad{n:02}.nii.gz" for n in range(11)), "odd.nii.gz", "ok.nii.gz"]
    for name in names:
        Path(name).touch()
    return names


def test_the_last_line_counts_scans_and_names_ten_that_failed(
    scans: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", *scans]) == 1
    shown = capsys.readouterr()
    ten = ", ".join(scans[:10])
    last = f"13 scans: 1 measured, 1 measured but not to be trusted, 11 failed: {ten} and 1 more."
    assert shown.err.splitlines()[-1] == last
    assert shown.out.splitlines() == [
        "odd.nii.gz: 14.11 mL (left 7.08, right 7.03), ICV 1358 mL  NOT TRUSTED: noise",
        "ok.nii.gz: 14.11 mL (left 7.08, right 7.03), ICV 1358 mL",
    ]


def test_one_scan_has_no_last_line_and_good_ones_end_with_0(
    scans: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "ok.nii.gz"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["segment", "odd.nii.gz"]) == 1
    assert capsys.readouterr().err == ""
    assert main(["segment", "bad00.nii.gz"]) == 1
    assert capsys.readouterr().err == "thalbids: bad00.nii.gz: The file is empty. Copy or convert it again.\n"
    Path("ok2.nii.gz").touch()
    assert main(["segment", "ok.nii.gz", "ok2.nii.gz"]) == 0
    assert capsys.readouterr().err == "2 scans: 2 measured.\n"


def test_an_output_folder_is_tried_before_the_first_scan(scans: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", *scans, "-o", "ok.nii.gz"]) == 2
    assert capsys.readouterr().err == "thalbids: ok.nii.gz: the output folder is a file. Choose another one.\n"
    assert main(["segment", *scans, "-o", "ok.nii.gz/out"]) == 1
    told = "thalbids: ok.nii.gz/out: cannot be written (Not a directory). Check the output folder.\n"
    assert capsys.readouterr() == ("", told)


def test_segment_of_a_missing_file_stops_with_66(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(tmp_path / "nothing.nii.gz")]) == 66
    assert "nothing.nii.gz" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "icv", "doubted"), [(2.4, 2.17e6, True), (2.0, 1.3e6, False)])
def test_voxels_that_are_too_large_are_told_in_the_table(
    size: float, icv: float, doubted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Thalami of 6.5 mL on each side and a brain of 1.1 L by voxels of 2 mm; 22.6 mL and 2 L by those of 2.4 mm."""
    affine = np.diag([size, size, size, 1.0])
    grid = np.indices((70, 80, 60)) - np.array([35, 40, 30]).reshape(3, 1, 1, 1)
    brain = ((grid / np.array([31.0, 39.0, 28.0]).reshape(3, 1, 1, 1)) ** 2).sum(0) <= 1
    labels = np.zeros(brain.shape, np.uint8)
    for value, side in ((10, -6), (49, 6)):
        labels[((grid - np.array([side, 2, -1]).reshape(3, 1, 1, 1)) ** 2).sum(0) <= 5.8**2] = value
    noise = np.random.default_rng(1).normal(0, 1, brain.shape)
    nib.save(nib.Nifti1Image((brain * (100 + grid[2]) + noise).astype(np.float32), affine), tmp_path / "x.nii.gz")
    told = {"IntracranialVolumeMm3": icv, "ThalamiSeen": None, "SkullStripped": False}
    seen = SimpleNamespace(
        labels=labels, brain=brain, probability=labels / 49, metadata=told, affine=affine, volume_soft_mm3=None
    )
    monkeypatch.setattr(synthal, "segment_image", lambda *_, **__: seen)
    row = command.segment_one(tmp_path / "x.nii.gz", tmp_path, "x", load())
    (written,) = read_table(tmp_path / "x_thalamus.tsv")
    assert row["status"] == "ok"
    assert ("voxel sizes in the header may be wrong" in str(written["scan_note"])) == doubted
    assert ("Compare the voxel sizes" in capsys.readouterr().err) == doubted
