"""DBSegment: safe input, both ways back, folds, and every failure."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import checkpoints
from tests.conftest import ORIENTATIONS
from tests.unit.tools.conftest import scan, world_centres
from thalbids.errors import MissingToolError
from thalbids.methods import registry
from thalbids.methods.base import trait
from thalbids.methods.dbsegment import DBSegment
from thalbids.programs import DbSegmentSettings
from thalbids.settings import MethodSettings, load
from thalbids.tools import dbsegment
from thalbids.tools.runner import ToolError

Install = Callable[..., Path]


@pytest.mark.parametrize("orientation", ["RAS", "LIA", "oblique", "anisotropic-LPS"])
@pytest.mark.parametrize("mode", ["conformed", "paper"])
def test_both_ways_back_reach_the_same_place(tmp_path: Path, install: Install, orientation: str, mode: str) -> None:
    install("DBSegment")
    image = scan(orientation)
    found = dbsegment.segment(image, tmp_path / "work", DbSegmentSettings(mode=mode))
    assert found.labels.shape == image.shape
    centres = world_centres(found.thalamus, image.affine, (10, 49))
    np.testing.assert_allclose(centres, [(-8, -5, 7), (14, -5, 7)], atol=1.0)
    overlap = (found.brain > 0) & (np.asarray(image.dataobj) > 0)
    assert overlap.sum() > 0.85 * max((found.brain > 0).sum(), (np.asarray(image.dataobj) > 0).sum())
    assert found.way_back == {"conformed": "header", "paper": "ants"}[mode]
    assert found.folds == {"conformed": (4, 6), "paper": (0, 1, 2, 3, 4)}[mode]
    assert found.test_time_augmentation is (mode == "paper")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_safe_input_has_one_geometry_and_whole_numbers(tmp_path: Path, install: Install, orientation: str) -> None:
    install("DBSegment")
    image = scan(orientation)
    data = np.asarray(image.dataobj).copy()
    data[0, 0, 0], data[1, 0, 0], data[0, 1, 0] = np.nan, -50, np.inf
    raw = nib.Nifti1Image(data, image.affine)
    raw.set_sform(image.affine, 1)
    raw.set_qform(np.diag([2.0, 2, 2, 1]), 0)  # the trap: qform_code 0 with another geometry
    dbsegment.segment(raw, tmp_path / "work", DbSegmentSettings())
    given = nib.load(tmp_path / "work" / "in" / "T1w.nii.gz")
    assert given.get_data_dtype() == np.uint8
    assert int(given.header["qform_code"]) == int(given.header["sform_code"]) == 1
    np.testing.assert_allclose(given.header.get_qform(), image.affine, atol=1e-4)
    np.testing.assert_allclose(given.header.get_sform(), image.affine, atol=1e-4)
    values = np.asarray(given.dataobj)
    assert values[0, 0, 0] == values[1, 0, 0] == values[0, 1, 0] == 0
    assert values.max() == 255
    inside = np.nan_to_num(data, posinf=0) > 0
    expected = np.clip(data[inside] / np.percentile(data[inside], 99.9), 0, 1) * 255
    np.testing.assert_allclose(values[inside], expected, atol=0.5001)


def test_a_sheared_grid_becomes_one_that_a_qform_can_express() -> None:
    image = scan()
    sheared = image.affine @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    safe = dbsegment.safe_input(nib.Nifti1Image(np.asarray(image.dataobj), sheared))
    np.testing.assert_allclose(safe.affine[:3, :3], np.eye(3))
    before = (sheared @ [*np.argwhere(np.asarray(image.dataobj) > 0).mean(0), 1])[:3]
    after = (safe.affine @ [*np.argwhere(np.asarray(safe.dataobj) > 0).mean(0), 1])[:3]
    np.testing.assert_allclose(after, before, atol=0.3)


def test_an_image_without_a_positive_voxel_is_refused() -> None:
    with pytest.raises(ToolError, match="no voxel is above 0"):
        dbsegment.safe_input(nib.Nifti1Image(np.full((8, 8, 8), -1.0, np.float32), np.eye(4)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (DbSegmentSettings(), ()),
        (DbSegmentSettings(mode="paper"), ("-f", "0", "1", "2", "3", "4", "--disable_tta", "False")),
        (DbSegmentSettings(folds=(1, 2)), ("-f", "1", "2")),
        (DbSegmentSettings(mode="paper", test_time_augmentation=False), ("-f", "0", "1", "2", "3", "4")),
        (DbSegmentSettings(test_time_augmentation=True), ("--disable_tta", "False")),
        (DbSegmentSettings(models=Path("/models")), ("-mp", "/models")),
    ],
)
def test_command_line(tmp_path: Path, settings: DbSegmentSettings, words: tuple[str, ...]) -> None:
    call = dbsegment.command(tmp_path, settings, threads=2)
    processes = ("--num_threads_preprocessing", "1", "--num_threads_nifti_save", "1")
    assert call.argv == ("DBSegment", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words, *processes)
    assert call.threads == 2
    assert call.reads == ((Path("/models"),) if settings.models else ())


@pytest.mark.parametrize(
    "device, driver, gpu", [("cpu", True, False), ("cuda", False, True), ("auto", True, True), ("auto", False, False)]
)
def test_it_sees_a_gpu_only_when_it_is_to_take_one(tmp_path, monkeypatch, device, driver, gpu) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if driver else None)
    call = dbsegment.command(tmp_path, DbSegmentSettings(device=device))
    assert call.gpu == gpu
    assert dict(call.env) == ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})
    settings = MethodSettings((DbSegmentSettings(device=device),))
    assert trait(DBSegment(), "gpu", settings) == gpu


def test_the_scan_itself_is_never_in_the_tools_hands(tmp_path: Path, install: Install) -> None:
    install("DBSegment")
    image = scan()
    path = tmp_path / "raw" / "T1w.nii.gz"
    path.parent.mkdir()
    nib.save(image, path)
    before = path.read_bytes()
    dbsegment.segment(nib.load(path), tmp_path / "work", DbSegmentSettings())
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    assert (tmp_path / "work" / "in" / "preprocessed_v3").is_dir()  # where the tool wrote beside its input


@pytest.mark.parametrize("mode", ["conformed", "paper"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fails", r"failed with exit status 1.*no folds found"),
        ("silent failure", r"did not write T1w.nii.gz.*no folds found"),
        ("renamed", r"did not write T1w.nii.gz"),
        ("missing side", r"found no right thalamus"),
        ("other grid", r"on another grid"),
        ("killed", r"killed by SIGKILL"),
        ("hangs", r"time limit"),
    ],
)
def test_each_failure_is_told(tmp_path: Path, install: Install, fault: str, message: str, mode: str) -> None:
    install("DBSegment", fault)
    settings = DbSegmentSettings(mode=mode, timeout_minutes=0.005 if fault == "hangs" else 5)
    with pytest.raises(ToolError, match=re.compile(message, re.DOTALL)):
        dbsegment.segment(scan(), tmp_path / "work", settings)


def test_the_native_result_is_needed_in_paper_mode_only(tmp_path: Path, install: Install) -> None:
    install("DBSegment", "no native")
    dbsegment.segment(scan(), tmp_path / "a", DbSegmentSettings())
    with pytest.raises(ToolError, match=r"did not write T1w.nii.gz"):
        dbsegment.segment(scan(), tmp_path / "b", DbSegmentSettings(mode="paper"))


def test_results_of_an_earlier_try_are_not_taken(tmp_path: Path, install: Install) -> None:
    install("DBSegment")
    dbsegment.segment(scan(), tmp_path / "work", DbSegmentSettings())
    install("DBSegment", "silent failure")
    with pytest.raises(ToolError, match="did not write"):
        dbsegment.segment(scan(), tmp_path / "work", DbSegmentSettings())


def test_labels() -> None:
    assert sorted(dbsegment.LABELS) == list(range(1, 32))
    for number in dbsegment.LEFT:
        assert dbsegment.LABELS[number].endswith(" L")
        assert dbsegment.LABELS[number + 1] == dbsegment.LABELS[number][:-1] + "R"
    assert dbsegment.RIGHT == tuple(n + 1 for n in dbsegment.LEFT) == (25, 27, 31)


def put_folds(folder: Path, folds: tuple[int, ...]) -> None:
    for fold in folds:
        (folder / dbsegment._MODEL / f"fold_{fold}").mkdir(parents=True)


def test_check_follows_program_and_models(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbsegment, "_DEFAULT_MODELS", tmp_path / "default")
    assert "PATH" in dbsegment.check(DbSegmentSettings(engine="upstream")).problem
    assert "folds 4, 6 are not in" in dbsegment.check(DbSegmentSettings()).problem  # thalbids needs the models alone
    install("DBSegment")
    assert str(tmp_path / "default") in dbsegment.check(DbSegmentSettings()).problem
    settings, paper = DbSegmentSettings(models=tmp_path), DbSegmentSettings(models=tmp_path, mode="paper")
    gone = dbsegment.check(settings)
    assert "folds 4, 6 are not in" in gone.problem and "deep_brain_seg_model_2f.zip" in gone.mend
    put_folds(tmp_path / "deep_brain_seg_model_2f", (4, 6))
    assert dbsegment.check(settings).ok
    missing = dbsegment.check(paper)
    assert "folds 0, 1, 2, 3, 4" in missing.problem and "deep_brain_seg_model_7f.zip" in missing.mend
    with pytest.raises(MissingToolError, match="DBSegment cannot run"):
        missing.require()
    put_folds(tmp_path / "deep_brain_seg_model_7f", tuple(range(7)))
    assert dbsegment.check(paper).ok


def fold(tmp_path: Path, number: int, **plans: object) -> Path:
    root = tmp_path / "deep_brain_seg_model_2f" / dbsegment._MODEL
    return checkpoints.random_nnunet(root / f"fold_{number}", number, checkpoints.nnunet_plans(**plans))


def test_thalbids_computes_where_the_models_are(tmp_path: Path, install: Install) -> None:
    settings = DbSegmentSettings(models=tmp_path)
    fold(tmp_path, 4)
    assert "fold 6 is not in" in dbsegment.check(settings).problem
    path = fold(tmp_path, 6)
    assert dbsegment.check(settings).ok and not dbsegment.upstream(settings)
    assert dbsegment.version(settings) == "DBSegment 0.2.2, engine of thalbids 2"
    install("DBSegment")
    assert not dbsegment.upstream(settings)
    for other in ({"engine": "upstream"}, {"mode": "paper"}, {"command": ("DBSegment",)}, {"device": "cuda"}):
        assert dbsegment.upstream(replace(settings, **other))
    assert not dbsegment.upstream(replace(settings, mode="paper", engine="thalbids"))
    gpu = dbsegment.check(replace(settings, device="cuda", engine="thalbids"))
    assert "on the processor only" in gpu.problem
    (path / "model_final_checkpoint.model").write_bytes(b"no zip file")
    assert dbsegment.upstream(settings)  # its own program may read what thalbids cannot
    bad = dbsegment.check(replace(settings, engine="thalbids"))
    assert "fold_6" in bad.problem and "cannot be read" in bad.problem and not bad.ok


def test_models_of_something_else_are_refused(tmp_path: Path) -> None:
    fold(tmp_path, 4)
    fold(tmp_path, 6, num_classes=3)
    check = dbsegment.check(DbSegmentSettings(models=tmp_path))
    assert "knows 4 labels with the background, DBSegment's 32" in check.problem


def test_folds_4_and_6_are_taken_from_the_large_set_when_only_that_is_there(tmp_path: Path) -> None:
    """Without -f the tool looks in the small set only, and would download it."""
    assert "-f" not in dbsegment.command(tmp_path, DbSegmentSettings(models=tmp_path)).argv
    put_folds(tmp_path / "deep_brain_seg_model_7f", tuple(range(7)))
    argv = dbsegment.command(tmp_path, DbSegmentSettings(models=tmp_path)).argv
    assert argv[argv.index("-f") : argv.index("-f") + 3] == ("-f", "4", "6")
    put_folds(tmp_path / "deep_brain_seg_model_2f", (4, 6))
    assert "-f" not in dbsegment.command(tmp_path, DbSegmentSettings(models=tmp_path)).argv


def test_other_models_have_another_digest(tmp_path: Path) -> None:
    settings = DbSegmentSettings(models=tmp_path)
    assert dbsegment.models_digest(settings) is None
    root = dbsegment.model_folder(settings) / dbsegment._MODEL
    data = bytearray(5 << 20)
    for fold in (4, 5, 6):
        (root / f"fold_{fold}").mkdir(parents=True)
        (root / f"fold_{fold}" / "model_final_checkpoint.model").write_bytes(data)
    before = dbsegment.models_digest(settings)
    data[len(data) // 2] = 1  # same size
    (root / "fold_5" / "model_final_checkpoint.model").write_bytes(data)  # a fold that is not used
    assert dbsegment.models_digest(settings) == before
    (root / "fold_6" / "model_final_checkpoint.model").write_bytes(data)
    assert before != dbsegment.models_digest(settings) is not None
    before = dbsegment.models_digest(settings)
    root = dbsegment.fold_folders(settings)[0].parent
    (root / "postprocessing.json").write_text('{"for_which_classes": [24]}', encoding="utf-8")
    assert before != dbsegment.models_digest(settings)
    assert DBSegment().params(load(None, {"tools": {"dbsegment": {"models": str(tmp_path)}}}))["Models"] != before


def test_the_paper_takes_the_intensities_as_they_are(tmp_path: Path, install: Install) -> None:
    install("DBSegment")
    image = scan()
    data = np.asarray(image.dataobj, dtype=np.float32) - 700
    data[0, 0, 0] = np.nan
    found = dbsegment.segment(nib.Nifti1Image(data, image.affine), tmp_path, DbSegmentSettings(mode="paper"))
    given = np.asarray(nib.load(tmp_path / "in" / "T1w.nii.gz").dataobj)
    np.testing.assert_array_equal(given, np.nan_to_num(data))
    assert found.way_back == "ants"


@pytest.mark.parametrize(
    ("settings", "passes", "limit"),
    [
        (DbSegmentSettings(), 2, 120.0),
        (DbSegmentSettings(mode="paper"), 40, 630.0),
        (DbSegmentSettings(mode="paper", test_time_augmentation=False), 5, 120.0),
        (DbSegmentSettings(folds=(0, 1, 2, 3, 4, 5, 6), test_time_augmentation=True), 56, 882.0),
        (DbSegmentSettings(mode="paper", timeout_minutes=30), 40, 30.0),
    ],
)
def test_the_time_limit_follows_the_work(
    tmp_path: Path, settings: DbSegmentSettings, passes: int, limit: float
) -> None:
    assert dbsegment.passes(settings) == passes
    assert dbsegment.command(tmp_path, settings).timeout_s == limit * 60


def test_hours_are_told_before_they_begin() -> None:
    method = DBSegment()
    paper = load(None, {"tools": {"dbsegment": {"mode": "paper"}}})
    assert method.minutes(MethodSettings()) == pytest.approx(10.5)
    assert registry._lasting(method.minutes(MethodSettings())) == ""
    assert registry._lasting(method.minutes(paper)) == "; about 3.5 h a session on one thread"
    assert method.minutes(load(None, {"tools": {"dbsegment": {"mode": "paper", "device": "cuda"}}})) is None
