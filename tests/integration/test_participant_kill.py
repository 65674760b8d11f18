"""The whole participant run killed again and again at random moments.

What comes out is what an undisturbed run gives, change between two visits included, with one process or two.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from thalbids.bids.results.outputs import read_table

pytest.importorskip("nilearn")
KILLS = 12


def dataset(root: Path) -> Path:
    """One person with three contrasts."""
    describe(root)
    add_visit(root, "sub-01/anat/sub-01")
    return root


def two_visits(root: Path) -> Path:
    """The same person, and a visit a year later, moved and with noise."""
    describe(root)
    add_visit(root, "sub-01/ses-1/anat/sub-01_ses-1")
    dates = "session_id\tacq_time\nses-1\t2020-01-01\nses-2\t2021-01-01\n"
    (root / "sub-01/sub-01_sessions.tsv").write_text(dates)
    template = mni152()
    data = template.get_fdata(dtype=np.float32)
    noise = np.random.default_rng(1).normal(0, 0.01 * data.max(), data.shape)
    later = np.where(data > 0, np.abs(data + noise), 0).astype(np.float32)
    save(later, moved(template), root / "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")
    return root


def describe(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "kill", "BIDSVersion": "1.10.0"}')


def add_visit(root: Path, stem: str) -> None:
    template = mni152()
    data = template.get_fdata(dtype=np.float32)
    save(data, template.affine, root / f"{stem}_T1w.nii.gz")
    save(np.sqrt(data), moved(template), root / f"{stem}_FLAIR.nii.gz")
    save(data, template.affine, root / f"{stem}_R1map.nii.gz")


def mni152() -> nib.Nifti1Image:
    from nilearn.datasets import load_mni152_template

    return load_mni152_template(resolution=2)


def moved(image: nib.Nifti1Image) -> np.ndarray:
    affine: np.ndarray = image.affine.copy()
    affine[:3, 3] += (1.5, -2, 1)
    return affine


def save(data: np.ndarray, affine: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def command(raw: Path, out: Path, nprocs: int) -> list[str]:
    return [sys.executable, "-m", "thalbids", str(raw), str(out), "participant", "--nprocs", str(nprocs)]


def contents(out: Path) -> dict[str, str]:
    """SHA-256 of every result; logs hold times and are left out."""
    return {
        p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file() and "logs" not in p.relative_to(out).parts
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("nprocs", [1, 2])
def test_killed_again_and_again_and_resumed(tmp_path: Path, nprocs: int) -> None:
    raw = two_visits(tmp_path / "raw")
    began = time.monotonic()
    whole = subprocess.run(command(raw, tmp_path / "whole", 1), capture_output=True, text=True)
    length = time.monotonic() - began
    assert whole.returncode in (0, 1), whole.stderr
    rng = random.Random(5)  # noqa: S311 - moments to kill at, no secrets
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(raw, tmp_path / "killed", nprocs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0.3, 0.6 * length))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    last = subprocess.run(command(raw, tmp_path / "killed", nprocs), capture_output=True, text=True)
    assert last.returncode == whole.returncode, last.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    pair = read_table(tmp_path / "killed/sub-01/anat/sub-01_desc-change_morph.tsv")
    assert {(row["measure"], row["status"]) for row in pair if row["method"] == "synthalT1w"} == {
        ("volume_difference", "ok"),
        ("registration", "ok"),
    }
    record = tmp_path / "killed/sub-01/anat/sub-01_from-1_to-2_desc-change_qc.json"
    record.write_bytes(record.read_bytes()[:100])  # a damaged record of what lies between is made again
    mended = subprocess.run(command(raw, tmp_path / "killed", nprocs), capture_output=True, text=True)
    assert mended.returncode == whole.returncode, mended.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    again = subprocess.run(command(raw, tmp_path / "killed", nprocs), capture_output=True, text=True)
    assert " ok" not in again.stderr.splitlines()[-1], again.stderr
