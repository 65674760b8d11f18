"""``thalbids setup``: what can be made, and that a wrong name stops it before any installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.cli import setup
from thalbids.cli.main import main
from thalbids.tools import environments


def test_the_list_has_every_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path))
    told = setup.listing()
    assert told.count("not here:") == len(environments.KNOWN)
    assert all(f"{name}: " in told for name in environments.KNOWN)
    assert all(name in setup.parser().format_help() for name in environments.KNOWN)


def test_a_wrong_name_stops_before_any_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[object, ...]] = []

    def make(*given: object) -> str:
        made.append(given)
        return "made."

    monkeypatch.setattr(environments, "make", make)
    assert main(["setup", "samseg", "no-such-tool"]) == 2
    assert made == [] and "no-such-tool" in capsys.readouterr().err
    assert main(["setup", "samseg", "--python", "python3.11", "--pip", "--index-url 'https://x y'"]) == 0
    assert made == [("samseg", "python3.11", ["--index-url", "https://x y"])]
