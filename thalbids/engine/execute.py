"""Run one step from start to end, in whichever process: remove the old, compute, write the record, word the errors."""

from __future__ import annotations

import logging
import os
import re
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from thalbids.engine import record
from thalbids.engine.disk import denied, whole_disk_error
from thalbids.engine.memory import PeakMemory
from thalbids.engine.step import Done, Step, StepResult
from thalbids.errors import OutputError, ThalbidsError, without_folders


@dataclass(frozen=True)
class Outcome:
    """What comes back from the process that ran a step.

    ``digests`` are the SHA-256 of the files written, ``traceback`` is the text of an unexpected error, ``fatal`` an
    error that will meet every other step too (full disk), ``log`` the (level, message) pairs that the step logged.
    """

    status: Literal["ok", "excluded", "failed"]
    reason: str
    seconds: float = 0.0
    peak_mb: float = 0.0
    digests: Mapping[Path, str | None] = field(default_factory=dict)
    traceback: str = ""
    fatal: OutputError | None = None
    log: tuple[tuple[int, str], ...] = ()


def execute(
    step: Step, out_dir: Path, fingerprint: str, versions: Mapping[str, str], upstream: Mapping[str, StepResult]
) -> Outcome:
    """Run a step; any error but an interruption gives "failed", and then no output of the step is left."""
    start, fatal, trace = time.perf_counter(), None, ""
    status: Literal["ok", "excluded", "failed"]
    digests: Mapping[Path, str | None] = {}
    with PeakMemory() as peak, _captured_log() as log:
        try:
            record.discard(step, out_dir)
            for folder in {path.parent for path in step.outputs.values()}:
                folder.mkdir(parents=True, exist_ok=True)
            done = step.function(step.inputs, step.outputs, step.params, upstream)
            if not isinstance(done, Done):
                raise TypeError(f"{step.function.__qualname__} returned {type(done).__name__} instead of Done")
            done = replace(done, reason=_portable(done.reason, step, out_dir))
            digests = record.write(step, out_dir, fingerprint, versions, done)
            status, reason = done.status, done.reason
        except (Exception, SystemExit) as error:
            status, reason = "failed", describe(error, step, out_dir)
            fatal = whole_disk_error(error, out_dir)
            expected = isinstance(error, ThalbidsError | PermissionError) or fatal is not None
            trace = "" if expected else traceback.format_exc()
            with suppress(OSError):
                record.discard(step, out_dir)
    return Outcome(status, reason, time.perf_counter() - start, peak.mb, digests, trace, fatal, tuple(log))


def describe(error: BaseException, step: Step, out_dir: Path) -> str:
    """One line that says what went wrong, without absolute paths or anything else that differs from run to run."""
    fatal = whole_disk_error(error, out_dir)
    if fatal is not None:
        text = f"{fatal.problem} {fatal.mend}"
    elif isinstance(error, ThalbidsError):
        text = str(error)
    elif isinstance(error, PermissionError):
        text = denied(error, out_dir)
    elif isinstance(error, MemoryError):
        text = "out of memory. Use fewer processes (--nprocs) or a machine with more memory."
    else:
        text = f"{type(error).__name__}: {error}"
    return _portable(text, step, out_dir)


def _portable(text: str, step: Step, out_dir: Path) -> str:
    """The text in one line, without absolute paths and without temporary names; our own files by their place in the
    output folder.
    """
    for path in sorted(filter(None, step.inputs.values()), key=lambda path: -len(str(path))):
        text = text.replace(str(path), path.name)
    text = without_folders(text.replace(f"{out_dir}{os.sep}", ""))
    return " ".join(re.sub(r"\.tmp-(\S+)-\d+", r"\1", text).split())


@contextmanager
def _captured_log() -> Iterator[list[tuple[int, str]]]:
    """Collect what thalbids logs meanwhile and what libraries warn of: the driver writes it with the step's name."""
    lines: list[tuple[int, str]] = []

    class Collect(logging.Handler):
        def emit(self, log_record: logging.LogRecord) -> None:
            lines.append((log_record.levelno, log_record.getMessage()))

    logger = logging.getLogger("thalbids")
    before = logger.handlers[:], logger.propagate, logger.level
    logger.handlers[:], logger.propagate = [Collect()], False
    logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield lines
    finally:
        lines.extend((logging.INFO, f"{item.category.__name__}: {item.message}") for item in caught)
        logger.handlers[:], logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
