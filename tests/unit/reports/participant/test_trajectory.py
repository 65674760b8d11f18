"""Charts over time: what is drawn is what the table says."""

from __future__ import annotations

import math
from typing import Any

import pytest

from thalbids.bids.results.dictionaries import CHANGE_COLUMNS
from thalbids.reports.participant import trajectory


def row(one: str, two: str, percent: float | None, years: float | None = None, **more: Any) -> dict[str, str | None]:
    made = {
        "method": "synthalT1w",
        "measure": "volume_difference",
        "status": "ok" if percent is not None else "missing",
    }
    made |= {"session_id_baseline": f"ses-{one}", "session_id_followup": f"ses-{two}", "volume_baseline_ml": 15.0}
    made |= {"delta_percent": percent, "interval_years": years, "comparable": "yes"} | more
    return {name: None if made.get(name) is None else str(made[name]) for name in CHANGE_COLUMNS}


def test_years_where_all_visits_are_dated() -> None:
    rows = [row("a", "b", -1.0, 0.5), row("a", "c", -2.0, 3.0), row("b", "c", -1.0, 2.5)]
    assert trajectory.places(rows) == ({"ses-a": 0.0, "ses-b": 0.5, "ses-c": 3.0}, True)
    rows[1]["interval_years"] = None
    assert trajectory.places(rows) == ({"ses-a": 0.0, "ses-b": 1.0, "ses-c": 2.0}, False)


def test_points_and_band() -> None:
    low, high = 100 * (0.98 * math.exp(-0.01) - 1), 100 * (0.98 * math.exp(0.01) - 1)
    rows = [
        row("a", "b", -2.0, 1.0, delta_percent_low=low, delta_percent_high=high),
        row("a", "c", -4.0, 2.0, delta_percent_low=-5.0, delta_percent_high=-3.0, comparable="no"),
        row("b", "c", -2.0, 1.0),
    ]
    (found,) = trajectory.trajectories(rows)
    assert [point.percent for point in found.points] == [100.0, 98.0, 96.0]
    assert [point.doubtful for point in found.points] == [False, False, True]
    assert found.points[1].half == pytest.approx(0.01)
    assert (found.label, found.first_ml) == ("SynThal T1w", 15.0)


def test_the_band_begins_at_the_first_visit_also_where_the_second_has_none() -> None:
    low, high = 100 * (0.98 * math.exp(-0.01) - 1), 100 * (0.98 * math.exp(0.01) - 1)
    rows = [
        row("a", "b", -5.0, 1.0, comparable="no"),
        row("a", "c", -2.0, 2.0, delta_percent_low=low, delta_percent_high=high),
    ]
    (found,) = trajectory.trajectories(rows)
    assert [point.half for point in found.points] == [pytest.approx(0.01), None, pytest.approx(0.01)]


def test_a_method_that_lacks_the_first_visit_begins_at_its_own() -> None:
    rows = [row("a", "b", None), row("a", "c", None), row("b", "c", -3.0)]
    (found,) = trajectory.trajectories(rows)
    assert [point.x for point in found.points] == [1.0, 2.0]


def test_nothing_to_show() -> None:
    assert trajectory.context([row("a", "b", None)], "x.tsv") is None
    assert trajectory.context([], "x.tsv") is None


def test_the_chart_says_in_words_what_it_shows() -> None:
    rows = [row("a", "b", -2.0, 1.0), row("a", "b", -0.5, 1.0, method="siena", measure="pbvc", volume_baseline_ml=None)]
    shown = trajectory.context(rows, "x.tsv")
    assert shown is not None
    own, brain = shown["charts"]
    assert "SynThal T1w: 15.00 mL, \N{MINUS SIGN}2.0 % at the last; no band" in own
    assert "Whole brain (SIENA)" in brain
    assert "mL" not in brain


def test_it_says_where_changes_were_made_to_add_up() -> None:
    rows = [row("a", "b", -2.0, measure="registration")]
    adjusted = [row("a", "b", -2.0, measure="registration", delta_percent_alone=-2.1)]
    notes = [(trajectory.context(shown, "x.tsv") or {})["note"] for shown in (rows, adjusted)]
    assert notes[1] == notes[0] + trajectory.AGREED


def test_it_says_that_pairs_that_cannot_be_compared_take_no_part_in_adding_up() -> None:
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    rows = [row(*pair, -2.0, measure="registration", delta_percent_alone=-2.1) for pair in pairs]
    notes = [
        (trajectory.context([*rows[:2], rows[2] | last], "x.tsv") or {})["note"]
        for last in ({}, {"comparable": "no"}, {"status": "excluded"})
    ]
    assert notes[0].endswith(trajectory.AGREED)
    assert notes[1] == notes[2] == notes[0] + trajectory.LEFT_OUT
    two = trajectory.context([row("a", "b", -2.0, measure="registration", comparable="no")], "x.tsv") or {}
    assert trajectory.LEFT_OUT not in two["note"]
