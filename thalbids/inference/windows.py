"""A network slid over an image in overlapping windows; where they overlap, their scores are weighted by a Gaussian.

The places of the windows and their weights are those of MONAI's ``sliding_window_inference``, or of another
:class:`Tiling`: the same windows in the same order, so that a voxel's scores are the same sum whether the whole image
is asked for or a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import numpy as np

SIGMA = 0.125  # of the Gaussian, in sides of the window
LEAST = 1e-3  # weight at the corners of a window
Box = tuple[slice, slice, slice]
Shape = tuple[int, int, int]
Net = Callable[[np.ndarray], np.ndarray]


def starts(length: int, side: int) -> list[int]:
    """Where windows begin along an axis that is at least as long as a window: half a window apart, the last one where
    it ends with the axis.

    Examples
    --------
    >>> starts(200, 128)
    [0, 64, 72]
    >>> starts(128, 128)
    [0]
    """
    step = side // 2
    return [min(at, length - side) for at in range(0, length - side + step, step)]


def weights(side: Shape) -> np.ndarray:
    """Of a window's voxels (float32, x, y, z): a Gaussian around its middle, nowhere below `LEAST`."""
    lines = []
    for n in side:
        x = np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2)
        lines.append(np.exp(x**2 / np.float32(-2 * (SIGMA * n) ** 2)))
    gaussian = lines[0][:, None, None] * lines[1][:, None] * lines[2]
    return np.maximum(gaussian, np.float32(max(float(gaussian.min()), LEAST)))


@dataclass(frozen=True)
class Tiling:
    """Where windows begin along an axis (of its length and the side of a window), and the weights of the voxels of a
    window (of its sides; float32).
    """

    starts: Callable[[int, int], list[int]] = starts
    weights: Callable[[Shape], np.ndarray] = weights


MONAI = Tiling()


def needed(shape: Sequence[int], side: Shape, box: Box, tiling: Tiling = MONAI) -> list[Shape]:
    """Where the windows begin that hold a voxel of a box, in the order in which their scores are added."""
    axes = [
        [at for at in tiling.starts(length, n) if at < part.stop and at + n > part.start]
        for length, n, part in zip(shape, side, box, strict=True)
    ]
    return list(product(*axes))  # type: ignore[arg-type]


def labels(
    net: Net, classes: int, image: np.ndarray, side: Shape, box: Box | None = None, tiling: Tiling = MONAI
) -> np.ndarray:
    """The class with the highest score of each voxel, the first of equals.

    Parameters
    ----------
    net : a window (x, y, z) to scores (class, x, y, z)
    classes : how many
    image : float32 (x, y, z); where it is smaller than a window, zeros are put around it
    side : of a window, voxels
    box : only these voxels are asked for, and only the windows that hold one of them are computed; None: all

    Returns
    -------
    uint8 (x, y, z) of the box
    """
    box = box or _slices((0, 0, 0), image.shape)
    more = [max(0, n - have) for n, have in zip(side, image.shape, strict=True)]
    image = np.pad(image, [(n // 2, n - n // 2) for n in more])
    box = _moved(box, [-(n // 2) for n in more])
    low, size = [part.start for part in box], [part.stop - part.start for part in box]
    out, shares = np.zeros(size, np.uint8), tiling.weights(side)
    done, scores = low[0], np.zeros((classes, min(side[0], size[0]), *size[1:]), np.float32)  # planes x from `done` on
    for x, group in groupby(needed(image.shape, side, box, tiling), lambda at: at[0]):
        if x > done:  # no later window holds the planes before x
            ready = x - done
            out[done - low[0] : x - low[0]] = scores[:, :ready].argmax(0)
            for one in scores:
                one[:-ready], one[-ready:] = one[ready:], 0
            done = x
        for at in group:
            seen = net(image[_slices(at, side)])
            here = [slice(max(a, p.start), min(a + n, p.stop)) for a, n, p in zip(at, side, box, strict=True)]
            theirs = _moved(here, at)
            scores[:, *_moved(here, [done, *low[1:]])] += seen[:, *theirs] * shares[theirs]
    out[done - low[0] :] = scores[:, : box[0].stop - done].argmax(0)
    return out


def _slices(low: Sequence[int], size: Sequence[int]) -> Box:
    x, y, z = (slice(a, a + n) for a, n in zip(low, size, strict=True))
    return x, y, z


def _moved(parts: Sequence[slice], by: Sequence[int]) -> Box:
    x, y, z = (slice(part.start - n, part.stop - n) for part, n in zip(parts, by, strict=True))
    return x, y, z
