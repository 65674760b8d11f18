"""The paper's methods in one run, with stand-ins of the programs: they differ by subject, and each keeps its own."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import standins
from tests.integration.test_validator import needs_validator, unregistered_descs, unresolved_uris, validate
from thalbids.cli.main import main
from thalbids.files import read_table

pytest.importorskip("nilearn")
pytestmark = pytest.mark.slow

SIZE = 200  # of conformed images: 256 in truth
FAILING = 88  # slices of the T1w on which FIRST fails


def template() -> nib.Nifti1Image:
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=2)
    return nib.Nifti1Image((np.asarray(image.dataobj) * 1000).astype(np.float32), image.affine)


def place(root: Path, subject: str, image: nib.Nifti1Image, suffix: str = "T1w") -> Path:
    path = root / f"sub-{subject}" / "anat" / f"sub-{subject}_{suffix}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def programs(folder: Path) -> None:
    """DBSegment, MindGlide and FIRST; FIRST fails silently on a T1w with FAILING slices."""
    standins.install(folder, "DBSegment", size=SIZE)
    standins.install(folder, "mindglide")
    good = standins.install(folder / "good", "run_first_all")
    bad = standins.install(folder / "bad", "run_first_all", "silent failure")
    script = (
        f"#!{sys.executable}\nimport os, sys\nimport nibabel as nib\n"
        "image = nib.load(sys.argv[sys.argv.index('-i') + 1])\n"
        f"program = {str(bad)!r} if image.shape[2] == {FAILING} else {str(good)!r}\n"
        "os.execv(program, [program, *sys.argv[1:]])\n"
    )
    (folder / "run_first_all").write_text(script)
    (folder / "run_first_all").chmod(0o755)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw data, programs, settings and existing results.

    a: FreeSurfer results; b: none, and a FLAIR; c: FIRST fails; d: a given mask of FIRST and a given brain mask.
    """
    root = tmp_path_factory.mktemp("methods")
    t1w = template()
    for subject in "abd":
        place(root / "raw", subject, t1w)
    place(root / "raw", "b", t1w, "FLAIR")
    place(root / "raw", "c", nib.Nifti1Image(np.asarray(t1w.dataobj)[..., :FAILING], t1w.affine))
    (root / "raw" / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    programs(root / "bin")
    models = root / "models/deep_brain_seg_model_2f/model/nnUNet/3d_fullres/Task054_Mri"
    for fold in (4, 6):
        (models / "nnUNetTrainerV2__nnUNetPlansv2.1" / f"fold_{fold}").mkdir(parents=True)
    (root / "weights.pt").write_bytes(b"weights")
    (root / "license.txt").write_text("me\n")
    (root / "settings.toml").write_text(
        '[tools.dbsegment]\nmodels = "models"\n[tools.mindglide]\ncheckpoint = "weights.pt"\nengine = "upstream"\n'
        '[registration]\nflair_strategies = ["ants"]\nr1map_strategies = ["ants"]\n[siena]\nrun = "no"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FS_LICENSE", str(root / "license.txt"))
        words = ["-s", "sub-a", "-sd", str(root / "fs"), "-i", str(root / "raw/sub-a/anat/sub-a_T1w.nii.gz")]
        assert standins.recon_all(words, "good", SIZE) == 0
    mask = standins.thalami(t1w, 10, 49)
    for name, data in (("label-thalamus_desc-someone", mask > 0), ("desc-brain", np.asarray(t1w.dataobj) > 100)):
        folder = root / "given" / "sub-d" / "anat"
        folder.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data.astype(np.uint8), t1w.affine), folder / f"sub-d_{name}_mask.nii.gz")
    return root


@pytest.fixture(autouse=True)
def on_the_path(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("PATH", os.pathsep.join([str(world / "bin"), os.environ["PATH"]]))
    monkeypatch.delenv("FSLDIR", raising=False)
    monkeypatch.delenv("FREESURFER_HOME", raising=False)
    monkeypatch.chdir(world)


def call(*words: str) -> int:
    return main(["raw", "out", "participant", "--config", "settings.toml", *words])


GIVEN = ("--derivatives", "first=given", "brain=given", "--fs-subjects-dir", "fs")


@pytest.fixture(scope="module")
def out(world: Path) -> Path:
    """One run over everything."""
    import os

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(world / "bin"), os.environ["PATH"]]))
        patch.chdir(world)
        assert call(*GIVEN, "--methods", "auto") == 1  # FIRST failed for one
    return world / "out"


def rows(out: Path, subject: str) -> dict[str, dict]:
    table = read_table(out / f"sub-{subject}/anat/sub-{subject}_desc-thalamus_morph.tsv")
    return {str(row["method"]): row for row in table}


def image(out: Path, subject: str, ending: str) -> np.ndarray:
    return np.asarray(nib.load(out / f"sub-{subject}/anat/sub-{subject}_{ending}.nii.gz").dataobj)


def sidecar(out: Path, subject: str, ending: str) -> dict:
    return json.loads((out / f"sub-{subject}/anat/sub-{subject}_{ending}.json").read_text())


def thalamus(out: Path, subject: str, method: str) -> np.ndarray:
    return image(out, subject, f"space-T1w_seg-thalamus_desc-{method}_dseg")


def test_freesurfer_of_one_and_not_of_the_others(out: Path) -> None:
    assert rows(out, "a")["freesurfer"]["volume_mm3"] is not None
    for subject in "bcd":
        row = rows(out, subject)["freesurfer"]
        assert (row["status"], row["volume_mm3"]) == ("missing", None)
        assert "no result of freesurfer" in row["reason"]
    icv = read_table(out / "sub-a/anat/sub-a_desc-icv_morph.tsv")
    assert [row["source"] for row in icv] == ["freesurfer", "synthal"]
    assert float(icv[0]["icv_mm3"]) == 1500000.5
    told = sidecar(out, "a", "space-T1w_seg-thalamus_desc-freesurfer_dseg")
    assert told["StatsVolumeMm3"]["10"] == pytest.approx(told["StatsNVoxels"]["10"] * 0.97, abs=0.06)
    assert told["Software"][0]["Version"] == "7.4.1"
    assert [row["source"] for row in read_table(out / "sub-b/anat/sub-b_desc-icv_morph.tsv")] == ["synthal"]


def test_a_failed_first_costs_only_what_needs_it(out: Path) -> None:
    table = rows(out, "c")
    assert table["first"]["status"] == "failed"
    assert "Could not open image" in table["first"]["reason"]
    assert "/" not in table["first"]["reason"]  # no place of this machine
    assert table["mindglideT1w"]["status"] == "failed"
    assert table["dbsegment"]["volume_mm3"] is not None
    assert table["synthalT1w"]["volume_mm3"] is not None
    assert (out / "sub-c/anat/sub-c_space-T1w_seg-mindglide_desc-T1w_dseg.nii.gz").exists()


def test_each_session_has_the_brain_mask_of_the_best_source(out: Path) -> None:
    for subject, source in (("a", "dbsegment"), ("d", "given")):
        assert sidecar(out, subject, "desc-brain_mask")["BrainSource"] == source
        qc = json.loads((out / f"sub-{subject}/anat/sub-{subject}_desc-thalamus_qc.json").read_text())
        assert qc["Brain"]["source"] == source
    assert (image(out, "d", "desc-brain_mask") == (image(out, "d", "desc-reoriented_T1w") > 100)).all()
    labels = image(out, "a", "space-T1w_seg-dbsegment_desc-T1w_dseg")
    assert ((labels > 0) == image(out, "a", "desc-brain_mask")).all()
    assert (np.isin(labels, (24, 26, 30)) == (thalamus(out, "a", "dbsegment") == 10)).all()


def test_a_given_mask_is_taken_and_split(out: Path) -> None:
    told = sidecar(out, "d", "space-T1w_seg-thalamus_desc-first_dseg")
    assert told["Given"] is True
    assert told["Sources"] == ["bids:first:sub-d/anat/sub-d_label-thalamus_desc-someone_mask.nii.gz"]
    assert (thalamus(out, "d", "first") == standins.thalami(template(), 10, 49)).all()


def test_mindglide_is_cut_by_first_and_says_how_much_first_decides(out: Path) -> None:
    grey = image(out, "b", "space-T1w_seg-mindglide_desc-T1w_dseg") == 3
    first = thalamus(out, "b", "first")
    assert (thalamus(out, "b", "mindglideT1w") == np.where(grey, first, 0)).all()
    qc = json.loads((out / "sub-b/anat/sub-b_desc-thalamus_qc.json").read_text())
    told = qc["Masks"]["mindglideT1w"]["envelope"]
    assert (told["Family"], told["Containment"]) == ("first", 1.0)
    assert told == sidecar(out, "b", "space-T1w_seg-thalamus_desc-mindglideT1w_dseg")["EnvelopeDependence"]
    union = (thalamus(out, "b", "mindglideT1w") > 0) | (thalamus(out, "b", "mindglideFLAIR") > 0)
    assert ((thalamus(out, "b", "mindglideT1FLAIR") > 0) == union).all()
    assert rows(out, "a")["mindglideFLAIR"]["status"] == "missing"


def test_programs_that_ran_are_named(out: Path) -> None:
    named = {tool["Name"] for tool in json.loads((out / "dataset_description.json").read_text())["GeneratedBy"]}
    assert {"thalbids", "FSL", "DBSegment", "MindGlide", "FreeSurfer", "ANTsPy"} <= named


@needs_validator
def test_the_dataset_is_valid(out: Path, world: Path, tmp_path: Path) -> None:
    assert validate(out, tmp_path / "report.json") == []
    assert unregistered_descs(out) == set()
    uris = [
        uri
        for uri in unresolved_uris(out, world / "raw")
        if not any(n in uri for n in ("first:", "brain:", "freesurfer:"))
    ]
    assert uris == []


def test_again_nothing_is_computed_and_another_tool_computes_again(
    out: Path, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*GIVEN, "--participant-label", "a", "--methods", "auto") == 0
    said = capsys.readouterr().err
    assert " ok sub-a" not in said
    (world / "weights.pt").write_bytes(b"other weights")
    assert call(*GIVEN, "--participant-label", "a", "--methods", "auto") == 0
    said = capsys.readouterr().err
    assert "ok sub-a mindglide label maps" in said
    assert "ok sub-a first" not in said
    (world / "weights.pt").write_bytes(b"weights")


def test_recon_all_runs_when_named_and_licensed(
    out: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standins.install(world / "fsbin", "recon-all", size=SIZE)
    monkeypatch.setenv("PATH", f"{world / 'fsbin'}:{Path(sys.executable).parent}")
    monkeypatch.setenv("FREESURFER_HOME", str(world))
    words = ("--participant-label", "b", "--methods", "freesurfer")
    (world / "license.txt").rename(world / "gone.txt")
    assert call(*words) == 69
    assert "licence" in capsys.readouterr().err
    assert call(*words, "--fs-license-file", "gone.txt", "--dry-run") == 0
    assert "freesurfer run" in capsys.readouterr().out
    assert call(*words, "--fs-license-file", "gone.txt") == 0
    assert rows(out, "b")["freesurfer"]["volume_mm3"] is not None
    assert (out / "sourcedata/freesurfer/sub-b/mri/aseg.mgz").exists()
    assert call(*words, "--fs-license-file", "gone.txt") == 0
    assert "ok sub-b freesurfer" not in capsys.readouterr().err.split("log:")[1]
    (world / "gone.txt").rename(world / "license.txt")


def test_what_was_asked_for_and_cannot_run_stops_at_the_start(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert main(["raw", "none", "participant", "--methods", "first"]) == 69
    assert "run_first_all is not on the PATH" in capsys.readouterr().err
    assert main(["raw", "none", "participant", "--methods", "auto", "--dry-run"]) == 0
    assert re.search(r"^  left out: .*\bfirst\b", capsys.readouterr().out, re.MULTILINE)
    assert not (world / "none").exists()
