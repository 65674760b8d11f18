"""What the engine costs: per trivial step, and to find that everything is finished.

    python benchmarks/engine_overhead.py                      # 1000 trivial steps, in this process and on 2 workers
    python benchmarks/engine_overhead.py --sessions 100       # + the check of 100 finished sessions (15 steps, 60 MB)

Wall time depends on what else the machine does; the processor time of the driver (user + system) is told too.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tempfile
import time
from pathlib import Path

from thalbids.engine import engine
from thalbids.engine.log import Reporter
from thalbids.engine.step import Done, Step

OPTIONS = {"mem_gb": 8, "omp_nthreads": 1, "versions": {"thalbids": "benchmark"}}


def trivial(inputs, outputs, params, upstream):
    """Write a few bytes."""
    for path in outputs.values():
        path.write_text(str(params))
    return Done({"out": {"Description": "trivial"}})


def sized(inputs, outputs, params, upstream):
    """Write ``params["bytes"]`` random bytes (images do not compress)."""
    outputs["out"].write_bytes(os.urandom(params["bytes"]))
    return Done({"out": {"Description": "sized"}})


def chains(out: Path, function, sessions: int, length: int, raw: Path, **params) -> list[Step]:
    """Sessions of ``length`` steps, each needing the one before."""
    steps = []
    for number in range(sessions):
        session = f"sub-{number:04}"
        for place in range(length):
            before = steps[-1] if place else None
            steps.append(
                Step(
                    f"{session} {place}",
                    session,
                    function,
                    {"in": before.outputs["out"] if before else raw},
                    {"out": out / session / "anat" / f"{session}_step-{place}_T1w.nii.gz"},
                    params,
                    needs=(before.name,) if before else (),
                )
            )
    return steps


def timed(steps: list[Step], out: Path, nprocs: int) -> tuple[float, float, str]:
    """Wall seconds, processor seconds of this process, and how the steps ended."""
    wall, cpu = time.perf_counter(), time.process_time()
    with Reporter(out, stream=io.StringIO()) as reporter:
        results = engine.run(steps, out_dir=out, nprocs=nprocs, reporter=reporter, **OPTIONS)
    return (
        time.perf_counter() - wall,
        time.process_time() - cpu,
        " ".join(sorted({result.status for result in results})),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=0, help="sessions for the check of finished results")
    parser.add_argument("--megabytes", type=float, default=60, help="size of the outputs of a session")
    parser.add_argument("--dir", type=Path, help="folder to work in")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.dir))
    raw = folder / "raw"
    raw.write_bytes(os.urandom(1_000_000))
    print("| what | steps | wall s | driver's processor s | ms a step (wall) | ended |\n|---|---|---|---|---|---|")

    def tell(what: str, count: int, measured: tuple[float, float, str]) -> None:
        wall, cpu, ended = measured
        print(f"| {what} | {count} | {wall:.2f} | {cpu:.2f} | {1000 * wall / count:.2f} | {ended} |", flush=True)

    try:
        start = time.perf_counter()
        for number in range(arguments.steps):
            trivial({}, {"out": folder / f"bare-{number}"}, {}, {})
        wall = time.perf_counter() - start
        tell("the functions alone", arguments.steps, (wall, wall, "-"))
        for nprocs in (1, 2):
            out = folder / f"out-{nprocs}"
            steps = chains(out, trivial, arguments.steps // 10, 10, raw)
            one = timed(chains(folder / f"first-{nprocs}", trivial, 1, 1, raw), folder / f"first-{nprocs}", nprocs)
            tell(f"start and end, nprocs {nprocs}", 1, one)
            tell(f"computed, nprocs {nprocs}", len(steps), timed(steps, out, nprocs))
            tell(f"found finished, nprocs {nprocs}", len(steps), timed(steps, out, nprocs))
        if arguments.sessions:
            out = folder / "sized"
            size = int(arguments.megabytes * 1e6 / 15)
            steps = chains(out, sized, arguments.sessions, 15, raw, bytes=size)
            timed(steps, out, 1)
            measured = timed(steps, out, 1)
            tell(
                f"found finished, {arguments.sessions} sessions, {arguments.megabytes:g} MB each", len(steps), measured
            )
            print(f"{arguments.sessions * arguments.megabytes / 1000 / measured[0]:.2f} GB/s")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
