"""What the page shows of a session: what is there, what failed, where its records lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.cohort import morph_row, write_rows
from thalbids.engine.step import StepResult
from thalbids.files import write_json
from thalbids.participant.reporting import (
    PageParams,
    PageSession,
    ShownMask,
    between_visits,
    fingerprints,
    links,
    session_report,
    versions,
)

FILES = {
    "T1w": "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", "volumes": "sub-01/anat/sub-01_desc-thalamus_morph.tsv",
    "qc": "sub-01/anat/sub-01_desc-thalamus_qc.json",
    "first": "sub-01/anat/sub-01_label-thalamus_desc-first_mask.nii.gz",
    "gone": "sub-01/anat/sub-01_label-thalamus_desc-gone_mask.nii.gz",
}  # fmt: skip
SESSION = PageSession(
    "sub-01",
    None,
    FILES,
    (ShownMask("first", "T1w", "p"), ShownMask("gone", "T1w", "p")),
    ("sub-01 anatomy", "sub-01 gone"),
    "",
)


def write(out: Path, status: str = "ok") -> None:
    (out / "sub-01" / "anat").mkdir(parents=True)
    for key in ("T1w", "first", "gone"):
        (out / FILES[key]).touch()
    write_rows(
        out / FILES["volumes"],
        [morph_row("first", 12000.0) | {"status": status}, morph_row("gone", 1.0) | {"status": "missing"}],
    )


def page_of(session: PageSession) -> PageParams:
    return PageParams("01", (session,), "", "", {}, version="0.2.1")


def test_masks_that_are_not_current_and_files_that_are_gone_are_not_shown(tmp_path: Path) -> None:
    write(tmp_path)
    shown = session_report(tmp_path, SESSION, {})
    assert [mask.method for mask in shown.masks] == ["first"]
    assert shown.t1w == tmp_path / FILES["T1w"] and shown.brain is None and shown.qc is None and not shown.failures


def test_failures_are_those_of_its_own_steps(tmp_path: Path) -> None:
    write(tmp_path)
    upstream = {
        name: StepResult(name, status, "why")
        for name, status in (("sub-01 anatomy", "ok"), ("sub-01 gone", "failed"), ("sub-02 x", "failed"))
    }
    shown = session_report(tmp_path, SESSION, upstream)  # type: ignore[arg-type]
    assert [(failure.what, failure.reason) for failure in shown.failures] == [("gone", "why")]


def test_records_and_links(tmp_path: Path) -> None:
    write(tmp_path)
    write_json(tmp_path / FILES["first"].replace(".nii.gz", ".json"), {"Provenance": {"Fingerprint": "abc"}})
    write_json(tmp_path / FILES["qc"], {"Provenance": {"Fingerprint": "def", "Versions": {"numpy": "2"}}})
    assert fingerprints(tmp_path, [SESSION]) == {"sub-01 first": "abc", "sub-01 qc": "def"}
    assert versions(tmp_path, page_of(SESSION)) == {"thalbids": "0.2.1", "numpy": "2"}
    for recorded, told in (("0.2", "0.2.1"), ("0.1", "0.2.1, results by 0.1"), ("0.20", "0.2.1, results by 0.20")):
        write_json(tmp_path / FILES["qc"], {"Provenance": {"Versions": {"thalbids": recorded}}})
        assert versions(tmp_path, page_of(SESSION)) == {"thalbids": told}
    there = {key: tmp_path / name for key, name in FILES.items()}
    assert links(SESSION, there)["quality control"] == FILES["qc"]
    assert links(SESSION, there)["T1w (sidecar)"].endswith("T1w.json")


def test_a_damaged_file_costs_its_own_part_and_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / FILES["qc"]).write_text('{"Masks": ')
    session = replace(SESSION, files=FILES | {"alignment": "sub-01/anat/sub-01_xfm.json"})
    (tmp_path / session.files["alignment"]).write_text("{}")
    shown = session_report(tmp_path, session, {})
    assert shown.qc is None and shown.alignment is None and len(shown.volumes) == 2
    assert [failure.what for failure in shown.failures] == ["qc", "alignment"]
    assert "cannot be read" in shown.failures[0].reason
    assert versions(tmp_path, page_of(session)) == {"thalbids": "0.2.1"}
    assert fingerprints(tmp_path, [session]) == {}


def test_damaged_sidecars_and_tables_between_visits_cost_their_own_part(tmp_path: Path) -> None:
    write(tmp_path)
    scaled = "sub-01/anat/sub-01_space-T1w_desc-scaled_R1map.nii.gz"
    (tmp_path / scaled).touch()
    session = replace(SESSION, files={**FILES, "scaled R1map": scaled})
    for content, problem in (("{", "not valid JSON"), ("[1]", "object"), ('{"Scaling": 3}', "")):
        (tmp_path / scaled.replace(".nii.gz", ".json")).write_text(content)
        shown = session_report(tmp_path, session, {})
        assert shown.scaling == {} and [mask.method for mask in shown.masks] == ["first"]
        assert [failure.what for failure in shown.failures] == (["scaled R1map"] if problem else [])
        assert all(problem in failure.reason for failure in shown.failures)
    params = PageParams("01", (session,), "whole.tsv", "pairs.tsv", {}, "1")
    (tmp_path / "whole.tsv").write_text("pbvc\n-0.3\n")
    (tmp_path / "pairs.tsv").write_text("session_id_followup\tdelta_percent\nses-2\t-1\n")
    (whole, pairs), damaged = between_visits(tmp_path, params)
    assert (whole, [row["delta_percent"] for row in pairs]) == ([], ["-1"])
    assert [failure.reason for failure in damaged] == ["whole.tsv cannot be read: no column session_id_followup."]
