"""The table of change of a person: rows, reasons, and what the quality control says against a pair."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalbids.bids.results.dictionaries import SIENA_COLUMNS, THALAMUS_COLUMNS
from thalbids.bids.results.outputs import read_table, write_table
from thalbids.engine import engine
from thalbids.engine.log import Reporter
from thalbids.engine.step import StepResult
from thalbids.inference.uncertainty import Z
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.stages.person import alignment, siena
from thalbids.participant.stages.person.change import add_steps, table_of
from thalbids.settings import Settings
from thalbids.types import InputImage, Session

FACTS = {"voxel_size_mm": [1, 1, 1], "slice_thickness_mm": 1, "field_of_view_mm": [180, 240, 240]}


def volume(method: str, mm3: float | None, sd: float | None = 0.005, **more: Any) -> dict[str, Any]:
    row = {"method": method, "image": "T1w", "volume_mm3": mm3, "status": "ok"} | more
    if mm3 is not None:
        row |= {"volume_left_mm3": 0.5 * mm3, "volume_right_mm3": 0.5 * mm3}
    if mm3 is not None and sd is not None:
        row |= {"volume_low_mm3": mm3 * math.exp(-Z * sd), "volume_high_mm3": mm3 * math.exp(Z * sd)}
    return row


class Person:
    """Visits in a folder, as a run leaves them."""

    def __init__(self, root: Path, years: dict[str, float] | None = None):
        self.root = root
        self.subject = SubjectPlan("01", root, Settings(), [], set(), years=years or {})

    def visit(self, label: str, *rows: dict[str, Any], problem: str | None = None, **document: Any) -> SessionPlan:
        image = InputImage(self.root / "raw.nii.gz", "bids:raw:x.nii.gz", "T1w")
        plan = SessionPlan(
            Session("01", label, {} if problem else {"T1w": image}, problem=problem), self.root, Settings()
        )
        plan.images["T1w"] = plan.step_name("anatomy")
        self.subject.sessions.append(plan)
        self.subject.asked = {*self.subject.asked, plan.name}
        if rows:
            write_table(plan.volumes, rows, THALAMUS_COLUMNS)
        if not problem:
            told = {"Images": {"T1w": {"acquisition": FACTS}}, "Flags": [], "ICV": [], "Reference": "T1w"} | document
            told |= {"Masks": {}, "Registrations": []}
            plan.qc.parent.mkdir(parents=True, exist_ok=True)
            plan.t1w.touch()
            plan.qc.write_text(json.dumps(told))
        return plan

    def results(self) -> list[StepResult]:
        self.subject.steps = []
        add_steps(self.subject)
        with Reporter(self.root) as reporter:
            return engine.run(
                self.subject.steps,
                out_dir=self.root,
                nprocs=1,
                mem_gb=4,
                omp_nthreads=1,
                versions={},
                reporter=reporter,
            )

    def run(self) -> StepResult:
        (result,) = self.results()
        return result

    def rows(self) -> list[dict[str, str | None]]:
        assert self.run().usable
        return read_table(table_of(self.subject))


def test_a_pair(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 0.0, "2": 2.0})
    person.visit("1", volume("synthalT1w", 16000.0), volume("first", 15000.0, None))
    person.visit("2", volume("synthalT1w", 15680.0), volume("first", 15300.0, None))
    own, other = person.rows()
    assert (own["session_id_baseline"], own["session_id_followup"]) == ("ses-1", "ses-2")
    assert float(own["delta_percent"] or 0) == pytest.approx(-2.0)
    assert float(own["delta_percent_per_year"] or 0) == pytest.approx(-1.0)
    half = 1.959963984540054 * math.hypot(0.005, 0.005)
    assert float(own["delta_percent_low"] or 0) == pytest.approx(100 * (0.98 * math.exp(-half) - 1))
    assert (own["interval_source"], own["comparable"], own["status"], own["reason"]) == (
        "uncertainty",
        "yes",
        "ok",
        None,
    )
    assert other["interval_source"] is None
    assert "no uncertainty" in str(other["reason"])


def test_dates_order_the_visits(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 1.0, "2": 0.0})
    person.visit("1", volume("synthalT1w", 15000.0))
    person.visit("2", volume("synthalT1w", 16000.0))
    (row,) = person.rows()
    assert (row["session_id_baseline"], row["session_id_followup"]) == ("ses-2", "ses-1")
    assert float(row["delta_percent_per_year"] or 0) == pytest.approx(-6.25)


def test_what_a_visit_lacks_costs_its_own_rows(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 0.0})
    person.visit("1", volume("synthalT1w", 16000.0), volume("synthalFLAIR", 16000.0))
    person.visit("2", volume("synthalT1w", 15000.0, status="excluded", reason="the field of view cuts it"))
    person.visit("3", problem="there is no image to measure on")
    person.visit("4", volume("synthalT1w", 15900.0))
    found = {(r["session_id_baseline"], r["session_id_followup"], r["method"]): r for r in person.rows()}
    cut = found["ses-1", "ses-2", "synthalT1w"]
    assert (cut["status"], cut["reason"], cut["delta_percent"]) == (
        "excluded",
        "ses-2: the field of view cuts it",
        None,
    )
    other = found["ses-1", "ses-2", "synthalFLAIR"]
    assert (other["status"], other["reason"]) == ("missing", "ses-2: this method was not run")
    nothing = found["ses-1", "ses-3", "synthalT1w"]
    assert (nothing["status"], nothing["reason"]) == ("missing", "ses-3: there is no image to measure on")
    good = found["ses-1", "ses-4", "synthalT1w"]
    assert (good["status"], good["reason"]) == ("ok", "no rate: a session without a date")
    assert good["interval_years"] is good["delta_percent_per_year"] is None


def test_of_many_visits_the_first_with_an_image_is_compared_with_all(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.visit("01", problem="there is no image to measure on")
    for number in range(2, 13):
        person.visit(f"{number:02d}", volume("synthalT1w", 16000.0 - number))
    pairs = {(row["session_id_baseline"], row["session_id_followup"]): row for row in person.rows()}
    assert len(pairs) == 11 + 9  # each with the one before; the second with all after the third
    assert pairs["ses-02", "ses-12"]["status"] == "ok"
    assert pairs["ses-01", "ses-02"]["reason"] == "ses-01: there is no image to measure on"


def test_flags_of_a_pair(tmp_path: Path) -> None:
    person = Person(tmp_path)
    distrust = {"scope": "mask:synthalT1w", "rule": "volume", "severity": "distrust"}
    thick = {"scope": "image:T1w", "rule": "thick_slices", "severity": "check"}
    facts = FACTS | {"voxel_size_mm": [1, 1, 3], "slice_thickness_mm": 3}
    person.visit("1", volume("synthalT1w", 16000.0))
    person.visit("2", volume("synthalT1w", 15000.0), Flags=[distrust, thick], Images={"T1w": {"acquisition": facts}})
    (row,) = person.rows()
    assert (row["comparable"], row["flags"]) == ("no", "visit_voxel_size, thick_slices, volume")
    assert "ses-2: the mask must not be trusted" in str(row["remark"])


def test_another_reference_is_told(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.visit("1", volume("synthalFLAIR", 16000.0, image="FLAIR"))
    person.visit("2", volume("synthalFLAIR", 16000.0, image="FLAIR"), Reference="FLAIR")
    assert person.rows()[0]["flags"] == "visit_reference"


@pytest.mark.parametrize(
    ("chosen", "correlation", "mirrored", "flag"),
    [
        (None, None, None, "visit_person"), ("ants", 0.35, None, "visit_person"), ("ants", 0.9, None, None),
        (None, None, 0.95, "visit_mirrored"), ("ants", 0.7, 0.95, "visit_mirrored"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("judged", [True, False])  # whether the quality control tells how the images were acquired
def test_another_person_or_a_mirror_image(
    tmp_path: Path,
    chosen: str | None,
    correlation: float | None,
    mirrored: float | None,
    flag: str | None,
    judged: bool,
) -> None:
    person = Person(tmp_path)
    more: dict[str, Any] = {} if judged else {"Images": {}}
    first = person.visit("1", volume("synthalT1w", 16000.0), **more)
    second = person.visit("2", volume("synthalT1w", 14000.0), **more)
    record = {"First": "1", "Chosen": chosen, "Correlation": correlation, "Reason": "below the cut-off"}
    record |= {"Matrix": np.eye(4).tolist(), "Mirrored": mirrored}
    alignment.path_of(second, first).write_text(json.dumps(record))
    (row,) = person.rows()
    assert row["status"] == ("ok" if flag is None else "excluded")
    assert ("same person?" in str(row["reason"])) == (flag == "visit_person")
    assert ("left and right exchanged?" in str(row["reason"])) == (flag == "visit_mirrored")
    assert row["comparable"] == ("no" if flag else "yes" if judged else None)
    assert row["flags"] == flag
    assert (row["remark"] is None) == (flag is None) and str(row["remark"]).startswith("ses-2: ") == (flag is not None)
    assert float(row["delta_percent"] or 0) == pytest.approx(-12.5)


def test_another_person_is_told_beside_a_mask_that_is_excluded(tmp_path: Path) -> None:
    person = Person(tmp_path)
    first = person.visit("1", volume("synthalT1w", 16000.0))
    second = person.visit("2", volume("synthalT1w", 14000.0, status="excluded", reason="the skull has another size"))
    record = {"First": "1", "Chosen": None, "Correlation": None, "Reason": "below the cut-off", "Matrix": None}
    alignment.path_of(second, first).write_text(json.dumps(record))
    (row,) = person.rows()
    assert row["status"] == "excluded"
    assert row["reason"] == (
        "ses-2: the skull has another size; ses-2: its image could not be brought to that of ses-1 (below the "
        "cut-off): is it the same person?"
    )


def test_whole_brain_change_is_a_row(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 0.0, "2": 0.5})
    person.visit("1", volume("synthalT1w", 16000.0))
    person.visit("2", volume("synthalT1w", 16000.0))
    table = siena.table_of(person.subject)
    table.parent.mkdir(parents=True, exist_ok=True)
    pair = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2"}
    write_table(table, [pair | {"pbvc": -0.4, "source": "siena", "status": "ok"}], SIENA_COLUMNS)
    row = person.rows()[-1]
    assert (row["method"], row["measure"], row["volume_baseline_ml"]) == ("siena", "pbvc", None)
    assert float(row["delta_percent_per_year"] or 0) == pytest.approx(-0.8)
    assert row["status"] == "ok"


def test_whole_brain_change_of_a_mirror_image_is_excluded(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 0.0, "2": 0.5})
    first = person.visit("1", volume("synthalT1w", 16000.0))
    second = person.visit("2", volume("synthalT1w", 16000.0))
    record = {"First": "1", "Chosen": None, "Correlation": None, "Reason": "", "Matrix": None, "Mirrored": 0.95}
    alignment.path_of(second, first).write_text(json.dumps(record))
    pair = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2"}
    write_table(
        siena.table_of(person.subject), [pair | {"pbvc": -0.4, "source": "siena", "status": "ok"}], SIENA_COLUMNS
    )
    row = person.rows()[-1]
    assert (row["measure"], row["status"]) == ("pbvc", "excluded")
    assert (row["comparable"], row["flags"]) == ("no", "visit_mirrored")
    assert str(row["reason"]).startswith("ses-2: its image is the mirror image of that of ses-1")


def test_a_second_run_does_nothing_until_a_date_or_a_volume_changes(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 0.0, "2": 1.0})
    person.visit("1", volume("synthalT1w", 16000.0))
    second = person.visit("2", volume("synthalT1w", 15000.0))
    assert person.run().status == "ok"
    assert person.run().status == "cached"
    person.subject.years = {"1": 0.0, "2": 2.0}
    assert person.run().status == "ok"
    write_table(second.volumes, [volume("synthalT1w", 15500.0)], THALAMUS_COLUMNS)
    assert person.run().status == "ok"


def test_one_visit_or_none_labelled_has_no_table(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.visit("1", volume("synthalT1w", 16000.0))
    add_steps(person.subject)
    assert person.subject.steps == []


def test_a_pair_never_runs_backwards_where_both_are_dated(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 1.0, "2": 0.0})
    for label in ("1", "2", "3"):
        person.visit(label, volume("synthalT1w", 16000.0))
    pairs = [(row["session_id_baseline"], row["session_id_followup"], row["interval_years"]) for row in person.rows()]
    assert pairs == [("ses-2", "ses-1", "1.0"), ("ses-1", "ses-3", None), ("ses-2", "ses-3", None)]


def test_damaged_files_of_one_visit_cost_what_they_held(tmp_path: Path) -> None:
    person = Person(tmp_path, {"1": 0.0, "2": 1.0, "3": 2.0})
    first = person.visit("1", volume("synthalT1w", 16000.0))
    second = person.visit("2", volume("synthalT1w", 15000.0))
    third = person.visit("3", volume("synthalT1w", 15500.0))
    second.qc.write_text(second.qc.read_text()[:40])
    alignment.path_of(second, first).write_text("{}")
    third.volumes.write_text("method\nsynthalT1w\n")
    rows = {(row["session_id_baseline"], row["session_id_followup"]): row for row in person.rows()}
    damaged = rows["ses-1", "ses-2"]
    assert (damaged["status"], damaged["comparable"]) == ("ok", None)
    assert "ses-2: sub-01_ses-2_desc-thalamus_qc.json cannot be read: not valid JSON" in str(damaged["reason"])
    assert "not a record of an alignment" in str(damaged["reason"])
    assert rows["ses-1", "ses-3"]["status"] == "missing"
    assert "morph.tsv cannot be read: no column image" in str(rows["ses-1", "ses-3"]["reason"])


def test_a_visit_without_image_is_not_called_comparable(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.visit("1", volume("synthalT1w", 16000.0))
    person.visit("2", volume("synthalT1w", None, status="failed", reason="anatomy failed")).t1w.unlink()
    (row,) = person.rows()
    assert (row["status"], row["comparable"]) == ("failed", None)


def test_more_than_ten_visits_have_consecutive_pairs_and_those_with_the_first(tmp_path: Path) -> None:
    labels = [str(number) for number in range(1, 13)]
    person = Person(tmp_path)
    for label in labels:
        person.visit(label, volume("synthalT1w", 16000.0))
    rows = person.rows()
    pairs = [(row["session_id_baseline"], row["session_id_followup"]) for row in rows]
    next_to = {(f"ses-{one}", f"ses-{two}") for one, two in itertools.pairwise(labels)}
    assert set(pairs) == next_to | {("ses-1", f"ses-{label}") for label in labels[1:]}
    assert len(pairs) == 21
    assert {row["reason"] for row in rows} == {"no rate: a session without a date"}
