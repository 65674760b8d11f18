"""Scans that failed at the participant level are counted, named and told why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cohort import morph_row, write_cohort
from tests.unit.group.small import morph
from thalbids.cli.main import main
from thalbids.group import run
from thalbids.group.intake import failed


def row(person: str, status: str, reason: str = "", session: str = "ses-1") -> dict[str, str]:
    return {"participant_id": person, "session_id": session, "status": status, "reason": reason}


def test_sessions_without_any_volume_are_counted_and_named() -> None:
    rows = [
        row("sub-1", "ok"), row("sub-1", "failed", "its FLAIR is cut off"),
        row("sub-2", "excluded", "torn"), row("sub-3", "missing", "no FLAIR"),
        *(row(f"sub-{n}", "failed", "no head.") for n in "4567"),
    ]  # fmt: skip
    (told,) = failed.sessions(rows)
    assert told == (
        "warning: 4 of 7 sessions have no volume, as they failed at the participant level: sub-4_ses-1 (no head), "
        "sub-5_ses-1 (no head), sub-6_ses-1 (no head) and 1 more."
    )
    assert failed.sessions(rows[:4]) == []
    assert failed.sessions([row("sub-1", "excluded", "clipped"), row("sub-1", "failed", "FLAIR: 4-D")]) == []


def test_an_image_beside_the_reference_that_failed_is_named() -> None:
    def images(**statuses: str) -> dict[str, object]:
        reason = {"ok": "", "failed": "3 volumes.", "excluded": "metric 0.1"}
        return {"Images": {name: {"status": one, "reason": reason[one]} for name, one in statuses.items()}}

    documents = {
        ("sub-1", "ses-1"): images(T1w="ok", FLAIR="failed", R1map="excluded"),
        ("sub-2", ""): images(T1w="failed"),  # the session has no volume, which is told by itself
    }
    assert failed.images(documents) == ["warning: 1 image could not be used: sub-1_ses-1 FLAIR (3 volumes)."]
    assert failed.images({}) == []


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_group_says_so_last_and_at_the_top_of_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dry: list[str]
) -> None:
    monkeypatch.setattr(run, "ANALYSES", tuple(item for item in run.ANALYSES if item.name == "volumes"))
    raw, out, _ = write_cohort(tmp_path, 4, methods=("first",))
    morph(out, "sub-01", "ses-2", morph_row("first", None, status="failed", reason="no head in it"))
    (out / "sub-04" / "ses-3" / "anat").mkdir(parents=True)  # of a scan that could not be opened
    assert main([str(raw), str(out), "group", *dry]) == 0
    last = capsys.readouterr().out.splitlines()[-2 if dry else -1]
    assert last.startswith("warning: 2 of ") and "(no head in it)" in last and "sub-04_ses-3 (no results" in last
    if not dry:
        page = (out / "group.html").read_text(encoding="utf-8")
        assert page.index("Look at this first") < page.index("(no head in it)") < page.index("<nav")
        assert main([str(raw), str(out), "group", "--reports-only"]) == 0
        assert (out / "group.html").read_text(encoding="utf-8").index("(no head in it)") < page.index("<nav")
