"""The odd mask out: damage of every kind to one mask of a session, and good masks that differ as protocols do."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids import qc
from thalbids.image import landmarks
from thalbids.qc import MaskInput, contradictions

SHAPE = (70, 80, 60)
AFFINE = np.array([[1.0, 0, 0, -35], [0, 1.0, 0, -40], [0, 0, 1.0, -30], [0, 0, 0, 1]])


def thalami(scale: float = 1.0, shift: tuple[float, float, float] = (0, 0, 0), leave: float = 1.0) -> np.ndarray:
    """Two tilted ellipsoids of 6.9 mL each, as long and wide as thalami; ``scale`` of the lengths."""
    x, y, z = (axis - centre - move for axis, centre, move in zip(np.indices(SHAPE), (35, 40, 30), shift, strict=True))
    labels = np.zeros(SHAPE, np.uint8)
    for value, middle in ((10, -11.5), (49, 11.5)):
        along = 0.9 * y + 0.3 * np.sign(middle) * (x - middle)
        inside = ((x - middle) / 9.0) ** 2 + (along / 16.0) ** 2 + (z / 11.0) ** 2
        labels[inside <= scale**2] = value
    return labels


GOOD = thalami()


def cut(labels: np.ndarray, axis: int, low: float, high: float, side: int | None = None) -> np.ndarray:
    """Without what lies between two shares of the mask's extent along an axis."""
    where = np.argwhere(labels)[:, axis]
    first, length = where.min(), np.ptp(where) + 1
    position = (np.indices(labels.shape)[axis] - first) / length
    gone = (position >= low) & (position < high)
    return np.where(gone & ((labels == side) if side else True), 0, labels).astype(np.uint8)


DAMAGE = {
    "moved 6 mm to the right": np.roll(GOOD, 6, 0),
    "moved 6 mm back": np.roll(GOOD, -6, 1),
    "moved 6 mm up": np.roll(GOOD, 6, 2),
    "moved 9 mm to the front": np.roll(GOOD, 9, 1),
    "lower third cut off": cut(GOOD, 2, 0, 1 / 3),
    "back third cut off": cut(GOOD, 1, 0, 1 / 3),
    "front cut off": cut(GOOD, 1, 0.7, 1),
    "left truncated at the back": cut(GOOD, 1, 0, 0.27, side=10),
    "left truncated below": cut(GOOD, 2, 0, 0.23, side=10),
    "a quarter too small everywhere": thalami(0.9),
    "a third too large everywhere": thalami(1.12),
}


def session(first: np.ndarray, **more: MaskInput) -> dict[str, MaskInput]:
    """A given FIRST mask beside SynThal's of three images, which differ a little."""
    return {
        "first": MaskInput(first, "first", ("T1w",)),
        "synthalT1w": MaskInput(thalami(0.97), "synthal", ("T1w",)),
        "synthalFLAIR": MaskInput(thalami(0.98, (0.6, -0.4, 0.3)), "synthal", ("FLAIR",)),
        "synthalR1map": MaskInput(thalami(0.96, (-0.5, 0.5, 0.4)), "synthal", ("R1map",)),
        **more,
    }


def build(masks: dict[str, MaskInput], head: np.ndarray | None = GOOD) -> dict:
    places = None if head is None else landmarks.of_labels(head, AFFINE)
    return qc.build(subject="01", session=None, affine=AFFINE, masks=masks, head=places)


def flags(document: dict) -> dict[str, set[str]]:
    return {
        name: {flag["rule"] for flag in entry["flags"]} for name, entry in document["Masks"].items() if entry["flags"]
    }


def test_masks_that_differ_as_protocols_do_are_not_flagged() -> None:
    small = MaskInput(thalami(0.87, (0.5, -1, 0.5)), "dbsegment", ("T1w",))
    document = build(session(GOOD, freesurfer=MaskInput(thalami(1.02), "freesurfer", ("T1w",)), dbsegment=small))
    assert document["Flags"] == []
    assert all(entry["trusted"] for entry in document["Masks"].values())


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("with_head", [True, False])
def test_the_damaged_mask_is_named_and_the_good_ones_are_not(damage: str, with_head: bool) -> None:
    document = build(session(DAMAGE[damage]), GOOD if with_head else None)
    assert "odd_one_out" in flags(document)["first"] and set(flags(document)) == {"first"}
    assert not document["Masks"]["first"]["trusted"]
    assert all(entry["trusted"] for name, entry in document["Masks"].items() if name != "first")


@pytest.mark.parametrize("name", ["synthalT1w", "synthalFLAIR"])
def test_a_damaged_mask_of_the_larger_family_is_named_too(name: str) -> None:
    masks = session(GOOD)
    masks[name] = MaskInput(np.roll(GOOD, 6, 1), "synthal", masks[name].images)
    assert set(flags(build(masks))) == {name}


def test_the_words_say_what_is_wrong_and_with_whom() -> None:
    document = build(session(np.roll(GOOD, 6, 0)))
    reason = document["Masks"]["first"]["flags"][0]["reason"]
    assert "4 of 4: synthalT1w, synthalFLAIR, synthalR1map, the whole-head network" in reason
    assert "towards the right" in reason
    reason = build(session(cut(GOOD, 2, 0, 1 / 3)))["Masks"]["first"]["flags"][0]["reason"]
    assert "short of the other's at the bottom" in reason


def test_what_is_cut_with_a_wrong_mask_falls_with_it_and_does_not_outvote_the_others() -> None:
    wrong = np.roll(GOOD, 7, 1)
    cut_masks = {
        f"mindglide{image}": MaskInput(np.roll(thalami(0.9), 7, 1), "mindglide", (image,), builds_on=("first",))
        for image in ("T1w", "FLAIR", "R1map")
    }
    named = flags(build(session(wrong, **cut_masks)))
    assert set(named) == {"first", "mindglideT1w", "mindglideFLAIR", "mindglideR1map"}


def test_two_that_contradict_each_other_are_both_told() -> None:
    two = {
        "first": MaskInput(np.roll(GOOD, 6, 0), "first", ("T1w",)),
        "synthalT1w": MaskInput(GOOD, "synthal", ("T1w",)),
    }
    assert set(flags(build(two))) == {"first"}  # the whole-head network decides
    alone = build(two, None)
    assert flags(alone) == {"first": {"contradiction"}, "synthalT1w": {"contradiction"}}
    assert not any(entry["trusted"] for entry in alone["Masks"].values())
    between = landmarks.of_labels(np.roll(GOOD, 3, 0), AFFINE)
    document = qc.build(subject="1", session=None, affine=AFFINE, masks=two, head=between)
    assert flags(document) == {"first": {"contradiction"}, "synthalT1w": {"contradiction"}}
    assert {flag["severity"] for flag in document["Flags"]} == {"distrust"}  # one of the two is wrong
    other = {"dbsegment": MaskInput(np.roll(GOOD, 6, 0), "dbsegment", ("T1w",)), "synthalT1w": two["synthalT1w"]}
    document = qc.build(subject="1", session=None, affine=AFFINE, masks=other, head=between)
    assert flags(document) == {"dbsegment": {"contradiction"}, "synthalT1w": {"contradiction"}}
    assert {flag["severity"] for flag in document["Flags"]} == {"check"}  # limits that were not measured


def test_three_that_all_contradict_each_other_leave_none_that_is_trusted() -> None:
    masks = {
        name: MaskInput(np.roll(GOOD, step, 0), name, ("T1w",))
        for name, step in (("first", -7), ("freesurfer", 0), ("synthal", 7))
    }
    document = build(masks, None)
    assert not any(entry["trusted"] for entry in document["Masks"].values())


def test_a_mask_with_its_sides_swapped_throws_no_doubt_on_others() -> None:
    swapped = GOOD.copy()
    swapped[GOOD == 10], swapped[GOOD == 49] = 49, 10
    assert flags(build(session(swapped))) == {"first": {"left_right_swapped"}}


def test_one_mask_alone_is_judged_by_the_whole_head_network() -> None:
    document = build({"synthalT1w": MaskInput(np.roll(GOOD, 10, 1), "synthal", ("T1w",))})
    assert flags(document) == {"synthalT1w": {"contradiction"}}
    assert not document["Masks"]["synthalT1w"]["trusted"]
    near = build({"synthalT1w": MaskInput(np.roll(GOOD, 6, 1), "synthal", ("T1w",))})
    assert (
        flags(near) == {"synthalT1w": {"contradiction"}} and near["Masks"]["synthalT1w"]["trusted"]
    )  # a network of 3 mm alone condemns none but far away
    assert flags(build({"synthalT1w": MaskInput(GOOD, "synthal", ("T1w",))})) == {}


def test_the_whole_head_network_is_believed_less_in_a_cut_head_and_more_where_the_method_is_unsure() -> None:
    def against_head(excess: float, **known: bool) -> dict:
        contradiction = contradictions.Contradiction(contradictions.HEAD, ("it is far",), excess)
        return contradictions.flag(contradictions.MaskContradictions(1, (contradiction,)), "contradiction", **known)

    assert against_head(1.2)["severity"] == "check" and against_head(2.0)["severity"] == "distrust"
    cut = against_head(2.0, cut_off=True)
    assert cut["severity"] == "check" and "field of view cuts the head" in cut["reason"]
    for known in ({"unsure": True}, {"unsure": True, "cut_off": True}):
        assert against_head(1.2, **known)["severity"] == "distrust"
        assert "mirrored" in against_head(1.2, **known)["advice"]


def test_limits_are_those_of_the_documentation() -> None:
    same, other, head = contradictions.SAME_PROTOCOL, contradictions.OTHER_PROTOCOL, contradictions.WITH_HEAD
    assert (same.centre_mm, same.end_mm, same.asymmetry, same.volume, same.overlap) == (3.5, 3.5, 0.12, 0.25, 0.82)
    assert other.centre_mm > same.centre_mm and head.volume is None


def test_a_doubtful_mask_says_whether_the_other_one_is_odd() -> None:
    verdict = contradictions.MaskContradictions(1, (contradictions.Contradiction("first", ("it is far",), 2.0, False),))
    alone = contradictions.flag(verdict, "contradiction")["reason"]
    assert "nothing tells which is wrong" in alone
    beside = contradictions.flag(verdict, "contradiction", {"first": verdict})["reason"]
    assert "lies nearer to the whole-head network" in beside and "nothing tells" not in beside
