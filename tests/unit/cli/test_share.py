"""``thalbids share``: options reach the copy, and the terminal says what was copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thalbids.bids.results import share
from thalbids.cli.main import main


def test_options_reach_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[tuple[Path, ...], dict[str, Any]]] = []

    def copied(*places: Path, **options: Any) -> list[Path]:
        calls.append((places, options))
        return [Path("README"), Path("sub-01/a.tsv"), Path("sub-01/b.tsv")]

    monkeypatch.setattr(share, "share", copied)
    words = ["--what", "masks", "--participant-label", "sub-01", "--dates", "shift", "--license", "CC0"]
    assert main(["share", str(tmp_path), str(tmp_path / "copy"), *words]) == 0
    assert calls == [((tmp_path, tmp_path / "copy"), {
        "what": "masks", "subjects": ["sub-01"], "dates": "shift", "license_name": "CC0", "faces_removed": False,
    })]  # fmt: skip
    assert "3 files of 1 participant are in" in capsys.readouterr().out
