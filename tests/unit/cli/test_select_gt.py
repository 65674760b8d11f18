"""``thalbids select-gt`` on a dataset: its files, its words, its errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cohort import write_rows
from thalbids.cli.main import main


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """120 people, a few with PMS, one without EDSS, one without a scan, one whose first session has no scan."""
    root = tmp_path / "raw"
    rng = np.random.default_rng(3)
    people = []
    for i in range(120):
        person = f"sub-{i:03d}"
        age = round(rng.uniform(18, 70), 1)
        people.append(
            {"participant_id": person, "age": age, "diagnosis": "SPMS" if i % 12 == 0 else "RRMS",
             "disease_duration": round(rng.uniform(0, min(40, age - 17)), 1)}
        )  # fmt: skip
        visits = [
            {"session_id": f"ses-{s}", "edss": "n/a" if i == 7 else float(rng.integers(0, 14)) / 2} for s in (1, 2)
        ]
        write_rows(root / person / f"{person}_sessions.tsv", visits)
        for session in () if i == 8 else (2,) if i == 9 else (1, 2):
            scan = root / person / f"ses-{session}" / "anat" / f"{person}_ses-{session}_T1w.nii.gz"
            scan.parent.mkdir(parents=True)
            scan.touch()
    write_rows(root / "participants.tsv", people)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.11.1"}')
    return root


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_the_papers_sample(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "sample.tsv"
    assert main(["select-gt", str(raw), str(out), "-n", "34", "--include", "PMS"]) == 0
    rows = read(out)
    assert [row["diagnosis"] for row in rows].count("PMS") == 10
    assert sum(row["selected_as"] == "sampled" for row in rows) == 34
    assert {"sub-007", "sub-008"}.isdisjoint(row["participant_id"] for row in rows)
    assert all(row["session_id"] == ("ses-2" if row["participant_id"] == "sub-009" else "ses-1") for row in rows)
    strata = read(out.with_name("sample_strata.tsv"))
    assert len(strata) == 27
    assert sum(int(row["n_sample"]) for row in strata) == 34
    described = json.loads(out.with_suffix(".json").read_text())
    assert described["AnalysisSettings"]["seed"] == 1
    assert described["AnalysisSettings"]["borders"]["edss"] == [0, 1, 3, 7]
    for ending in ("svg", "png"):
        assert out.with_name(f"sample_histograms.{ending}").stat().st_size > 1000
    shown = capsys.readouterr().out
    assert "34 of " in shown and "sub-007 (edss is missing)" in shown
    before = out.read_bytes()
    assert main(["select-gt", str(raw), str(out), "--include", "PMS"]) == 0
    assert out.read_bytes() == before
    assert main(["select-gt", str(raw), str(out), "--include", "PMS", "--seed", "2"]) == 0
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["-n", "500"], "500 people are to be drawn"),
        (["--diagnosis", "NMOSD"], "nobody has the diagnosis 'NMOSD'. There is: PMS, RRMS."),
        (["--age-borders", "18,x"], "are no numbers"),
        (["--edss-borders", "3,1"], "do not rise"),
        (["--min-per-stratum", "4"], "strata with fewer than 4 people"),
        (["--seed", "-1"], "0 or more"),
    ],
)
def test_wrong_usage(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], word: str
) -> None:
    assert main(["select-gt", str(raw), str(tmp_path / "s.tsv"), *options]) == 2
    assert word in capsys.readouterr().err
    assert not list(tmp_path.glob("s*"))


def test_the_raw_dataset_is_not_written_to(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select-gt", str(raw), str(raw / "sample.tsv")]) == 2
    assert "never written to" in capsys.readouterr().err
    assert main(["select-gt", str(raw), str(raw / "derivatives" / "manual" / "sample.tsv")]) == 0
    assert main(["select-gt", str(raw), str(raw.parent / "sample.csv")]) == 2


def test_no_scans_and_no_columns(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "participants.tsv").write_text("participant_id\tage\nsub-001\t30\n")
    assert main(["select-gt", str(raw), str(tmp_path / "s.tsv")]) == 2
    assert "the clinical tables hold no disease_duration, no diagnosis" in capsys.readouterr().err
    for scan in raw.rglob("*_T1w.nii.gz"):
        scan.unlink()
    assert main(["select-gt", str(raw), str(tmp_path / "s.tsv")]) == 66
