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
MOVES = 5
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
    settled = False
    for _ in range(MOVES):
        grid = boxes.grid_around(centre, ROI_SHAPE, 1.0)
        x = normalise(boxes.sample(data, affine, grid, ROI_SHAPE, 3))
        p = net(x)[[ROI_LEFT, ROI_RIGHT]]
        # side by side, because a wide third ventricle leaves the thalami apart
        both = clean(p).sum(0)
        if both.sum() < FOUND_MM3:
            break
        middle = boxes.world(grid, ndimage.center_of_mass(both))
        if np.linalg.norm(middle - centre) <= RECENTRE_MM:
            settled = True
            break
        centre = middle
    agreement, spread = 1.0, 0.0
    looks = [(p, grid, 1.0)]
    if flip:
        other = mirrored(net, x)
        agreement = dice(p.sum(0) >= 0.5, other.sum(0) >= 0.5)
        more = [turned(net, data, affine, centre, *turn) for turn in TURNS]
        spread = relative_sd([int((q.sum(0) >= 0.5).sum()) for q in (p, other, *(seen for seen, _ in more))])
        looks = [((p + other) / 2, grid, 0.5), *((*look, 0.5 / len(TURNS)) for look in more)]
    sides = np.zeros((2, *image.shape), np.float32)
    for seen, at, weight in looks:
        for side, q in enumerate(clean(seen)):
            sides[side] += weight * boxes.back(q, at, image.shape, image.affine)
    diagnostics = {"flip_dice": agreement, "settled": settled, "spread": spread} | certainty(
        clean(looks[0][0]), grid, affine, data.shape
    )
    return Thalami(sides[0], sides[1], centre, diagnostics)


def mirrored(net: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Probabilities (left and right, x, y, z) seen in the mirror."""
    return net(np.ascontiguousarray(x[::-1]))[[ROI_RIGHT, ROI_LEFT], ::-1]


def turned(
    net: Callable[[np.ndarray], np.ndarray],
    data: np.ndarray,
    affine: np.ndarray,
    centre: np.ndarray,
    angles: tuple[float, float, float],
    flipped: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (left and right, x, y, z) in the box turned by `angles` (degrees), and its grid."""
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    grid = boxes.grid_around(centre, ROI_SHAPE, 1.0, turn)
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
