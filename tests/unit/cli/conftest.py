"""A stand-in for the commands that a verb ends in, and a dataset folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from thalbids.settings import Settings


class Recorder(ModuleType):
    """Stands in for the commands participant and segment; keeps the calls, then returns or raises ``outcome``."""

    def __init__(self) -> None:
        super().__init__("thalbids.participant.run")
        self.calls: list[tuple[Any, ...]] = []
        self.outcome: int | BaseException = 0

    def _end(self) -> int:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def participant(self, bids_dir: Path, out_dir: Path, settings: Settings, **switches: bool) -> int:
        self.calls.append((bids_dir, out_dir, settings, switches))
        return self._end()

    def segment(self, scans: Sequence[Path], out_dir: Path | None, settings: Settings) -> int:
        self.calls.append((scans, out_dir, settings))
        return self._end()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    for command in ("run", "segment"):
        monkeypatch.setitem(sys.modules, f"thalbids.participant.{command}", recorder)
    return recorder


@pytest.fixture
def raw(tmp_path: Path) -> str:
    (tmp_path / "raw").mkdir()
    return str(tmp_path / "raw")
