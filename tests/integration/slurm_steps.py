"""Steps that meet with what can befall a job, and a run of them through SLURM, for ``test_slurm_faults.py``.

A fault happens once: the step first leaves a file with the number of its job beside the output folder.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from thalbids.engine import engine, lock
from thalbids.engine.log import Reporter
from thalbids.engine.step import Done, Step
from thalbids.settings import load


def work(inputs, outputs, params, upstream):
    """Write the number of the job, after the fault."""
    mark = Path(params["Mark"])
    if params["Fault"] and not mark.exists():
        temporary = mark.with_suffix(".tmp")
        temporary.write_text(os.environ["SLURM_JOB_ID"])
        temporary.replace(mark)
        outputs["x"].write_text("half")
        if params["Fault"] == "swell":
            pieces = [bytearray(os.urandom(1 << 20)) * 64 for _ in range(48)]  # 3 GB
            assert pieces
        time.sleep(3600)
    outputs["x"].write_text(os.environ["SLURM_JOB_ID"])
    return Done()


def plan(out: Path, fault: str) -> list[Step]:
    """One step that goes well, one that meets the fault, one that needs it."""
    mark = out.parent / "mark"

    def step(name: str, fault: str = "", needs: tuple[str, ...] = ()) -> Step:
        params = {"Mark": str(mark), "Fault": fault}
        return Step(f"sub-1 {name}", "sub-1", work, {}, {"x": out / f"sub-1/{name}.txt"}, params, needs=needs)

    return [step("before"), step("faulty", fault, ("sub-1 before",)), step("after", needs=("sub-1 faulty",))]


def main(out: Path, settings: Path, fault: str) -> int:
    steps = plan(out, fault)
    options = {"out_dir": out, "nprocs": 1, "mem_gb": 4, "omp_nthreads": 1, "versions": {"thalbids": "0"}}
    with lock.claim(out, {step.session for step in steps}), Reporter(out) as reporter:
        try:
            results = engine.run(steps, reporter=reporter, cluster=load(settings).cluster, **options)
        except KeyboardInterrupt:
            return 130
    return int(not all(result.usable for result in results))
