"""Peak memory of a step: of its process and of the programs that it starts."""

from __future__ import annotations

import ctypes
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

INTERVAL_S = 0.05
LARGEST_KEPT = 2**25  # bytes; more than that the C library does not keep (mallopt(3))
KEPT_IN_ALL = 2**28
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_... of malloc.h
_SELF = Path("/proc/self")


class PeakMemory:
    """Measures the peak resident memory, in MiB, while its block runs; see :attr:`mb` afterwards.

    On Linux: the kernel's high-water mark of this process (started anew) and, sampled every 50 ms, this process and its
    descendants together. Elsewhere: the high-water mark since the process started, without descendants.
    """

    mb = 0.0

    def __enter__(self) -> PeakMemory:
        with suppress(OSError):
            (_SELF / "clear_refs").write_text("5", encoding="ascii")  # start the high-water mark anew
        self._stop = threading.Event()
        threading.Thread(target=self._sample, name="thalbids-memory", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()  # and not joined: on a busy machine that takes longer than a small step
        self.mb = max(self.mb, _status(_SELF, "VmHWM") or _peak_since_start())

    def _sample(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            children = [_status(process, "VmRSS") for process in _descendants(_SELF)]
            if children:
                self.mb = max(self.mb, _status(_SELF, "VmRSS") + sum(children))


def keep_freed_memory() -> None:
    """Let this process use the memory of arrays that are gone again, in place of giving it back to the system.

    A step asks for gigabytes in pieces of some MB, and the system clears each page anew: 6 % of its time.
    `KEPT_IN_ALL` bytes at most are kept, which the next step's peak counts (given back before each step, half a second
    of a session's gain is lost). Without glibc nothing changes.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, KEPT_IN_ALL)


def _descendants(process: Path) -> list[Path]:
    """The ``/proc`` folders of the processes that this one has started, and theirs."""
    folders: list[Path] = []
    for task in process.glob("task/*/children"):
        with suppress(OSError):
            for pid in task.read_text(encoding="ascii").split():
                child = Path("/proc") / pid
                folders += [child, *_descendants(child)]
    return folders


def _status(process: Path, key: str) -> float:
    """A memory figure of ``/proc/PID/status`` in MiB; 0 when unknown (the process has ended, another system)."""
    with suppress(OSError, ValueError):
        for line in (process / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _peak_since_start() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
