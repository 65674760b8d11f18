"""``qc.html`` is rebuilt from what is on disk, also by several runs at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thalbids import qc
from thalbids.engine import lock
from thalbids.participant import all_sessions


@pytest.fixture
def out(tmp_path: Path) -> Path:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[5:8, 8:12, 8:12], labels[12:15, 8:12, 8:12] = 10, 49
    for subject, session in (("01", "1"), ("01", "2"), ("02", None)):
        document = qc.build(
            subject=subject, session=session, affine=np.diag([4.0, 4.0, 4.0, 1.0]),
            masks={"synthalT1w": qc.MaskInput(labels, "synthal", ("T1w",))},
        )  # fmt: skip
        folder = tmp_path / f"sub-{subject}" / (f"ses-{session}/anat" if session else "anat")
        name = f"sub-{subject}" + (f"_ses-{session}" if session else "")
        qc.write(folder / f"{name}_desc-thalamus_qc.json", document)
    return tmp_path


def test_every_session_on_disk_is_there(out: Path):
    (out / "sub-02.html").write_text("x")
    found = all_sessions.entries(out)
    assert [(e.subject, e.session, e.page) for e in found] == [
        ("01", "1", ""),
        ("01", "2", ""),
        ("02", None, "sub-02.html"),
    ]
    assert all(entry.document for entry in found)


def test_a_damaged_document_is_told(out: Path):
    (path,) = out.glob("sub-02/anat/*_qc.json")
    path.write_text("{")
    assert "not valid JSON" in all_sessions.entries(out)[2].problem
    path.write_text('{"Masks": {"first": 3}, "Flags": [], "Registrations": [], "ICV": []}')
    assert "not a QC document" in all_sessions.entries(out)[2].problem
    all_sessions.write(out)
    assert "not a QC document" in (out / "qc.html").read_text("utf-8")


def test_what_the_alignment_of_a_visit_says_of_another_person_is_told(out: Path):
    record = {"First": "1", "Chosen": "ants", "Reason": "", "Matrix": np.eye(4).tolist(), "Correlation": 0.31}
    path = out / "sub-01/ses-2/anat/sub-01_ses-2_from-T1w_to-firstT1w_mode-image_xfm.json"
    for correlation, told in ((0.31, "does not look like that of ses-1 (correlation in the brain 0.31)"), (0.9, "")):
        path.write_text(json.dumps(record | {"Correlation": correlation}))
        doubts = [entry.doubt for entry in all_sessions.entries(out)]
        assert doubts[0] == doubts[2] == "" and told in doubts[1] and bool(told) == bool(doubts[1])
    assert not any(entry.mirrored for entry in all_sessions.entries(out))
    path.write_text(json.dumps(record | {"Mirrored": 0.97}))
    assert [entry.mirrored for entry in all_sessions.entries(out)] == [False, True, False]
    assert "mirror image of that of ses-1" in all_sessions.entries(out)[1].doubt
    path.write_text("{")
    assert all_sessions.entries(out)[1].doubt == ""


def test_sessions_without_results_are_listed(out: Path):
    record = out / "sub-03/figures/sub-03_report.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"Sessions": [{"Session": "1", "Problem": "there is no T1w image."}]}))
    last = all_sessions.entries(out)[-1]
    assert (last.subject, last.session, last.document, last.problem) == ("03", "1", None, "there is no T1w image.")


def test_the_newest_document_of_a_session_counts(out: Path):
    (old,) = out.glob("sub-02/anat/*_qc.json")
    new = old.with_name("sub-02_acq-b_desc-thalamus_qc.json")
    content = json.loads(old.read_text()) | {"Notes": ["new"]}
    new.write_text(json.dumps(content))
    os.utime(old, (1, 1))
    assert all_sessions.entries(out)[2].document["Notes"] == ["new"]
    os.utime(new, (0, 0))
    assert all_sessions.entries(out)[2].document["Notes"] == []


def test_a_document_that_vanishes_is_left_out(out: Path):
    (path,) = out.glob("sub-02/anat/*_qc.json")
    path.unlink()
    path.symlink_to(out / "gone")  # found by its name, and not there
    assert [(e.subject, e.session) for e in all_sessions.entries(out)] == [("01", "1"), ("01", "2")]


def test_a_request_that_was_served_is_not_served_again(out: Path, monkeypatch: pytest.MonkeyPatch):
    """While one run reads, another asks: it is served by a second reading; the third finds that all is done."""
    readings = []
    real = all_sessions.entries

    def reading(folder: Path):
        readings.append(1)
        if len(readings) == 1:
            (folder / "logs/lock/cohort_other_1_1.request").touch()
        return real(folder)

    monkeypatch.setattr(all_sessions, "entries", reading)
    all_sessions.write(out)
    assert [p.name for p in (out / "logs/lock").glob("*.request")] == ["cohort_other_1_1.request"]
    all_sessions.write(out)
    assert len(readings) == 2
    assert not list((out / "logs/lock").glob("*.request"))


def test_several_runs_at_once_leave_a_whole_page(out: Path):
    code = "import sys, pathlib; from thalbids.participant.all_sessions import write; write(pathlib.Path(sys.argv[1]))"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(out)]) for _ in range(4)]
    assert [run.wait(timeout=400) for run in runs] == [0] * 4
    text = (out / "qc.html").read_text("utf-8")
    assert text.rstrip().endswith("</html>")
    assert "3 sessions of 2 participants" in text
    assert not list((out / "logs/lock").glob("*.request"))
    assert not list(out.glob(".tmp-*"))


def test_a_run_that_changed_nothing_leaves_a_page_alone_that_shows_its_results(out: Path):
    records = list(out.glob("sub-*/**/*_qc.json"))
    for record in records:
        os.utime(record, (1, 1))  # else within one tick of the clock of the page
    assert all_sessions.write(out, records, changed=False)  # there is none yet
    assert not all_sessions.write(out, records, changed=False)
    later = (out / "qc.html").stat().st_mtime_ns + 1
    os.utime(records[0], ns=(later, later))  # a run that was killed before it wrote the page
    assert all_sessions.write(out, records, changed=False)
    (out / "logs/lock/cohort_other_1_1.request").touch()  # left by a run that relied on others
    assert all_sessions.write(out, [], changed=False)
    assert not list((out / "logs/lock").glob("*.request"))


def test_while_others_go_on_a_young_page_is_left_to_them(out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "others", lambda _: True)
    assert all_sessions.write(out)  # there is none yet
    before = (out / "qc.html").stat().st_mtime_ns
    assert not all_sessions.write(out) and (out / "qc.html").stat().st_mtime_ns == before
    assert len(list((out / "logs/lock").glob("*.request"))) == 1
    os.utime(out / "qc.html", ns=(before - 601 * 10**9, before - 601 * 10**9))
    assert all_sessions.write(out)
    assert not all_sessions.write(out)
    monkeypatch.setattr(lock, "others", lambda _: False)
    assert all_sessions.write(out) and not list((out / "logs/lock").glob("*.request"))
