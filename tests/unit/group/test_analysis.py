"""An analysis says no more than it must."""

from __future__ import annotations

import pytest

from thalbids.group.analysis import Analysis
from thalbids.group.registry import ANALYSES


def test_a_name_and_tables_are_enough() -> None:
    least = Analysis("x", lambda cohort: [])
    assert least.ledgers is None and not least.sections and not least.views and least.told == ()
    with pytest.raises(TypeError):
        Analysis("x")  # type: ignore[call-arg]


def test_those_of_thalbids_do_not_share_what_they_hold() -> None:
    assert len({id(item.sections) for item in ANALYSES if item.sections}) == sum(
        bool(item.sections) for item in ANALYSES
    )
