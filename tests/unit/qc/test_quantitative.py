"""Flags of quantitative maps and of motion between their contrasts."""

from __future__ import annotations

from typing import Any

import pytest

from thalbids.qc.quantitative import all_flags, map_flags

USUAL = {"peaks": [0.65, 1.0], "white_matter": [0.7, 1.4], "thalamus": [0.5, 1.2]}
GOOD: dict[str, Any] = {
    "unit": "1/s", "undefined": 0.01, "clamped": 0.0, "peaks": [0.66, 0.98], "white_matter": 1.0, "thalamus": 0.8,
    "expected": USUAL,
}  # fmt: skip


def test_a_good_map_has_no_flag() -> None:
    assert map_flags(GOOD) == []
    assert map_flags(GOOD | {"expected": None, "white_matter": 90.0, "clamped": None}) == []


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"undefined": 0.08}, "undefined", "8.0 % of the brain have no value"),
        ({"clamped": 0.03}, "clamped", "3.0 % of the brain were above"),
        ({"white_matter": 1.7}, "white_matter", "The median in white matter is 1.7, outside 0.7 to 1.4 1/s"),
        ({"thalamus": 0.3}, "thalamus", "The median in the thalamus is 0.3, outside 0.5 to 1.2 1/s"),
        ({"peaks": [0.2, 1.6]}, "peaks", "peaks at 0.2, 1.6 1/s; grey and white matter are expected at about 0.65"),
    ],
)
def test_each_rule(change: dict[str, Any], rule: str, words: str) -> None:
    (flag,) = map_flags(GOOD | change)
    assert (flag["rule"], flag["severity"]) == (rule, "check")
    assert words in flag["reason"]


def test_motion_and_scopes() -> None:
    still = {"shift_mm": 1.0, "rotation_degrees": 1.0}
    moved = {"shift_mm": 5.2, "rotation_degrees": 4.0}
    lost = {"shift_mm": None, "rotation_degrees": None}
    flags = all_flags({"R1map": GOOD | {"clamped": 0.5}}, {"T1w": moved, "MTw": still, "X": lost})
    assert [(flag["scope"], flag["rule"]) for flag in flags] == [
        ("map:R1map", "clamped"), ("contrast:T1w", "shift"), ("contrast:T1w", "rotation"),
    ]  # fmt: skip
    assert "5.2 mm" in flags[1]["reason"]
