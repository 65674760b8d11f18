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


def test_help_speaks_of_scans(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    shown = capsys.readouterr().out
    assert "1    some scans failed or are not to be trusted; of several scans the last" in shown
    assert "session" not in shown
    assert "goes on where it stopped" not in shown
    assert max(map(len, shown.splitlines())) <= 80
