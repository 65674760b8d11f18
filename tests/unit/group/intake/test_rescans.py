"""A session that repeats another is no visit; its scans tell the repeatability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cohort import morph_row, write_rows
from tests.unit.group.small import morph
from thalbids.errors import UsageError
from thalbids.group.analyses.trials import retest
from thalbids.group.cohort import Cohort, visit_pairs
from thalbids.group.intake.reading import read_cohort
from thalbids.settings import load


def cohort_of(root: Path, mark: str = "1", **checks: object) -> Cohort:
    """Four people: a baseline, a rescan (ses-1b) on the same day, and a follow-up."""
    raw, out = root / "raw", root / "out"
    for i in range(4):
        person = f"sub-{i}"
        dates = {"1": "2020-01-01", "1b": "2020-01-01T12:00:00", "2": "2021-01-01"}
        rows = [
            {"session_id": f"ses-{label}", "acq_time": date, "edss": 2.0, "rescan_of": mark if label == "1b" else None}
            for label, date in dates.items()
        ]
        write_rows(raw / person / f"{person}_sessions.tsv", rows)
        for label, volume in (("1", 10000 + 100 * i), ("1b", 10050 + 103 * i), ("2", 9800 + 90 * i)):
            morph(out, person, f"ses-{label}", morph_row("first", volume, 0.5 * volume, 0.5 * volume))
    return read_cohort(raw, out, load(None, {"checks": checks}))


def check(cohort: Cohort) -> None:
    assert sorted(set(cohort.visits["session_id"])) == ["ses-1", "ses-2"]
    assert cohort.visits["order"].tolist() == [0, 1] * 4
    assert set(cohort.volumes["session_id"]) == {"ses-1", "ses-2"}
    pairs = visit_pairs(cohort)
    assert set(pairs["session_id_followup"]) == {"ses-2"}
    table, scans = retest.tables(cohort)
    assert len(scans.frame) == 8 and set(scans.frame["scan"]) == {"ses-1", "ses-1b"}
    found = table.frame.set_index(["measure", "quantity"])["estimate"]
    d = np.array([0.05 + 0.003 * i for i in range(4)])
    assert found["total", "sem"] == pytest.approx(np.sqrt(np.sum(d**2) / 8))
    assert found["total", "bias"] == pytest.approx(d.mean()) and found["left", "bias"] == pytest.approx(d.mean() / 2)
    assert any("4 sessions are rescans" in note for note in cohort.notes)


def test_marked_by_a_column(tmp_path: Path) -> None:
    check(cohort_of(tmp_path))


def test_marked_by_a_setting(tmp_path: Path) -> None:
    check(cohort_of(tmp_path, mark="n/a", rescans=["1:1b", "7:8"]))


@pytest.mark.parametrize(("mark", "rescans"), [("9", []), ("1b", []), ("n/a", ["1"])])
def test_wrong_marks_end_with_what_is_wrong(tmp_path: Path, mark: str, rescans: list[str]) -> None:
    with pytest.raises(UsageError, match="rescan"):
        cohort_of(tmp_path, mark, rescans=rescans)
