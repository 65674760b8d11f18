"""SynThal: left and right thalamus, brain mask and intracranial volume from one scan of any contrast.

Two small networks that saw only synthetic scans (docs/methods.md). The first looks at the whole head at 3 mm: where the
thalami are, what is brain, what is inside the skull (``thalbids.inference.head``). The second looks at a box of
64 x 56 x 48 mm around the thalami at 1 mm. Both work on grids in the world: storage order and obliquity of a scan do
not matter. Probabilities, not labels, are brought back to the scan's own grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from thalbids.image.noise import noise_sd, non_local_means
from thalbids.inference import boxes, network
from thalbids.inference.head import FOUND_MM3
from thalbids.inference.normalisation import normalise
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
LITTLE_NOISE, MUCH_NOISE = 0.02, 0.03  # SD over the brightest tissue: none of it is removed, all of it is
ASIDE = 10  # voxels around the box that a turned one sees
Look = tuple[tuple[float, float, float], bool]  # the box turned by degrees about its x, y, z; mirrored or not
# the second look is the first one mirrored: their agreement is told
LOOKS: tuple[Look, ...] = (((0, 0, 0), False), ((0, 0, 0), True), ((6, 3, 3), False), ((-6, -3, -3), True))
Net = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Thalami:
    """What the second network sees, in a part of the scan; elsewhere there is nothing.

    Attributes
    ----------
    sides : float32 probabilities of left and right (2, x, y, z), on the grid of the scan
    part : where in the scan they lie
    shape : of the scan
    centre : world position of the middle of the box that was looked at
    diagnostics : ``flip_dice`` (agreement of the mask with that of the mirrored box), ``confidence`` (mean probability
        inside the mask, scaled so that 1 is certain), ``in_view`` (share of the mask that lies inside the scan),
        ``spread`` (SD of the volumes of the looks over their mean), ``noise`` (:func:`relative_noise` around the
        thalami), ``settled`` (the box stopped moving)
    """

    sides: np.ndarray
    part: tuple[slice, ...]
    shape: tuple[int, ...]
    centre: np.ndarray
    diagnostics: dict[str, float | bool] = field(default_factory=dict)

    def labels(self) -> np.ndarray:
        """uint8 labels of the scan: 10 (left) and 49 (right) where both sides together reach one half."""
        left, right = self.sides
        return self.in_scan(np.where(left + right >= 0.5, np.where(left >= right, 10, 49), 0).astype(np.uint8))

    def probability(self) -> np.ndarray:
        """float32 probabilities of either side, of the scan."""
        return self.in_scan(np.minimum(self.sides.sum(0), 1))

    def in_scan(self, values: np.ndarray) -> np.ndarray:
        """Values (x, y, z) of the part, on the whole grid of the scan."""
        out = np.zeros(self.shape, values.dtype)
        out[self.part] = values
        return out


def see_thalami(
    image: nib.Nifti1Image, centre: np.ndarray, net: Net, *, flip: bool = True, box: OrientedBox | None = None
) -> Thalami:
    """Run the second network around `centre` (world mm), moving the box until it sits on what it finds.

    With `flip` the answer is the mean over several looks (`LOOKS`), without it that of the first alone. `box`: where
    :func:`box_at` came to rest in this image, where that is known; without what the network sees there it looks again.
    """
    data = boxes.without_background(np.asarray(image.dataobj, dtype=np.float32))
    data, affine = boxes.average_blocks(data, image.affine, 1.0)
    if box is None or box.seen is None:
        box = settle(net, data, affine, OrientedBox(centre) if box is None else box)
    data, affine = boxes.part(data, affine, box.grid(), ROI_SHAPE, ASIDE)
    noise = relative_noise(data)
    if noise > LITTLE_NOISE:  # what `settle` saw last is the scan as it is
        box = replace(box, seen=None)
    thalami = look(image, without_much_noise(data, noise), affine, box, net, LOOKS if flip else LOOKS[:1])
    return replace(thalami, diagnostics=thalami.diagnostics | {"noise": noise})


def box_at(image: nib.Nifti1Image, centre: np.ndarray, net: Net) -> OrientedBox:
    """The box that sits on the thalami at `centre` (world, mm), along the head's axes."""
    data = boxes.without_background(np.asarray(image.dataobj, dtype=np.float32))
    return settle(net, *boxes.average_blocks(data, image.affine, 1.0), OrientedBox(centre))


def relative_noise(data: np.ndarray) -> float:
    """SD of the noise of a scan (x, y, z) over the 95th percentile of what is not 0; 0 where it cannot be told."""
    return (noise_sd(data) or 0.0) / brightest(data)


def brightest(data: np.ndarray) -> float:
    """The 95th percentile of what is not 0; 1 where all is."""
    return float(np.percentile(data[data > 0], 95)) if (data > 0).any() else 1.0


def without_much_noise(data: np.ndarray, noise: float) -> np.ndarray:
    """A scan (x, y, z) with the noise removed that is worth it: a little is read well as it is.

    From `LITTLE_NOISE` to `MUCH_NOISE` of :func:`relative_noise`, the share that is removed rises from none to all.
    """
    share = np.clip((noise - LITTLE_NOISE) / (MUCH_NOISE - LITTLE_NOISE), 0, 1)
    return non_local_means(data, float(share) * noise * brightest(data))


def look(
    image: nib.Nifti1Image, data: np.ndarray, affine: np.ndarray, box: OrientedBox, net: Net, looks: Sequence[Look]
) -> Thalami:
    """The mean over looks into a box, on the grid of `image`; they see `data`, of `affine`."""
    near, near_affine = boxes.near(image.shape, image.affine, box.grid(), ROI_SHAPE, ASIDE)
    size = tuple(side.stop - side.start for side in near)
    sides = np.zeros((2, *size), np.float32)
    masks: list[np.ndarray] = []
    before = None
    for angles, mirror in looks:
        if angles != before:  # the mirrored look is one into the same box
            grid = box.grid(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
            x = normalise(boxes.sample(data, affine, grid, ROI_SHAPE, 3))
            before = angles
        if box.seen is not None and not masks:
            seen = box.seen
        else:
            seen = mirrored(net, x) if mirror else net(x)[[ROI_LEFT, ROI_RIGHT]]
        cleaned = clean(seen)
        masks.append(seen.sum(0) >= 0.5)
        if len(masks) == 1:
            told = certainty(cleaned, grid, affine, data.shape)
        for side, q in enumerate(cleaned):
            part, values = boxes.back_in_box(q, grid, size, near_affine)
            sides[side][part] += values / len(looks)
    agreement = dice(*masks[:2]) if len(masks) > 1 else 1.0
    spread = relative_sd([int(mask.sum()) for mask in masks])
    diagnostics = {"flip_dice": agreement, "settled": box.settled, "spread": spread} | told
    return Thalami(sides, near, image.shape, box.centre, diagnostics)


@dataclass(frozen=True)
class OrientedBox:
    """Where the second network looks: its middle (world, mm), its axes as columns, whether it came to rest, and what
    the network sees there (probabilities of left and right, x, y, z), where it has looked.
    """

    centre: np.ndarray
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))
    settled: bool = False
    seen: np.ndarray | None = None

    @property
    def axes_at_rest(self) -> np.ndarray | None:
        """The head's axes by the thalami; None where the box did not come to rest."""
        return self.axes if self.settled else None

    def grid(self, turn: np.ndarray | None = None) -> np.ndarray:
        """Of the box (4, 4), or of the box turned about its own axes by a matrix (3, 3)."""
        return boxes.grid_around(self.centre, ROI_SHAPE, 1.0, self.axes if turn is None else self.axes @ turn)


def settle(net: Net, data: np.ndarray, affine: np.ndarray, box: OrientedBox) -> OrientedBox:
    """Move and turn the box until it sits on the thalami that are seen in it, along their own axes.

    What the network says depends a little on how the head lies in the box; along the thalami's axes the same head lies
    in it in the same way, whatever its pose in the scanner.
    """
    for left in reversed(range(MOVES)):
        grid = box.grid()
        values = normalise(boxes.sample(data, affine, grid, ROI_SHAPE, 3))
        seen = net(values)[[ROI_LEFT, ROI_RIGHT]]
        box, sides = replace(box, seen=seen), clean(seen)
        # both sides together, because a wide third ventricle leaves the thalami apart
        if sides.sum() < FOUND_MM3:
            break
        middle, along = boxes.world(grid, ndimage.center_of_mass(sides.sum(0))), own_axes(sides, grid)
        angle = np.rad2deg(Rotation.from_matrix(along.T @ box.axes).magnitude())
        if np.linalg.norm(middle - box.centre) <= RECENTRE_MM and angle <= TURN_DEGREES:
            return replace(box, settled=True)
        if left:
            box = OrientedBox(middle, along)
    return box


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


def mirrored(net: Net, x: np.ndarray) -> np.ndarray:
    """Probabilities (left and right, x, y, z) seen in the mirror."""
    return net(np.ascontiguousarray(x[::-1]))[[ROI_RIGHT, ROI_LEFT], ::-1]


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
    return float(np.std(values, ddof=1)) / mean if mean and len(values) > 1 else 0.0


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
