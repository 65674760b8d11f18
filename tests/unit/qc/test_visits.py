"""Visits of a person against each other, and what is to be known of single images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thalbids import qc
from thalbids.image.orientation import ASSUMED, MIRRORED
from thalbids.qc import MaskInput, visits
from thalbids.qc.document import schema

THIN: dict[str, Any] = {
    "voxel_size_mm": [1.0, 1.0, 1.0], "field_of_view_mm": [176.0, 256.0, 256.0], "slice_thickness_mm": 1.0,
    "slice_direction": None, "scanner": "Siemens Prisma", "contrast_agent": None, "field_strength_t": 3.0,
    "repetition_time_s": 2.5, "echo_time_s": 0.002, "inversion_time_s": 1.0, "flip_angle_deg": 8.0,
}  # fmt: skip
STRETCHED = THIN | {"voxel_size_mm": [1.0, 1.0, 1.2], "field_of_view_mm": [176.0, 256.0, 307.2]}


def visit(session: str, icv: float | None = 1.5e6, stripped: bool = False, **facts: Any) -> dict[str, Any]:
    return {"session": session, "icv_mm3": icv, "stripped": stripped, "acquisition": {"T1w": THIN | facts}}


def rules(found) -> set[tuple[str, str]]:
    return {(label, flag["rule"]) for label, flag in found}


def test_visits_that_are_alike_raise_no_flag() -> None:
    assert visits.visit_flags(visit("1"), [visit("2", 1.53e6), visit("3", 1.48e6, field_strength_t=2.89)]) == []


def test_a_wrong_voxel_size_in_one_header_is_found_by_voxels_and_skull() -> None:
    wrong = visit("2", 1.8e6, **STRETCHED)
    found = visits.visit_flags(wrong, [visit("1"), visit("3")])
    assert {("1", "visit_voxel_size"), ("1", "visit_field_of_view"), ("1", "visit_icv"), ("", "visit_size")} <= rules(
        found
    )
    assert [flag["severity"] for label, flag in found if label == ""] == ["distrust"]
    good = visits.visit_flags(visit("1"), [wrong, visit("3")])
    assert ("2", "visit_icv") in rules(good)
    assert ("", "visit_size") not in rules(good)  # of three visits the two that agree are right


def test_of_two_visits_neither_is_trusted() -> None:
    for own, other in ((visit("1"), visit("2", 1.8e6)), (visit("2", 1.8e6), visit("1"))):
        found = visits.visit_flags(own, [other])
        assert ("", "visit_size") in rules(found)
        assert f"than in the other visit of the person (session {other['session']})" in found[-1][1]["reason"]


@pytest.mark.parametrize(
    ("own", "other"),
    [(visit("1", None), visit("2")), (visit("1", stripped=True), visit("2", 1.2e6)), (visit("1"), visit("2", 1.55e6))],
    ids=["cut off", "one stripped", "within 4 %"],
)
def test_skulls_that_cannot_be_compared_or_agree_say_nothing(own, other) -> None:
    assert not {rule for _, rule in rules(visits.visit_flags(own, [other]))} & {"visit_icv", "visit_size"}


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"voxel_size_mm": [0.72, 0.72, 3.0], "slice_thickness_mm": 3.0}, "visit_voxel_size"),
        ({"slice_thickness_mm": 3.0}, "visit_slice_thickness"),
        ({"field_of_view_mm": [176.0, 256.0, 150.0]}, "visit_field_of_view"),
        ({"contrast_agent": "ce-gad"}, "visit_contrast_agent"),
        ({"scanner": "GE Signa"}, "visit_scanner"),
        ({"field_strength_t": 1.5}, "visit_field_strength_t"),
    ],
)
def test_every_change_of_the_acquisition_is_told_once(facts: dict[str, Any], rule: str) -> None:
    found = visits.visit_flags(visit("2", **facts), [visit("1")])
    assert [flag["rule"] for _, flag in found] == [rule]
    assert found[0][1]["severity"] == "check"
    assert found[0][1]["reason"].startswith("Session 1 against this one: T1w: ")


def test_thick_slices_and_contrast_agent_are_flagged_in_one_image() -> None:
    facts = THIN | {"slice_thickness_mm": 2.5, "slice_direction": "axial", "contrast_agent": "ce-gad"}
    assert [flag["rule"] for flag in visits.image_flags("T1w", facts)] == ["thick_slices", "contrast_agent"]
    assert "axial slices of 2.5 mm" in visits.image_flags("T1w", facts)[0]["reason"]
    coarse = {"voxel_size_mm": [4.0, 4.0, 3.5], "slice_thickness_mm": 4.0, "slice_direction": None}
    (flag,) = visits.image_flags("T1w", THIN | coarse)
    assert flag["rule"] == "thick_slices" and "voxels of 4 x 4 x 3.5 mm: " in flag["reason"]
    (flag,) = visits.image_flags("T1w", THIN | coarse | {"voxel_size_mm": [2.4, 2.4, 4.0]})
    assert "slices of 4 mm: " in flag["reason"]
    assert visits.image_flags("T1w", THIN | {"slice_thickness_mm": 2.4}) == []
    assert visits.image_flags("T1w", {}) == []


def build(own: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    labels = np.zeros((60, 60, 60), np.uint8)
    labels[20:30, 20:40, 20:44], labels[32:42, 20:40, 20:44] = 10, 49
    images = {"T1w": {"source": "bids:raw:x", "status": "ok", "reason": "", "acquisition": own["acquisition"]["T1w"]}}
    return qc.build(
        subject="01", session=own["session"], affine=np.diag([1.2, 1.2, 1.2, 1]), images=images,
        visits=[own, *others], masks={"synthalT1w": MaskInput(labels, "synthal", ("T1w",))},
        icv=[{"source": "synthal", "icv_mm3": own["icv_mm3"]}],
    )  # fmt: skip


def test_the_document_holds_the_acquisition_and_distrusts_masks_of_a_wrong_header() -> None:
    import jsonschema

    good, bad = build(visit("1"), visit("2")), build(visit("2", 1.8e6, **STRETCHED), visit("1"))
    for document in (good, bad):
        jsonschema.validate(document, schema())
    assert good["Images"]["T1w"]["acquisition"]["scanner"] == "Siemens Prisma"
    assert good["Flags"] == [] and good["Masks"]["synthalT1w"]["trusted"]
    assert not bad["Masks"]["synthalT1w"]["trusted"]
    assert {flag["scope"] for flag in bad["Flags"]} == {"mask:synthalT1w", "visit:1"}


def test_remarks_on_a_pair_from_two_documents() -> None:
    thick = {"slice_thickness_mm": 3.0, "voxel_size_mm": [0.9, 0.9, 3.0], "field_of_view_mm": [170.0, 230.0, 144.0]}
    first, later = build(visit("1")), build(visit("2", 1.6e6, contrast_agent="ce-gad", **thick))
    remarks = visits.pair_remarks(first, later)
    assert any(
        text.startswith("T1w: voxels of 1.00 x 1.00 x 1.00 mm against 0.90 x 0.90 x 3.00 mm") for text in remarks
    )
    assert "the intracranial volumes differ by 6 %" in remarks
    assert "T1w: thick slices" in remarks and "T1w: contrast agent" in remarks
    assert visits.pair_remarks(first, build(visit("2"))) == []
    for damaged in ({}, {"Images": 3, "ICV": "x", "Flags": {}}, {"Images": {"T1w": []}, "ICV": [None], "Flags": [1]}):
        assert visits.pair_remarks(damaged, first) == []


def test_a_pair_of_which_one_visit_is_blurred_is_not_comparable() -> None:
    sharp, blurred, more = (
        {"Flags": [{"scope": "mask:synthalT1w", "rule": rule}]} for rule in ("noise", "blurred", "very_blurred")
    )
    told = [("visit_blur", "synthalT1w: one visit is blurred")]
    assert visits.pair_flags(sharp, blurred) == visits.pair_flags(more, sharp) == told
    assert visits.pair_flags(sharp, sharp) == visits.pair_flags(blurred, more) == []


def test_a_change_of_the_balance_of_left_and_right_is_remarked() -> None:
    assert "cut off" in visits.balance_remark(-0.01, -0.14)
    assert visits.balance_remark(-0.001, -0.14).startswith("left and right differed by +0 %, then by -14 %")
    assert visits.balance_remark(0.02, -0.05) == visits.balance_remark(None, 0.3) == ""


class TestBalance:
    """Left and right of one method against the person's other visits."""

    TRUNCATED = -0.14

    def test_of_two_visits_the_lopsided_one_is_wrong(self) -> None:
        found = visits.balance_flags({"first": self.TRUNCATED}, {"2": {"first": 0.01}})
        assert (found["first"]["rule"], found["first"]["severity"]) == ("visit_asymmetry", "distrust")
        assert "-14 % here and by +1 % in session 2" in found["first"]["reason"]
        assert visits.balance_flags({"first": 0.01}, {"1": {"first": self.TRUNCATED}}) == {}

    def test_of_three_the_one_that_both_others_contradict(self) -> None:
        whole = {"first": 0.02, "synthalT1w": 0.0}
        cut = {"first": self.TRUNCATED, "synthalT1w": 0.01}
        assert list(visits.balance_flags(cut, {"1": whole, "3": whole})) == ["first"]
        assert visits.balance_flags(whole, {"2": cut, "3": whole}) == {}

    def test_a_person_who_is_lopsided_in_every_visit_is_fine(self) -> None:
        own = {"first": -0.2}
        assert visits.balance_flags(own, {"1": {"first": -0.15}, "2": {"first": -0.24}}) == {}

    def test_a_method_that_no_other_visit_has_is_not_judged(self) -> None:
        assert visits.balance_flags({"first": -0.2}, {"1": {"synthalT1w": 0.0}, "2": {}}) == {}
        assert visits.balance_flags({"first": -0.2}, {}) == {}


@pytest.mark.parametrize(("note", "rule"), [(MIRRORED, "mirrored"), (ASSUMED, "no_orientation")])
def test_a_header_that_leaves_left_and_right_open_is_flagged(note: str, rule: str) -> None:
    (flag,) = visits.image_flags("T1w", {}, ["something else", f"{note} (rows)"])
    assert (flag["rule"], flag["severity"]) == (rule, "check")
    assert "left and right" in flag["reason"]
    assert visits.image_flags("T1w", {}, ["something else"]) == []


def test_images_with_left_and_right_in_doubt_are_named_in_a_line() -> None:
    def of(*rules: str) -> dict[str, Any]:
        return {"Flags": [{"rule": rule, "scope": "image:T1w"} for rule in rules]}

    documents = {"sub-1": of("no_orientation"), "sub-2": of("thick_slices"), "sub-3": of("mirrored", "no_orientation")}
    lines = visits.sides_in_doubt(documents)
    assert lines == [f"check: sub-3 T1w: {MIRRORED}", f"check: sub-1 T1w, sub-3 T1w: {ASSUMED}"]
    assert visits.sides_in_doubt({"sub-2": of("thick_slices"), "sub-4": {}}) == []


def test_sessions_whose_voxel_sizes_or_brain_mask_may_be_wrong_are_named_in_a_line() -> None:
    brain = {"rule": "brain_volume", "scope": "brain", "severity": "distrust", "reason": "The brain mask has 2.24 L."}
    sizes = {"rule": "voxel_sizes", "scope": "image:T1w", "severity": "check", "reason": "The voxel sizes."}
    mild = {"rule": "brain_cut_off", "scope": "brain", "severity": "check", "reason": "Cut."}
    mask = {"rule": "torn", "scope": "mask:x", "severity": "distrust", "reason": "Torn."}
    documents = {
        "sub-1": {"Flags": [brain, sizes]},
        "sub-2": {"Flags": [mild, mask]},
        "sub-3": {"Flags": [mask, brain]},
    }
    assert visits.sizes_in_doubt(documents) == [
        "check: sub-1: The voxel sizes.",
        "check: sub-3: The brain mask has 2.24 L.",
    ]
    assert visits.sizes_in_doubt({"sub-4": {}, "sub-5": {"Flags": None}}) == []
