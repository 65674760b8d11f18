"""How near registration strategies come to known transforms: prints the tables "Known pairs" of docs/registration.md.

    PYTHONPATH=. python benchmarks/known_pairs.py DATA [--strategies mattes ants] [--seeds 1] [--directions 12]

DATA as for calibrate_gate.py. Three sets: patient12 against its published transforms (another program's, affine);
images of patient07, which their authors aligned, each moved by four known poses; three T1w whose contrast is inverted,
resampled at a known pose, with a bias field and noise, at 1 mm and in 3 mm slices (the truth is exact). Then two images
of each set far from where they belong, in some directions: how many come back to 2 mm.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.calibrate_gate import Data, head_points, table
from benchmarks.compare_strategies import between
from thalbids.image.grids import resample_to
from thalbids.registration.strategies import Strategy, configured
from thalbids.registration.transforms import displacement

POSES = ((0, 0), (3, 3), (6, 6), (10, 10))  # mm, degrees
FAR = ((20, 15), (30, 25))
BACK_MM = 2.0


@dataclass(frozen=True)
class Pair:
    """An image, the T1w that it belongs to (a name of :class:`Data`), and the transform from that to the image."""

    kind: str
    name: str
    t1w: str
    image: nib.Nifti1Image
    truth: np.ndarray


def pose(seed: int, mm: float, degrees: float, centre: np.ndarray) -> np.ndarray:
    """A turn about an axis at random through ``centre``, and a shift in a direction at random."""
    axis, direction = np.random.default_rng(100 + seed).normal(size=(2, 3))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + mm * direction / np.linalg.norm(direction)
    return matrix


def moved(image: nib.Nifti1Image, matrix: np.ndarray) -> nib.Nifti1Image:
    """The same voxels elsewhere."""
    return nib.Nifti1Image(np.asarray(image.dataobj), matrix @ image.affine)


def centre_of(data: Data, t1w: str) -> np.ndarray:
    """The middle of the brain."""
    return head_points(data.mask(t1w)).mean(axis=0)


def inverted(data: Data, t1w: str, seed: int, slab: int) -> Pair:
    """The T1w with dark for bright, resampled at a pose, with a bias field and noise, in slices of ``slab`` voxels."""
    image, generator = data.image(t1w), np.random.default_rng(seed)
    values = image.get_fdata(dtype=np.float32)
    top = np.percentile(values[values > 0], 99)
    dark = np.where(values > 0.05 * top, 1.2 * top - np.clip(values, 0, top), 0).astype(np.float32)
    matrix = pose(seed, 4, 4, centre_of(data, t1w))
    turned = resample_to(nib.Nifti1Image(dark, image.affine), image, order=3, matrix=np.linalg.inv(matrix))
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in image.shape], indexing="ij", sparse=True)
    strength = generator.normal(size=3) * 0.15
    values = turned.get_fdata(dtype=np.float32) * np.exp(strength[0] * x + strength[1] * y + strength[2] * z**2)
    depth = image.shape[2] // slab
    values = values[:, :, : depth * slab].reshape(*image.shape[:2], depth, slab).mean(axis=3)
    values = np.abs(values + generator.normal(0, 0.05 * top, values.shape)).astype(np.float32)
    affine = image.affine @ np.diag([1, 1, slab, 1])
    affine[:3, 3] = (image.affine @ [0, 0, (slab - 1) / 2, 1])[:3]
    return Pair("inverted", f"{t1w}, {slab} mm slices", t1w, nib.Nifti1Image(values, affine), matrix)


def pairs(data: Data) -> Iterator[Pair]:
    """All of them, one after the other: 24 images do not lie in memory together."""
    for study, other in (("study1", "study2"), ("study2", "study1")):
        t1w = f"patient12 {study}"
        for contrast in ("FLAIR", "T2W"):
            name = f"{study} {contrast}"
            yield Pair("patient12", name, t1w, data.image(f"patient12 {name}"), data.published(name))
        visit = data.image(f"patient12 {other}")
        yield Pair("patient12", f"{study}, T1W of {other}", t1w, visit, between(data, study, other))
    seed = 0
    for contrast in ("FLAIR", "T2", "T1POST"):
        for mm, degrees in POSES:
            seed += 1
            matrix = pose(seed, mm, degrees, centre_of(data, "patient07"))
            image = moved(data.image(f"patient07 {contrast}"), matrix)
            yield Pair("patient07", f"{contrast}, {mm} mm, {degrees} degrees", "patient07", image, matrix)
    for place, t1w in enumerate(("sub-01", "sub-06", "bert")):
        for slab in (1, 3):
            yield inverted(data, t1w, 10 * place + slab, slab)


def seconds() -> float:
    """Processor time of this process and of those that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in used)


def distances(data: Data, pair: Pair, strategy: Strategy, seed: int) -> np.ndarray:
    """mm at points of the brain, between a strategy's transform and the true one."""
    mask = data.mask(pair.t1w)
    answer = strategy.estimate(data.image(pair.t1w), pair.image, mask, seed)
    return displacement(answer, pair.truth, head_points(mask))


def accuracy_rows(data: Data, strategies: tuple[Strategy, ...], seeds: range) -> Iterator[list[str]]:
    """Each pair by each strategy, then the means of each set."""
    every: dict[str, list[list[float]]] = {}
    for pair in pairs(data):
        row: list[float] = []
        for strategy in strategies:
            began = seconds()
            far = np.array([distances(data, pair, strategy, seed) for seed in seeds])
            row += [float(far.mean()), float(far.max()), (seconds() - began) / len(seeds)]
        every.setdefault(pair.kind, []).append(row)
        yield [pair.kind, pair.name, *shown(row)]
    for kind, rows in every.items():
        yield [f"**{kind}**", f"mean of {len(rows)}", *shown(list(np.mean(rows, axis=0)))]


def shown(row: list[float]) -> list[str]:
    """Mean and largest distance and seconds, strategy by strategy."""
    return [f"{value:.{(3, 2, 1)[i % 3]}f}" for i, value in enumerate(row)]


def capture_rows(data: Data, strategies: tuple[Strategy, ...], directions: int) -> Iterator[list[str]]:
    """How many of the directions end within 2 mm of the truth."""
    for pair in pairs(data):
        if pair.name not in ("study1 FLAIR", "study2 T2W", "FLAIR, 0 mm, 0 degrees", "T1POST, 0 mm, 0 degrees",
                             "sub-01, 3 mm slices", "bert, 1 mm slices"):  # fmt: skip
            continue
        for mm, degrees in FAR:
            poses = [pose(50 + k, mm, degrees, centre_of(data, pair.t1w)) for k in range(directions)]
            offset = [Pair("", "", pair.t1w, moved(pair.image, far), far @ pair.truth) for far in poses]
            back = [sum(distances(data, p, s, 1).mean() < BACK_MM for p in offset) for s in strategies]
            yield [pair.kind, pair.name, f"{mm} mm, {degrees} degrees", *(f"{n} of {directions}" for n in back)]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--strategies", nargs="+", default=["mattes", "ants"])
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 1")
    parser.add_argument("--directions", type=int, default=12, help="from which images come back")
    parser.add_argument("--parts", nargs="+", default=["accuracy", "capture"])
    options = parser.parse_args()
    data, strategies = Data(options.data), configured(options.strategies)
    heads = [f"{s.name} {what}" for s in strategies for what in ("mean, mm", "largest, mm", "CPU s")]
    if "accuracy" in options.parts:
        rows = accuracy_rows(data, strategies, range(1, options.seeds + 1))
        table("Known pairs", ["set", "image", *heads], rows)
    if "capture" in options.parts:
        names = [s.name for s in strategies]
        table(
            "Back from afar", ["set", "image", "moved by", *names], capture_rows(data, strategies, options.directions)
        )


if __name__ == "__main__":
    main()
