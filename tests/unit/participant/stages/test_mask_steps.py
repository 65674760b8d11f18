"""Given intracranial volumes and brain masks: what is taken, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalbids.cli.main import main
from thalbids.engine.step import Done, Step, StepResult
from thalbids.errors import ImageError, MetadataError, NoInputError
from thalbids.files import read_json, read_table, write_json
from thalbids.image.io import save_image
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.methods.mindglide import MindGlide
from thalbids.participant.run import add_software, participant
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages import brains, mask_steps
from thalbids.participant.stages.steps import work_folder
from thalbids.settings import Settings, load
from thalbids.tools.runner import ToolError
from thalbids.types import InputImage, Session

SHAPE = (24, 24, 24)


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(row.replace(" ", "\t") for row in rows) + "\n")
    return path


def test_a_given_icv_is_found_by_person_and_session(tmp_path: Path) -> None:
    plain = table(tmp_path / "a.tsv", "participant_id icv_mm3", "sub-01 1400000", "02 1500000.5", "sub-03 n/a")
    assert mask_steps.given_icv(plain, "01", "2") == [1400000.0]
    assert mask_steps.given_icv(plain, "02", None) == [1500000.5]
    assert mask_steps.given_icv(plain, "03", None) == []
    visits = table(tmp_path / "b.tsv", "participant_id session_id icv_mm3", "sub-01 ses-1 1.4e6", "sub-01 ses-2 1.5e6")
    assert mask_steps.given_icv(visits, "01", "2") == [1.5e6]
    assert mask_steps.given_icv(visits, "01", "3") == []


def test_a_table_of_icvs_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    for rows, said in (
        (("participant_id icv", "sub-01 1"), "columns participant_id, icv_mm3"),
        (("participant_id icv_mm3", "sub-01 1400000", "sub-01 1400000"), "is there twice"),
        (("participant_id icv_mm3", "sub-01 much"), "'much' is not a number"),
    ):
        with pytest.raises(MetadataError, match=said):
            mask_steps.given_icv(table(tmp_path / "x.tsv", *rows), "01", None)


def test_icv_rows_come_with_the_preferred_source_first(tmp_path: Path) -> None:
    write_json(tmp_path / "t1w.json", {"SkullStripped": True, "IntracranialVolumeMm3": 1.3e6})
    write_json(tmp_path / "fs.json", {"EstimatedTotalIntraCranialVolMm3": 1.45e6})
    given = table(tmp_path / "icv.tsv", "participant_id icv_mm3", "sub-01 1400000")
    inputs: dict[str, Any] = {"synthal": tmp_path / "t1w.json", "freesurfer": tmp_path / "fs.json", "given": given}
    params = {"Subject": "01", "Session": None, "Dictionary": {}}
    mask_steps.icv(inputs, {"icv": tmp_path / "out.tsv"}, params, {})
    rows = read_table(tmp_path / "out.tsv")
    assert [(r["source"], float(r["icv_mm3"] or 0)) for r in rows] == [
        ("given", 1.4e6), ("freesurfer", 1.45e6), ("synthal", 1.3e6),
    ]  # fmt: skip
    assert "skull-stripped" in (rows[2]["note"] or "")


def ball(radius: float, shift: int = 0) -> np.ndarray:
    grid = np.indices(SHAPE) - 11.5
    grid[0] -= shift
    return (grid**2).sum(0) <= radius**2


def brain(tmp_path: Path, mask: np.ndarray) -> Any:
    random = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    for name, data in (("t1w", random), ("seen", ball(9)), ("mask", mask)):
        save_image(data, np.eye(4), tmp_path / f"{name}.nii.gz")
    inputs = {name: tmp_path / f"{name}.nii.gz" for name in ("seen", "mask")}
    inputs |= {"T1w": tmp_path / "t1w.nii.gz", "raw": tmp_path / "t1w.nii.gz"}
    params = {"Source": "given", "Sources": ["bids:brain:x"], "T1wUri": "bids::t1w"}
    return mask_steps.brain(inputs, {"brain": tmp_path / "brain.nii.gz"}, params, {})


def test_a_given_brain_mask_is_taken_when_it_lies_on_the_brain(tmp_path: Path) -> None:
    told = brain(tmp_path, ball(8)).sidecars["brain"]
    shared, smaller = ball(9).sum(), ball(8).sum()
    assert told["DiceWithSynthal"] == pytest.approx(2 * smaller / (shared + smaller))
    assert told["BrainSource"] == "given"
    with pytest.raises(ImageError, match="is not on the brain of this T1w"):
        brain(tmp_path, ball(8, shift=9))


def test_freesurfers_brain_has_no_holes_and_reaches_the_edge_of_its_labels() -> None:
    labels = np.where(ball(9), 2, 0)
    labels[11:13, 11:13, 11:13] = 0  # fluid without a label
    labels[:, 12, 12] = np.where(ball(9)[:, 12, 12], 0, labels[:, 12, 12])  # a sulcus
    found = FreeSurfer().brain(labels, np.diag([1.0, 1.0, 2.0, 1.0]))
    assert (ball(9) & ~found).sum() <= 2  # the mouths of the sulcus
    assert (found & ~ball(9)).sum() < 0.02 * ball(9).sum()


def test_an_error_does_not_name_the_work_folder(tmp_path: Path) -> None:
    settings = load(None, {"run": {"work_dir": str(tmp_path / "work")}})
    with pytest.raises(ToolError) as caught, work_folder(settings) as folder:
        assert not list(folder.iterdir())
        raise ToolError(f"no {folder}/first.log here.", f"See {folder}/x.", folder / "first.logs")
    assert str(caught.value) == "no first.log here. See x."
    with pytest.raises(ToolError) as caught, work_folder(settings):
        raise ToolError("bad.", "", tmp_path / "mask.nii.gz")
    assert caught.value.path == tmp_path / "mask.nii.gz"
    assert not list((tmp_path / "work").iterdir())


def test_segment_of_a_missing_file_stops_with_66(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(tmp_path / "nothing.nii.gz")]) == 66
    assert "nothing.nii.gz" in capsys.readouterr().err


def maps(tmp_path: Path, family: str, image: str, status: Any) -> Done:
    """The label maps of one image whose step ended so."""
    write_json(tmp_path / "seen.json", {"ThalamiCentreMm": [0, 0, 0]})
    random = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    save_image(random, np.eye(4), tmp_path / "image.nii.gz")
    inputs: dict[str, Any] = {"seen": tmp_path / "seen.json", image: tmp_path / "image.nii.gz", "file aseg": None}
    inputs["brain"] = tmp_path / "image.nii.gz"
    params = {
        "Family": family, "Images": {image: "before"}, "Sources": {}, "Method": {}, "T1wUri": "", "Machine": Settings(),
    }  # fmt: skip
    return mask_steps.label_maps(inputs, {}, params, {"before": StepResult("before", status)})


def test_a_tool_whose_only_image_was_excluded_has_nothing_to_do(tmp_path: Path) -> None:
    assert maps(tmp_path, "mindglide", "FLAIR", "excluded") == Done({"record": {"Failed": {}, "Software": []}})


def test_a_tool_that_fails_on_one_image_is_run_again_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for failed, partial in (({"FLAIR": "CUDA out of memory"}, True), ({}, False)):
        monkeypatch.setattr(MindGlide, "label_maps", lambda self, requests, failed=failed: ({}, failed))
        done = maps(tmp_path, "mindglide", "FLAIR", "ok")
        assert done.partial is partial and done.sidecars["record"]["Failed"] == failed


@pytest.mark.parametrize("by", ["derivatives", "subjects directory"])
def test_etiv_is_read_beside_given_masks(tmp_path: Path, by: str) -> None:
    place, out = tmp_path / "fs", tmp_path / "out"
    stats = place / "sub-01_ses-1" / "stats" / "aseg.stats"
    stats.parent.mkdir(parents=True)
    head = "# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1764143.0, mm^3\n"
    stats.write_text(f"{head}# ColHeaders StructName Volume_mm3 NVoxels SegId\nThalamus 1 1 10\nThalamus 1 1 49\n")
    tree = {"inputs": {"derivatives": {"freesurfer": str(place)}}}
    if by == "subjects directory":
        tree = {"tools": {"freesurfer": {"subjects_dir": str(place)}}}
    one = Session("01", "1", {"T1w": InputImage(tmp_path / "t1w.nii.gz", "bids:raw:t1w.nii.gz", "T1w")})
    made = SessionPlan(one, out, load(None, tree), images={"T1w": "sub-01_ses-1 anatomy"})
    brains.icv(made)
    (step,) = made.steps
    assert step.inputs["aseg.stats"] == stats
    write_json(tmp_path / "t1w.json", {"SkullStripped": False, "IntracranialVolumeMm3": 1.3e6})
    inputs = {**step.inputs, "synthal": tmp_path / "t1w.json"}
    mask_steps.icv(inputs, {"icv": tmp_path / "out.tsv"}, step.params, {})
    assert [(r["source"], r["icv_mm3"]) for r in read_table(tmp_path / "out.tsv")] == [
        ("freesurfer", "1764143.0"), ("synthal", "1300000.0"),
    ]  # fmt: skip
    (place / "sub-01_ses-1" / "scripts").mkdir()
    (place / "sub-01_ses-1" / "scripts" / "IsRunning.lh+rh").touch()
    made.steps.clear()
    brains.icv(made)
    assert "aseg.stats" not in made.steps[0].inputs


def test_a_freesurfer_folder_without_aseg_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"no mri/aseg.mgz"):
        maps(tmp_path, "freesurfer", "T1w", "ok")


def test_every_version_that_made_a_result_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "dataset_description.json", {"GeneratedBy": [{"Name": "thalbids"}]})
    planned, results = [], []
    for version in ("6.0.0", "7.4.1", "7.4.1"):
        name = f"step {len(planned)}"
        record = tmp_path / f"{len(planned)}.json"
        write_json(record, {"Software": [{"Name": "FreeSurfer", "Version": version}]})
        planned.append(Step(name, "sub-01", mask_steps.icv, {}, {"x": tmp_path / "x.tsv"}, record=record))
        results.append(StepResult(name, "ok"))
    for _ in range(2):
        add_software(tmp_path, planned, results)
    made = read_json(tmp_path / "dataset_description.json")["GeneratedBy"]
    assert [tool.get("Version") for tool in made] == [None, "6.0.0", "7.4.1"]


def test_given_results_that_are_not_there_stop_the_run(tmp_path: Path) -> None:
    for tree in (
        {"inputs": {"derivatives": {"first": str(tmp_path / "none")}}},
        {"tools": {"freesurfer": {"subjects_dir": str(tmp_path / "none")}}},
        {"siena": {"table": str(tmp_path / "none")}},
        {"siena": {"directory": str(tmp_path / "none")}},
    ):
        with pytest.raises(NoInputError, match="are not there"):
            participant(tmp_path, tmp_path / "out", load(None, tree))


def test_a_head_that_is_cut_off_has_no_intracranial_volume(tmp_path: Path) -> None:
    write_json(tmp_path / "t1w.json", {"SkullStripped": False, "IntracranialVolumeMm3": None})
    params = {"Subject": "01", "Session": None, "Dictionary": {}}
    mask_steps.icv({"synthal": tmp_path / "t1w.json"}, {"icv": tmp_path / "out.tsv"}, params, {})
    (row,) = read_table(tmp_path / "out.tsv")
    assert row["icv_mm3"] is None and "field of view" in (row["note"] or "")
