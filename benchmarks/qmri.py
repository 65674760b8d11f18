"""Time and memory of R1, R2*, PD and MTsat with standard errors (``python benchmarks/qmri.py [--slices N]``).

A simulated whole brain of the paper's matrix (140 x 160 x 112 at 1.6 mm), three contrasts of six echoes and a B1+ map,
from files to maps: reading, moving two contrasts by splines, B1+, fit; without unringing, and without the registration
that finds the motion. ``--slices`` takes a slab of it. On a busy machine the seconds of the processor tell more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from thalbids.bids.dataset.raw import raw_images
from thalbids.bids.dataset.sidecars import Sidecars
from thalbids.qmri import phantom
from thalbids.qmri.acquisition import read_acquisition
from thalbids.qmri.fields import read_field
from thalbids.qmri.reconstruct import reconstruct
from thalbids.types import Session

SHAPE = (140, 160, 112)
ZOOM = 1.6  # mm


def affine_of(shape: tuple[int, int, int]) -> np.ndarray:
    affine = np.diag([ZOOM, ZOOM, ZOOM, 1.0])
    affine[:3, 3] = -ZOOM * (np.array(shape) - 1) / 2
    return affine


def write(root: Path, shape: tuple[int, int, int]) -> None:
    still = phantom.properties_of(phantom.head(shape, affine_of(shape)))
    scanner = phantom.Scanner(phantom.PAPER_PROTOCOL, noise=0.02)
    phantom.write_mpm(root / "sub-01", "sub-01", lambda _: still, affine_of(shape), scanner)


def fit(root: Path, threads: int) -> None:
    session = Session("01", None, {}, raw=raw_images(root / "sub-01", Sidecars(root))[0])
    turn = np.eye(4)
    turn[:3, 3] = (0.3, -0.4, 0.2)  # mm
    before, cpu = time.perf_counter(), time.process_time()
    maps = reconstruct(
        read_acquisition(session, "MPM"), read_field(session), {"T1w": turn, "MTw": turn}, threads=threads
    )
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    print(json.dumps({
        "voxels": int(np.prod(maps.reference.shape)),
        "threads": threads,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "maps": sorted(maps.values),
    }))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=SHAPE[2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--root", type=Path, help="a phantom that is there (used by the benchmark itself)")
    arguments = parser.parse_args()
    if arguments.root is not None:
        fit(arguments.root, arguments.threads)
        return
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), (*SHAPE[:2], arguments.slices))
        # the phantom's own memory is none of the fit's
        command = [sys.executable, __file__, "--root", name, "--threads", str(arguments.threads)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
