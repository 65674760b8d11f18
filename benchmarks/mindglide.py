"""MindGlide's own program and its network in thalbids, side by side: processor time and memory of a head and a window.

Run: ``python benchmarks/mindglide.py MINDGLIDE [--seed 1] [--size X Y Z]`` with the program of an environment that
holds MindGlide 1.3.0 (``thalbids setup mindglide``). The weights are random, which changes neither time nor memory.
The head is nilearn's MNI152 template at 1 mm (extra ``demo``), or X x Y x Z voxels around its thalami. Each way runs in
a process of its own with one thread, its start included, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from thalbids.image.io import load_image, load_labels, save_image

WEIGHTS = """
import sys, torch; from mindglide.network import get_network; torch.manual_seed(int(sys.argv[1]))
torch.save(get_network(device="cpu").state_dict(), sys.argv[2])
"""
THALAMI_MM = ((-22, 22), (-34, 0), (-6, 18))  # the box of both, in the template


def head(path: Path, size: list[int] | None) -> None:
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=1)
    data = np.asarray(image.dataobj, np.float32)
    if size:
        centre = np.linalg.inv(image.affine) @ [0, -15, 10, 1]
        keep = np.zeros(data.shape, bool)
        keep[tuple(slice(max(0, int(c) - n // 2), int(c) + n - n // 2) for c, n in zip(centre, size, strict=False))] = (
            True
        )
        data = np.where(keep, data, 0)
    save_image(data, image.affine, path)


def own(weights: Path, image: Path, out: Path, near: bool, precision: str) -> None:
    """One image by thalbids; prints the windows and the seconds of processor time for each."""
    from thalbids.inference import mindglide

    net, scan = mindglide.MindGlideNetwork(weights, precision), load_image(image)
    spent: list[float] = []

    def timed(window: np.ndarray) -> np.ndarray:
        began = time.process_time()
        scores = net(window)
        spent.append(time.process_time() - began)
        return scores

    around = None
    if near:
        around = np.zeros(scan.shape, bool)
        corners = np.linalg.inv(scan.affine) @ np.array([*THALAMI_MM, (1, 1)])
        low, high = np.sort(corners[:3], axis=1).round().astype(int).T
        around[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    save_image(mindglide.segment(scan, timed, around=around), scan.affine, out)
    print(json.dumps({"windows": len(spent), "window_s": round(float(np.median(spent)), 2)}))


def measured(words: list[str]) -> dict[str, float]:
    """Processor seconds, peak memory (GB) and the last line of a program that runs with one thread."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads})
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{words} failed: {said}")
    last = said.strip().rpartition("\n")[2]
    told = json.loads(last) if last.startswith("{") else {}
    return {"cpu_s": round(usage.ru_utime + usage.ru_stime, 1), "peak_gb": round(usage.ru_maxrss / 2**20, 2), **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, nargs=3)
    parser.add_argument("--precision", default="full", choices=("full", "fast"))
    parser.add_argument("--own", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        weights, image, out, near = options.own
        own(Path(weights), Path(image), Path(out), near == "near", options.precision)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, image = folder / "random.pt", folder / "head.nii.gz"
        python = options.program.with_name("python")
        subprocess.run([python, "-c", WEIGHTS, str(options.seed), weights], check=True)
        head(image, options.size)
        us = [sys.executable, __file__, str(options.program), "--precision", options.precision, "--own"]
        words = {
            "near": [*us, str(weights), str(image), str(folder / "near.nii.gz"), "near"],
            "head": [*us, str(weights), str(image), str(folder / "head_seg.nii.gz"), "head"],
            "upstream": [str(options.program), "-i", str(image), "-o", str(folder / "theirs.nii.gz"),
                         "--model-path", str(weights), "--device", "cpu"],
        }  # fmt: skip
        for which, call in words.items():
            print(which, measured(call), flush=True)
        labels = {
            which: np.asarray(load_labels(folder / f"{which}.nii.gz").dataobj)
            for which in ("head_seg", "theirs", "near")
        }
        differ = np.count_nonzero(labels["head_seg"] != labels["theirs"])
        part = labels["near"] > 0
        print(
            f"differ from upstream: {differ} of {labels['theirs'].size} voxels; "
            f"near the envelope from the whole head: {np.count_nonzero((labels['near'] != labels['head_seg'])[part])}"
        )


if __name__ == "__main__":
    main()
