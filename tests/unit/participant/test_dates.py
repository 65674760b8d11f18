"""Dates of visits for the participant level; clinical tables that cannot be used cost the rates only."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.participant.dates import years_of
from thalbids.settings import Clinical, Group
from thalbids.types import Session

VISITS = [Session("01", "a", {}), Session("01", "b", {}), Session("02", "a", {})]


def dataset(root: Path, *lines: str) -> Path:
    (root / "sub-01").mkdir(parents=True)
    table = "\n".join("\t".join(line.split()) for line in ("session_id acq_time", *lines))
    (root / "sub-01" / "sub-01_sessions.tsv").write_text(f"{table}\n")
    return root


def test_years_since_the_first_date(tmp_path: Path) -> None:
    found, told = years_of(dataset(tmp_path, "ses-a 2022-03-01", "ses-b 2020-03-01"), VISITS, Clinical(), Group())
    assert told == ""
    assert found == {"01": {"a": pytest.approx(730 / 365.25), "b": 0.0}}


def test_a_visit_without_a_date(tmp_path: Path) -> None:
    found, _ = years_of(dataset(tmp_path, "ses-a 2022-03-01", "ses-b n/a"), VISITS, Clinical(), Group())
    assert found == {"01": {"a": 0.0}}


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    found, told = years_of(dataset(tmp_path, "ses-a soon", "ses-b 2020-03-01"), VISITS, Clinical(), Group())
    assert found == {}
    assert "no rates" in told


def test_renamed_columns_of_the_user_are_known_as_at_the_group_level(tmp_path: Path) -> None:
    raw = dataset(tmp_path, "ses-a 2020-03-01", "ses-b 2022-03-01")
    renamed = Clinical(rename={"FSMC": "fatigue"})
    found, told = years_of(raw, VISITS, renamed, Group(outcomes=("edss", "fatigue")))
    assert (set(found["01"]), told) == ({"a", "b"}, "")
    found, told = years_of(raw, VISITS, renamed, Group())
    assert found == {}
    assert "no rates" in told and "means nothing" in told
