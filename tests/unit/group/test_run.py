"""The group level over synthetic cohorts: what is written, and what happens when much is missing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cohort import CHANGE, METHODS, write_cohort
from thalbids.cli.main import main


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def numbers(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) if row[name] != "n/a" else np.nan for row in rows])


def test_every_table_has_a_dictionary_of_its_columns(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 12)
    assert main([str(raw), str(out), "group"]) == 0
    tables = sorted(out.glob("group_*.tsv"))
    assert {"group_volumes", "group_change", "group_change_summary", "group_change_tests", "group_descriptives",
            "group_missing"} <= {path.stem for path in tables}  # fmt: skip
    for path in tables:
        columns = path.read_text(encoding="utf-8").split("\n")[0].split("\t")
        described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert [name for name in described if name != "AnalysisSettings"] == columns
        assert all(described[name]["Description"] for name in columns)


def test_known_change_comes_back(tmp_path: Path) -> None:
    raw, out, truth = write_cohort(tmp_path, 60, methods=("synthalT1w", "dbsegment"))
    assert main([str(raw), str(out), "group"]) == 0
    rows = [row for row in read(out / "group_change.tsv") if row["method"] == "synthalT1w"]
    assert [row["participant_id"] for row in rows] == truth.participants
    expected = 100 * (truth.volume_ml[:, 1] / truth.volume_ml[:, 0] - 1)
    found = numbers(rows, "delta_percent")
    assert np.abs(found - expected).mean() < 0.7  # the noise of two measurements of 12 mL is 0.06 mL
    np.testing.assert_allclose(numbers(rows, "interval_years"), truth.years[:, 1], atol=1e-6)
    np.testing.assert_allclose(numbers(rows, "delta_percent_per_year"), found / truth.years[:, 1], rtol=1e-6)
    np.testing.assert_allclose(numbers(rows, "asymmetry_baseline"), 0.02, rtol=1e-9)  # 2 (0.505 - 0.495) / 1
    summary = {(row["method"], row["diagnosis"], row["measure"]): row for row in read(out / "group_change_summary.tsv")}
    rrms = summary["synthalT1w", "RRMS", "delta_percent_per_year"]
    assert int(rrms["n"]) == (truth.diagnosis == "RRMS").sum()
    assert abs(float(rrms["mean"]) - CHANGE["RRMS"]) < 0.5


@pytest.mark.parametrize("dry", [True, False])
def test_dry_run_says_what_was_found_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dry: bool
) -> None:
    raw, out, _ = write_cohort(tmp_path, 5)
    assert main([str(raw), str(out), "group", *(["--dry-run"] if dry else [])]) == 0
    shown = capsys.readouterr().out
    assert bool(list(out.glob("group_*"))) is not dry
    if dry:
        assert "age: participants.tsv: age" in shown
        assert "t25fw_1: */*_sessions.tsv: t25fw_1" in shown
        assert f"change delta_ml {next(iter(METHODS))}: 5 of 5" in shown
