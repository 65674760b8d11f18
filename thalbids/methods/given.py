"""Masks and label maps made elsewhere, brought to the T1w grid by their header; never by a registration.

Masks drawn on the raw T1w (ITK-SNAP, before our reorientation) share its voxels. Programs differ in which of a header's
two geometries they read, and in what they make of a header without any, so such a mask may come back with the other
geometry: when its grid is that of the T1w under another reading of the T1w's own header, it lies on the T1w's voxels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError
from thalbids.image.grids import resample_to, same_grid
from thalbids.image.io import load_image, load_labels
from thalbids.image.orientation import geometry_from_header
from thalbids.image.similarity import correlation
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

MIN_IN_BRAIN = 0.5  # share of a mask's voxels in the brain below which it is of another head, or misplaced
MIN_CORRELATION = 0.6  # of images of one scan, in the brain; docs/tools.md
MIN_IN_VIEW = 0.98  # share of a mask's volume that the T1w's field of view must hold
MIN_SIDE = 0.1  # share of the voxels that the smaller side must have before both sides decide where the middle is
_ROUNDS = 20


def on_grid(path: Path, raw: Path, t1w: nib.Nifti1Image) -> tuple[np.ndarray, list[str]]:
    """Labels of a file on the grid of the reoriented T1w, by nearest neighbour.

    Parameters
    ----------
    path : mask or label map, on any grid of the T1w's world
    raw : the T1w as it lies in the dataset, for its header
    t1w : the reoriented T1w

    Returns
    -------
    int32 (x, y, z), and notes in words.

    Raises
    ------
    ImageError
        The file cannot be read, is empty, or reaches out of the T1w's field of view.
    """
    labels = load_labels(path)
    notes = list(labels.extra.get("notes", ()))
    read = _header(raw)
    shared = _own_voxels(labels, path, read)
    if shared is not None:
        labels = nib.Nifti1Image(np.asarray(labels.dataobj), _affine(read))
        notes = [shared]
    data = np.asarray(labels.dataobj)
    if not data.any():
        raise ImageError("the mask is empty.", "Give a mask that holds the structure.", path)
    _check_view(data != 0, labels.affine, t1w, path)
    return np.asarray(resample_to(labels, t1w, order=0).dataobj), notes


def check_in_brain(mask: np.ndarray, brain: np.ndarray, path: Path) -> float:
    """Share of the mask inside the brain.

    Raises
    ------
    ImageError
        Less than half of it: another head, or another place in the world.
    """
    inside = float((np.asarray(brain) != 0)[np.asarray(mask) != 0].mean()) if np.any(mask) else 0.0
    if inside < MIN_IN_BRAIN:
        problem = f"only {100 * inside:.0f} % of it lie in the brain of this T1w."
        mend = "It must have been made from this T1w (this person, session and run) and share its world space."
        raise ImageError(problem, mend, path)
    return inside


def check_same_scan(
    t1w: nib.Nifti1Image, path: Path | None, brain: np.ndarray, tool: str, matrix: np.ndarray | None = None
) -> dict[str, float]:
    """Whether the image beside a program's results, where there is one, shows what the T1w shows at the same places.

    Parameters
    ----------
    path : the program's image; None where there is none, and then nothing is checked
    brain : on the grid of the T1w
    matrix : (4, 4) RAS+ mm of the T1w to that of the image; identity when absent

    Returns
    -------
    ``CorrelationWithT1w`` for the sidecar.

    Raises
    ------
    ImageError
        The correlation of the two in the brain is below `MIN_CORRELATION`.
    """
    if path is None:
        return {}
    moved = np.asarray(resample_to(load_image(path), t1w, order=1, matrix=matrix).dataobj)
    alike = correlation(np.asarray(t1w.dataobj), moved, (np.asarray(brain) != 0) & (moved > 0))
    if not alike >= MIN_CORRELATION:
        problem = f"the image of this {tool} result is not this T1w: their correlation in the brain is {alike:.2f}."
        mend = (
            "Is the folder of another person or session, or were scanner coordinates changed since? "
            f"If {tool} was given another contrast, give the masks instead: --derivatives {tool.lower()}=PATH."
        )
        raise ImageError(problem, mend, path)
    return {"CorrelationWithT1w": alike}


def thalamus_of(
    data: np.ndarray, labelled: bool, affine: np.ndarray, centre: Sequence[float], path: Path
) -> np.ndarray:
    """Left and right thalamus (10, 49) of a label map, or of a binary mask split at the midline.

    Raises
    ------
    ImageError
        A label map without 10 and 49, or a mask with several values.
    """
    values = {int(v) for v in np.unique(data)} - {0}
    if {LEFT_THALAMUS, RIGHT_THALAMUS} <= values:
        return np.where(np.isin(data, (LEFT_THALAMUS, RIGHT_THALAMUS)), data, 0).astype(np.uint8)
    if labelled or len(values) > 1:
        listed = ", ".join(str(v) for v in sorted(values)[:10])
        problem = f"it holds the labels {listed}, not 10 (left thalamus) and 49 (right thalamus)."
        raise ImageError(problem, "Give a mask of one value, or label the sides 10 and 49 as FreeSurfer does.", path)
    return split(data != 0, affine, centre)


def split(mask: np.ndarray, affine: np.ndarray, centre: Sequence[float]) -> np.ndarray:
    """Sides of a mask without sides.

    A voxel belongs to the side whose centre of mass is nearer. The centres come from the plane x = ``centre`` first and
    then from the sides themselves, until nothing changes (2-means), so that a turned head is split along its own
    midline. When one side has less than a tenth of the voxels, the plane alone decides: one thalamus must not be split.

    Parameters
    ----------
    mask : boolean (x, y, z)
    affine : (4, 4) voxel to RAS+ mm
    centre : world position (mm) of the middle of both thalami, as the whole-head network sees it

    Returns
    -------
    uint8: 10 left, 49 right.
    """
    index = np.argwhere(mask)
    world = index @ np.asarray(affine)[:3, :3].T + np.asarray(affine)[:3, 3]
    left = world[:, 0] < centre[0]
    for _ in range(_ROUNDS):
        if min(left.mean(), 1 - left.mean()) < MIN_SIDE:
            left = world[:, 0] < centre[0]
            break
        middle_left, middle_right = world[left].mean(0), world[~left].mean(0)
        now = ((world - middle_left) ** 2).sum(1) <= ((world - middle_right) ** 2).sum(1)
        if (now == left).all():
            break
        left = now
    out = np.zeros(mask.shape, np.uint8)
    out[tuple(index.T)] = np.where(left, LEFT_THALAMUS, RIGHT_THALAMUS)
    return out


def _header(path: Path) -> nib.Nifti1Image:
    """The file with its header as it is on disk; the data are not read."""
    try:
        image: nib.Nifti1Image = nib.load(path)
    except (OSError, nib.filebasedimages.ImageFileError) as error:
        raise ImageError(f"the header cannot be read ({error}).", "Copy or convert it again.", path) from None
    return image


def _affine(image: nib.Nifti1Image) -> np.ndarray:
    return geometry_from_header(image.header, image.shape[:3])[0]


def _own_voxels(labels: nib.Nifti1Image, path: Path, raw: nib.Nifti1Image) -> str | None:
    """Why a mask lies on the voxels of the raw T1w although its world is another; None when its world is right."""
    if labels.shape != raw.shape[:3] or same_grid(labels, nib.Nifti1Image(labels.dataobj, _affine(raw))):
        return None
    header = _header(path).header
    if _codes(header) == (0, 0):
        return "the mask's header holds no geometry; it has the T1w's matrix and lies on its voxels"
    for reading in _readings(raw):
        if same_grid(labels, nib.Nifti1Image(labels.dataobj, reading)):
            return "the mask lies on the T1w's voxels; the program that drew it read another geometry of its header"
    return None


def _codes(header: nib.Nifti1Header) -> tuple[int, int]:
    if not isinstance(header, nib.Nifti1Header):
        return 1, 1
    return int(header["sform_code"]), int(header["qform_code"])


def _readings(raw: nib.Nifti1Image) -> Iterator[np.ndarray]:
    """What other programs may take for the T1w's geometry: each of its two forms; and where both codes are 0, voxels
    that begin at the origin along RAS or LPS axes (the NIfTI library, ITK) or lie centred around it (nibabel, SPM).
    """
    header = raw.header
    if not isinstance(header, nib.Nifti1Header):
        return
    for form in (header.get_sform, header.get_qform):
        try:
            affine = np.asarray(form(), dtype=np.float64)
        except (ValueError, nib.spatialimages.HeaderDataError):
            continue
        if np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-6:
            yield affine
    if _codes(header) == (0, 0):
        sizes = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
        for signs in ((1, 1, 1), (-1, -1, 1), (-1, 1, 1)):
            corner = np.diag([*(sizes * signs), 1.0])
            centred = corner.copy()
            centred[:3, 3] = -corner[:3, :3] @ ((np.asarray(raw.shape[:3]) - 1) / 2)
            yield corner
            yield centred


def _check_view(mask: np.ndarray, affine: np.ndarray, t1w: nib.Nifti1Image, path: Path) -> None:
    world = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    inverse = np.linalg.inv(t1w.affine)
    index = world @ inverse[:3, :3].T + inverse[:3, 3]
    seen = ((index >= -0.5) & (index <= np.asarray(t1w.shape[:3]) - 0.5)).all(1).mean()
    if seen < MIN_IN_VIEW:
        problem = f"only {100 * seen:.0f} % of it lie in the T1w's field of view."
        mend = "It must have been made from this T1w (this person, session and run) and share its world space."
        raise ImageError(problem, mend, path)
