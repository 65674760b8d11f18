"""Fetch a file: resumed where it was cut off, checked, and put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from thalbids.errors import OutputError, ThalbidsError

TRIES = 5  # in a row without a new byte
PAUSE_S = 1.0  # before the second try; doubled each time
TIMEOUT_S = 30.0
_CHUNK = 1 << 20
_AGAIN = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Attributes
    ----------
    url : address, of one fixed revision where there are several
    path : where it lies once it is here
    size : bytes; None when it is not known beforehand
    sha256 : checksum; None when none is published: then that of the first fetch is kept and holds from then on
    licence : its licence
    setting : environment variable that names another folder
    """

    url: str
    path: Path
    size: int | None
    sha256: str | None
    licence: str
    setting: str = "THALBIDS_CACHE"


class DownloadError(ThalbidsError):
    """A file could not be fetched, or is not what it should be."""

    exit_code = 69


class _WrongContentError(Exception):
    """The checksum of what came is another one."""

    def __init__(self, digest: str):
        self.found = digest
        super().__init__(digest)


def fetch(download: Download, progress: Progress = lambda done, total: None) -> str:
    """Bring a file to its place; gives what happened, in words.

    A file that is there and right is left alone. One that was cut off is continued, if the server can. Nothing ever
    stands under the final name that was not checked. Without a published checksum that of the first fetch is written
    beside the file (``.sha256``), and holds for every later one.

    Raises
    ------
    DownloadError
        The server cannot be reached, refuses, sends other content, or another fetch of this file is at work.
    OutputError
        The folder cannot be written.
    """
    expected = download.sha256 or _remembered(download.path)
    if download.path.is_file() and download.path.stat().st_size:  # TemplateFlow has empty placeholders
        there = checksum(download.path)
        if expected is None:
            _remember(download.path, there)
            return "is here already; no checksum is published, that of this file is kept from now on"
        if there == expected:
            return "is here already, checksum right"
    part = download.path.with_name(f"{download.path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as file:
            try:
                there = _complete(download, file, expected, progress)
            except _WrongContentError as error:
                raise _mismatch(download, expected, error.found) from None
            os.fsync(file.fileno())
            part.replace(download.path)
    except OSError as error:
        mend = "Free some space." if error.errno == errno.ENOSPC else f"Choose another folder: {download.setting}."
        raise OutputError(f"cannot be written ({error.strerror or error}).", mend, part) from None
    if expected is None:
        _remember(download.path, there)
        return f"fetched; no checksum is published, this one is kept from now on: {there}"
    return "fetched, checksum right"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _complete(download: Download, file: BinaryIO, expected: str | None, progress: Progress) -> str:
    """Fill the file; gives its checksum, which is the expected one. A continued file that turns out wrong is fetched
    once more from its start.
    """
    resumed = file.seek(0, os.SEEK_END) > 0
    _fill(download, file, progress)
    digest = _digest(file)
    if expected is not None and digest != expected and resumed:
        file.truncate(0)
        _fill(download, file, progress)
        digest = _digest(file)
    if expected is not None and digest != expected:
        file.truncate(0)  # what is known to be wrong is not continued next time
        raise _WrongContentError(digest)
    return digest


def _fill(download: Download, file: BinaryIO, progress: Progress) -> None:
    """Try until all is there, or nothing new comes any more."""
    tries, reason, furthest = 0, "", file.seek(0, os.SEEK_END)
    while tries < TRIES:
        if tries:
            time.sleep(PAUSE_S * 2 ** (tries - 1))
        try:
            whole = _attempt(download, file, progress)
        except urllib.error.HTTPError as error:
            if error.code not in _AGAIN:
                raise _refused(download, f"the server answers {error.code} ({error.reason}).") from None
            whole, reason = False, f"the server answers {error.code} ({error.reason})."
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            whole, reason = False, f"the connection failed ({getattr(error, 'reason', None) or error!r})."
        if whole:
            return
        now = file.seek(0, os.SEEK_END)
        tries = 1 if now > furthest else tries + 1
        furthest = max(now, furthest)  # a server that starts over again and again gets no further
    raise _refused(download, reason or "the server does not send all of it.")


def _attempt(download: Download, file: BinaryIO, progress: Progress) -> bool:
    """One request, from where the file ends; True when the file is whole."""
    have = file.seek(0, os.SEEK_END)
    if have == download.size:
        return True
    if download.size is not None and have > download.size:
        have = file.truncate(0)
    request = urllib.request.Request(download.url, headers={"User-Agent": "thalbids", "Accept-Encoding": "identity"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 (addresses are our own)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        file.truncate(0)  # what is here is no beginning of what is there
        return False
    with answer:
        if answer.status != 206 or not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            if answer.status == 206:
                file.truncate(0)
                return False
            have = file.truncate(0)
        file.seek(have)
        return _copy(answer, file, have, download.size, progress)


def _copy(
    answer: http.client.HTTPResponse, file: BinaryIO, have: int, size: int | None, progress: Progress
) -> bool:  # fmt: skip
    length = answer.headers.get("Content-Length")
    told = have + int(length) if length is not None and length.isdigit() else None
    while chunk := answer.read(_CHUNK):
        have += file.write(chunk)
        progress(have, size or told)
        if size is not None and have > size:
            return True  # too much: the checksum will say so
    if size is not None:
        return have == size
    return told is None or have >= told  # without any length only the checksum can tell


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The partial file, for us alone."""
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError("another fetch of this file is at work.", "Wait for it.", part) from None
        try:
            yield file
        finally:
            if part.is_file() and part.stat().st_size == 0:
                part.unlink()


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _remembered(path: Path) -> str | None:
    try:
        return _record(path).read_text(encoding="ascii").split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return None


def _remember(path: Path, digest: str) -> None:
    _record(path).write_text(f"{digest}  {path.name}\n", encoding="ascii")


def _refused(download: Download, reason: str) -> DownloadError:
    wanted = f" (SHA-256 {download.sha256})" if download.sha256 else ""
    mend = f"Try again later, or fetch {download.url}{wanted} elsewhere and copy it there."
    return DownloadError(f"cannot be fetched: {reason}", mend, download.path)


def _mismatch(download: Download, expected: str | None, digest: str) -> DownloadError:
    problem = f"what came from {download.url} has the SHA-256 {digest}, not {expected}."
    return DownloadError(
        problem, "It was thrown away. Something between here and there may change files.", download.path
    )
