"""Which session is the baseline, which the follow-up, and where people were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cohort import morph_row, write_rows
from tests.people import make_cohort
from tests.unit.group.small import cohort_of, morph
from thalbids.bids.tabular.clinical import ClinicalError
from thalbids.group.analyses.description import who
from thalbids.group.cohort import Cohort, baseline, visit_pairs
from thalbids.group.intake.reading import read_cohort
from thalbids.group.modelling import samples
from thalbids.settings import Group, Settings, load


def people(**group: Any) -> Cohort:
    """sub-1: visits after 0, 0.5, 1 and 3 years; sub-2: the first session failed; sub-3: without dates."""
    visits, volumes = [], []
    for person, years in (("sub-1", (0, 0.5, 1, 3)), ("sub-2", (0, 1, 2)), ("sub-3", (None, None))):
        for order, when in enumerate(years):
            key = {"participant_id": person, "session_id": f"ses-{order + 1}"}
            visits.append(
                {**key, "order": order, "years": float("nan") if when is None else float(when), "edss": order / 2}
            )
            failed = {"status": "failed", "reason": "no head"} if (person, order) == ("sub-2", 0) else {}
            volumes.append({**key, "method": "first", "volume_ml": 10.0 - order, **failed})
    return make_cohort(visits, volumes, settings=Settings(group=Group(**group)))


def ends(cohort: Cohort, pair: str = "first:last") -> list[tuple[str, str, str]]:
    rows = visit_pairs(cohort, pair)[["participant_id", "session_id_baseline", "session_id_followup"]]
    return [tuple(row) for row in rows.itertuples(index=False)]  # type: ignore[misc]


def test_the_first_session_with_a_volume_is_the_baseline_and_others_are_named() -> None:
    cohort = people()
    assert list(baseline(cohort)["session_id"]) == ["ses-1", "ses-2", "ses-1"]
    assert ends(cohort) == [("sub-1", "ses-1", "ses-4"), ("sub-2", "ses-2", "ses-3"), ("sub-3", "ses-1", "ses-2")]
    table = who.tables(cohort)[1]
    (row,) = table.frame.to_dict("records")
    assert (row["participant_id"], row["session_id_first"], row["session_id"]) == ("sub-2", "ses-1", "ses-2")
    assert row["years_later"] == 1 and row["reason"] == "failed (no head)"
    assert table.notes == [
        "warning: the baseline of 1 participants is not their first session: sub-2 ses-2 (group_baselines)."
    ]


@pytest.mark.parametrize(
    ("which", "expected"),
    [("first-visit", ["sub-1", "sub-3"]), ("ses-2", ["sub-1", "sub-2", "sub-3"]), ("2", ["sub-1", "sub-2", "sub-3"])],
)
def test_the_baseline_is_a_setting(which: str, expected: list[str]) -> None:
    cohort = people(baseline=which)
    rows = baseline(cohort)
    assert list(rows["participant_id"]) == expected
    assert set(rows["session_id"]) == ({"ses-1"} if which == "first-visit" else {"ses-2"})
    if which == "2":
        assert ends(cohort) == [("sub-1", "ses-2", "ses-4"), ("sub-2", "ses-2", "ses-3")]
        assert samples.pairs(cohort).table["d_edss"].tolist() == [1.0, 0.5]
    if which == "first-visit":
        assert "is missing: sub-2" in who.tables(cohort)[1].notes[0]
    else:
        assert not who.tables(cohort)[1].notes


def test_a_window_of_follow_up() -> None:
    cohort = people(followup_from=0.75, followup_to=1.5)
    assert ends(cohort) == [("sub-1", "ses-1", "ses-3"), ("sub-2", "ses-2", "ses-3")]
    assert ends(cohort, "consecutive") == [("sub-2", "ses-2", "ses-3")]
    assert ends(cohort, "1:2") == []
    notes = who.tables(cohort)[1].notes
    assert notes[-1] == "warning: 1 of 3 pairs (first:last) have no follow-up after 0.75 to 1.5 years."


def test_two_scanned_sessions_on_one_day_are_a_mistake_in_the_tables(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    dates = ("2020-01-01T09:00:00", "2020-01-01T15:00:00", "2021-01-01", "2021-01-01")
    visits = [{"session_id": f"ses-{i}", "acq_time": date} for i, date in enumerate(dates, start=1)]
    write_rows(raw / "sub-01" / "sub-01_sessions.tsv", visits)
    for number in (1, 2, 3):  # ses-4 is a visit without images: on one day with ses-3, and no mistake
        morph(out, "sub-01", f"ses-{number}", morph_row("first", 10000 - number))
    with pytest.raises(ClinicalError, match="sub-01, acq_time: ses-1 and ses-2 are on one day"):
        cohort_of(raw, out)
    cohort = read_cohort(raw, out, load(None, {"clinical": {"violations": "missing"}}))
    assert any("ses-1 and ses-2 are on one day" in note for note in cohort.notes)
    assert visit_pairs(cohort, "1:2")["interval_years"].isna().all()


def test_columns_of_the_users_own(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    rows = [
        {"participant_id": f"sub-0{i}", "education": years, "scanner": "AB"[i % 2], "arm": i % 2, "fatigue": word}
        for i, (years, word) in enumerate([(12, "none"), (9, "severe"), (None, "mild"), (16, "mild")], start=1)
    ]
    write_rows(raw / "participants.tsv", rows)
    for i in range(1, 5):
        for session in ("ses-1", "ses-2"):
            morph(out, f"sub-0{i}", session, morph_row("first", 10000 + i))
    tree = {
        "group": {"extra_covariates": ["education", "arm"], "categorical": ["arm"], "outcomes": ["fatigue"]},
        "clinical": {"levels": {"fatigue": ["none", "mild", "severe"]}},
    }
    cohort = read_cohort(raw, out, load(None, tree))
    first, second = (cohort.visits[cohort.visits["session_id"] == session] for session in ("ses-1", "ses-2"))
    assert first["education"].tolist()[:2] == [12.0, 9.0] and second["education"].tolist()[3] == 16.0
    assert first["fatigue"].tolist() == [1.0, 3.0, 2.0, 2.0] and second["fatigue"].isna().all()  # an outcome
    assert first["arm"].tolist() == ["1", "0", "1", "0"] and first["site"].tolist() == ["B", "A", "B", "A"]
    from thalbids.errors import UsageError

    with pytest.raises(UsageError, match=r"'educaton'[\s\S]*'education'"):
        read_cohort(raw, out, load(None, {"group": {"extra_covariates": ["educaton"]}}))
    with pytest.raises(UsageError, match="holds words"):
        read_cohort(raw, out, load(None, {"group": {"outcomes": ["fatigue"]}}))
    rows[0]["education"] = "many"
    rows[2]["education"] = 10
    write_rows(raw / "participants.tsv", rows)
    with pytest.raises(ClinicalError, match="'many' is not a number"):
        read_cohort(raw, out, load(None, tree))
