"""SynThal: left and right thalamus, brain mask and intracranial volume from one scan of any contrast.

Two small networks that saw only synthetic scans (docs/methods.md). The first looks at the whole head at 3 mm: where the
thalami are, what is brain, what is inside the skull (``thalbids.inference.head``). The second looks at a box of
64 x 56 x 48 mm around the thalami at 1 mm. Both work on grids in the world: storage order and obliquity of a scan do
not matter. Probabilities, not labels, are brought back to the scan's own grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from thalbids.inference import boxes, network
from thalbids.inference.head import FOUND_MM3
from thalbids.inference.intensity import normalise
from thalbids.inference.parts import clean

WEIGHTS = Path(__file__).parents[1] / "data" / "synthal"
ROI_SHAPE = (64, 56, 48)  # voxels of 1 mm: little more than the thalami, so that little else can tell their size
ROI_LEFT, ROI_RIGHT = 1, 2
THREADS = 1  # part of the result: with another number of threads sums differ in the fourth digit
RECENTRE_MM = 1.0
TURN_DEGREES = 1.5
MOVES = 7
PITCH_DEGREES = 17.0  # of the long axis of the thalami in the training maps (median; 6 to 35)
STEEPEST_DEGREES = 60.0
# Besides straight and mirrored, the box is looked into turned by degrees about x, y and z, mirrored or not.
TURNS: tuple[tuple[tuple[float, float, float], bool], ...] = (((6, 3, 3), False), ((-6, -3, -3), True))


@dataclass(frozen=True)
class Thalami:
    """What the second network sees, on the grid of the scan.

    Attributes
    ----------
    left, right : float32 probabilities (x, y, z)
    centre : world position of the middle of the box that was looked at
    diagnostics : ``flip_dice`` (agreement of the mask with that of the mirrored box), ``confidence`` (mean probability
        inside the mask, scaled so that 1 is certain), ``in_view`` (share of the mask that lies inside the scan),
        ``spread`` (SD of the volumes of the looks over their mean), ``settled`` (the box stopped moving)
    """

    left: np.ndarray
    right: np.ndarray
    centre: np.ndarray
    diagnostics: dict[str, float | bool] = field(default_factory=dict)

    def labels(self) -> np.ndarray:
        """uint8 labels 10 (left) and 49 (right) where both sides together reach one half."""
        out = np.zeros(self.left.shape, np.uint8)
        inside = self.left + self.right >= 0.5
        out[inside] = np.where(self.left[inside] >= self.right[inside], 10, 49)
        return out


def see_thalami(
    image: nib.Nifti1Image, centre: np.ndarray, net: Callable[[np.ndarray], np.ndarray], *, flip: bool = True
) -> Thalami:
    """Run the second network around `centre` (world mm), moving the box until it sits on what it finds.

    With `flip` the answer is the mean over the straight, the mirrored and the turned boxes (`TURNS`).
    """
    data = boxes.without_background(np.asarray(image.dataobj, dtype=np.float32))
    data, affine = boxes.average_blocks(data, image.affine, 1.0)
    box = settle(net, data, affine, centre)
    agreement, spread = 1.0, 0.0
    looks = [(box.seen, box.grid, 1.0)]
    if flip:
        other = mirrored(net, box.values)
        agreement = dice(box.seen.sum(0) >= 0.5, other.sum(0) >= 0.5)
        more = [turned(net, data, affine, box, *turn) for turn in TURNS]
        spread = relative_sd([int((q.sum(0) >= 0.5).sum()) for q in (box.seen, other, *(seen for seen, _ in more))])
        looks = [((box.seen + other) / 2, box.grid, 0.5), *((*look, 0.5 / len(TURNS)) for look in more)]
    sides = np.zeros((2, *image.shape), np.float32)
    for seen, at, weight in looks:
        for side, q in enumerate(clean(seen)):
            sides[side] += weight * boxes.back(q, at, image.shape, image.affine)
    diagnostics = {"flip_dice": agreement, "settled": box.settled, "spread": spread} | certainty(
        clean(looks[0][0]), box.grid, affine, data.shape
    )
    return Thalami(sides[0], sides[1], box.centre, diagnostics)


@dataclass(frozen=True)
class Box:
    """Where the second network looks: its middle (world, mm), its axes as columns, and what it sees there."""

    centre: np.ndarray
    axes: np.ndarray
    grid: np.ndarray
    values: np.ndarray
    seen: np.ndarray
    settled: bool


def settle(net: Callable[[np.ndarray], np.ndarray], data: np.ndarray, affine: np.ndarray, centre: np.ndarray) -> Box:
    """Move and turn the box until it sits on the thalami that are seen in it, along their own axes.

    What the network says depends a little on how the head lies in the box; along the thalami's axes the same head lies
    in it in the same way, whatever its pose in the scanner.
    """
    axes = np.eye(3)
    for move in range(MOVES):
        grid = boxes.grid_around(centre, ROI_SHAPE, 1.0, axes)
        values = normalise(boxes.sample(data, affine, grid, ROI_SHAPE, 3))
        seen = net(values)[[ROI_LEFT, ROI_RIGHT]]
        sides = clean(seen)
        # both sides together, because a wide third ventricle leaves the thalami apart
        if sides.sum() < FOUND_MM3:
            return Box(centre, axes, grid, values, seen, settled=False)
        middle, along = boxes.world(grid, ndimage.center_of_mass(sides.sum(0))), own_axes(sides, grid)
        angle = np.rad2deg(Rotation.from_matrix(along.T @ axes).magnitude())
        settled = bool(np.linalg.norm(middle - centre) <= RECENTRE_MM and angle <= TURN_DEGREES)
        if settled or move == MOVES - 1:
            break
        centre, axes = middle, along
    return Box(centre, axes, grid, values, seen, settled)


def own_axes(sides: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The head's axes (columns: right, front, up; world) by its thalami: probabilities (left and right, x, y, z).

    Right is from the middle of the left to that of the right thalamus; front and up follow the longest axis of both
    seen from the side, which rises by `PITCH_DEGREES` towards the front. The axes of the grid where a side is missing
    or the answer is more than `STEEPEST_DEGREES` away from the world's: a half-seen thalamus tells no direction.
    """
    now = grid[:3, :3] / np.linalg.norm(grid[:3, :3], axis=0)
    if sides.sum((1, 2, 3)).min() < FOUND_MM3 / 2:
        return now
    points = boxes.world_of_all(grid, sides.shape[1:])
    middles = [(points * side).sum((1, 2, 3)) / side.sum() for side in sides]
    right = (middles[1] - middles[0]) / np.linalg.norm(middles[1] - middles[0])
    spread = np.zeros((3, 3))
    for side, middle in zip(sides, middles, strict=True):
        away = points - middle.reshape(3, 1, 1, 1)
        spread += np.einsum("ixyz,jxyz,xyz->ij", away, away, side)
    flat = np.eye(3) - np.outer(right, right)
    front = np.linalg.eigh(flat @ spread @ flat)[1][:, 2]
    front = front * np.sign(front @ now[:, 1])
    axes = np.stack([right, front, np.cross(right, front)], 1)
    axes = axes @ Rotation.from_euler("x", -PITCH_DEGREES, degrees=True).as_matrix()
    steep = np.rad2deg(Rotation.from_matrix(axes).magnitude()) > STEEPEST_DEGREES
    return now if steep else axes


def mirrored(net: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Probabilities (left and right, x, y, z) seen in the mirror."""
    return net(np.ascontiguousarray(x[::-1]))[[ROI_RIGHT, ROI_LEFT], ::-1]


def turned(
    net: Callable[[np.ndarray], np.ndarray],
    data: np.ndarray,
    affine: np.ndarray,
    box: Box,
    angles: tuple[float, float, float],
    flipped: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (left and right, x, y, z) in the box turned by `angles` (degrees), and its grid."""
    turn = box.axes @ Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    grid = boxes.grid_around(box.centre, ROI_SHAPE, 1.0, turn)
    x = normalise(boxes.sample(data, affine, grid, ROI_SHAPE, 3))
    return (mirrored(net, x) if flipped else net(x)[[ROI_LEFT, ROI_RIGHT]]), grid


def certainty(p: np.ndarray, grid: np.ndarray, affine: np.ndarray, shape: tuple[int, ...]) -> dict[str, float]:
    """How certain the probabilities are inside their mask, and how much of it the scan shows."""
    both = p.sum(0)
    mask = both >= 0.5
    if not mask.any():
        return {"confidence": 0.0, "in_view": 0.0}
    seen = boxes.inside(np.linalg.inv(affine) @ grid, ROI_SHAPE, shape)
    return {"confidence": float(2 * both[mask].mean() - 1), "in_view": float((seen & mask).sum() / mask.sum())}


def relative_sd(values: list[int]) -> float:
    """SD over mean; 0 where all are 0."""
    mean = float(np.mean(values))
    return float(np.std(values, ddof=1)) / mean if mean else 0.0


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two boolean arrays; 0 when both are empty."""
    n = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / n if n else 0.0


def networks(precision: str = "full", threads: int = THREADS) -> tuple[network.Network, network.Network]:
    """The whole-head and the thalamus network with the packaged weights."""
    return (
        network.load(WEIGHTS / "head.xml", precision, threads),
        network.load(WEIGHTS / "roi.xml", precision, threads),
    )
