"""Rules of quality control."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.qc.test_document import SHAPE, document, raised, thalami
from thalbids.qc import MaskInput, rules


def test_asymmetry_specks_and_pieces():
    labels = thalami()
    labels[(labels == 10) & (np.indices(SHAPE)[2] > 30)] = 0
    assert "asymmetry" in raised(document(labels))
    labels = thalami()
    for step in range(3):
        labels[20, 30 + 3 * step, 20] = 49
    assert raised(document(labels)) == {"components_right"}
    labels[10:14, 30:34, 20:24] = 49
    assert "largest_fraction_right" in raised(document(labels))


def test_the_side_of_a_swap_is_told_as_a_positive_distance():
    flags = document(thalami(left=(41, 42, 29), right=(29, 42, 29)))["Flags"]
    reason = next(flag["reason"] for flag in flags if flag["rule"] == "left_right_swapped")
    assert "24.0 mm to the right" in reason


def test_masks_without_sides_are_judged_by_their_total():
    labels = (thalami() > 0).astype(np.uint8)
    assert document(labels)["Flags"] == []
    assert raised(document((thalami(radius=3) > 0).astype(np.uint8))) == {"volume"}


def test_every_rule_speaks_in_words_and_has_a_limit():
    everything = (
        *rules.SIDED_RULES, *rules.UNSIDED_RULES, *rules.SCAN_RULES, *rules.COMMON_RULES,
        *rules.BRAIN_RULES, *rules.ICV_RULES, rules.EMPTY_RULE,
    )  # fmt: skip
    for rule in everything:
        assert rule.low is not None or rule.high is not None
        assert rule.reason.endswith(".")
        assert rule.advice.endswith(".")
        assert rule.severity in (rules.CHECK, rules.DISTRUST)


def test_a_registration_that_was_never_tried_sends_nobody_to_the_image() -> None:
    gone = {"image": "FLAIR", "excluded": True, "reason": "the T1w is empty", "attempts": []}
    (flag,) = rules.registration_flags(gone)
    assert flag["value"] is None and flag["advice"].startswith("Nothing was tried: mend what the reason names")
    (flag,) = rules.registration_flags(gone | {"attempts": [{"mi": 0.1}]})
    assert flag["value"] == 0.1 and "same person" in flag["advice"]


@pytest.mark.parametrize(
    ("measure", "value", "raised"),
    [
        ("grey_values", 9, ["grey_values"]), ("grey_values", 10, []),
        ("smoothness", 1.66, ["very_blurred"]), ("smoothness", 1.5, ["blurred"]), ("smoothness", 1.3, []),
        ("clipped_share", 0.26, ["clipped"]), ("clipped_share", 0.24, ["partly_clipped"]), ("clipped_share", 0.04, []),
        ("empty_slices", 1, ["empty_slices"]), ("empty_slices", 0, []),
        ("filled_share", 0.16, ["filled"]), ("filled_share", 0.14, []),
        ("brightness_asymmetry", -0.31, ["one_side_dark"]), ("brightness_asymmetry", 0.29, []),
    ],
)  # fmt: skip
def test_what_a_scan_lacks_at_the_limits(measure: str, value: float, raised: list[str]) -> None:
    flags = rules.mask_flags({"volume_mm3": 14000.0, measure: value})
    of_scan = (
        "grey_values",
        "clipped",
        "partly_clipped",
        "filled",
        "empty_slices",
        "one_side_dark",
        "very_blurred",
        "blurred",
    )
    assert [flag["rule"] for flag in flags if flag["rule"] in of_scan] == raised


def test_a_rule_gives_way_to_one_that_is_raised_only() -> None:
    strong = rules.Rule("strong", "x", None, 2, "much", "")
    weak = rules.Rule("weak", "x", None, 1, "some", "", unless="strong")
    raised = {value: [flag["rule"] for flag in rules.apply((weak, strong), {"x": value})] for value in (1, 1.5, 3)}
    assert raised == {1: [], 1.5: ["weak"], 3: ["strong"]}


def test_rules_give_way_to_rules_that_there_are() -> None:
    every = (*rules.SIDED_RULES, *rules.UNSIDED_RULES, *rules.SCAN_RULES, *rules.COMMON_RULES)
    assert {rule.unless for rule in every} - {rule.name for rule in every} == {None}
    far = {"volume_left_mm3": 7000.0, "centre_distance_mm": 13.0, "centre_distance_left_mm": 15.0}
    assert [flag["rule"] for flag in rules.mask_flags(far)] == ["centre_distance"]
    assert [flag["rule"] for flag in rules.mask_flags(far | {"centre_distance_mm": 9.0})] == ["centre_distance_left"]


def test_what_is_wrong_with_the_scan_is_told_before_what_it_does_to_the_mask() -> None:
    flags = rules.mask_flags({"volume_left_mm3": 700.0, "grey_values": 7, "inside_brain_fraction": 0.5})
    assert [flag["rule"] for flag in flags] == ["grey_values", "volume_left", "inside_brain"]


@pytest.mark.parametrize(
    ("icv", "volume", "stripped", "word"),
    [
        (2.01e6, 20.1e3, False, "larger"), (2.01e6, 20.1e3, True, "larger"),
        (1.99e6, 20.1e3, False, ""), (2.01e6, 19.9e3, False, ""),  # a large head, large thalami
        (0.94e6, 8.9e3, False, "smaller"), (0.94e6, 8.9e3, True, ""),
        (0.96e6, 8.9e3, False, ""), (0.94e6, 9.1e3, False, ""),  # a small head, small thalami
        (None, 23.0e3, False, ""), (2.2e6, None, False, ""),
    ],
)  # fmt: skip
def test_head_and_thalami_together_doubt_the_voxel_sizes(
    icv: float | None, volume: float | None, stripped: bool, word: str
) -> None:
    flags = rules.size_flags(icv, volume, stripped=stripped)
    assert [(flag["rule"], flag["severity"]) for flag in flags] == ([("voxel_sizes", "check")] if word else [])
    assert all(word in flag["reason"] and flag["advice"].endswith(".") for flag in flags)


@pytest.mark.parametrize(
    ("scan", "kept"),
    [({}, True), ({"smoothness": 1.3, "filled_share": 0.1}, True), ({"smoothness": 1.5}, False),
     ({"clipped_share": 0.1}, False), ({"filled_share": 0.2}, False)],
)  # fmt: skip
def test_no_interval_beside_a_fault_of_which_it_knows_nothing(scan: dict[str, float], kept: bool) -> None:
    interval = {"volume_low_mm3": 13900.0, "volume_high_mm3": 14100.0}
    mask = MaskInput(thalami(), "synthal", ("T1w",), diagnostics=interval | scan)
    measures = document(others={"synthalT1w": mask})["Masks"]["synthalT1w"]["measures"]
    assert {name: measures[name] for name in interval} == (interval if kept else dict.fromkeys(interval))
