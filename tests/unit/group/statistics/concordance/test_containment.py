"""Pairs of masks whose containment is by construction, and masks that come from the T1w."""

from __future__ import annotations

import pytest

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
