"""HIPS-THOMAS (Su 2019, Vidal 2024): whole thalamus and nuclei, each a file per side; run by its script or container.

Written from its documentation and scripts; it was not run here (docs/tools.md).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError
from thalbids.image.grids import resample_to
from thalbids.image.io import load_labels
from thalbids.programs import ThomasSettings
from thalbids.tools.check import Check, program_check
from thalbids.tools.runner import Command, Runner, ToolError, runner_of, with_limit
from thalbids.tools.whole_brain.samseg import write

NAME = "HIPS-THOMAS"
PROGRAM = "hipsthomas.sh"
LEFT, RIGHT = 10, 49
RIGHT_FROM = 200  # nuclei of the left are 100 + their number, of the right 200 + their number
_NUCLEUS = re.compile(r"(\d+)-([\w-]+)\.nii\.gz")
NUCLEI = range(2, 14)  # 14 is the mammillothalamic tract, 4567 the sum of four nuclei, from 26 on follow basal ganglia


def check(settings: ThomasSettings) -> Check:
    """Tell whether it can run here; reading results needs nothing of this."""
    mend = (
        'Fetch its image and name it: [tools.thomas] runner = "docker", image = "anagrammarian/sthomas"; '
        "or give results: --thomas-dir."
    )
    return program_check(NAME, runner_of(settings), PROGRAM, mend)


def command(work: Path, settings: ThomasSettings) -> Command:
    """``hipsthomas.sh -t1 -i T1w.nii.gz`` in the work folder; its files are crops whose headers keep the world."""
    return with_limit(
        Command(
            tool=NAME,
            argv=(PROGRAM, "-t1", "-i", "T1w.nii.gz", *settings.options),
            cwd=work,
            reads=(work / "T1w.nii.gz",),
            expects=tuple(work / side / "1-THALAMUS.nii.gz" for side in ("left", "right")),
        ),
        settings,
    )


def segment(
    t1: nib.Nifti1Image, work: Path, settings: ThomasSettings, runs: Runner | None = None
) -> tuple[np.ndarray, dict[int, str]]:
    """Run it on a T1w; labels and names as of :func:`read`.

    Raises
    ------
    ToolError
        It failed, or a side is missing.
    """
    for side in ("left", "right"):
        shutil.rmtree(work / side, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    write(t1, work / "T1w.nii.gz")
    (runs or runner_of(settings)).run(command(work, settings))
    return read(work, t1)


def read(folder: Path, reference: nib.Nifti1Image) -> tuple[np.ndarray, dict[int, str]]:
    """Thalami and nuclei of a folder with ``left`` and ``right``, by nearest neighbour on the grid of the T1w.

    Returns
    -------
    int32 (x, y, z): 10 left and 49 right whole thalamus, 100 + n and 200 + n its nuclei (``2-AV`` ...), and their
    names.

    Raises
    ------
    ToolError
        A side is missing, damaged, or does not lie in the T1w.
    """
    labels = np.zeros(reference.shape[:3], dtype=np.int32)
    names: dict[int, str] = {}
    for side, whole, start in (("left", LEFT, 100), ("right", RIGHT, RIGHT_FROM)):
        inside = _mask(folder / side / "1-THALAMUS.nii.gz", reference)
        if not inside.any():
            problem = f"the {side} thalamus of {NAME} lies nowhere in the T1w."
            raise ToolError(problem, "Is it a result of this T1w? Both must share scanner coordinates.", folder)
        labels[inside] = whole
        names[whole] = f"{side} thalamus"
        for path in sorted((folder / side).glob("*.nii.gz")):
            match = _NUCLEUS.fullmatch(path.name)
            if match and int(match[1]) in NUCLEI:
                number = start + int(match[1])
                labels[_mask(path, reference) & inside] = number
                names[number] = f"{side} {match[2]}"
    return labels, names


def thalami(labels: np.ndarray) -> np.ndarray:
    """uint8: 10 left and 49 right, nuclei included."""
    left = (labels == LEFT) | ((labels > 100) & (labels < RIGHT_FROM))
    right = (labels == RIGHT) | (labels > RIGHT_FROM)
    return (LEFT * left + RIGHT * right).astype(np.uint8)


def _mask(path: Path, reference: nib.Nifti1Image) -> np.ndarray:
    if not path.is_file():
        raise ToolError(f"{NAME}'s result has no {path.parent.name}/{path.name}.", "Run it to its end.", path.parent)
    try:
        image = load_labels(path)
    except ImageError as error:
        raise ToolError(f"{NAME}'s {path.name} cannot be read: {error.problem}", error.mend, path) from error
    inside: np.ndarray = np.asarray(resample_to(image, reference, order=0).dataobj) != 0
    return inside
