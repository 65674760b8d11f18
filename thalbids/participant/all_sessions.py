"""The page of all sessions, rebuilt from what is on disk, whichever runs put it there."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from thalbids.bids.results.documents import read_alignment, read_document
from thalbids.engine import lock
from thalbids.engine.disk import output_error
from thalbids.errors import MetadataError
from thalbids.files import names_in, read_json, write_text
from thalbids.participant.stages.person import alignment
from thalbids.reports.participant.participant_page import COHORT_PAGE
from thalbids.reports.participant.sessions_page import SessionEntry, page

DOCUMENTS = ("sub-*/anat/*_desc-thalamus_qc.json", "sub-*/ses-*/anat/*_desc-thalamus_qc.json")
REQUEST = "cohort_{}.request"
ALIGNMENT = "_to-first"  # in the name of the record of how a session lies to the first one
FRESH_S = 600.0
PAGES = "sub-*/figures/sub-*_report.json"  # records of the participants' pages


def write(out_dir: Path, records: Iterable[Path] = (), *, changed: bool = True) -> bool:
    """Write ``qc.html``, with the results of every run that asked for it before the reading began; gives whether the
    page was due.

    A run asks by a file of its own in ``logs/lock``, then waits for its turn. Who writes the page removes, after it,
    the requests that were there before it began to read; who then finds that its request is gone has nothing to do.
    So a hundred jobs that end together cost two readings of the folder and not a hundred.

    Reading the folder takes seconds for thousands of sessions. A run that changed nothing leaves a page alone that is
    newer than all of its ``records``; and while other runs go on, a page that is younger than :data:`FRESH_S` is left
    to them, with a request: the last of them writes it. Where that one makes no pages (``[outputs] report = false``) or
    ends by an error, the page waits for the next run. The page bears the time at which its reading began.

    Call it when the run's claim (:func:`thalbids.engine.lock.claim`) has ended: of two runs that end together, one at
    least then finds that nobody else is left.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    target, folder = out_dir / COHORT_PAGE, out_dir / "logs" / "lock"
    if not changed and _is_newer(target, records) and not any(folder.glob(REQUEST.format("*"))):
        return False
    mine = _ask(folder)
    asked_at = mine.stat().st_mtime_ns
    if lock.others(out_dir) and target.exists() and asked_at - target.stat().st_mtime_ns < FRESH_S * 10**9:
        return False
    with lock.shared_files(out_dir, "cohort"):
        if mine.exists():
            asked = list(mine.parent.glob(REQUEST.format("*")))
            write_text(target, page(entries(out_dir)))
            os.utime(target, ns=(asked_at, asked_at))
            for request in asked:
                request.unlink(missing_ok=True)
    return True


def _is_newer(page: Path, records: Iterable[Path]) -> bool:
    """Whether the page was begun after all of these files were written."""
    if not page.exists():
        return False
    begun = page.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns < begun for path in records if path.exists())


def _ask(folder: Path) -> Path:
    """Leave a request for the page; its name is new in the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            path = folder / REQUEST.format(f"{socket.gethostname()}_{os.getpid()}_{number}")
            try:
                path.open("x").close()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise output_error(error, folder) from None
    raise AssertionError("count never ends")


def entries(out_dir: Path) -> list[SessionEntry]:
    """Every session that has a QC document or a participant's page, in the order of names."""
    by_session: dict[tuple[str, str], SessionEntry] = {}
    for path in _by_age(out_dir):  # a newer document of the same session replaces an older one
        entry = _entry(out_dir, path)
        by_session[entry.subject, entry.session or ""] = entry
    for entry in _without_document(out_dir):
        by_session.setdefault((entry.subject, entry.session or ""), entry)
    return [by_session[key] for key in sorted(by_session)]


def _by_age(out_dir: Path) -> list[Path]:
    """The QC documents, the oldest first; without those that another run removed since they were found."""
    ages: dict[Path, int] = {}
    for path in (path for pattern in DOCUMENTS for path in out_dir.glob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            ages[path] = path.stat().st_mtime_ns
    return sorted(ages, key=lambda path: (ages[path], path.name))


def _entry(out_dir: Path, path: Path) -> SessionEntry:
    """One session by its document; who it is comes from the folder, so that a damaged document is told too."""
    parts = path.relative_to(out_dir).parts
    subject = parts[0].removeprefix("sub-")
    session = parts[1].removeprefix("ses-") if len(parts) == 4 else None
    document: Mapping[str, Any] | None = None
    problem = ""
    try:
        document = read_document(path)
    except MetadataError as error:
        problem = f"{path.name}: {error.problem}"
    return _beside(out_dir, subject, session, document, problem)


def _without_document(out_dir: Path) -> Iterator[SessionEntry]:
    """Sessions that a participant's page tells of, though they gave no QC document."""
    for path in sorted(out_dir.glob(PAGES)):
        try:
            sessions = read_json(path).get("Sessions", [])
        except MetadataError:
            continue  # of a page that is being written anew, or was left by a kill: its run makes it again
        for told in sessions:
            problem = told.get("Problem") or "no QC document: see the report"
            yield _beside(out_dir, path.parts[-3].removeprefix("sub-"), told.get("Session"), None, problem)


def _beside(
    out_dir: Path, subject: str, session: str | None, document: Mapping[str, Any] | None, problem: str
) -> SessionEntry:
    """The entry with the addresses of the report and of the small picture, where they are there."""
    report = f"sub-{subject}.html"
    stem = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    picture = f"sub-{subject}/figures/{stem}_desc-thumbnail_thalamus.svg"
    report, picture = (name if (out_dir / name).exists() else "" for name in (report, picture))
    return SessionEntry(subject, session, document, problem, report, picture, *_doubt(out_dir, subject, session))


def _doubt(out_dir: Path, subject: str, session: str | None) -> tuple[str, bool]:
    """Why a session may show another person than the first one, "" where its alignment says nothing of it; whether it
    is mirrored.
    """
    folder = out_dir / f"sub-{subject}" / (f"ses-{session}" if session else "") / "anat"
    for name in sorted(name for name in names_in(folder) if ALIGNMENT in name and name.endswith("_xfm.json")):
        with contextlib.suppress(MetadataError):
            record = read_alignment(folder / name)
            return alignment.other_person(record), alignment.mirrored(record)
    return "", False
