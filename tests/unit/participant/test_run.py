"""The command participant: what stops it, and what it says of the programs that ran."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, session
from thalbids.engine.step import Step, StepResult
from thalbids.errors import NoInputError, UsageError
from thalbids.files import read_json, write_json
from thalbids.participant.plan import plan
from thalbids.participant.run import (
    add_software,
    check_memory,
    checked,
    documents_of,
    excluded_masks,
    norms_of,
    not_comparable,
    other_people,
    participant,
)
from thalbids.participant.session import SubjectPlan
from thalbids.participant.stages.person import alignment, change
from thalbids.participant.stages.session import icv, measures
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


def test_a_limit_below_what_one_step_needs_is_refused(tmp_path: Path) -> None:
    steps = [
        Step(f"step {gb}", "sub-01", icv.icv, {}, {"x": tmp_path / f"{gb}.tsv"}, memory_gb=gb) for gb in (0.5, 2.02)
    ]
    with pytest.raises(UsageError, match=r"'step 2.02' needs about 2.0 GB alone. Give --mem 2.1 or more"):
        check_memory(steps, load(None, {"run": {"mem_gb": 2.0}}))
    steps[1].record_path.write_text("{}")  # it was computed once
    check_memory(steps, load(None, {"run": {"mem_gb": 1.0}}))
    steps[1].record_path.unlink()
    looked_up = [steps[0], replace(steps[1], look_up=True)]
    check_memory(looked_up, load(None, {"run": {"mem_gb": 0.5}}))
    check_memory(steps, load(None, {}))
    check_memory(steps, load(None, {"run": {"mem_gb": 0.1}, "cluster": {"system": "slurm"}}))


def test_a_dry_run_holds_one_person_at_a_time_and_names_the_largest_step_of_all() -> None:
    sessions = [replace(session(("T1w",)), subject=f"{number:02d}") for number in range(6)]
    held: list[weakref.ref[SubjectPlan]] = []

    def people() -> Iterator[SubjectPlan]:
        for subject in plan(sessions, OUT, (Fixed(),), load(None, {})):
            held.append(weakref.ref(subject))
            if subject.subject == "03":
                subject.sessions[0].steps[0] = replace(subject.sessions[0].steps[0], memory_gb=9.5)
            yield subject

    alive = [sum(one() is not None for one in held) for _ in checked(people(), {}, load(None, {}))]
    assert max(alive) <= 2 and len(alive) == 6
    seen = checked(people(), {}, load(None, {"run": {"mem_gb": 0.6}}))
    with pytest.raises(UsageError, match=r"'sub-03_ses-1 anatomy' needs about 9\.5 GB"):
        list(seen)


def test_masks_that_quality_control_excludes_are_named(tmp_path: Path) -> None:
    step = Step("measures", "sub-01", measures.measures, {}, {"volumes": tmp_path / "volumes.tsv"})
    (tmp_path / "volumes.tsv").write_text("method\tstatus\treason\na\tok\tn/a\nb\texcluded\tb: it is torn; small\n")
    other = replace(step, function=icv.icv, outputs={})
    ok = StepResult("measures", "ok", session="sub-01")
    assert excluded_masks([step, other], [ok, ok]) == ["excluded: sub-01 b: it is torn"]
    again = replace(ok, status="cached", cached=True)  # a second run says the same
    assert excluded_masks([step], [again]) == excluded_masks([step], [ok])
    assert excluded_masks([step], [replace(ok, status="failed")]) == []
    rows = "".join(f"m{n}\texcluded\tfar\n" for n in range(12))
    (tmp_path / "volumes.tsv").write_text("method\tstatus\treason\n" + rows)
    lines = excluded_masks([step], [ok])
    assert len(lines) == 11 and lines[-1] == "excluded: 2 further masks, see the tables of volumes"


def test_pairs_of_visits_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    table = tmp_path / "change.tsv"
    rows = [f"ses-1\tses-{n}\t{status}\t{alike}\t{n} mm\n" for n in range(2, 14)
            for status, alike in (("ok", "no"), ("ok", "no"))]  # fmt: skip
    rows += ["ses-1\tses-20\tok\tyes\tn/a\n", "ses-1\tses-21\tmissing\tno\t3 mm\n", "ses-1\tses-22\tok\tn/a\tn/a\n"]
    table.write_text("session_id_baseline\tsession_id_followup\tstatus\tcomparable\tremark\n" + "".join(rows))
    step = Step("change", "sub-01_ses-2", change.change, {}, {"table": table})
    ok = StepResult(step.name, "ok", session="sub-01")
    lines = not_comparable([step], [ok])
    assert lines[0] == "not comparable: change of sub-01 from ses-1 to ses-2: 2 mm"
    assert lines[-1] == "not comparable: 2 further pairs of visits, see the tables of change" and len(lines) == 11
    assert not_comparable([step], [replace(ok, status="failed")]) == []


def test_sessions_of_another_person_are_named(tmp_path: Path) -> None:
    record = {"First": "1", "Chosen": "ants", "Reason": "", "Matrix": np.eye(4).tolist(), "Correlation": 0.31}
    steps = []
    for number, alike in enumerate([0.31, 0.9, *[0.2] * 10]):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(record | {"Correlation": alike}))
        steps.append(Step(f"align {number}", f"sub-01_ses-{number}", alignment.align, {}, {"alignment": path}))
    results = [StepResult(step.name, "ok", session=step.session) for step in steps]
    lines = other_people(steps, results)
    assert lines[0].startswith("excluded: change from and to sub-01_ses-0: its image does not look like that of ses-1")
    assert lines[1].startswith("excluded: change from and to sub-01_ses-2: ")
    assert lines[-1] == "excluded: change from and to 1 further sessions, see the tables of change" and len(lines) == 11
    assert other_people(steps, [replace(result, status="cached", cached=True) for result in results]) == lines
    assert other_people(steps[:1], [replace(results[0], status="failed")]) == []


def test_qc_documents_of_this_run_and_earlier_ones_are_read(tmp_path: Path) -> None:
    document = {"Flags": [], "Registrations": [], "ICV": [], "Masks": {}, "Images": {}, "Brain": None}
    write_json(tmp_path / "1.json", document)
    write_json(tmp_path / "2.json", {"Flags": 3})  # damaged
    steps = [
        Step(f"measures {n}", f"sub-{n}", measures.measures, {}, {"qc": tmp_path / f"{n}.json"}) for n in ("1", "2")
    ]
    results = [StepResult(step.name, "cached", session=step.session, cached=True) for step in steps]
    assert documents_of(steps, results) == {"sub-1": document}
    assert documents_of(steps[:1], [replace(results[0], status="failed", cached=False)]) == {}


def test_a_damaged_table_of_norms_costs_the_pages_their_z_alone(tmp_path: Path) -> None:
    (tmp_path / "group_normative.tsv").write_text("x\n", encoding="utf-8")
    found, told = norms_of(tmp_path, [])
    assert found == {} and told.startswith("group_normative.tsv is left out of the pages: ")
