"""Time and memory of the group level on morph tables: 10 000 sessions of 11 methods, by default.

    python benchmarks/group_scale.py [--people 5000] [--sessions 2] [--profile]

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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cohort import METHODS, write_cohort


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--nprocs", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="run in this process and show where the time goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        raw, out, _ = write_cohort(Path(folder) / "cohort", arguments.people, arguments.sessions)
        made = time.perf_counter() - start
        words = [str(raw), str(out), "group", "--nprocs", str(arguments.nprocs)]
        sessions = arguments.people * arguments.sessions
        print(f"{sessions} sessions x {len(METHODS)} methods (made in {made:.0f} s)")
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


def profile(words: list[str]) -> None:
    from thalbids.cli.main import main as command

    profiler = cProfile.Profile()
    profiler.enable()
    command(words)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
