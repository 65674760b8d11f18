"""Errors a user can act on. Each carries the exit code of the command line (BSD ``sysexits`` where one fits)."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_QUOTED = re.compile(r"""(?<=["'])(?:file://)?(?:/[^"'/\n]+)*/([^"'/\n]+)(?=["'])""")  # may hold blanks
_ABSOLUTE = re.compile(r"(?<![\w.:/~\-])(?:file://)?(?:/[\w.+@%=\-]+)+/([\w.+@%=\-]+)")

# Accounts, machines and homes that tell nothing: those of our own container (user thalbids, home /tmp), those that many
# machines share, and words that stand in results anyway.
_USUAL = {
    *("/home", "/root", "/tmp", "admin", "debian", "docker", "guest", "home", "jovyan", "linux", "localhost", "node"),  # noqa: S108
    *("nobody", "root", "runner", "student", "test", "ubuntu", "user", "vagrant"),
    *("brain", "data", "freesurfer", "scan", "thalamus", "thalbids"),
}


# What moves the cursor, hides or turns round what follows, and halves of characters (bytes of names that are no UTF-8).
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with control characters spelled out, but for newlines and tabs.

    Examples
    --------
    >>> print(printable("sub-01\x1b[2J\udcff.nii"))
    sub-01\x1b[2J\udcff.nii
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def some(names: Sequence[str], most: int = 5) -> str:
    """Names for a message, cut where there are too many.

    Examples
    --------
    >>> some(["sub-01", "sub-02", "sub-03"], most=2)
    'sub-01, sub-02 and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def cell(text: str, most: int = 60) -> str:
    """A cell of a table for a message, in quotes, cut where it is long.

    Examples
    --------
    >>> cell("homme"), cell("x" * 10**6, most=3)
    ("'homme'", "'xxx...'")
    """
    return repr(text if len(text) <= most else f"{text[:most]}...")


def without_folders(text: str) -> str:
    """The text with absolute paths cut to the names of their files, and without the names of this machine and user.

    For all that goes into results and was not written by us: messages of programs, options, settings.

    Examples
    --------
    >>> without_folders("T1/T2 in 1/s: see /home/jane/fs/sub-01/recon-all.log")
    'T1/T2 in 1/s: see recon-all.log'
    >>> without_folders("No such file: '/data/Jane Doe/T1.nii'")
    "No such file: 'T1.nii'"
    """
    text = _ABSOLUTE.sub(r"\1", _QUOTED.sub(r"\1", text))
    for name in own_names():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(name)", text)
    return text


@cache
def own_names() -> tuple[str, ...]:
    """Names that tell of this machine and user, the longest first; not those that are everywhere, or short words."""
    host = socket.gethostname()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = ""
    try:
        home = str(Path.home())
    except RuntimeError:  # nor has a home
        home = ""
    words = {host, host.partition(".")[0], user, home}
    return tuple(sorted((name for name in words - _USUAL if len(name) > 3), key=len, reverse=True))


class ThalbidsError(Exception):
    """Base of every expected error: shown without a traceback.

    Parameters
    ----------
    problem
        What is wrong, in one sentence.
    mend
        What the user can do about it, in one sentence ("" when nothing can be said).
    path
        The file that is at fault, when there is one.
    """

    exit_code = 1

    def __init__(self, problem: str, mend: str = "", path: Path | str | None = None):
        self.problem = problem
        self.mend = mend
        self.path = None if path is None else Path(path)
        super().__init__(problem, mend, path)  # all three, so that the error survives pickling between workers

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path is not None else ""
        mend = f" {self.mend}" if self.mend else ""
        return f"{where}{self.problem}{mend}"


class UsageError(ThalbidsError):
    """The command line or the settings file is wrong."""

    exit_code = 2


class NoInputError(ThalbidsError):
    """Nothing to work on was found."""

    exit_code = 66


class MissingToolError(ThalbidsError):
    """A program, a weight file or a licence is missing."""

    exit_code = 69


class ImageError(ThalbidsError):
    """An image cannot be read or cannot be trusted (damaged, wrong dimensions, no usable geometry)."""


class MetadataError(ThalbidsError):
    """A sidecar or a table cannot be read, or contradicts the image."""


class OutputError(ThalbidsError):
    """The output folder cannot be written (read-only, full, in use by another run)."""


class RegistrationError(ThalbidsError):
    """One strategy found no transform; the gate records it and goes on to the next."""
