"""The whole-head network: brain, inside of the skull, and where the thalami are.

The network always looks into a box of one size, set on the head itself and turned upright with it, and intensities
are normalised by what is near the brain. So neither the field of view nor air or padding changes what is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.image import landmarks
from thalbids.image.grids import voxel_volume, zooms
from thalbids.image.volumes import face_areas_mm2
from thalbids.inference import boxes
from thalbids.inference.normalisation import normalise
from thalbids.inference.parts import clean, fill_holes, largest

HEAD_SPACING = 3.0
HEAD_SHAPE = (72, 80, 72)  # 216 x 240 x 216 mm around the middle of the brain
# channels of the network (training/maps.py)
HEAD_BRAIN, HEAD_THALAMI = (2, 3, 4, 5), (4, 5)
BRAIN_MARGIN_MM = 5.0  # brain mask and FreeSurfer's brainmask.mgz agree best so (model card)
ICV_MARGIN_MM = 4.1  # and the intracranial volume with its eTIV
NEAR_MM = 20.0  # from the brain: what intensities are normalised by
# A scan with little but zeros at this distance from the brain's hull was skull-stripped: up to 15 % of the shell is
# filled in stripped scans, with a rim of 8 mm too; 56 to 100 % in whole heads, also where only the upper half is shown.
STRIPPED_SHELL_MM, STRIPPED_FILLED = (12.0, 16.0), 0.35
FOUND_MM3 = 1500.0  # less soft thalamus than this in the whole head: it was not found
LEAST_PROBABILITY = 0.02  # below, a voxel is left out of where the thalami lie
LOOKS = 5
SETTLED_MM, SETTLED_DEGREES, UPRIGHT_DEGREES = 4.0, 5.0, 9.0
MISSED_DEGREES = 20.0  # between the pose of the looks and that of the thalami, beyond which a tilt was missed
PITCH_DEGREES = 17.0  # of the brain's long axis in an upright head
STRIPPED_CUT_MM2 = 1500.0  # of a stripped brain in one outermost plane: one that is cropped closely has a third of it
CUT_MM2 = 600.0  # so much of the skull's inside may touch the edge of the field of view: the brain stem does
# Skull and scalp are wider than this, so that what lies so near the skull's inside touches the edge of a cut head: the
# network rounds the brain off before the edge. 0 in whole heads, also cut to their skin; 16 to 160 cm^2 in cut ones.
SCALP_MM, SCALP_CUT_MM2 = 10.0, 1500.0


@dataclass(frozen=True)
class Head:
    """What the whole-head network sees.

    Attributes
    ----------
    brain : uint8 mask (0, 1) on the grid of the scan: brain with the fluid around it, up to the inner skull
    icv_mm3 : volume inside the skull as far as the scan shows it
    centre : world position (mm, RAS+) of the middle of both thalami; None when they were not found
    thalami_mm3 : soft volume of the thalami at 3 mm, a rough number to judge `centre` by
    cut_mm2 : area over which the inside of the skull touches the edge of the field of view; of a stripped brain the
        largest one in one face
    scalp_cut_mm2 : the same of what lies within `SCALP_MM` of the brain
    tilt : degrees by which the head is turned out of the upright pose
    places : where it sees the left and the right thalamus (:mod:`thalbids.image.landmarks`); None without one of them
    stripped : next to nothing but the brain is left in the scan: it was skull-stripped, and `icv_mm3` is what is left
    """

    brain: np.ndarray
    icv_mm3: float
    centre: np.ndarray | None
    thalami_mm3: float
    cut_mm2: float = 0.0
    scalp_cut_mm2: float = 0.0
    tilt: float = 0.0
    stripped: bool = False
    places: dict[str, landmarks.Side] | None = None

    @property
    def cut_off(self) -> bool:
        """Whether skull or brain leave the field of view, so that `icv_mm3` is too small by an unknown amount."""
        limit = STRIPPED_CUT_MM2 if self.stripped else CUT_MM2
        return self.cut_mm2 > limit or self.scalp_cut_mm2 > SCALP_CUT_MM2


@dataclass(frozen=True)
class Look:
    """What the network sees from one place: probabilities (classes, *HEAD_SHAPE), and where it stood.

    `distance` is that from the brain's hull in mm, `seen` the voxels that the scan shows.
    """

    p: np.ndarray
    grid: np.ndarray
    distance: np.ndarray
    seen: np.ndarray

    @cached_property
    def middle(self) -> np.ndarray:
        """World position of the middle of the brain."""
        return boxes.world(self.grid, ndimage.center_of_mass(self.distance <= 0))

    @cached_property
    def thalami(self) -> np.ndarray:
        """Probabilities of the left and the right thalamus within the brain."""
        return clean(self.p[list(HEAD_THALAMI)] * (self.distance <= BRAIN_MARGIN_MM), threshold=0.3)

    @property
    def thalami_mm3(self) -> float:
        """Soft volume of both thalami."""
        return float(self.thalami.sum(0).sum() * HEAD_SPACING**3)

    @property
    def centre(self) -> np.ndarray | None:
        """World position of the middle of both thalami; None when they were not found."""
        there = self.thalami_mm3 >= FOUND_MM3
        return boxes.world(self.grid, ndimage.center_of_mass(self.thalami.sum(0))) if there else None

    @property
    def pose(self) -> np.ndarray:
        """The axes along which it looked, as columns."""
        return self.grid[:3, :3] / HEAD_SPACING

    @cached_property
    def turn(self) -> np.ndarray:
        """The head's axes in the world as columns: right (thalamus to thalamus), front (along the brain), up."""
        old = self.pose
        left, right = self.thalami
        if min(left.sum(), right.sum()) * HEAD_SPACING**3 < FOUND_MM3 / 4:
            return old
        points = np.argwhere(self.distance <= 0).astype(float)
        across = np.subtract(ndimage.center_of_mass(right), ndimage.center_of_mass(left))
        across /= np.linalg.norm(across)
        points -= points.mean(0)
        points -= np.outer(points @ across, across)
        long = np.linalg.eigh(points.T @ points)[1][:, -1]
        long *= np.sign(long[1]) or 1.0
        up = np.cross(across, long)
        pitch = np.deg2rad(PITCH_DEGREES)
        front = np.cos(pitch) * long - np.sin(pitch) * up
        return np.asarray(old @ np.stack([across, front, np.cross(across, front)], 1))


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in degrees of the rotation from one set of axes (3, 3) to another."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))))


def top_of_head(small: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A first guess of the middle of the brain: 80 mm below the top of what is not air, in the middle of it."""
    bright = small > 0.15 * np.percentile(small[small > 0], 98) if (small > 0).any() else small != 0
    head = np.argwhere(largest(ndimage.binary_opening(bright)))
    if not len(head):
        head = np.argwhere(np.ones(small.shape, bool))
    points = head @ affine[:3, :3].T + affine[:3, 3]
    low, high = points.min(0), points.max(0)
    upper = points[points[:, 2] > high[2] - 130]
    return np.array([*(upper.min(0) + upper.max(0))[:2] / 2, high[2] - min(80.0, (high[2] - low[2]) / 2)])


def look(
    small: np.ndarray, affine: np.ndarray, grid: np.ndarray, net: Callable[[np.ndarray], np.ndarray], near: Look | None
) -> Look:
    """One look of the network, with intensities normalised by what is near the brain that the last look saw."""
    values = boxes.sample(small, affine, grid, HEAD_SHAPE, 1)
    seen = boxes.inside(np.linalg.inv(affine) @ grid, HEAD_SHAPE, small.shape)
    where = seen
    if near is not None:
        where = seen & (boxes.sample(near.distance, near.grid, grid, HEAD_SHAPE, 1) <= NEAR_MM)
    p = net(normalise(values, where) if (where & (values != 0)).any() else normalise(values))
    return Look(p, grid, from_brain(p[list(HEAD_BRAIN)].sum(0)), seen)


def settle(
    small: np.ndarray,
    affine: np.ndarray,
    net: Callable[[np.ndarray], np.ndarray],
    centre: np.ndarray | None = None,
    turn: np.ndarray | None = None,
) -> Look:
    """Look again and again, from the middle of the brain and upright with the head, until nothing moves any more.

    It begins at `centre` (world, mm) with the axes `turn`; without them near the top of the head, along the world's
    axes, along which a head tilted by less than `UPRIGHT_DEGREES` is looked at in any case.
    """
    centre, seen = top_of_head(small, affine) if centre is None else centre, None
    turn = np.eye(3) if turn is None else turn
    for _ in range(LOOKS):
        seen = look(small, affine, boxes.grid_around(centre, HEAD_SHAPE, HEAD_SPACING, turn), net, seen)
        if not (seen.distance <= 0).any():
            break
        middle, pose = seen.middle, seen.turn
        if angle_between(np.eye(3), pose) < UPRIGHT_DEGREES:
            pose = np.eye(3)
        if np.linalg.norm(middle - centre) <= SETTLED_MM and angle_between(turn, pose) <= SETTLED_DEGREES:
            break
        centre, turn = middle, pose
    assert seen is not None
    return seen


def upright(
    small: np.ndarray, affine: np.ndarray, net: Callable[[np.ndarray], np.ndarray], head: Look, axes: np.ndarray
) -> Look:
    """The look of a head whose tilt the first looks missed, by the axes of its thalami; else the same look.

    A head that is tilted by more than about 20 degrees may look upright to this network, with a brain that is too
    large. The thalamus network reads its pose in any case (:func:`thalbids.inference.synthal.own_axes`), but for the
    pitch, in which upright people differ by up to 20 degrees.
    """
    missed = angle_between(head.pose, axes)
    if missed <= MISSED_DEGREES:
        return head
    again = settle(small, affine, net, head.middle, axes)
    return again if again.centre is not None and angle_between(again.pose, axes) < missed else head


def see_head(
    image: nib.Nifti1Image,
    net: Callable[[np.ndarray], np.ndarray],
    thalamic_axes: Callable[[np.ndarray], np.ndarray | None] | None = None,
) -> Head:
    """Run the whole-head network (class docs: :class:`Head`).

    `thalamic_axes` tells of a place (world, mm) the head's axes by the thalami there, None without thalami.
    """
    data = boxes.without_background(np.asarray(image.dataobj, dtype=np.float32))
    shown, affine = boxes.without_margin(data, image.affine)
    small, small_affine = boxes.average_blocks(shown, affine, HEAD_SPACING)
    head = settle(small, small_affine, net)
    axes = thalamic_axes(head.centre) if thalamic_axes is not None and head.centre is not None else None
    if axes is not None:
        head = upright(small, small_affine, net, head, axes)
    centre = head.centre
    skull = within(head.distance, ICV_MARGIN_MM)
    cut = scalp_cut = 0.0
    tissue = boxes.without_air(data, zooms(image.affine)) != 0
    stripped = is_stripped(tissue, image.affine, head)
    if stripped:  # the stripping drew the border; without a skull the network misses cortex
        brain = fill_holes(largest(tissue))
        icv = float(brain.sum()) * voxel_volume(image.affine)
        cut = float(face_areas_mm2(brain, image.affine).max())
    else:
        brain = boxes.back(within(head.distance, BRAIN_MARGIN_MM), head.grid, image.shape, image.affine) >= 0.5
        cut = contact(skull >= 0.5, head.seen)
        scalp_cut = contact(head.distance <= SCALP_MM, head.seen)
        icv = float((skull * head.seen).sum() * HEAD_SPACING**3)
    tilt = angle_between(np.eye(3), head.turn) if centre is not None else 0.0
    places = None if centre is None else places_of(head.thalami, head.grid)
    return Head(brain.astype(np.uint8), icv, centre, head.thalami_mm3, cut, scalp_cut, tilt, stripped, places)


def places_of(thalami: np.ndarray, grid: np.ndarray) -> dict[str, landmarks.Side] | None:
    """Landmarks of the left and the right thalamus of probabilities (2, x, y, z); None where one was not found."""
    places = {}
    for name, p in zip(landmarks.SIDES, thalami, strict=True):
        voxels = np.argwhere(p > LEAST_PROBABILITY)
        if not len(voxels):
            return None
        places[name] = landmarks.of_weights(voxels, p[tuple(voxels.T)], grid)
    return places


def is_stripped(tissue: np.ndarray, affine: np.ndarray, head: Look) -> bool:
    """Whether the shell around the brain where the scalp should be is nearly empty; `tissue`: what is not air."""
    share, at = boxes.average_blocks(tissue, affine, HEAD_SPACING)
    filled = boxes.sample(share, at, head.grid, HEAD_SHAPE, 1) >= 0.5
    return empty_shell(filled[head.seen], head.distance[head.seen])


def empty_shell(filled: np.ndarray, distance: np.ndarray) -> bool:
    """Whether few voxels of the shell are filled; `distance` is that from the brain's hull in mm."""
    near, far = STRIPPED_SHELL_MM
    shell = filled[(distance > near) & (distance <= far)]
    return shell.size == 0 or bool(shell.mean() < STRIPPED_FILLED)


def contact(mask: np.ndarray, seen: np.ndarray) -> float:
    """Area in mm^2 over which a mask touches what the scan does not show."""
    faces = 0
    shown, edge = np.pad(seen, 1), np.pad(mask & seen, 1)
    for axis in range(3):
        for step in (-1, 1):
            faces += int((edge & ~np.roll(shown, step, axis)).sum())
    return faces * HEAD_SPACING**2


def from_brain(brain: np.ndarray) -> np.ndarray:
    """Distance (mm, negative inside) from the brain's hull: its largest component with the sulci closed over 9 mm."""
    core = np.pad(largest(ndimage.binary_opening(brain >= 0.5)), 6)
    closed = fill_holes(ndimage.binary_closing(core, iterations=3))[6:-6, 6:-6, 6:-6]
    if not closed.any():
        return np.full(brain.shape, np.inf, np.float32)
    distance = ndimage.distance_transform_edt(~closed) - ndimage.distance_transform_edt(closed)
    return np.asarray(ndimage.gaussian_filter(distance * HEAD_SPACING, 0.7), np.float32)


def within(distance: np.ndarray, margin: float) -> np.ndarray:
    """A distance as a membership: 0.5 at the margin, 1 and 0 one voxel to either side."""
    return np.clip((margin - distance) / (2 * HEAD_SPACING) + 0.5, 0, 1).astype(np.float32)
