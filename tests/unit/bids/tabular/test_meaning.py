"""What data dictionaries say of clinical tables is obeyed; odd tables and names are told."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from thalbids.bids.tabular.clinical import ClinicalError, read_clinical, visits
from thalbids.errors import MetadataError
from thalbids.settings import Clinical


def write(root: Path, name: str, *rows: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows).replace("|", "\t") + "\n", encoding="utf-8")
    return path


def described(root: Path, name: str = "participants.json", **columns: object) -> None:
    (root / name).write_text(json.dumps(columns))


def first(root: Path, **settings: Any) -> dict[str, Any]:
    return visits(read_clinical(root, Clinical(**settings)), {}).rows[0]


@pytest.mark.parametrize(
    ("levels", "cell", "sex"),
    [
        ({"1": "male", "2": "female"}, "1", "M"),
        ({"1": "male", "2": "female"}, "2", "F"),
        ({"1": {"Description": "Female participant", "TermURL": "x"}}, "1", "F"),
        ({"M": "female"}, "M", "F"),
        ({"F": "x y"}, "F", "F"),
        ({"9": "not known"}, "9", ""),
        ({"M": "male"}, "F", "F"),
        ({"1": "male", "2": "female"}, "2.0", "F"),
        ({"1.0": "male", "2.0": "female"}, "2", "F"),
    ],
)
def test_levels_of_sex(tmp_path: Path, levels: dict, cell: str, sex: str) -> None:
    write(tmp_path, "participants.tsv", "participant_id|sex", f"sub-01|{cell}")
    described(tmp_path, sex={"Levels": levels})
    assert first(tmp_path)["sex"] == sex


def test_levels_of_diagnosis_and_steroid(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|diagnosis|steroid", "sub-01|2|1")
    described(tmp_path, diagnosis={"Levels": {"1": "healthy control", "2": "relapsing-remitting MS"}},
              steroid={"Levels": {"0": "yes, within four weeks", "1": "no"}})  # fmt: skip
    row = first(tmp_path)
    assert (row["diagnosis"], row["steroid"]) == ("RRMS", 0.0)


def test_a_code_whose_meaning_is_told_and_unknown_stays_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|sex", "sub-01|1")
    with pytest.raises(ClinicalError, match="'1' is not F, M or O"):
        read_clinical(tmp_path, Clinical())


def test_levels_against_the_settings_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|sex", "sub-01|1")
    described(tmp_path, sex={"Levels": {"1": "male", "2": "female"}})
    with pytest.raises(
        MetadataError, match=r"participants.json: sex: '1' is 'male' here, and one of clinical.female_w"
    ):
        read_clinical(tmp_path, Clinical(female_words=("1",)))
    assert first(tmp_path, male_words=("1",), female_words=("2",))["sex"] == "M"


@pytest.mark.parametrize(
    ("column", "unit", "cell", "value"),
    [
        ("disease_duration", "months", "60", 5.0),
        ("age", "Months", "480", 40.0),
        ("age", "yr.", "40", 40.0),
        ("age", "days", "3652.5", 10.0),
        ("t25fw", "msec", "5000", 5.0),
        ("icv_ml", "mm^3", "1400000", 1400.0),
        ("age", "n/a", "40", 40.0),
    ],
)
def test_units(tmp_path: Path, column: str, unit: str, cell: str, value: float) -> None:
    write(tmp_path, "participants.tsv", f"participant_id|{column}", f"sub-01|{cell}")
    described(tmp_path, **{column: {"Units": unit}})
    assert first(tmp_path)[column] == pytest.approx(value)


def test_units_against_the_settings_are_an_error_with_a_line_to_paste(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|disease_duration", "sub-01|60")
    described(tmp_path, disease_duration={"Units": "months"})
    with pytest.raises(MetadataError) as caught:
        read_clinical(tmp_path, Clinical(units={"disease_duration": "weeks"}))
    text = str(caught.value)
    assert "'months' here, and clinical.units says that disease_duration is in weeks" in text
    assert '[clinical.units] disease_duration = "months"' in text
    assert first(tmp_path, units={"disease_duration": "months"})["disease_duration"] == 5.0


def test_a_unit_that_is_not_understood_is_refused_unless_the_settings_say_it(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|age", "sub-01|40")
    described(tmp_path, age={"Units": "score"})
    with pytest.raises(MetadataError, match="the unit 'score' is not understood"):
        read_clinical(tmp_path, Clinical())
    assert first(tmp_path, units={"age": "years"})["age"] == 40


def test_units_hold_for_their_own_table_and_are_inherited_by_sessions(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|age", "sub-01|480")
    described(tmp_path, age={"Units": "months"})
    write(tmp_path, "sub-02/sub-02_sessions.tsv", "session_id|age|t25fw_1", "ses-1|41|5000")
    described(tmp_path, "sessions.json", t25fw_1={"Units": "ms"})
    rows = {row["participant_id"]: row for row in visits(read_clinical(tmp_path, Clinical()), {}).rows}
    assert (rows["sub-01"]["age"], rows["sub-02"]["age"], rows["sub-02"]["t25fw"]) == (40.0, 41.0, 5.0)


def test_ages_that_privacy_cut_are_read_and_counted(tmp_path: Path) -> None:
    cells = ["89+", ">89", "90", "35-40", "n/a", "<18", "\u226590"]
    write(tmp_path, "participants.tsv", "participant_id|age", *(f"sub-{n}|{cell}" for n, cell in enumerate(cells)))
    data = read_clinical(tmp_path, Clinical())
    assert [row["age"] for row in visits(data, {}).rows] == [89.0, 89.0, 90.0, 37.5, None, 18.0, 90.0]
    notes = [note for note in data.notes if note.startswith("warning: participants.tsv")]
    assert sum(int(note.split()[2]) for note in notes) == 5
    assert any("range such as '35-40'; its middle" in note for note in notes)


def test_phenotype_tables_without_our_columns_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|age", "sub-01|40")
    write(tmp_path, "phenotype/a.tsv", "participant_id|item|", "sub-01|1|", "sub-01|2|", "sub-01|3")
    write(tmp_path, "phenotype/b.tsv", "person||", "x|1|2")
    data = read_clinical(tmp_path, Clinical())
    assert [note for note in data.notes if "is not read" in note] == [
        f"phenotype/{name}.tsv is not read: it has none of the columns that thalbids knows." for name in "ab"
    ]
    write(tmp_path, "phenotype/c.tsv", "participant_id|edss|edss", "sub-01|1|2")
    with pytest.raises(MetadataError, match="twice"):
        read_clinical(tmp_path, Clinical())


@pytest.mark.parametrize("masked", ["XXXX-XX-XX", "00:00", "2020-02-30", "1"])
def test_masked_dates_do_not_matter_where_another_table_has_them(tmp_path: Path, masked: str) -> None:
    for session in ("1", "2"):
        write(tmp_path, f"sub-01/ses-{session}/sub-01_ses-{session}_scans.tsv", "filename|acq_time",
              f"anat/sub-01_ses-{session}_T1w.nii.gz|{masked}")  # fmt: skip
    with pytest.raises(ClinicalError, match="is not a date"):
        read_clinical(tmp_path, Clinical())
    write(tmp_path, "sub-01/sub-01_sessions.tsv", "session_id|acq_time", "ses-1|2020-01-01", "ses-2|2021-01-01")
    data = read_clinical(tmp_path, Clinical())
    years = [row["years"] for row in visits(data, {}).rows]
    assert years == pytest.approx([0, 366 / 365.25])
    assert "2 sessions have no usable date in scans.tsv; that of another table counts." in data.notes


@pytest.mark.parametrize("masked", [("1900-01-01", "1900-01-01"), ("1900-01-01", "2021-01-01T10:00:00")])
def test_dates_of_scans_that_cannot_all_be_true_give_way(tmp_path: Path, masked: tuple[str, str]) -> None:
    for session, date in zip("12", masked, strict=True):
        write(tmp_path, f"sub-01/ses-{session}/sub-01_ses-{session}_scans.tsv", "filename|acq_time",
              f"anat/sub-01_ses-{session}_T1w.nii.gz|{date}")  # fmt: skip
    write(tmp_path, "sub-01/sub-01_sessions.tsv", "session_id|acq_time", "ses-1|2020-01-01", "ses-2|2021-01-01")
    found = visits(read_clinical(tmp_path, Clinical()), {})
    assert [row["years"] for row in found.rows] == pytest.approx([0, 366 / 365.25])
    assert "sub-01: the dates of scans.tsv cannot all be true; those of sessions.tsv count." in found.notes


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "annex", "lfs"])
def test_a_broken_participants_table_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "participants.tsv"
    if kind == "link":
        path.symlink_to(".git/annex/objects/x")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        pointer = {"annex": "/annex/objects/MD5-x", "lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:1"}
        path.write_text(pointer[kind])
    with pytest.raises(MetadataError, match=r"participants\.tsv: (only a link|this is not a file)"):
        read_clinical(tmp_path, Clinical())


def test_tables_that_nothing_reads_are_said(tmp_path: Path) -> None:
    for name in (
        "participants.csv", "participants.xlsx", "Participants.tsv", "sessions.tsv", "phenotype/edss.csv", "README.csv"
    ):  # fmt: skip
        write(tmp_path, name, "participant_id")
    warned = "\n".join(note for note in read_clinical(tmp_path, Clinical()).notes if note.startswith("warning:"))
    for name in (
        "participants.csv",
        "participants.xlsx",
        "Participants.tsv",
        "sessions.tsv at the root",
        "phenotype/edss.csv",
    ):
        assert name in warned
    assert "README" not in warned


def test_tables_with_a_dot_in_their_name_are_said_too(tmp_path: Path) -> None:
    for name in ("phenotype/edss.2021.csv", "phenotype/SDMT 12.03.xlsx", "participants.v2.csv"):
        write(tmp_path, name, "participant_id")
    said = read_clinical(tmp_path, Clinical()).notes
    for name, wanted in (
        ("phenotype/edss.2021.csv", "edss.2021"),
        ("phenotype/SDMT 12.03.xlsx", "SDMT 12.03"),
        ("participants.v2.csv", "participants"),
    ):
        text = f"warning: {name} is not read: save it as {wanted}.tsv, with tabs between the cells."
        assert text in said


def test_usual_names_come_with_a_line_for_the_settings(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|Age|Gender|gender|EDSS_score", "sub-01|40|F|F|2")
    data = read_clinical(tmp_path, Clinical())
    assert visits(data, {}).rows[0]["age"] == 40.0
    warned = "\n".join(data.notes)
    assert (
        "participants.tsv: Gender is not used; no column is called sex. If it is that, set [clinical.rename] " in warned
    )
    assert '[clinical.rename] "EDSS_score" = "edss"' in warned
    assert first(tmp_path, rename={"Gender": "sex", "EDSS_score": "edss"})["sex"] == "F"
    write(tmp_path, "participants.tsv", "participant_id|sex|gender", "sub-01|F|M")
    assert not [note for note in read_clinical(tmp_path, Clinical()).notes if "is not used" in note]


def test_100_000_columns_take_seconds(tmp_path: Path) -> None:
    header = "|".join(["participant_id", "edss", *(f"c{number}" for number in range(100_000))])
    write(tmp_path, "participants.tsv", header, *("|".join([f"sub-{n}", "2", *["1"] * 100_000]) for n in range(3)))
    start = time.process_time()
    assert len(visits(read_clinical(tmp_path, Clinical()), {}).rows) == 3
    assert time.process_time() - start < 15


@pytest.mark.parametrize(("name", "key"), [("Disease_Duration", "Units"), ("disease_duration", "units"),
                                           ("DISEASE_DURATION", "Unit")])  # fmt: skip
def test_a_dictionary_whose_names_differ_in_case_is_obeyed(tmp_path: Path, name: str, key: str) -> None:
    write(tmp_path, "participants.tsv", "participant_id|disease_duration", "sub-01|24")
    described(tmp_path, **{name: {key: "months"}})
    assert first(tmp_path)["disease_duration"] == pytest.approx(2)


def test_of_names_that_differ_in_case_only_the_exact_one_counts(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|age", "sub-01|480")
    described(tmp_path, age={"Units": "months"}, AGE={"Units": "years"})
    assert first(tmp_path)["age"] == pytest.approx(40)


@pytest.mark.parametrize(
    ("cell", "description", "steroid"),
    [("0", "None", 0.0), ("no", "none", 0.0), ("none", "none", None), ("2", "unknown", None)],
)
def test_none_of_steroids_is_no_and_not_missing(
    tmp_path: Path, cell: str, description: str, steroid: float | None
) -> None:
    write(tmp_path, "participants.tsv", "participant_id|steroid", f"sub-01|{cell}")
    described(tmp_path, steroid={"Levels": {"1": "given", cell: description}})
    assert first(tmp_path)["steroid"] == steroid


def test_levels_with_a_decimal_comma_are_numbers_too(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|sex", "sub-01|2,0", "sub-02|1")
    described(tmp_path, sex={"Levels": {"1": "male", "2": "female", "2,5": "unknown"}})
    rows = visits(read_clinical(tmp_path, Clinical(decimal_comma=True)), {}).rows
    assert [row["sex"] for row in rows] == ["F", "M"]


def test_levels_whose_names_differ_in_case_are_obeyed(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|Sex", "sub-01|2")
    described(tmp_path, sex={"levels": {"1": "male", "2": "female"}})
    assert first(tmp_path)["sex"] == "F"


@pytest.mark.parametrize(
    ("column", "levels"), [("sex", {"F": "male", "M": "female"}), ("steroid", {"yes": "no", "no": "yes"})]
)
def test_words_that_are_described_as_each_other_are_an_error(tmp_path: Path, column: str, levels: dict) -> None:
    write(tmp_path, "participants.tsv", f"participant_id|{column}", f"sub-01|{next(iter(levels))}")
    described(tmp_path, **{column: {"Levels": levels}})
    with pytest.raises(ClinicalError, match=r"participants\.json: .* each what the other one says"):
        read_clinical(tmp_path, Clinical())


@pytest.mark.parametrize("kind", ["link", "folder", "pointer"])
def test_a_dictionary_that_is_not_here_is_an_error_and_no_absence(tmp_path: Path, kind: str) -> None:
    """Its units would be lost, and months read as years."""
    write(tmp_path, "participants.tsv", "participant_id|disease_duration", "sub-01|24")
    path = tmp_path / "participants.json"
    if kind == "link":
        path.symlink_to(".git/annex/objects/x.json")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("/annex/objects/MD5E-s12--34.json\n")
    with pytest.raises(ClinicalError, match=r"participants\.json"):
        read_clinical(tmp_path, Clinical())


def test_a_unit_that_only_the_description_names_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|disease_duration|age", "sub-01|24|40")
    described(tmp_path, disease_duration={"Description": "Time since onset (months)"}, age={"Description": "in years"})
    (said,) = [note for note in read_clinical(tmp_path, Clinical()).notes if "Units" in note]
    assert "participants.tsv: disease_duration is read in years, but its description speaks of months" in said
    assert said.endswith('set [clinical.units] disease_duration = "months".')
    assert first(tmp_path, units={"disease_duration": "months"})["disease_duration"] == pytest.approx(2)
    assert not [
        note for note in read_clinical(tmp_path, Clinical(units={"disease_duration": "years"})).notes if "Units" in note
    ]


@pytest.mark.parametrize(
    ("description", "unit"),
    [
        ("Timed walk of people with MS", ""),
        ("25 feet (min of two trials)", ""),
        ("Mean, in ms", "ms"),
        ("Time [min]", "min"),
        ("MS: seconds", ""),
    ],
)
def test_the_disease_and_the_minimum_are_no_units(tmp_path: Path, description: str, unit: str) -> None:
    write(tmp_path, "participants.tsv", "participant_id|t25fw", "sub-01|6")
    described(tmp_path, t25fw={"Description": description})
    said = [note for note in read_clinical(tmp_path, Clinical()).notes if "Units" in note]
    assert [f"speaks of {unit} and" in note for note in said] == ([True] if unit else [])


def test_durations_beyond_the_age_are_told_once(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|age|disease_duration", *(f"sub-{n:02}|30|60" for n in range(9)))
    (said,) = visits(read_clinical(tmp_path, Clinical()), {}).notes
    assert said.startswith("warning: the disease duration exceeds the age at 9 visits: sub-00, sub-01")


@pytest.mark.parametrize(
    "name", ["participant.tsv", "participants.tsv.gz", "subjects.csv", "participants_v2.xlsx", "Sessions.csv"]
)
def test_tables_nearly_named_as_ours_are_said(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, "participant_id")
    assert any(f"warning: {name}" in note for note in read_clinical(tmp_path, Clinical()).notes)


def test_copies_of_the_table_of_participants_are_not_said(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|age", "sub-01|4")
    write(tmp_path, "participants_old.tsv", "participant_id|age", "sub-01|5")
    assert read_clinical(tmp_path, Clinical()).notes == []


def test_tables_of_people_that_lie_or_are_named_otherwise_are_said(tmp_path: Path) -> None:
    astray = ["sub-01/sessions.tsv", "sub-02/sub-2_sessions.tsv", "sub-03/sub-03_sessions.csv",
              "sub-04/ses-1/sub-04_sessions.tsv", "sub-05/sub-05_ses-1_scans.tsv"]  # fmt: skip
    right = ["sub-06/sub-06_sessions.tsv", "sub-06/ses-1/sub-06_ses-1_scans.tsv", "sub-07/sub-07_scans.tsv"]
    for name in (*astray, *right):
        write(tmp_path, name, "session_id|edss", "ses-1|2")
    (said,) = [note for note in read_clinical(tmp_path, Clinical()).notes if "another folder" in note]
    assert said.startswith(f"warning: not read, misnamed or in another folder: {', '.join(astray)}. BIDS wants")


@pytest.mark.parametrize(("column", "variable", "unit"), [
    ("age_months", "age", "months"), ("Age in Months", "age", "months"), ("eTIV mm3", "icv_ml", "mm3"),
    ("DiseaseDuration_months", "disease_duration", "months"),
    ("dd_weeks", "disease_duration", "weeks"),
])  # fmt: skip
def test_columns_whose_name_ends_with_a_unit_come_with_it(
    tmp_path: Path, column: str, variable: str, unit: str
) -> None:
    write(tmp_path, "participants.tsv", f"participant_id|{column}", "sub-01|480")
    (said,) = [note for note in read_clinical(tmp_path, Clinical()).notes if "is not used" in note]
    assert said.endswith(f'set [clinical.rename] "{column}" = "{variable}" and [clinical.units] {variable} = "{unit}"')


def test_a_diagnosis_described_as_none_counts_as_missing_and_is_told(tmp_path: Path) -> None:
    write(tmp_path, "participants.tsv", "participant_id|diagnosis", "sub-01|0", "sub-02|0", "sub-03|1")
    described(tmp_path, diagnosis={"Levels": {"0": "None", "1": "RRMS"}})
    data = read_clinical(tmp_path, Clinical())
    assert [row["diagnosis"] for row in visits(data, {}).rows] == ["", "", "RRMS"]
    (note,) = (note for note in data.notes if "described as none" in note)
    assert note == (
        "warning: participants.tsv: 2 cells of diagnosis hold the level '0', described as none, and count as missing; "
        "for people without the disease describe it as healthy control."
    )
