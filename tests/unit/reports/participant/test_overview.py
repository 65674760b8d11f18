"""The first screen of the participant's page: one method, a row per session, what is missing everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from thalbids.participant.stages.person import alignment
from thalbids.reports.participant import overview
from thalbids.reports.participant.trajectory import Point, Trajectory
from thalbids.reports.text import DASH


def session(*volumes: tuple[str, str, bool], failures: Any = (), flags: int = 0) -> dict[str, Any]:
    rows = [
        {"label": label, "volume": volume, "left": "1.00", "right": "2.00", "interval": DASH, "asymmetry": DASH,
         "status": "ok", "distrusted": bad}
        for label, volume, bad in volumes
    ]  # fmt: skip
    acquired = {"headings": ["Voxel", "Scanner"], "rows": [{"label": "T1w", "cells": ["1 mm", DASH]}]}
    return {
        "prefix": "s0", "title": "Session 1", "thumbnail": "", "verdict": "fine.", "volumes": {"rows": rows},
        "failures": list(failures), "flags": [{"severity": "check"}] * flags, "acquisition": acquired,
        "reference": "T1w",
    }  # fmt: skip


def test_the_method_is_the_one_that_most_sessions_have_and_can_be_trusted() -> None:
    one = session(("A", "3.00", False), ("B", "3.10", False))
    two = session(("A", "3.00", True), ("B", "3.10", False))
    assert overview.leading([one]) == "A"
    assert overview.leading([one, two]) == "B"
    assert overview.leading([session(("A", DASH, False))]) == ""
    assert (
        overview.leading([session(("A", DASH, False), ("B", "3.00", True))]) == "B"
    )  # better than nothing, and marked
    assert overview.context([session(("B", "3.00", True))], [])["rows"][0]["distrusted"]


def test_a_row_has_volumes_flags_and_acquisition() -> None:
    one = session(("A", "3.00", False), flags=5)
    found = overview.context([one], [])
    (row,) = found["rows"]
    assert row["interval"] == "no interval"
    one["volumes"]["rows"][0]["interval"] = "2.90 to 3.10"
    assert overview.context([one], [])["rows"][0]["interval"] == "90 % interval 2.90 to 3.10 mL"
    assert (row["volume"], row["left"], row["right"]) == ("3.00", "1.00", "2.00")
    assert (len(row["flags"]), row["more"]) == (3, 2)
    assert row["acquisition"] == "Voxel 1 mm"
    assert found["trend"] == found["chart"] == "" and found["missing"] == []


def test_what_every_session_lacks_is_said_once() -> None:
    r1, flair = ("R1", "missing", "none found"), ("FLAIR", "failed", "x")
    assert overview.shared([session(failures=[r1, flair]), session(failures=[flair, r1])]) == [r1, flair]
    assert overview.shared([session(failures=[r1, flair]), session(failures=[r1])]) == [r1]
    assert overview.shared([session(failures=[r1])]) == []  # the session says it
    found = overview.context([session(failures=[r1, ("E", "missing", "none found")])] * 2, [])
    assert found["missing"] == [{"what": "R1, E", "how": "missing", "why": "none found"}]


@pytest.mark.parametrize(
    ("percent", "half", "said"),
    [
        (97.0, 0.02, "\N{MINUS SIGN}3.0 % at the last visit; two scans without any change differ by up to 2.0 %"),
        (97.0, 0.02, "so this is more than noise."),
        (101.0, 0.02, "so this is within noise."),
        (97.0, None, "is not known for this method."),
    ],
)  # fmt: skip
def test_change_stands_beside_what_noise_may_do(percent: float, half: float | None, said: str) -> None:
    found = Trajectory("A", 12.0, [Point(0, 100.0, half, False), Point(2, percent, half, False)])
    assert said in overview.trend(found, {"ses-1": 0, "ses-2": 2})


def test_change_of_visits_that_differ_and_of_an_earlier_visit() -> None:
    doubtful = Trajectory("A", 12.0, [Point(0, 100.0, 0.02, False), Point(1, 97.0, 0.02, True, "slices of 3 mm")])
    assert "cannot be compared (slices of 3 mm), so nothing can be said" in overview.trend(
        doubtful, {"ses-1": 0, "ses-2": 1}
    )
    earlier = Trajectory("A", 12.0, [Point(0, 100.0, 0.02, False), Point(1, 97.0, 0.02, False)])
    said = overview.trend(earlier, {"ses-1": 0, "ses-2": 1, "ses-3": 2})
    assert said.startswith("\N{MINUS SIGN}3.0 % at ses-2 (no volume at ses-3);")
    wide = Trajectory("A", 12.0, [Point(0, 100.0, 0.2, False), Point(1, 121.0, 0.2, False)])
    assert "up to 22.1 % (95 %), so this is within noise" in overview.trend(wide, {"ses-1": 0, "ses-2": 1})


@pytest.mark.parametrize(
    "record", [{"Chosen": None, "Reason": "cut-off; not sharp"}, {"Chosen": "ants", "Correlation": 0.3}]
)
def test_what_an_alignment_says_of_another_person_is_known_again(record: dict[str, object]) -> None:
    why = alignment.other_person({"First": "1", **record})
    row = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2", "status": "excluded"}
    assert overview.other_person([row | {"reason": f"torn; ses-2: {why}; no rate"}]) == [f"ses-1 to ses-2: {why}"]


def test_a_first_visit_that_no_other_one_comes_to_may_be_the_odd_one() -> None:
    why = alignment.other_person({"First": "1", "Chosen": None, "Reason": "cut-off"})
    pairs = [("ses-1", "ses-2"), ("ses-1", "ses-3"), ("ses-2", "ses-3")]
    rows = [
        {
            "session_id_baseline": a,
            "session_id_followup": b,
            "status": "excluded",
            "reason": f"{b}: {why}",
            "flags": "visit_icv, visit_person",
        }
        for a, b in pairs
    ]
    (said,) = (doubt for doubt in overview.other_person(rows) if "somebody else" in doubt)
    assert "the person of ses-1: it may be ses-1" in said and "take ses-1 out of the dataset" in said
    mirror = alignment.other_person({"First": "1", "Mirrored": 1.0})
    mirrored = [row | {"reason": mirror, "flags": "visit_mirrored"} for row in rows]
    assert overview.other_person(mirrored)[0] == f"ses-1 to ses-2: {mirror}"
    for some in (rows[:1], [rows[0], rows[1] | {"status": "ok"}, rows[2]], mirrored):
        assert not any("somebody else" in doubt for doubt in overview.other_person(some))


@pytest.mark.parametrize(
    ("x", "half", "doubtful", "stands"),
    [(1, 0.008, False, True), (1, None, False, False), (1, 0.008, True, False), (0.5, 0.008, False, False)],
)
def test_change_by_registration_stands_first_where_it_can_be_compared(
    x: float, half: float | None, doubtful: bool, stands: bool
) -> None:
    volumes = Trajectory("A", 12.0, [Point(0, 100.0, 0.012, False), Point(1, 101.6, 0.012, False)])
    registered = Trajectory("A", None, [Point(0, 100.0, half, False), Point(x, 100.4, half, doubtful)], registered=True)
    assert overview.better(registered, volumes) is stands
    if stands:
        said = overview.trend(registered, {"ses-1": 0, "ses-2": 1})
        assert (
            said == "+0.4 % at the last visit by registration (95 % interval: 0.8 % either way), which is within noise."
        )
