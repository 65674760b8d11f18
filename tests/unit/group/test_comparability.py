"""Which pairs of visits can be compared, from the quality control of both."""

from __future__ import annotations

from pathlib import Path

from tests.unit.group.analyses.over_time.test_comparability import two_people
from thalbids.group import comparability


def test_a_pair_is_comparable_where_both_documents_say_so(tmp_path: Path) -> None:
    cohort = two_people(tmp_path)
    assert len(cohort.documents) == 4
    told = comparability.pairs(cohort).set_index("participant_id")
    assert told["comparable"].to_dict() == {"sub-01": "no", "sub-02": "yes", "sub-03": ""}
    assert "scanner" in told.loc["sub-01", "remark"] and told.loc["sub-03", "remark"] == ""


def test_documents_of_another_shape_tell_nothing() -> None:
    facts = {"scanner": "x"}
    assert comparability.acquired({"Images": {"T1w": {"acquisition": facts}, "FLAIR": {}, "R1map": 3}}) == {
        "T1w": facts
    }
    assert comparability.acquired({"Images": []}) == comparability.acquired({}) == {}
