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
    """One person: a visit with three contrasts, and one a year later, moved and with noise."""
    from nilearn.datasets import load_mni152_template

    t1w = load_mni152_template(resolution=2)
    data = np.asarray(t1w.dataobj, dtype=np.float32)
    shifted = t1w.affine.copy()
    shifted[:3, 3] += (1.5, -2, 1)
    first, later = (root / f"sub-01/ses-{label}/anat/sub-01_ses-{label}" for label in "12")
    first.parent.mkdir(parents=True)
    later.parent.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "kill", "BIDSVersion": "1.10.0"}')
    dates = "session_id\tacq_time\nses-1\t2020-01-01\nses-2\t2021-01-01\n"
    (root / "sub-01/sub-01_sessions.tsv").write_text(dates)
    nib.save(t1w, f"{first}_T1w.nii.gz")
    nib.save(nib.Nifti1Image(np.sqrt(data), shifted), f"{first}_FLAIR.nii.gz")
    nib.save(nib.Nifti1Image(data, t1w.affine), f"{first}_R1map.nii.gz")
    noise = np.random.default_rng(1).normal(0, 0.01 * data.max(), data.shape)
    nib.save(
        nib.Nifti1Image(np.where(data > 0, np.abs(data + noise), 0).astype(np.float32), shifted), f"{later}_T1w.nii.gz"
    )
    return root


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
    raw = dataset(tmp_path / "raw")
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
