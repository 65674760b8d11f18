"""Patterns of .bidsignore."""

from __future__ import annotations

import pytest

from thalbids.bids.dataset.ignored import Ignored


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("*_T1w.nii.gz", "sub-1/anat/sub-1_T1w.nii.gz", True),
        ("sub-1", "sub-1/anat/sub-1_T1w.nii.gz", True),
        ("sub-1/", "sub-1/anat/sub-1_T1w.nii.gz", True),
        ("/sub-*/anat/*", "sub-1/anat/a", True),
        ("anat/*", "sub-1/anat/a", False),
        ("**/anat/*", "sub-1/ses-1/anat/a", True),
        ("sub-?", "sub-12/anat/a", False),
        ("# x", "# x", False),
        ("*\n!*_T1w*", "sub-1_T1w.nii", False),
    ],
)
def test_patterns_of_bidsignore(pattern: str, path: str, named: bool) -> None:
    assert Ignored.of(pattern).names(path) is named
