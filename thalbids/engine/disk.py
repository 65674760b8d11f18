"""Turn what the operating system says about a folder into an error that a user can act on."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from thalbids.errors import OutputError, UsageError

_FREE = "Free some space, then start the same command again: finished steps are kept."
_PROBLEMS = {
    errno.ENOSPC: ("the disk is full.", _FREE),
    errno.EDQUOT: ("your disk quota is used up.", _FREE),
    errno.EROFS: ("the file system is read-only.", "Choose another output folder."),
}
_DENIED = ("you may not write there.", "Choose another output folder or ask for the right to write.")


def whole_disk_error(error: BaseException, out_dir: Path) -> OutputError | None:
    """The error as one that concerns every step (full or read-only disk), also if another wraps it; else None."""
    folder: Path | None = None
    seen: BaseException | None = error
    while seen is not None:
        named = getattr(seen, "path", None) or getattr(seen, "filename", None)
        if folder is None and isinstance(named, str | Path):
            folder = Path(named).parent
        if isinstance(seen, OSError) and seen.errno in _PROBLEMS:
            return OutputError(*_PROBLEMS[seen.errno], folder or out_dir)
        seen = seen.__cause__ or seen.__context__
    return None


def denied(error: PermissionError, out_dir: Path) -> str:
    """What was not permitted, and what to do about it."""
    name = str(error.filename or "")
    if name and not Path(name).is_relative_to(out_dir):
        return f"{name}: Permission denied. Ask for the right to use it, then start the same command again."
    where = name or "the output folder"
    return (
        f"{where}: Permission denied. Give yourself the right to write in the output folder (chmod -R u+w) or choose "
        "another; then start the same command again."
    )


def output_error(error: OSError, path: Path) -> OutputError:
    """Why a file or folder of ours cannot be written."""
    full = whole_disk_error(error, path)
    if full is not None:
        return OutputError(full.problem, full.mend, path)
    if error.errno in (errno.EACCES, errno.EPERM):
        return OutputError(*_DENIED, path)
    return OutputError(f"cannot be written ({error.strerror or error}).", "Check the output folder.", path)


def make_writable(folder: Path) -> None:
    """Make a folder for results, and see that a file can be made in it.

    Raises
    ------
    UsageError
        It is a file.
    OutputError
        It cannot be made, or not written.
    """
    if os.path.isfile(folder):  # noqa: PTH113 (False where a folder above is closed, as on Python 3.14)
        raise UsageError("the output folder is a file.", "Choose another one.", folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise output_error(error, folder) from None


def check_writable(out_dir: Path) -> None:
    """Refuse an output folder that a run could not make, or not write its logs into; writes nothing.

    Raises
    ------
    OutputError
        The nearest folder that is there may not be written.
    """
    for folder in (out_dir, out_dir / "logs" / "lock"):
        error = obstacle(folder)
        if error is not None:
            raise output_error(error, out_dir)


def obstacle(folder: Path) -> OSError | None:
    """What the system will say where a folder is to be made, or written to; None where nothing. Writes nothing."""
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.exists(place))  # noqa: PTH110 (raises where a folder above is closed)
    number = 0
    if not there.is_dir():
        number = errno.ENOTDIR
    elif not os.access(there, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
    return OSError(number, os.strerror(number)) if number else None
