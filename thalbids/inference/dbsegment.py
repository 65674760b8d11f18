"""DBSegment 0.2.2 without its own program: its conformed image ("v3"), on which nnU-Net's network computes.

256 x 256 x 256 voxels of 1 mm along the axes of the world, around the middle of the scan, in 8 bits: its steps are a
255th of the range of the scan's intensities. Where labels are wanted around one place alone, only the windows of the
network that hold a voxel of the box there are computed: the labels in that box are those of the whole head.
"""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.inference import nnunet
from thalbids.inference.windows import Box

VERSION = 2  # raised when a change here changes labels
UPSTREAM = "0.2.2"
N_LABELS = 32  # with 0
SIDE = 256
REACH_MM = 40  # from the middle of the thalami to the sides of the box around them


def conform(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The image as DBSegment hands it to its network: ``correct_header`` and ``conform_v3`` of its source.

    Parameters
    ----------
    image : 3-D, without NaN, on a grid that a qform can express

    Returns
    -------
    float32, 256 x 256 x 256, RAS
    """
    first = _through_8_bits(np.asarray(image.dataobj), image.affine)
    affine = first.header.get_qform().astype(np.float32).astype(np.float64)  # as it stands in a file
    middle = (affine @ [*(np.array(first.shape) / 2), 1])[:3].astype(np.float32)
    world = np.eye(4)
    world[:3, 3] = middle.astype(np.float64) - SIDE / 2
    mapping = np.linalg.inv(np.linalg.inv(world) @ affine)
    data = ndimage.affine_transform(first.get_fdata(), mapping, output_shape=(SIDE,) * 3, order=1)
    last = _through_8_bits(data, world)
    return nib.Nifti1Image(last.get_fdata().astype(np.float32), last.affine)


def _through_8_bits(data: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """The image as it stands in a file of 8 bits, whose header scales it by its smallest and largest value."""
    image = nib.Nifti1Image(data, affine, dtype=np.uint8)
    image.set_data_dtype(np.uint8)
    image.set_qform(affine, 1)
    return nib.Nifti1Image.from_bytes(image.to_bytes())


def segment(
    conformed: nib.Nifti1Image, net: nnunet.Ensemble, centre: Sequence[float] | None,
    sides: Sequence[Sequence[int]],
    largest_only: Sequence[Sequence[int]] = (),
) -> tuple[np.ndarray, bool]:  # fmt: skip
    """DBSegment's labels.

    Parameters
    ----------
    conformed : of :func:`conform`
    centre : of the box that is labelled, mm; None: everything is
    sides : labels of the left and of the right thalamus; where a side is not in that box, or touches the border of it,
        everything is labelled
    largest_only : of :func:`thalbids.inference.nnunet.largest_only`; where there are any, everything is labelled

    Returns
    -------
    uint8 (256, 256, 256), and whether everything was labelled

    Raises
    ------
    ImageError
        The image is 0 everywhere.
    """
    image = np.asarray(conformed.dataobj)
    if centre is not None and not largest_only:
        box = around(conformed.affine, centre)
        labels = nnunet.segment(image, net, box)
        inner = tuple(slice(part.start + 1, part.stop - 1) for part in box)
        if all(0 < np.count_nonzero(s) == np.count_nonzero(s[inner]) for s in (np.isin(labels, s) for s in sides)):
            return labels, False
    return nnunet.keep_largest(nnunet.segment(image, net), largest_only), True


def around(affine: np.ndarray, centre: Sequence[float]) -> Box:
    """The box around a place (mm) in a conformed image."""
    middle = np.rint(np.asarray(centre) - affine[:3, 3]).astype(int)
    x, y, z = (slice(*np.clip([n - REACH_MM, n + REACH_MM + 1], 1, SIDE - 1).tolist()) for n in middle)
    return x, y, z
