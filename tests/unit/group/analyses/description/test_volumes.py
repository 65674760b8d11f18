"""The baseline of table and figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cohort import morph_row, write_rows
from tests.unit.group.small import cohort_of, morph
from thalbids.bids.tabular.tables import Table, write
from thalbids.group.analyses.description import descriptives, volumes
from thalbids.reports.group.figures.descriptive import first_sessions
from thalbids.reports.group.group_data import Tables


def test_the_baseline_is_the_first_by_date_in_table_and_figure(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    dates = {"ses-2": "2021-01-01", "ses-10": "2022-01-01", "ses-a": "2020-01-01"}
    write_rows(raw / "sub-01" / "sub-01_sessions.tsv", [{"session_id": k, "acq_time": v} for k, v in dates.items()])
    for session, volume in (("ses-2", 9000), ("ses-10", 8000), ("ses-a", 9900)):
        morph(out, "sub-01", session, morph_row("first", volume))
    for session, volume in (("ses-2", 7000), ("ses-10", 6000)):  # without dates: by label
        morph(out, "sub-02", session, morph_row("first", volume))
    (made,) = volumes.tables(cohort_of(raw, out))
    marked = made.frame[made.frame["baseline"]]
    assert list(marked["session_id"]) == ["ses-a", "ses-2"]
    for marks in (True, False):
        shown = made.frame if marks else made.frame.drop(columns="baseline")
        columns = {name: made.columns[name] for name in shown}
        write(Table("group_volumes", shown, columns), tmp_path)
        tables = Tables(tmp_path)
        first = first_sessions(tables, tables.get("volumes"))
        assert sorted(first["volume_ml"]) == [7.0, 9.9 if marks else 9.0]


def test_sessions_without_t1w_are_counted_in_the_table_and_on_the_page(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    images = {"sub-01": "T1w", "sub-02": "FLAIR", "sub-03": "FLAIR", "sub-04": "T2w", "sub-05": ""}
    for person, image in images.items():
        morph(out, person, "", morph_row("synthalFLAIR", 9000))
        if image:
            (out / person / "anat" / f"{person}_desc-reoriented_{image}.nii.gz").touch()
    (made,) = volumes.tables(cohort_of(raw, out))
    assert dict(zip(made.frame["participant_id"], made.frame["reference"], strict=True)) == images
    told = "3 of 5 sessions have no T1w and were measured on another image: 2 on FLAIR, 1 on T2w."
    assert f"warning: {told}" in made.notes
    write(made, tmp_path)
    assert volumes.section(Tables(tmp_path)).warnings == [told]


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (0, "14.00 mL by SynThal FLAIR (n = 20), the smallest, and 17.00 mL by SynThal T1w (n = 20), the largest."),
        (2, "13.90 mL by SynThal FLAIR (n = 18), the smallest, and 17.00 mL by SynThal T1w (n = 20), the largest."),
        (3, "17.00 mL by SynThal T1w (n = 20); 1 method that fewer people have is not compared with it."),
    ],
)
def test_medians_of_other_people_are_not_compared(tmp_path: Path, lacking: int, said: str) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for i in range(20):
        flair = morph_row("synthalFLAIR", 13050 + 100 * i, 5000, 5000)
        if i >= 20 - lacking:
            flair = morph_row("synthalFLAIR", None, status="missing", reason="no FLAIR")
        morph(out, f"sub-{i:02d}", "ses-1", morph_row("synthalT1w", 16050 + 100 * i, 8000, 8000), flair)
    cohort = cohort_of(raw, out)
    for made in (*volumes.tables(cohort), *descriptives.tables(cohort)):
        write(made, out)
    assert volumes.section(Tables(out)).says[0] == f"The median volume at baseline is {said}"
