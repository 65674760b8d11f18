"""Where methods draw the thalamus, and where they err, in template space: mean masks, false positives, false negatives.

Made for sessions with a transform to a template (``participant --template``). The transform's sidecar holds the grid,
so the template itself is not needed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from thalbids.bids.results.derivatives import Place
from thalbids.bids.tabular.tables import Table, column, count, table
from thalbids.errors import ImageError, MetadataError, ThalbidsError
from thalbids.files import read_json, write_json
from thalbids.group.analyses.masks.manual import Manual, find_manual
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.comparison import ANOTHER_PERSON
from thalbids.group.writing import announce
from thalbids.image import overlap, sparse
from thalbids.image.io import save_image
from thalbids.image.sparse import SparseMask
from thalbids.registration.template import map_points, read_transform

FOLDER = "group_maps"
MEAN, FALSE_POSITIVE, FALSE_NEGATIVE = "mean", "falsepositive", "falsenegative"
_COARSE_MM = 4.0  # of the grid on which the masks are looked for in the template
_CHUNK = 8  # sessions that are added up together, whatever the number of processes: the same sums everywhere
_XFM = re.compile(r"_from-(?P<image>[0-9A-Za-z]+)_to-(?P<template>[0-9A-Za-z]+)_mode-image_xfm\.(?:txt|h5)$")

Key = tuple[str, str, str]  # method, rater ("" for none), kind of map
Box = tuple[tuple[int, int, int], tuple[int, int, int]]  # start and stop


@dataclass(frozen=True)
class TemplateGrid:
    """The template's grid."""

    template: str
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]

    @property
    def matrix(self) -> np.ndarray:
        """(4, 4) voxel to RAS+ mm."""
        return np.array(self.affine)


@dataclass(frozen=True)
class MapJob:
    """One session: its transform, its masks and those of the raters."""

    name: str
    transform: Path
    grid: TemplateGrid
    methods: Mapping[str, Path]
    raters: Mapping[str, Path] = field(default_factory=dict)
    another_person: float = ANOTHER_PERSON


@dataclass
class Sums:
    """Sums of resampled masks over sessions, on a box of the template, and how many sessions they hold."""

    box: Box
    total: dict[Key, np.ndarray] = field(default_factory=dict)
    n: dict[Key, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Sums) -> None:
        """Add sums over other sessions; the box grows as needed."""
        low = np.minimum(self.box[0], other.box[0])
        high = np.maximum(self.box[1], other.box[1])
        box: Box = (_three(low), _three(high))
        for key in {**self.total, **other.total}:
            wider = np.zeros(high - low, dtype=np.float64)
            for part in (self, other):
                if key in part.total:
                    wider[_slices(part.box, box)] += part.total[key]
            self.total[key] = wider
            self.n[key] = self.n.get(key, 0) + other.n.get(key, 0)
        self.box = box
        self.problems += other.problems


def tables(cohort: Cohort) -> list[Table]:
    """``group_maps`` and the images that it lists; nothing where no session has a transform."""
    manual = find_manual(cohort)
    jobs, notes = map_jobs(cohort, manual)
    rows = []
    for grid in dict.fromkeys(job.grid for job in jobs):
        sums = add_up([job for job in jobs if job.grid == grid], cohort.settings.run.nprocs)
        notes += [f"warning: {problem}" for problem in sums.problems]
        rows += write_maps(sums, grid, cohort.out_dir)
    files = [str(row["file"]) for row in rows]
    return [table("group_maps", rows, MAPS, notes=notes, files=files)] if jobs else []


def map_jobs(cohort: Cohort, manual: Manual) -> tuple[list[MapJob], list[str]]:
    """The first session of every participant that has a transform, with its usable masks."""
    usable = cohort.usable
    methods: dict[tuple[str, str], list[str]] = {}
    for person, session, method in zip(usable["participant_id"], usable["session_id"], usable["method"], strict=True):
        methods.setdefault((person, session), []).append(method)
    first = baseline(cohort)
    cross = set(zip(first["participant_id"], first["session_id"], strict=True))
    jobs, notes = [], []
    for place in cohort.places:
        key = (place.participant_id, place.session_id)
        if key not in cross:
            continue
        files = place.masks()
        masks = {method: files[method] for method in methods[key] if method in files}
        try:
            transforms = list(_transforms(place))
        except (MetadataError, KeyError, TypeError, ValueError) as error:
            notes.append(f"warning: {place.name}: the sidecar of its transform to a template cannot be used ({error}).")
            continue
        drawn, limit = manual.masks.get(key, {}), cohort.settings.group.another_person
        jobs += [MapJob(place.name, path, grid, masks, drawn, limit) for path, grid in transforms if masks]
    return jobs, notes


def add_up(jobs: Sequence[MapJob], nprocs: int) -> Sums:
    """Sums over sessions, in chunks of a fixed size, so that they do not depend on the number of processes."""
    chunks = [jobs[i : i + _CHUNK] for i in range(0, len(jobs), _CHUNK)]
    if nprocs == 1 or len(chunks) == 1:
        parts = [_chunk_sums(chunk) for chunk in chunks]
    else:
        with ProcessPoolExecutor(nprocs, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(_chunk_sums, chunks))
    total = parts[0]
    for part in parts[1:]:
        total.add(part)
    return total


def session_maps(job: MapJob) -> Sums:
    """The masks of one session in template space (linear interpolation), and where methods and raters differ.

    Raises
    ------
    ImageError
        The transform cannot be read, or no mask arrives in the template.
    """
    try:
        transform = read_transform(job.transform)
    except RuntimeError as error:
        said = str(error).strip().splitlines() or ["?"]
        raise ImageError(
            f"The transform cannot be read ({said[-1]}).", "Run the session again.", job.transform
        ) from None
    methods = {name: sparse.load_mask(path) for name, path in job.methods.items()}
    reference = next(iter(methods.values()))
    drawn = {name: sparse.load_mask(path) for name, path in job.raters.items()}
    methods = {name: _onto(mask, reference) for name, mask in methods.items()}
    raters = {name: _onto(mask, reference) for name, mask in drawn.items()}
    raters = {name: mask for name, mask in raters.items() if not _of_another(mask, methods, job.another_person)}
    everything = [mask for mask in (*methods.values(), *raters.values()) if mask.voxels]
    if not everything:
        raise ImageError("All its masks are empty.", "", job.transform)
    low = np.min([mask.points.min(axis=0) for mask in everything], axis=0) - 2
    high = np.max([mask.points.max(axis=0) for mask in everything], axis=0) + 3
    box = _box_in_template(transform, job.grid, reference, low, high)
    matrix = job.grid.matrix.copy()
    matrix[:3, 3] = (job.grid.matrix @ [*box[0], 1.0])[:3]
    shape = _three(np.subtract(box[1], box[0]))
    points = map_points(transform, shape, matrix)
    inverse = np.linalg.inv(reference.affine)
    index = (points @ inverse[:3, :3].T + inverse[:3, 3] - low).T

    def moved(data: np.ndarray) -> np.ndarray:
        values = ndimage.map_coordinates(data.astype(np.float32), index, order=1, mode="constant", cval=0.0)
        return np.asarray(values, dtype=np.float64).reshape(shape)

    cropped = {name: _cropped(mask, low, high) for name, mask in (*methods.items(), *raters.items())}
    sums = Sums(box)
    for method in methods:
        sums.total[method, "", MEAN] = moved(cropped[method])
        for rater in raters:
            sums.total[method, rater, FALSE_POSITIVE] = moved(cropped[method] & ~cropped[rater])
            sums.total[method, rater, FALSE_NEGATIVE] = moved(cropped[rater] & ~cropped[method])
    sums.n = dict.fromkeys(sums.total, 1)
    return sums


def write_maps(sums: Sums, grid: TemplateGrid, out_dir: Path) -> list[dict[str, object]]:
    """Write every map on the whole grid of the template; gives the rows of ``group_maps``."""
    rows: list[dict[str, object]] = []
    for (method, rater, kind), total in sorted(sums.total.items()):
        n = sums.n[method, rater, kind]
        whole = np.zeros(grid.shape, dtype=np.float32)
        whole[_slices(sums.box, ((0, 0, 0), grid.shape))] = total / n
        against = f"_rater-{re.sub(r'[^0-9A-Za-z]', '', rater)}" if rater else ""
        stem = f"group_space-{grid.template}_method-{method}{against}_map-{kind}"
        announce([f"{FOLDER}/{stem}.nii.gz"], out_dir)
        save_image(whole, grid.matrix, out_dir / FOLDER / f"{stem}.nii.gz", dtype=np.float32)
        description = {"Description": _KINDS[kind], "Method": method, "Rater": rater or None, "N": n,
                       "Space": grid.template, "Interpolation": "linear"}  # fmt: skip
        write_json(out_dir / FOLDER / f"{stem}.json", description, sort_keys=False)
        shares = {"maximum": float(whole.max()), "volume_ml": float(total.sum() / n * _voxel_ml(grid))}
        rows.append(
            {"template": grid.template, "method": method, "rater": rater, "map": kind, "n": n, **shares,
             "file": f"{FOLDER}/{stem}.nii.gz"}
        )  # fmt: skip
    return rows


def _chunk_sums(jobs: Sequence[MapJob]) -> Sums:
    """Sums over some sessions; one that fails is a problem and costs itself only."""
    total: Sums | None = None
    problems = []
    for job in jobs:
        try:
            sums = session_maps(job)
        except ThalbidsError as error:
            problems.append(f"{job.name} is not in the maps: {error.problem}")
            continue
        if total is None:
            total = sums
        else:
            total.add(sums)
    total = total or Sums(((0, 0, 0), (0, 0, 0)))
    total.problems += problems
    return total


def _transforms(place: Place) -> Iterator[tuple[Path, TemplateGrid]]:
    """The transforms of a session to templates, and their grids from the sidecars."""
    for name in sorted(place.names):
        match = _XFM.search(name)
        if match is None or match["image"] != place.reference or name.startswith("."):
            continue
        path = place.folder / name
        told = read_json(path.with_suffix(".json"))["TemplateGrid"]
        affine = tuple(tuple(float(value) for value in row) for row in told["Affine"])
        if np.shape(affine) != (4, 4):
            raise ValueError("no 4 x 4 affine")
        yield path, TemplateGrid(match["template"], _three(told["Shape"]), affine)


def _onto(mask: SparseMask, reference: SparseMask) -> SparseMask:
    return mask if mask.same_grid(reference) else sparse.onto(mask, reference.shape, reference.affine)[0]


def _of_another(mask: SparseMask, methods: Mapping[str, SparseMask], limit: float) -> bool:
    """Whether a rater's mask meets none of the methods': then it is of another person, as the overlap tells."""
    dices = [overlap.dice(sparse.counts(mask, method)) for method in methods.values() if method.voxels]
    return mask.voxels == 0 or (bool(dices) and max(dices) < limit)


def _cropped(mask: SparseMask, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The mask as a boolean array of a box (which may reach beyond the image)."""
    data = np.zeros(high - low, dtype=bool)
    data[tuple((mask.points - low).T)] = True
    return data


def _box_in_template(
    transform: sitk.Transform, grid: TemplateGrid, reference: SparseMask, low: np.ndarray, high: np.ndarray
) -> Box:
    """The box of the template that holds what lies between two corners of the session's grid: looked for on a coarse
    grid.
    """
    step = np.maximum(1, np.floor(_COARSE_MM / np.linalg.norm(grid.matrix[:3, :3], axis=0))).astype(int)
    shape = _three(np.ceil(np.array(grid.shape) / step))
    points = map_points(transform, shape, grid.matrix @ np.diag([*step, 1.0]))
    inverse = np.linalg.inv(reference.affine)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    margin = _COARSE_MM / np.linalg.norm(reference.affine[:3, :3], axis=0)
    inside = ((index >= low - margin) & (index <= high + margin)).all(axis=1).reshape(shape)
    if not inside.any():
        raise ImageError("its masks lie outside the template.")
    voxels = np.argwhere(inside)
    start = np.maximum((voxels.min(axis=0) - 1) * step, 0)
    stop = np.minimum((voxels.max(axis=0) + 2) * step, grid.shape)
    return _three(start), _three(stop)


def _slices(inner: Box, outer: Box) -> tuple[slice, slice, slice]:
    x, y, z = (slice(a - o, b - o) for a, b, o in zip(inner[0], inner[1], outer[0], strict=True))
    return x, y, z


def _three(values: Sequence[float] | np.ndarray) -> tuple[int, int, int]:
    x, y, z = (int(value) for value in values)
    return x, y, z


def _voxel_ml(grid: TemplateGrid) -> float:
    return float(abs(np.linalg.det(grid.matrix[:3, :3]))) / 1000


_KINDS = {
    MEAN: "Share of participants whose mask holds the voxel",
    FALSE_POSITIVE: "Share of participants in whom the method, but not the rater, counts the voxel to the thalamus",
    FALSE_NEGATIVE: "Share of participants in whom the rater, but not the method, counts the voxel to the thalamus",
}
MAPS: Mapping[str, Mapping[str, object]] = {
    "template": column("Template", "The template in whose space the map is."),
    "method": column("Segmentation method", "Name of the method."),
    "rater": column("Rater", "Whose masks the method is compared with; n/a for a mean mask."),
    "map": column("Map", "What the voxels hold, a number from 0 to 1.", Levels=_KINDS),
    "n": count("Number", "Participants (first session)."),
    "maximum": column("Maximum", "Largest value of the map."),
    "volume_ml": column("Volume", "Sum of the map times the volume of a voxel of the template.", "mL"),
    "file": column("File", "The image, relative to this table."),
}


ANALYSIS = Analysis("maps", tables)
