"""Pairs of masks whose containment is by construction, and masks that come from the T1w."""

from __future__ import annotations

import math

import pytest

from thalbids.group.comparison import Compared
from thalbids.group.statistics.concordance import containment


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("mindglideFLAIR", "first", True),
        ("mindglideT1wInSynthal", "synthalT1w", True),
        ("mindglideT1wInSynthal", "first", False),
        ("mindglideT1w", "synthalT1w", False),
        ("synthalFLAIR", "synthalR1FLAIR", True),
        ("synthalFLAIR", "synthalT1R1", False),
        ("synthalFLAIR", "synthalT1FLAIRR1", False),
        ("synthalFLAIR", "mindglideR1FLAIR", False),
        ("synthalT1FLAIRR1Intersection", "synthalR1map", True),
        ("synthalT1w", "synthalT1FLAIRR1Intersection", False),
        ("somethingElse", "first", False),
    ],
)
def test_containments_that_are_constructed(inner: str, outer: str, expected: bool) -> None:
    assert containment.constructed(inner, outer) is expected


def test_masks_that_come_from_the_t1w() -> None:
    names = ["freesurfer", "first", "mindglideT1w", "mindglideFLAIR", "synthalT1FLAIR", "synthalT1w", "unknown!"]
    assert containment.t1w_derived(names) == ("freesurfer", "first", "mindglideT1w", "synthalT1w")


def test_what_its_making_forbids_is_an_error() -> None:
    """sub-02's MindGlide has a voxel outside of FIRST: by rounding of ratios it could still be 1, voxels say it."""
    names = ("first", "mindglideT1w", "synthalT1w")
    good = ((1000, 900, 800), (900, 900, 700), (800, 700, 950))
    bad = ((1000, 899, 800), (899, 900, 700), (800, 700, 950))
    made = [
        Compared("sub-01", "ses-1", names=names, common=good),
        Compared("sub-02", "ses-1", names=names, common=bad),
    ]
    rows = {(row["method_inner"], row["method_outer"]): row for row in containment.containment(made)}
    assert rows["mindglideT1w", "first"]["n_broken"] == 1
    assert rows["mindglideT1w", "first"]["broken"] == "sub-02"
    assert rows["synthalT1w", "first"]["broken"] == "" and math.isnan(rows["synthalT1w", "first"]["n_broken"])
