"""The group level over synthetic cohorts: what is written, and what happens when much is missing."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cohort import CHANGE, METHODS, morph_path, morph_row, write_cohort, write_rows
from tests.unit.group.small import cohort_of, morph
from thalbids.bids.tabular.tables import Table
from thalbids.cli.main import main
from thalbids.errors import NoInputError, OutputError
from thalbids.group import reporting, run
from thalbids.group.analyses.description import volumes
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.run import run_analyses

OWN = ("volumes", "conflicts", "descriptives", "change")


@pytest.fixture(autouse=True)
def only_descriptions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models and the report have tests of their own, and take longer; the slow tests here run everything."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(run, "ANALYSES", tuple(item for item in run.ANALYSES if item.name in OWN))
        monkeypatch.setattr(reporting, "write", lambda *_: [Path("group.html")])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def numbers(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) if row[name] != "n/a" else np.nan for row in rows])


def test_every_table_has_a_dictionary_of_its_columns(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 12)
    assert main([str(raw), str(out), "group"]) == 0
    tables = described_columns(out)
    assert {"group_volumes", "group_change", "group_change_summary", "group_change_tests", "group_descriptives",
            "group_missing"} <= {path.stem for path in tables}  # fmt: skip


def described_columns(out: Path) -> list[Path]:
    tables = sorted(out.glob("group_*.tsv"))
    for path in tables:
        columns = path.read_text(encoding="utf-8").split("\n")[0].split("\t")
        described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert [name for name in described if name != "AnalysisSettings"] == columns
        assert all(described[name]["Description"] for name in columns)
    return tables


def test_known_change_comes_back(tmp_path: Path) -> None:
    raw, out, truth = write_cohort(tmp_path, 60, methods=("synthalT1w", "dbsegment"))
    assert main([str(raw), str(out), "group"]) == 0
    rows = [row for row in read(out / "group_change.tsv") if row["method"] == "synthalT1w"]
    assert [row["participant_id"] for row in rows] == truth.participants
    expected = 100 * (truth.volume_ml[:, 1] / truth.volume_ml[:, 0] - 1)
    found = numbers(rows, "delta_percent")
    assert np.abs(found - expected).mean() < 0.7  # the noise of two measurements of 12 mL is 0.06 mL
    np.testing.assert_allclose(numbers(rows, "interval_years"), truth.years[:, 1], atol=1e-6)
    np.testing.assert_allclose(numbers(rows, "delta_percent_per_year"), found / truth.years[:, 1], rtol=1e-6)
    np.testing.assert_allclose(numbers(rows, "asymmetry_baseline"), 0.02, rtol=1e-9)  # 2 (0.505 - 0.495) / 1
    summary = {(row["method"], row["diagnosis"], row["measure"]): row for row in read(out / "group_change_summary.tsv")}
    rrms = summary["synthalT1w", "RRMS", "delta_percent_per_year"]
    assert int(rrms["n"]) == (truth.diagnosis == "RRMS").sum()
    assert abs(float(rrms["mean"]) - CHANGE["RRMS"]) < 0.5


def test_dry_run_says_that_the_output_folder_may_not_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out, _ = write_cohort(tmp_path, 3)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != out)
    assert main([str(raw), str(out), "group", "--dry-run"]) == OutputError.exit_code
    told = capsys.readouterr()
    assert "Participants with a usable volume: 3" in told.out and "may not write" in told.err


@pytest.mark.parametrize("dry", [True, False])
def test_dry_run_says_what_was_found_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dry: bool
) -> None:
    raw, out, _ = write_cohort(tmp_path, 5)
    assert main([str(raw), str(out), "group", *(["--dry-run"] if dry else [])]) == 0
    shown = capsys.readouterr().out
    assert bool(list(out.glob("group_*"))) is not dry
    if dry:
        assert "age: participants.tsv: age" in shown
        assert "t25fw_1: */*_sessions.tsv: t25fw_1" in shown
        assert f"change delta_ml first:last: 5 of 5, for {len(METHODS)} methods" in shown


def test_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    out = tmp_path / "out"
    morph(out, "sub-01", "", morph_row("first", 9000), morph_row("first", 9000), morph_row("dbsegment", 9000),
          morph_row("dbsegment", 8000), morph_row("freesurfer", 0), morph_row("synthalT1w", "nine"),
          morph_row("synthalFLAIR", -3), morph_row("synthalR1map", "inf"), morph_row("a", 1, status="fine"),
          morph_row("b", None, status="missing", reason="no R1map"), morph_row(None, 5))  # fmt: skip
    assert main([str(tmp_path / "raw"), str(out), "group"]) == 0
    rows = {row["method"]: row for row in read(out / "group_volumes.tsv")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "first": "ok", "dbsegment": "failed", "freesurfer": "failed", "synthalT1w": "failed", "synthalFLAIR": "failed",
        "synthalR1map": "failed", "a": "failed", "b": "missing",
    }  # fmt: skip
    assert rows["dbsegment"]["reason"] == "the table has this method twice, with different values"
    assert rows["freesurfer"]["reason"] == "the volume is 0"
    assert rows["b"]["reason"] == "no R1map"
    assert rows["first"]["volume_ml"] == "9.0"
    assert rows["first"]["icv_ml"] == "n/a"


CASES = {
    "one participant": {"people": 1},
    "one session": {"people": 6, "sessions": 1},
    "no controls": {"people": 12, "diagnoses": {"RRMS": 1.0}},
    "one method": {"people": 8, "methods": ("first",)},
    "no icv": {"people": 8, "icv": False},
    "three sessions": {"people": 8, "sessions": 3},
    "thirty": {"people": 30},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_analysis_and_the_report_of_small_cohorts(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, _ = write_cohort(tmp_path, **{"methods": ("first", "synthalT1w"), **CASES[case]})
    assert main([str(raw), str(out), "group", "--dry-run"]) == 0
    assert not list(out.glob("group*"))
    assert main([str(raw), str(out), "group"]) == 0
    assert "Traceback" not in capsys.readouterr().err
    described_columns(out)
    assert (out / "group.html").is_file()


@pytest.mark.parametrize("case", CASES)
def test_small_cohorts_give_what_can_be_given(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, **CASES[case])
    assert main([str(raw), str(out), "group"]) == 0
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    people = CASES[case]["people"]
    changes = read(out / "group_change.tsv")
    assert len({row["participant_id"] for row in changes}) == (0 if case == "one session" else people)
    for row in read(out / "group_descriptives.tsv") + read(out / "group_change_summary.tsv"):
        if int(row["n"]) < 2:
            assert row["sd"] == "n/a"
    if case == "no icv":
        assert {row["icv_ml"] for row in read(out / "group_volumes.tsv")} == {"n/a"}
        assert "no intracranial volume" in shown.out


def test_without_any_clinical_table(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 4)
    for path in raw.rglob("*.tsv"):
        path.unlink()
    assert main([str(raw), str(out), "group"]) == 0
    rows = read(out / "group_change.tsv")
    assert {row["interval_years"] for row in rows} == {row["delta_percent_per_year"] for row in rows} == {"n/a"}
    assert {row["reason"] for row in rows} == {"no interval: a session without a date"}
    assert all(row["delta_percent"] != "n/a" for row in rows)
    ages = [row for row in read(out / "group_descriptives.tsv") if row["variable"] == "age"]
    assert {(row["n"], row["mean"], row["diagnosis"]) for row in ages} == {("0", "n/a", "all"), ("0", "n/a", "unknown")}
    lost = {row["outcome"]: row for row in read(out / "group_missing.tsv") if row["method"] == "first"}
    assert (lost["delta_ml"]["n_used"], lost["delta_percent_per_year"]["n_used"]) == ("4", "0")
    assert lost["delta_percent_per_year"]["lost_no_interval"] == "4"


def test_who_is_in_one_place_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 4)
    shutil.rmtree(out / "sub-01")
    (raw / "sub-02" / "sub-02_sessions.tsv").unlink()
    lines = (raw / "participants.tsv").read_text().split("\n")
    (raw / "participants.tsv").write_text("\n".join(line for line in lines if not line.startswith("sub-02")))
    for more in (["--dry-run"], []):
        assert main([str(raw), str(out), "group", *more]) == 1
        shown = capsys.readouterr().out
        assert "exit code 1, people or sessions are lost: 1 of 3 participants with derivatives have no row" in shown
    assert "participants of the clinical tables without derivatives: 1 (sub-01)." in shown
    assert {row["participant_id"] for row in read(out / "group_volumes.tsv")} == {"sub-02", "sub-03", "sub-04"}


def test_labels_that_lost_their_zeros_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    for path in raw.rglob("sub-*_sessions.tsv"):
        path.unlink()
    text = (raw / "participants.tsv").read_text().replace("sub-0", "")
    (raw / "participants.tsv").write_text(text)
    assert main([str(raw), str(out), "group"]) == 1
    assert "compare the labels (01 is not 1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("label", "words"), [("ses-0", "nearly match"), ("ses-x", "not most of those with"), ("ses-", "")]
)
def test_session_labels_that_never_meet_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str, words: str
) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    for path in raw.rglob("sub-*_sessions.tsv"):
        path.write_text(path.read_text().replace("ses-", label))
    assert main([str(raw), str(out), "group"]) == int(bool(words))
    shown = capsys.readouterr().out
    assert [part in shown for part in ("nearly match", "not most of those with")] == [
        part == words for part in ("nearly match", "not most of those with")
    ]


def test_failed_sessions_and_damaged_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 4, methods=("first", "synthalT1w"))
    morph(out, "sub-01", "ses-2", morph_row("first", None, status="failed", reason="no <b>head</b> in it"),
          morph_row("synthalT1w", 9000.0))  # fmt: skip
    morph_path(out, "sub-02", "ses-1").write_bytes(b"\xff\xfe\x00")
    morph_path(out, "sub-03", "ses-1").write_text("nothing\there\n1\t2\n")
    shutil.rmtree(out / "sub-04" / "ses-2")
    (out / "sub-04" / "ses-2" / "anat").mkdir(parents=True)
    write_rows(out / "sub-04" / "anat" / "sub-04_desc-siena_morph.tsv",
               [{"session_id_baseline": "1", "session_id_followup": "2", "pbvc": "n/a", "status": "ok"}])  # fmt: skip
    assert main([str(raw), str(out), "group"]) == 1
    shown = capsys.readouterr().out
    assert "sub-02_ses-1_desc-thalamus_morph.tsv is not used: not UTF-8" in shown
    assert "sub-03_ses-1_desc-thalamus_morph.tsv is not used: it has no column method, volume_mm3" in shown
    rows = {(row["participant_id"], row["method"]): row for row in read(out / "group_change.tsv")}
    assert set(rows) == {("sub-01", "first"), ("sub-01", "synthalT1w")}
    assert rows["sub-01", "first"]["reason"].startswith("follow-up: failed (no <b>head</b>")
    assert rows["sub-01", "first"]["delta_ml"] == "n/a"
    assert rows["sub-01", "synthalT1w"]["delta_ml"] != "n/a"
    assert cohort_of(raw, out).pbvc.set_index("participant_id").loc["sub-04", "status"] == "missing"


def test_constant_and_equal_methods_make_no_test(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for number in range(6):
        for session in (1, 2):
            morph(out, f"sub-{number}", f"ses-{session}", morph_row("first", 9000), morph_row("dbsegment", 8000))
    assert main([str(raw), str(out), "group"]) == 0
    [row] = read(out / "group_change_tests.tsv")
    assert (row["p"], row["p_fdr"], row["reason"]) == ("n/a", "n/a", "every difference is 0")


def test_a_failing_analysis_does_not_end_the_others(tmp_path: Path) -> None:
    cohort = cohort_of(*write_cohort(tmp_path, 2)[:2])

    def refuses(_: Cohort) -> list[Table]:
        raise NoInputError("nothing to do.")

    def is_wrong(_: Cohort) -> list[Table]:
        raise KeyError("bug")

    made, problems = run_analyses(cohort, [Analysis("a", refuses), volumes.ANALYSIS])
    assert [table.name for table in made] == ["group_volumes"]
    assert problems == ["warning: a: nothing to do."]
    with pytest.raises(KeyError):
        run_analyses(cohort, [Analysis("a", is_wrong), volumes.ANALYSIS])
    assert (cohort.out_dir / "group_volumes.tsv").is_file()


@pytest.mark.parametrize("pair", ["first", "1:1", ":2", "a:b:c", "last:first:"])
def test_pairs_that_are_none(tmp_path: Path, pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    config = tmp_path / "c.toml"
    config.write_text(f'[group]\npairs = ["{pair}"]\n')
    assert main([str(raw), str(out), "group", "--config", str(config)]) == 2
    assert "is no pair of sessions" in capsys.readouterr().err


def test_nothing_to_work_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "out" / "sub-01" / "anat").mkdir(parents=True)
    raw, out = str(tmp_path / "raw"), str(tmp_path / "out")
    assert main([raw, out, "group"]) == 66
    assert "Run the participant level first" in capsys.readouterr().err
    assert main([raw, str(tmp_path / "none"), "group"]) == 66
    assert not (tmp_path / "none").exists()
    assert main([str(tmp_path / "gone"), out, "group"]) == 66


def test_tables_of_an_earlier_run_do_not_outlive_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, out, _ = write_cohort(tmp_path, 5)
    (out / "group_mine.tsv").write_text("a\n1\n")  # of the user
    assert main([str(raw), str(out), "group"]) == 0
    assert (out / "group_change.tsv").is_file()

    def fails(_: Cohort) -> list[Table]:
        raise NoInputError("nothing there.")

    monkeypatch.setattr(run, "ANALYSES", [replace(a, tables=fails) if a.name == "change" else a for a in run.ANALYSES])
    assert main([str(raw), str(out), "group"]) == 1
    assert not list(out.glob("group_change*"))
    assert (out / "group_volumes.tsv").is_file()
    assert (out / "group_volumes.json").is_file()
    assert (out / "group_mine.tsv").is_file()


def test_the_group_level_analyses_the_methods_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 4)
    assert main([str(raw), str(out), "group", "--methods", "first", "mindglide"]) == 0
    expected = {name for name in METHODS if name == "first" or name.startswith("mindglide")}
    assert {row["method"] for row in read(out / "group_volumes.tsv")} == expected
    assert main([str(raw), str(out), "group", "--methods", "synthalT1w"]) == 0
    assert {row["method"] for row in read(out / "group_volumes.tsv")} == {"synthalT1w"}
    capsys.readouterr()
    assert main([str(raw), str(out), "group", "--methods", "first", "synthalR1map"]) == 2
    told = capsys.readouterr().err
    assert "no volume of synthalR1map" in told
    assert "There is: " in told


def test_a_failed_run_says_that_the_page_is_an_earlier_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    (raw / "phenotype").mkdir()
    (raw / "phenotype" / "a.tsv").write_text("participant_id\tedss\nsub-01\t99\n")
    assert main([str(raw), str(out), "group"]) == 1
    assert "earlier run" not in capsys.readouterr().err
    (out / "group.html").touch()
    for more, told in (([], True), (["--dry-run"], False)):
        assert main([str(raw), str(out), "group", *more]) == 1
        assert ("group.html and the tables group_*.tsv in the output folder" in capsys.readouterr().err) == told


def test_dry_run_shows_columns_and_every_problem_of_bad_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    (raw / "phenotype").mkdir()
    people = "".join(f"sub-{i:02d}\t99\n" for i in range(30))
    (raw / "phenotype" / "a.tsv").write_text(f"participant_id\tedss\n{people}")
    assert main([str(raw), str(out), "group", "--dry-run"]) == 1
    shown = capsys.readouterr()
    assert "age: participants.tsv: age" in shown.out
    assert shown.out.count("phenotype/a.tsv, row") == 30
    assert shown.out.index("Clinical columns:") < shown.out.index("Problems:")
    assert "and 10 more" in shown.err
    (raw / "phenotype" / "b.tsv").write_text("who\tedss\nsub-01\t2\n")
    (raw / "phenotype" / "c.tsv").write_text("what\tedss\nsub-01\t2\n")
    assert main([str(raw), str(out), "group", "--dry-run"]) == 1
    shown = capsys.readouterr()
    assert "age: participants.tsv: age" in shown.out
    assert shown.out.count("the table has no column participant_id") == 2
    assert "b.tsv: the table has no column participant_id" in shown.err
    assert not list(out.glob("group_*"))
