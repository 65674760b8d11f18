"""``thalbids rate``."""

from __future__ import annotations

from pathlib import Path

from thalbids.cli.main import main


def test_a_table_of_ratings_that_is_not_there_is_missing_input(tmp_path: Path, raw: str) -> None:
    absent = str(tmp_path / "none.tsv")
    assert main(["rate", raw, "--import", absent]) == 66
