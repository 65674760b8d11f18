"""A whole run of a cohort of women without steroids and dates: models, terminal, page and methods paragraph."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cohort import write_cohort
from thalbids.cli.main import main


def without(path: Path, columns: set[str], **changed: str) -> None:
    """Drop columns of a table, and give others one value."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    names = [name for name in rows[0] if name not in columns]
    lines = ["\t".join(names), *("\t".join({**row, **changed}[name] for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_every_model_is_fitted_and_what_is_left_out_stands_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, _ = write_cohort(tmp_path, 24, methods=("first", "synthalT1w"), diagnoses={"RRMS": 1.0}, siena=False)
    for path in raw.glob("sub-*/*_sessions.tsv"):
        without(path, {"steroid", "acq_time"})
    without(raw / "participants.tsv", set(), sex="F")
    config = tmp_path / "thalbids.toml"
    config.write_text("[group]\nbootstrap = 100\n")
    assert main([str(raw), str(out), "group", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("warning:")
    both = "steroid, interval_years are left out of 16 of 16 models: missing for everybody."
    assert f"warning: longitudinal: {both}" in said
    assert "warning: crosssectional: sex is left out of 20 of 20 models: does not vary." in said
    assert "crosssectional: 20 of 20 models fitted." in said
    assert "longitudinal: 32 of 32 models fitted." in said
    assert "annualised: 0 of 16 models fitted: interval_years is missing for everybody in the sample (16)." in said
    paragraph = (out / "logs" / "CITATION.md").read_text()
    assert "regressed on the change of thalamic volume (mL), age and standardised intracranial volume, by" in paragraph
    assert "corticosteroid treatment in between from 8 of 8 longitudinal models (missing for everybody)" in paragraph
    page = (out / "group.html").read_text()
    assert "steroid is left out of 8 of 8 models: missing for everybody." in page
    assert "outcome ~ delta_volume_ml + age + icv_z (8 models)" in page
