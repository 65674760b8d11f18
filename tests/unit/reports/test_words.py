"""Words as people list them."""

from __future__ import annotations

import pytest

from thalbids.reports.words import listed


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (list("abcd"), "a, b, c and d"),
        (list("abcdef"), "a, b, c, d and 2 more"),
    ],
)
def test_lists(words: list[str], text: str) -> None:
    assert listed(words) == text


def test_as_many_as_wanted() -> None:
    assert listed(list("abcdef"), most=2) == "a, b and 4 more"
