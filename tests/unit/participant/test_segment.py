"""The command segment."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.cli.main import main

SHAPE = (24, 24, 24)


def test_segment_of_a_missing_file_stops_with_66(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(tmp_path / "nothing.nii.gz")]) == 66
    assert "nothing.nii.gz" in capsys.readouterr().err
