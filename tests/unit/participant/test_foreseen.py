"""What a dry run says will fail, against what the run itself gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.cli.main import main
from thalbids.engine.step import Step
from thalbids.files import write_json
from thalbids.image.io import save_image
from thalbids.participant import foreseen
from thalbids.participant import plan as plans
from thalbids.participant.stages.session import icv
from thalbids.settings import load
from thalbids.types import InputImage, Session


def _image(path: Path, content: bytes | None = None) -> InputImage:
    """An image in a file; ``content`` in place of an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        save_image(np.arange(512.0).reshape(8, 8, 8), np.eye(4), path)
    else:
        path.write_bytes(content)
    return InputImage(path, f"bids:raw:{path.name}", path.name.partition(".")[0])


def test_headers_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    images = {"T1w": _image(tmp_path / "T1w.nii.gz"), "FLAIR": _image(tmp_path / "FLAIR.nii.gz", b"junk")}
    images["R1map"] = replace(_image(tmp_path / "R1map.nii.gz", b""), problem="only a link.")  # its step refuses
    (subject,) = plans.plan([Session("01", None, images)], tmp_path / "out", (Fixed(),), load(None, {}))
    assert list(foreseen.unreadable(subject.own[0])) == ["FLAIR"]
    seen = foreseen.Foreseen(tmp_path, ["sub-x: too long."])
    seen.add(subject.own, subject.all_steps)
    assert [name for name, _ in seen.failing] == ["", "sub-01 register R1map", "sub-01 FLAIR"]
    assert (seen.broken, seen.done) == (0, 0)
    lines = foreseen.told(seen.failing)
    assert lines[0] == "will fail: sub-x: too long."
    assert lines[1] == "will fail: sub-01 register R1map: only a link."
    assert "FLAIR.nii.gz: This is not a NIfTI or MGH image." in lines[2]


def test_an_image_that_was_cut_off_on_its_way_is_named(tmp_path: Path) -> None:
    whole = _image(tmp_path / "T1w.nii.gz")
    part = _image(tmp_path / "FLAIR.nii.gz", whole.path.read_bytes()[:-40])
    (subject,) = plans.plan([Session("01", None, {"T1w": whole, "FLAIR": part})], tmp_path, (Fixed(),), load(None, {}))
    assert "cut off" in foreseen.unreadable(subject.own[0])["FLAIR"]
    assert list(foreseen.unreadable(subject.own[0])) == ["FLAIR"]


@pytest.mark.parametrize("cut", [0, 160, 2000])
def test_only_files_without_data_are_placeholders(cut: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset of which every image was cut off is no example dataset; a bare header is one."""
    raw = tmp_path / "raw"
    write_json(raw / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.9.0"})
    noise = np.random.default_rng(1).normal(100, 30, (16, 16, 16)).astype(np.float32)
    path = raw / "sub-01/anat/sub-01_T1w.nii.gz"
    save_image(noise, np.eye(4), path)
    path.write_bytes(path.read_bytes()[:cut])
    assert main([str(raw), str(tmp_path / "out"), "participant", "--dry-run"]) == (cut == 2000)
    shown = capsys.readouterr().out
    assert ("will fail: sub-01 T1w: " in shown) == (cut == 2000) != ("(placeholders?)" in shown)
    assert f"1 session, {int(cut == 2000)} of them cannot be processed" in shown


def test_many_failures_take_a_line_for_each_reason() -> None:
    alike = foreseen.told([(f"sub-{n} brain", "no mask") for n in range(5)])
    assert alike == ["will fail: sub-0 brain, sub-1 brain, sub-2 brain and 2 more: no mask"]
    lines = foreseen.told([(f"sub-{n} T1w", f"reason {n}") for n in range(23)])
    assert len(lines) == 21 and lines[-1] == "... and 3 more, see above"


def test_results_of_an_earlier_run_are_counted(tmp_path: Path) -> None:
    steps = [Step(name, "sub-01", icv.icv, {}, {"x": tmp_path / f"{name}.tsv"}) for name in "abc"]
    assert foreseen.with_results(steps, tmp_path) == 0
    write_json(steps[0].record_path, {})
    write_json(steps[2].excluded_path(tmp_path), {})
    assert foreseen.with_results(steps, tmp_path) == 2


@pytest.mark.parametrize(("content", "code"), [(None, 0), (b"", 1), (b"junk", 1)])
def test_a_dry_run_ends_as_the_run_would(
    content: bytes | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_json(raw / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.9.0"})
    _image(raw / "sub-01/anat/sub-01_T1w.nii.gz")
    _image(raw / "sub-02/anat/sub-02_T1w.nii.gz", content)
    assert main([str(raw), str(out), "participant", "--dry-run"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith(f"2 sessions, {code} of them cannot be processed, ")
    assert lines[-2].startswith("will fail: sub-02 T1w: ") == bool(code)
    assert not out.exists()
    if code:  # nothing has to be segmented for it
        words = [str(raw), str(out), "participant", "--participant-label", "02"]
        assert main(words) == code
        assert "FAILED sub-02 anatomy" in capsys.readouterr().err
        assert main([*words, "--dry-run"]) == 0  # so small a file is a placeholder
        shown = capsys.readouterr().out.splitlines()
        assert shown[-2].startswith("no image holds data (placeholders?)")
        assert shown[-1].startswith("1 session, 0 of them cannot be processed")


def test_a_dry_run_says_that_the_output_folder_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, closed = tmp_path / "raw", tmp_path / "closed"
    write_json(raw / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.9.0"})
    _image(raw / "sub-01/anat/sub-01_T1w.nii.gz")
    closed.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != closed)
    assert main([str(raw), str(closed / "out"), "participant", "--dry-run"]) == 1
    shown = capsys.readouterr()
    assert "Nothing was run." in shown.out
    assert shown.err.splitlines()[-1].endswith(
        "you may not write there. Choose another output folder or ask for the right to write."
    )
