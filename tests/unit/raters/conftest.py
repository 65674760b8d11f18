"""Derivatives of two people, and the page for raters of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rated import write_derivatives
from thalbids.raters import rating_page


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_derivatives(tmp_path_factory.mktemp("rating"), [("Zoe9", "before"), ("02", "")])


@pytest.fixture(scope="module")
def made(out: Path) -> rating_page.Made:
    return rating_page.write(out, out.parent / "page.html", seed=7)
