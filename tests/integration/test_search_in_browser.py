"""The search of the documentation, opened from the folder in which it was built. Skipped without Chromium or mkdocs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import Browser, browser  # noqa: F401

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def test_the_search_finds_pages_without_a_server(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("material", reason="the extra docs is not installed")
    words = ["build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "mkdocs", *words], cwd=ROOT, check=True)
    page = browser.open(tmp_path / "index.html")
    page.evaluate("document.querySelector('.md-search__input').focus()")
    page.type("percentile normative")
    page.wait("document.querySelector('.md-search-result__link') !== null")
    found = page.evaluate("[...document.querySelectorAll('.md-search-result__link')].map(a => a.getAttribute('href'))")
    assert any("statistics.html" in link for link in found)
    page.quiet()
    page.close()
