"""What a run says: lines or a progress bar on the terminal, and a folder ``logs/TIME_PID``.

The folder holds ``settings.toml``, ``run.log``, ``tracebacks/`` and ``summary.json``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from thalbids.engine.disk import output_error
from thalbids.engine.step import Step, StepResult
from thalbids.errors import OutputError, ThalbidsError, printable, some
from thalbids.files import write_json, write_text

NAMED = 3  # steps named in a line about several that ended for the same reason
SHOWN = 20  # lines about failures named in the last lines; the summary has all of them
ORDER = ("ok", "cached", "excluded", "blocked", "failed", "lost")


class Reporter:
    """Tells a person and the log folder how a run goes. Use it as a context manager around the whole run.

    Parameters
    ----------
    out_dir
        Output folder; the log folder becomes ``out_dir/logs/YYYYMMDDTHHMMSS_PID``.
    settings
        Text of ``settings.toml``.
    stream
        Where lines go (standard error). A progress bar is drawn when it is a terminal.
    verbose
        1 also shows finished-earlier steps and what steps log.
    terse
        Shows how far the run is, ten times, and what went wrong; everything else is in run.log alone.

    Raises
    ------
    OutputError
        The log folder cannot be made.
    """

    def __init__(
        self, out_dir: Path, *, settings: str = "", stream: TextIO | None = None, verbose: int = 0, terse: bool = False
    ):
        self.out_dir = Path(out_dir)
        self.results: list[StepResult] = []
        self._stream = sys.stderr if stream is None else stream
        self._last_words: list[str] = []
        self._causes: dict[str, str] = {}  # what blocked steps say -> the same without the reason, told before
        self._bar = _Bar(self._stream) if self._stream.isatty() else None
        self._verbose, self._start, self._total, self._closed = verbose, time.monotonic(), 0, False
        self._terse = terse and not verbose
        try:
            self.directory = _new_directory(self.out_dir / "logs")
            self._file = (self.directory / "run.log").open("w", encoding="utf-8")
        except OSError as error:
            raise output_error(error, self.out_dir) from None
        if settings:
            write_text(self.directory / "settings.toml", settings)
        logger = logging.getLogger("thalbids")
        self._handlers_before = logger.handlers[:]
        logger.handlers[:] = [_Forward(self)]  # in place of the terminal's, which the reporter writes to

    def begin(self, total: int) -> None:
        """A plan of this many steps starts."""
        self._total = total
        self.log(logging.INFO, f"{total} steps")

    def started(self, step: Step) -> None:
        """A step starts to compute."""
        self.log(logging.DEBUG, f"{step.name}: started")
        if self._bar:
            self._bar.draw(self.results, self._total, step.name)

    def finished(self, result: StepResult, log: Iterable[tuple[int, str]] = (), traceback: str = "") -> StepResult:
        """A step ended; keeps the traceback in a file and gives the result back with its name."""
        for level, text in log:
            self.log(level, f"{result.name}: {text}", shown=level >= logging.WARNING or self._verbose > 0)
        if traceback:
            result = replace(result, traceback=self._save_traceback(result.name, traceback))
        self.results.append(result)
        if result.status in ("failed", "lost", "excluded"):
            self._causes[f"{result.name} {result.status}: {result.reason}"] = f"{result.name} {result.status}"
        level = logging.ERROR if result.crashed else logging.INFO
        number = f"[{len(self.results)}/{self._total}] " if self._total else ""
        quiet = result.cached or ((self._bar is not None or self._terse) and not result.crashed)
        told = replace(result, reason=self._causes.get(result.reason, result.reason))  # a cause is said once
        self.log(level, number + _line(told), shown=not quiet or self._verbose > 0)
        if self._bar:
            self._bar.draw(self.results, self._total, "")
        elif self._terse and _tenths(len(self.results), self._total) > _tenths(len(self.results) - 1, self._total):
            self._print(f"  {len(self.results)} of {self._total} steps")
        return result

    def info(self, text: str) -> None:
        """Say something on the terminal (unless terse) and in the log."""
        self.log(logging.INFO, text, shown=not self._terse)

    def warning(self, text: str) -> None:
        """Warn on the terminal and in the log."""
        self.log(logging.WARNING, text, shown=True)

    def remark(self, text: str, *, now: bool = True) -> None:
        """Say something now, and again in the last lines (``now`` false: there alone); a warning starts with
        ``warning:``.
        """
        warns = text.startswith("warning:")
        self.log(logging.WARNING if warns else logging.INFO, text.removeprefix("warning: "), shown=now)
        self._last_words.append(text)

    def log(self, level: int, text: str, *, shown: bool = False) -> None:
        """Write a line to run.log and, if asked, to the terminal. A full disk must not hide the error it caused."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(f"{time.strftime('%H:%M:%S')} {logging.getLevelName(level):<7} {printable(text)}\n")
            self._file.flush()
        if shown:
            self._print(f"warning: {text}" if level == logging.WARNING else text)

    def last_lines(self) -> list[str]:
        """What failed and why, how many steps ended how, and where the log is."""
        bad = [result for result in self.results if result.crashed]
        excluded = [result for result in self.results if result.status == "excluded"]
        lines = self._last_words[:]
        for groups in (_alike(excluded), _alike(bad)):
            lines += [_told(group) for group in groups[:SHOWN]]
            if hidden := sum(map(len, groups[SHOWN:])):
                lines.append(f"... and {hidden} more, see summary.json")
        counts = Counter[str](result.status for result in self.results)
        told = ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status]) or "no step finished"
        if self.results and all(result.cached or result.status == "blocked" for result in self.results):
            told += " (nothing had to be computed)"
        lines.append(
            f"{told}; {_duration(time.monotonic() - self._start)}; "
            f"log: {self.directory.relative_to(self.out_dir)} in the output folder"
        )
        return lines

    def close(self, ending: str = "finished") -> None:
        """Write summary.json and the last lines (once; later calls do nothing)."""
        if self._closed:
            return
        self._closed = True
        logging.getLogger("thalbids").handlers[:] = self._handlers_before
        if self._bar:
            self._bar.clear()
        for line in self.last_lines():
            self.log(logging.INFO, line, shown=True)
        try:
            write_json(self.directory / "summary.json", self.summary(ending), sort_keys=False)
        except OutputError as error:
            self._print(str(error))
        with contextlib.suppress(OSError):
            self._file.close()

    def summary(self, ending: str) -> dict[str, Any]:
        """Content of summary.json: how the run ended, counts, and every step's result."""
        counts = Counter[str](result.status for result in self.results)
        sessions: dict[str, Counter[str]] = {}
        for result in self.results:
            sessions.setdefault(result.session, Counter())[result.status] += 1
        return {
            "ending": ending,
            "remarks": self._last_words,
            "seconds": round(time.monotonic() - self._start, 3),
            "counts": {status: counts[status] for status in ORDER},
            "sessions": {name: dict(counted) for name, counted in sessions.items()},
            "steps": [asdict(result) for result in self.results],
        }

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, KeyboardInterrupt):
            self.log(
                logging.WARNING, "interrupted; finished steps are kept, start the same command to go on", shown=True
            )
            self.close("interrupted")
        else:
            self.log(logging.ERROR, str(error))
            self.close("stopped" if isinstance(error, ThalbidsError) else "crashed")

    def _save_traceback(self, name: str, text: str) -> str:
        """Keep a traceback; gives its file relative to the output folder ("" when the disk takes no more)."""
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
        path = self.directory / "tracebacks" / f"{safe}.txt"
        try:
            write_text(path, text)
        except OutputError:
            self.log(logging.ERROR, text)
            return ""
        return path.relative_to(self.out_dir).as_posix()

    def _print(self, text: str) -> None:
        if self._bar:
            self._bar.clear()
        with contextlib.suppress(OSError, ValueError):  # a closed pipe (| head) must not end a run of hours
            print(printable(text), file=self._stream, flush=True)


class _Forward(logging.Handler):
    """Brings what other modules log through :mod:`logging` into the run's log; warnings also to the terminal."""

    def __init__(self, reporter: Reporter):
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.log(record.levelno, record.getMessage(), shown=record.levelno >= logging.WARNING)


class _Bar:
    """A progress bar on the last line of a terminal."""

    def __init__(self, stream: TextIO):
        stream = getattr(stream, "unescaped", stream)  # the bar moves the cursor
        self._stream, self._last, self._text = stream, 0.0, ""

    def draw(self, results: list[StepResult], total: int, current: str) -> None:
        now = time.monotonic()
        if now - self._last < 0.1 and len(results) < total:
            return
        self._last = now
        width = shutil.get_terminal_size().columns - 1
        filled = 20 * len(results) // max(total, 1)
        bad = sum(result.crashed for result in results)
        text = (
            f"[{'#' * filled}{'.' * (20 - filled)}] {len(results)}/{total}{f', {bad} failed' if bad else ''} {current}"
        )
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("\r" + text[:width].ljust(width))
            self._stream.flush()
        self._text = text

    def clear(self) -> None:
        if self._text:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
                self._stream.flush()
            self._text = ""


def _tenths(n: int, total: int) -> int:
    """How many tenths of the total are done."""
    return 10 * n // max(total, 1)


def _new_directory(logs: Path) -> Path:
    """A log folder of our own, also when two runs of one process number start in one second on two machines."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for name in _numbered(f"{stamp}_{os.getpid()}"):
        with contextlib.suppress(FileExistsError):
            (logs / name).mkdir(parents=True)
            return logs / name
    raise AssertionError("unreachable")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _alike(results: list[StepResult]) -> list[list[StepResult]]:
    """Results that ended for the same reason together, in the order of the first of each."""
    groups: dict[tuple[str, str], list[StepResult]] = {}
    for result in results:
        groups.setdefault((result.status, result.reason), []).append(result)
    return list(groups.values())


def _told(group: list[StepResult]) -> str:
    """Results that ended for the same reason as one line."""
    if len(group) == 1:
        return _line(group[0])
    names = some([result.name for result in group], NAMED)
    return _line(replace(group[0], name=f"{len(group)} steps ({names})", seconds=0.0))


def _line(result: StepResult) -> str:
    """One result as a line."""
    word = result.status.upper() if result.crashed else result.status
    seconds = f" ({result.seconds:.1f} s)" if result.seconds else ""
    reason = f": {result.reason}" if result.reason else ""
    trace = f" [{result.traceback}]" if result.traceback else ""
    return f"{word} {result.name}{seconds}{reason}{trace}"


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
