"""Rigid and affine transforms on disk: ITK text files.

In this package a transform is a (4, 4) matrix that maps RAS+ millimetres of the fixed image (T1w) to RAS+ millimetres
of the moving image: what a resampler needs. ITK files hold the same mapping, fixed to moving, in LPS+ millimetres, so
that ``antsApplyTransforms -i moving -r fixed -t file`` gives the registered image.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from thalbids.errors import ImageError, OutputError

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
    found = dict(fields)
    try:
        parameters = np.array([float(word) for word in found["Parameters"].split()])
        centre = np.array([float(word) for word in found["FixedParameters"].split()])
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
