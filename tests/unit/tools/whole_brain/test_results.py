"""Whose folder of results is a session's: never one that could be of another session."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.tools.whole_brain.results import folder_of


@pytest.mark.parametrize(
    ("there", "only", "found"),
    [
        (("sub-1_ses-2", "sub-1/ses-2"), True, "sub-1_ses-2"),
        (("sub-1/ses-2",), False, "sub-1/ses-2"),
        (("sub-1",), True, "sub-1"),
        (("sub-1",), False, None),
        (("sub-1_ses-3", "sub-11"), True, None),
    ],
)
def test_the_sessions_own_folder_comes_first(
    there: tuple[str, ...], only: bool, found: str | None, tmp_path: Path
) -> None:
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    expected = None if found is None else tmp_path / found
    assert folder_of(tmp_path, "1", "2", only_session=only) == expected


def test_a_dataset_without_sessions_and_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "sub-1").mkdir()
    (tmp_path / "sub-2").touch()
    assert folder_of(tmp_path, "1", None, only_session=False) == tmp_path / "sub-1"
    assert folder_of(tmp_path, "2", None) is None
