"""Wall time of one session with T1w, FLAIR and R1 map, split by step, and its peak memory, at 1 mm and 0.8 mm.

Also start-up, a rerun, and the share of the engine.

Run: ``python benchmarks/session_time.py`` (needs the extra ``demo``). Prints the tables of docs/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
from nibabel.processing import resample_to_output

from thalbids.demo import write_dataset


def dataset(root: Path, zoom: float) -> Path:
    """One session of the demo with all three images at `zoom` mm, isotropic."""
    raw = root / f"raw{zoom}"
    for _ in write_dataset(raw, subjects=1):
        pass
    for path in raw.glob("sub-*/ses-*/anat/*.nii.gz"):
        if "ses-2" in str(path):
            path.unlink()
        else:
            nib.save(resample_to_output(nib.load(path), (zoom,) * 3, order=1), path)
    return raw


def run(raw: Path, out: Path, *options: str) -> tuple[float, list[dict]]:
    """Seconds of the whole command, and what its summary says of every step."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "thalbids", str(raw), str(out), "participant", "--session-label", "1", *options]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    newest = max((out / "logs").glob("*/summary.json"), key=os.path.getmtime)
    return seconds, json.loads(newest.read_text())["steps"]


def main() -> None:
    best = min(timed([sys.executable, "-m", "thalbids", "--help"]) for _ in range(5))
    print(f"`thalbids --help`: {best:.2f} s\n")
    with tempfile.TemporaryDirectory() as folder:
        for zoom in (1.0, 0.8):
            raw = dataset(Path(folder), zoom)
            seconds, steps = run(raw, Path(folder) / f"out{zoom}")
            inside = sum(step["seconds"] for step in steps)
            peak = max(step["peak_mb"] for step in steps)
            again, _ = run(raw, Path(folder) / f"out{zoom}")
            print(f"### {zoom} mm\n\n| step | seconds |\n|---|---:|")
            for step in steps:
                print(f"| {step['name'].split(' ', 1)[1]} | {step['seconds']:.1f} |")
            print(
                f"| whole command | {seconds:.1f} |\n\nPeak memory: {peak:.0f} MB. "
                f"Outside the steps: {seconds - inside:.1f} s. Run again: {again:.1f} s.\n"
            )


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
