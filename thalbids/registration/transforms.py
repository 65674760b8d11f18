"""Rigid and affine transforms: ITK text files, and the matrices of FSL's FLIRT.

In this package a transform is a (4, 4) matrix that maps RAS+ millimetres of the fixed image (T1w) to RAS+ millimetres
of the moving image: what a resampler needs. ITK files hold the same mapping, fixed to moving, in LPS+ millimetres, so
that ``antsApplyTransforms -i moving -r fixed -t file`` gives the registered image.
"""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError, OutputError
from thalbids.image.grids import zooms

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_HEADER = "#Insight Transform File V1.0"
_READABLE = (
    "AffineTransform",
    "MatrixOffsetTransformBase",
)  # both hold 9 matrix elements, 3 of translation and a centre
_MEND = "Give the text of one ITK affine transform (AffineTransform or MatrixOffsetTransformBase)."


def write_itk(matrix: np.ndarray, path: Path | str) -> Path:
    """Write a matrix (RAS+, fixed to moving) as an ITK text transform (LPS+, fixed to moving), atomically, in full
    precision.
    """
    path = Path(path)
    lps = _RAS_TO_LPS @ np.asarray(matrix, dtype=np.float64) @ _RAS_TO_LPS
    numbers = " ".join(repr(float(value)) for value in (*lps[:3, :3].ravel(), *lps[:3, 3]))
    kind = "AffineTransform_double_3_3"
    text = f"{_HEADER}\n#Transform 0\nTransform: {kind}\nParameters: {numbers}\nFixedParameters: 0 0 0\n"
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"The file cannot be written ({error.strerror}).", "Check that the folder is writable and not full.", path
        ) from error
    return path


def read_itk(path: Path | str) -> np.ndarray:
    """Read an ITK text transform as a (4, 4) matrix in RAS+ mm, fixed to moving; the inverse of :func:`write_itk`.

    Raises ImageError when the file is missing, is not one affine transform in text, or cannot be inverted.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError("The transform cannot be read.", _MEND, path) from error
    fields = [line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#")]
    kinds = [value.strip() for name, value in fields if name == "Transform"]
    if not text.startswith(_HEADER) or len(kinds) != 1 or not kinds[0].startswith(_READABLE):
        raise ImageError(
            f"This is not one affine ITK transform in text ({', '.join(kinds) or 'none found'}).", _MEND, path
        )
    values = dict(fields)
    try:
        parameters = np.array([float(word) for word in values["Parameters"].split()])
        centre = np.array([float(word) for word in values["FixedParameters"].split()])
    except (KeyError, ValueError) as error:
        raise ImageError("The transform has no readable parameters.", _MEND, path) from error
    if parameters.shape != (12,) or centre.shape != (3,) or not np.isfinite(parameters).all():
        raise ImageError("The transform does not have 12 parameters and a centre.", _MEND, path)
    matrix = _RAS_TO_LPS @ from_centred(parameters, centre) @ _RAS_TO_LPS
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise ImageError("The transform cannot be inverted.", _MEND, path)
    return matrix


def from_centred(parameters: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(4, 4) matrix of ITK's x -> A (x - centre) + centre + t, from (A row by row, t) and the centre; no change of
    axes.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(parameters[:9], (3, 3))
    matrix[:3, 3] = np.asarray(parameters[9:12]) + centre - matrix[:3, :3] @ centre
    return matrix


def ras_from_lps(matrix: np.ndarray) -> np.ndarray:
    """The same transform between worlds with both x and y reversed (LPS+ to RAS+, or back: the change is its own
    inverse).
    """
    changed: np.ndarray = _RAS_TO_LPS @ np.asarray(matrix, dtype=np.float64) @ _RAS_TO_LPS
    return changed


def flirt_coordinates(img: nib.Nifti1Image) -> np.ndarray:
    """(4, 4) from voxel indices of an image to FSL's coordinates: voxels scaled to mm, with x counted from the other
    end when the image is stored from left to right (positive determinant of the affine).

    Source: FSL's ``newimage`` ("FLIRT" coordinates); the same as ``fslpy``'s ``getAffine('voxel', 'fsl')``.
    """
    scaled = np.diag([*zooms(img.affine), 1.0])
    if np.linalg.det(img.affine[:3, :3]) > 0:
        mirror = np.eye(4)
        mirror[0, 0], mirror[0, 3] = -1.0, img.shape[0] - 1.0
        scaled = scaled @ mirror
    return scaled


def from_flirt(matrix: np.ndarray, moving: nib.Nifti1Image, fixed: nib.Nifti1Image) -> np.ndarray:
    """(4, 4) RAS+ mm of ``fixed`` to RAS+ mm of ``moving``, from what ``flirt -in moving -ref fixed -omat`` writes.

    FLIRT's matrix goes the other way, from ``moving`` to ``fixed``, in the coordinates of :func:`flirt_coordinates`.
    """
    back: np.ndarray = _flirt_world(moving) @ np.linalg.inv(matrix) @ np.linalg.inv(_flirt_world(fixed))
    return back


def to_flirt(matrix: np.ndarray, moving: nib.Nifti1Image, fixed: nib.Nifti1Image) -> np.ndarray:
    """The matrix that FLIRT writes and ``-init`` reads; the inverse of :func:`from_flirt`."""
    forth: np.ndarray = np.linalg.inv(_flirt_world(fixed)) @ np.linalg.inv(matrix) @ _flirt_world(moving)
    return forth


def _flirt_world(img: nib.Nifti1Image) -> np.ndarray:
    """FSL's coordinates of an image to RAS+ mm."""
    return np.asarray(img.affine, dtype=np.float64) @ np.linalg.inv(flirt_coordinates(img))


def nearest_rigid(matrix: np.ndarray) -> np.ndarray:
    """The matrix with its linear part replaced by the nearest rotation (polar decomposition by SVD, determinant +1)."""
    u, _, vt = np.linalg.svd(np.asarray(matrix, dtype=np.float64)[:3, :3])
    rigid = np.array(matrix, dtype=np.float64)
    rigid[:3, :3] = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return rigid


def rotation_degrees(matrix: np.ndarray) -> float:
    """Angle of the rotation part of a transform."""
    rotation = nearest_rigid(matrix)[:3, :3]
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def displacement(first: np.ndarray, second: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distances (mm) between where two transforms send points; ``points`` is (n, 3) in RAS+ mm of the fixed image."""
    difference = np.asarray(first)[:3] - np.asarray(second)[:3]
    return np.asarray(np.linalg.norm(points @ difference[:, :3].T + difference[:, 3], axis=1))
