"""Which manual mask of a session is probably wrong: one that methods contradict which agree with one another, one whose
labels of left and right are exchanged, or one whose header was lost.

Nothing is left out for it: to drop references because methods contradict them would make every method look better. The
limits are those of the masks of a session (:mod:`thalbids.qc.contradictions`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from thalbids.bids.results import names
from thalbids.errors import ImageError
from thalbids.image import landmarks
from thalbids.image.io import load_labels
from thalbids.image.sparse import SparseMask
from thalbids.qc import contradictions
from thalbids.qc.contradictions import MaskContradictions, Witness
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

RATER = "the manual mask"
APART_MM = (12.0, 50.0)  # between the thalami; otherwise a mask has no two sides that could be compared
SMALLEST_SIDE = 0.2  # share of the mask
HEADER_LOST = 0.5  # Dice coefficient by the voxels alone from which the header, not the drawing, may be wrong
BETTER = 0.15  # by which it must exceed the Dice coefficient by the header


def contradicted(masks: Mapping[str, SparseMask], drawn: SparseMask, common: Mapping[str, Mapping[str, int]]) -> str:
    """Why a manual mask may be wrong by the methods of its session; "" where nothing says so. Methods of one family
    cannot tell who is wrong: then only that one of the two is.

    Parameters
    ----------
    masks : of the methods; those without two sides, ensembles and methods that are not independent are not asked
    drawn : the manual mask, on their grid
    common : voxels in common with every method (and with itself), per method and under `RATER`
    """
    if not drawn.voxels:
        return "it is empty"
    seen = {name: witness for name, mask in masks.items() if (witness := _witness(name, mask)) is not None}
    places = _sides(drawn)
    if places is None or not seen:
        return ""
    alone = len({witness.family for witness in seen.values()}) == 1
    sizes = {name: mask.voxels for name, mask in masks.items()} | {RATER: drawn.voxels}
    seen[RATER] = Witness(places, RATER, ())
    shares = {
        one: {other: common[one][other] / min(sizes[one], sizes[other]) for other in seen if other != one}
        for one in seen
    }
    odd, undecided = contradictions.judge(seen, shares)
    verdict = odd.get(RATER) or (undecided.get(RATER) if alone else None)
    return "" if verdict is None or verdict.share <= contradictions.MOST else _words(verdict, alone)


def exchanged_labels(path: Path, affine: np.ndarray) -> str:
    """Whether the labels of left (10) and right (49) in a file are exchanged, in words; "" where they are not."""
    try:
        labels = np.asarray(load_labels(path).dataobj)
    except ImageError:
        return ""
    voxels = {value: np.argwhere(labels == value) for value in (LEFT_THALAMUS, RIGHT_THALAMUS)}
    if not all(map(len, voxels.values())):
        return ""
    left, right = (float(affine[0, :3] @ points.mean(axis=0)) for points in voxels.values())
    if left < right:
        return ""
    return f"its label of the left thalamus ({LEFT_THALAMUS}) lies right of that of the right one ({RIGHT_THALAMUS})"


def lost_header(drawn: SparseMask, methods: Mapping[str, SparseMask], dice_by_header: float) -> str:
    """A sentence where the voxels of a manual mask, whatever its header says, lie on those of a method; else "".

    The order of the voxels may be another one: the raw image has other axes than the masks of the methods.
    ``dice_by_header`` is the best Dice coefficient with a method where the header puts it.
    """
    for name, mask in methods.items():
        if sorted(mask.shape) != sorted(drawn.shape) or not mask.voxels or not drawn.voxels:
            continue
        points, dense = drawn.points, mask.dense()
        for order in itertools.permutations(range(3)):
            if tuple(drawn.shape[axis] for axis in order) != mask.shape:
                continue
            for signs in itertools.product((False, True), repeat=3):
                turned = np.where(signs, np.array(mask.shape) - 1 - points[:, order], points[:, order])
                dice = 2 * int(dense[tuple(turned.T)].sum()) / (mask.voxels + drawn.voxels)
                if dice >= max(HEADER_LOST, dice_by_header + BETTER):
                    return (
                        f"without its header it lies on the mask of {name} (Dice {dice:.2f}): give it the header of "
                        "the image on which it was drawn (fslcpgeom IMAGE MASK)"
                    )
    return ""


def _witness(name: str, mask: SparseMask) -> Witness | None:
    """A method's mask as the others see it; None for an ensemble, and where it has no two sides."""
    places = _sides(mask)
    if places is None:
        return None
    try:
        kind = names.by_desc(name)
    except KeyError:  # of a package that is not installed here
        return Witness(places, name, ())
    if kind.rule is not None:
        return None
    cut_with = (names.by_desc(kind.envelope).family,) if kind.envelope else ()
    return Witness(places, kind.family, kind.images, cut_with)


def _sides(mask: SparseMask) -> dict[str, landmarks.Side] | None:
    """Landmarks of the two sides of a mask without labels: a voxel belongs to the nearer of their centres."""
    if not mask.voxels:
        return None
    points = mask.points
    x = points @ mask.affine[0, :3] + mask.affine[0, 3]
    middle = float((x.min() + x.max()) / 2)
    for _ in range(10):
        right = x > middle
        if not SMALLEST_SIDE <= right.mean() <= 1 - SMALLEST_SIDE:
            return None
        moved = float(x[right].mean() + x[~right].mean()) / 2
        if abs(moved - middle) < 0.01:
            break
        middle = moved
    sides = {
        name: landmarks.of_weights(points[chosen], np.ones(int(chosen.sum())), mask.affine)
        for name, chosen in (("left", ~right), ("right", right))
    }
    apart = sides["right"]["centre_mm"][0] - sides["left"]["centre_mm"][0]
    return sides if APART_MM[0] <= apart <= APART_MM[1] else None


def _words(verdict: MaskContradictions, alone: bool) -> str:
    """What the methods say, for the table and the page; ``alone``: all are of one family."""
    worst = max(verdict.against, key=lambda contradiction: contradiction.excess)
    who = contradictions.names_of(verdict.against)
    open_end = ", and no other family of methods tells which of the two is wrong" if alone else ""
    return (
        f"{len(verdict.against)} of {verdict.heard} methods contradict it ({who}){open_end}. Against {worst.other}: "
        + "; ".join(worst.words[:2])
    )
