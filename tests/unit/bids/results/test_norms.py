"""z of single people, read from the table of the group level."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.bids.results.norms import TABLE, Norm, read_norms
from thalbids.errors import MetadataError
from thalbids.files import write_table
from thalbids.group.analyses.description.normative import NORMATIVE


def row(**values: object) -> dict[str, object]:
    return {
        "participant_id": "sub-01", "session_id": "ses-1", "method": "synthalT1w", "diagnosis": "PMS",
        "volume_ml": 10.5, "expected_ml": 12.5, "prediction_sd_ml": 1.0, "z": -2.0, "percentile": 3.1,
        "n_controls": 20, "adjusted_for": "age sex", "reason": "", **values,
    }  # fmt: skip


def test_rows_of_the_asked_people_by_session(tmp_path: Path) -> None:
    rows = [row(), row(session_id="ses-2", z=None, percentile=None, reason="no age"), row(participant_id="sub-011"),
            row(participant_id="sub-02", session_id="n/a")]  # fmt: skip
    write_table(tmp_path / TABLE, rows, list(NORMATIVE))
    found, unread = read_norms(tmp_path, {"sub-01", "sub-02"})
    assert unread == []
    norm = Norm("synthalT1w", 10.5, -2.0, 3.1, 20, "age sex", "")
    assert found == {
        "sub-01_ses-1": (norm,), "sub-02": (norm,),
        "sub-01_ses-2": (Norm("synthalT1w", 10.5, None, None, 20, "age sex", "no age"),),
    }  # fmt: skip


def test_without_a_group_level_there_is_none(tmp_path: Path) -> None:
    assert read_norms(tmp_path, {"sub-01"}) == ({}, [])


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    (tmp_path / TABLE).write_text("participant_id\tz\nsub-01\t1\n", encoding="utf-8")
    with pytest.raises(MetadataError, match="another version"):
        read_norms(tmp_path, {"sub-01"})


@pytest.mark.parametrize("damage", ["sub-01\tses-1\n", "sub-01\tses-1\tfirst\tPMS\tnine\t" + "1\t" * 6 + "n/a\n"])
def test_a_damaged_row_costs_itself_only(tmp_path: Path, damage: str) -> None:
    write_table(tmp_path / TABLE, [row(), row(participant_id="sub-02")], list(NORMATIVE))
    with (tmp_path / TABLE).open("a", encoding="utf-8") as stream:
        stream.write(damage)
    norms, (unread,) = read_norms(tmp_path, {"sub-01", "sub-02"})
    assert set(norms) == {"sub-01_ses-1", "sub-02_ses-1"} and len(norms["sub-01_ses-1"]) == 1
    assert unread.startswith("row 4 (sub-01_ses-1")
