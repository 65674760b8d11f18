"""The command participant: what stops it, and what it says of the programs that ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.engine.step import Step, StepResult
from thalbids.errors import NoInputError
from thalbids.files import read_json, write_json
from thalbids.participant.run import add_software, participant
from thalbids.participant.stages.session import icv
from thalbids.settings import load

SHAPE = (24, 24, 24)


def test_every_version_that_made_a_result_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "dataset_description.json", {"GeneratedBy": [{"Name": "thalbids"}]})
    planned, results = [], []
    for version in ("6.0.0", "7.4.1", "7.4.1"):
        name = f"step {len(planned)}"
        record = tmp_path / f"{len(planned)}.json"
        write_json(record, {"Software": [{"Name": "FreeSurfer", "Version": version}]})
        planned.append(Step(name, "sub-01", icv.icv, {}, {"x": tmp_path / "x.tsv"}, record=record))
        results.append(StepResult(name, "ok"))
    for _ in range(2):
        add_software(tmp_path, planned, results)
    made = read_json(tmp_path / "dataset_description.json")["GeneratedBy"]
    assert [tool.get("Version") for tool in made] == [None, "6.0.0", "7.4.1"]


def test_given_results_that_are_not_there_stop_the_run(tmp_path: Path) -> None:
    for tree in (
        {"inputs": {"derivatives": {"first": str(tmp_path / "none")}}},
        {"tools": {"freesurfer": {"subjects_dir": str(tmp_path / "none")}}},
        {"siena": {"table": str(tmp_path / "none")}},
        {"siena": {"directory": str(tmp_path / "none")}},
    ):
        with pytest.raises(NoInputError, match="are not there"):
            participant(tmp_path, tmp_path / "out", load(None, tree))
