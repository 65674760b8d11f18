"""The documentation says what is: options, references and pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thalbids.cli.parser import app_parser
from thalbids.reports.boilerplate import bibliography, reference
from thalbids.settings import load

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {path.name: path.read_text("utf-8") for path in DOCS.glob("*.md")}
PICTURES = sorted(path for path in (DOCS / "images").iterdir() if path.suffix in (".webp", ".jpg", ".png"))


def test_usage_has_every_option_and_no_other() -> None:
    options = set(re.findall(r"--[a-z][a-z-]+", app_parser().format_help()))
    told = set(re.findall(r"--[a-z][a-z-]+", PAGES["usage.md"]))
    demo = {"--subjects", "--seed", "--data-only", "--qmri"}
    assert options - {"--help", "--verbose"} <= told
    assert told - demo <= options


@pytest.mark.parametrize("key", bibliography())
def test_the_list_of_references_has_every_entry(key: str) -> None:
    lines = [line for line in PAGES["references.md"].splitlines() if f'<a id="{key}"></a>' in line]
    assert len(lines) == 1
    assert reference(key).text in lines[0]
    assert bibliography()[key].get("doi", "jstor.org") in lines[0]


def test_no_page_has_a_doi_of_its_own() -> None:
    known = set(re.findall(r"doi\.org/(\S+?)\)(?=\n|$)", PAGES["references.md"], re.MULTILINE))
    for name, text in PAGES.items():
        found = set(re.findall(r"doi\.org/(\S+?)\)(?=[\s.]|$)", text, re.MULTILINE))
        assert found <= known, name


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_are_small_and_shown(path: Path) -> None:
    assert path.stat().st_size <= 150_000
    assert any(f"images/{path.name}" in text for text in PAGES.values())


def test_pictures_have_words_for_those_who_do_not_see_them() -> None:
    assert sum(path.stat().st_size for path in PICTURES) < 1_500_000
    for name, text in PAGES.items():
        for words in re.findall(r"!\[(.*?)\]\(images/", text):
            assert len(words) > 20, name


def test_the_tutorial_says_what_works(tmp_path: Path) -> None:
    """Its settings load, and its commands parse."""
    from thalbids.cli.main import parse

    (settings,) = re.findall(r"```toml\n(.*?)```", PAGES["tutorial.md"], re.DOTALL)
    (tmp_path / "settings.toml").write_text(settings)
    assert load(tmp_path / "settings.toml").checks.rescans == ("test:retest",)
    commands = re.findall(r"^thalbids (.*)$", PAGES["tutorial.md"], re.MULTILINE)
    assert [parse(words.split()).analysis_level for words in commands] == ["participant", "participant", "group"]
