"""Change since the first session in numbers: by volumes and by registration, and what is said where they disagree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.reports.participant.test_participant_page import Head, Page
from thalbids.reports import SessionReport, write_report
from thalbids.reports.participant import change_numbers

MINUS = "\N{MINUS SIGN}"


@pytest.fixture
def first(tmp_path: Path) -> Head:
    made = Head(tmp_path / "first", zoom=3.0)
    made.add("synthalT1w")
    made.add("synthalT1FLAIR", radius=12.5)
    return made


def row(measure: str, percent: float | None, half: float | None = None, **more: Any) -> dict[str, Any]:
    """A row of the table of change, from ses-1 to ses-2, as text; ``half``: of the interval."""
    told = {
        "session_id_baseline": "ses-1", "session_id_followup": "ses-2", "method": "synthalT1w", "measure": measure,
        "status": "ok", "interval_years": None, "comparable": "yes", "remark": None, "reason": None,
        "volume_baseline_ml": None, "volume_followup_ml": None, "delta_percent": None,
        "delta_percent_low": None, "delta_percent_high": None,
    }  # fmt: skip
    if percent is not None:
        told |= {
            "delta_percent": str(percent),
            "volume_baseline_ml": "10",
            "volume_followup_ml": str(10 + percent / 10),
        }
    if percent is not None and half is not None:
        told |= {"delta_percent_low": str(percent - half), "delta_percent_high": str(percent + half)}
    return told | more


def section(tmp_path: Path, later: SessionReport, first: SessionReport, changes: list[dict[str, Any]]) -> str:
    page = Page(write_report(tmp_path / "sub-01.html", "01", [first, later], {}, changes)[0].read_text("utf-8"))
    return page.text[page.text.index("Change since Session 1") :]


def said(*rows: dict[str, Any]) -> list[change_numbers.Disagreement]:
    return change_numbers.disagreements(change_numbers.pair_of(rows, "1", "2"), str.upper)


def test_volumes_alone(tmp_path: Path, first: Head) -> None:
    before, after = first.report("1"), first.report("2")
    volume = before.volumes[0]["volume_mm3"]
    volumes = [{**after.volumes[0], "volume_mm3": volume * 0.9}, {**after.volumes[1], "volume_mm3": None}]
    table = section(tmp_path, replace(after, volumes=volumes), before, [])
    assert f"SynThal T1w volumes {volume / 1000:.2f} {volume * 0.9 / 1000:.2f}" in table
    assert f"{MINUS}10.0" in table
    assert "registration" not in table.partition("SynThal T1w + FLAIR")[0]
    assert "is not proof of atrophy" in table
    assert table.count("Change since") == 1  # not in the first session


def test_registration_stands_below_the_volumes_of_its_method(tmp_path: Path, first: Head) -> None:
    changes = [
        row("volume_difference", -1.0, 1.2),
        row("registration", -2.0, 0.75, reason="no rate: one day; no interval: unknown"),
    ]
    table = section(tmp_path, first.report("2"), first.report("1"), changes)
    assert f"SynThal T1w registration 10.00 9.80 {MINUS}0.20 {MINUS}2.0 {MINUS}2.8 to {MINUS}1.2" in table
    assert table.index("SynThal T1w volumes") < table.index("SynThal T1w registration")
    assert f"{MINUS}2.2 to +0.2" in table  # interval of the volumes
    assert "no rate" not in table and "no interval" not in table


def test_a_pair_that_cannot_be_used_says_why(tmp_path: Path, first: Head) -> None:
    why = "ses-2: its image does not look like that of ses-1 (correlation in the brain 0.31): the same person?"
    changes = [
        row("volume_difference", -1.0, status="excluded", reason=why, remark="other voxels"),
        row("registration", None, status="failed", reason="the masks do not overlap", remark="other voxels; vessels"),
    ]
    table = section(tmp_path, first.report("2"), first.report("1"), changes)
    assert f"excluded: {why}" in table
    assert "failed: the masks do not overlap; vessels" in table


def test_without_a_common_method_the_contrasts_are_told(tmp_path: Path, first: Head) -> None:
    later = replace(first.report("2"), volumes=[], reference="FLAIR")
    told = section(tmp_path, later, first.report("1"), [])
    assert (
        "No method gave a volume in both sessions. Session 1 was measured on its T1w, Session 2 on its FLAIR." in told
    )
    told = section(tmp_path, replace(later, reference="T1w"), first.report("1"), [])
    assert "in both sessions. " in told and "was measured on" not in told


def test_a_doubtful_mask_is_marked(tmp_path: Path, first: Head) -> None:
    before, after = first.report("1"), first.report("2")
    excluded = [{**one, "status": "excluded"} for one in after.volumes]
    assert "do not trust: Session 2" in section(tmp_path, replace(after, volumes=excluded), before, [])


def test_what_registration_sees_at_the_border_is_told_beside_the_volumes(tmp_path: Path, first: Head) -> None:
    seen = {"comparable": "no", "flags": "visit_icv, visit_border", "remark": "heads of two sizes; 2 % of the border"}
    copied = seen | {"remark": seen["remark"] + "; was a scan copied?"}
    changes = [row("volume_difference", -1.0, **seen), row("registration", -2.0, **copied)]
    table = section(tmp_path, first.report("2"), first.report("1"), changes)
    volumes, registration = table.split("SynThal T1w registration")
    assert "2 % of the border" in volumes and "heads of two sizes" not in table
    assert "was a scan copied?" in registration and "2 % of the border" not in registration
    assert "where the method knows it and the visits can be compared" in table


def test_pairs_of_other_sessions_are_left_out() -> None:
    other = row("registration", -2.0, session_id_followup="ses-3")
    assert change_numbers.pair_of([other, row("registration", -1.0)], "1", "2") == {
        ("synthalT1w", "registration"): row("registration", -1.0)
    }


def test_more_than_noise_apart_is_told_on_the_page(tmp_path: Path, first: Head) -> None:
    changes = [row("volume_difference", 1.0, 1.2), row("registration", -2.0, 0.8)]
    (one,) = said(*changes)
    assert one.beyond
    # 1.2 of 101 and .8 of 98, as independent errors of logarithms: hypot(.01188, .00816) = .01441
    assert one.words == (
        f"SYNTHALT1W: the volumes say +1.0 %, registration says {MINUS}2.0 %. One says growth, the other loss, and "
        "differ by more than noise explains (1.5 %): compare the outlines below before using either."
    )
    assert "One says growth" in section(tmp_path, first.report("2"), first.report("1"), changes)


@pytest.mark.parametrize(
    ("volumes", "registration", "half", "told"),
    [
        (-0.5, -1.9, 1.0, ""),  # apart by 1.4, noise 1.4
        (-0.5, -2.1, 1.0, "They say different amounts, and differ by more"),
        (0.3, -0.4, 1.0, "by no more than noise"),
        (0.3, -0.04, 1.0, ""),  # 0.0 on the page has no sign
        (0.3, -0.4, None, "not known for this pair"),
        (-0.5, -5.0, None, ""),  # how much noise makes is not known, and both say loss
    ],
)
def test_what_counts_as_disagreement(volumes: float, registration: float, half: float | None, told: str) -> None:
    words = [
        one.words for one in said(row("volume_difference", volumes, half), row("registration", registration, half))
    ]
    assert len(words) == bool(told)
    assert all(told in one for one in words)


def test_pairs_that_are_not_used_disagree_about_nothing() -> None:
    assert not said(row("volume_difference", 4.0, 1.0, status="excluded"), row("registration", -4.0, 1.0))
    assert not said(row("volume_difference", 4.0, 1.0), row("registration", None, status="failed"))
    assert not said(row("volume_difference", 4.0, 1.0))


def test_an_interval_down_to_nothing_left_is_no_known_noise() -> None:
    (one,) = said(row("volume_difference", -60.0, 40.0), row("registration", 3.0, 1.0))
    assert "not known for this pair" in one.words


def test_whole_brain_change_in_words() -> None:
    siena = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2", "source": "siena", "status": "ok"}
    sentences = change_numbers.whole_brain(
        [
            siena | {"pbvc": "-0.534"},
            siena | {"pbvc": None, "status": "failed", "reason": "no brain"},
            siena | {"pbvc": "-31", "status": "excluded", "reason": "a change of -31 % is not plausible"},
        ]
    )
    assert sentences[0] == f"Whole brain since Session 1: {MINUS}0.53 % (PBVC, from SIENA)."
    assert sentences[1] == "Whole brain since Session 1: not measured (no brain)."
    assert sentences[2].endswith("Do not use it: a change of -31 % is not plausible.")


def test_dates_that_contradict_the_labels_are_told(tmp_path: Path, first: Head) -> None:
    ends = {"session_id_baseline": "ses-2", "session_id_followup": "ses-1"}
    table = section(tmp_path, first.report("2"), first.report("1"), [row("volume_difference", -1.0, 1.2, **ends)])
    assert "By their dates Session 2 is the earlier visit" in table
    table = section(tmp_path, first.report("2"), first.report("1"), [row("volume_difference", -1.0, 1.2)])
    assert "By their dates" not in table
