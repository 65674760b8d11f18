"""Processor time and memory where a dataset, or the output folder, has very many people.

1. ``read_dataset`` and a dry run of N people with two sessions (T1w and FLAIR; the images are links to a few files);
2. one finished session again, beside N copies of it under other labels in the raw dataset and the output folder.

Run: ``python benchmarks/large_dataset.py PEOPLE COPIES [DEMO]``; where COPIES is above 0, DEMO is a folder that
``thalbids demo DEMO --subjects 1`` made.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

READ = """\
import sys
from pathlib import Path
from thalbids.bids.dataset.inputs import read_dataset
print(len(read_dataset(Path(sys.argv[1])).sessions), "sessions")
"""
# whose copies must not name the person they were copied from
NAMED_INSIDE = {".json", ".tsv", ".md", ".txt", ".bib", ".tex"}


def dataset(root: Path, people: int) -> Path:
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "many people", "BIDSVersion": "1.10.0"}')
    for number in range(people):
        if number % 10_000 == 0:  # ext4 gives a file 65 000 names at most
            image = save(root.parent / f"{number}.nii.gz")
        for session in (1, 2):
            folder = root / f"sub-{number:05d}/ses-{session}/anat"
            folder.mkdir(parents=True)
            for suffix in ("T1w", "FLAIR"):
                os.link(image, folder / f"sub-{number:05d}_ses-{session}_{suffix}.nii.gz")
    return root


def save(path: Path) -> Path:
    """An oblique image with both forms of geometry, and values that zlib does not shrink to nothing, as a scan has."""
    voxels = np.random.default_rng(0).normal(300, 100, (64, 64, 64)).astype(np.int16)
    turned = np.array([[0.8, -0.6, 0, -30], [0.6, 0.8, 0, -30], [0, 0, 1, -30], [0, 0, 0, 1]])
    image = nib.Nifti1Image(voxels, turned)
    image.set_sform(turned, 1)
    image.set_qform(turned, 1)
    nib.save(image, path)
    return path


def copies(demo: Path, root: Path, number: int) -> tuple[Path, Path]:
    """Raw dataset and output folder of the demo's person and of `number` people, the same but for labels."""
    labels = [f"sub-copy{index:05d}" for index in range(number)]
    for top in ("raw", "derivatives"):
        shutil.copytree(demo / top, root / top)
        for source in [path for path in (demo / top).rglob("*sub-01*") if path.is_file()]:
            relative = source.relative_to(demo).as_posix()
            text = source.read_bytes() if source.suffix in NAMED_INSIDE else None
            for label in labels:
                target = root / relative.replace("sub-01", label)
                target.parent.mkdir(parents=True, exist_ok=True)
                if text is None:
                    os.link(root / relative, target)
                else:
                    target.write_bytes(text.replace(b"sub-01", label.encode()))
    table = root / "raw/participants.tsv"
    lines = table.read_text().splitlines()
    row = next(line for line in lines if line.startswith("sub-01"))
    table.write_text("\n".join([*lines, *(row.replace("sub-01", label) for label in labels)]) + "\n")
    return root / "raw", root / "derivatives/thalbids"


def measured(command: list[str]) -> tuple[str, float, float]:
    """What a command printed last, its processor time in s and its peak memory in MB, children included."""
    program = [sys.executable, __file__, "--measure", *command]
    *words, figures = subprocess.run(program, check=True, capture_output=True, text=True).stdout.splitlines()
    seconds, memory = (float(word) for word in figures.split())
    return words[-1] if words else "", seconds, memory


def measure(command: list[str]) -> None:
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(process.stdout.rstrip())
    if process.returncode:
        sys.exit(process.returncode)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main(people: int, copied: int, demo: Path | None) -> None:
    print("| | processor time (s) | peak memory (MB) | last line |\n|---|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if people:
            raw = dataset(work / "many", people)
            show(f"read_dataset of {people} people", [sys.executable, "-c", READ, str(raw)])
            thalbids = [sys.executable, "-m", "thalbids", str(raw), str(work / "out"), "participant"]
            show(f"dry run of {people} people", [*thalbids, "--dry-run", "--methods", "synthal"])
        if copied:
            if demo is None:
                sys.exit("COPIES needs DEMO, a folder that `thalbids demo DEMO --subjects 1` made.")
            raw, out = copies(demo, work / "copies", copied)
            again = [sys.executable, "-m", "thalbids", str(raw), str(out), "participant", "--participant-label", "01"]
            for number in (1, 2, 3):
                show(f"a finished person beside {copied} others, run {number}", again)


def show(what: str, command: list[str]) -> None:
    said, seconds, memory = measured(command)
    print(f"| {what} | {seconds:.1f} | {memory:.0f} | {said} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2:])
    elif len(sys.argv) < 3:
        sys.exit(__doc__)
    else:
        main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
