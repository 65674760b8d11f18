"""Where voxels are: one trustworthy affine per image, and the change to RAS+ order without resampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt2axcodes,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError

from thalbids.errors import ImageError

MIN_ZOOM_MM = 0.1
MAX_ZOOM_MM = 20.0
MAX_FIELD_OF_VIEW_MM = 1000.0
MAX_ORIGIN_MM = 10_000.0  # of the first voxel from the origin: farther away, single precision moves voxels
SAME_PLACE_MM = (
    0.1  # sform and qform that differ by less at every corner are the same (a quaternion in float32 is that coarse)
)
SAME_ZOOM = 0.02  # relative difference of voxel sizes that counts as equal
ASSUMED = (
    "sform and qform codes are both 0: a centred LAS geometry was made from the voxel sizes; "
    "left and right rest on that convention and should be checked"
)
MIRRORED = "sform and qform are mirror images: left and right hang on which of them holds, and should be checked"
_MAX_SHEAR = 0.01  # cosine between two voxel axes
_CORNERS = np.indices((2, 2, 2)).reshape(3, -1)  # of a box


def repair_geometry(img: nib.Nifti1Image) -> tuple[nib.Nifti1Image, tuple[str, ...]]:
    """Settle which affine of a NIfTI header holds, and make sform and qform say the same.

    The rules:

    1. Only one of sform and qform has a code above 0: it holds.
    2. Both do and agree (0.1 mm at every corner of the image): the sform holds.
    3. Both do and disagree: the sform holds, as in nibabel and FSL, unless it is singular, sheared, or its voxel sizes
       contradict ``pixdim`` by more than 2 % (a stretched template space: volumes would be wrong); then the qform
       holds. A note says so.
    4. Both codes are 0: a centred affine in LAS order is made from ``pixdim`` (the convention of NIfTI method 1 in FSL
       and nibabel), with a note that left and right rest on that convention. Missing or implausible ``pixdim`` is an
       error.

    Parameters
    ----------
    img : 3-D NIfTI image

    Returns
    -------
    The image (same data object) with the affine in both forms, and notes in words (empty when nothing was doubtful),
    including those that :func:`thalbids.image.io.load_image` made when it applied the same rules.

    Raises
    ------
    ImageError
        When no usable affine is left: singular, not finite, voxels smaller than 0.1 mm or larger than 20 mm.
    """
    affine, notes = geometry_from_header(img.header, img.shape[:3])
    earlier = tuple((img.extra or {}).get("notes", ()))
    repaired = nib.Nifti1Image(img.dataobj, affine, img.header, extra={**(img.extra or {}), "notes": earlier + notes})
    repaired.set_sform(affine, code=1)
    if is_rotation_and_zooms(affine):
        repaired.set_qform(affine, code=1)
    else:
        repaired.set_qform(None, code=0)
    return repaired, earlier + notes


def geometry_from_header(header: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Affine (4, 4) and notes by the rules of :func:`repair_geometry`, for a NIfTI or MGH header."""
    if not isinstance(header, nib.Nifti1Header):
        affine = np.asarray(header.get_affine(), dtype=np.float64)
        notes: tuple[str, ...] = ()
    else:
        with np.errstate(all="ignore"):  # of numbers that are none; the rules tell them
            affine, notes = _nifti_affine(header, shape)
    check_affine(affine)
    extent = np.linalg.norm(affine[:3, :3], axis=0) * np.asarray(shape)
    if extent.max() > MAX_FIELD_OF_VIEW_MM:
        raise ImageError(
            f"The field of view is {extent.max():.0f} mm wide.",
            "Check the voxel sizes of the header (unit: mm) and convert again.",
        )
    if np.abs(affine[:3, 3]).max() > MAX_ORIGIN_MM:
        raise ImageError(
            "By its header the image lies more than ten metres away from the scanner's centre.",
            "Check the offsets of sform and qform (unit: mm) and convert the image again from its source.",
        )
    return affine, notes


def check_affine(affine: np.ndarray) -> None:
    """Raise ImageError unless the affine is finite, invertible and has voxels of 0.1 to 20 mm."""
    mend = "Check the header (sform, qform, pixdim; unit: mm) and convert the image again from its source."
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise ImageError("The affine of the header is not a matrix of finite numbers.", mend)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if zooms.min() < MIN_ZOOM_MM or zooms.max() > MAX_ZOOM_MM:
        raise ImageError(f"Voxel sizes of {_sizes(zooms)} mm are implausible.", mend)
    if abs(np.linalg.det(affine[:3, :3])) < 0.01 * zooms.prod():
        raise ImageError("The affine of the header cannot be inverted (its axes lie in one plane).", mend)


def is_rotation_and_zooms(affine: np.ndarray) -> bool:
    """True when a qform can hold the affine: voxel axes are perpendicular (to 1e-4)."""
    return _shear(affine) < 1e-4


@dataclass(frozen=True)
class Orientation:
    """The change of voxel order that :func:`to_ras` made; everything that its exact inverse needs.

    Attributes
    ----------
    source : axis codes before, for example ``"LIA"``
    shape : shape before
    affine : affine before, as nested tuples
    """

    source: str
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]

    target = "RAS"

    def invert(self, img: nib.Nifti1Image) -> nib.Nifti1Image:
        """Bring an image on the RAS grid back to the voxel order, shape and affine of before, without resampling.

        Raises ``ValueError`` when the image is not on the RAS grid that belongs to this orientation.
        """
        back = ornt_transform(axcodes2ornt(self.target), axcodes2ornt(self.source))
        data = apply_orientation(np.asanyarray(img.dataobj), back)
        affine = np.asarray(img.affine) @ inv_ornt_aff(back, img.shape)
        if data.shape != tuple(self.shape) or np.abs(affine - np.array(self.affine)).max() > 1e-2:
            raise ValueError(f"image of shape {img.shape} is not on the reoriented grid of a {self.shape} image")
        return nib.Nifti1Image(data, np.array(self.affine))

    def to_json(self) -> dict[str, object]:
        """Plain dictionary for a JSON sidecar."""
        return {
            "from": self.source,
            "to": self.target,
            "shape": list(self.shape),
            "affine": [list(row) for row in self.affine],
        }


def to_ras(img: nib.Nifti1Image) -> tuple[nib.Nifti1Image, Orientation]:
    """Permute and flip the axes to the order closest to RAS+; nothing is interpolated, no voxel moves in the world.

    What ``fslreorient2std`` does, but always to RAS (FSL keeps the handedness and may give LAS). An oblique image
    stays oblique.

    Parameters
    ----------
    img : 3-D image

    Returns
    -------
    The image in RAS order (data copied, C-contiguous; ``extra`` kept, its ``filled`` in RAS order) and the
    :class:`Orientation` that undoes the change.
    """
    ornt = io_orientation(img.affine)
    data = apply_orientation(np.asanyarray(img.dataobj), ornt)
    affine = img.affine @ inv_ornt_aff(ornt, img.shape)
    source = "".join(ornt2axcodes(ornt))
    x, y, z = img.shape
    orientation = Orientation(source, (int(x), int(y), int(z)), tuple(tuple(map(float, row)) for row in img.affine))
    extra = dict(img.extra or {})
    if "filled" in extra:
        extra["filled"] = apply_orientation(extra["filled"], ornt)
    reoriented = nib.Nifti1Image(np.ascontiguousarray(data), affine, extra=extra)
    return reoriented, orientation


def axcodes(affine: np.ndarray) -> str:
    """Axis codes of an affine, for example ``"LAS"``."""
    return "".join(aff2axcodes(affine))


def _nifti_affine(header: nib.Nifti1Header, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The rules of :func:`repair_geometry`."""
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    pixdim = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    sform = np.asarray(header.get_sform(), dtype=np.float64)
    if sform_code <= 0 and qform_code <= 0:
        return _affine_from_zooms(pixdim, shape)
    if qform_code <= 0:
        return sform, (*_zoom_notes(sform, pixdim), *_shear_notes(sform))
    qform = _qform(header)
    if sform_code <= 0:
        if qform is None:
            raise ImageError(
                "The qform of the header is no rotation of finite numbers.", "Convert the image again from its source."
            )
        return qform, ()
    if qform is None or not pixdim.all():
        return sform, ("the qform is damaged: the sform was used",)
    distance = _largest_distance(sform, qform, shape)
    if distance <= SAME_PLACE_MM:
        return sform, ()
    fault = _fault_of_sform(sform, pixdim)
    mirrored = _mirror_notes(sform, qform)
    if fault:
        return qform, (f"sform and qform disagree and the sform {fault}: the qform was used", *mirrored)
    return sform, (f"sform and qform disagree by up to {distance:.2f} mm: the sform was used", *mirrored)


def _affine_from_zooms(pixdim: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    zooms = np.abs(pixdim)
    if not np.isfinite(zooms).all() or zooms.min() < MIN_ZOOM_MM or zooms.max() > MAX_ZOOM_MM:
        raise ImageError(
            f"sform and qform codes are both 0 and the voxel sizes {_sizes(pixdim)} mm are implausible.",
            "The image has no usable geometry: convert it again from its source.",
        )
    affine = np.diag([-zooms[0], zooms[1], zooms[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape[:3]) - 1) / 2)
    return affine, (ASSUMED,)


def _qform(header: nib.Nifti1Header) -> np.ndarray | None:
    if header["pixdim"][0] == 0 or (header["pixdim"][1:4] < 0).any():
        header = header.copy()
        header["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
        if header["pixdim"][0] == 0:  # qfac 0 means 1 (NIfTI-1 standard)
            header["pixdim"][0] = 1.0
    try:
        qform = np.asarray(header.get_qform(), dtype=np.float64)
    except (ValueError, HeaderDataError):  # a quaternion longer than 1
        return None
    return qform if np.isfinite(qform).all() else None


def _fault_of_sform(sform: np.ndarray, pixdim: np.ndarray) -> str:
    """Why a disagreeing sform cannot be trusted; "" when it can."""
    zooms = np.linalg.norm(sform[:3, :3], axis=0)
    if not np.isfinite(sform).all() or abs(np.linalg.det(sform[:3, :3])) < 1e-6:
        return "is singular"
    if np.abs(sform[:3, 3]).max() > MAX_ORIGIN_MM:
        return "lies metres away from the scanner"
    if _shear(sform) > _MAX_SHEAR:
        return "is sheared"
    if np.abs(zooms - np.abs(pixdim)).max() > SAME_ZOOM * zooms.max():
        return "contradicts the voxel sizes"
    return ""


def _mirror_notes(sform: np.ndarray, qform: np.ndarray) -> tuple[str, ...]:
    """What hangs on the choice between two geometries of which one is the mirror image of the other."""
    if not np.isfinite(sform).all() or not np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        return ()
    return (MIRRORED,)


def _shear_notes(sform: np.ndarray) -> tuple[str, ...]:
    shear = _shear(sform)
    if not _MAX_SHEAR < shear < np.inf:
        return ()
    return (f"the sform, the only geometry, is sheared (axes {np.degrees(np.arccos(shear)):.0f} degrees apart)",)


def _zoom_notes(sform: np.ndarray, pixdim: np.ndarray) -> tuple[str, ...]:
    zooms = np.linalg.norm(sform[:3, :3], axis=0)
    if (np.abs(zooms - np.abs(pixdim)) <= SAME_ZOOM * zooms).all():
        return ()
    return (f"pixdim ({_sizes(pixdim)} mm) contradicts the sform ({_sizes(zooms)} mm): the sform was used",)


def _sizes(zooms: np.ndarray) -> str:
    return " x ".join(f"{zoom:.3g}" for zoom in zooms)


def _largest_distance(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Largest distance (mm) between the places that two affines give to a corner of the image."""
    corners = _CORNERS * (np.asarray(shape[:3]) - 1)[:, None]
    difference = (first - second)[:3] @ np.vstack([corners, np.ones(corners.shape[1])])
    distance = np.linalg.norm(difference, axis=0).max()
    return float(distance) if np.isfinite(distance) else float("inf")


def _shear(affine: np.ndarray) -> float:
    """Largest cosine between two voxel axes; inf for an axis of no length."""
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(zooms).all() or zooms.min() == 0:
        return float("inf")
    axes = affine[:3, :3] / zooms
    return float(np.abs(axes.T @ axes - np.eye(3)).max())
