"""How the contrasts of an acquisition lie to each other: rigid, by the strategies and the gate of registration."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np

from thalbids.image.io import load_image
from thalbids.qmri.acquisition import Part
from thalbids.qmri.reconstruct import head_mask
from thalbids.registration.gate import RegistrationOutcome, register
from thalbids.registration.strategies import Strategy

RULE = "paper"  # the mutual information decides


def align(reference: Part, part: Part, strategies: Sequence[Strategy], *, bins: int, seed: int) -> RegistrationOutcome:
    """The first image of a part on that of the reference; the matrix goes from the reference to the part.

    The gate looks at the head instead of the brain, of which there is no mask yet. What is known of sharpness and gain
    of the mutual information is known of brains, so these two only warn.
    """
    fixed, moving = load_image(reference.images[0].path), load_image(part.images[0].path)
    return register(moving, fixed, head_mask(fixed), strategies, bins=bins, seed=seed, rule=RULE)


def motion(matrix: np.ndarray, reference: nib.Nifti1Image) -> tuple[float, float]:
    """How far the middle of the field of view moved (mm), and the angle of the rotation (degrees)."""
    middle = reference.affine @ [*(np.array(reference.shape[:3]) - 1) / 2, 1.0]
    shift = float(np.linalg.norm((matrix @ middle - middle)[:3]))
    cosine = np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1)
    return shift, float(np.degrees(np.arccos(cosine)))
