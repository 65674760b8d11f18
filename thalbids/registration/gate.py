"""Does a registration count, and which one is kept: the metric gate and the choice of the paper (2.5.2), generalised.

Every strategy is judged by the same four numbers, each measured inside the brain mask of the T1w:

- **mutual information** with the T1w (nats) against the strategy's cut-off: the paper's test. It is measured on the
very image that
  would be delivered, at the voxels of the mask that lie in the image's field of view.
- **coverage**: the share of the mask that lies in the field of view. Voxels outside have no value and are left out of
the mutual
  information, so this keeps an image that barely meets the brain from passing on what little they share.
- **sharpness** of the match: by which fraction the mutual information falls when the image is moved by 4 mm (mean over
both
  directions of the three axes). The same brain, aligned, loses more than half of it, as its folds fit nothing but
  themselves. The best fit of another person's brain, and a misaligned one, lose next to nothing. Noise, slice
  thickness, contrast and a wide or tight mask move the mutual information itself by a factor of three, but the
  sharpness little.

docs/registration.md holds the figures behind the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.errors import ImageError, RegistrationError, without_folders
from thalbids.image import similarity
from thalbids.image.grids import coverage, resample_to, same_grid, voxel_mapping
from thalbids.image.similarity import BINS, mutual_information
from thalbids.registration.strategies import INTERPOLATION_ORDER, Strategy
from thalbids.registration.transforms import rotation_degrees
from thalbids.types import tool_entry

METRIC = "mutual information"
UNIT = "nats"
MIN_COVERAGE = 0.5
MIN_SHARPNESS = 0.40
NEAR = 1.2  # a number that passes by less than this factor is a warning: look at the overlay
MAX_GAIN = 0.05
SHARPNESS_SHIFT_MM = 4.0
GAIN_SHIFT_MM = 2.0
GAIN_TURN_DEGREES = 2.0
PEAK_POINTS = 150_000  # voxels of the mask that are enough for sharpness and gain: they change by less than 0.01


@dataclass(frozen=True)
class Attempt:
    """One strategy's result and its judgement.

    Attributes
    ----------
    strategy, group, interpolation, cutoff, software : of the strategy
    mi : mutual information in nats; None when the strategy found no transform
    coverage : share of the brain mask in the image's field of view, 0 to 1; None likewise
    sharpness : fraction of the mutual information lost by moving the image 4 mm; None likewise
    gain : fraction won by moving it 2 mm or turning it 2 degrees, in the best direction; None likewise
    passed : whether it counts
    reason : why it does not count; empty when it passed
    warnings : what to look at although it passed
    shift_mm, rotation_degrees : how far the brain's centre moved, and the angle; None when there is no transform
    matrix : (4, 4) RAS+ mm of the T1w to RAS+ mm of the image; None when there is none
    """

    strategy: str
    group: str
    interpolation: str
    cutoff: float
    software: str
    mi: float | None = None
    coverage: float | None = None
    sharpness: float | None = None
    gain: float | None = None
    passed: bool = False
    reason: str = ""
    warnings: tuple[str, ...] = ()
    shift_mm: float | None = None
    rotation_degrees: float | None = None
    matrix: np.ndarray | None = field(default=None, compare=False, repr=False)
    image: nib.Nifti1Image | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the matrix and the image, for the QC file."""
        return {
            "strategy": self.strategy,
            "group": self.group,
            "software": self.software,
            "interpolation": self.interpolation,
            "metric": METRIC,
            "unit": UNIT,
            "mi": self.mi,
            "cutoff": self.cutoff,
            "coverage": self.coverage,
            "sharpness": self.sharpness,
            "gain": self.gain,
            "shift_mm": self.shift_mm,
            "rotation_degrees": self.rotation_degrees,
            "passed": self.passed,
            "reason": self.reason,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class RegistrationOutcome:
    """What became of an image.

    Attributes
    ----------
    chosen : name of the strategy whose result is kept; None when the image is excluded
    attempts : every strategy that was tried, in order
    image : the image on the T1w grid (float32); None when excluded
    matrix : (4, 4) RAS+ mm of the T1w to RAS+ mm of the image; None when excluded
    reason : why the image is excluded; empty when it is not
    warnings : of the chosen attempt
    """

    chosen: str | None
    attempts: tuple[Attempt, ...]
    image: nib.Nifti1Image | None = field(default=None, compare=False, repr=False)
    matrix: np.ndarray | None = field(default=None, compare=False, repr=False)
    reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def software(self) -> list[dict[str, str]]:
        """Names and versions of the programs that were tried, each once, as in ``GeneratedBy``."""
        return [tool_entry(text) for text in dict.fromkeys(attempt.software for attempt in self.attempts)]


def register(
    moving: nib.Nifti1Image,
    fixed: nib.Nifti1Image,
    mask: nib.Nifti1Image,
    strategies: Sequence[Strategy],
    *,
    bins: int = BINS,
    seed: int = 1,
    rule: str = "measured",
    minimum: float | None = None,
    review: Callable[[Attempt], str] | None = None,
    choice: str = "any",
) -> RegistrationOutcome:
    """Register an image to the T1w with every strategy that is needed, and choose.

    Groups of strategies are tried in order, all members of a group; the first group with a passing member ends the
    search.

    Parameters
    ----------
    moving : FLAIR, R1 or T2w image
    fixed : T1w image
    mask : brain mask on the grid of ``fixed``
    strategies : in order; see :class:`~thalbids.registration.strategies.Strategy`
    bins : of the joint histogram
    seed : of strategies that sample at random
    rule : ``measured``: each of the four numbers must pass; ``paper``: the mutual information alone decides (2.5.2),
        what the others find becomes a warning
    minimum : smallest value that the image can have (0 for R1): a spline goes below it beside edges, and is set to it
    choice : ``any``: the first group with a passing member ends the search; ``every``: the first whose members all pass
    review : says why a person who saw the result of a passing attempt failed it, "" when nobody did; the choice goes
        on without it (2.5.2: "re-registration or exclusion regardless of metrics")

    Returns
    -------
    The outcome; a strategy that fails is a recorded attempt, not an exception.

    Raises
    ------
    ImageError
        When the mask is empty or not on the grid of the T1w.
    """
    if not same_grid(fixed, mask):
        raise ImageError("The brain mask is not on the grid of the T1w image.", "Give a mask of this T1w image.")
    if not np.asanyarray(mask.dataobj).any():
        raise ImageError("The brain mask is empty.", "Check the T1w image: no brain was found in it.")
    attempts: list[Attempt] = []
    for group in dict.fromkeys(strategy.group for strategy in strategies):
        members = [strategy for strategy in strategies if strategy.group == group]
        tried = [_attempt(strategy, moving, fixed, mask, bins, seed, rule, minimum) for strategy in members]
        attempts += [_reviewed(attempt, review) for attempt in tried]
        if choose(attempts, choice) is not None and (choice == "any" or whole(attempts)):
            break
    best = choose(attempts, choice)
    if best is None:
        return RegistrationOutcome(None, tuple(attempts), reason=_why_excluded(attempts))
    return RegistrationOutcome(best.strategy, tuple(attempts), best.image, best.matrix, warnings=best.warnings)


def _reviewed(attempt: Attempt, review: Callable[[Attempt], str] | None) -> Attempt:
    """The attempt, failed when a person failed it."""
    reason = review(attempt) if review is not None and attempt.passed else ""
    return replace(attempt, passed=False, reason=reason, warnings=(), image=None) if reason else attempt


def whole(attempts: Iterable[Attempt]) -> list[str]:
    """The groups whose members all passed, in the order of their first attempt."""
    passed: dict[str, bool] = {}
    for attempt in attempts:
        passed[attempt.group] = passed.get(attempt.group, True) and attempt.passed
    return [group for group, every in passed.items() if every]


def choose(attempts: Iterable[Attempt], choice: str = "any") -> Attempt | None:
    """The attempt to keep, by the rule of the paper (2.5.2), generalised.

    The paper: "when both FSL strategies passed, the higher-MI solution was retained; otherwise, ANTs was selected if
    it passed. If all three failed, the R1 volume was excluded." Here: groups in the order of their first attempt; in
    the first group with a passing member the passing one with the highest mutual information (the earlier one of
    equals); None when no attempt passed.

    Where one of the paper's two FSL strategies passes and the other fails, its sentence can be read as "ANTs"; its
    count (FSL for all but 14) and common sense read as here: the one that passes. With ``every`` it is read to the
    letter: groups whose members all passed come first, and only where there is none the passing ones of the others.
    """
    attempts = list(attempts)
    groups = list(dict.fromkeys(attempt.group for attempt in attempts))
    first = whole(attempts) if choice == "every" else []
    for group in (*first, *(group for group in groups if group not in first)):
        passing = [attempt for attempt in attempts if attempt.group == group and attempt.passed]
        if passing:
            return max(passing, key=lambda attempt: attempt.mi if attempt.mi is not None else -math.inf)
    return None


@dataclass(frozen=True)
class Peak:
    """The mutual information around a solution; nan where there is none to measure (no overlap, no contrast).

    Attributes
    ----------
    sharpness : 1 - mean(MI moved by 4 mm) / MI here, over 6 directions; near 0 or negative: no peak
    gain : max(MI moved by 2 mm or turned by 2 degrees) / MI here - 1, over 12 directions; positive: better next door
    """

    sharpness: float
    gain: float


def peak(
    moving: nib.Nifti1Image, fixed: nib.Nifti1Image, mask: nib.Nifti1Image, matrix: np.ndarray, bins: int = BINS
) -> Peak:
    """Measure the peak of the mutual information, with linear interpolation, at evenly spaced voxels of the mask."""
    index = _sampled(np.asanyarray(mask.dataobj) != 0)
    if not len(index):
        return Peak(math.nan, math.nan)
    reference = np.asarray(fixed.dataobj)[tuple(index.T)]
    data = moving.get_fdata(dtype=np.float32)
    centre = (fixed.affine @ [*index.mean(axis=0), 1.0])[:3]

    points, whole = np.ascontiguousarray(index.T, np.float64), similarity.binned(reference, bins)
    ends = np.array(data.shape)[:, None] - 0.5

    def information(change: np.ndarray) -> float:
        mapping = voxel_mapping(moving, fixed, matrix @ change)
        position = mapping[:3, :3] @ points + mapping[:3, 3:]
        inside = ((position >= -0.5) & (position <= ends)).all(axis=0)
        if inside.all():
            values = ndimage.map_coordinates(data, position, order=1, mode="nearest")
            return similarity.information(whole, similarity.binned(values, bins), bins)
        values = ndimage.map_coordinates(data, position[:, inside], order=1, mode="nearest")
        return mutual_information(reference[inside], values, np.ones(len(values), dtype=bool), bins)

    here = information(np.eye(4))
    if not here > 1e-6:  # a constant image has an MI of 0, up to rounding
        return Peak(math.nan, math.nan)
    far = [information(_shift(axis, mm)) for axis in range(3) for mm in (-SHARPNESS_SHIFT_MM, SHARPNESS_SHIFT_MM)]
    near = [information(_shift(axis, mm)) for axis in range(3) for mm in (-GAIN_SHIFT_MM, GAIN_SHIFT_MM)]
    near += [information(_turn(axis, t, centre)) for axis in range(3) for t in (-GAIN_TURN_DEGREES, GAIN_TURN_DEGREES)]
    return Peak(float(1 - np.mean(far) / here), float(max(near) / here - 1))


def _shift(axis: int, mm: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[axis, 3] = mm
    return matrix


def _turn(axis: int, degrees: float, centre: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    i, j, angle = (axis + 1) % 3, (axis + 2) % 3, np.deg2rad(degrees)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre
    return matrix


def _sampled(mask: np.ndarray) -> np.ndarray:
    """Indices (n, 3) of evenly spaced voxels of a mask: all of a small one, 150 000 to 300 000 of a large one."""
    inside = np.flatnonzero(mask)
    inside = inside[:: max(1, len(inside) // PEAK_POINTS)]
    return np.column_stack(np.unravel_index(inside, mask.shape))


def _attempt(
    strategy: Strategy,
    moving: nib.Nifti1Image,
    fixed: nib.Nifti1Image,
    mask: nib.Nifti1Image,
    bins: int,
    seed: int,
    rule: str,
    minimum: float | None,
) -> Attempt:
    """Estimate, resample once, measure, judge."""
    about: dict[str, Any] = {
        "strategy": strategy.name,
        "group": strategy.group,
        "interpolation": strategy.interpolation,
        "cutoff": strategy.cutoff,
        "software": strategy.software,
    }
    try:
        matrix = strategy.estimate(fixed, moving, mask, seed)
    except RegistrationError as error:
        return Attempt(**about, reason=f"no transform was found: {without_folders(error.problem)}")
    image = resample_to(moving, fixed, INTERPOLATION_ORDER[strategy.interpolation], matrix=matrix)
    if minimum is not None and strategy.interpolation == "spline":
        image = nib.Nifti1Image(np.maximum(np.asarray(image.dataobj), np.float32(minimum)), image.affine)
    brain = np.asanyarray(mask.dataobj) != 0
    seen = brain & coverage(moving, fixed, matrix)
    covered = float(np.count_nonzero(seen) / np.count_nonzero(brain))
    mi = _number(mutual_information(np.asarray(fixed.dataobj), np.asarray(image.dataobj), seen, bins))
    around = peak(moving, fixed, mask, matrix, bins)
    sharp, gain = _number(around.sharpness), _number(around.gain)
    faults, warnings = judge(mi, strategy.cutoff, covered, sharp, gain, rule)
    centre = fixed.affine @ [*_sampled(brain).mean(axis=0), 1.0]
    return Attempt(
        **about,
        mi=mi,
        coverage=covered,
        sharpness=sharp,
        gain=gain,
        passed=not faults,
        reason="; ".join(faults),
        warnings=() if faults else warnings,
        shift_mm=float(np.linalg.norm((matrix @ centre - centre)[:3])),
        rotation_degrees=rotation_degrees(matrix),
        matrix=matrix,
        image=None if faults else image,
    )


def judge(
    mi: float | None, cutoff: float, covered: float, sharp: float | None, gain: float | None, rule: str = "measured"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Faults and warnings of an attempt, in words; it passes when there are no faults. None: could not be measured.

    By the rule ``paper`` only the mutual information and a field of view that misses half the brain are faults.
    """
    if covered < MIN_COVERAGE:  # what the rest shows of so small a part says nothing more
        return (f"the image covers only {100 * covered:.0f} % of the brain (at least {100 * MIN_COVERAGE:.0f} %)",), ()
    faults: list[str] = []
    warnings: list[str] = []
    others = warnings if rule == "paper" else faults
    if covered < 0.95:
        warnings.append(f"the image covers {100 * covered:.0f} % of the brain")
    if mi is None or mi < cutoff:
        faults.append(f"the mutual information with the T1w is {_shown(mi)}, below the cut-off of {cutoff:.2f}")
    elif mi < NEAR * cutoff:
        warnings.append(f"the mutual information with the T1w ({mi:.2f}) is just above the cut-off of {cutoff:.2f}")
    if gain is not None and gain > MAX_GAIN:
        others.append(f"the image fits better when moved by 2 mm or turned by 2 degrees ({_percent(gain)}): misaligned")
    if sharp is None or sharp < MIN_SHARPNESS:
        others.append(
            f"moving the image by {SHARPNESS_SHIFT_MM:.0f} mm lowers the mutual information by {_percent(sharp, 1)} "
            f"only ({100 * MIN_SHARPNESS:.0f} % or more in the same brain): misaligned, or another person"
        )
    elif sharp < NEAR * MIN_SHARPNESS:
        warnings.append(f"the match is not sharp ({_percent(sharp)}): check that it is the same person")
    return tuple(faults), tuple(warnings)


def _why_excluded(attempts: Sequence[Attempt]) -> str:
    """One sentence for the QC file, the report and the terminal."""
    if not attempts:
        return "no registration strategy was given"
    return ". ".join(f"{attempt.strategy}: {attempt.reason}" for attempt in attempts)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.2f}"


def _percent(value: float | None, digits: int = 0) -> str:
    return "an unknown amount" if value is None else f"{100 * value:.{digits}f} %"
