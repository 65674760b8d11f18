"""A given table of PBVC: one reader, and the same answer at the participant and at the group level."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from thalbids.bids.results.derivatives import read_pbvc_table
from thalbids.bids.tabular.pbvc import read_given
from thalbids.errors import MetadataError
from thalbids.participant.stages.person.siena import given_row

HEAD = "participant_id\tsession_id_baseline\tsession_id_followup\tpbvc"


def table(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "pbvc.tsv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_labels_with_and_without_their_prefix(tmp_path: Path) -> None:
    given = read_given(table(tmp_path, "01\t1\t2\t-1e-1", "sub-02\tses-1\tses-2\tn/a"))
    assert given["sub-01", "ses-1", "ses-2"].pbvc == -0.1
    assert given["sub-02", "ses-1", "ses-2"].status == "missing"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["01\t1\t2\tabc"], "row 2, pbvc: 'abc' is not a number"),
        (["01\t1\t2\tinf"], "'inf' is not a number"),
        (["01\t1\t2\t1", "sub-01\tses-1\tses-2\t1"], "row 3, participant_id: 'sub-01' stands there twice"),
        ([], "not a table of PBVC values"),
    ],
)
def test_what_is_wrong_stops_both_levels(tmp_path: Path, rows: list[str], problem: str) -> None:
    path = table(tmp_path, *rows)
    with pytest.raises(MetadataError, match=problem):
        given_row(path, "01", "1", "2")
    with pytest.raises(MetadataError, match=problem):
        read_pbvc_table(path)


@pytest.mark.parametrize(
    ("cell", "status", "reason"),
    [
        ("-0.75", "ok", ""),
        ("-45", "excluded", "a change of -45.0 % is not plausible"),
        ("n/a", "missing", "n/a in the given table"),
    ],
)
def test_both_levels_give_one_answer(tmp_path: Path, cell: str, status: str, reason: str) -> None:
    path = table(tmp_path, f"01\t1\t2\t{cell}")
    own, (group,) = given_row(path, "01", "1", "2"), read_pbvc_table(path)
    assert (own["status"], own.get("reason", "")) == (group["status"], group["reason"]) == (status, reason)
    assert math.isnan(group["pbvc"]) if cell == "n/a" else own["pbvc"] == group["pbvc"] == float(cell)


def test_a_row_that_is_said_not_to_be_ok_is_not_used(tmp_path: Path) -> None:
    path = table(tmp_path, "01\t1\t2\t-1\texcluded\tmotion", head=HEAD + "\tstatus\treason")
    assert given_row(path, "01", "1", "2") == {"pbvc": -1.0, "status": "excluded", "reason": "motion"}


def test_the_group_level_takes_the_participants_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, "01\t1\t2\t-1", "02\t1\t2\t-1")
    assert [row["participant_id"] for row in read_pbvc_table(path, ["02"])] == ["sub-02"]
