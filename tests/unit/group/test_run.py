"""The group level over synthetic cohorts: what is written, and what happens when much is missing."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cohort import CHANGE, METHODS, morph_path, morph_row, write_cohort, write_rows
from thalbids.bids.tables import Table, write
from thalbids.cli.main import main
from thalbids.errors import NoInputError
from thalbids.group import reporting, run
from thalbids.group.analyses import descriptives, volumes
from thalbids.group.analyses.change import between, change, ledgers
from thalbids.group.analyses.change import tables as change_tables
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import PBVC_COLUMNS, VISIT_COLUMNS, VOLUME_COLUMNS, Cohort, visit_pairs
from thalbids.group.missing import ledger, missing_table
from thalbids.group.reading import read_cohort, with_exclusions
from thalbids.group.run import run_analyses
from thalbids.reports.group.figures.descriptive import first_sessions
from thalbids.reports.group.group_data import Tables
from thalbids.settings import load

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


def cohort_of(raw: Path, out: Path, **settings: object) -> Cohort:
    return read_cohort(raw, out, load(None, {"group": settings}))


def test_ids_and_sessions_of_the_cohort(tmp_path: Path) -> None:
    cohort = cohort_of(*write_cohort(tmp_path, 3)[:2])
    assert list(cohort.visits["participant_id"]) == ["sub-01", "sub-01", "sub-02", "sub-02", "sub-03", "sub-03"]
    assert set(cohort.visits["session_id"]) == {"ses-1", "ses-2"}
    assert tuple(cohort.volumes.columns) == VOLUME_COLUMNS
    assert set(VISIT_COLUMNS) == set(cohort.visits.columns)
    assert tuple(cohort.pbvc.columns) == PBVC_COLUMNS
    assert cohort.visits["has_mri"].all()
    assert len(cohort.volumes) == len(cohort.usable) == 3 * 2 * len(METHODS)
    assert "freesurfer" in cohort.methods
    assert "freesurfer" not in cohort.model_methods
    assert not cohort.volumes.duplicated(["participant_id", "session_id", "method"]).any()


def morph(out: Path, person: str, session: str, *rows: dict[str, object]) -> Path:
    path = morph_path(out, person, session)
    write_rows(path, list(rows))
    return path


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


def test_one_source_of_icv_for_everybody(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 4, sessions=1)
    for person in ("sub-01", "sub-02"):
        path = morph_path(out, person, "ses-1")
        path = path.with_name(path.name.replace("desc-thalamus", "desc-icv"))
        write_rows(path, [{"source": "synthal", "icv_mm3": 1.4e6}, {"source": "freesurfer", "icv_mm3": 1.5e6}])
    cohort = cohort_of(raw, out)
    assert set(cohort.volumes["icv_source"]) == {"synthal"}
    assert cohort.volumes["icv_ml"].notna().all()
    cohort = cohort_of(raw, out, icv="freesurfer")
    icv = cohort.volumes.drop_duplicates("participant_id").set_index("participant_id")["icv_ml"]
    assert icv["sub-01"] == 1500.0
    assert np.isnan(icv["sub-03"])


def test_several_scans_of_a_session(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    folder = tmp_path / "out" / "sub-01" / "anat"
    for number in (10, 2):
        write_rows(folder / f"sub-01_run-{number}_desc-thalamus_morph.tsv", [morph_row("first", 9000 + number)])
    cohort = cohort_of(tmp_path / "raw", tmp_path / "out")
    assert list(cohort.volumes["volume_ml"]) == [9.002]
    assert list(cohort.repeats["entities"]) == ["run-2", "run-10"]


def three_visits(tmp_path: Path) -> Cohort:
    raw, out = tmp_path / "raw", tmp_path / "out"
    dates = ("2020-01-01", "2021-01-01", "2022-01-01")
    steroid = (None, "yes", "no")
    visits = [{"session_id": f"ses-{i}", "acq_time": date, "edss": 2 + i, "steroid": s}
              for i, (date, s) in enumerate(zip(dates, steroid, strict=True), start=1)]  # fmt: skip
    write_rows(raw / "sub-01" / "sub-01_sessions.tsv", visits)
    for number, volume in enumerate((10000, 9800, 9700), start=1):
        morph(out, "sub-01", f"ses-{number}", morph_row("first", volume, 0.6 * volume, 0.4 * volume))
    return cohort_of(raw, out)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("first:last", [("ses-1", "ses-3", -0.3, -3.0, 731 / 365.25, 2.0, 1.0)]),
        ("1:2", [("ses-1", "ses-2", -0.2, -2.0, 366 / 365.25, 1.0, 1.0)]),
        ("ses-2:ses-3", [("ses-2", "ses-3", -0.1, -100 * 0.1 / 9.8, 365 / 365.25, 1.0, 0.0)]),
        ("consecutive", [("ses-1", "ses-2", -0.2, -2.0, 366 / 365.25, 1.0, 1.0),
                         ("ses-2", "ses-3", -0.1, -100 * 0.1 / 9.8, 365 / 365.25, 1.0, 0.0)]),
        ("1:9", []),
    ],
)  # fmt: skip
def test_pairs_of_three_visits(tmp_path: Path, pair: str, expected: list[tuple[object, ...]]) -> None:
    cohort = three_visits(tmp_path)
    pairs, rows = visit_pairs(cohort, pair), change(cohort, pair)
    assert len(pairs) == len(rows) == len(expected)
    for index, (first, second, ml, percent, years, edss, steroid) in enumerate(expected):
        row, visit = rows.iloc[index], pairs.iloc[index]
        assert (row["session_id_baseline"], row["session_id_followup"]) == (first, second)
        np.testing.assert_allclose(
            [row["delta_ml"], row["delta_percent"], row["interval_years"], row["delta_percent_per_year"]],
            [ml, percent, years, percent / years], rtol=1e-9,
        )  # fmt: skip
        np.testing.assert_allclose([row["asymmetry_baseline"], row["delta_asymmetry"]], [0.4, 0], atol=1e-12)
        assert (visit["d_edss"], visit["steroid"]) == (edss, steroid)


def test_the_ledger_of_change_tells_the_pairs_apart(tmp_path: Path) -> None:
    three_visits(tmp_path)
    cohort = cohort_of(tmp_path / "raw", tmp_path / "out", pairs=["1:2", "1:9", "consecutive"])
    rows = [row for row in ledgers(cohort) if row["outcome"] == "delta_ml"]
    assert {row["sessions"]: row["n_used"] for row in rows} == {"1:2": 1, "consecutive": 2}
    made = {t.name: t.frame for t in change_tables(cohort)}
    assert set(made["group_missing"]["sessions"]) == {"1:2", "consecutive"}


def test_several_pairs_of_a_person_are_told(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 6, 3, ("first", "dbsegment"))
    cohort = cohort_of(raw, out)
    (one,) = between(change(cohort), "first:last")
    (several,) = between(change(cohort, "consecutive"), "consecutive")
    assert (one["n"], one["reason"]) == (6, "")
    assert several["n"] == 12
    assert "not independent" in several["reason"]


def test_the_baseline_is_the_first_by_date_in_table_and_figure(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    dates = {"ses-2": "2021-01-01", "ses-10": "2022-01-01", "ses-a": "2020-01-01"}
    write_rows(raw / "sub-01" / "sub-01_sessions.tsv", [{"session_id": k, "acq_time": v} for k, v in dates.items()])
    for session, volume in (("ses-2", 9000), ("ses-10", 8000), ("ses-a", 9900)):
        morph(out, "sub-01", session, morph_row("first", volume))
    for session, volume in (("ses-2", 7000), ("ses-10", 6000)):  # without dates: by label
        morph(out, "sub-02", session, morph_row("first", volume))
    (made,) = volumes.tables(cohort_of(raw, out))
    marked = made.frame[made.frame["baseline"]]
    assert list(marked["session_id"]) == ["ses-a", "ses-2"]
    for marks in (True, False):
        shown = made.frame if marks else made.frame.drop(columns="baseline")
        columns = {name: made.columns[name] for name in shown}
        write(Table("group_volumes", shown, columns), tmp_path)
        tables = Tables(tmp_path)
        first = first_sessions(tables, tables.get("volumes"))
        assert sorted(first["volume_ml"]) == [7.0, 9.9 if marks else 9.0]


def test_the_number_of_trials_is_kept(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for person, trials in (("sub-01", (5.0, 6.0)), ("sub-02", (7.0, None))):
        visit = {"session_id": "ses-1", "t25fw_1": trials[0], "t25fw_2": trials[1]}
        write_rows(raw / person / f"{person}_sessions.tsv", [visit])
        morph(out, person, "ses-1", morph_row("first", 9000))
    (made,) = descriptives.tables(cohort_of(raw, out))
    rows = made.frame[(made.frame["sample"] == "baseline") & (made.frame["diagnosis"] == "all")].set_index("variable")
    assert (rows.loc["t25fw", "mean"], rows.loc["t25fw_trials", "mean"]) == (6.25, 1.5)
    assert rows.loc["nhpt_trials", "n"] == 0


def test_tests_between_methods_agree_with_all_sign_flips(tmp_path: Path) -> None:
    """The exact p of five differences, ranks 1 to 5: of 32 sign patterns count those as extreme."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    changes = {"first": (-1.0, -2.0, -3.5, -0.5, -2.5), "dbsegment": (0.0, 0.5, 0.0, 0.0, -3.1)}
    for number in range(5):
        for session, factor in ((1, 0.0), (2, 1.0)):
            rows = [morph_row(name, 100 * (100 + factor * own[number])) for name, own in changes.items()]
            morph(out, f"sub-{number}", f"ses-{session}", *rows)
    [row] = between(change(cohort_of(raw, out)), "first:last")
    difference = np.subtract(*changes.values())
    ranks = np.argsort(np.argsort(np.abs(difference))) + 1
    signs = np.array(np.meshgrid(*[[0, 1]] * 5)).reshape(5, -1)
    total = ranks @ signs
    observed = ranks[difference > 0].sum()
    exact = 2 * np.mean(total <= observed)
    assert row["statistic"] == observed == 2
    assert row["p"] == pytest.approx(exact, abs=0.06)  # the normal approximation of the default
    assert row["p_fdr"] == row["p"]


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
    assert main([str(raw), str(out), "group"]) == 0
    shown = capsys.readouterr().out
    assert "1 participants with derivatives are in no clinical table: sub-02." in shown
    assert "1 participants of the clinical tables have no derivatives: sub-01." in shown
    assert {row["participant_id"] for row in read(out / "group_volumes.tsv")} == {"sub-02", "sub-03", "sub-04"}


def test_labels_that_lost_their_zeros_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    for path in raw.rglob("sub-*_sessions.tsv"):
        path.unlink()
    text = (raw / "participants.tsv").read_text().replace("sub-0", "")
    (raw / "participants.tsv").write_text(text)
    assert main([str(raw), str(out), "group"]) == 0
    assert "compare the labels (01 is not 1)" in capsys.readouterr().out


@pytest.mark.parametrize("told", [True, False])
def test_session_labels_that_never_meet_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], told: bool
) -> None:
    raw, out, _ = write_cohort(tmp_path, 2)
    if told:
        for path in raw.rglob("sub-*_sessions.tsv"):
            path.write_text(path.read_text().replace("ses-", "ses-0"))
    assert main([str(raw), str(out), "group"]) == 0
    assert ("compare the labels (ses-01 is not ses-1)" in capsys.readouterr().out) is told


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
    assert main([str(raw), str(out), "group"]) == 0
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


def test_exclusions_reach_every_table(tmp_path: Path) -> None:
    cohort = cohort_of(*write_cohort(tmp_path, 3)[:2])
    one = {"participant_id": "sub-01", "session_id": "ses-1", "method": "first", "reason": "rater: shifted"}
    every = {"participant_id": "sub-02", "session_id": "ses-2", "method": "", "reason": "rater: motion"}
    changed = with_exclusions(cohort, pd.DataFrame([one, every]))
    status = changed.volumes.set_index(["participant_id", "session_id", "method"])
    assert status.loc[("sub-01", "ses-1", "first"), "reason"] == "rater: shifted"
    assert len(changed.usable) == len(cohort.usable) - 1 - len(METHODS)
    assert changed.excluded("sub-02", "ses-2", "dbsegment") == "rater: motion"
    assert changed.excluded("sub-01", "ses-1", "dbsegment") == ""
    rows = change(changed)
    assert rows[(rows["participant_id"] == "sub-01") & (rows["method"] == "first")]["delta_ml"].isna().all()
    assert "sub-02" not in set(rows["participant_id"])
    assert "sub-02" in set(change(cohort)["participant_id"])


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


def test_ledger_counts_a_row_once() -> None:
    lost = {"no volume": [True, True, False, False], "no age": [True, False, True, False]}
    row = ledger("crosssectional", "edss", "first", lost, subset="RRMS")
    assert (row["n_total"], row["n_used"], row["lost_no_volume"], row["lost_no_age"]) == (4, 1, 2, 1)
    table = missing_table([row, ledger("change", "", "", {"no date": []})])
    assert list(table.columns)[-3:] == ["lost_no_volume", "lost_no_age", "lost_no_date"]


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


def test_given_pbvc_wins(tmp_path: Path) -> None:
    raw, out, truth = write_cohort(tmp_path, 2)
    table = tmp_path / "pbvc.tsv"
    table.write_text("participant_id\tsession_id_baseline\tsession_id_followup\tpbvc\n01\t1\t2\t-0.75\n02\t1\t2\tn/a\n")
    settings = load(None, {"siena": {"table": table}})
    pbvc = read_cohort(raw, out, settings).pbvc.set_index("participant_id")
    assert (pbvc.loc["sub-01", "pbvc"], pbvc.loc["sub-01", "source"]) == (-0.75, "table")
    assert pbvc.loc["sub-02", "pbvc"] == pytest.approx(truth.pbvc[1])
    assert len(pbvc) == 2


def test_every_cell_keeps_its_precision(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1 / 3, np.nan], "n": [3.0, np.nan], "t": ["x\ty\nz", ""], "b": [True, False]})
    columns = {"a": {"Description": "a"}, "n": {"Format": "integer"}, "t": {}, "b": {}, "absent": {}}
    path = write(Table("group_x", frame, columns), tmp_path)
    assert path.read_text() == (
        "a\tn\tt\tb\tabsent\n0.3333333333333333\t3\tx y z\ttrue\tn/a\nn/a\tn/a\tn/a\tfalse\tn/a\n"
    )
    with pytest.raises(ValueError, match="without a description: b"):
        write(Table("group_x", frame, {"a": {}, "n": {}, "t": {}}), tmp_path)


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


def test_models_that_vanish_are_told_with_their_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame(
        {
            "outcome": ["a", "a", "b", "b", "c", "c", "d"],
            "term": ["x", "age", "x", "age", "x", "age", "x"],
            "estimate": [1.0, np.nan, *[np.nan] * 5],
            "reason": ["", "", *["steroid is missing for everybody"] * 4, None],
        }
    )
    columns = {name: {"Description": name} for name in frame}
    plain = Table("group_volumes", frame[["outcome"]], columns)
    empty = Table("group_mixed", frame[:0], columns)
    assert run.fitted_lines([Table("group_longitudinal", frame, columns), plain, empty]) == [
        "longitudinal: 1 of 4 models fitted: steroid is missing for everybody (2); no reason given (1)."
    ]


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
