"""``thalbids segment``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Recorder
from thalbids.cli.main import main
from thalbids.settings import Run, Settings


def test_segment(run: Recorder) -> None:
    assert main(["segment", "a.nii.gz", "b.mgz", "-o", "here", "--precision", "fast"]) == 0
    assert run.calls == [([Path("a.nii.gz"), Path("b.mgz")], Path("here"), Settings(run=Run(precision="fast")))]
    assert main(["segment", "a.nii.gz"]) == 0
    assert run.calls[1] == ([Path("a.nii.gz")], None, Settings())


def test_a_scan_that_is_a_folder_is_wrong_usage(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", raw]) == 2
    assert "this is a folder, not an image" in capsys.readouterr().err
