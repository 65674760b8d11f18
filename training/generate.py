"""Synthetic scans from label maps: random shape, random contrast, random acquisition (the idea of Billot et al. 2023).

One geometry is rendered in two independent contrasts, so that training can ask for the same answer on both. Partial
volume is real: every voxel averages four points of the half-millimetre map, and the target keeps all four labels.

All lengths are mm. Arrays are (x, y, z) with x to the right, y to the front, z upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from thalbids.inference.head import HEAD_SHAPE, HEAD_SPACING
from thalbids.inference.normalisation import normalise
from thalbids.inference.synthal import ROI_SHAPE
from training.maps import BRAIN, CODE, FADE_LEVELS, HEAD_CLASS, MIRROR, NAMES, ROI_CLASS

COARSE = 4.0  # mm between the nodes on which deformations of the head are computed
FINE = 2.0  # voxels between the nodes for the thalamus alone
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.25

# Mean intensity relative to the brightest of the usual tissues, and how much it varies from scan to scan. The T1w
# column is the label maps' own prior; R1 follows 1.1/0.7/0.25 per second in white matter, grey matter and fluid at 3 T.
# FLAIR and T2w: deep grey matter as dark beside white matter as in two patients (medians of tissues as T1w shows them).
GROUPS = {
    "white": ("white", "capsule"),
    "cortex": ("cortex",),
    "caudate": ("caudate", "accumbens"),
    "putamen": ("putamen",),
    "pallidum": ("pallidum",),
    "thalamus": (),
    "ventraldc": ("ventraldc",),
    "limbic": ("hippocampus", "amygdala"),
    "brainstem": ("brainstem",),
    "cb_white": ("cerebellum_white",),
    "cb_cortex": ("cerebellum_cortex",),
    "lesion": ("lesion",),
    "fluid": ("ventricle", "ventricle3", "ventricle4", "csf"),
    "vessel": ("vessel", "fissure"),
}
CONTRASTS: dict[str, dict[str, float]] = {
    "T1w": dict(
        white=1.0,
        cortex=0.64,
        caudate=0.66,
        putamen=0.77,
        pallidum=0.93,
        thalamus=0.81,
        ventraldc=0.89,
        limbic=0.63,
        brainstem=0.86,
        cb_white=0.9,
        cb_cortex=0.6,
        lesion=0.7,
        fluid=0.2,
        vessel=0.4,
        spread=0.045,
    ),
    "R1map": dict(
        white=1.0,
        cortex=0.62,
        caudate=0.63,
        putamen=0.68,
        pallidum=0.86,
        thalamus=0.76,
        ventraldc=0.86,
        limbic=0.62,
        brainstem=0.86,
        cb_white=0.95,
        cb_cortex=0.6,
        lesion=0.66,
        fluid=0.23,
        vessel=0.4,
        spread=0.045,
    ),
    "FLAIR": dict(
        white=0.70,
        cortex=0.84,
        caudate=0.79,
        putamen=0.73,
        pallidum=0.56,
        thalamus=0.72,
        ventraldc=0.67,
        limbic=0.88,
        brainstem=0.72,
        cb_white=0.68,
        cb_cortex=0.80,
        lesion=1.2,
        fluid=0.22,
        vessel=0.45,
        spread=0.07,
    ),
    "T2w": dict(
        white=0.36,
        cortex=0.49,
        caudate=0.44,
        putamen=0.40,
        pallidum=0.29,
        thalamus=0.39,
        ventraldc=0.37,
        limbic=0.51,
        brainstem=0.41,
        cb_white=0.36,
        cb_cortex=0.47,
        lesion=0.65,
        fluid=1.0,
        vessel=0.6,
        spread=0.04,
    ),
    "PDw": dict(
        white=0.72,
        cortex=0.9,
        caudate=0.88,
        putamen=0.86,
        pallidum=0.76,
        thalamus=0.82,
        ventraldc=0.77,
        limbic=0.9,
        brainstem=0.78,
        cb_white=0.72,
        cb_cortex=0.86,
        lesion=0.95,
        fluid=1.0,
        vessel=0.6,
        spread=0.05,
    ),
}
SHARES = {"T1w": 0.33, "FLAIR": 0.22, "R1map": 0.10, "T2w": 0.11, "PDw": 0.04, "random": 0.20}
OUTSIDE_T1W = {
    "outside502": 0.79,
    "outside506": 0.11,
    "outside507": 0.59,
    "outside508": 0.73,
    "outside509": 0.44,
    "outside511": 0.71,
    "outside512": 0.43,
    "outside514": 0.30,
    "outside515": 0.19,
    "outside516": 0.59,
    "outside530": 0.90,
}
FATTY = ("outside502", "outside508", "outside511", "outside516", "outside530")


@dataclass(frozen=True)
class Map:
    """One prepared label map (see ``training.maps.prepare``)."""

    roi: np.ndarray
    roi_origin: np.ndarray
    head: np.ndarray
    push: np.ndarray
    thalami: np.ndarray
    distance: np.ndarray
    distance_origin: np.ndarray

    @classmethod
    def load(cls, path: Path) -> Map:
        with np.load(path) as f:
            return cls(**{k: f[k] for k in cls.__dataclass_fields__})


@dataclass(frozen=True)
class LocalChange:
    """Growth or shrinkage of the thalami alone: what is around them does not tell their size.

    Attributes
    ----------
    factor : log of the length along x, y, z, left and right (2, 3)
    shift : mm, left and right (2, 3)
    fade : mm outside the surface over which the displacement falls to zero
    power : of the fall (1: linear)
    """

    factor: np.ndarray
    shift: np.ndarray
    fade: float
    power: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> LocalChange:
        """A thalamus of any size, in the mean that of the map: where no border shows, the mean is what is reported.

        The width varies most, because its border is the hardest to see.
        """
        factor = rng.uniform(-0.43, 0.43) / 3 + rng.normal(0, [0.11, 0.07, 0.07])
        return cls(
            factor + rng.normal(0, [0.03, 0.02, 0.02], (2, 3)),
            rng.normal(0, 0.6, (2, 3)),
            float(np.exp(rng.uniform(np.log(4), np.log(30)))),
            float(rng.uniform(0.7, 1.6)),
        )

    def altered(self, rng: np.random.Generator) -> LocalChange:
        """The same thalami at another visit: larger or smaller by up to a quarter."""
        style = rng.random()
        change = np.zeros(3)
        if style < 0.4:
            change += rng.uniform(-0.25, 0.25) / 3
        elif style < 0.7:
            change[0] = rng.uniform(-0.2, 0.2)
        else:
            change[rng.integers(3)] = rng.uniform(-0.2, 0.2)
        return replace(self, factor=self.factor + change + rng.normal(0, 0.02, (2, 1)))

    def apply(self, m: Map, pos: np.ndarray) -> np.ndarray:
        """Positions in the map (3, ...) of the changed thalami."""
        away = []
        near = []
        for side in range(2):
            centre = m.thalami[side].reshape(3, 1, 1, 1)
            full = centre + (pos - centre) * np.exp(-self.factor[side]).reshape(3, 1, 1, 1)
            full += self.shift[side].reshape(3, 1, 1, 1)
            index = full - m.distance_origin.reshape(3, 1, 1, 1)
            away.append(full - pos)
            near.append(ndimage.map_coordinates(m.distance[side], index, order=1, mode="nearest"))
        steepest = max(np.abs(a).max(initial=0, where=n < 1) for a, n in zip(away, near, strict=True))
        fade = max(self.fade, 1.3 * steepest)  # or the field would fold
        # inside one thalamus the other has no say
        shares = [near[1] + 0.1, near[0] + 0.1]
        total = shares[0] + shares[1]
        out = pos.copy()
        for a, n, share in zip(away, near, shares, strict=True):
            out += a * np.clip(1 - n / fade, 0, 1) ** self.power * (share / total)
        return out


def rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation matrix from three angles in radians, about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rz @ ry @ rx


def resize(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Trilinear resize of (..., x, y, z) whose outermost nodes stay where they are."""
    t = torch.from_numpy(np.ascontiguousarray(field, np.float32))
    lead = t.shape[:-3]
    t = torch.nn.functional.interpolate(
        t.reshape(1, -1, *t.shape[-3:]), size=shape, mode="trilinear", align_corners=True
    )
    return t.reshape(*lead, *shape).numpy()


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], nodes: float, lead: tuple[int, ...] = ()
) -> np.ndarray:
    """White noise of SD 1 on a grid with a node every `nodes` voxels, interpolated to `shape`."""
    coarse = tuple(max(2, int(np.ceil(n / nodes)) + 1) for n in shape)
    return resize(rng.standard_normal((*lead, *coarse)), shape)


@dataclass(frozen=True)
class Geometry:
    """Where the nodes of a sample look in the map (3, x, y, z) before local change; its linear part; if mirrored."""

    position: np.ndarray
    linear: np.ndarray
    mirrored: bool


def node_grid(extent: np.ndarray, nodes: tuple[int, ...]) -> np.ndarray:
    """Positions (3, *nodes) in mm of nodes spread evenly over a box of `extent` mm about 0."""
    ticks = [np.linspace(-e / 2, e / 2, n) for e, n in zip(extent, nodes, strict=True)]
    return np.stack(np.meshgrid(*ticks, indexing="ij"))


def geometry(
    rng: np.random.Generator, m: Map, shape: tuple[int, ...], spacing: float, *, angle: float, shift: float, free: float
) -> Geometry:
    """Rotation, scale and shift of the head; elastic deformation (`free` = 1 in normal use); other ventricles."""
    extent = (np.array(shape) - 1) * spacing
    nodes = tuple(int(np.ceil(e / COARSE)) + 1 for e in extent)
    grid = node_grid(extent, nodes)
    # pitch varies most between people and scanners
    angles = np.deg2rad(rng.uniform(-1, 1, 3) * np.array([angle * 1.3, angle * 0.8, angle * 0.8]))
    scale = rng.uniform(0.86, 1.16) * rng.uniform(0.96, 1.04, 3)
    linear = rotation(angles) @ np.diag(1 / scale)
    mirrored = bool(rng.random() < 0.5)
    if mirrored:
        linear = np.diag([-1.0, 1, 1]) @ linear
    centre = m.thalami.mean(0) + rng.uniform(-shift, shift, 3)
    pos = np.einsum("ij,j...->i...", linear, grid) + centre.reshape(3, 1, 1, 1)
    pos += free * 2.2 * smooth_noise(rng, nodes, 20 / COARSE, (3,)) + free * 0.7 * smooth_noise(
        rng, nodes, 8 / COARSE, (3,)
    )
    amount = rng.uniform(-3.5, 4.5) if rng.random() < 0.7 else 0.0
    push = np.stack([ndimage.map_coordinates(p, pos / 2, order=1, mode="nearest") for p in m.push])
    pos += amount * push
    fine = tuple(int(np.ceil(e / max(FINE, 2 * spacing))) + 1 for e in extent)
    return Geometry(resize(pos, fine), linear, mirrored)


def turned(g: Geometry, turn: np.ndarray, shift: np.ndarray, shape: tuple[int, ...], spacing: float) -> Geometry:
    """The same head in a box turned by the matrix `turn` about its middle and shifted by `shift` (mm)."""
    nodes = g.position.shape[1:]
    extent = (np.array(shape) - 1) * spacing
    grid = node_grid(extent, nodes)
    elsewhere = np.einsum("ij,j...->i...", turn, grid) + shift.reshape(3, 1, 1, 1)
    # beyond the old box the deformation goes on as at its border, the linear part as everywhere
    free = g.position - np.einsum("ij,j...->i...", g.linear, grid)
    step = extent / (np.array(nodes) - 1)
    index = (elsewhere + extent.reshape(3, 1, 1, 1) / 2) / step.reshape(3, 1, 1, 1)
    free = np.stack([ndimage.map_coordinates(f, index, order=1, mode="nearest") for f in free])
    return Geometry(np.einsum("ij,j...->i...", g.linear, elsewhere) + free, g.linear @ turn, g.mirrored)


def look_up(volume: np.ndarray, pos: np.ndarray, origin: np.ndarray, per_mm: float) -> np.ndarray:
    """Nearest code of the map at each position, edge codes beyond the map."""
    index = np.zeros(pos.shape[1:], np.int64)
    for axis, n in enumerate(volume.shape):
        i = np.floor((pos[axis] - origin[axis]) * per_mm + 0.5).astype(np.int64)
        index *= n
        index += np.clip(i, 0, n - 1, out=i)
    return volume.reshape(-1)[index]


def codes_of(
    m: Map, g: Geometry, local: LocalChange, shape: tuple[int, ...], spacing: float, *, head: bool
) -> np.ndarray:
    """Four codes per voxel (4, *shape) of a geometry with thalami changed."""
    volume, origin, per_mm = (m.head, np.zeros(3), 1.0) if head else (m.roi, m.roi_origin, 2.0)
    pos = resize(local.apply(m, g.position), shape)
    offsets = (g.linear @ TETRAHEDRON.T * spacing).T.astype(np.float32)
    codes = np.stack([look_up(volume, pos + o.reshape(3, 1, 1, 1), origin, per_mm) for o in offsets])
    return MIRROR[codes] if g.mirrored else codes


def paint(rng: np.random.Generator, kind: str, *, head: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and texture SD of every code for one scan of a contrast (``random`` draws every tissue on its own)."""
    mean = np.zeros(len(NAMES), np.float32)
    if kind == "random":
        levels = {g: rng.uniform(0.05, 1.0) for g in GROUPS}
        outside = {n: rng.uniform(0.0, 1.0) for n in OUTSIDE_T1W}
    else:
        table = CONTRASTS[kind]
        spread = table["spread"]
        levels = {g: table[g] + rng.normal(0, spread * (2.0 if g == "lesion" else 1.0)) for g in GROUPS}
        # thalamus and white matter move towards and away from each other: low contrast is the hard and common case
        levels["thalamus"] += rng.normal(0.08, 0.28) * (levels["white"] - levels["thalamus"])
        outside = {n: rng.uniform(0.3, 1.7) * v for n, v in OUTSIDE_T1W.items()}
        if kind != "T1w" and rng.random() < 0.5:
            outside = {n: rng.uniform(0, 1.0) for n in OUTSIDE_T1W}
    if head and rng.random() < 0.5:  # fat of the scalp and marrow outshines the brain in many scans
        outside |= {n: outside[n] * rng.uniform(1.0, 3.0) for n in FATTY}
    for group, tissues in GROUPS.items():
        for tissue in tissues:
            mean[CODE[tissue]] = levels[group] + rng.normal(0, 0.02)
    # the internal capsule's long fibres differ from the white matter around them
    drift = {"FLAIR": rng.uniform(-0.1, 0.1), "T2w": rng.uniform(-0.04, 0.04)}.get(kind, rng.uniform(-0.08, 0.02))
    mean[CODE["capsule"]] = levels["white"] + drift * (1 if kind != "random" else rng.uniform(-1, 1))
    fade = rng.uniform(0.0, 0.8) if rng.random() < 0.8 else 0.0
    steep = rng.uniform(0.8, 2.2)
    for k in range(FADE_LEVELS):
        towards = fade * (k / (FADE_LEVELS - 1)) ** steep
        value = levels["thalamus"] + towards * (mean[CODE["capsule"]] - levels["thalamus"])
        mean[CODE[f"thalamus_left{k}"]] = mean[CODE[f"thalamus_right{k}"]] = value
    for name, value in outside.items():
        mean[CODE[name]] = value
    if head and rng.random() < 0.5:  # bone and air next to the brain are dark in most scans
        mean[CODE["outside515"]] *= 0.5
    texture = rng.uniform(0.0, 0.05, len(NAMES)).astype(np.float32)
    texture[[CODE[n] for n in OUTSIDE_T1W]] *= 3
    texture[0] = 0
    return mean, texture


def add_lesions(rng: np.random.Generator, codes: np.ndarray, spacing: float) -> np.ndarray:
    """Multiple-sclerosis lesions: blobs in white matter, now and then in the thalamus, as a mask (*shape)."""
    shape = codes.shape[1:]
    field = smooth_noise(rng, shape, rng.uniform(4, 9) / spacing)
    blobs = field > rng.uniform(1.3, 2.2)
    allowed = np.array([n in ("white", "capsule") for n in NAMES])
    if rng.random() < 0.12:
        allowed |= (ROI_CLASS == 1) | (ROI_CLASS == 2)
    return blobs & allowed[codes[0]]


def render(
    rng: np.random.Generator, codes: np.ndarray, kind: str, lesions: np.ndarray | None, *, spacing: float, head: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """One scan of the geometry in `codes`: intensities, bias field, resolution, noise; that of a box normalised.

    Also gives what was kept by a skull-stripping or a cut (None: everything).
    """
    shape = codes.shape[1:]
    mean, texture = paint(rng, kind, head=head)
    image = sum(mean[c] for c in codes) / len(codes)
    image += texture[codes[0]] * (0.6 * smooth_noise(rng, shape, 3.0) + 0.5 * rng.standard_normal(shape, np.float32))
    if lesions is not None:
        image[lesions] = 0.8 * mean[CODE["lesion"]] + 0.2 * image[lesions]
    add_details(rng, image, codes, kind, mean, spacing)
    kept = None
    if rng.random() < (0.28 if head else 0.25):
        kept = brain_mask(rng, codes)
    elif head and rng.random() < 0.25:  # defaced, or skull stripped badly
        kept = carelessly_cut(rng, codes)
    if kept is not None:
        image *= kept
    image *= np.exp(rng.uniform(0, 0.35) * smooth_noise(rng, shape, 40 / spacing))
    image = np.clip(image, 0, None) ** np.exp(rng.normal(0, 0.3 if kind == "random" else 0.15))
    image = acquire(rng, image, spacing)
    if kept is not None and rng.random() < 0.7:  # most programs leave exact zeros
        image *= kept
    if kind == "T1w" and rng.random() < 0.45:  # FreeSurfer's T1.mgz saturates at white matter
        image = np.minimum(image, np.percentile(image[image > 0.2], rng.uniform(65, 85)) * rng.uniform(0.95, 1.1))
    return image if head else normalise(image), kept


THALAMUS = (ROI_CLASS == 1) | (ROI_CLASS == 2)
VENTRICLE = np.isin(np.arange(len(NAMES)), [CODE["ventricle"], CODE["ventricle3"]])
PARENCHYMA = BRAIN & ~np.isin(ROI_CLASS, (3, 4, 10))


def add_details(
    rng: np.random.Generator, image: np.ndarray, codes: np.ndarray, kind: str, mean: np.ndarray, spacing: float
) -> None:
    """Thalamic nuclei, choroid plexus, rim of the ventricles and bright vessels, drawn into the image (*shape)."""
    shape = image.shape
    tissue = codes[0]
    contrast = abs(mean[CODE["white"]] - mean[CODE["thalamus_left0"]])
    if rng.random() < 0.8:  # nuclei: smooth differences within the thalamus
        inside = THALAMUS[tissue]
        nuclei = smooth_noise(rng, shape, rng.uniform(4, 9) / spacing)
        image[inside] += rng.uniform(0, 0.35) * contrast * nuclei[inside]
    if rng.random() < 0.5:  # choroid plexus: strands inside the ventricles
        strands = (smooth_noise(rng, shape, 3.5 / spacing) > 1.0) & (tissue == CODE["ventricle"])
        image[strands] = rng.uniform(0.3, 1.2)
    if rng.random() < (0.6 if kind == "FLAIR" else 0.1):  # the rim along the ventricles
        rim = ndimage.binary_dilation(VENTRICLE[tissue]) & PARENCHYMA[tissue]
        image[rim] += rng.uniform(0, 0.25)
    if rng.random() < (0.2 if kind == "T1w" else 0.05):  # vessels after contrast agent: where two sheets cross
        width = rng.uniform(0.06, 0.15)
        sheets = [np.abs(smooth_noise(rng, shape, 14 / spacing)) < width for _ in range(2)]
        image[sheets[0] & sheets[1]] = rng.uniform(1.0, 1.7) * mean[CODE["white"]]


def brain_mask(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """A skull-stripping as programs make it: brain alone, brain with its fluid, or grown beyond it."""
    style = rng.integers(3)
    if style == 0:
        return ndimage.binary_closing(BRAIN[codes[0]], iterations=2) | BRAIN[codes[0]]
    mask = HEAD_CLASS[codes[0]] >= 1
    return ndimage.binary_dilation(mask) if style == 2 else mask


def carelessly_cut(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """Everything far from the brain removed, or the face cut off by a plane or by blocks."""
    shape = codes.shape[1:]
    style = rng.random()
    if style < 0.4:
        return ndimage.binary_dilation(HEAD_CLASS[codes[0]] >= 1, iterations=int(rng.integers(1, 6)))
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij", sparse=True)
    plane = grid[1] - rng.uniform(0.5, 1.5) * grid[2] * 0.8 > rng.uniform(0.5, 0.9)
    face = plane & (HEAD_CLASS[codes[0]] < 1)
    if style < 0.7:  # staircases, as programs that deface by a coarse mask leave them
        n = int(rng.integers(3, 9))
        coarse = np.kron(face[::n, ::n, ::n], np.ones((n, n, n), bool))[: shape[0], : shape[1], : shape[2]]
        face = coarse & (HEAD_CLASS[codes[0]] < 1)
    return ~face


def acquire(rng: np.random.Generator, image: np.ndarray, spacing: float) -> np.ndarray:
    """Lower resolution (isotropic or thick slices), noise at that resolution, then back to the grid."""
    shape = image.shape
    size = np.full(3, spacing)
    kind = rng.random()
    if kind > 0.62:
        size[rng.integers(3)] = max(spacing, rng.uniform(1.5, 5.5))
    elif kind > 0.40:
        size[:] = np.maximum(spacing, rng.uniform(1.0, 2.2))
    sigma = 0.42 * np.sqrt(np.maximum(size**2 - spacing**2, 0)) / spacing
    sigma = np.sqrt(sigma**2 + rng.uniform(0.15, 0.65) ** 2)
    image = ndimage.gaussian_filter(image, sigma, truncate=2.5)
    small = tuple(max(4, round(n * spacing / s)) for n, s in zip(shape, size, strict=True))
    if small != shape:
        image = resize(image, small)
    image = image + rng.uniform(0, 0.07) * rng.standard_normal(image.shape, np.float32)
    return resize(image, shape) if small != shape else image


def roi_pair(rng: np.random.Generator, maps: list[Map]) -> tuple[np.ndarray, np.ndarray]:
    """Two scans (2, *ROI_SHAPE) and their four labels per voxel (2, 4, *ROI_SHAPE).

    Either one geometry in two contrasts, which must give one answer; or the same scan in a box that is turned and
    shifted, where the volume must be the same; or two visits of a person in one contrast, between which nothing but the
    thalami changed: their difference must be read in full.
    """
    m = maps[rng.integers(len(maps))]
    shift = 3.0 if rng.random() < 0.8 else 7.0
    g = geometry(rng, m, ROI_SHAPE, 1.0, angle=14.0, shift=shift, free=1.3)
    local = LocalChange.draw(rng)
    kinds = rng.choice(list(SHARES), 2, p=list(SHARES.values()))
    lesion_seed = int(rng.integers(2**31)) if rng.random() < 0.45 else None
    seeds = rng.integers(2**31, size=2)
    visits, heads = [local, local], [g, g]
    pair = rng.random()
    if pair < 0.2:
        turn = rotation(np.deg2rad(rng.uniform(-9, 9, 3)))
        heads[1] = turned(g, turn, rng.uniform(-2, 2, 3), ROI_SHAPE, 1.0)
        kinds[1], seeds[1] = kinds[0], seeds[0]
    elif pair < 0.6:
        visits[1] = local.altered(rng)
        kinds[1] = kinds[0]
        if rng.random() < 0.6:  # the same noise and the same shading: nothing else to look at
            seeds[1] = seeds[0]
    else:  # the pairs that are compared most in use
        style = rng.random()
        if style < 0.6:
            kinds = np.array(["T1w", "FLAIR" if style < 0.45 else "T2w"])
    images, labels = [], []
    for head, visit, kind, seed in zip(heads, visits, kinds, seeds, strict=True):
        codes = codes_of(m, head, visit, ROI_SHAPE, 1.0, head=False)
        lesions = None if lesion_seed is None else add_lesions(np.random.default_rng(lesion_seed), codes, 1.0)
        images.append(render(np.random.default_rng(seed), codes, kind, lesions, spacing=1.0, head=False)[0])
        labels.append(ROI_CLASS[codes])
    return np.stack(images).astype(np.float32), np.stack(labels)


def field_of_view(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Which voxels of the box the scan shows: some of its six sides may end early, now and then deep in the head."""
    seen = np.zeros(shape, bool)
    cut = []
    for axis, n in enumerate(shape):
        ends = [0, 0]
        for side in range(2):
            if rng.random() < 0.35:
                deep = 0.3 if axis == 2 and rng.random() < 0.25 else 0.14
                ends[side] = int(rng.uniform(0, deep) * n)
        cut.append(slice(ends[0], n - ends[1]))
    seen[tuple(cut)] = True
    return seen


def head_sample(rng: np.random.Generator, maps: list[Map]) -> tuple[np.ndarray, np.ndarray]:
    """One scan (1, *HEAD_SHAPE) of a head at 3 mm, some cut off or far tilted, and its labels (1, 4, *HEAD_SHAPE)."""
    m = maps[rng.integers(len(maps))]
    angle = 15.0 if rng.random() < 0.55 else 40.0
    shift = 10.0 if rng.random() < 0.7 else 35.0
    g = geometry(rng, m, HEAD_SHAPE, HEAD_SPACING, angle=angle, shift=shift, free=1.6)
    codes = codes_of(m, g, LocalChange.draw(rng), HEAD_SHAPE, HEAD_SPACING, head=True)
    kind = rng.choice(list(SHARES), p=list(SHARES.values()))
    image, kept = render(rng, codes, kind, None, spacing=HEAD_SPACING, head=True)
    seen = field_of_view(rng, HEAD_SHAPE)
    labels = HEAD_CLASS[codes] * (seen if kept is None else seen & kept)
    where = seen
    if rng.random() < 0.75:  # as in the second look: by what is near the brain
        brain = ndimage.binary_dilation(labels[0] >= 2, iterations=int(rng.integers(4, 10)))
        where = seen & brain
    return normalise(image * seen, where)[None].astype(np.float32), labels[None]
