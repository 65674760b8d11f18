"""Reasons of failures stand in tables and pages: they must not tell of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.errors import without_folders
from thalbids.pipeline.execute import describe
from thalbids.pipeline.step import Step
from thalbids.pipeline.steps import refuse
from thalbids.tools.runner import ToolError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see /home/jane/fs/sub-01/recon-all.log, and (/tmp/a/b)", "see recon-all.log, and (b)"),
        ("file:///home/jane/x.nii", "x.nii"),
        ("bids:raw:sub-01/anat/x.nii and https://a.org/b/c in 1/s / mm", None),
        ("sub-01/anat/x.nii", None),
    ],
)
def test_only_absolute_paths_are_cut(text: str, shown: str | None) -> None:
    assert without_folders(text) == (text if shown is None else shown)


def test_a_reason_names_files_by_their_place_in_the_output_folder_or_by_name_alone(tmp_path: Path) -> None:
    step = Step("x", "sub-01", refuse, {"T1w": Path("/data/raw/sub-01/T1w.nii.gz")}, {"o": tmp_path / "o.tsv"})
    said = f"of /data/raw/sub-01/T1w.nii.gz: see {tmp_path}/logs/a.txt, /tmp/thalbids-x1/work/first.log"
    error = ToolError(said, path=Path("/home/jane/fs/sub-01/scripts/recon-all.log"))
    assert describe(error, step, tmp_path) == "recon-all.log: of T1w.nii.gz: see logs/a.txt, first.log"
