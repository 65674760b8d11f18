"""What is measured of a thalamus mask and of the brain mask, so that rules can judge it.

Every function takes arrays and affines of any orientation and answers in RAS+ world millimetres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes
from scipy import ndimage

from thalbids.image.grids import voxel_volume
from thalbids.image.volumes import face_areas_mm2
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

# Calibrated on the 20 head label maps of SynthSeg; docs/qc.md has the table, test_calibration.py redoes it.
CENTRE_OFFSET_MM = (0.0, 4.5, -1.4)  # from the brain mask's centre of mass to the middle between the thalami
HALF_SEPARATION_MM = 12.0  # from that middle to the centre of one thalamus

CONNECTIVITY_26 = np.ones((3, 3, 3), dtype=bool)
DIAGNOSTICS = (
    "flip_dice", "confidence", "in_view", "expected_dice", "volume_low_mm3", "volume_high_mm3", "noise_share",
    "empty_slices", "grey_values", "clipped_share", "filled_share", "smoothness", "scan_voxel_mm3",
    "brightness_asymmetry",
)  # fmt: skip
FACES = ("left", "right", "posterior", "anterior", "inferior", "superior")

NEAR_EDGE_VOXELS = 1  # a mask this close to the edge of the data may be cut off

Measures = dict[str, Any]
Sides = tuple[np.ndarray | None, np.ndarray | None]


@dataclass(frozen=True)
class ExpectedCentre:
    """Where the thalami are expected (RAS+ mm): the middle between them and the centre of each."""

    middle: tuple[float, float, float]
    left: tuple[float, float, float]
    right: tuple[float, float, float]


def expected_centre(brain: np.ndarray, affine: np.ndarray) -> ExpectedCentre | None:
    """Predict the thalami from the brain mask alone: its centre of mass plus a constant offset.

    The centre of mass was the best of seven simple predictors (box, percentiles, median, scaled offsets). Over 20 heads
    it errs by 2.2 mm on average and 4.9 mm at most, turned by up to 20 degrees 5.9 mm, with a fifth of the brain cut
    off 10.8 mm (docs/qc.md).

    Parameters
    ----------
    brain : brain mask, any orientation
    affine : (4, 4) voxel to RAS+ mm

    Returns
    -------
    None for an empty brain mask.
    """
    brain = np.asarray(brain) > 0
    if not brain.any():
        return None
    middle = _centre(brain, affine) + CENTRE_OFFSET_MM
    aside = np.array([HALF_SEPARATION_MM, 0.0, 0.0])
    return ExpectedCentre(_point(middle), _point(middle - aside), _point(middle + aside))


def asymmetry_index(left: float | None, right: float | None) -> float | None:
    """AI = 2 (L - R) / (L + R): positive when the left is larger, between -2 and 2; None without both sides.

    Examples
    --------
    >>> asymmetry_index(7700.0, 7300.0)
    0.05333333333333334
    """
    if left is None or right is None or left + right <= 0:
        return None
    return 2.0 * (left - right) / (left + right)


def mask_measures(
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    soft_volume_mm3: float | None = None,
    expected: ExpectedCentre | None = None,
    brain: np.ndarray | None = None,
    others: Mapping[str, np.ndarray] | None = None,
    image: np.ndarray | None = None,
    diagnostics: Mapping[str, float] | None = None,
) -> Measures:
    """Measure one thalamus mask.

    Parameters
    ----------
    labels : (x, y, z) 10 = left, 49 = right thalamus; a mask without sides has any other non-zero value (its measures
        per side are None)
    affine : (4, 4) voxel to RAS+ mm
    soft_volume_mm3 : sum of probabilities x voxel volume, when the method gives probabilities
    expected : from :func:`expected_centre`
    brain : brain mask on the same grid
    others : other masks on the same grid, for :func:`dice`
    image : the image that the mask was made from, on the same grid, exactly 0 where it holds no data
    diagnostics : what the method says about itself: those of :data:`DIAGNOSTICS` (others are left out)

    Returns
    -------
    dict with the keys documented in docs/qc.md and in the schema; volumes in mm^3, distances in mm, None where a
    measure has no value (empty mask, no sides, no brain mask).
    """
    labels = np.asarray(labels)
    mask = labels != 0
    agreement = {name: dice(mask, other) for name, other in (others or {}).items()}
    touches = _touches(mask, affine)
    no_data = None if image is None else _no_data_fraction(mask, image)
    box = mask_box(mask) or (slice(0, 1),) * 3
    inside = None
    if brain is not None and mask[box].any():
        inside = float((np.asarray(brain)[box] != 0)[mask[box]].mean())
    sides, mask, affine = _sides(labels[box]), mask[box], moved_origin(affine, box)
    return {
        **_volumes(mask, sides, affine, soft_volume_mm3),
        **_shape(mask, sides),
        **_places(mask, sides, affine, expected),
        "inside_brain_fraction": inside,
        "touches_field_of_view": touches,
        "no_data_fraction": no_data,
        **{name: float(diagnostics[name]) if diagnostics and name in diagnostics else None for name in DIAGNOSTICS},
        "dice": agreement,
    }


def mask_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...] | None:
    """Slices of the smallest box around a mask, widened by ``margin`` voxels within the array; None for an empty mask.

    From the mask's profiles, which takes milliseconds on a whole head.
    """
    profiles = _profiles(np.asarray(mask) != 0)
    if not profiles[0].any():
        return None
    ends = [(int(p.argmax()), len(p) - int(p[::-1].argmax())) for p in profiles]
    return tuple(slice(max(0, a - margin), min(n, b + margin)) for (a, b), n in zip(ends, np.shape(mask), strict=True))


def moved_origin(affine: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    """The affine of a box cut out of an array."""
    origin = np.eye(4)
    origin[:3, 3] = [s.start for s in box]
    return np.asarray(affine, dtype=np.float64) @ origin


def dice(a: np.ndarray, b: np.ndarray) -> float | None:
    """Dice overlap 2 |A and B| / (|A| + |B|) of two masks on one grid; None when both are empty."""
    a, b = np.asarray(a) != 0, np.asarray(b) != 0
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    if total == 0:
        return None
    return 2.0 * int(np.count_nonzero(a & b)) / total


def brain_measures(brain: np.ndarray, affine: np.ndarray, icv_mm3: float | None = None) -> Measures:
    """Measure the brain mask: volume, share of the intracranial volume, and how much of it the field of view cuts.

    Returns
    -------
    ``volume_mm3``; ``icv_fraction`` (None without ICV); ``touches_field_of_view`` (faces in RAS);
    ``largest_cut_mm2`` (the largest area of brain on one face of the field of view: a whole head ends below with at
    most the cross-section of the brain stem).
    """
    brain = np.asarray(brain) != 0
    volume = float(np.count_nonzero(brain)) * voxel_volume(affine)
    areas = _cut_areas(brain, affine)
    return {
        "volume_mm3": volume,
        "icv_fraction": volume / icv_mm3 if icv_mm3 else None,
        "touches_field_of_view": [face for face in FACES if areas[face] > 0],
        "largest_cut_mm2": max(areas.values()),
    }


def _volumes(mask: np.ndarray, sides: Sides, affine: np.ndarray, soft: float | None) -> Measures:
    """Volumes and their asymmetry."""
    voxel = voxel_volume(affine)
    left, right = (None if side is None else float(np.count_nonzero(side)) * voxel for side in sides)
    voxels = int(np.count_nonzero(mask))
    return {
        "volume_mm3": voxels * voxel,
        "volume_left_mm3": left,
        "volume_right_mm3": right,
        "volume_soft_mm3": soft,
        "voxels": voxels,
        "voxel_volume_mm3": voxel,
        "asymmetry_index": asymmetry_index(left, right),
    }


def _shape(mask: np.ndarray, sides: Sides) -> Measures:
    """Connected components (26 neighbours) and the share of the largest; of the whole mask when it has no sides."""
    if sides[0] is None or sides[1] is None:
        count, both = _components(mask, 2)
        return {
            "components": count, "components_left": None, "components_right": None,
            "largest_fraction_left": None, "largest_fraction_right": None, "two_largest_fraction": both,
        }  # fmt: skip
    (n_left, f_left), (n_right, f_right) = _components(sides[0], 1), _components(sides[1], 1)
    return {
        "components": n_left + n_right,
        "components_left": n_left,
        "components_right": n_right,
        "largest_fraction_left": f_left,
        "largest_fraction_right": f_right,
        "two_largest_fraction": None,
    }


def _places(mask: np.ndarray, sides: Sides, affine: np.ndarray, expected: ExpectedCentre | None) -> Measures:
    """Centres, their distance from where they are expected, and the distance between the sides."""
    centre, left, right = (_centre_or_none(part, affine) for part in (mask, *sides))
    both = left is not None and right is not None
    return {
        "centre_mm": _list(centre),
        "centre_left_mm": _list(left),
        "centre_right_mm": _list(right),
        "centre_distance_mm": _distance(centre, expected and expected.middle),
        "centre_distance_left_mm": _distance(left, expected and expected.left),
        "centre_distance_right_mm": _distance(right, expected and expected.right),
        "separation_mm": _distance(left, right),
        "right_minus_left_x_mm": float(right[0] - left[0]) if both else None,  # type: ignore[index]
    }


def _profiles(mask: np.ndarray) -> list[np.ndarray]:
    """Per axis: whether each plane across it holds any of the mask."""
    return [np.asarray(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]


def _sides(labels: np.ndarray) -> Sides:
    """Left and right thalamus; (None, None) for a mask without sides, such as 0 and 1, or an empty one."""
    present = set(np.unique(labels).tolist()) - {0}
    if not present & {LEFT_THALAMUS, RIGHT_THALAMUS}:
        return None, None
    if present - {LEFT_THALAMUS, RIGHT_THALAMUS}:
        raise ValueError(f"labels other than {LEFT_THALAMUS} and {RIGHT_THALAMUS}: {sorted(present)}")
    return labels == LEFT_THALAMUS, labels == RIGHT_THALAMUS


def _components(mask: np.ndarray, largest: int) -> tuple[int, float | None]:
    """Number of components and the share of the mask that the ``largest`` ones hold (None when the mask is empty)."""
    numbered, count = ndimage.label(mask, CONNECTIVITY_26)
    if count == 0:
        return 0, None
    sizes = np.bincount(numbered.ravel())[1:]
    return int(count), float(np.sort(sizes)[-largest:].sum() / sizes.sum())


def _centre(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre of mass in mm, from the three profiles of the mask (fast on whole heads)."""
    voxel = np.empty(3)
    for axis in range(3):
        profile = np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis))
        voxel[axis] = profile @ np.arange(mask.shape[axis]) / profile.sum()
    return np.asarray(affine[:3, :3] @ voxel + affine[:3, 3], dtype=np.float64)


def _centre_or_none(mask: np.ndarray | None, affine: np.ndarray) -> np.ndarray | None:
    return _centre(mask, affine) if mask is not None and mask.any() else None


def _distance(a: object, b: object) -> float | None:
    """Distance of two points in mm, None when one is unknown."""
    if a is None or b is None:
        return None
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)))


def _point(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _list(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]


def _face_names(affine: np.ndarray) -> list[tuple[str, str]]:
    """Names of the first and the last plane along each voxel axis."""
    pairs = {"R": FACES[0:2], "A": FACES[2:4], "S": FACES[4:6]}
    pairs |= {"L": pairs["R"][::-1], "P": pairs["A"][::-1], "I": pairs["S"][::-1]}
    return [(pairs[code][0], pairs[code][1]) for code in aff2axcodes(affine)]


def _touches(mask: np.ndarray, affine: np.ndarray) -> list[str]:
    """Faces of the grid that the mask comes near."""
    touched = []
    for profile, names in zip(_profiles(mask), _face_names(affine), strict=True):
        ends = profile[: NEAR_EDGE_VOXELS + 1].any(), profile[-(NEAR_EDGE_VOXELS + 1) :].any()
        touched += [name for name, near in zip(names, ends, strict=True) if near]
    return sorted(touched, key=FACES.index)


def _no_data_fraction(mask: np.ndarray, image: np.ndarray) -> float | None:
    """Share of the layer of voxels around a mask, and of the mask, where the image holds no data; None when empty.

    Zeros in gaps of up to four voxels are data: fluid may be 0 in a skull-stripped or scaled image.
    """
    box = mask_box(mask, margin=6)
    if box is None:
        return None
    near = np.asarray(ndimage.binary_dilation(mask[box], CONNECTIVITY_26, iterations=NEAR_EDGE_VOXELS))
    data = np.pad(np.asarray(image)[box] != 0, 2, mode="edge")
    data = np.asarray(ndimage.binary_closing(data, CONNECTIVITY_26, iterations=2))[2:-2, 2:-2, 2:-2]
    edge = near & (~mask[box] | ~data)
    return float((edge & ~data).sum() / edge.sum())


def _cut_areas(mask: np.ndarray, affine: np.ndarray) -> dict[str, float]:
    """Area of the mask (mm^2) in the outermost plane of voxels on each face of the grid, by its name."""
    areas = face_areas_mm2(mask, affine)
    return {
        name: float(areas[axis, end])
        for axis, names in enumerate(_face_names(affine))
        for end, name in zip((0, -1), names, strict=True)
    }
