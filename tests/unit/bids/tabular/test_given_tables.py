"""Given tables of PBVC and intracranial volume: nothing is lost silently, all that is wrong is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.bids.tabular.given_tables import check_tables, people_of, read_icv
from thalbids.bids.tabular.pbvc import read_given
from thalbids.cli.main import main
from thalbids.errors import MetadataError

PEOPLE = {"sub-01": {"ses-1", "ses-2"}, "sub-02": {"ses-01", "ses-02"}}
PBVC = "participant_id\tsession_id_baseline\tsession_id_followup\tpbvc"


def dataset(folder: Path, people: dict[str, set[str]]) -> Path:
    """A raw dataset of folders alone."""
    for person, sessions in people.items():
        (folder / "raw" / person / "anat").mkdir(parents=True)
        for session in sessions:
            (folder / "raw" / person / session).mkdir()
    return folder / "raw"


def table(folder: Path, *rows: str) -> Path:
    path = folder / "given.tsv"
    path.write_text("\n".join(rows).replace(" ", "\t") + "\n")
    return path


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("-0.55%", "row 2, pbvc: '-0.55%' is not a number"),
        ("-0,55", "row 2, pbvc: '-0,55' is not a number (write a decimal point)"),
        ("abc", "row 2, pbvc: 'abc' is not a number"),
        ("nan", "row 2, pbvc: 'nan' is not a number"),
        ("1e400", "row 2, pbvc: '1e400' is out of range"),
        ("-101", "row 2, pbvc: '-101' is no change in percent"),
    ],
)
def test_pbvc_cells(tmp_path: Path, cell: str, said: str) -> None:
    with pytest.raises(MetadataError) as caught:
        read_given(table(tmp_path, PBVC, f"sub-01 ses-1 ses-2 {cell}"))
    assert said in str(caught.value)


def test_every_problem_is_listed(tmp_path: Path) -> None:
    with pytest.raises(MetadataError) as caught:
        read_given(table(tmp_path, PBVC, "01 1 2 -0.5", "sub-01 ses-1 ses-2 -0.6", "a_b 1 1 x"))
    text = str(caught.value)
    assert "row 3, participant_id: 'sub-01' stands there twice (sub-01 ses-1 ses-2)" in text
    assert "row 4, participant_id: 'a_b' is no label" in text
    assert "row 4, session_id_followup: '1' is the baseline itself" in text
    assert "row 4, pbvc: 'x' is not a number" in text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1 1 2 -1", "row 2, participant_id: '1' is not in the dataset; sub-01 is"),
        ("sub-9 1 2 -1", "row 2, participant_id: 'sub-9' is not in the dataset"),
        ("sub-01 ses-01 ses-2 -1", "row 2, session_id_baseline: 'ses-01' is not in the dataset; ses-1 is"),
        ("sub-02 01 2 -1", "row 2, session_id_followup: '2' is not in the dataset; ses-02 is"),
    ],
)
def test_ids_that_nobody_has_are_refused(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(MetadataError) as caught:
        check_tables([dataset(tmp_path, PEOPLE)], pbvc=table(tmp_path, PBVC, row))
    assert said in str(caught.value)


def test_ids_of_the_dataset_pass(tmp_path: Path) -> None:
    raw = dataset(tmp_path, PEOPLE)
    check_tables([raw], pbvc=table(tmp_path, PBVC, "01 1 2 -1", "sub-02 ses-01 ses-02 n/a"))
    for session in PEOPLE["sub-01"]:
        (raw / "sub-01" / session).rmdir()
    check_tables([raw], icv=table(tmp_path, "participant_id session_id icv_mm3", "01 n/a 1.4e6"))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1500", "is no intracranial volume (from 400000 to 2500000 mm^3); is it in mL?"),
        ("-5", "'-5' is no intracranial volume"),
        ("nan", "'nan' is not a number"),
        ("1.4e7", "'1.4e7' is no intracranial volume"),
        ("1400000,5", "write a decimal point"),
    ],
)
def test_icv_cells(tmp_path: Path, cell: str, said: str) -> None:
    with pytest.raises(MetadataError) as caught:
        read_icv(table(tmp_path, "participant_id icv_mm3", f"sub-01 {cell}"))
    assert "row 2, icv_mm3" in str(caught.value) and said in str(caught.value)


def test_icv_by_person_and_visit(tmp_path: Path) -> None:
    path = table(tmp_path, "participant_id session_id icv_mm3", "01 1 1.4e6", "01 2 n/a", "02 n/a 1.5e6")
    assert read_icv(path) == {("sub-01", "ses-1"): 1.4e6, ("sub-02", None): 1.5e6}
    with pytest.raises(MetadataError, match="is there twice"):
        read_icv(table(tmp_path, "participant_id icv_mm3", "01 1.4e6", "sub-01 1.5e6"))


def test_people_are_those_with_a_folder(tmp_path: Path) -> None:
    for name in ("raw/sub-01/ses-1", "raw/sub-1_2/ses-1", "out/sub-01/ses-2", "out/sub-03/anat"):
        (tmp_path / name).mkdir(parents=True)
    assert people_of(tmp_path / "raw", tmp_path / "out", tmp_path / "nowhere") == {
        "sub-01": {"ses-1", "ses-2"}, "sub-03": set(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "rows", "said"),
    [
        ("--pbvc-table={}", (PBVC, "1 1 2 -1"), "sub-01 is"),
        ("--derivatives=icv={}", ("participant_id icv_mm3", "sub-01 1500"), "is it in mL?"),
    ],
)
def test_a_run_is_not_started(tmp_path: Path, capsys, option: str, rows: tuple[str, ...], said: str) -> None:
    for session in ("ses-1", "ses-2"):
        image = tmp_path / "raw/sub-01" / session / f"anat/sub-01_{session}_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        image.touch()
    option = option.format(table(tmp_path, *rows))
    assert main([str(tmp_path / "raw"), str(tmp_path / "out"), "participant", option]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
