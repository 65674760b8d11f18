"""The command segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thalbids.cli.main import main
from thalbids.participant.segment import looks_like_labels

SHAPE = (24, 24, 24)


def test_segment_of_a_missing_file_stops_with_66(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(tmp_path / "nothing.nii.gz")]) == 66
    assert "nothing.nii.gz" in capsys.readouterr().err


def test_a_label_map_is_told_from_a_scan() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 45, (60, 60, 60))
    assert "holds 45 different whole numbers only" in looks_like_labels(labels.astype(np.float32))
    assert "holds 2 different" in looks_like_labels(labels > 20)
    assert looks_like_labels(rng.integers(0, 256, (60, 60, 60)).astype(np.uint8)) == ""
    assert looks_like_labels(np.round(labels / 10, 1)) == ""
