"""Change by registration between two visits as a step: its record, its row in the table, and what it costs to fail."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.unit.longitudinal.test_affine import LabelledVisit, seen, with_vessel
from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.stages.person.test_change import Person, volume
from tests.unit.participant.test_plan import OUT, session
from thalbids.bids.results.dictionaries import THALAMUS_COLUMNS
from thalbids.bids.results.outputs import read_table, write_table
from thalbids.engine.step import check_plan
from thalbids.longitudinal import affine
from thalbids.participant import plan as plans
from thalbids.participant.session import PlannedMask
from thalbids.participant.stages.person import alignment, registered
from thalbids.participant.stages.person.change import ChangeVisit, VisitResults, by_registration, table_of
from thalbids.settings import load
from thalbids.types import InputImage

FACTOR = 4.0


class Scanned(Person):
    """Visits with images and masks of SynThal."""

    def scan(self, label: str, found: LabelledVisit, *rows: dict[str, object]) -> None:
        plan = self.visit(label, *rows)
        plan.masks.append(PlannedMask("synthalT1w", "synthal", ("T1w",), "T1w", step="made"))
        nib.save(found.image, plan.t1w)
        nib.save(nib.Nifti1Image(found.labels, found.image.affine), plan.dseg("synthalT1w"))
        first = self.subject.usable[0]
        assert self.subject.first is first
        if plan is not first:
            record = {"First": "1", "Chosen": "ants", "Correlation": 0.9, "Reason": "", "Matrix": found.matrix.tolist()}
            alignment.path_of(plan, first).write_text(json.dumps(record))

    def made(self) -> list[dict[str, str | None]]:
        results = self.results()
        assert all(result.usable for result in results)
        return [row for row in read_table(table_of(self.subject)) if row["measure"] == "registration"]


def test_the_row_of_a_pair(tmp_path: Path) -> None:
    person = Scanned(tmp_path, {"1": 0.0, "2": 2.0})
    person.scan("1", seen((1.0, 1.0), 1), volume("synthalT1w", 16000.0))
    person.scan("2", seen((0.98, 1.0), 2), volume("synthalT1w", 15000.0))
    (row,) = person.made()
    change = json.loads(registered.path_of(person.subject, "1", "2").read_text())["Changes"]["synthalT1w"]
    assert change["LogLeft"] == pytest.approx(3 * math.log(0.98), abs=0.008)
    assert change["LogRight"] == pytest.approx(0.0, abs=0.008)
    percent = 100 * math.expm1(change["LogBoth"])
    assert float(row["delta_percent"] or 0) == pytest.approx(percent)
    assert float(row["delta_percent_per_year"] or 0) == pytest.approx(percent / 2)
    assert float(row["volume_followup_ml"] or 0) == pytest.approx(16 * math.exp(change["LogBoth"]))
    assert float(row["delta_left_percent"] or 0) == pytest.approx(100 * math.expm1(change["LogLeft"]))
    assert (row["interval_source"], row["status"]) == ("known_change", "ok")
    numbers = [number for name, number in change.items() if name != "Reason"]
    assert len(numbers) == 5
    assert numbers == [round(number, 9) for number in numbers]  # not the digits that processors differ in


@pytest.mark.parametrize(("noise", "least"), [(0.002, True), (0.01, False)])
def test_the_interval_is_wider_for_noise_and_never_narrower_than_known(
    tmp_path: Path, noise: float, least: bool
) -> None:
    person = Scanned(tmp_path, {"1": 0.0, "2": 2.0})
    person.scan("1", seen((1.0, 1.0), 1, noise=noise), volume("synthalT1w", 16000.0))
    person.scan("2", seen((0.98, 1.0), 2, noise=noise), volume("synthalT1w", 15000.0))
    (row,) = person.made()
    change = json.loads(registered.path_of(person.subject, "1", "2").read_text())["Changes"]["synthalT1w"]
    alone = 0.0037 if least else FACTOR * change["NoiseSd"]
    assert (FACTOR * change["NoiseSd"] < 0.0037) == least
    half = 1.959963984540054 * math.sqrt(alone**2 + (0.16 * change["LogBoth"]) ** 2)
    assert float(row["delta_percent_high"] or 0) == pytest.approx(100 * math.expm1(change["LogBoth"] + half))
    assert float(row["delta_percent_low"] or 0) == pytest.approx(100 * math.expm1(change["LogBoth"] - half))


def test_a_scan_that_was_copied_to_another_visit_is_told(tmp_path: Path) -> None:
    person = Scanned(tmp_path, {"1": 0.0, "2": 2.0, "3": 3.0})
    for label, seed in (("1", 1), ("2", 1), ("3", 2)):
        person.scan(label, seen((1.0, 1.0), seed), volume("synthalT1w", 16000.0))
    copied, *others = person.made()
    assert copied["remark"] == "both visits hold the same image, noise and all: was a scan copied?"
    assert (copied["comparable"], copied["status"]) == ("yes", "ok")
    assert not any("same image" in str(row["remark"]) for row in others)


def test_a_contrast_agent_in_one_visit_alone_is_read_as_growth(tmp_path: Path) -> None:
    """The change of such a pair is excluded, its number stays for looking at; that of the volumes is flagged."""
    person = Scanned(tmp_path, {"1": 0.0, "2": 2.0})
    person.scan("1", seen((1.0, 1.0), 1), volume("synthalT1w", 16000.0))
    person.scan("2", seen((1.0, 1.0), 2), volume("synthalT1w", 15900.0))
    document = json.loads(person.subject.sessions[1].qc.read_text())
    document["Images"]["T1w"]["acquisition"]["contrast_agent"] = "gadolinium"
    person.subject.sessions[1].qc.write_text(json.dumps(document))
    (row,) = person.made()
    assert (row["status"], row["comparable"]) == ("excluded", "no")
    assert "contrast agent in one of the two visits" in str(row["reason"]) and row["delta_percent"] is not None
    volumes = next(row for row in read_table(table_of(person.subject)) if row["measure"] == "volume_difference")
    assert (volumes["status"], volumes["comparable"]) == ("ok", "no")


def test_what_one_visit_alone_shows_speaks_against_the_pair(tmp_path: Path) -> None:
    """An agent that no sidecar names: the change by registration has no interval and is not called comparable."""
    person = Scanned(tmp_path, {"1": 0.0, "2": 2.0})
    person.scan("1", seen((1.0, 1.0), 1), volume("synthalT1w", 16000.0))
    person.scan("2", with_vessel(seen((1.0, 1.0), 2)), volume("synthalT1w", 15900.0))
    (row,) = person.made()
    assert (row["status"], row["comparable"], row["flags"]) == ("ok", "no", "visit_border")
    assert "% of the border differ" in str(row["remark"]) and row["delta_percent_low"] is None
    volumes = next(row for row in read_table(table_of(person.subject)) if row["measure"] == "volume_difference")
    assert (volumes["status"], volumes["comparable"], volumes["flags"]) == ("ok", "no", "visit_border")
    assert volumes["remark"] == row["remark"] and volumes["delta_percent_low"] is None
    assert "no interval: not known for visits that are not comparable" in str(volumes["reason"])


def test_voxels_of_two_sizes_are_not_taken_for_an_unnamed_agent() -> None:
    """Thick slices at one visit differ at the border anyway, and so does an agent that the sidecar names."""
    visit = VisitResults(
        ChangeVisit("1", 0.0, ""), {"synthalT1w": volume("synthalT1w", 16000.0)}, {}, True, "", False, {}
    )
    measured = {"LogBoth": 0.0, "LogLeft": 0.0, "LogRight": 0.0, "OddShare": 0.03, "NoiseSd": 0.001}
    volumes = {
        "method": "synthalT1w",
        "status": "ok",
        "reason": "",
        "volume_baseline_ml": 16.0,
        "flags": "thick_slices",
    }
    assert "contrast agent" in by_registration(volumes, visit, visit, measured)["remark"]
    row = by_registration(volumes | {"flags": "visit_contrast_agent"}, visit, visit, measured)
    assert row["remark"].endswith("what the contrast agent of one visit makes brighter")
    row = by_registration(volumes | {"flags": "visit_voxel_size, thick_slices"}, visit, visit, measured)
    assert row["flags"] == "visit_voxel_size, thick_slices, visit_border"
    assert row["remark"].endswith(
        "voxels or slices of two sizes blur the border of one visit more than that of the other"
    )


def test_only_the_registration_that_failed_is_told(tmp_path: Path) -> None:
    """Of two visits of which one does not come to the first, the other is not to blame."""
    person = Scanned(tmp_path)
    for number in (1, 2, 3):
        person.scan(str(number), seen((1.0, 1.0), number), volume("synthalT1w", 16000.0))
    first, second, _ = person.subject.sessions
    path = alignment.path_of(second, first)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"Chosen": None, "Matrix": None, "Reason": "too low"}))
    row = person.made()[2]
    assert (row["session_id_baseline"], row["session_id_followup"], row["status"]) == ("ses-2", "ses-3", "failed")
    assert "ses-2: the registration with ses-1 failed" in str(row["reason"]) and "ses-3" not in str(row["reason"])


def test_what_cannot_be_measured_is_told(tmp_path: Path) -> None:
    person = Scanned(tmp_path)
    person.scan("1", seen((1.0, 1.0), 1), volume("synthalT1w", 16000.0))
    half = seen((1.0, 1.0), 2)
    half.labels[half.labels == 49] = 0
    person.scan("2", half, volume("synthalT1w", 15000.0))
    person.scan("3", seen((1.0, 1.0), 3), volume("synthalT1w", 15000.0, status="excluded", reason="cut"))
    rows = {(row["session_id_baseline"], row["session_id_followup"]): row for row in person.made()}
    assert rows["ses-1", "ses-2"]["status"] == "failed"
    assert "no mask of both" in str(rows["ses-1", "ses-2"]["reason"])
    assert (rows["ses-1", "ses-3"]["status"], rows["ses-1", "ses-3"]["reason"]) == ("excluded", "ses-3: cut")


def test_visits_of_two_contrasts_are_not_compared(tmp_path: Path) -> None:
    person = Scanned(tmp_path)
    person.scan("1", seen((1.0, 1.0), 1), volume("synthalT1w", 16000.0))
    plan = person.subject.sessions[0]
    image = InputImage(tmp_path / "raw.nii.gz", "bids:raw:x.nii.gz", "FLAIR")
    other = person.visit("2", volume("synthalFLAIR", 15000.0, image="FLAIR"))
    other.session = replace(other.session, images={"FLAIR": image})
    assert other.reference == "FLAIR"
    assert registered.add_step(person.subject, plan, other) is None
    assert person.subject.steps == []


def test_an_alignment_counts_for_the_session_that_it_names(tmp_path: Path) -> None:
    person = Scanned(tmp_path)
    for number in (1, 2, 3):
        person.scan(str(number), seen((1.0, 1.0), number), volume("synthalT1w", 16000.0))
    first, second, third = person.subject.sessions
    alignment.path_of(second, first).unlink()
    path = alignment.path_of(third, first)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"First": "2"}))
    rows = {(row["session_id_baseline"], row["session_id_followup"]): row for row in person.made()}
    assert rows["ses-2", "ses-3"]["status"] == "ok"
    assert (rows["ses-1", "ses-2"]["status"], rows["ses-1", "ses-3"]["status"]) == ("missing", "missing")
    reason = str(rows["ses-1", "ses-2"]["reason"])
    assert "ses-2: no alignment with the person's first visit was made (sessions that were run apart: run" in reason
    assert "ses-3: its alignment is with ses-2" in str(rows["ses-1", "ses-3"]["reason"])


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"Chosen": None, "Matrix": None, "Reason": "too low"}, "failed", "with ses-1 failed (too low)"),
        ({"Matrix": [[1, 0], [0, 1]]}, "missing", "cannot be read"),
    ],
)  # fmt: skip
def test_why_two_visits_are_not_aligned(tmp_path: Path, change: dict[str, object], status: str, reason: str) -> None:
    person = Scanned(tmp_path)
    person.scan("1", seen((1.0, 1.0), 1), volume("synthalT1w", 16000.0))
    person.scan("2", seen((1.0, 1.0), 2), volume("synthalT1w", 16000.0))
    path = alignment.path_of(person.subject.sessions[1], person.subject.sessions[0])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (row,) = person.made()
    assert row["status"] == status
    assert reason in str(row["reason"])


def test_no_interval_where_comparability_is_unknown(tmp_path: Path) -> None:
    person = Scanned(tmp_path)
    person.scan("1", seen((1.0, 1.0), 1), volume("synthalT1w", 16000.0))
    person.scan("2", seen((1.0, 1.0), 2), volume("synthalT1w", 16000.0))
    person.subject.sessions[1].qc.unlink()
    (row,) = person.made()
    assert (row["status"], row["comparable"], row["interval_source"]) == ("ok", None, None)
    assert "comparability unknown" in str(row["reason"])


def test_a_pair_waits_only_for_what_it_reads() -> None:
    images = [session(("T1w",), name) for name in ("1", "2", "3")]
    steps = plans.steps_of(plans.plan(images, OUT, (Fixed(),), load(None, {})))
    (step,) = [step for step in steps if step.name == "sub-01 change ses-2 to ses-3"]
    masks = [f"sub-01_ses-{n} synthalT1w" for n in (2, 3)]
    others = [f"sub-01_ses-{n} {what}" for n in (2, 3) for what in ("anatomy", alignment.STEP)]
    assert sorted(step.after) == sorted([*others, *masks])
    check_plan(steps)


def test_two_contrasts_are_told_in_the_table(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.visit("1", volume("synthalT1w", 16000.0), volume("synthalT1FLAIR", 16000.0, image="ensemble"))
    person.visit("2", volume("synthalFLAIR", 15000.0, image="FLAIR"), Reference="FLAIR")
    rows = [row for row in person.rows() if row["measure"] == "registration"]
    assert [row["method"] for row in rows] == ["synthalT1w", "synthalFLAIR"]  # not of several images
    assert all(row["status"] == "missing" for row in rows)
    told = "ses-2: this method was not run"
    assert (
        rows[0]["reason"]
        == f"{told}; images of two contrasts are not registered with each other: ses-1 has T1w and ses-2 has FLAIR"
    )


def test_a_pair_that_lacks_the_first_visit_keeps_the_others(tmp_path: Path) -> None:
    """The first visit got no image in this run: the later two are aligned with each other, and its pairs say why."""
    person = Scanned(tmp_path)
    for number in (1, 2, 3):
        person.scan(str(number), seen((1.0, 1.0), number), volume("synthalT1w", 16000.0))
    first, second, third = person.subject.sessions
    for path in (first.t1w, first.dseg("synthalT1w"), alignment.path_of(second, first)):
        path.unlink()
    lost = volume("synthalT1w", None, status="failed", reason="anatomy: the image has no voxels")
    write_table(first.volumes, [lost], THALAMUS_COLUMNS)
    path = alignment.path_of(third, first)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"First": "2"}))
    results = person.results()
    assert [result.status for result in results] == ["ok"] * 4
    rows = read_table(table_of(person.subject))
    found = {(r["session_id_baseline"], r["session_id_followup"], r["measure"]): r for r in rows}
    assert found["ses-2", "ses-3", "registration"]["status"] == "ok"
    for later in ("ses-2", "ses-3"):
        for measure in ("volume_difference", "registration"):
            row = found["ses-1", later, measure]
            assert (row["status"], row["reason"]) == ("failed", "ses-1: anatomy: the image has no voxels")


Changes = dict[tuple[str, str], float]
ENDS = ("session_id_baseline", "session_id_followup")
THREE = {("1", "2"): -0.01, ("2", "3"): -0.02, ("1", "3"): -0.06}  # .03 more than the sum of the other two


class Series(Scanned):
    """Visits whose changes are given, so that nothing has to be registered; ``odd`` by pair."""

    def __init__(self, root: Path, changes: Changes, odd: Changes | None = None):
        labels = sorted({label for pair in changes for label in pair}, key=int)
        super().__init__(root, {label: float(label) for label in labels})
        for label in labels:
            numbered = nib.Nifti1Image(np.arange(512, dtype=np.float32).reshape(8, 8, 8) + int(label), np.eye(4))
            masks = np.full((8, 8, 8), 10, np.uint8)
            self.scan(label, LabelledVisit(numbered, masks, np.eye(4)), volume("synthalT1w", 16000.0))
        self.changes, self.odd = changes, odd or {}

    def measure(self, first: LabelledVisit, later: LabelledVisit) -> affine.Change:
        one, two = (f"{float(visit.image.dataobj[0, 0, 0]):.0f}" for visit in (first, later))
        both = self.changes[one, two]
        return affine.Change(both, 2 * both, 0.0, self.odd.get((one, two), 0.0), 0.0005)

    def pairs(self, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], dict[str, str | None]]:
        monkeypatch.setattr(affine, "measure", self.measure)
        return {tuple(str(row[end]).removeprefix("ses-") for end in ENDS): row for row in self.made()}


def logarithm(row: dict[str, str | None], side: str = "") -> float:
    return math.log1p(float(row[f"delta_{side}percent"] or "nan") / 100)


def test_changes_along_three_visits_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three pairs gets a third of what they lack, and keeps an interval of its own around that."""
    rows = Series(tmp_path, THREE).pairs(monkeypatch)
    agreed = {("1", "2"): -0.02, ("2", "3"): -0.03, ("1", "3"): -0.05}
    for pair, change in agreed.items():
        assert logarithm(rows[pair]) == pytest.approx(change)
        assert logarithm(rows[pair], "left_") == pytest.approx(2 * change)
        assert logarithm(rows[pair], "right_") == pytest.approx(0.0)
        assert float(rows[pair]["delta_percent_alone"] or 0) == pytest.approx(100 * math.expm1(THREE[pair]))
        assert float(rows[pair]["volume_followup_ml"] or 0) == pytest.approx(16 * math.exp(change))
        half = 1.959963984540054 * math.hypot(0.0037, 0.16 * change)
        assert float(rows[pair]["delta_percent_low"] or 0) == pytest.approx(100 * math.expm1(change - half))


def test_visits_whose_changes_do_not_add_up_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four visits the change from 1 to 3 is off: the pairs between 1, 2, 3 and 4 that hold it say so, with the
    widest gap; noise of .37 % and a sixth of each change allow .7 %.
    """
    steps = {"1": 0.0, "2": -0.01, "3": -0.015, "4": -0.03}
    changes = {(one, two): steps[two] - steps[one] for one, two in itertools.combinations(steps, 2)}
    rows = Series(tmp_path / "straight", changes | {("1", "3"): -0.02}).pairs(monkeypatch)  # .5 % is noise
    assert not any(row["remark"] for row in rows.values())
    rows = Series(tmp_path / "off", changes | {("1", "3"): -0.03}).pairs(monkeypatch)
    told = {pair for pair, row in rows.items() if "of adding up" in str(row["remark"])}
    assert told == set(changes) - {("2", "4")}
    assert "ses-1, ses-2 and ses-3, each measured by itself, lack 1.5 %" in str(rows["1", "2"]["remark"])
    assert all(row["comparable"] == "yes" for row in rows.values())


@pytest.mark.parametrize(
    ("measured", "agreed"),
    [
        ((0.02, 0.01, 0.06), (0.03, 0.02, 0.05)),  # in the opposite order
        ((0.01, -0.06, -0.02), (0.02, -0.05, -0.03)),  # the first two exchanged
    ],
)  # fmt: skip
def test_no_visit_is_special(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Sequence[float], agreed: Sequence[float]
) -> None:
    """The three visits in another order: the same changes but for their signs."""
    rows = Series(tmp_path, dict(zip(THREE, measured, strict=True))).pairs(monkeypatch)
    assert [logarithm(rows[pair]) for pair in THREE] == pytest.approx(agreed)


def test_two_visits_are_not_adjusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = Series(tmp_path, {("1", "2"): -0.012345678}).pairs(monkeypatch).values()
    assert logarithm(row) == pytest.approx(-0.012345678, rel=1e-12)
    assert row["delta_percent_alone"] is None


def test_a_pair_that_is_not_comparable_does_not_spoil_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visit 4 has something at the border that the others lack: its pairs say so, and keep what they measured."""
    changes = THREE | {("1", "4"): 0.05, ("2", "4"): 0.07, ("3", "4"): 0.06}
    rows = Series(tmp_path, changes, odd={pair: 0.01 for pair in changes if "4" in pair}).pairs(monkeypatch)
    assert logarithm(rows["1", "3"]) == pytest.approx(-0.05)
    for pair in changes:
        if "4" in pair:
            assert (rows[pair]["comparable"], rows[pair]["delta_percent_alone"]) == ("no", None)
            assert logarithm(rows[pair]) == pytest.approx(changes[pair])


def test_a_visit_of_another_person_takes_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Series(tmp_path, THREE)
    first, _, third = person.subject.sessions
    path = alignment.path_of(third, first)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"Correlation": 0.2}))
    rows = person.pairs(monkeypatch)
    assert [row["status"] for row in rows.values()] == ["ok", "excluded", "excluded"]
    assert {pair: logarithm(row) for pair, row in rows.items()} == pytest.approx(THREE)


def test_more_than_ten_visits_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    labels = [str(number) for number in range(1, 13)]
    changes = {pair: float(rng.normal(0, 0.01)) for pair in itertools.combinations(labels, 2)}
    rows = Series(tmp_path, changes).pairs(monkeypatch)
    assert len(rows) == 21
    for one, two in itertools.pairwise(labels[1:]):
        assert logarithm(rows["1", one]) + logarithm(rows[one, two]) == pytest.approx(
            logarithm(rows["1", two]), abs=1e-11
        )
