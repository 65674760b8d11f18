"""Which masks the volume table leaves out."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.engine.step import StepResult
from thalbids.participant.session import PlannedMask
from thalbids.participant.stages.session import measures


def test_a_blocked_mask_is_excluded_with_its_image_and_failed_with_a_failed_step() -> None:
    entry = PlannedMask("first", "first", ("T1w",), "T1w", step="mask", roots=("register",))
    blocked = StepResult("mask", "blocked", "because")
    for status, expected in (("excluded", "excluded"), ("failed", "failed"), ("lost", "failed")):
        upstream = {"mask": blocked, "register": StepResult("register", status, "because")}
        assert measures.ending(entry, upstream) == (expected, "because")
    assert measures.ending(replace(entry, step=None, reason="no image"), {}) == ("missing", "no image")


def test_a_distrusted_mask_and_ensembles_on_it_are_excluded_and_keep_their_numbers() -> None:
    good = {"status": "ok", "reason": "", "trusted": True, "flags": [], "measures": {"volume_mm3": 14000.0}}
    bad = good | {"trusted": False, "flags": [{"reason": "too small"}], "measures": {"volume_mm3": 900.0}}
    methods = [
        PlannedMask("a", "x", ("T1w",), "T1w"),
        PlannedMask("b", "x", ("FLAIR",), "FLAIR"),
        PlannedMask("ab", "x", ("T1w", "FLAIR"), "ensemble", members=("a", "b")),
    ]
    rows = measures.volume_rows(methods, {"a": good, "b": bad, "ab": good})
    assert [r["status"] for r in rows] == ["ok", "excluded", "excluded"]
    assert rows[1]["reason"] == rows[2]["reason"] == "b: too small"
    assert rows[1]["volume_mm3"] == 900.0
