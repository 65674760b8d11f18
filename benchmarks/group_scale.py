"""Time and memory of the group level on morph tables: 10 000 sessions of 11 methods, by default.

    python benchmarks/group_scale.py [--people 5000] [--sessions 2] [--parts] [--profile]

The cohort is made by tests/cohort.py in a temporary folder; the command runs in a process of its own. Wall time depends
on what else the machine does, so the processor time (user + system) is told too.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cohort import METHODS, write_cohort


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--nprocs", type=int, default=2)
    parser.add_argument("--parts", action="store_true", help="processor time of each analysis, in this process")
    parser.add_argument("--profile", action="store_true", help="run in this process and show where the time goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        raw, out, _ = write_cohort(Path(folder) / "cohort", arguments.people, arguments.sessions)
        made = time.perf_counter() - start
        words = [str(raw), str(out), "group", "--nprocs", str(arguments.nprocs)]
        sessions = arguments.people * arguments.sessions
        print(f"{sessions} sessions x {len(METHODS)} methods (made in {made:.0f} s)")
        if arguments.parts:
            parts(raw, out)
            return
        if arguments.profile:
            profile(words)
            return
        before = 0.0
        for label in ("first", "again"):
            start = time.perf_counter()
            code = subprocess.run([sys.executable, "-m", "thalbids", *words], stdout=subprocess.DEVNULL).returncode
            wall = time.perf_counter() - start
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor = used.ru_utime + used.ru_stime - before
            before += processor
            peak = used.ru_maxrss / 1e6
            print(f"{label}: exit {code}, {wall:.1f} s, processor {processor:.1f} s, peak {peak:.2f} GB")


def parts(raw: Path, out: Path) -> None:
    from thalbids.group import reporting
    from thalbids.group.intake.reading import read_cohort
    from thalbids.group.registry import ANALYSES
    from thalbids.group.run import joined
    from thalbids.group.writing import write_all
    from thalbids.settings import Settings

    settings = Settings()
    told, made = [], []

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        found = work()
        told.append((time.process_time() - start, name))
        print(f"{told[-1][0]:8.2f} s  {name}", flush=True)
        return found

    cohort = timed("reading", lambda: read_cohort(raw, out, settings))
    for analysis in ANALYSES:
        made += timed(analysis.name, lambda analysis=analysis: list(analysis.tables(cohort)))
    timed("writing", lambda: write_all(joined(made), out))
    timed("page", lambda: reporting.write(out, settings.to_toml()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{sum(seconds for seconds, _ in told):8.2f} s  together, peak {peak:.2f} GB")


def profile(words: list[str]) -> None:
    from thalbids.cli.main import main as command

    profiler = cProfile.Profile()
    profiler.enable()
    command(words)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
