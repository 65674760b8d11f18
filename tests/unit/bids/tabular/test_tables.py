"""Cells keep their precision, and every column is described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thalbids.bids.tabular import tables
from thalbids.bids.tabular.tables import Table, write


def test_every_cell_keeps_its_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"a": [1 / 3, np.nan], "n": [3.0, np.nan], "t": ["x\ty\nz", ""], "b": [True, False]})
    columns = {"a": {"Description": "a"}, "n": {"Format": "integer"}, "t": {}, "b": {}, "absent": {}}
    path = write(Table("group_x", frame, columns), tmp_path)
    assert path.read_text() == (
        "a\tn\tt\tb\tabsent\n0.3333333333333333\t3\tx y z\ttrue\tn/a\nn/a\tn/a\tn/a\tfalse\tn/a\n"
    )
    monkeypatch.setattr(tables, "CHUNK", 1)  # one row at a time
    assert write(Table("group_y", frame, columns), tmp_path).read_text() == path.read_text()
    assert write(Table("group_z", frame.iloc[:0], columns), tmp_path).read_text() == "a\tn\tt\tb\tabsent\n"
    with pytest.raises(ValueError, match="without a description: b"):
        write(Table("group_x", frame, {"a": {}, "n": {}, "t": {}}), tmp_path)
