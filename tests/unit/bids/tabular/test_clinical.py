"""Clinical tables as people write them: sources, precedence, words, units, dates, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from thalbids.bids.tabular.clinical import ClinicalData, Visits, read_clinical, visits
from thalbids.errors import MetadataError, NoInputError, ThalbidsError, UsageError
from thalbids.settings import Clinical


def write(root: Path, **tables: str) -> Path:
    """Tables by name (``__`` for a slash); their cells are separated by commas here and by tabs in the file."""
    for name, text in tables.items():
        path = root / (name.replace("__", "/").replace("_dash_", "-") + ".tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.strip("\n").replace(",", "\t").replace("|", ",") + "\n", encoding="utf-8", newline="")
    return root


def put(root: Path, tables: Mapping[str, str]) -> Path:
    return write(root, **tables)


def together(
    root: Path, sessions: Mapping[str, list[str]] | None = None, **settings: Any
) -> tuple[ClinicalData, Visits]:
    data = read_clinical(root, Clinical(**settings))
    return data, visits(data, sessions or {})


def row(made: Visits, person: str = "sub-01", session: str = "") -> dict[str, Any]:
    found = [row for row in made.rows if (row["participant_id"], row["session_id"]) == (person, session)]
    assert len(found) == 1
    return found[0]


def problem(root: Path, **settings: Any) -> str:
    with pytest.raises(MetadataError) as caught:
        read_clinical(root, Clinical(**settings))
    return str(caught.value)


SESSIONS = {"sub-01/sub-01_sessions": "session_id,acq_time,edss,t25fw_1,t25fw_2,steroid\n"
            "ses-1,2022-01-01T10:00:00,2.5,5.0,5.4,n/a\nses-2,2023-01-01T10:00:00,3.0,5.6,n/a,yes"}  # fmt: skip


def test_sources_are_put_together_per_visit(tmp_path: Path) -> None:
    put(
        tmp_path,
        {**SESSIONS, "participants": "participant_id,age,sex,diagnosis,disease_duration\nsub-01,40.0,F,SPMS,8.0"},
    )
    data, made = together(tmp_path)
    first, second = row(made, session="ses-1"), row(made, session="ses-2")
    assert (first["age"], first["sex"], first["female"], first["diagnosis"]) == (40.0, "F", 1.0, "PMS")
    assert (first["diagnosis_given"], first["edss"], first["steroid"]) == ("SPMS", 2.5, None)
    assert (first["t25fw"], first["t25fw_trials"], second["t25fw"], second["t25fw_trials"]) == (5.2, 2, 5.6, 1)
    assert (second["edss"], second["steroid"], second["order"]) == (3.0, 1.0, 1)
    assert second["years"] == pytest.approx(365 / 365.25)
    # a value of the person as a whole is that of the first visit; time passes until the second
    assert second["age"] == pytest.approx(40 + 365 / 365.25)
    assert second["disease_duration"] == pytest.approx(8 + 365 / 365.25)
    assert data.found["edss"] == ["*/*_sessions.tsv: edss"]
    assert made.conflicts == []


def test_a_score_of_the_person_is_never_carried_to_the_follow_up(tmp_path: Path) -> None:
    """Otherwise every change would be 0: an invented number."""
    put(tmp_path, {"participants": "participant_id,edss,sdmt\nsub-01,2.5,50",
                   "sub-01/sub-01_sessions": "session_id,acq_time\nses-1,2022-01-01\nses-2,2023-01-01"})  # fmt: skip
    _, made = together(tmp_path)
    assert (row(made, session="ses-1")["edss"], row(made, session="ses-2")["edss"]) == (2.5, None)
    assert row(made, session="ses-2")["sdmt"] is None


def test_without_dates_age_is_not_carried(tmp_path: Path) -> None:
    put(tmp_path, {"participants": "participant_id,age\nsub-01,40"})
    _, made = together(tmp_path, {"sub-01": ["ses-1", "ses-2"]})
    assert (row(made, session="ses-1")["age"], row(made, session="ses-2")["age"]) == (40.0, None)
    assert row(made, session="ses-2")["years"] is None


def test_precedence_and_conflicts(tmp_path: Path) -> None:
    put(tmp_path, {
        "participants": "participant_id,edss,age,sex\nsub-01,2.0,40,F",
        "phenotype/score": "participant_id,session_id,edss,sdmt\nsub-01,ses-1,2.5,50",
        "sub-01/sub-01_sessions": "session_id,edss,age\nses-1,3.0,40.0",
    })  # fmt: skip
    _, made = together(tmp_path)
    found = row(made, session="ses-1")
    assert (found["edss"], found["sdmt"], found["age"]) == (3.0, 50.0, 40.0)
    told = {(c["variable"], c["value"], c["other_value"], c["source"], c["other_source"]) for c in made.conflicts}
    assert told == {
        ("edss", "3", "2.5", "sub-01/sub-01_sessions.tsv, row 2, edss", "phenotype/score.tsv, row 2, edss"),
        ("edss", "3", "2", "sub-01/sub-01_sessions.tsv, row 2, edss", "participants.tsv, row 2, edss"),
    }


def test_wide_and_long_phenotype(tmp_path: Path) -> None:
    put(tmp_path, {
        "phenotype/wide": "participant_id,edss_ses-1,edss_ses-2,nhpt_1_ses-2,nhpt_2_ses-2\nsub-01,2,3,20,22",
        "phenotype/long": "participant_id,session_id,sdmt\nsub-01,ses-1,50\n01,2,48",
        "phenotype/plain": "participant_id,disease_duration\nsub-01,4",
    })  # fmt: skip
    _, made = together(tmp_path)
    first, second = row(made, session="ses-1"), row(made, session="ses-2")
    assert (first["edss"], first["sdmt"], first["disease_duration"], first["nhpt"]) == (2.0, 50.0, 4.0, None)
    assert (second["edss"], second["sdmt"], second["nhpt"], second["nhpt_trials"]) == (3.0, 48.0, 21.0, 2)


def test_participants_table_with_a_row_per_session(tmp_path: Path) -> None:
    put(tmp_path, {"participants": "participant_id,session_id,edss\n01,1,2\n01,2,3"})
    _, made = together(tmp_path)
    assert [r["edss"] for r in made.rows] == [2.0, 3.0]


def test_identifiers_stay_text(tmp_path: Path) -> None:
    put(tmp_path, {"participants": "participant_id,age\n001,30\nsub-01,40\n1,50\nMÜLLER,60"})
    _, made = together(tmp_path)
    assert {r["participant_id"]: r["age"] for r in made.rows} == {
        "sub-001": 30.0, "sub-01": 40.0, "sub-1": 50.0, "sub-MÜLLER": 60.0,
    }  # fmt: skip


def test_what_spreadsheets_leave_behind(tmp_path: Path) -> None:
    text = "\ufeffparticipant_id \tAGE\t sex\tEDSS \r\nsub-01\t40 \t F \t 2.5\r\n\r\nsub-01\t40\tF\t2.5\r\n\t\t\t\r\n"
    (tmp_path / "participants.tsv").write_text(text, encoding="utf-8", newline="")
    data, made = together(tmp_path)
    found = row(made)
    assert (found["age"], found["sex"], found["edss"]) == (40.0, "F", 2.5)
    assert any("the same as row 2" in note for note in data.notes)


def test_decimal_comma(tmp_path: Path) -> None:
    put(tmp_path, {"participants": "participant_id,age,edss\nsub-01,40|5,2|5"})
    assert "give a file by --config: [clinical] decimal_comma = true" in problem(tmp_path)
    _, made = together(tmp_path, decimal_comma=True)
    assert (row(made)["age"], row(made)["edss"]) == (40.5, 2.5)
    put(tmp_path, {"participants": "participant_id,age\nsub-01,1.040|5"})
    assert "'1.040,5' is not a number" in problem(tmp_path, decimal_comma=True)


def test_mapping(tmp_path: Path) -> None:
    put(tmp_path, {
        "participants": "id,Alter,Geschlecht,Dx,steroids\n01,480,weiblich,Gesund,ja\n02,492,mann,MS-R,nix",
        "phenotype/msfc": "id,visit,score,walk A,walk B,pegs\n01,1,-99,5000,6000,20000\n01,2,-99.0,5500,n/a,NA",
    })  # fmt: skip
    settings = {
        "rename": {"id": "participant_id", "visit": "session_id", "Alter": "age", "Geschlecht": "sex",
                   "Dx": "diagnosis", "msfc.tsv:score": "sdmt", "pegs": "nhpt", "steroids": "steroid"},
        "missing_codes": ("-99",), "units": {"age": "months", "t25fw": "ms", "nhpt": "ms"},
        "trials": {"t25fw": ("walk A", "walk B")}, "false_words": ("nix",), "male_words": ("mann",),
        "diagnosis_groups": {"HC": ("Gesund",), "RRMS": ("MS-R",)},
    }  # fmt: skip
    _, made = together(tmp_path, {"sub-01": ["ses-1", "ses-2"]}, **settings)
    first, second, other = row(made, session="ses-1"), row(made, session="ses-2"), row(made, "sub-02")
    assert (first["age"], first["sex"], first["diagnosis"], first["diagnosis_given"]) == (40.0, "F", "HC", "Gesund")
    assert (first["t25fw"], first["t25fw_trials"], first["nhpt"], first["sdmt"]) == (5.5, 2, 20.0, None)
    assert (second["t25fw"], second["t25fw_trials"], second["nhpt"]) == (5.5, 1, None)
    assert (other["age"], other["sex"], other["diagnosis"], other["steroid"]) == (41.0, "M", "RRMS", 0.0)


@pytest.mark.parametrize(
    ("columns", "cells", "nhpt", "trials"),
    [
        ("nhpt_1,nhpt_2", "20,22", 21.0, 2),
        ("nhpt_dom_1,nhpt_dom_2,nhpt_nondom_1,nhpt_nondom_2", "20,22,24,26", 23.0, 4),
        # the mean of the hands' means: 21 and 26, not the mean of the three trials
        ("nhpt_dom_1,nhpt_dom_2,nhpt_nondom_1,nhpt_nondom_2", "20,22,26,n/a", 23.5, 3),
        ("nhpt_dom,nhpt_nondom", "20,24", 22.0, 2),
        ("nhpt_dom_1,nhpt_nondom_1", "20,n/a", None, None),  # one hand is not the mean of both
        ("nhpt", "21.5", 21.5, None),
    ],
)
def test_trials(tmp_path: Path, columns: str, cells: str, nhpt: float | None, trials: int | None) -> None:
    put(tmp_path, {"participants": f"participant_id,{columns}\nsub-01,{cells}"})
    _, made = together(tmp_path)
    assert (row(made)["nhpt"], row(made)["nhpt_trials"]) == (nhpt, trials)


def test_a_mean_that_contradicts_its_trials_is_reported(tmp_path: Path) -> None:
    put(tmp_path, {"participants": "participant_id,t25fw,t25fw_1,t25fw_2\nsub-01,5.3,5.0,5.5\nsub-02,9.0,5.0,5.5"})
    _, made = together(tmp_path)
    assert row(made, "sub-02")["t25fw"] == 5.25
    assert [(c["participant_id"], c["other_value"]) for c in made.conflicts] == [("sub-02", "9")]


@pytest.mark.parametrize(
    ("column", "cell", "what"),
    [
        ("edss", "10.5", "is out of range (from 0 to 10)"),
        ("edss", "-1", "is out of range"),
        ("edss", "2.3", "is not a multiple of 0.5"),
        ("sdmt", "111", "is out of range (from 0 to 110)"),
        ("sdmt", "-99", "is out of range"),
        ("t25fw_1", "0", "is out of range (above 0)"),
        ("nhpt_dom_2", "-20", "is out of range (above 0)"),
        ("t25fw", "1e999", "is out of range"),
        ("age", "forty", "is not a number"),
        ("age", "89-", "is not a number"),
        ("age", "1_0", "is not a number"),
        ("age", "inf", "is not a number"),
        ("age", "٤٠", "is not a number"),
        ("sex", "2", "is not F, M or O"),
        ("steroid", "maybe", "is not yes or no"),
        ("acq_time", "31.05.2024", "is not a date"),
        ("acq_time", "2024-02-30", "is not a date"),
    ],
)
def test_impossible_values_name_file_row_column_and_value(tmp_path: Path, column: str, cell: str, what: str) -> None:
    put(tmp_path, {"participants": f"participant_id,{column}\nsub-02,n/a\n\nsub-01,{cell}"})
    text = problem(tmp_path)
    assert f"participants.tsv, row 4, {column}: {cell!r} {what}" in text
    data, made = together(tmp_path, violations="missing")
    assert row(made)[column if column in row(made) else column.split("_")[0]] in (None, "")
    assert len(data.problems) == 1


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    rows = "\n".join(f"sub-{i},{i}.3" for i in range(1, 9))
    put(tmp_path, {"participants": f"participant_id,edss\n{rows}"})
    assert problem(tmp_path).count("is not a multiple") == 8
    rows = "\n".join(f"sub-{i},999" for i in range(1, 31))
    put(tmp_path, {"participants": f"participant_id,edss\n{rows}"})
    assert "and 10 more" in problem(tmp_path)


@pytest.mark.parametrize(
    ("tables", "what"),
    [
        ({"participants": "participant_id,age,age\nsub-01,4,5"}, "column 'age' is there twice"),
        ({"participants": "participant_id,age\nsub-01,40,F"}, "row 2 has 3 cells, the header has 2"),
        ({"participants": "subject,age\nsub-01,40"}, "no column participant_id"),
        ({"participants": "participant_id;age\nsub-01;40"}, "Its columns are separated by ';': save it with tabs"),
        ({"participants": "participant_id  age\nsub-01  40"}, "Its columns are separated by blanks: save it with tabs"),
        ({"participants": ""}, "no header"),
        (
            {"participants": "participant_id,age\nsub-01,40\n01,41"},
            "sub-01 is there twice, with other values than row 2",
        ),
        ({"sub-01/sub-01_sessions": "session_id,edss\nses-1,2\n1,3"}, "sub-01 ses-1 is there twice"),
        (
            {"sub-01/sub-01_sessions": "participant_id,session_id,edss\nsub-02,ses-1,2"},
            "'sub-02' is another participant",
        ),
    ],
)
def test_broken_tables(tmp_path: Path, tables: Mapping[str, str], what: str) -> None:
    assert what in problem(put(tmp_path, tables))


def test_columns_without_a_name_are_told_once_and_left_out(tmp_path: Path) -> None:
    visits = {f"sub-0{n}/sub-0{n}_sessions": "session_id,,edss\nses-1,,2" for n in (1, 2)}
    data, made = together(
        put(tmp_path, {**visits, "participants": "participant_id,age,,,\nsub-01,40,,n/a,\nsub-02,41"})
    )
    assert [note for note in data.notes if "name" in note] == [
        "warning: participants.tsv: no name in the header, left out: column 3, 4, 5.",
        "warning: */*_sessions.tsv: no name in the header, left out: column 2.",
    ]
    assert not data.unused
    assert row(made, "sub-02", "ses-1")["edss"] == 2.0 and row(made, "sub-02", "ses-1")["age"] == 41.0
    put(tmp_path, {"participants": "participant_id,age,,\nsub-01,40,,\nsub-02,41,,x"})
    assert "participants.tsv: column 4 has no name. Give it a name, or delete it: row 3" in problem(tmp_path)


def test_errors_of_a_spreadsheet_are_missing_and_told_once_a_column(tmp_path: Path) -> None:
    people = "sub-01,#N/A,#REF!,#DIV/0!,#NAME?\nsub-02,#WERT!,RRMS,2,##\nsub-03,50,HC,Err:502,Bern"
    visits = {f"sub-0{n}/sub-0{n}_sessions": "session_id,sdmt\nses-1,#VALUE!" for n in (1, 2)}
    data, made = together(
        put(tmp_path, {**visits, "participants": f"participant_id,age,diagnosis,edss,site\n{people}"})
    )
    assert [note for note in data.notes if "spreadsheet" in note] == [
        f"warning: {where} with an error of a spreadsheet ({cell}) counted as missing. Correct the formulas, or leave "
        "such cells empty."
        for where, cell in (
            ("participants.tsv: age: 2 cells", "'#N/A'"),
            ("participants.tsv: diagnosis: 1 cell", "'#REF!'"),
            ("participants.tsv: edss: 2 cells", "'#DIV/0!'"),
            ("participants.tsv: site: 2 cells", "'#NAME?'"),
            ("*/*_sessions.tsv: sdmt: 2 cells", "'#VALUE!'"),
        )
    ]
    first, third = row(made, "sub-01", "ses-1"), row(made, "sub-03")
    assert [first[name] for name in ("age", "diagnosis", "edss", "site", "sdmt")] == [None, "", None, "", None]
    assert (third["age"], third["diagnosis"], third["edss"], third["site"]) == (50.0, "HC", None, "Bern")


def test_a_row_whose_person_or_visit_is_an_error_of_a_spreadsheet_is_not_used(tmp_path: Path) -> None:
    tables = {
        "participants": "participant_id,age\nsub-01,40\n#REF!,50\n#N/A,60",
        "sub-01/sub-01_sessions": "participant_id,session_id,acq_time,edss\n#REF!,ses-1,2020-01-01,1\n"
        "sub-01,#NAME?,2021-01-01,7",  # who it is the name of the file tells
    }
    data, made = together(put(tmp_path, tables))
    assert [(key, entry.value) for key, values in data.values.items() for entry in values.get("edss", [])] == [
        (("sub-01", "ses-1"), 1.0)
    ]
    assert set(data.values) == {("sub-01", None), ("sub-01", "ses-1")} and data.listed == {"sub-01"}
    assert row(made, "sub-01", "ses-1")["acq_time"].startswith("2020-01-01")
    assert [note for note in data.notes if "spreadsheet" in note] == [
        f"warning: {where} is an error of a spreadsheet ({cell}); the row is not used. Correct the formula."
        for where, cell in (
            ("participants.tsv, row 3: participant_id", "#REF!"),
            ("participants.tsv, row 4: participant_id", "#N/A"),
            ("sub-01/sub-01_sessions.tsv, row 3: session_id", "#NAME?"),
        )
    ]


def test_a_level_of_the_data_dictionary_may_look_like_an_error(tmp_path: Path) -> None:
    put(tmp_path, {"participants": "participant_id,diagnosis\nsub-01,#N/A"})
    (tmp_path / "participants.json").write_text('{"diagnosis": {"Levels": {"#N/A": "healthy control"}}}')
    data, made = together(tmp_path)
    assert row(made, "sub-01")["diagnosis"] == "HC" and not data.notes


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_bytes("participant_id\tsite\nsub-01\tKöln\n".encode("latin-1"))
    assert "not UTF-8" in problem(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "days"),
    [
        ("2023-01-01T10:00:00", "2024-01-01T10:00:00.250000", 365 + 0.25 / 86400),
        ("2023-01-01", "2023-01-31T12:00:00", 30.5),
        ("2023-06-01T10:00:00+02:00", "2023-06-02T08:00:00Z", 1.0),
        ("1890-01-01T10:00:00", "1891-01-01T10:00:00", 365.0),  # shifted before 1925, as BIDS asks for
        ("0950-01-01T10:00:00", "0951-01-01T10:00:00", 365.0),
    ],
)
def test_dates(tmp_path: Path, first: str, second: str, days: float) -> None:
    put(tmp_path, {"sub-01/sub-01_sessions": f"session_id,acq_time\nses-1,{first}\nses-2,{second}"})
    _, made = together(tmp_path)
    assert row(made, session="ses-2")["years"] == pytest.approx(days / 365.25, rel=1e-12)


def test_dates_that_were_not_all_shifted_are_not_used(tmp_path: Path) -> None:
    put(tmp_path, {"sub-01/sub-01_sessions": "session_id,acq_time\nses-1,1890-01-01\nses-2,2023-01-01"})
    _, made = together(tmp_path)
    assert [r["years"] for r in made.rows] == [None, None]
    assert "not all shifted alike" in made.notes[0]


def test_scans_have_the_best_date(tmp_path: Path) -> None:
    put(tmp_path, {
        "sub-01/sub-01_sessions": "session_id,acq_time\nses-1,2023-01-01\nses-2,2024-01-01",
        "sub-01/ses-1/sub-01_ses-1_scans": "filename,acq_time\nanat/sub-01_ses-1_FLAIR.nii.gz,2023-01-01T09:00:00\n"
                                           "anat/sub-01_ses-1_T1w.nii.gz,2023-01-01T12:00:00",
        "sub-01/ses-2/sub-01_ses-2_scans": "filename,acq_time\nanat/sub-01_ses-2_T1w.nii.gz,2024-01-05T12:00:00",
    })  # fmt: skip
    _, made = together(tmp_path)
    assert row(made, session="ses-1")["acq_time"] == "2023-01-01T12:00:00"
    assert row(made, session="ses-2")["years"] == pytest.approx(369 / 365.25)
    assert [(c["session_id"], c["variable"]) for c in made.conflicts] == [("ses-2", "acq_time")]


def test_scans_of_a_dataset_without_sessions(tmp_path: Path) -> None:
    put(tmp_path, {"sub-01/sub-01_scans": "filename,acq_time\nanat/sub-01_T1w.nii.gz,2023-01-01",
                   "participants": "participant_id,age\nsub-01,40"})  # fmt: skip
    _, made = together(tmp_path, {"sub-01": [""]})
    assert (row(made)["acq_time"], row(made)["age"]) == ("2023-01-01T00:00:00", 40.0)


def test_dates_order_the_sessions(tmp_path: Path) -> None:
    put(tmp_path, {"sub-01/sub-01_sessions": "session_id,acq_time\nses-1,2024-01-01\nses-2,2023-01-01"})
    _, made = together(tmp_path)
    assert [(r["session_id"], r["order"]) for r in made.rows] == [("ses-2", 0), ("ses-1", 1)]
    assert "order the sessions otherwise" in made.notes[0]
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").unlink()
    _, made = together(tmp_path, {"sub-01": ["ses-10", "ses-9"]})
    assert [r["session_id"] for r in made.rows] == ["ses-9", "ses-10"]


def test_cells_are_never_paths(tmp_path: Path) -> None:
    put(tmp_path / "raw", {"participants": "participant_id,age\n../../secret,40\n/etc/passwd,41\nsub-01,<b>"})
    (tmp_path / "secret").mkdir()
    data, made = together(tmp_path / "raw", violations="missing")
    assert {r["participant_id"] for r in made.rows} == {"sub-../../secret", "sub-/etc/passwd", "sub-01"}
    assert len(data.problems) == 1


def test_images_are_not_touched_and_nothing_is_needed(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz").symlink_to(tmp_path / "gone")
    data, made = together(tmp_path, {"sub-01": ["ses-1"]})
    assert data.values == {}
    assert row(made, session="ses-1")["sex"] == ""
    with pytest.raises(NoInputError):
        read_clinical(tmp_path / "none", Clinical())


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"rename": {"x": "edsss"}}, "means nothing"),
        ({"units": {"age": "fortnights"}}, "unknown unit of age"),
        ({"units": {"agee": "months"}}, "Did you mean 'age'"),
        ({"trials": {"sdmt": ("a",)}}, "has no trials"),
        ({"diagnosis_groups": {"A": ("x",), "B": ("X",)}}, "is in two groups"),
    ],
)
def test_settings_that_contradict_themselves(tmp_path: Path, settings: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        read_clinical(tmp_path, dataclasses.replace(Clinical(), **settings))


def test_participant_labels_limit_what_is_read(tmp_path: Path) -> None:
    put(tmp_path, {**SESSIONS, "sub-02/sub-02_sessions": "session_id,edss\nses-1,99",
                   "participants": "participant_id,age\nsub-01,40\nsub-02,999"})  # fmt: skip
    with pytest.raises(ThalbidsError):
        read_clinical(tmp_path, Clinical())
    assert {person for person, _ in read_clinical(tmp_path, Clinical(), ["01"]).values} == {"sub-01"}
