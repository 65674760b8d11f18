"""Labels that nearly match."""

from __future__ import annotations

import pytest

from thalbids.bids.tabular.near_labels import alike, partners, told


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("sub-1", "sub-01", True), ("sub-1", "sub-001", True), ("1", "sub-01", True), ("sub-P_001", "sub-p1", True),
        ("ses-M12", "ses-m12", True), ("sub-10", "sub-1", False), ("sub-0", "sub-00", True), ("sub-0", "sub-", False),
        ("ses-1a", "ses-01a", True), ("sub-a10", "sub-a1", False), ("sub-1", "sub-2", False),
        ("sub-x-1", "sub-x1", True), ("sub-SUB-01", "sub-01", True), ("sub-sub01", "sub-01", True),
        ("sub-1.0", "sub-01", True), ("ses-2.00", "ses-2", True), ("ses-1.5", "ses-1", False),
        ("sub-sub_1", "sub-01", True), ("sub-subject1", "sub-1", False),
    ],
)  # fmt: skip
def test_alike(one: str, two: str, same: bool) -> None:
    assert (alike(one) == alike(two)) is same


def test_partners_are_those_that_are_known() -> None:
    known = {"sub-01", "sub-02", "sub-X"}
    assert partners(["sub-1", "sub-02", "sub-x", "sub-9"], known) == {"sub-1": "sub-01", "sub-x": "sub-X"}
    assert partners(["sub-1"], ["sub-01", "sub-001"]) == {"sub-1": "sub-01 or sub-001"}


def test_many_are_cut() -> None:
    text = told({f"sub-{n}": f"sub-0{n}" for n in range(1, 10)}, "9 participants", "those of the derivatives")
    assert text.startswith(
        "9 participants nearly match those of the derivatives, and count as others: sub-1 for sub-01"
    )
    assert "and 4 more. Write them alike." in text
