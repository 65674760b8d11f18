"""Gibbs ringing taken out of raw images by local subvoxel shifts (Kellner et al. 2016), as DIPY does it."""

from __future__ import annotations

import numpy as np

from thalbids.errors import MissingToolError

SLICE_AXIS = 2  # the third voxel axis: the other two are those in which ringing is taken out
NEIGHBOURS = 3  # voxels to each side in which the variation is measured


def check() -> None:
    """Raise MissingToolError when DIPY is not installed."""
    try:
        import dipy.denoise.gibbs  # noqa: F401
    except ImportError:
        mend = 'Run: pip install "thalbids[qmri]", or set [qmri] unringing = "none".'
        raise MissingToolError("Gibbs unringing needs the package DIPY.", mend) from None


def unring(volume: np.ndarray) -> np.ndarray:
    """The volume (x, y, z) without Gibbs ringing in its slices.

    It must be as it was measured: an image that was interpolated before has no ringing of this kind.

    Raises
    ------
    MissingToolError
        DIPY is not installed.
    """
    check()
    from dipy.denoise.gibbs import gibbs_removal

    unrung = gibbs_removal(
        np.array(volume, dtype=np.float64), slice_axis=SLICE_AXIS, n_points=NEIGHBOURS, inplace=False, num_processes=1
    )
    return np.asarray(unrung, dtype=np.float32)
