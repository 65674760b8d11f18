"""``thalbids demo`` around the dataset and the pipeline, both replaced."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import thalbids.demo
import thalbids.demo_cohort
from thalbids.cli.main import main
from thalbids.settings import Run, Settings


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []

    def write_dataset(root: Path, subjects: int, seed: int, *, qmri: bool, threads: int) -> Iterator[str]:
        assert not qmri
        made.append((root, subjects, seed, threads))
        yield "sub-01_ses-1"

    def participant(bids_dir: Path, out_dir: Path, settings: Settings, **switches: bool) -> int:
        made.append((bids_dir, out_dir, settings))
        out_dir.mkdir(parents=True)
        (out_dir / "sub-01.html").touch()
        return 1

    def group(bids_dir: Path, out_dir: Path, settings: Settings, *, terse: bool) -> int:
        assert terse
        made.append(("group", bids_dir, out_dir, settings.inputs.derivatives))
        out_dir.mkdir(parents=True)
        (out_dir / "group.html").touch()
        return 0

    def write_cohort(root: Path, seed: int) -> Iterator[str]:
        made.append(("cohort", root, seed))
        yield "sub-sim01"

    for module, function in (("thalbids.participant.run", participant), ("thalbids.group.run", group)):
        stand_in = ModuleType(module)
        setattr(stand_in, function.__name__, function)
        monkeypatch.setitem(sys.modules, module, stand_in)
    monkeypatch.setattr(thalbids.demo, "write_dataset", write_dataset)
    monkeypatch.setattr(thalbids.demo_cohort, "write_cohort", write_cohort)
    monkeypatch.setattr(thalbids.demo, "compare", lambda raw, out: [("sub-01", -2.345, -2.1), ("sub-02", -5.0, None)])
    return made


def test_the_run_is_made_shown_and_its_exit_code_given(
    calls: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", str(tmp_path / "d"), "--subjects", "2", "--seed", "5", "--nprocs", "2"]) == 1
    raw, out = tmp_path / "d" / "raw", tmp_path / "d" / "derivatives" / "thalbids"
    cohort = tmp_path / "d" / "cohort"
    results = cohort / "derivatives" / "thalbids"
    manual = {name: cohort / "derivatives" / name for name in ("manual", "manual2")}
    assert calls == [
        (raw, 2, 5, 2),
        ("cohort", cohort, 5),
        (raw, out, Settings(run=Run(nprocs=2))),
        ("group", cohort / "raw", results, manual),
    ]
    shown = capsys.readouterr().out
    assert "made sub-01_ses-1" in shown
    assert "sub-01: true -2.35, measured -2.10" in shown
    assert "sub-02: true -5.00, measured missing" in shown
    assert "one pair errs by one or two points" in shown
    assert "0 of 17 intervals hold what was put in" in shown  # the stand-in wrote no table
    assert str(out / "sub-01.html") in shown
    assert str(results / "group.html") in shown
    assert "qc.html" not in shown
    assert "thalbids BIDS_DIR BIDS_DIR/derivatives/thalbids participant --dry-run" in shown


def test_data_only_measures_nothing(calls: list[Any], tmp_path: Path) -> None:
    assert main(["demo", str(tmp_path / "d"), "--data-only"]) == 0
    assert calls == [(tmp_path / "d" / "raw", 3, 1, 1), ("cohort", tmp_path / "d" / "cohort", 1)]
