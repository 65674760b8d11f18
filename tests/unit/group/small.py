"""Small cohorts of single rows, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path

from tests.cohort import morph_path, morph_row, write_rows
from thalbids.group.cohort import Cohort
from thalbids.group.intake.reading import read_cohort
from thalbids.settings import load


def cohort_of(raw: Path, out: Path, **settings: object) -> Cohort:
    return read_cohort(raw, out, load(None, {"group": settings}))


def morph(out: Path, person: str, session: str, *rows: dict[str, object]) -> Path:
    path = morph_path(out, person, session)
    write_rows(path, list(rows))
    return path


def three_visits(tmp_path: Path) -> Cohort:
    raw, out = tmp_path / "raw", tmp_path / "out"
    dates = ("2020-01-01", "2021-01-01", "2022-01-01")
    steroid = (None, "yes", "no")
    visits = [{"session_id": f"ses-{i}", "acq_time": date, "edss": 2 + i, "steroid": s}
              for i, (date, s) in enumerate(zip(dates, steroid, strict=True), start=1)]  # fmt: skip
    write_rows(raw / "sub-01" / "sub-01_sessions.tsv", visits)
    for number, volume in enumerate((10000, 9800, 9700), start=1):
        morph(out, "sub-01", f"ses-{number}", morph_row("first", volume, 0.6 * volume, 0.4 * volume))
    return cohort_of(raw, out)
