"""The notebook of the documentation runs, cell after cell, on the demo's cohort."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thalbids import demo_cohort

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [person for person in demo_cohort.people(1) if person.number_in_group in (0, 1)]
    monkeypatch.setattr(demo_cohort, "people", lambda seed: some)
    list(demo_cohort.write_cohort(tmp_path / "thalbids-demo" / "cohort"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        assert not cell.get("outputs")  # kept without results, which would grow old
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # noqa: S102 (our own file)
    assert len(names["table"]) == 4 * (6 * 3 + 6)  # methods x (visits and rescans)
    assert names["first"]["diagnosis"].value_counts().to_dict() == {"HC": 2, "RRMS": 2, "SPMS": 2}
    assert names["volumes"].notna().all(axis=None)
    assert 5 < names["coefficients"][0] < 20
