"""Masks made from several masks of one family: the paper's voting, and intersection and STAPLE beyond it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalbids.bids.results.names import RULES
from thalbids.image.grids import bounding_box
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

THRESHOLD = 0.5  # paper, 2.6.2: mean of the masks >= 0.5
STAPLE_MARGIN = 5  # voxels around the union in which STAPLE estimates; its prior depends on how much background it sees


def fuse(members: Sequence[np.ndarray], rule: str) -> np.ndarray:
    """Fuse label arrays of one grid.

    Parameters
    ----------
    members : arrays (x, y, z) with 10 left and 49 right; two or more
    rule : ``mean`` (mean of the binary masks >= 0.5: the union of two, the majority of three), ``intersection`` (in
        all), ``staple`` (Warfield 2004, probability >= 0.5)

    Returns
    -------
    uint8 labels. A voxel takes the side that most members give it; on a tie, that of the first member that has it.
    """
    if len(members) < 2:
        raise ValueError("an ensemble needs two masks or more")
    if len({m.shape for m in members}) > 1:
        raise ValueError("the masks of an ensemble must share one grid")
    labels = np.zeros(members[0].shape, np.uint8)
    union = members[0] != 0
    for member in members[1:]:
        union |= member != 0
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}")
    if union.any():  # the thalami are a hundredth of a scan
        box = bounding_box(union, STAPLE_MARGIN)
        labels[box] = _fused([m[box] for m in members], rule)
    return labels


def _fused(members: Sequence[np.ndarray], rule: str) -> np.ndarray:
    masks = np.stack([m != 0 for m in members])
    if rule == "mean":
        inside = masks.mean(0) >= THRESHOLD
    elif rule == "intersection":
        inside = masks.all(0)
    else:
        inside = staple(masks)
    votes = sum((m == LEFT_THALAMUS).astype(np.int32) - (m == RIGHT_THALAMUS) for m in members)
    first = np.zeros(members[0].shape, np.uint8)
    for member in reversed(members):
        first = np.where(member != 0, member, first)
    side = np.where(votes > 0, LEFT_THALAMUS, np.where(votes < 0, RIGHT_THALAMUS, first))
    return np.where(inside, side, 0).astype(np.uint8)


def staple(masks: np.ndarray) -> np.ndarray:
    """STAPLE consensus (n, x, y, z) -> boolean (x, y, z), estimated in the box of the union and a margin."""
    import SimpleITK as sitk

    union = np.asarray(masks.any(0))
    out = np.zeros(union.shape, bool)
    if not union.any():
        return out
    box = bounding_box(union, STAPLE_MARGIN)
    images = [sitk.GetImageFromArray(m[box].astype(np.uint8)) for m in masks]
    probability = sitk.GetArrayFromImage(sitk.STAPLE(images, 1.0))
    out[box] = probability >= THRESHOLD
    return out
