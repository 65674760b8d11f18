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


MASK = "seg-thalamus_desc-mindglideT1wInSynthal"


def brain_only(t1w: nib.Nifti1Image) -> nib.Nifti1Image:
    """The middle of the brain without the skull: MindGlide crops to what is not 0, and its time goes with the size."""
    from nilearn.datasets import load_mni152_brain_mask

    brain = np.asarray(load_mni152_brain_mask(resolution=2).dataobj) > 0
    x, y, z = np.moveaxis(nib.affines.apply_affine(t1w.affine, np.moveaxis(np.indices(t1w.shape), 0, -1)), -1, 0)
    brain &= (abs(x) < 50) & (y > -70) & (y < 45) & (z > -35) & (z < 60)
    return nib.Nifti1Image(np.where(brain, np.asarray(t1w.dataobj), 0).astype(np.float32), t1w.affine)


def run(out: str, engine: str) -> None:
    text = (
        f'[mindglide]\nenvelope = "synthal"\n[siena]\nrun = "no"\n[tools.mindglide]\nengine = "{engine}"\n'
        'checkpoint = "random.pt"\nkeep_largest = false\n'
    )
    Path("settings.toml").write_text(text + (f'command = ["{REAL}"]\n' if engine == "upstream" else ""))
    code = main(["raw", out, "participant", "--config", "settings.toml", "--methods", "mindglide"])
    assert code == 0, row(out)["reason"]


def row(out: str) -> dict[str, str]:
    table = read_table(Path(out) / "sub-01/anat/sub-01_desc-thalamus_morph.tsv")
    return next(row for row in table if row["method"] == "mindglideT1wInSynthal")


def labels(out: str, name: str) -> np.ndarray:
    return np.asarray(nib.load(Path(out) / f"sub-01/anat/sub-01_space-T1w_{name}_dseg.nii.gz").dataobj)


def test_from_the_scan_to_the_table_by_either_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REAL is not None
    monkeypatch.chdir(tmp_path)
    beside = Path(REAL).with_name("python")
    python = str(beside) if beside.exists() else sys.executable
    subprocess.run([python, "-c", WEIGHTS, "random.pt"], check=True, cwd=tmp_path, timeout=300)
    place(tmp_path / "raw", "01", brain_only(template()))
    (tmp_path / "raw" / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    for engine in ("upstream", "thalbids"):
        run(engine, engine)
        outer, found = labels(engine, "seg-thalamus_desc-synthalT1w"), labels(engine, MASK)
        assert found.any() and (found == np.where(labels(engine, "seg-mindglide_desc-T1w") == 3, outer, 0)).all()
        assert int(row(engine)["voxels"]) == np.count_nonzero(found)
        told = json.loads(Path(f"{engine}/sub-01/anat/sub-01_space-T1w_{MASK}_dseg.json").read_text())
        assert told["EnvelopeDependence"]["Family"] == "synthal" and told["Software"][0]["Name"] == "MindGlide"
        assert told["Software"][0]["Version"].startswith("1.3.0, engine of thalbids" if engine == "thalbids" else "1.")
    ours, theirs = labels("thalbids", MASK), labels("upstream", MASK)
    assert np.count_nonzero(ours != theirs) <= 1 + 1e-3 * np.count_nonzero(theirs)  # random scores lie close together
