"""A disk that is full or read-only is told once, with what to do; other errors are not taken for one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from thalbids.engine.disk import check_writable, denied, make_writable, output_error, whole_disk_error
from thalbids.errors import OutputError, UsageError


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


def test_a_folder_that_may_not_be_written_is_refused_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
    closed = tmp_path
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != closed)
    with pytest.raises(OutputError, match="may not write"):
        check_writable(tmp_path / "new" / "out")
    closed = tmp_path / "none"
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):  # as the run says
        check_writable(tmp_path / "file" / "out")
    closed = tmp_path / "out" / "logs"  # somebody else's
    closed.mkdir(parents=True)
    with pytest.raises(OutputError, match="may not write"):
        check_writable(tmp_path / "out")
    seen = os.statvfs(tmp_path)
    monkeypatch.setattr("os.statvfs", lambda path: type("Seen", (), {"f_flag": seen.f_flag | os.ST_RDONLY}))
    with pytest.raises(OutputError, match="read-only"):
        check_writable(tmp_path / "out")


def test_a_folder_for_results_is_made_and_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_writable(tmp_path / "new" / "out")
    make_writable(tmp_path / "new" / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "out"]
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="the output folder is a file"):
        make_writable(tmp_path / "file")
    with pytest.raises(OutputError, match="Not a directory"):
        make_writable(tmp_path / "file" / "out")

    def closed(_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:  # as Python 3.11 does where a folder above is closed
        patched.setattr(Path, "is_file", closed)
        make_writable(tmp_path / "new")

    def refused(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(OutputError, match="may not write") as caught:
        make_writable(tmp_path / "new")
    assert caught.value.path == tmp_path / "new"
