"""How far a mask and a volume of SynThal may be off: expected Dice, and an interval for the volume.

The constants were fitted on real scans, scanned again, turned, blurred, made noisy and cut into thick slices
(``training/uncertainty.py``); the model card has how often the intervals hold. The interval is of what a T1w scan of
the same head at 1 mm would read. It does not tell how far this protocol is from another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COVERAGE = 0.90
# Parts of the relative SD of a volume: of any scan; per square of the mm of the largest voxel beyond 1 mm; of another
# contrast than T1w; times the spread between the looks; times the noise.
REPEAT, PER_MM2, CONTRAST, LOOKS, NOISE = 0.0036, 0.0040, 0.0470, 0.350, 0.112
Z = 2.22  # quantile of |error| over SD that holds 90 %, of heads that the constants were not fitted on
# Dice with a reference is smaller than its plug-in estimate by this
DICE_OFFSET = 0.011


@dataclass(frozen=True)
class Uncertainty:
    """Expected Dice with a mask of the same protocol; bounds of the volume in mm3 (90 %)."""

    dice: float
    low: float
    high: float


def uncertainty(
    mask: np.ndarray,
    probability: np.ndarray,
    volume: float,
    *,
    largest_voxel: float,
    spread: float,
    noise: float,
    contrast: str,
) -> Uncertainty:
    """Uncertainty of one mask.

    Parameters
    ----------
    mask, probability : (x, y, z) mask of both sides; probability of either
    volume : of the mask, mm3
    largest_voxel : largest edge of a voxel of the scan, mm
    spread : SD over mean of the volumes of the looks
    noise : SD of the noise over the brightest tissue (:func:`thalbids.inference.synthal.relative_noise`)
    contrast : ``T1w``, ``FLAIR`` ...
    """
    sd = np.sqrt(
        REPEAT**2
        + (PER_MM2 * max(0.0, largest_voxel - 1) ** 2) ** 2
        + (CONTRAST * (contrast != "T1w")) ** 2
        + (LOOKS * spread) ** 2
        + (NOISE * noise) ** 2
    )
    return Uncertainty(
        max(0.0, plug_in_dice(mask, probability) - DICE_OFFSET),
        float(volume * np.exp(-Z * sd)),
        float(volume * np.exp(Z * sd)),
    )


def plug_in_dice(mask: np.ndarray, probability: np.ndarray) -> float:
    """Dice to expect if the probabilities are right: 2 sum(p inside) / (mask + sum(p)); 0 of an empty mask."""
    both = float(np.count_nonzero(mask)) + float(probability.sum(dtype=np.float64))
    return 2 * float(probability[mask].sum(dtype=np.float64)) / both if both else 0.0


def sd_of_change(first: tuple[float, float], later: tuple[float, float], contrast: str) -> float:
    """SD of the logarithm of the ratio of two volumes of one person, without any change.

    The errors of the two count as independent, but for the part of a contrast other than T1w: both visits share it.

    Parameters
    ----------
    first, later : bounds of the two volumes (:class:`Uncertainty`), of images of one contrast
    contrast : ``T1w``, ``FLAIR`` ...
    """
    shared = CONTRAST**2 * (contrast != "T1w")
    squares = [(np.log(high / low) / (2 * Z)) ** 2 - shared for low, high in (first, later)]
    return float(np.sqrt(sum(max(square, REPEAT**2) for square in squares)))
