"""SynThal on all visits of a person: every visit is looked at in the same way, and with more looks than one scan gets.

What makes two volumes of an unchanged thalamus differ is the noise, the head's pose, and the resolution of the scans.
So each visit is freed of its noise, and brought to the resolution of the coarsest one; it is seen in boxes that lie in
the same way about its thalami, whatever the pose; and the mean over many boxes is taken. Besides that, the visits know
nothing of each other: nothing pulls a change towards zero, and no visit is special.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from thalbids.image.denoise import noise_sd, non_local_means
from thalbids.image.grids import zooms
from thalbids.inference import boxes, synthal
from thalbids.inference.intensity import normalise
from thalbids.inference.parts import clean

Net = Callable[[np.ndarray], np.ndarray]
TURNS = ((0.0, 0.0, 0.0), (6.0, 3.0, 3.0), (-6.0, -3.0, -3.0), (4.0, -5.0, 5.0))  # degrees about x, y, z
REACH_MM = 62.0  # around the thalami: what the boxes can see
SLICE_SD = 0.42  # SD over width of a voxel's sensitivity, that of a bell whose half-width is the voxel
SAME = 0.05  # mm2 of variance: differences of resolution below are left


def see_visits(images: Sequence[nib.Nifti1Image], centres: Sequence[np.ndarray], net: Net) -> list[synthal.Thalami]:
    """The thalami at every visit, on its own grid.

    Parameters
    ----------
    images : scans of one contrast
    centres : the middle of both thalami of each (world, mm), roughly
    net : the thalamus network
    """
    parts = [part_around(image, centre) for image, centre in zip(images, centres, strict=True)]
    settled = [synthal.settle(net, *part, centre) for part, centre in zip(parts, centres, strict=True)]
    spreads = [spread_of(image, box.axes) for image, box in zip(images, settled, strict=True)]
    blurs = missing_blur(spreads)
    return [
        _see(image, part, box, blur, net)
        for image, part, box, blur in zip(images, parts, settled, blurs, strict=True)
    ]


def part_around(image: nib.Nifti1Image, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scan within `REACH_MM` of a position along its axes, without its noise, and the part's affine."""
    data = boxes.without_background(np.asarray(image.dataobj, dtype=np.float32))
    middle = np.linalg.inv(image.affine) @ np.r_[centre, 1.0]
    reach = REACH_MM / np.array(zooms(image.affine))
    low = np.clip(np.floor(middle[:3] - reach), 0, np.array(data.shape) - 1).astype(int)
    high = np.clip(np.ceil(middle[:3] + reach) + 1, low + 1, data.shape).astype(int)
    part = data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    moved = image.affine.copy()
    moved[:3, 3] += moved[:3, :3] @ low
    part, moved = boxes.average_blocks(part, moved, 1.0)
    return non_local_means(part, noise_sd(part)), moved


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


def blurred(box: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """A box of 1 mm (x, y, z) after a Gauss filter of a variance (3, 3; mm2)."""
    if not variance.any():
        return box
    padded = np.pad(box, 8, mode="reflect")
    waves = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(n) for n in padded.shape], indexing="ij")
    k = np.stack(waves)
    damping = np.exp(-0.5 * np.einsum("ixyz,ij,jxyz->xyz", k, variance, k))
    inner = np.fft.ifftn(np.fft.fftn(padded) * damping).real[8:-8, 8:-8, 8:-8]
    return inner.astype(np.float32)


def _see(
    image: nib.Nifti1Image, part: tuple[np.ndarray, np.ndarray], box: synthal.Box, blur: np.ndarray, net: Net
) -> synthal.Thalami:
    sides, volumes = np.zeros((2, *image.shape), np.float32), []
    for turn in TURNS:
        about = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
        grid = boxes.grid_around(box.centre, synthal.ROI_SHAPE, 1.0, box.axes @ about)
        values = boxes.sample(*part, grid, synthal.ROI_SHAPE, 3)
        x = normalise(blurred(values, about.T @ blur @ about))
        looks = net(x)[[synthal.ROI_LEFT, synthal.ROI_RIGHT]], synthal.mirrored(net, x)
        volumes += [int((p.sum(0) >= 0.5).sum()) for p in looks]
        for side, q in enumerate(clean((looks[0] + looks[1]) / 2)):
            sides[side] += boxes.back(q, grid, image.shape, image.affine) / len(TURNS)
        if turn == TURNS[0]:
            agreement = synthal.dice(*(p.sum(0) >= 0.5 for p in looks))
            certain = synthal.certainty(clean(looks[0]), grid, part[1], part[0].shape)
    told = {"flip_dice": agreement, "settled": box.settled, "spread": synthal.relative_sd(volumes)} | certain
    return synthal.Thalami(sides[0], sides[1], box.centre, told)
