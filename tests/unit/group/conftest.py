from __future__ import annotations

import pytest

from tests.unit.reports.group import paper_tables
from thalbids.reports.group.figures import canvas


@pytest.fixture(autouse=True)
def _figures_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is written after every run; drawing its figures takes seconds and has tests of its own."""
    monkeypatch.setattr(canvas, "draw", paper_tables.not_drawn)
