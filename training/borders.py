"""How far the border of a mask lies from that of a reference label, in parts of the thalamus."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SIDES = ((10, -1), (49, 1))  # labels, and where lateral is along the world's x


def signed_distance(mask: np.ndarray, zooms: np.ndarray) -> np.ndarray:
    """Distance in mm of every voxel's centre from the surface of a mask (x, y, z), negative inside.

    The surface lies half a voxel beyond the centres of the outermost voxels.
    """
    half = float(zooms.mean()) / 2
    inside = ndimage.distance_transform_edt(mask, sampling=zooms)
    outside = ndimage.distance_transform_edt(~mask, sampling=zooms)
    return np.where(mask, half - inside, outside - half)


def offsets(labels: np.ndarray, truth: np.ndarray, affine: np.ndarray) -> dict[str, float]:
    """Mean distance in mm from the surface of the reference to that of the mask (positive: the mask is larger).

    ``lateral`` and ``medial``: of the middle third from behind to front; ``pulvinar``: the lateral border of the
    hindmost quarter. Labels 10 (left) and 49 (right), (x, y, z) of cubic voxels; a mask against itself gives 0.
    """
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(zooms, zooms[0], rtol=1e-3):
        raise ValueError(f"voxels are not cubes: {zooms} mm")
    half = float(zooms.mean()) / 2
    world = np.argwhere(np.isin(truth, (10, 49))) @ affine[:3, :3].T + affine[:3, 3]
    hind, low, high = np.quantile(world[:, 1], (0.25, 0.4, 0.7))
    signed: dict[str, list[np.ndarray]] = {"lateral": [], "pulvinar": [], "medial": []}
    for side, sign in SIDES:
        mask, reference = labels == side, truth == side
        outermost = np.argwhere(mask & ~ndimage.binary_erosion(mask))
        place = outermost @ affine[:3, :3].T + affine[:3, 3]
        middle_x = (np.argwhere(reference) @ affine[:3, :3].T + affine[:3, 3])[:, 0].mean()
        x = sign * (place[:, 0] - middle_x)
        # from the centres of the mask's outermost voxels to its surface: half a voxel
        value = signed_distance(reference, zooms)[tuple(outermost.T)] + half
        middle = (place[:, 1] > low) & (place[:, 1] < high)
        signed["lateral"].append(value[(x > 3) & middle])
        signed["medial"].append(value[(x < -3) & middle])
        signed["pulvinar"].append(value[(x > 2) & (place[:, 1] < hind)])
    return {k: float(np.concatenate(v).mean()) for k, v in signed.items()}
