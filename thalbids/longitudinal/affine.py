"""Change of the thalami between two visits: an affine movement of each thalamus's border, seen from half-way.

Both visits are sampled once, from their own grids, in the space between them. First they are brought together rigidly
around the thalami, and the space is laid half-way between them as they then are: so where the registration ended, which
is elsewhere when another visit is the person's first, no longer matters. Then each thalamus gets an affine movement of
its own, by least squares over the voxels within 2 mm inside and 1 mm outside its border: where the movement is right,
both images look the same there, but for a gain that is a cubic polynomial of the place (bias fields), an offset and a
curved contrast. The change is how far that moves the border outwards, all along it, but not where left and right touch:
there is no border to see. The gradient is that of the mean of both visits, so swapping them gives the negative,
operation by operation (as in the "efficient second-order minimisation" of Malis 2004), and noise alone pulls to no
side. Twelve numbers a side are few enough that noise hardly moves them, and need no regularisation that would pull
change towards none. How well known change is read: docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.errors import ImageError, RegistrationError
from thalbids.longitudinal.sampling import AxisAlignedBox, VisitInterpolator, covered, prepare, values_at
from thalbids.longitudinal.space import exponential, logarithm

LEFT, RIGHT = 10, 49
MARGIN_MM = 12.0  # of the box around the thalami
SMOOTHING_MM = 1.0  # SD of the Gauss filter on both visits
INSIDE_MM, OUTSIDE_MM = 2.0, 1.0  # of the border, what the affine movement is fitted to
CROP_MM = 30.0  # of a visit around its thalami, what is looked at
AROUND_MM = 8.0  # outside of the thalami, what the rigid movement is fitted to
DEGREE = 3  # of the polynomial of the gain
ROUNDS = 2
UNIT_MM = 10.0  # of positions in the linear part, for numbers of about one
FAR = 4.0  # robust SD; of noise alone one voxel in 16 000 lies beyond
LEAST_SD = 1e-4  # of the thalami's intensity: below is rounding, as where both visits hold the same image
MOST = 0.4  # a change of volume (logarithm) beyond this is none of one person's thalamus


@dataclass(frozen=True)
class LabelledVisit:
    """What is known of a visit: image, labels 10 and 49 on its grid, and mm of the mean space to mm of the visit."""

    image: nib.Nifti1Image
    labels: np.ndarray
    matrix: np.ndarray


@dataclass(frozen=True)
class Change:
    """Logarithms of the volume at the second over that at the first visit.

    ``odd``: share of the border where the visits differ by more than `FAR` robust SD after all that movement, gain and
    contrast explain: something that only one of them shows, as vessels with a contrast agent. ``noise``: SD of ``both``
    by least squares, from what is left of the difference; too small, as smoothing makes neighbours alike, by a factor
    that known change tells (docs/methods.md).
    """

    both: float
    left: float
    right: float
    odd: float
    noise: float


def measure(first: LabelledVisit, second: LabelledVisit) -> Change:
    """By how much the thalami changed; swapping the visits gives exactly the negative.

    Raises
    ------
    ImageError
        A visit has no mask, or its field of view does not reach around the thalami.
    RegistrationError
        The masks do not overlap, or what is found is no change of one person's thalami.
    """
    first, second = _together(_cropped(first), _cropped(second))
    view = _view(first, second)
    rigid, basis, _ = _rigid(view)
    moved = _field(basis, rigid)
    return _affine(view, moved, _sides(first, second, view.points, moved))


@dataclass(frozen=True)
class _View:
    """Two visits in the space between them: the voxels of the box in which they are compared, those around the thalami,
    and what the gain between the visits is made of there.
    """

    visits: Sequence[VisitInterpolator]
    box: AxisAlignedBox
    points: np.ndarray
    around: np.ndarray
    gain: list[np.ndarray]


def _view(first: LabelledVisit, second: LabelledVisit) -> _View:
    visits = [prepare(seen.image, seen.matrix, SMOOTHING_MM, 1 / _level(seen)) for seen in (first, second)]
    box = box_of(first, second)
    points = box.points()
    left, right = _sides(first, second, points, np.zeros_like(points))
    around = _signed(left + right) < AROUND_MM
    _check_view(visits, points, around)
    return _View(visits, box, points, around, _polynomials(points))


def _together(first: LabelledVisit, second: LabelledVisit) -> tuple[LabelledVisit, LabelledVisit]:
    """Both visits in the space half-way between them after the small rigid movement that the registration missed."""
    rigid, _, centre = _rigid(_view(first, second))
    middle, half = np.eye(4), np.concatenate([rigid[3:], rigid[:3]]) / 2
    middle[:3, 3] = centre
    one, two = (
        seen.matrix @ middle @ exponential(sign * half) @ np.linalg.inv(middle)
        for seen, sign in ((first, -1), (second, 1))
    )
    # from both directions, so that swapping the visits turns the sign exactly
    between = (logarithm(two @ np.linalg.inv(one)) - logarithm(one @ np.linalg.inv(two))) / 2
    return replace(first, matrix=exponential(-between / 2)), replace(second, matrix=exponential(between / 2))


def _level(seen: LabelledVisit) -> float:
    """The thalami's median intensity."""
    level = float(np.median(np.asarray(seen.image.dataobj)[np.isin(seen.labels, (LEFT, RIGHT))]))
    if not level > 0:
        raise ImageError("The thalami have no positive intensity.")
    return level


def _cropped(seen: LabelledVisit) -> LabelledVisit:
    """The part of a visit around its thalami, to save time."""
    if not all((seen.labels == side).any() for side in (LEFT, RIGHT)):
        raise ImageError("A visit has no mask of both thalami.")
    inside = np.argwhere(np.isin(seen.labels, (LEFT, RIGHT)))
    edge = np.ceil(CROP_MM / np.linalg.norm(seen.image.affine[:3, :3], axis=0)).astype(int)
    low = np.maximum(inside.min(0) - edge, 0)
    part = tuple(slice(int(a), int(b)) for a, b in zip(low, inside.max(0) + edge + 1, strict=True))
    affine = seen.image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    values = np.asarray(seen.image.dataobj[part], dtype=np.float32)
    return LabelledVisit(nib.Nifti1Image(values, affine), seen.labels[part], seen.matrix)


def box_of(first: LabelledVisit, second: LabelledVisit) -> AxisAlignedBox:
    """Both visits' thalami with a margin, in whole mm of the mean space."""
    ends = []
    for seen in (first, second):
        voxels = np.argwhere(np.isin(seen.labels, (LEFT, RIGHT)))
        back = np.linalg.inv(seen.matrix) @ seen.image.affine
        ends.append(voxels @ back[:3, :3].T + back[:3, 3])
    low = np.floor(np.minimum(*(e.min(0) for e in ends)) - MARGIN_MM)
    high = np.ceil(np.maximum(*(e.max(0) for e in ends)) + MARGIN_MM)
    return AxisAlignedBox(tuple(int(n) + 1 for n in high - low), 1.0, low)


def _sides(first: LabelledVisit, second: LabelledVisit, points: np.ndarray, moved: np.ndarray) -> list[np.ndarray]:
    """Left and right mask (x, y, z; 0 - 1) between the visits: the mean of both, each brought half the way."""
    sides = []
    for label in (LEFT, RIGHT):
        one, two = (_soft(seen, label, points + sign * moved / 2) for seen, sign in ((first, -1), (second, 1)))
        if not (np.minimum(one, two) >= 0.5).any():
            raise RegistrationError("The masks of the two visits do not overlap.")
        sides.append((one + two) / 2)
    return sides


def _soft(seen: LabelledVisit, label: int, points: np.ndarray) -> np.ndarray:
    index = np.linalg.inv(seen.image.affine) @ seen.matrix
    position = np.tensordot(index[:3, :3], points, 1) + index[:3, 3].reshape(3, 1, 1, 1)
    return np.asarray(ndimage.map_coordinates((seen.labels == label).astype(np.float32), position, order=1))


def _signed(mask: np.ndarray) -> np.ndarray:
    """Distance in voxels (mm) from the border of a mask, negative inside."""
    inside = mask >= 0.5
    out, within = ndimage.distance_transform_edt(~inside), ndimage.distance_transform_edt(inside)
    return np.asarray(np.where(inside, 0.5 - within, out - 0.5))


def _check_view(visits: Sequence[VisitInterpolator], points: np.ndarray, needed: np.ndarray) -> None:
    seen = covered(visits[0], points) & covered(visits[1], points)
    if not seen[needed].all():
        raise ImageError("The field of view of a visit does not reach around the thalami.")


def _polynomials(points: np.ndarray) -> list[np.ndarray]:
    """What the gain is made of: products of powers of the place up to a degree."""
    x, y, z = (points - points.mean(axis=(1, 2, 3), keepdims=True)) / (3 * UNIT_MM)
    powers = [(i, j, k) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i) for k in range(DEGREE + 1 - i - j)]
    return [x**i * y**j * z**k for i, j, k in powers]


def _rigid(view: _View) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """The small rigid movement from first to second visit that the registration missed: shifts (mm) and turns along x,
    y, z about a centre, the movement (3, x, y, z) that each of these six stands for, and the centre.
    """
    centre = view.points[:, view.around].mean(axis=1)
    x, y, z = view.points - centre.reshape(3, 1, 1, 1)
    none, one = np.zeros_like(x), np.ones_like(x)
    basis = [
        np.stack(b) for b in (
            (one, none, none), (none, one, none), (none, none, one), (none, -z, y), (z, none, -x), (-y, x, none),
        )
    ]  # fmt: skip
    amounts = np.zeros(len(basis))
    for _ in range(ROUNDS):
        amounts = amounts + _step(view, _field(basis, amounts), basis, view.around, curved=False).amounts
    return amounts, basis, centre


def _affine(view: _View, moved: np.ndarray, sides: list[np.ndarray]) -> Change:
    """The affine movement of each side, and what it does to the volume."""
    left, right = (_signed(side) for side in sides)
    distance = np.minimum(left, right)
    window = (distance < OUTSIDE_MM) & (distance > -INSIDE_MM)
    basis = []
    for side, of_side in zip(sides, (left < right, left >= right), strict=True):
        centre = (view.points * side).sum(axis=(1, 2, 3)) / side.sum()
        basis += _affine_basis(view.points, centre, of_side)
    steps = np.zeros(len(basis))
    for _ in range(ROUNDS):
        start = moved + _field(basis, steps)
        last = _step(view, start, basis, window, curved=True)
        steps = steps + last.amounts
    gains = outwards(sides, basis)
    logs = [_log_ratio(float(gain_of @ steps)) for gain_of in gains]
    size = np.abs(last.left_over)
    robust_sd = 1.4826 * float(np.median(size))
    odd = float(np.mean(size > FAR * max(robust_sd, LEAST_SD)))
    noise = robust_sd * float(np.linalg.norm(gains[0] @ last.spread))
    return Change(logs[0], logs[1], logs[2], odd, noise)


def outwards(sides: Sequence[np.ndarray], basis: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What each movement adds to the volume of both sides, of the left and of the right one, as a share of it: how far
    it moves their border outwards. Where left and right touch there is no border, and nothing to see of a movement.
    """
    slopes = np.gradient(np.asarray(sum(sides), dtype=np.float64))
    gains = np.array([-sum(float((m * s).sum()) for m, s in zip(movement, slopes, strict=True)) for movement in basis])
    volumes = [float(side.sum(dtype=np.float64)) for side in sides]
    left = np.arange(len(basis)) < len(basis) // 2
    return [gains / sum(volumes), gains * left / volumes[0], gains * ~left / volumes[1]]


def _affine_basis(points: np.ndarray, centre: np.ndarray, of_side: np.ndarray) -> list[np.ndarray]:
    """Twelve movements (3, x, y, z) of one side: along each axis by x, y, z about its centre, and as a whole."""
    place = np.where(of_side, (points - centre.reshape(3, 1, 1, 1)) / UNIT_MM, 0.0)
    terms = [*place, of_side.astype(np.float64)]
    basis = []
    for axis in range(3):
        for term in terms:
            movement = np.zeros_like(points)
            movement[axis] = term
            basis.append(movement)
    return basis


def _log_ratio(share: float) -> float:
    """Logarithm of the volume after over before, from what the half-way volume gains, as a share of it."""
    if not abs(share) < MOST:
        raise RegistrationError("The two visits differ too much around the thalami to be compared.")
    return float(np.log1p(share / 2) - np.log1p(-share / 2))


def _field(basis: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    moved = np.zeros_like(basis[0])
    for movement, amount in zip(basis, weights, strict=True):
        moved = moved + amount * movement
    return moved


@dataclass(frozen=True)
class _Step:
    """A step of Gauss-Newton: what to add to the amounts of the movements, what it leaves of the difference, and the
    square root of the amounts' covariance (amounts x directions) for differences of variance 1.
    """

    amounts: np.ndarray
    left_over: np.ndarray
    spread: np.ndarray


def _step(view: _View, moved: np.ndarray, basis: Sequence[np.ndarray], window: np.ndarray, *, curved: bool) -> _Step:
    """One step of Gauss-Newton."""
    seen = ndimage.binary_dilation(window)  # what slopes in the window are made of
    first, second = np.zeros((2, *window.shape))
    for visit, values, half in zip(view.visits, (first, second), (-moved / 2, moved / 2), strict=True):
        values[seen] = values_at(visit, view.points[:, seen] + half[:, seen])
    mean = (first + second) / 2
    slopes = [slope[window] for slope in np.gradient(mean, view.box.voxel)]
    columns = [-sum(slope * movement[axis][window] for axis, slope in enumerate(slopes)) for movement in basis]
    inside = mean[window]
    columns += [inside * term[window] for term in view.gain]
    columns += [np.ones_like(inside)] + ([(inside - 1) ** 2] if curved else [])
    matrix, difference = np.stack(columns, axis=1), (second - first)[window]
    # by orthogonal factors, which take the sign of the difference with them exactly
    try:
        left, scales, right = np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:  # values that are no numbers, or no convergence
        raise RegistrationError("The movement between the two visits cannot be computed.") from None
    kept = scales > 1e-10 * scales[0]
    solution = right[kept].T @ ((left[:, kept].T @ difference) / scales[kept])
    return _Step(solution[: len(basis)], difference - matrix @ solution, right[kept].T[: len(basis)] / scales[kept])
