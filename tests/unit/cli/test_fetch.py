"""``thalbids fetch``: what is offered, and that a wrong name stops it before any download."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids import families
from thalbids.cli import fetch
from thalbids.cli.main import main


def test_methods_and_templates_are_offered() -> None:
    asking = {name for name, entry in families.known().items() if entry.download}
    assert set(fetch.offered()) == asking | set(fetch.TEMPLATES) and asking
    assert all(what in fetch.parser().format_help().replace("\n", "").replace(" ", "") for what in fetch.offered())


def test_the_list_tells_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templates"))
    told = fetch.listing()
    assert told.count("not here:") == len(fetch.offered()) and str(tmp_path / "templates") in told


def test_a_wrong_name_stops_before_any_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path))
    assert main(["fetch", "mindglide", "nothing-of-this-name"]) == 2
    assert "nothing-of-this-name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
