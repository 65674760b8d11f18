"""A small BIDS dataset with known thalamic change, made from the MNI152 template that nilearn ships.

Each person is the template seen through a smooth deformation of their own. In the second session the thalami are
smaller by a known amount: around the centre of each, space is contracted evenly, and that fades out beyond the
thalamus. FLAIR and R1 are mixed from the template's tissue maps and sampled on grids of their own, with the head moved
a little. Everything follows from the seed.

Coordinates are RAS+ mm throughout. An image at a point x of the scanner is the template at ``to_template(x)``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids import families
from thalbids.bids.results import names
from thalbids.bids.results.outputs import description_in
from thalbids.errors import MissingToolError, UsageError
from thalbids.files import read_table, write_json, write_table, write_text
from thalbids.image.io import save_image
from thalbids.qmri import phantom

NAME = "thalbids demo"
SESSIONS = ("1", "2")

# The left thalamus in MNI152 space as an ellipsoid (the right one is its mirror image): the points p with
# (p - CENTRE) SHAPE^-1 (p - CENTRE) < 1. Centre and second moments are those of the voxels that at least two of three
# FreeSurfer segmentations, registered to the template by SyN, call thalamus; 1.35 times the ellipsoid holds 99.9 % of
# the voxels that any of them does.
CENTRE = np.array([-12.5, -18.5, 6.5])
SHAPE = np.array([[173.0, 123.0, -10.0], [123.0, 381.0, 34.0], [-10.0, 34.0, 175.0]])  # mm^2
CORE, FADED = 1.35, 2.2  # contraction is even up to CORE times the ellipsoid and gone at FADED times


@dataclass(frozen=True)
class SamplingGrid:
    """Where an image is sampled: voxel sizes (mm), shape, storage order of the axes, and a tilt about x (degrees)."""

    zooms: tuple[float, float, float]
    shape: tuple[int, int, int]
    axcodes: str
    tilt: float = 0.0

    def affine(self, centre: np.ndarray) -> np.ndarray:
        """Voxel to RAS+ mm (4, 4), with the middle of the grid at ``centre``."""
        affine = np.zeros((4, 4))
        for column, code in enumerate(self.axcodes):
            row = "LRPAIS".index(code) // 2
            affine[row, column] = self.zooms[column] * (1 if code in "RAS" else -1)
        affine[:3, :3] = rotation((self.tilt, 0, 0)) @ affine[:3, :3]
        affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        affine[3, 3] = 1
        return affine


GRIDS = {
    "T1w": SamplingGrid((1.0, 1.0, 1.0), (192, 176, 160), "PSR"),  # sagittal, as 3-D T1w are mostly stored
    "FLAIR": SamplingGrid((1.0, 1.0, 2.0), (160, 192, 88), "LAS", tilt=6.0),
    "R1map": SamplingGrid((1.2, 1.2, 1.2), (132, 160, 146), "RAS"),
}
# Intensity of CSF, grey and white matter. FLAIR: fluid suppressed, grey above white. R1 in 1/s at 3 T.
TISSUES = {"FLAIR": (40.0, 430.0, 340.0), "R1map": (0.25, 0.65, 1.0)}
MPM_GRID = SamplingGrid((2.0, 2.0, 2.0), (84, 100, 88), "RAS")  # of multi-parameter mapping, in place of the R1 map
MPM_TIMES = tuple(0.00246 * k for k in (1, 3, 5))  # s
MPM_RINGING = 0.9  # share of the frequencies that are measured: edges ring
T1W_MAXIMUM = 900.0
NOISE = {"T1w": 18.0, "FLAIR": 12.0, "R1map": 0.02}  # standard deviation; T1w has white matter near 800


@dataclass(frozen=True)
class Person:
    """One made-up participant; ``change`` is the wanted change of the left and the right thalamus as a fraction."""

    label: str
    number: int
    seed: int
    diagnosis: str
    age: float
    sex: str
    change: tuple[float, float]
    duration: float | None  # years since the first symptom, of patients


def people(count: int, seed: int) -> list[Person]:
    """``count`` participants: healthy, relapsing, progressive, and so on in turn."""
    groups = (("HC", 35, -0.003), ("RRMS", 40, -0.025), ("SPMS", 52, -0.05))
    result = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        diagnosis, mean_age, change = groups[number % len(groups)]
        left, right = change * rng.uniform(0.8, 1.2, 2)
        age = round(float(mean_age + rng.uniform(-8, 8)), 1)
        label = f"{number + 1:02d}"
        sex = "FM"[int(rng.integers(2))]
        onset = rng.uniform(20, 34) if diagnosis != "HC" else None  # drawn last: everything else stays what it was
        duration = None if onset is None else round(max(0.5, age - float(onset)), 1)
        result.append(Person(label, number, seed, diagnosis, age, sex, (float(left), float(right)), duration))
    return result


@dataclass(frozen=True)
class Warp:
    """The smooth map from a person's head to the template: a scaling (3,) and a sum of waves.

    ``waves`` (n, 3) are wave vectors in radians per mm, ``phases`` (n,), ``heights`` (n, 3) in mm.
    """

    scale: np.ndarray
    waves: np.ndarray
    phases: np.ndarray
    heights: np.ndarray

    @classmethod
    def of(cls, person: Person) -> Warp:
        """The warp that belongs to a person."""
        rng = np.random.default_rng([person.seed, person.number, 1])
        directions = rng.normal(size=(6, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = rng.uniform(100, 200, (6, 1))
        return cls(
            scale=rng.uniform(1.02, 1.10, 3),  # MNI152 is larger than most heads
            waves=2 * np.pi * directions / lengths,
            phases=rng.uniform(0, 2 * np.pi, 6),
            heights=rng.normal(size=(6, 3)) * lengths / 160,
        )

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) of the head in the template."""
        return points * self.scale + np.cos(points @ self.waves.T + self.phases) @ self.heights

    def sheet(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The points ``rows[j] + columns[k]`` of the head in the template, j before k.

        By cos(a + b) = cos a cos b - sin a sin b these are products of matrices, ten times as fast as the cosines.
        """
        a, b = rows @ self.waves.T + self.phases, columns @ self.waves.T
        along, across = np.hstack([np.cos(a), -np.sin(a)]), np.hstack([np.cos(b), np.sin(b)])
        result = np.empty((3, len(rows), len(columns)))
        for axis, heights in enumerate(self.heights.T):
            np.matmul(along * np.tile(heights, 2), across.T, out=result[axis])
            result[axis] += self.scale[axis] * rows[:, axis, None]
            result[axis] += self.scale[axis] * columns[:, axis]
        return result.reshape(3, -1).T


def ellipsoid(points: np.ndarray, side: int) -> np.ndarray:
    """Distance (n,) of template points from a thalamus' centre in units of its surface; ``side`` -1 left, 1 right.

    Infinite in the other half of the head.
    """
    return np.where(side * points[:, 0] > 0, _across_midline(points, side), np.inf)


def _across_midline(points: np.ndarray, side: int) -> np.ndarray:
    """The distance of :func:`ellipsoid` in both halves of the head."""
    away = points * (-side, 1, 1) - CENTRE  # the right side is looked at in the mirror
    return np.asarray(np.sqrt(np.einsum("ni,ni->n", away @ np.linalg.inv(SHAPE), away)))


def expand(points: np.ndarray, change: tuple[float, float]) -> np.ndarray:
    """Template points (n, 3) pushed away from the thalami's centres, which makes the thalami in the image smaller.

    Within the core the map is a plain scaling by ``(1 + change) ** (-1/3)``, so whatever lies there changes its volume
    by ``change``, however the thalamus is delineated (before the person's warp, which adds a little: see
    :func:`true_change`). At the midline the halves part by a tenth of a millimetre: the third ventricle widens, as it
    does in atrophy.
    """
    result = points.copy()
    for side, fraction in zip((-1, 1), change, strict=True):
        centre = CENTRE * (-side, 1, 1)
        near = np.flatnonzero(side * points[:, 0] > 0) if fraction else np.zeros(0, int)
        for axis, reach in enumerate(FADED * np.sqrt(np.diag(SHAPE))):  # beyond it the fade is 0
            near = near[np.abs(points[near, axis] - centre[axis]) < reach]
        moved = points[near]
        fade = smoothstep((FADED - ellipsoid(moved, side)) / (FADED - CORE))
        moved = moved + ((1 + fraction) ** (-1 / 3) - 1) * fade[:, None] * (moved - centre)
        moved[:, 0] = side * np.maximum(side * moved[:, 0], 0)  # nothing is seen across the midline
        result[near] = moved
    return result


def true_change(person: Person) -> tuple[float, float, float]:
    """Change in percent of the left, the right and both thalami (the ellipsoids), by stratified Monte Carlo.

    One random point in each cell of 0.3 mm of the person's space is sent to the template in both sessions; the volume
    is the number of points that land inside.
    """
    warp = Warp.of(person)
    rng = np.random.default_rng([person.seed, person.number, 2])
    coarse = lattice(np.full(3, -70.0), np.full(3, 70.0), 2.0)
    inside = np.zeros((2, 2))
    for column, side in enumerate((-1, 1)):
        near = coarse[ellipsoid(warp(coarse), side) < 1.5]
        axes = [np.arange(*ends, 0.3) for ends in zip(near.min(axis=0), near.max(axis=0), strict=True)]
        corners = _crossings(axes)
        random = rng.uniform(0, 0.3, corners.shape)
        # blocks of 4 x 4 x 4 cells that can meet the thalamus: it is stretched by a few percent alone
        blocks = _across_midline(warp(_crossings([axis[::4] + 0.6 for axis in axes])), side) < CORE
        inner = blocks.reshape([len(axis[::4]) for axis in axes]).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        inner = inner[tuple(slice(len(axis)) for axis in axes)].ravel()
        first = warp(corners[inner] + random[inner])
        for session, points in enumerate((first, expand(first, person.change))):
            inside[session, column] = np.count_nonzero(ellipsoid(points, side) < 1)
    left, right = 100 * (inside[1] / inside[0] - 1)
    return float(left), float(right), float(100 * (inside[1].sum() / inside[0].sum() - 1))


def lattice(low: np.ndarray, high: np.ndarray, step: float) -> np.ndarray:
    """The points (n, 3) of a regular lattice over a box."""
    return _crossings([np.arange(start, stop, step) for start, stop in zip(low, high, strict=True)])


def _crossings(axes: Sequence[np.ndarray]) -> np.ndarray:
    """The points (n, 3) at which positions along x, y and z meet."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def smoothstep(t: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and 6t^5 - 15t^4 + 10t^3 between, whose first two derivatives vanish at both ends."""
    t = np.clip(t, 0, 1)
    return t**3 * (t * (6 * t - 15) + 10)


def rotation(degrees: Sequence[float] | np.ndarray) -> np.ndarray:
    """Rotation (3, 3) about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [k for k in range(3) if k != axis]
        step = np.eye(3)
        step[i, i] = step[j, j] = math.cos(angle)
        step[j, i], step[i, j] = math.sin(angle), -math.sin(angle)
        matrix = step @ matrix
    return matrix


class TemplateImages:
    """The template's images on their common grid, ready to be sampled."""

    def __init__(self) -> None:
        try:
            from nilearn import datasets
        except ImportError:
            raise MissingToolError("the demo needs the package nilearn.", 'Run: pip install "thalbids[demo]"') from None
        t1w = datasets.load_mni152_template(resolution=1)
        self._t1w = T1W_MAXIMUM * t1w.get_fdata(dtype=np.float32)
        self._grey = datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32)
        self._white = datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32)
        # what lies outside is at the rim, which is no brain
        self.brain = np.ascontiguousarray(np.pad(self._t1w > 0, 1))
        self.to_voxels = np.linalg.inv(t1w.affine)
        self._splines: dict[str, np.ndarray] = {}  # those of multi-parameter mapping are not always needed
        self._lock = threading.Lock()

    def spline(self, suffix: str) -> np.ndarray:
        """The coefficients of one contrast, worked out where they are first asked for."""
        with self._lock:
            if suffix not in self._splines:
                self._splines[suffix] = self._spline(suffix)
        return self._splines[suffix]

    def _spline(self, suffix: str) -> np.ndarray:
        from scipy import ndimage

        image = self._t1w
        if suffix != "T1w":
            fluid, of_grey, of_white = (TISSUES | _properties())[suffix]
            mixed = fluid + (of_grey - fluid) * self._grey + (of_white - fluid) * self._white
            image = np.where(image > 0, mixed, 0)
        return np.asarray(ndimage.spline_filter(image, output=np.float32))

    def voxels(self, points: np.ndarray) -> np.ndarray:
        """Template points (n, 3) as fractional voxel indices (3, n)."""
        return (points @ self.to_voxels[:3, :3].T + self.to_voxels[:3, 3]).T

    def in_brain(self, points: np.ndarray) -> np.ndarray:
        """Whether the nearest voxel of each point is brain (n,)."""
        flat = np.zeros(len(points), np.int64)
        for position, n in zip(self.voxels(points), self.brain.shape, strict=True):
            flat = flat * n + np.clip(np.rint(position) + 1, 0, n - 1).astype(np.int64)
        return self.brain.ravel().take(flat)

    def sample(self, suffix: str, points: np.ndarray) -> np.ndarray:
        """Values (n,) of one contrast at template points (n, 3), by cubic splines."""
        from scipy import ndimage

        return ndimage.map_coordinates(self.spline(suffix), self.voxels(points), prefilter=False)


def pose(person: Person, session: str, suffix: str) -> np.ndarray:
    """Where the head lies when an image is taken: head to scanner, rigid (4, 4).

    Between sessions it differs by a few degrees and mm; within one, FLAIR and R1 differ from T1w by one or two.
    """
    base = np.random.default_rng([person.seed, person.number, 3, int(session)])
    random = np.random.default_rng([person.seed, person.number, 4, int(session), sorted(GRIDS).index(suffix)])
    moved = suffix != "T1w"
    degrees = base.uniform(-4, 4, 3) + moved * random.uniform(-2, 2, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees)
    matrix[:3, 3] = base.uniform(-4, 4, 3) + moved * random.uniform(-2, 2, 3)
    return matrix


def _properties() -> dict[str, tuple[float, float, float]]:
    """What multi-parameter mapping measures, of CSF, grey and white matter."""
    tissues = [phantom.TISSUES[name] for name in ("fluid", "grey", "white")]
    names = ("r1", "r2star", "density", "saturation")
    return {name: tuple(getattr(tissue, name) for tissue in tissues) for name in names}


def render_properties(person: Person, session: str, contrast: str, template: TemplateImages) -> phantom.Properties:
    """The head as multi-parameter mapping sees it; it moves a little from contrast to contrast."""
    random = np.random.default_rng(
        [person.seed, person.number, 7, int(session), sorted(phantom.FLIP_ENTITIES).index(contrast)]
    )
    moved = np.eye(4)
    if contrast != "PDw":
        moved[:3, :3] = rotation(random.uniform(-1, 1, 3))
        moved[:3, 3] = random.uniform(-1, 1, 3)
    affine = MPM_GRID.affine(np.array([0.0, -16.0, 6.0]))
    to_head = np.linalg.inv(moved @ pose(person, session, "R1map")) @ affine
    change = person.change if session == SESSIONS[1] else (0.0, 0.0)
    index = lattice(np.zeros(3), np.array(MPM_GRID.shape), 1)
    points = Warp.of(person)(index @ to_head[:3, :3].T + to_head[:3, 3])
    brain = template.in_brain(points)
    inside = expand(points[brain], change)
    volumes = {}
    for name in _properties():
        values = np.zeros(len(index), dtype=np.float32)
        values[brain] = np.maximum(template.sample(name, inside), 0)
        volumes[name] = values.reshape(MPM_GRID.shape)
    return phantom.Properties(**volumes)


def render(person: Person, session: str, suffix: str, template: TemplateImages) -> tuple[np.ndarray, np.ndarray]:
    """One image and its affine: the template through the person's warp, with shading (not R1) and noise."""
    grid = GRIDS[suffix]
    affine = grid.affine(np.array([0.0, -16.0, 6.0]))
    warp = Warp.of(person)
    to_head = np.linalg.inv(pose(person, session, suffix)) @ affine
    change = person.change if session == SESSIONS[1] else (0.0, 0.0)
    image = np.zeros(grid.shape, dtype=np.float32)
    # a slice of twice the voxel size is the mean of two samples across it
    across = (-0.25, 0.25) if grid.zooms[2] > 1.5 * grid.zooms[0] else (0.0,)
    for i in range(grid.shape[0]):  # one sheet at a time, for the memory
        rows = to_head[:3, 3] + i * to_head[:3, 0] + np.outer(np.arange(grid.shape[1]), to_head[:3, 1])
        values = np.zeros(math.prod(grid.shape[1:]))
        for offset in across:
            points = warp.sheet(rows, np.outer(np.arange(grid.shape[2]) + offset, to_head[:3, 2]))
            brain = template.in_brain(points)
            values[brain] += template.sample(suffix, expand(points[brain], change)) / len(across)
        image[i] = values.reshape(grid.shape[1:])
    rng = np.random.default_rng([person.seed, person.number, 5, int(session), sorted(GRIDS).index(suffix)])
    return _imperfect(image, suffix, rng), affine


def _imperfect(image: np.ndarray, suffix: str, rng: np.random.Generator) -> np.ndarray:
    """The image with shading (not for R1, which is quantitative) and noise; 0 stays 0, as after brain extraction."""
    inside = image > 0
    if suffix != "R1map":
        axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape), indexing="ij", sparse=True)
        image = image * np.exp(sum(height * axis for height, axis in zip(rng.normal(0, 0.06, 3), axes, strict=True)))
    image = image + NOISE[suffix] * rng.standard_normal(image.shape, dtype=np.float32)
    image = np.where(inside, np.maximum(image, 0), 0)
    return image.astype(np.float32) if suffix == "R1map" else np.rint(image).astype(np.int16)


def write_dataset(
    root: Path, subjects: int = 3, seed: int = 1, *, qmri: bool = False, threads: int = 1
) -> Iterator[str]:
    """Write the dataset; gives the name of each session when it is written.

    A dataset that is complete is left alone; one that was interrupted is written again. After an interruption the
    images that are being made are ended, and no other is begun.

    Parameters
    ----------
    root
        A new folder, or that of an earlier demo with the same ``subjects`` and ``seed``.
    subjects
        Number of people, 1 to 99, each with two sessions.
    seed
        Decides everything that is random.
    qmri
        Whether there is raw multi-parameter mapping in place of R1 maps.
    threads
        Images that are made at a time. NumPy, SciPy and zlib let others work meanwhile, and all read one template.

    Raises
    ------
    UsageError
        ``subjects`` is out of range, or the folder holds something else.
    MissingToolError
        nilearn is not installed.
    """
    _check_numbers(subjects, seed)
    text = _README.format(subjects=subjects, seed=seed) + (_README_QMRI if qmri else "")
    if description_in(root, text) == _DESCRIPTION:
        return
    cohort = people(subjects, seed)
    template = TemplateImages()
    write_text(root / "README", text)
    if not qmri:
        write_json(root / "R1map.json", _R1MAP, sort_keys=False)
    pool = ThreadPoolExecutor(threads)
    try:
        changes = [pool.submit(true_change, person) for person in cohort]
        images = {
            f"sub-{person.label}_ses-{session}": _write_images(root, person, session, template, pool, qmri=qmri)
            for person in cohort
            for session in SESSIONS
        }
        _write_tables(root, cohort, [change.result() for change in changes])
        for session_name, written in images.items():
            for image in written:
                image.result()
            yield session_name
    finally:
        pool.shutdown(cancel_futures=True)
    write_json(root / "dataset_description.json", _DESCRIPTION)  # last: says that the dataset is complete


def check_folder(folder: Path, subjects: int, seed: int) -> None:
    """Refuse, before anything is written, numbers that make no demo and a folder that holds other things.

    Raises
    ------
    UsageError
    """
    _check_numbers(subjects, seed)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "raw").exists():
        raise UsageError("this folder holds something other than a demo.", "Name a new folder for it.", folder)


def _check_numbers(subjects: int, seed: int) -> None:
    if not 1 <= subjects <= 99 or seed < 0:
        raise UsageError("--subjects must be 1 to 99 and --seed must not be negative.")


def _write_images(
    root: Path, person: Person, session: str, template: TemplateImages, pool: Executor, *, qmri: bool
) -> list[Future[None]]:
    """The images of a session, soon to be written."""
    return [
        pool.submit(_write_raw, root, person, session, template)
        if suffix == "R1map" and qmri
        else pool.submit(_write_image, root, person, session, suffix, template)
        for suffix in GRIDS
    ]


def _write_image(root: Path, person: Person, session: str, suffix: str, template: TemplateImages) -> None:
    folder = root / f"sub-{person.label}" / f"ses-{session}" / "anat"
    stem = f"sub-{person.label}_ses-{session}_{suffix}"
    save_image(*render(person, session, suffix, template), folder / f"{stem}.nii.gz")
    if suffix != "T1w":
        moved = pose(person, session, suffix) @ np.linalg.inv(pose(person, session, "T1w"))
        write_json(folder / f"{stem}.json", {"TrueRigidFromT1w": moved.tolist()})


def _write_raw(root: Path, person: Person, session: str, template: TemplateImages) -> None:
    """Multi-parameter mapping by the paper's protocol, with three echoes."""
    stem = f"sub-{person.label}_ses-{session}"
    seed = (person.seed, person.number, 8, int(session))
    scanner = phantom.Scanner(phantom.PAPER_PROTOCOL, MPM_TIMES, ringing=MPM_RINGING, seed=seed)
    phantom.write_mpm(
        root / f"sub-{person.label}" / f"ses-{session}",
        stem,
        lambda contrast: render_properties(person, session, contrast, template),
        MPM_GRID.affine(np.array([0.0, -16.0, 6.0])),
        scanner,
    )


def _write_tables(root: Path, cohort: Sequence[Person], changes: Iterable[tuple[float, float, float]]) -> None:
    write_text(root / ".bidsignore", "truth.*\n")
    for name, content in _DICTIONARIES.items():
        write_json(root / f"{name}.json", content, sort_keys=False)
    rows = [
        {
            "participant_id": f"sub-{p.label}",
            "age": p.age,
            "sex": p.sex,
            "diagnosis": p.diagnosis,
            "disease_duration": p.duration,
        }
        for p in cohort
    ]
    write_table(root / "participants.tsv", rows, list(rows[0]))
    truth = []
    for person, (left, right, both) in zip(cohort, changes, strict=True):
        visits = _visits(person)
        write_table(root / f"sub-{person.label}" / f"sub-{person.label}_sessions.tsv", visits, list(visits[0]))
        truth.append((f"sub-{person.label}", f"ses-{SESSIONS[1]}", both, left, right))
    columns = ["participant_id", "session_id", *_DICTIONARIES["truth"]]
    write_table(root / "truth.tsv", [dict(zip(columns, row, strict=True)) for row in truth], columns)


def _visits(person: Person) -> list[dict[str, Any]]:
    """Clinical values of both visits; the second is a little worse where the thalamus shrinks."""
    rng = np.random.default_rng([person.seed, person.number, 6])
    patient = person.diagnosis != "HC"
    worse = -20 * sum(person.change) / 2  # 0.5 for -2.5 %
    edss, walk, pegs, digits = rng.uniform(2, 5), rng.uniform(4, 6), rng.uniform(18, 24), rng.uniform(45, 60)
    rows = []
    for visit, session in enumerate(SESSIONS):
        walks = walk * (1 + 0.3 * worse * visit) + rng.normal(0, 0.1, 2)
        dexterity = pegs * (1 + 0.2 * worse * visit) + rng.normal(0, 0.4, 2)
        rows.append(
            {
                "session_id": f"ses-{session}",
                "acq_time": f"{2020 + 2 * visit}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}T10:00:00",
                "edss": round(2 * (edss + worse * visit)) / 2 if patient else None,
                "t25fw_1": round(float(walks[0]), 1),
                "t25fw_2": round(float(walks[1]), 1),
                "nhpt_1": round(float(dexterity[0]), 1),
                "nhpt_2": round(float(dexterity[1]), 1),
                "sdmt": round(float(digits - 4 * worse * visit)),
                "steroid": None if visit == 0 else "yes" if patient and rng.uniform() < 0.5 else "no",
            }
        )
    return rows


def compare(root: Path, out_dir: Path) -> list[tuple[str, float, float | None]]:
    """Per person: label, true change in percent, and the change measured on T1w (None where it is missing)."""
    result = []
    for row in read_table(root / "truth.tsv"):
        label, truth = str(row["participant_id"]), float(row["change_percent"] or "nan")
        volumes = [
            _volume(out_dir / label / f"ses-{s}" / "anat" / f"{label}_ses-{s}_desc-thalamus_morph.tsv")
            for s in SESSIONS
        ]
        first, second = volumes
        result.append((label, truth, None if first is None or second is None else 100 * (second / first - 1)))
    return result


def _volume(table: Path) -> float | None:
    """The volume (mm^3) of the embedded method on T1w in a session's table."""
    if table.is_file():
        for row in read_table(table):
            if row["method"] == names.desc(families.embedded()) and row["volume_mm3"] is not None:
                return float(row["volume_mm3"])
    return None


_README = """\
thalbids demo, {subjects} participants, seed {seed}

A made-up dataset: nobody was scanned. Each participant is the MNI152 template (ICBM 2009a, nonlinear symmetric, brain
extracted, as shipped with nilearn) seen through a smooth random deformation; FLAIR and R1 maps are mixed from the
template's tissue maps. Between the two sessions the thalami of each participant shrink by a known amount (truth.tsv),
and the head moves. The sidecars of FLAIR and R1map hold the true rigid motion against the T1w (TrueRigidFromT1w: RAS
mm, from a point of the T1w to the same place of the head in the other image). Clinical values are invented.

The template: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Permission to use, copy, modify, and distribute it for any purpose and without fee is granted,
provided that this notice appears in all copies. It comes without any warranty.
"""

_README_QMRI = """
In place of R1 maps there are the raw images of multi-parameter mapping (MPM, TB1map): the signal of spoiled gradient
echoes of the tissues' R1, R2*, proton density and MT saturation, with noise, ringing, and small motion between
contrasts.
"""

_DESCRIPTION = {
    "Name": NAME,
    "BIDSVersion": "1.11.1",
    "DatasetType": "raw",
    "License": "that of the MNI152 template, see README",
    "Authors": ["thalbids demo"],
    "ReferencesAndLinks": ["https://doi.org/10.1016/j.neuroimage.2010.07.033"],
}

_DICTIONARIES: Mapping[str, Mapping[str, Any]] = {
    "participants": {
        "age": {"Description": "Age at the first session", "Units": "year"},
        "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
        "diagnosis": {
            "Description": "Diagnosis (invented)",
            "Levels": {
                "HC": "healthy control",
                "RRMS": "relapsing-remitting multiple sclerosis",
                "SPMS": "secondary progressive multiple sclerosis",
            },
        },
        "disease_duration": {
            "Description": "Time since the first symptom at the first session (invented); n/a for controls",
            "Units": "year",
        },
    },
    "sessions": {
        "acq_time": {"Description": "Date and time of the visit (invented)"},
        "edss": {"Description": "Expanded Disability Status Scale"},
        "t25fw_1": {"Description": "Timed 25-Foot Walk, first trial", "Units": "s"},
        "t25fw_2": {"Description": "Timed 25-Foot Walk, second trial", "Units": "s"},
        "nhpt_1": {"Description": "Nine-Hole Peg Test, first trial", "Units": "s"},
        "nhpt_2": {"Description": "Nine-Hole Peg Test, second trial", "Units": "s"},
        "sdmt": {"Description": "Symbol Digit Modalities Test, correct answers"},
        "steroid": {
            "Description": "Steroids between this visit and the one before",
            "Levels": {"yes": "yes", "no": "no"},
        },
    },
    "truth": {
        "change_percent": {"Description": "True change of the thalamic volume since session 1", "Units": "percent"},
        "change_left_percent": {"Description": "The same of the left thalamus", "Units": "percent"},
        "change_right_percent": {"Description": "The same of the right thalamus", "Units": "percent"},
    },
    "T1w": {
        "Modality": "MR",
        "Manufacturer": "none",
        "SkullStripped": True,
        "Description": "T1-weighted template through a deformation",
    },
    "FLAIR": {
        "Modality": "MR",
        "Manufacturer": "none",
        "SkullStripped": True,
        "Description": "FLAIR-like mixture of the tissue maps",
    },
}

_R1MAP = {
    "Units": "1/s",
    "Manufacturer": "none",
    "SkullStripped": True,
    "Description": "R1-like mixture of the tissue maps",
}
