"""Time and memory of R1, R2*, PD and MTsat with standard errors (``python benchmarks/qmri.py [--slices N]``).

A simulated whole brain of the paper's matrix (140 x 160 x 112 at 1.6 mm), three contrasts of six echoes, in memory: the
fit alone, without reading, unringing or alignment. ``--slices`` takes a slab of it, for busy machines.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from thalbids.qmri import phantom
from thalbids.qmri.models.mpm import Weighted, fit_maps

SHAPE = (140, 160, 112)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--slices", type=int, default=SHAPE[2])
    slices = arguments.parse_args().slices
    shape = (*SHAPE[:2], slices)
    rng = np.random.default_rng(1)
    still = phantom.Properties(
        rng.uniform(0.5, 1.2, shape), rng.uniform(12, 30, shape), np.full(shape, 75.0), np.full(shape, 0.012)
    )
    field = rng.uniform(0.8, 1.2, shape).astype(np.float32)
    weighted = {
        name: Weighted(contrast, phantom.PAPER_TIMES, phantom.echoes(
            still, contrast, phantom.PAPER_TIMES, field, mt=name == "MTw", noise=0.02, seed=(k,)))
        for k, (name, contrast) in enumerate(phantom.PAPER_PROTOCOL.items())
    }  # fmt: skip
    before, cpu = time.perf_counter(), time.process_time()
    maps = fit_maps(weighted, field)
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    error = np.abs(maps.values["R1map"] - still.r1)
    print(json.dumps({
        "voxels": int(np.prod(shape)),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "median_error_r1": float(np.median(error)),
        "median_standard_error_r1": float(np.median(maps.errors["R1map"])),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
