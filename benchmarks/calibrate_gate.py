"""Figures behind the gate of the registrations: prints the Markdown tables of docs/registration.md.

    PYTHONPATH=. python benchmarks/calibrate_gate.py DATA [--strategy ants] [--full-resolution]

DATA is a folder with ``open_ms`` (patient07 in MNI space, patient12 raw with its published transforms),
``freesurfer6`` and ``freesurfer7_bert``. About 30 registrations; ``--full-resolution`` adds slow ones that show what
the 2 mm working grid costs.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.image.grids import coverage, resample_to, zooms
from thalbids.image.io import load_image, load_labels
from thalbids.image.orientation import to_ras
from thalbids.image.similarity import mutual_information
from thalbids.registration.ants_rigid import AntsRigid
from thalbids.registration.gate import judge, peak
from thalbids.registration.strategies import Strategy, configured
from thalbids.registration.transforms import displacement, read_itk

PATIENT07 = "open_ms/cross_sectional/MNI/patient07/{}_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"
PATIENT12 = "open_ms/longitudinal/raw/patient12/{}.nii.gz"
PUBLISHED = "open_ms/longitudinal/raw/patient12/{}.txt"
SAME = (
    ("patient07", "patient07 FLAIR"),
    ("patient07", "patient07 T2"),
    ("patient07", "patient07 T1POST"),
    ("patient12 study1", "patient12 study1 FLAIR"),
    ("patient12 study1", "patient12 study1 T2W"),
    ("patient12 study2", "patient12 study2 FLAIR"),
    ("patient12 study2", "patient12 study2 T2W"),
    ("patient12 study1", "patient12 study2 FLAIR"),
)
OTHER = (
    ("patient07", "patient12 study1 FLAIR"),
    ("patient12 study1", "patient07 FLAIR"),
    ("sub-01", "patient07 FLAIR"),
    ("sub-01", "patient12 study1 FLAIR"),
    ("sub-06", "patient07 FLAIR"),
    ("sub-06", "patient12 study2 FLAIR"),
    ("bert", "patient07 FLAIR"),
    ("bert", "patient12 study1 FLAIR"),
    ("sub-01", "patient07 T2"),
    ("patient07", "patient12 study1 T2W"),
    ("sub-01", "sub-06"),
    ("patient07", "sub-01"),
    ("patient12 study1", "sub-06"),
)
WIDE_MASK_MM = 4.0
CUTOFF = 0.25  # nats, of all strategies but ants-default


class Data:
    """Images of the data folder by short names, each in RAS order."""

    def __init__(self, root: Path):
        self.root = root

    @lru_cache(maxsize=4)  # noqa: B019 - one instance, lives as long as the program
    def image(self, name: str) -> nib.Nifti1Image:
        """``patient07 FLAIR``, ``patient12 study1 T2W``, or a T1w: ``sub-01``, ``bert``."""
        person, *rest = name.split()
        if person == "patient07":
            path = PATIENT07.format(rest[0] if rest else "T1")
        elif person == "patient12":
            path = PATIENT12.format("_".join(rest if len(rest) == 2 else [*rest, "T1W"]))
        elif person == "bert":
            path = "freesurfer7_bert/mri/brain.mgz"
        else:
            path = f"freesurfer6/{person}/mri/T1.mgz"
        return to_ras(load_image(self.root / path))[0]

    @lru_cache(maxsize=2)  # noqa: B019
    def mask(self, name: str) -> nib.Nifti1Image:
        """Brain mask on the grid of a T1w."""
        t1w = self.image(name)
        person, *rest = name.split()
        if person == "patient07":
            return nib.Nifti1Image((t1w.get_fdata() != 0).astype(np.uint8), t1w.affine)
        if person == "patient12":
            common = load_labels(self.root / "open_ms/longitudinal/coregistered/patient12/brainmask.nii.gz")
            to_flair = self.published(f"{rest[0]} FLAIR")
            to_common = np.linalg.inv(read_itk(self.root / PUBLISHED.format(f"{rest[0]}_FLAIR_to_common_space")))
            return resample_to(common, t1w, order=0, matrix=to_common @ to_flair)
        folder = "freesurfer7_bert" if person == "bert" else f"freesurfer6/{person}"
        labels = to_ras(load_labels(self.root / folder / "mri/brainmask.mgz"))[0]
        return nib.Nifti1Image((labels.get_fdata() > 0).astype(np.uint8), t1w.affine)

    def published(self, name: str) -> np.ndarray:
        """T1W world to FLAIR or T2W world of ``study1 FLAIR`` ...; the published files map FLAIR to T1W and FLAIR to
        T2W."""
        study, contrast = name.split()
        to_flair = np.linalg.inv(read_itk(self.root / PUBLISHED.format(f"{study}_T1W_intrastudy_to_FLAIR")))
        if contrast == "FLAIR":
            return to_flair
        return read_itk(self.root / PUBLISHED.format(f"{study}_{contrast}_intrastudy_to_FLAIR")) @ to_flair


def rigid(axis: int, degrees: float = 0.0, mm: float = 0.0, centre: np.ndarray | None = None) -> np.ndarray:
    """(4, 4) rotation about or shift along a world axis."""
    matrix = np.eye(4)
    i, j, angle = (axis + 1) % 3, (axis + 2) % 3, np.deg2rad(degrees)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
    if centre is not None:
        matrix[:3, 3] = centre - matrix[:3, :3] @ centre
    matrix[axis, 3] += mm
    return matrix


def head_points(mask: nib.Nifti1Image, spacing: float = 10.0) -> np.ndarray:
    """(n, 3) world coordinates of a grid of points in a mask."""
    step = [max(1, round(spacing / zoom)) for zoom in zooms(mask.affine)]
    index = np.argwhere(np.asarray(mask.dataobj)[tuple(slice(None, None, s) for s in step)] > 0) * step
    return nib.affines.apply_affine(mask.affine, index)


Numbers = tuple[float, float, float]  # mutual information, sharpness, gain


def metrics(moving: nib.Nifti1Image, fixed: nib.Nifti1Image, mask: nib.Nifti1Image, matrix: np.ndarray) -> Numbers:
    """What the gate measures."""
    seen = (np.asarray(mask.dataobj) > 0) & coverage(moving, fixed, matrix)
    image = resample_to(moving, fixed, matrix=matrix)
    mi = mutual_information(np.asarray(fixed.dataobj), np.asarray(image.dataobj), seen)
    around = peak(moving, fixed, mask, matrix)
    return mi, around.sharpness, around.gain


def passes(numbers: Numbers) -> bool:
    """Whether the gate lets them pass; coverage is 1 in all of these."""
    mi, sharp, gain = numbers
    return not judge(mi, CUTOFF, 1.0, sharp, gain)[0]


def verdict(numbers: Numbers) -> str:
    """In a word."""
    return "passes" if passes(numbers) else "fails"


def shown(numbers: Numbers) -> list[str]:
    """Two decimals each."""
    return [f"{value:.2f}" for value in numbers]


def widened(mask: nib.Nifti1Image) -> nib.Nifti1Image:
    """The mask with a rim of 4 mm: fluid, meninges, skull or 0."""
    distance = ndimage.distance_transform_edt(np.asarray(mask.dataobj) == 0, sampling=zooms(mask.affine))
    return nib.Nifti1Image((distance <= WIDE_MASK_MM).astype(np.uint8), mask.affine)


def degraded(image: nib.Nifti1Image, slab: int, noise: float, seed: int = 0) -> nib.Nifti1Image:
    """Slices of ``slab`` voxels along the third axis, and Gaussian noise of ``noise`` x the mean of the brain."""
    data = image.get_fdata()
    sd = noise * data[data > 0].mean()
    depth = data.shape[2] // slab
    data = data[:, :, : depth * slab].reshape(*data.shape[:2], depth, slab).mean(axis=3)
    data = data + np.random.default_rng(seed).normal(0, sd, data.shape)
    affine = image.affine @ np.diag([1, 1, slab, 1])
    affine[:3, 3] = (image.affine @ [0, 0, (slab - 1) / 2, 1])[:3]
    return nib.Nifti1Image(data.astype(np.float32), affine)


def smoothed(image: nib.Nifti1Image, fwhm: float) -> nib.Nifti1Image:
    """Gaussian smoothing, full width at half maximum in mm."""
    sd = [fwhm / 2.3548 / zoom for zoom in zooms(image.affine)]
    return nib.Nifti1Image(ndimage.gaussian_filter(image.get_fdata(dtype=np.float32), sd), image.affine)


def pair_rows(data: Data, found: dict[tuple[str, str], np.ndarray]) -> Iterator[list[str]]:
    """Every pair, with its own mask and with a wide one."""
    for kind, pairs in (("same", SAME), ("other", OTHER)):
        for pair in pairs:
            fixed, mask, moving = data.image(pair[0]), data.mask(pair[0]), data.image(pair[1])
            tight = metrics(moving, fixed, mask, found[pair])
            wide = metrics(moving, fixed, widened(mask), found[pair])
            yield [kind, *pair, *shown(tight), verdict(tight), *shown(wide), verdict(wide)]


def moved_rows(data: Data, found: dict[tuple[str, str], np.ndarray]) -> Iterator[list[str]]:
    """Right pairs, moved away from their solution: range over the three axes."""
    changes: list[tuple[str, Callable[[int, np.ndarray], np.ndarray]]] = [
        (f"{mm} mm", lambda axis, _, mm=mm: rigid(axis, mm=mm)) for mm in (2, 5, 10)
    ]
    changes += [
        (f"{degrees} degrees", lambda axis, centre, degrees=degrees: rigid(axis, degrees, centre=centre))
        for degrees in (3, 5, 10, 20)
    ]
    for pair in [pair for pair in SAME if pair[0] in pair[1] and "POST" not in pair[1]]:
        fixed, mask, moving = data.image(pair[0]), data.mask(pair[0]), data.image(pair[1])
        centre = head_points(mask).mean(axis=0)
        for name, change in changes:
            values = [metrics(moving, fixed, mask, found[pair] @ change(axis, centre)) for axis in range(3)]
            ranges = [f"{min(column):.2f} - {max(column):.2f}" for column in zip(*values, strict=True)]
            yield [pair[1], name, *ranges, f"{sum(map(passes, values))} of 3"]


def degraded_rows(data: Data, found: dict[tuple[str, str], np.ndarray]) -> Iterator[list[str]]:
    """The right FLAIR of patient07, made worse."""
    pair = SAME[0]
    fixed, mask, flair = data.image(pair[0]), data.mask(pair[0]), data.image(pair[1])
    worse = {
        "noise 10 % of the mean": degraded(flair, 1, 0.1),
        "noise 20 %": degraded(flair, 1, 0.2),
        "3 mm slices, noise 5 %": degraded(flair, 3, 0.05),
        "5 mm slices, noise 5 %": degraded(flair, 5, 0.05),
        "5 mm slices, noise 10 %": degraded(flair, 5, 0.1),
        "smoothed, 3.5 mm": smoothed(flair, 3.5),
        "smoothed, 6 mm": smoothed(flair, 6.0),
    }
    for name, image in worse.items():
        numbers = metrics(image, fixed, mask, found[pair])
        yield [name, *shown(numbers), verdict(numbers)]


def accuracy_rows(data: Data, found: dict[tuple[str, str], np.ndarray]) -> Iterator[list[str]]:
    """Against the published transforms of patient12, over a 10 mm grid of points in the brain."""
    for study in ("study1", "study2"):
        for contrast in ("FLAIR", "T2W"):
            pair = (f"patient12 {study}", f"patient12 {study} {contrast}")
            published, points = data.published(f"{study} {contrast}"), head_points(data.mask(pair[0]))
            distance, untouched = (displacement(m, published, points) for m in (found[pair], np.eye(4)))
            yield [pair[1], f"{untouched.mean():.2f}", f"{distance.mean():.2f}", f"{distance.max():.2f}"]


def consistency_rows(data: Data, found: dict[tuple[str, str], np.ndarray], strategy: Strategy) -> Iterator[list[str]]:
    """The head of patient07 moved by known poses: how far from the answer without them."""
    pair = SAME[0]
    fixed, mask, flair = data.image(pair[0]), data.mask(pair[0]), data.image(pair[1])
    points = head_points(mask)
    centre = points.mean(axis=0)
    for mm, degrees in ((5, 5), (10, 12), (20, 25), (30, 30)):
        pose = (
            rigid(0, degrees, centre=centre) @ rigid(2, -degrees / 2, mm, centre) @ rigid(1, degrees / 3, -mm, centre)
        )
        moved = nib.Nifti1Image(np.asarray(flair.dataobj), pose @ flair.affine)
        answer = np.linalg.inv(pose) @ strategy.estimate(fixed, moved, mask, seed=1)
        distance = displacement(answer, found[pair], points)
        yield [
            f"{mm} mm along two axes, {degrees}, {degrees / 2:g}, {degrees / 3:.0f} degrees",
            f"{distance.mean():.2f}",
            f"{distance.max():.2f}",
        ]


def full_resolution_rows(data: Data, found: dict[tuple[str, str], np.ndarray]) -> Iterator[list[str]]:
    """What the 2 mm working grid saves and costs."""
    for pair in (SAME[0], SAME[3]):
        fixed, moving, points = data.image(pair[0]), data.image(pair[1]), head_points(data.mask(pair[0]))
        seconds = []
        for zoom in (1.0, 2.0):
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            matrix = replace(AntsRigid(), working_zoom=zoom).estimate(fixed, moving, None, seed=1)
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
            if zoom == 1.0:
                distance = displacement(matrix, found[pair], points)
        yield [pair[1], f"{seconds[0]:.1f}", f"{seconds[1]:.1f}", f"{distance.mean():.2f}", f"{distance.max():.2f}"]


def table(title: str, header: list[str], rows: Iterator[list[str]]) -> None:
    """Print one Markdown table, row by row."""
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Register every pair once, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--strategy", default="mattes")
    parser.add_argument("--full-resolution", action="store_true", help="of the strategy ants")
    options = parser.parse_args()
    (strategy,) = configured([options.strategy])
    data, found, started = Data(options.data), {}, time.perf_counter()
    for pair in (*SAME, *OTHER):
        found[pair] = strategy.estimate(data.image(pair[0]), data.image(pair[1]), data.mask(pair[0]), seed=1)
    print(f"{len(found)} registrations in {time.perf_counter() - started:.0f} s")
    three = ["MI", "sharpness", "gain"]
    table(
        f"Pairs, registered; the last four columns with the mask wider by {WIDE_MASK_MM:.0f} mm",
        ["person", "T1w", "image", *three, "gate", *three, "gate"],
        pair_rows(data, found),
    )
    table("Right pairs, moved from there", ["image", "moved by", *three, "axes that pass"], moved_rows(data, found))
    table("The right FLAIR of patient07, made worse", ["change", *three, "gate"], degraded_rows(data, found))
    table(
        "Distance from the published transform, mm", ["image", "before", "mean", "largest"], accuracy_rows(data, found)
    )
    table("Known poses, mm", ["pose", "mean", "largest"], consistency_rows(data, found, strategy))
    if options.full_resolution:
        table(
            "1 mm against 2 mm working grid",
            ["image", "CPU s at 1 mm", "CPU s at 2 mm", "mean distance, mm", "largest"],
            full_resolution_rows(data, found),
        )


if __name__ == "__main__":
    main()
