"""The real MindGlide with random weights, from the T1w of a BIDS dataset to masks and a volume table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.integration.test_methods import place, template
from thalbids.cli.main import main
from thalbids.files import read_table

REAL = os.environ.get("THALBIDS_TEST_MINDGLIDE") or shutil.which("mindglide")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(REAL is None, reason="mindglide is not installed (THALBIDS_TEST_MINDGLIDE names its program)"),
]
pytest.importorskip("nilearn")

# All weights random, and the last layer's bias such that deep grey matter (3) wins where its own channel is not low.
WEIGHTS = """
import sys, torch
from mindglide.network import get_network
torch.manual_seed(1)
network = get_network(device="cpu")
state = network.state_dict()
for name, value in state.items():
    if value.shape[:1] == (20,) and name.endswith("bias") and "output" in name:
        value[3] = value.abs().max() + 1.0
torch.save(state, sys.argv[1])
"""


def brain_only(t1w: nib.Nifti1Image) -> nib.Nifti1Image:
    """The middle of the brain without the skull: MindGlide crops to what is not 0, and its time goes with the size."""
    from nilearn.datasets import load_mni152_brain_mask

    brain = np.asarray(load_mni152_brain_mask(resolution=2).dataobj) > 0
    x, y, z = np.moveaxis(nib.affines.apply_affine(t1w.affine, np.moveaxis(np.indices(t1w.shape), 0, -1)), -1, 0)
    brain &= (abs(x) < 50) & (y > -70) & (y < 45) & (z > -35) & (z < 60)
    return nib.Nifti1Image(np.where(brain, np.asarray(t1w.dataobj), 0).astype(np.float32), t1w.affine)


def test_from_the_scan_to_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REAL is not None
    monkeypatch.chdir(tmp_path)
    beside = Path(REAL).with_name("python")
    python = str(beside) if beside.exists() else sys.executable
    subprocess.run([python, "-c", WEIGHTS, "random.pt"], check=True, cwd=tmp_path, timeout=300)
    place(tmp_path / "raw", "01", brain_only(template()))
    (tmp_path / "raw" / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    (tmp_path / "settings.toml").write_text(
        f'[mindglide]\nenvelope = "synthal"\n[siena]\nrun = "no"\n[tools.mindglide]\ncommand = ["{REAL}"]\n'
        'checkpoint = "random.pt"\ndevice = "cpu"\nkeep_largest = false\n'
    )
    code = main(["raw", "out", "participant", "--config", "settings.toml", "--methods", "mindglide"])
    anat = tmp_path / "out/sub-01/anat"
    table = {row["method"]: row for row in read_table(anat / "sub-01_desc-thalamus_morph.tsv")}
    assert code == 0, table["mindglideT1wInSynthal"]["reason"]

    def labels(name: str) -> np.ndarray:
        return np.asarray(nib.load(anat / f"sub-01_space-T1w_{name}_dseg.nii.gz").dataobj)

    grey = labels("seg-mindglide_desc-T1w") == 3
    outer = labels("seg-thalamus_desc-synthalT1w")
    found = labels("seg-thalamus_desc-mindglideT1wInSynthal")
    assert found.any()
    assert (found == np.where(grey, outer, 0)).all()
    assert int(table["mindglideT1wInSynthal"]["voxels"]) == np.count_nonzero(found)
    told = json.loads((anat / "sub-01_space-T1w_seg-thalamus_desc-mindglideT1wInSynthal_dseg.json").read_text())
    assert told["EnvelopeDependence"]["Family"] == "synthal"
    assert told["Software"][0]["Name"] == "MindGlide"
    assert told["Software"][0]["Version"][0].isdigit()
