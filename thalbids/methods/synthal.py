"""What the embedded method computes: SynThal on one image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError, MissingToolError
from thalbids.image.grids import zooms
from thalbids.image.io import load_image
from thalbids.image.orientation import to_ras
from thalbids.inference import synthal
from thalbids.inference.head import Head, see_head
from thalbids.inference.label_protocol import PROTOCOL
from thalbids.inference.uncertainty import uncertainty
from thalbids.methods.base import Request, Segmentation

FILES = ("head.xml", "head.bin", "roi.xml", "roi.bin")
# Heads of any contrast reach 0.95 and 0.85; noise, heads upside down and shapes stay below (table in docs/methods.md).
FLIP_DICE = 0.85
CONFIDENCE = 0.60
HEAD_MM = 130, 400  # from where to where the middle side of a field of view lies that can show a head


def unavailable() -> str | None:
    """What keeps SynThal from running here; None when nothing does."""
    missing = [name for name in FILES if not (synthal.WEIGHTS / name).exists()]
    return f"the weights {', '.join(missing)} are not in the package; install thalbids again." if missing else None


def segment(request: Request) -> Segmentation:
    """What :class:`thalbids.methods.embedded.SynThal` does with a request."""
    _, roi = synthal.networks(request.params["Precision"])
    centre = np.array(request.centre, dtype=np.float64)
    largest = max(*zooms(request.image.affine), *(request.voxel_size or (0.0,)))
    return _segmentation(
        request.image, centre, roi, flip=request.params["FlipAveraging"], contrast=request.name, largest=largest,
        box=box_of(request.box),
    )  # fmt: skip


def told_of(box: synthal.OrientedBox | None) -> dict[str, Any] | None:
    """What :func:`box_of` reads, as JSON values; None of a box that did not come to rest."""
    return {"CentreMm": box.centre.tolist(), "Axes": box.axes.tolist()} if box is not None and box.settled else None


def box_of(told: Mapping[str, Any] | None) -> synthal.OrientedBox | None:
    """Where a box came to rest."""
    return None if told is None else synthal.OrientedBox(np.array(told["CentreMm"]), np.array(told["Axes"]))


@cache
def weights_checksum() -> str:
    """SHA-256 over both networks, for fingerprints."""
    import hashlib

    missing = unavailable()
    if missing is not None:
        raise MissingToolError(missing)
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((synthal.WEIGHTS / name).read_bytes())
    return digest.hexdigest()


def _segmentation(
    image: nib.Nifti1Image,
    centre: np.ndarray,
    roi: Any,
    *,
    flip: bool,
    contrast: str,
    largest: float,
    box: synthal.OrientedBox | None = None,
) -> Segmentation:
    thalami = synthal.see_thalami(image, centre, roi, flip=flip, box=box)
    labels = thalami.labels()
    sides = [float(p.sum(dtype=np.float64)) for p in thalami.sides]
    seen = thalami.diagnostics
    if (
        not (labels == 10).any()
        or not (labels == 49).any()
        or seen["flip_dice"] < FLIP_DICE
        or seen["confidence"] < CONFIDENCE
    ):
        raise ImageError(
            f"no thalami were found (agreement with the mirror image {seen['flip_dice']:.2f}, "
            f"certainty {seen['confidence']:.2f}).",
            advice(
                image,
                "Look at the image: is it a whole head, right side up by its header, with contrast between grey and "
                "white matter?",
            ),
        )
    voxel = float(abs(np.linalg.det(image.affine[:3, :3])))
    probability = thalami.probability()
    expected = uncertainty(
        labels != 0,
        probability,
        np.count_nonzero(labels) * voxel,
        largest_voxel=largest,
        spread=seen["spread"],
        noise=seen["noise"],
        contrast=contrast,
    )
    metadata = {
        "Protocol": PROTOCOL,
        "SoftVolumeMm3": sum(sides) * voxel,
        "SoftVolumeLeftMm3": sides[0] * voxel,
        "SoftVolumeRightMm3": sides[1] * voxel,
        "FlipDice": thalami.diagnostics["flip_dice"],
        "Confidence": thalami.diagnostics["confidence"],
        "InView": thalami.diagnostics["in_view"],
        "BoxSettled": thalami.diagnostics["settled"],
        "ExpectedDice": expected.dice,
        "VolumeLowMm3": expected.low,
        "VolumeHighMm3": expected.high,
    }
    if not flip:  # the interval was fitted with what the looks tell
        del metadata["VolumeLowMm3"], metadata["VolumeHighMm3"]
    return Segmentation(labels, image.affine, probability, metadata)


def head_of(image: nib.Nifti1Image, precision: str, seen: dict[bytes, synthal.OrientedBox] | None = None) -> Head:
    """The whole-head network on an image, with an error where there is no head.

    ``seen`` gets the boxes in which thalami were looked for, by the bytes of their centres.

    Raises
    ------
    ImageError
        Nothing in the image looks like a brain with two thalami.
    """
    whole, roi = synthal.networks(precision)

    def thalamic_axes(centre: np.ndarray) -> np.ndarray | None:
        box = synthal.box_at(image, centre, roi)
        if seen is not None:
            seen[centre.tobytes()] = box
        return box.axes_at_rest

    head = see_head(image, whole, thalamic_axes)
    if head.centre is None or head.icv_mm3 < 3e5:
        raise ImageError(
            f"no head with thalami was found (brain-like volume {head.icv_mm3 / 1000:.0f} mL).",
            advice(
                image,
                "Look at the image and its orientation: a head, right side up by its header, with the middle of the "
                "brain in view, is needed.",
            ),
        )
    return head


def advice(image: nib.Nifti1Image, otherwise: str) -> str:
    """What to do where no head is seen: to check the voxel sizes where, by these, none of usual size can be."""
    sides = np.asarray(zooms(image.affine)) * image.shape
    if HEAD_MM[0] <= sorted(sides)[1] <= HEAD_MM[1]:
        return otherwise
    size = " x ".join(f"{side:.0f}" for side in sides)
    return f"Check the voxel sizes in the header (unit: mm): by these the image is {size} mm wide. {otherwise}"


def segment_image(
    scan: nib.Nifti1Image | Path | str, *, precision: str = "full", flip: bool = True, contrast: str = "T1w"
) -> Segmentation:
    """Thalamus, brain mask and intracranial volume of one scan of any contrast, on the scan's own grid.

    Parameters
    ----------
    scan : a file (``.nii``, ``.nii.gz``, ``.mgz``) or a nibabel image of one volume
    precision : ``full`` computes in float32, the same on every machine; ``fast`` lets the processor use bfloat16
    flip : average with the result of the mirrored scan
    contrast : for the interval of the volume alone, which is wider for another contrast than T1w

    Returns
    -------
    Labels (10 left, 49 right), probabilities, brain mask and volumes; ``metadata`` has ``IntracranialVolumeMm3``,
    ``SkullStripped`` (then that volume lacks what the stripping removed inside the skull) and what the method says of
    itself (``FlipDice``, ``Confidence`` ...).

    Raises
    ------
    ImageError
        The scan cannot be read, or no thalamus was found.
    """
    image = load_image(scan, fill=True) if isinstance(scan, (str, Path)) else scan
    ras, orientation = to_ras(image)
    seen: dict[bytes, synthal.OrientedBox] = {}
    head = head_of(ras, precision, seen)
    assert head.centre is not None  # head_of saw to it
    segmentation = _segmentation(
        ras, head.centre, synthal.networks(precision)[1], flip=flip, contrast=contrast,
        largest=max(zooms(ras.affine)), box=seen.get(head.centre.tobytes()),
    )  # fmt: skip

    def native(data: np.ndarray) -> np.ndarray:
        return np.asarray(orientation.invert(nib.Nifti1Image(data, ras.affine)).dataobj)

    assert segmentation.probability is not None
    metadata: dict[str, Any] = {
        **segmentation.metadata,
        "IntracranialVolumeMm3": None if head.cut_off else head.icv_mm3,
    }
    metadata |= {"ThalamiSeen": head.places, "SkullStripped": head.stripped}
    return Segmentation(
        native(segmentation.labels), image.affine, native(segmentation.probability), metadata, native(head.brain)
    )
