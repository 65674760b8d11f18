"""DBSegment as a method."""

from __future__ import annotations

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.methods.dbsegment import DBSegment
from thalbids.settings import load


def test_a_kept_method_gives_no_brain_mask() -> None:
    settings = load(None, {})
    made = planned_session(session(("T1w",)), OUT, (DBSegment(), Fixed()), settings, None, {"dbsegment"})
    assert made.brain_source == "synthal"
