"""How well change of the thalamus is measured: real scans, deformed by known fields, scanned a second time.

Each case is one person seen twice. The first visit is the scan itself, the second the scan after both thalami changed
by a known amount: each shrinks about its centroid, along all axes or from left to right only, and the movement fades
to nothing 6 to 35 mm outside. Both visits are sampled from the denoised scan at a pose of their own, then get a bias
field and noise of their own; the second may have other voxels (`--second-zooms`), another contrast (`--second-gamma`)
or a contrast agent (`--second-agent`: choroid plexus and vessels of the label map are brighter by this share, the rest
of the head by a thirtieth of it). The true change is counted, not derived: quadrature over points half a millimetre
apart of how much of the labels lies there before and after. Nothing of the code that measures is used for it.

The measures get what a run would give them: SynThal's masks of both visits, and the pose with an error like that of a
registration (`REGISTRATION`). Each pair is also measured with its visits exchanged. One case takes some 10 s of one
processor core.

Run: ``python benchmarks/known_change.py --scan T1.mgz aseg.mgz [--scan ...] [--repeats 3] [--rows FILE.tsv]
[--figure FILE.webp]``. Prints a line for each case and the table over all of them.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from known_change_figure import MEASURES, draw
from scipy import ndimage
from scipy.spatial.transform import Rotation

from thalbids.errors import ThalbidsError
from thalbids.inference import synthal
from thalbids.longitudinal.affine import LabelledVisit, measure
from thalbids.longitudinal.space import mean_space

SIDES = (10, 49)
ENHANCING = (30, 31, 62, 63)  # vessels and choroid plexus of FreeSurfer's label maps
ELSEWHERE = 1 / 30  # of their enhancement: blood is some 4 % of the brain
MARGIN_MM = 50  # of the scan around the thalami
QUADRATURE_MM = 0.5
PERCENT = (0.0, -0.5, -1.0, -2.0, -5.0)
FADES = (6.0, 12.0, 24.0, 35.0)
KINDS = ("whole", "x")
REGISTRATION = (0.15, 0.15)  # SD of the error of a registration of two T1w: degrees, mm


@dataclass(frozen=True)
class Person:
    """A scan without its noise, cropped around the thalami: values (white matter about 1), labels, how much an agent
    makes brighter (1 in `ENHANCING`), voxels to world.
    """

    name: str
    values: np.ndarray
    labels: np.ndarray
    enhanced: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True)
class Change:
    """What happens to both thalami: `factor` (length after over before) along x, y, z; fades out over `fade` mm."""

    factors: tuple[float, float, float]
    fade: float


@dataclass(frozen=True)
class Scanner:
    """What a visit adds: noise (SD over white matter), bias field (range), pose (degrees, mm), voxel sizes (mm),
    contrast (exponent), enhancement by a contrast agent (share of the signal).
    """

    noise: float = 0.03
    bias: float = 0.12
    turn: float = 4.0
    shift: float = 4.0
    zooms: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    agent: float = 0.0
    extent: float = 88.0


def load_person(name: str, scan: str, labels: str) -> Person:
    """A person from a scan and its label map on the same grid (10 and 49 are the thalami)."""
    image, truth = nib.load(scan), nib.load(labels)
    return person_from(name, np.asarray(image.dataobj, np.float32), np.asarray(truth.dataobj), image.affine)


def person_from(name: str, values: np.ndarray, labels: np.ndarray, affine: np.ndarray) -> Person:
    """Crop, denoise (edges stay) and scale."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    where = np.argwhere(np.isin(labels, SIDES))
    low = np.maximum(where.min(0) - np.ceil(MARGIN_MM / spacing), 0).astype(int)
    high = np.minimum(where.max(0) + np.ceil(MARGIN_MM / spacing) + 1, values.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    inner, label_box = values[box].astype(np.float32), labels[box]
    inner = inner / np.percentile(inner[ndimage.binary_dilation(np.isin(label_box, SIDES), iterations=12)], 90)
    smooth = sitk.CurvatureAnisotropicDiffusion(
        sitk.GetImageFromArray(inner), timeStep=0.0625, conductanceParameter=1.5, numberOfIterations=6
    )
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ low
    thalami = np.where(np.isin(label_box, SIDES), label_box, 0)
    enhanced = np.where(np.isin(label_box, ENHANCING), 1, ELSEWHERE).astype(np.float32)
    return Person(name, sitk.GetArrayFromImage(smooth), thalami, enhanced, moved)


class Field:
    """The change as a map from where something is afterwards to where it was before (voxels of the person's crop)."""

    def __init__(self, person: Person, change: Change):
        spacing = np.linalg.norm(person.affine[:3, :3], axis=0)
        along = np.abs(person.affine[:3, :3]).argmax(0)
        self.pull = np.array([1 / change.factors[axis] - 1 for axis in along])
        self.fade = change.fade
        self.centres = [np.array(ndimage.center_of_mass(person.labels == n)) for n in SIDES]
        self.distances = [
            np.maximum(ndimage.distance_transform_edt(person.labels != n, sampling=spacing) - spacing.mean() / 2, 0)
            for n in SIDES
        ]

    def __call__(self, position: np.ndarray) -> np.ndarray:
        near = [ndimage.map_coordinates(d, position, order=1, mode="nearest") for d in self.distances]
        weights = [1 / (0.5 + d) ** 2 for d in near]
        ones = [1] * (position.ndim - 1)
        out = position.copy()
        for centre, distance, weight in zip(self.centres, near, weights, strict=True):
            faded = 0.5 * (1 + np.cos(np.pi * np.clip(distance / self.fade, 0, 1)))
            move = (position - centre.reshape(3, *ones)) * self.pull.reshape(3, *ones)
            out += move * (faded * weight / (weights[0] + weights[1]))
        return out


def true_change(person: Person, field: Field) -> float:
    """Change of the volume of both thalami in percent, by quadrature on the labels."""
    inside = np.isin(person.labels, SIDES)
    where = np.argwhere(inside)
    spacing = np.linalg.norm(person.affine[:3, :3], axis=0)
    axes = [
        np.arange(a - 4, b + 4, QUADRATURE_MM / s) for a, b, s in zip(where.min(0), where.max(0), spacing, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    soft = inside.astype(np.float32)
    before = ndimage.map_coordinates(soft, points, order=1).sum(dtype=np.float64)
    after = ndimage.map_coordinates(soft, field(points), order=1).sum(dtype=np.float64)
    return float(100 * (after / before - 1))


def change_of(percent: float, kind: str, fade: float) -> Change:
    """All axes (``whole``) or x alone (``x``); the true change is near `percent`, and counted."""
    factor = 1 + percent / 100
    return Change((factor ** (1 / 3),) * 3 if kind == "whole" else (factor, 1.0, 1.0), fade)


@dataclass(frozen=True)
class Scan:
    """One visit: values, voxels to the visit's world, and the person's world to the visit's world."""

    image: nib.Nifti1Image
    pose: np.ndarray


def scan_of(person: Person, field: Field | None, scanner: Scanner, seed: int) -> Scan:
    """What a scanner makes of the person."""
    rng = np.random.default_rng(seed)
    middle = person.affine[:3, :3] @ np.argwhere(person.labels > 0).mean(0) + person.affine[:3, 3]
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * scanner.turn, degrees=True).as_matrix()
    pose[:3, 3] = middle - pose[:3, :3] @ middle + rng.uniform(-1, 1, 3) * scanner.shift
    shape = tuple(round(scanner.extent / z) for z in scanner.zooms)
    affine = np.diag([*scanner.zooms, 1.0])
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.linalg.inv(person.affine) @ np.linalg.inv(pose) @ affine
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij"))
    position = np.tensordot(index[:3, :3], grid, 1) + index[:3, 3].reshape(3, 1, 1, 1)
    if field is not None:
        position = field(position)
    scanned = person.values * (1 + scanner.agent * person.enhanced) if scanner.agent else person.values
    values = ndimage.map_coordinates(scanned, position, order=3, mode="nearest")
    values = np.maximum(values, 0) ** scanner.gamma
    values *= np.exp(bias_field(shape, scanner.bias, rng))
    values += rng.normal(0, scanner.noise, shape)
    return Scan(nib.Nifti1Image((1000 * np.maximum(values, 0)).astype(np.float32), affine), pose)


def bias_field(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth field of logarithms whose range over the box is `strength`."""
    coarse = rng.normal(size=(4, 4, 4))
    field = ndimage.zoom(coarse, [n / 4 for n in shape], order=3, mode="nearest", grid_mode=True)
    field = ndimage.gaussian_filter(field, [n / 8 for n in shape], mode="nearest")
    return strength * (field - field.mean()) / max(np.ptp(field), 1e-6)


def seen_of(scan: Scan, centre: np.ndarray, net: object) -> tuple[np.ndarray, float]:
    """SynThal's labels of a visit, and their volume in mm^3."""
    there = scan.pose[:3, :3] @ centre + scan.pose[:3, 3]
    labels = synthal.see_thalami(scan.image, there, net).labels()
    return labels, float((labels > 0).sum() * abs(np.linalg.det(scan.image.affine[:3, :3])))


def registered(first: Scan, second: Scan, centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From the first to the second visit, as a registration would find it."""
    wrong = np.eye(4)
    wrong[:3, :3] = Rotation.from_euler("xyz", rng.normal(0, REGISTRATION[0], 3), degrees=True).as_matrix()
    wrong[:3, 3] = centre - wrong[:3, :3] @ centre + rng.normal(0, REGISTRATION[1], 3)
    return second.pose @ wrong @ np.linalg.inv(first.pose)


def measured(person: Person, field: Field | None, scanners: tuple[Scanner, Scanner], seed: int, net: object) -> dict:
    """What each measure says of one case, in percent; NaN where it fails. `swapped`: what the logarithms of the change
    by registration and of that with the visits exchanged lack of adding up to nothing, as a share of the change.
    """
    middle = person.affine[:3, :3] @ np.argwhere(person.labels > 0).mean(0) + person.affine[:3, 3]
    first = scan_of(person, None, scanners[0], 2 * seed)
    second = scan_of(person, field, scanners[1], 2 * seed + 1)
    masks = [seen_of(scan, middle, net) for scan in (first, second)]
    matrix = registered(first, second, middle, np.random.default_rng(seed))
    spaces = mean_space({(0, 1): matrix}, 2)
    visits = [LabelledVisit(s.image, m, t) for s, (m, _), t in zip((first, second), masks, spaces, strict=True)]
    began = time.process_time()
    try:
        change = measure(*visits)
    except ThalbidsError:
        percent, swapped = np.nan, np.nan
    else:
        percent = 100 * float(np.expm1(change.both))
        swapped = abs(change.both + measure(*visits[::-1]).both) / abs(change.both)
    seconds = time.process_time() - began
    volumes = 100 * (masks[1][1] / masks[0][1] - 1)
    return {MEASURES[0]: volumes, MEASURES[1]: percent, "swapped": swapped, "seconds": seconds}


def cases(
    people: list[Person],
    percents: tuple[float, ...],
    fields: list[tuple[str, float]],
    repeats: tuple[int, int],
    first: int,
) -> Iterator[tuple]:
    """(person, percent, kind, fade, seed); no change has no kind, and the second number of `repeats`. Runs that begin
    with one seed share their noise: so second visits of two kinds are compared, and for pairs that are new it must be
    another.
    """
    seeds = itertools.count(first)
    for person in people:
        for percent in percents:
            for kind, fade in fields if percent else [("none", 0.0)]:
                for _ in range(repeats[not percent]):
                    yield person, percent, kind, fade, next(seeds)


def table(rows: list[dict]) -> None:
    """Mean and SD at no change, slope and error of each measure, by kind and fade."""
    print("| measure | fields | cases | failed | mean error | SD of the error | root mean square | slope |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in MEASURES:
        for kind, fade in sorted({(row["kind"], row["fade"]) for row in rows}):
            of_kind = [row for row in rows if (row["kind"], row["fade"]) == (kind, fade)]
            good = np.array([(r["true"], r[name]) for r in of_kind if np.isfinite(r[name])]).reshape(-1, 2)
            error = good[:, 1] - good[:, 0]
            sd = error.std(ddof=1) if len(error) > 1 else np.nan
            words = "no change" if kind == "none" else f"{kind}, {fade:g} mm"
            line = "" if kind == "none" else f"{good[:, 0] @ good[:, 1] / (good[:, 0] @ good[:, 0]):.2f}"
            numbers = f"{error.mean():.2f} | {sd:.2f} | {np.sqrt(np.mean(error**2)):.2f}"
            print(f"| {name} | {words} | {len(of_kind)} | {len(of_kind) - len(good)} | {numbers} | {line} |")
    print(f"Visits exchanged: not the negative by {max(row['swapped'] for row in rows):.1g} of the change at most.")


def write(rows: list[dict], path: Path) -> None:
    """The rows of all cases as a table, with three digits, as they are printed; changes in percent."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table_of_rows = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        table_of_rows.writeheader()
        for row in rows:
            table_of_rows.writerow({key: f"{v:.3g}" if isinstance(v, float) else v for key, v in row.items()})


def scanners(arguments: argparse.Namespace) -> tuple[Scanner, Scanner]:
    """Those of the first and of the second visit."""
    first = Scanner(noise=arguments.noise, bias=arguments.bias)
    zooms = tuple(arguments.second_zooms)
    return first, replace(first, zooms=zooms, gamma=arguments.second_gamma, agent=arguments.second_agent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", nargs=2, action="append", required=True, metavar=("T1W", "LABELS"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--still", type=int, help="pairs without change for each scan (default: those of --repeats)")
    parser.add_argument("--first-seed", type=int, default=1, help="of the first case, the next one for each further")
    parser.add_argument("--percent", type=float, nargs="+", default=PERCENT)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--fades", type=float, nargs="+", default=FADES, help="mm")
    parser.add_argument("--noise", type=float, default=Scanner.noise)
    parser.add_argument("--bias", type=float, default=Scanner.bias)
    parser.add_argument("--second-zooms", type=float, nargs=3, default=Scanner.zooms)
    parser.add_argument("--second-gamma", type=float, default=1.0, help="contrast of the second visit")
    parser.add_argument("--second-agent", type=float, default=0.0, help="enhancement at the second visit, as .8")
    parser.add_argument("--rows", type=Path, metavar="FILE.tsv", help="write the rows of all cases here")
    parser.add_argument("--figure", type=Path, metavar="FILE.webp", help="draw true against measured change")
    arguments = parser.parse_args()
    people = [load_person(f"scan {n}", *files) for n, files in enumerate(arguments.scan, 1)]
    fields = list(itertools.product(arguments.kinds, arguments.fades))
    repeats = (arguments.repeats, arguments.repeats if arguments.still is None else arguments.still)
    net = synthal.networks()[1]
    rows = []
    for person, percent, kind, fade, seed in cases(people, arguments.percent, fields, repeats, arguments.first_seed):
        field = Field(person, change_of(percent, kind, fade)) if percent else None
        row = {"scan": person.name, "kind": kind, "fade": fade, "seed": seed}
        row |= {"true": true_change(person, field) if field else 0.0}
        rows.append(row | measured(person, field, scanners(arguments), seed, net))
        numbers = ", ".join(f"{key} {rows[-1][key]:.3g}" for key in ("true", *MEASURES, "swapped", "seconds"))
        print(f"{person.name} {kind} {fade:g} mm: {numbers}", flush=True)
    table(rows)
    if arguments.rows:
        write(rows, arguments.rows)
    if arguments.figure:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
