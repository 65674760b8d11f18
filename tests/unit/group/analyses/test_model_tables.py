"""The tables of models over a written cohort: known effects come back, and what is missing ends nothing."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cohort import CHANGE, EFFECTS, write_cohort
from tests.people import make_cohort, two_visits
from thalbids.cli.main import main
from thalbids.settings import Group, Settings

MODELS = (
    "crosssectional", "longitudinal", "ordinal", "pbvc", "pbvc_tests", "sides", "annualised", "mixed", "detectable",
    "samplesize", "normative",
)  # fmt: skip


def read(path: Path) -> list[dict[str, Any]]:
    def number(cell: str) -> Any:
        try:
            return math.nan if cell == "n/a" else float(cell)
        except ValueError:
            return cell

    with path.open(encoding="utf-8", newline="") as stream:
        return [{k: number(v) for k, v in row.items()} for row in csv.DictReader(stream, delimiter="\t")]


def one(rows: list[dict[str, Any]], **key: Any) -> dict[str, Any]:
    (row,) = [row for row in rows if all(row[name] == value for name, value in key.items())]
    return row


@pytest.mark.slow
def test_known_effects_come_back(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(
        tmp_path, 150, 3, methods=("freesurfer", "synthalT1w"), diagnoses={"RRMS": 0.75, "HC": 0.25}
    )
    assert main([str(raw), str(out), "group"]) == 0
    rows = read(out / "group_crosssectional.tsv")
    assert {row["method"] for row in rows} == {"synthalT1w"}  # FreeSurfer is left out, as in the paper
    for outcome in ("edss", "sdmt", "t25fw", "nhpt", "disease_duration"):
        row = one(rows, outcome=outcome, subset="all", term="volume_ml", method="synthalT1w")
        effect = EFFECTS.get(outcome, EFFECTS.get(f"log_{outcome}", math.nan))
        assert abs(row["estimate"] - effect) < 3.5 * row["se"]
        assert row["sign"] == "expected"
    row = one(read(out / "group_mixed.tsv"), subset="RRMS", random="intercept_slope", term="years", method="synthalT1w")
    assert row["percent"] == pytest.approx(CHANGE["RRMS"], abs=0.35)
    row = one(read(out / "group_pbvc.tsv"), method="synthalT1w")
    assert row["n"] == 150 and row["r"] > 0.2
    norm = [row for row in read(out / "group_normative.tsv") if row["session_id"] == "ses-1"]
    assert np.mean([row["volume_ml"] - row["expected_ml"] for row in norm]) == pytest.approx(0, abs=0.8)


@pytest.mark.parametrize(
    "change",
    [
        {"sessions": 1},
        pytest.param({"icv": False}, marks=pytest.mark.slow),
        pytest.param({"siena": False}, marks=pytest.mark.slow),
        pytest.param({"diagnoses": {"RRMS": 1.0}}, marks=pytest.mark.slow),
    ],
)
def test_what_is_missing_gives_reasons_and_no_number(tmp_path: Path, change: dict[str, Any]) -> None:
    raw, out, _ = write_cohort(tmp_path, 12, methods=("first", "synthalT1w"), **change)
    assert main([str(raw), str(out), "group"]) == 0
    for name in MODELS:
        for row in read(out / f"group_{name}.tsv"):
            value = next((row[key] for key in ("estimate", "r", "difference", "z") if key in row), None)
            if value is not None and isinstance(value, float) and math.isnan(value):
                assert isinstance(row["reason"], str) and row["reason"], (name, row)


def test_one_person(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 1)
    assert main([str(raw), str(out), "group"]) == 0
    assert all(math.isnan(row["estimate"]) for row in read(out / "group_crosssectional.tsv"))


@pytest.mark.slow
def test_harmonised_by_a_setting(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 24, methods=("first", "synthalT1w"))
    people = raw / "participants.tsv"
    lines = people.read_text().splitlines()
    if "site" not in lines[0].split("\t"):
        sites = ["site", *(f"s{i % 2}" for i in range(len(lines) - 1))]
        people.write_text("".join(f"{line}\t{site}\n" for line, site in zip(lines, sites, strict=True)))
    config = tmp_path / "thalbids.toml"
    config.write_text('[group]\nharmonise = "combat"\n')
    code = main([str(raw), str(out), "group", "--config", str(config)])
    if code == 2:  # sites and diagnoses that happen to go together are refused
        pytest.fail("the cohort's sites cannot be told from its diagnoses: choose another seed")
    rows = read(out / "group_harmonised.tsv")
    volumes = read(out / "group_volumes.tsv")
    assert len(rows) == 24 * 2 * 2
    changed = [row["volume_harmonised_ml"] != row["volume_ml"] for row in rows]
    assert np.mean(changed) > 0.9
    assert volumes[0]["volume_ml"] == rows[0]["volume_harmonised_ml"]


def test_one_site_ends_the_run_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, _ = write_cohort(tmp_path, 6)
    config = tmp_path / "thalbids.toml"
    config.write_text('[group]\nharmonise = "combat"\n')
    assert main([str(raw), str(out), "group", "--config", str(config)]) == 2
    assert "harmonisation" in capsys.readouterr().err
    assert not list(out.glob("group_*"))


def test_consecutive_pairs_are_left_to_the_mixed_model() -> None:
    from thalbids.group.analyses.clinical import longitudinal

    cohort = make_cohort(*two_visits(20), settings=Settings(group=Group(pairs=("consecutive",))))
    table = longitudinal.tables(cohort)[0]
    assert len(table.frame) == 0 and any("not independent" in note for note in table.notes)
