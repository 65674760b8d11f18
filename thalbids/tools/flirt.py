"""FSL's FLIRT (Jenkinson 2002): its command lines, and whether what it left behind can be used.

FLIRT ends with exit status 0 also after it failed to read an image, so only its matrix decides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thalbids.tools.runner import ToolError

DEGREES_OF_FREEDOM = (6, 7, 9, 12)
COSTS = ("mutualinfo", "corratio", "normcorr", "normmi", "leastsq")


class FlirtError(ToolError):
    """FLIRT gave no matrix that can be used."""


def command(
    moving: str, fixed: str, matrix: str, *, dof: int, cost: str, weight: str | None = None, start: str | None = None
) -> list[str]:
    """The arguments of one FLIRT run; all names are files of the folder in which it runs.

    Parameters
    ----------
    moving, fixed : images
    matrix : file to write
    dof : degrees of freedom, 6 is rigid, 12 affine
    cost : measure that is optimised, in the search and after it (FLIRT's own default for the search is ``corratio``)
    weight : image on the grid of ``fixed`` that weights the measure
    start : matrix to start from; then there is no search over rotations
    """
    if dof not in DEGREES_OF_FREEDOM or cost not in COSTS:
        raise ValueError(f"FLIRT knows no {dof} degrees of freedom with {cost}")
    argv = ["flirt", "-in", moving, "-ref", fixed, "-omat", matrix, "-dof", str(dof), "-cost", cost]
    argv += ["-searchcost", cost] if start is None else ["-init", start, "-nosearch"]
    return argv + ([] if weight is None else ["-refweight", weight])


def read_matrix(path: Path) -> np.ndarray:
    """The (4, 4) matrix that FLIRT wrote.

    Raises
    ------
    FlirtError
        The file is missing, is not a matrix, holds something not finite, or the matrix has no inverse.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        raise FlirtError("FLIRT wrote no matrix.") from None
    try:
        matrix = np.array([[float(word) for word in line.split()] for line in text.splitlines() if line.strip()])
    except ValueError:
        raise FlirtError("FLIRT wrote something that is not a matrix.") from None
    if matrix.shape != (4, 4) or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise FlirtError("FLIRT wrote something that is not a matrix of 4 x 4 numbers.")
    if not np.isfinite(matrix).all():
        raise FlirtError("FLIRT's matrix holds numbers that are not finite.")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise FlirtError("FLIRT's matrix is singular: it has no inverse.")
    return matrix
