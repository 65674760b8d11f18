"""The registration strategies side by side on patient12: prints the Markdown table of docs/registration.md.

    PYTHONPATH=. python benchmarks/compare_strategies.py DATA [--only STUDY]

DATA is a folder with ``open_ms``. FSL's FLIRT must be installed; with mutual information it takes some minutes. The T1W
of the other study stands in for an R1 map: a contrast like that of R1, with a published transform.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.calibrate_gate import PUBLISHED, Data, head_points
from thalbids.registration.gate import register
from thalbids.registration.strategies import configured
from thalbids.registration.transforms import displacement, read_itk

STRATEGIES = {"T1W": ("fsl-nc", "ants", "fsl-mi"), "FLAIR": ("fsl-flair", "ants", "fsl-mi", "fsl-nc"),
              "T2W": ("fsl-flair", "ants", "fsl-mi", "fsl-nc")}  # fmt: skip
COLUMNS = ("T1w", "image", "strategy", "MI", "sharpness", "gain", "gate", "mean, mm", "largest, mm", "s")


def between(data: Data, fixed: str, moving: str) -> np.ndarray:
    """Published transform from the T1W world of one study to the T1W world of the other."""
    to_common = [read_itk(data.root / PUBLISHED.format(f"{study}_FLAIR_to_common_space")) for study in (fixed, moving)]
    # each file maps the common space to a FLAIR
    flairs = to_common[1] @ np.linalg.inv(to_common[0])
    return np.linalg.inv(data.published(f"{moving} FLAIR")) @ flairs @ data.published(f"{fixed} FLAIR")


def row(data: Data, study: str, moving: tuple[str, str], strategy: str) -> list[str]:
    """One image by one strategy."""
    fixed, mask = data.image(f"patient12 {study}"), data.mask(f"patient12 {study}")
    image: nib.Nifti1Image = data.image(f"patient12 {' '.join(moving)}")
    published = between(data, study, moving[0]) if moving[1] == "T1W" else data.published(" ".join(moving))
    start = time.perf_counter()
    attempt = register(image, fixed, mask, configured([strategy])).attempts[0]
    seconds = time.perf_counter() - start
    shown = [study, " ".join(moving), strategy]
    if attempt.matrix is None:
        return [*shown, *["-"] * 3, attempt.reason, "-", "-", f"{seconds:.0f}"]
    distance = displacement(attempt.matrix, published, head_points(mask))
    verdict = "passes" if attempt.passed else "fails"
    numbers = [f"{value:.2f}" for value in (attempt.mi, attempt.sharpness, attempt.gain)]
    return [*shown, *numbers, verdict, f"{distance.mean():.2f}", f"{distance.max():.2f}", f"{seconds:.0f}"]


def main() -> None:
    """Every image of both studies."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=("study1", "study2"))
    options = parser.parse_args()
    data = Data(options.data)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    for study, other in (("study1", "study2"), ("study2", "study1")):
        if options.only in (None, study):
            for moving in ((study, "FLAIR"), (study, "T2W"), (other, "T1W")):
                for strategy in STRATEGIES[moving[1]]:
                    print(f"| {' | '.join(row(data, study, moving, strategy))} |", flush=True)


if __name__ == "__main__":
    main()
