"""Numbers and words of a page."""

from __future__ import annotations

import math

import pytest

from thalbids.reports.text import DASH, MINUS, Words, _without_cause, as_float, image_name, number, provenance, scaling


@pytest.mark.parametrize("missing", [None, "n/a", "", math.nan, math.inf])
def test_what_is_missing_is_a_dash(missing: object) -> None:
    assert number(missing) == DASH and as_float(missing) is None


def test_numbers_are_scaled_rounded_and_signed() -> None:
    assert number("12345.6", 2, 0.001) == "12.35"
    assert number(-0.5, 1, sign=True) == f"{MINUS}0.5" and number(0.5, 1, sign=True) == "+0.5"


def test_flags_of_one_thing_stand_together_and_distrust_first() -> None:
    def flag(scope: str, severity: str, reason: str, advice: str = "Look.") -> dict[str, str]:
        return {"scope": scope, "severity": severity, "reason": reason, "advice": advice}

    document = {"Masks": {}, "Flags": [
        flag("brain", "check", "small"), flag("mask:first", "distrust", "far"), flag("brain", "check", "large"),
        flag("registration:R1map", "check", "blurred"),
    ]}  # fmt: skip
    shown = Words(document, {"first": "FIRST"}).flags()
    assert [(group["scope"], group["word"]) for group in shown] == [
        ("FIRST", "Do not trust"), ("Brain mask", "Check"), ("R1 map registration", "Check"),
    ]  # fmt: skip
    assert shown[1]["reasons"] == ["small", "large"] and shown[1]["advice"] == ["Look."]


def test_agreement_counts_voxels_by_hand() -> None:
    masks = {
        "a": {"measures": {"voxels": 100, "dice": {"b": 0.5}}}, "b": {"measures": {"voxels": 300, "dice": {"a": 0.5}}},
        "c": {"measures": None},
    }  # fmt: skip
    table = Words({"Masks": masks}, {"a": "A", "b": "B"}).agreement()
    assert table is not None and table["labels"] == ["A", "B"]
    (_, above), (below, _) = (row["cells"] for row in table["rows"])
    assert (
        below["text"] == "0.50" and above["text"] == "100 | 33"
    )  # 0.5 (100 + 300) / 2 = 100 voxels: all of A, a third of B
    assert Words({"Masks": {"a": masks["a"]}}, {}).agreement() is None


def test_scaling_and_provenance() -> None:
    assert scaling({}) == ""
    assert "99th percentile, 1.500 per second" in scaling({"Percentile": 99, "Maximum": 1.5})
    assert provenance({"V": {"x": 1}, "S": "text"}) == [
        {"heading": "V", "rows": [("x", "1")], "text": ""}, {"heading": "S", "rows": None, "text": "text"},
    ]  # fmt: skip
    assert (image_name("R1map"), image_name("FLAIR")) == ("R1 map", "FLAIR")


def test_the_reason_of_a_refused_image_is_said_once() -> None:
    why = "sub-1_FLAIR.nii.gz: 3 volumes."
    document = {
        "Images": {"FLAIR": {"status": "failed", "reason": why}},
        "Registrations": [{"image": "FLAIR", "excluded": True, "reason": why, "chosen": None, "attempts": []}],
        "Masks": {
            "synthalFLAIR": {"status": "failed", "reason": f"sub-1 register FLAIR failed: {why}"},
            "synthalT1w": {"status": "ok", "reason": ""},
        },
    }
    words = Words(document, {"synthalFLAIR": "SynThal FLAIR", "synthalT1w": "SynThal T1w"})
    assert words.failures([("register FLAIR", why), ("brain DBSegment", why)]) == [
        ("FLAIR", "excluded", why),
        ("SynThal FLAIR", "failed", "sub-1 register FLAIR failed"),
        ("brain DBSegment", "failed", why),  # another thing, which happens to say the same
    ]
    assert words.registrations() == []


def test_the_longest_reason_that_is_said_anyway_is_cut() -> None:
    said = {"3 volumes.", "a.nii.gz: 3 volumes.", ""}
    assert _without_cause("sub-1 register FLAIR failed: a.nii.gz: 3 volumes.", said) == "sub-1 register FLAIR failed"
    assert _without_cause("a: b", {""}) == "a: b"
