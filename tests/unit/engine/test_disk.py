"""A disk that is full or read-only is told once, with what to do; other errors are not taken for one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from thalbids.engine.disk import denied, output_error, whole_disk_error


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")]
)
def test_what_concerns_every_step_is_found_behind_other_errors(number: int, said: str) -> None:
    try:
        try:
            raise OSError(number, "x", "/out/sub-01/a.nii")
        except OSError as inner:
            raise RuntimeError("cannot save") from inner
    except RuntimeError as outer:
        found = whole_disk_error(outer, Path("/out"))
    assert found is not None and said in found.problem and found.path == Path("/out/sub-01") and found.mend


def test_other_errors_concern_one_step() -> None:
    assert whole_disk_error(OSError(errno.EIO, "x"), Path("/out")) is None
    assert "cannot be written (broken)" in str(output_error(OSError(errno.EIO, "broken"), Path("/out")))


def test_a_permission_is_told_for_input_and_output() -> None:
    assert denied(PermissionError(errno.EACCES, "x", "/raw/a.nii"), Path("/out")).startswith(
        "/raw/a.nii: Permission denied."
    )
    assert "chmod" in denied(PermissionError(errno.EACCES, "x", "/out/a.nii"), Path("/out"))
    assert "may not write" in output_error(PermissionError(errno.EACCES, "x"), Path("/out")).problem
