"""Which slices a person should see, and the pictures of one session."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from scipy import ndimage

from thalbids.errors import ImageError
from thalbids.qc.measures import expected_centre, mask_box
from thalbids.qc.visits import THICK_MM
from thalbids.reports import palette
from thalbids.reports.planes import AXES, Plane, sample, world_box
from thalbids.reports.svg import Outline, SlicePicture, contour, window

PLANES = ("axial", "coronal", "sagittal")
CROP_MM = 80.0  # side of the pictures of the thalamus
CROP_STEP = 0.5  # mm per pixel
SMALL_MM, SMALL_STEP = 72.0, 0.9  # of the thumbnails of the cohort's page
HEAD_STEP = 1.0
HEAD_MARGIN = 22.0  # mm of head shown around the brain
BRAIN_MARGIN = 8.0
EDGE_MARGIN = 3.0  # mm around the brain where edges are drawn
SMALLEST_HEAD = 130.0  # mm; a wrong, tiny brain mask must not hide the head
IN_PLANE = 0.98  # cosine between slices and the picture: less, and a picture crosses several slices
NEAR_MM = 6.0  # around the thalami: the capsule, whose border must be seen
SPREADS = 1.3  # of the difference between thalamus and capsule, to both sides of the thalamus
QUANTILES = (0.2, 0.5, 0.8)
OFFSETS = {"axial": 6.0, "coronal": 8.0, "sagittal": 12.0}  # mm between slices when no mask can say
CAPTIONS = {"axial": ("", "", ""), "coronal": ("", "", ""), "sagittal": ("left side", "middle", "right side")}

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Volume:
    """Voxels and where they are."""

    data: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True)
class Mask:
    """A thalamus mask to draw."""

    volume: Volume
    image: str
    style: palette.Style
    key: str
    label: str
    distrusted: bool
    method: str = ""


@dataclass(frozen=True)
class Focus:
    """The slices around the thalami: three positions (mm) per plane and the middle of the pictures."""

    positions: Mapping[str, tuple[float, float, float]]
    centre: Point


def read(path: Path) -> Volume:
    """Read one of our own derivatives, without the checks that raw data need.

    Raises
    ------
    ImageError
        The file is missing or damaged.
    """
    try:
        image = nib.load(path)
        return Volume(np.asanyarray(image.dataobj), np.asarray(image.affine, dtype=np.float64))
    except (OSError, EOFError, zlib.error, ImageFileError, ValueError) as error:
        name = type(error).__name__ if not str(error) else str(error).splitlines()[0]
        raise ImageError(f"cannot be read ({name}).", "Delete it and run participant again.", path) from None


def read_mask(path: Path) -> Volume:
    """Read a mask or dseg and keep the box that holds it, as 0 and 1; ImageError as in :func:`read`."""
    whole = read(path)
    box = mask_box(whole.data, margin=1) or (slice(0, 1),) * 3
    origin = np.eye(4)
    origin[:3, 3] = [s.start for s in box]
    return Volume((whole.data[box] != 0).astype(np.uint8), whole.affine @ origin)


def inside(image: Volume, mask: Volume) -> np.ndarray:
    """Values of an image at the voxels of a mask, which is on a part of the same grid."""
    start = np.rint((np.linalg.inv(image.affine) @ mask.affine)[:3, 3]).astype(int)
    low, high = np.maximum(start, 0), np.minimum(start + mask.data.shape, image.data.shape)
    cut = image.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.asarray(cut[mask.data[tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))] != 0])


def cut_surface(mask: Volume, envelope: Volume) -> Volume:
    """Where an envelope ends a mask: the voxels of the mask's surface that are surface of the envelope too.

    Both lie on one grid; each may be a part of it.
    """
    from thalbids.image.grids import resample_to
    from thalbids.methods.envelope import surface

    binary = nib.Nifti1Image((mask.data != 0).astype(np.uint8), mask.affine)
    outer = nib.Nifti1Image(surface(envelope.data).astype(np.uint8), envelope.affine)
    ends = np.asarray(resample_to(outer, binary, order=0).dataobj) != 0
    return Volume((surface(mask.data) & ends).astype(np.uint8), mask.affine)


def choose_focus(masks: Sequence[Mask], brain: Volume | None, t1w: Volume) -> Focus:
    """Slices through the thalami: where the trusted masks are, else where the brain mask expects them.

    Axial and coronal slices stand at the 20th, 50th and 80th percentile of the masks' voxels, sagittal ones at the
    middle of the left side, between the sides and at the middle of the right one.
    """
    points = [_points(mask.volume) for mask in masks if not mask.distrusted]
    points_in = np.concatenate([p for p in points if len(p)]) if any(len(p) for p in points) else None
    if points_in is None:
        return _fallback_focus(masks, brain, t1w)
    x, y, z = points_in.T
    middle = float(np.quantile(x, [0.02, 0.98]).mean())
    left, right = x[x < middle], x[x >= middle]
    sagittal = (float(np.median(left)) if len(left) else middle, middle, float(np.median(right)))
    positions = {
        "sagittal": on_slices("sagittal", sagittal, t1w),
        "coronal": on_slices("coronal", _three(np.quantile(y, QUANTILES)), t1w),
        "axial": on_slices("axial", _three(np.quantile(z, QUANTILES)), t1w),
    }
    return Focus(positions, (middle, positions["coronal"][1], positions["axial"][1]))


def on_slices(name: str, positions: Point, image: Volume) -> Point:
    """Positions (mm) moved to the middle of the image's own slices, where its slices are thick and lie in the plane.

    Between two thick slices a picture, and the outline on it, would be a mixture of both that nobody measured.
    """
    axis = AXES[name]
    zooms = np.linalg.norm(image.affine[:3, :3], axis=0)
    along = np.abs(image.affine[axis, :3]) / zooms
    slices = int(np.argmax(along))
    if zooms[slices] < THICK_MM or along[slices] < IN_PLANE:
        return positions
    step, start = image.affine[axis, slices], image.affine[axis, 3]
    others = [k for k in range(3) if k != slices]  # of a grid that is turned a little: at the middle of the others
    start += float(image.affine[axis, others] @ ((np.array(image.data.shape)[others] - 1) / 2))
    return _three(start + np.rint((np.array(positions) - start) / step) * step)


def _fallback_focus(masks: Sequence[Mask], brain: Volume | None, t1w: Volume) -> Focus:
    expected = None if brain is None else expected_centre(brain.data, brain.affine)
    if expected is not None:
        centre = expected.middle
    else:
        points = [p for mask in masks if len(p := _points(mask.volume))]
        middle = t1w.affine[:3, :3] @ ((np.array(t1w.data.shape) - 1) / 2) + t1w.affine[:3, 3]
        centre = _three(np.median(np.concatenate(points), axis=0) if points else middle)
    positions = {
        name: (centre[axis] - OFFSETS[name], centre[axis], centre[axis] + OFFSETS[name]) for name, axis in AXES.items()
    }
    return Focus(positions, centre)


def _points(volume: Volume) -> np.ndarray:
    """World coordinates (n, 3) of the voxels of a mask."""
    voxels = np.argwhere(volume.data)
    return np.asarray(voxels @ volume.affine[:3, :3].T + volume.affine[:3, 3])


def _three(values: np.ndarray) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z


def crop_plane(name: str, position: float, centre: Point, side: float = CROP_MM) -> Plane:
    """A square around the thalami."""
    return Plane(name, _moved(centre, name, position), side, side, CROP_STEP)


def head_plane(name: str, position: float, low: np.ndarray, high: np.ndarray, step: float = HEAD_STEP) -> Plane:
    """A rectangle around the box from ``low`` to ``high`` (mm)."""
    size = np.asarray(high) - np.asarray(low)
    u, v = [axis for axis in range(3) if axis != AXES[name]]
    return Plane(
        name, _moved(_three((np.asarray(low) + high) / 2), name, position), float(size[u]), float(size[v]), step
    )


def _moved(centre: Point, name: str, position: float) -> Point:
    values = list(centre)
    values[AXES[name]] = position
    return values[0], values[1], values[2]


def outlines(masks: Sequence[Mask], plane: Plane) -> list[Outline]:
    """The outlines of all masks on a plane; the last first, so that ensembles do not cover what they are made of."""
    drawn = []
    for mask in reversed(masks):
        path = contour(_sample_mask(mask.volume, plane), plane.step)
        drawn.append(Outline(path, mask.style, mask.key, mask.label, mask.distrusted))
    return drawn


def _sample_mask(volume: Volume, plane: Plane) -> np.ndarray:
    """A mask on a plane: smooth between small voxels, but the voxels themselves of thick slices, as a line between two
    of them would enclose what is in no mask.
    """
    thick = float(np.linalg.norm(volume.affine[:3, :3], axis=0).max()) >= THICK_MM
    return sample(volume.data, volume.affine, plane, order=0 if thick else 1)


def crop_rows(t1w: Volume, masks: Sequence[Mask], focus: Focus, reference: str = "T1w") -> list[list[SlicePicture]]:
    """Three slices per plane of the T1w around the thalami, with every mask's outline.

    ``reference``: what ``t1w`` is: T1w, or the image that takes its place; here and below.
    """
    planes = [[crop_plane(name, p, focus.centre) for p in focus.positions[name]] for name in PLANES]
    values = [[sample(t1w.data, t1w.affine, plane) for plane in row] for row in planes]
    low, high = local_range(t1w, masks) or grey_range(values)
    names = ", ".join(mask.label for mask in masks if mask.volume.data.any()) or "no mask"
    return [
        [
            SlicePicture(
                plane, window(value, low, high),
                f"{_where(plane)} of the {reference} around the thalami with the outlines of: {names}.",
                outlines(masks, plane), caption=caption,
            )
            for plane, value, caption in zip(row, row_values, CAPTIONS[row[0].name], strict=True)
        ]
        for row, row_values in zip(planes, values, strict=True)
    ]  # fmt: skip


def head_row(
    t1w: Volume, brain: Volume | None, masks: Sequence[Mask], centre: Point, what: str, key: str
) -> list[SlicePicture]:
    """The whole head through a point, one slice per plane, with the outline of the brain mask and of the masks."""
    low, high = head_box(t1w, brain)
    planes = [head_plane(name, centre[AXES[name]], low, high) for name in PLANES]
    values = [sample(t1w.data, t1w.affine, plane) for plane in planes]
    grey = grey_range([values])
    panels = []
    for plane, value in zip(planes, values, strict=True):
        drawn = []
        if brain is not None:
            path = contour(_sample_mask(brain, plane), plane.step)
            drawn.append(Outline(path, palette.Style(palette.BRAIN), key, "brain mask"))
        x, y = plane.pixel(centre)
        side = CROP_MM / plane.step
        box = ((x - side / 2, y - side / 2, side, side),) if what == "" else ()
        text = f"{_where(plane)} of the whole head with the outline of the brain mask{what}."
        panels.append(SlicePicture(plane, window(value, *grey), text, [*drawn, *outlines(masks, plane)], boxes=box))
    return panels


def _where(plane: Plane) -> str:
    """Start of a picture's text."""
    return f"{plane.name.capitalize()} slice ({plane.position:.1f} mm)"


def head_box(t1w: Volume, brain: Volume | None, margin: float = HEAD_MARGIN) -> tuple[np.ndarray, np.ndarray]:
    """World box of the brain with a margin, at least ``SMALLEST_HEAD`` wide; of the whole scan without a brain mask."""
    if brain is not None and brain.data.any():
        low, high = world_box(brain.data.shape, brain.affine)
        low, high = low - margin, high + margin
    else:
        low, high = world_box(t1w.data.shape, t1w.affine)
    lacking = np.maximum(0.0, SMALLEST_HEAD - (high - low)) / 2
    return low - lacking, high + lacking


def registration_rows(
    image: Volume, name: str, t1w: Volume, brain: Volume | None, masks: Sequence[Mask], focus: Focus, key: str,
    reference: str = "T1w", drawn: dict[Plane, np.ndarray] | None = None,
) -> list[list[SlicePicture]]:  # fmt: skip
    """A registered image with the edges of the T1w: three evenly spaced slices per plane, and the thalami close up.

    ``drawn`` keeps the edges on each plane for the other images of the session.
    """
    drawn = {} if drawn is None else drawn
    low, high = head_box(t1w, brain, BRAIN_MARGIN)
    rows = []
    for plane_name in PLANES:
        axis = AXES[plane_name]
        positions = low[axis] + (high[axis] - low[axis]) * np.array([0.3, 0.5, 0.7])
        rows.append([head_plane(plane_name, float(p), low, high) for p in positions])
    rows.append(_middle_planes(focus))
    values = [[sample(image.data, image.affine, plane) for plane in row] for row in rows]
    grey = grey_range(values)
    drawn |= {plane: _edges_on(t1w, brain, plane) for row in rows for plane in row if plane not in drawn}
    of_image = [mask for mask in masks if mask.image == name]
    return [
        [
            SlicePicture(
                plane, window(value, *grey),
                f"{_where(plane)} of the registered {name} with the edges of the {reference} image.",
                outlines(of_image, plane) if row is rows[-1] else (), drawn[plane], key,
            )
            for plane, value in zip(row, row_values, strict=True)
        ]
        for row, row_values in zip(rows, values, strict=True)
    ]  # fmt: skip


def middle_row(
    image: Volume, masks: Sequence[Mask], focus: Focus, what: str, grey: tuple[float, float] | None = None
) -> list[SlicePicture]:
    """One slice per plane through the thalami with the outlines of masks; ``grey``: what is black and white."""
    planes = _middle_planes(focus)
    values = [sample(image.data, image.affine, plane) for plane in planes]
    grey = grey or grey_range([values])
    names = ", ".join(dict.fromkeys(mask.label for mask in masks if mask.volume.data.any())) or "no mask"
    return [
        SlicePicture(
            plane, window(value, *grey), f"{_where(plane)} of the {what} with the outlines of: {names}.",
            outlines(masks, plane),
        )
        for plane, value in zip(planes, values, strict=True)
    ]  # fmt: skip


def edge_row(
    image: Volume, what: str, other: Volume, other_what: str, brain: Volume | None, focus: Focus, key: str
) -> list[SlicePicture]:
    """One slice per plane of the whole brain, of one image with the edges of another, whose brain mask is given."""
    low, high = head_box(other, brain, BRAIN_MARGIN)
    planes = [head_plane(name, focus.positions[name][1], low, high) for name in PLANES]
    values = [sample(image.data, image.affine, plane) for plane in planes]
    grey = grey_range([values])
    return [
        SlicePicture(
            plane, window(value, *grey), f"{_where(plane)} of the {what} with the edges of the {other_what}.",
            edges=_edges_on(other, brain, plane), edges_key=key,
        )
        for plane, value in zip(planes, values, strict=True)
    ]  # fmt: skip


def thumbnail(t1w: Volume, masks: Sequence[Mask], focus: Focus, reference: str = "T1w") -> list[SlicePicture]:
    """Two small pictures for a page with many sessions: axial and coronal, through the middle of the thalami."""
    planes = [
        Plane(name, _moved(focus.centre, name, focus.positions[name][1]), SMALL_MM, SMALL_MM, SMALL_STEP)
        for name in ("axial", "coronal")
    ]
    values = [sample(t1w.data, t1w.affine, plane) for plane in planes]
    grey = grey_range([values])
    return [
        SlicePicture(
            plane,
            window(value, *grey),
            f"{_where(plane)} of the {reference} with the thalamus masks.",
            outlines(masks, plane),
        )
        for plane, value in zip(planes, values, strict=True)
    ]


def _middle_planes(focus: Focus) -> list[Plane]:
    """Axial and coronal through the middle of the thalami, sagittal through the left one."""
    middle = {name: positions[1] for name, positions in focus.positions.items()}
    middle["sagittal"] = focus.positions["sagittal"][0]
    return [crop_plane(name, middle[name], focus.centre) for name in PLANES]


def _edges_on(t1w: Volume, brain: Volume | None, plane: Plane) -> np.ndarray:
    """Edges of the T1w on a plane, at half the step of the picture, in the brain and just around it."""
    fine = Plane(plane.name, plane.centre, plane.shape[1] * plane.step, plane.shape[0] * plane.step, plane.step / 2)
    region = None
    if brain is not None and brain.data.any():
        inside = _sample_mask(brain, fine) >= 0.5
        region = ndimage.binary_dilation(inside, iterations=round(EDGE_MARGIN / fine.step))
    return edges(sample(t1w.data, t1w.affine, fine), 1.0 / fine.step, region)


def edges(values: np.ndarray, sigma: float, region: np.ndarray | None = None, share: float = 0.2) -> np.ndarray:
    """Ridges of the gradient of a smoothed image inside a region: the strongest, and the weaker ones that touch them.

    A small Canny (1986): Gaussian smoothing (sigma in pixels), gradient, only pixels that are the maximum across the
    edge; strong is what exceeds the gradient of all but ``share`` of the region, weak 40 % of that.
    """
    smooth = ndimage.gaussian_filter(values.astype(np.float32), sigma)
    down, right = np.gradient(smooth)
    size = np.hypot(down, right)
    if not size.any():
        return np.zeros(values.shape, dtype=bool)
    rows, columns = np.indices(values.shape)
    unit_down, unit_right = (np.divide(part, size, out=np.zeros_like(size), where=size > 0) for part in (down, right))
    ahead, behind = (
        ndimage.map_coordinates(size, [rows + sign * unit_down, columns + sign * unit_right], order=1, mode="nearest")
        for sign in (1, -1)
    )
    ridge = (size >= ahead) & (size > behind)
    if region is not None:
        ridge &= region
    inside = size[region] if region is not None and region.any() else size[size > 0.02 * size.max()]
    strong = np.quantile(inside, 1 - share)
    numbered, _ = ndimage.label(ridge & (size > 0.4 * strong), np.ones((3, 3)))
    kept = np.unique(numbered[ridge & (size > strong)])
    return np.asarray(np.isin(numbered, kept[kept > 0]))


def far_masks(masks: Sequence[Mask], focus: Focus) -> list[tuple[Mask, Point]]:
    """Masks whose middle lies outside the pictures of the thalami, with that middle."""
    out = []
    for mask in masks:
        points = _points(mask.volume)
        if len(points):
            middle = _three(np.median(points, axis=0))
            if np.abs(np.subtract(middle, focus.centre)).max() > CROP_MM / 2 - 5:
                out.append((mask, middle))
    return out


def local_range(image: Volume, masks: Sequence[Mask]) -> tuple[float, float] | None:
    """Intensities shown as black and white where the border of the thalamus shall be seen: around the median inside
    the trusted masks, as far as what is brighter (or darker) just outside of it; None without such a mask.

    In the range of the whole head the thalamus and the capsule are two greys that hardly differ.
    """
    points = [p for mask in masks if not mask.distrusted and len(p := _points(mask.volume))]
    if not points:
        return None
    inverse = np.linalg.inv(image.affine)
    voxels = [np.rint(p @ inverse[:3, :3].T + inverse[:3, 3]).astype(int) for p in points]
    margin = np.ceil(NEAR_MM / np.linalg.norm(image.affine[:3, :3], axis=0)).astype(int)
    low = np.maximum(np.min([v.min(axis=0) for v in voxels], axis=0) - margin, 0)
    high = np.minimum(np.max([v.max(axis=0) for v in voxels], axis=0) + margin + 1, image.data.shape)
    if (high <= low).any():
        return None
    box = np.asarray(image.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], np.float32)
    thalami = np.zeros(box.shape, dtype=bool)
    for values in voxels:
        inside = ((values >= low) & (values < high)).all(axis=1)
        thalami[tuple((values[inside] - low).T)] = True
    zooms = np.linalg.norm(image.affine[:3, :3], axis=0)
    near = ndimage.distance_transform_edt(~thalami, sampling=zooms) <= NEAR_MM
    around = box[near & ~thalami & (box != 0)]
    if not thalami.any() or around.size < 10:
        return None
    middle = float(np.median(box[thalami]))
    bright, dark = np.quantile(around, [0.95, 0.35])
    reach = SPREADS * max(float(bright) - middle, middle - float(dark))
    return (middle - reach, middle + reach) if reach > 0 else None


def grey_range(values: Sequence[Sequence[np.ndarray]]) -> tuple[float, float]:
    """Intensities shown as black and white: 0.5th and 99.7th percentile of what is not exactly 0 in these pictures."""
    flat = np.concatenate([value.ravel() for row in values for value in row])
    flat = flat[flat != 0]
    if flat.size == 0:
        return 0.0, 1.0
    low, high = np.quantile(flat, [0.005, 0.997])
    return float(low), float(high)
