"""How long the comparison of masks takes, against the time that only inflating the same files takes.

A cohort of synthetic thalami on the grid of a 0.8 mm scan: every participant has the masks of 11 methods, some also the
mask of a rater. Printed are seconds on this machine and, which travels better, ratios.

    python benchmarks/overlap_speed.py --participants 321 --raters 50 --nprocs 2
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from thalbids.group.comparison import SessionMasks, compare, compare_all
from thalbids.group.statistics.concordance import agreement, containment, paired
from thalbids.image.io import load_labels, save_image

SHAPE, ZOOM = (208, 300, 320), 0.8
METHODS = (
    "freesurfer", "first", "dbsegment", "mindglideT1w", "mindglideFLAIR", "mindglideR1map", "mindglideT1FLAIR",
    "mindglideT1R1", "mindglideR1FLAIR", "mindglideT1FLAIRR1", "synthalT1w",
)  # fmt: skip


def thalami(rng: np.random.Generator) -> np.ndarray:
    """Two ellipsoids of about 7 mL each, with a ragged surface."""
    mask = np.zeros(SHAPE, np.uint8)
    for side in (-1, 1):
        centre = np.array([104 + side * 14, 150, 160]) + rng.normal(0, 0.7, 3)
        radii = np.array([11, 18, 15]) * rng.normal(1, 0.04, 3)
        low, high = np.floor(centre - 24).astype(int), np.ceil(centre + 24).astype(int)
        grid = np.indices(high - low).reshape(3, -1).T + low
        inside = (((grid - centre) / radii) ** 2).sum(axis=1) < 1 + rng.normal(0, 0.03, len(grid))
        mask[tuple(grid[inside].T)] = 1
    return mask


def cohort(folder: Path, participants: int, raters: int, variants: int = 24) -> list[SessionMasks]:
    """Files of a cohort; ``variants`` different masks, each linked under many names."""
    rng = np.random.default_rng(1)
    affine = np.diag([ZOOM, ZOOM, ZOOM, 1.0])
    pool = [save_image(thalami(rng), affine, folder / f"pool{i}.nii.gz") for i in range(variants)]

    def link(name: str) -> Path:
        path = folder / f"{name}_mask.nii.gz"
        os.link(pool[rng.integers(variants)], path)
        return path

    jobs = []
    for person in range(participants):
        methods = {method: link(f"sub-{person}_{method}") for method in METHODS}
        rater = {"manual": link(f"sub-{person}_manual")} if person < raters else {}
        jobs.append(SessionMasks(f"sub-{person}", None, methods, rater, containment.t1w_derived(METHODS)))
    return jobs


def seconds(function: object, *arguments: object) -> float:
    """Processor time, which says the same on a busy machine."""
    start = time.process_time()
    function(*arguments)  # type: ignore[operator]
    return time.process_time() - start


def one_session(job: SessionMasks) -> None:
    """The ratio that matters: everything of one session against inflating its files."""
    files = [*job.methods.values(), *job.raters.values()]
    for path in files:  # into the page cache
        path.read_bytes()
    inflate = min(seconds(lambda: [gzip.decompress(path.read_bytes()) for path in files]) for _ in range(7))
    whole = min(seconds(compare, job) for _ in range(7))
    dense = min(seconds(lambda: [load_labels(path) for path in files]) for _ in range(2))
    print(f"one session, {len(files)} masks of {SHAPE}: inflating {inflate:.2f} s, comparing {whole:.2f} s: ratio "
          f"{whole / inflate:.2f}; reading them whole {dense:.2f} s: ratio {dense / inflate:.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=321)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--nprocs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        jobs = cohort(Path(folder), arguments.participants, arguments.raters)
        one_session(jobs[0])
        start = time.perf_counter()
        compared = compare_all(jobs, arguments.nprocs)
        masks = time.perf_counter() - start
        table = pd.DataFrame([row for made in compared for row in made.overlap])
        paired.summary(table, seed=1)
        paired.tests(table)
        containment.containment(compared)
        agreement.rows(table)
        statistics = time.perf_counter() - start - masks
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    read = sum(len(job.methods if job.raters else job.contained) + len(job.raters) for job in jobs)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(f"{arguments.participants} participants x {len(METHODS)} methods, {arguments.raters} masks of a rater, "
          f"{arguments.nprocs} processes: {read} masks read and compared in {masks:.1f} s "
          f"({cpu:.1f} s of processor time), statistics {statistics:.1f} s, "
          f"peak memory of the largest process {peak:.0f} MiB")  # fmt: skip


if __name__ == "__main__":
    main()
