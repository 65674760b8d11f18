"""SynThal on all visits of a person: every visit is looked at in the same way, and with more looks than one scan gets.

What makes two volumes of an unchanged thalamus differ is the noise, the head's pose, and the resolution of the scans.
So noise is removed from all visits alike where one of them has much, and each is brought to the resolution of the
coarsest; it is seen in boxes that lie in the same way about its thalami, whatever the pose; and the mean over many
boxes is taken. Besides that, the visits know nothing of each other: nothing pulls a change towards zero, and no visit
is special.
"""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np

from thalbids.image.grids import zooms
from thalbids.inference import synthal

LOOKS: tuple[synthal.Look, ...] = (
    *synthal.LOOKS,
    *(
        (turn, mirror)
        for turn, mirror in (((6, 3, 3), True), ((-6, -3, -3), False), ((4, -5, 5), False), ((4, -5, 5), True))
    ),
)
SLICE_SD = 0.42  # SD over width of a voxel's sensitivity, that of a bell whose half-width is the voxel
SAME = 0.05  # mm2 of variance: differences of resolution below are left


def see_visits(
    images: Sequence[nib.Nifti1Image], centres: Sequence[np.ndarray], net: synthal.Net
) -> list[synthal.Thalami]:
    """The thalami at every visit, on its own grid.

    Parameters
    ----------
    images : scans of one contrast
    centres : the middle of both thalami of each (world, mm), roughly
    net : the thalamus network
    """
    scans = [synthal.ready(image) for image in images]
    settled = [synthal.settle(net, *scan, centre) for scan, centre in zip(scans, centres, strict=True)]
    parts = [synthal.Part.around(*scan, box) for scan, box in zip(scans, settled, strict=True)]
    share = max(part.to_remove() for part in parts)
    blurs = missing_blur([spread_of(image, box.axes) for image, box in zip(images, settled, strict=True)])
    return [
        synthal.look(image, part.denoised(share), box, net, LOOKS, blur)
        for image, part, box, blur in zip(images, parts, settled, blurs, strict=True)
    ]


def spread_of(image: nib.Nifti1Image, axes: np.ndarray) -> np.ndarray:
    """Variance (3, 3; mm2) of what one voxel of the scan sees, along the axes of its box."""
    sizes = np.maximum(zooms(image.affine), 1.0)  # finer ones are averaged to about 1 mm
    directions = axes.T @ (image.affine[:3, :3] / zooms(image.affine))
    return np.asarray(directions @ np.diag((SLICE_SD * sizes) ** 2) @ directions.T)


def missing_blur(spreads: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Variance (3, 3; mm2) of the blur that brings each visit to the resolution of the coarsest in every direction."""
    out = []
    for own in spreads:
        lacking = np.zeros((3, 3))
        for other in spreads:
            values, vectors = np.linalg.eigh(other - own - lacking)
            lacking += (vectors * np.where(values > SAME, values, 0)) @ vectors.T
        out.append(lacking)
    return out
