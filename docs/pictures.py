"""Makes the pictures of these pages again, from the demo and from a simulated cohort.

    python docs/pictures.py FOLDER

FOLDER gets the demo and the cohort, unless they are there from an earlier run (the demo takes minutes). Needs Chromium
and the extras "demo" and "test". Nothing in the pictures is of a real person: the demo is made from the MNI152 template,
the cohort of random numbers. Look at each picture afterwards: `git diff --stat docs/images`, and the pages themselves.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser import Browser, Page
from tests.cohort import METHODS, write_cohort

IMAGES = Path(__file__).parent / "images"
LARGEST = 150_000  # bytes of a picture
DRAWN = 34  # people of the cohort with manual masks, as in the paper


@dataclass(frozen=True)
class Shot:
    """A picture of a page: from the top of one element to the bottom of another, in a window of some width."""

    name: str
    page: str
    first: str
    last: str = ""
    width: int = 940
    before: tuple[str, ...] = ()
    tallest: int = 1500


SHOTS = (
    Shot("participant-top", "demo/derivatives/thalbids/sub-02.html", "header", ".session .pictures .legend"),
    Shot("participant-masks", "demo/derivatives/thalbids/sub-02.html", ".session .pictures .legend", tallest=1000),
)


def main() -> None:
    """Make what is missing in FOLDER, then every picture, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these pictures")
    arguments = parser.parse_args()
    make_demo(arguments.folder / "demo")
    make_cohort(arguments.folder / "cohort")
    IMAGES.mkdir(exist_ok=True)
    browser = Browser()
    try:
        for shot in SHOTS:
            if not arguments.only or shot.name in arguments.only:
                print(f"{shot.name}: {take(browser, shot, arguments.folder) / 1000:.0f} kB", flush=True)
    finally:
        browser.close()


def thalbids(*words: object) -> None:
    """Run the command; an error ends this."""
    subprocess.run([sys.executable, "-m", "thalbids", *map(str, words)], check=True)


def make_demo(folder: Path) -> None:
    """The demo, and a page for raters."""
    out = folder / "derivatives" / "thalbids"
    if not (out / "group.html").is_file():
        thalbids("demo", folder)
    if not (folder / "rating.html").is_file():
        thalbids("rate", out, "-o", folder / "rating.html", "--seed", 1)


def make_cohort(folder: Path) -> None:
    """A simulated cohort of 240 people with masks of some of them, and its group level."""
    if (folder / "out" / "group.html").is_file():
        return
    raw, out, truth = write_cohort(folder, people=240, seed=3)
    rng = np.random.default_rng(3)
    for person, volume in zip(truth.participants[:DRAWN], truth.volume_ml[:DRAWN, 0], strict=True):
        shape = rng.normal(0, 1, 6)
        place = out / person / "ses-1" / "anat"
        sizes = dict(zip(METHODS, volumes_of(place / f"{person}_ses-1_desc-thalamus_morph.tsv"), strict=True))
        for method, size in sizes.items():
            save(place / f"{person}_ses-1_space-T1w_label-thalamus_desc-{method}_mask.nii.gz", thalami(size, shape, rng))
        drawn = folder / "manual" / person / "ses-1" / "anat"
        mask = thalami(1000 * float(volume), shape, rng)
        save(drawn / f"{person}_ses-1_label-thalamus_desc-manual_mask.nii.gz", mask)
    thalbids(raw, out, "group", "--derivatives", f"manual={folder / 'manual'}")


def volumes_of(table: Path) -> Iterable[float]:
    """Volumes in mm^3 of the rows of a volume table."""
    return [float(line.split("\t")[2]) for line in table.read_text("utf-8").splitlines()[1:]]


def thalami(volume: float, shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two ellipsoids of about this volume in mm^3, bent as the person's are and by errors of the one who drew them."""
    grid = np.indices((72, 64, 48)).reshape(3, -1).T - np.array([35.5, 31.5, 23.5])
    errors = rng.normal(0, 0.8, 3)
    inside = np.zeros(len(grid), dtype=bool)
    for side in (-1, 1):
        axes = np.array([10.0, 16.0, 10.5]) * (1 + 0.04 * shape[:3])
        axes *= (volume / 2 / (4 / 3 * np.pi * axes.prod())) ** (1 / 3)
        away = (grid - np.array([side * 12.0, 0, 0]) - errors) / axes
        away[:, 2] += 0.1 * shape[3] * np.sin(grid[:, 1] / 9 + shape[4])
        inside |= (away**2).sum(1) + 0.15 * rng.normal(0, 1, len(grid)) < 1
    return inside.reshape(72, 64, 48)


def save(path: Path, mask: np.ndarray) -> None:
    """Write a mask on a grid of 1 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), np.diag([1.0, 1, 1, 1])), path)


def take(browser: Browser, shot: Shot, folder: Path) -> int:
    """Write the picture of a page; gives its size in bytes."""
    page = browser.open(folder / shot.page, width=shot.width)
    for step in shot.before:
        if step.startswith("wait "):
            page.wait(step.removeprefix("wait "))
        else:
            page.evaluate(step)
    browser.pump(0.5)
    with tempfile.TemporaryDirectory() as temporary:
        png = page.screenshot(Path(temporary) / "page.png", clip=box(page, shot))
        picture = Image.open(io.BytesIO(png.read_bytes())).convert("RGB")
    page.quiet()
    page.close()
    path = IMAGES / f"{shot.name}.webp"
    for quality in (85, 75, 65, 50, 35):
        picture.save(path, quality=quality, method=6)
        if path.stat().st_size <= LARGEST:
            return path.stat().st_size
    raise SystemExit(f"{path.name} has {path.stat().st_size} bytes; show less in it")


def box(page: Page, shot: Shot) -> tuple[float, float, float, float]:
    """What to cut out of the page, in CSS pixels."""
    words = (
        f"(() => {{ const all = {[shot.first, shot.last or shot.first]}.map(s => document.querySelector(s));"
        "if (all.some(e => !e)) return null;"
        "const boxes = all.map(e => e.getBoundingClientRect());"
        "return [boxes[0].top + scrollY, boxes[1].bottom + scrollY] })()"
    )
    found = page.evaluate(words)
    if found is None:
        raise SystemExit(f"{shot.name}: {shot.first} or {shot.last} is not on {shot.page}")
    top, bottom = found
    top = max(0.0, top - 8)
    return 0, top, shot.width, min(bottom + 8 - top, shot.tallest)


if __name__ == "__main__":
    main()
