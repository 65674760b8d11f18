"""FSL FIRST (Patenaude et al. 2011; paper, 2.6.2): left and right thalamus of a brain-extracted T1w.

The exit status of ``run_first_all`` means little: it goes on after a failed registration. Its own error logs, its
outputs and the two labels decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError
from thalbids.image.grids import same_grid
from thalbids.image.io import load_labels, save_image
from thalbids.image.orientation import to_ras
from thalbids.programs import FslSettings
from thalbids.tools import fsl
from thalbids.tools.check import Check, where_of
from thalbids.tools.runner import Command, Finished, Runner, ToolError, tail, with_limit

NAME = "FIRST"
PROGRAM = "run_first_all"
LEFT, RIGHT = 10, 49
_SINGLE = {"first-L_Thal_corr.nii.gz": LEFT, "first-R_Thal_corr.nii.gz": RIGHT}


@dataclass(frozen=True)
class FirstResult:
    """Result of FIRST.

    Attributes
    ----------
    labels : uint8 array on the grid of the T1w: 10 left, 49 right
    finished : the call
    source : name of the file that was read
    """

    labels: np.ndarray
    finished: Finished
    source: str


def check(settings: FslSettings) -> Check:
    """Tell whether FIRST can run here."""
    problem = fsl.missing(PROGRAM, settings)
    where = where_of(fsl.runner(settings), fsl.located(PROGRAM, settings))
    return Check(NAME, problem or "", fsl.MEND if problem else "", where)


def version(settings: FslSettings) -> str | None:
    """``FSL 6.0.7``; None when FIRST is not there."""
    return None if fsl.missing(PROGRAM, settings) else fsl.version(PROGRAM, settings)


def command(work: Path, settings: FslSettings) -> Command:
    """``run_first_all`` on ``work/T1_brain.nii.gz``, without leave to submit itself to a cluster.

    The image is named without its folder: a space in the path breaks the script.
    """
    image = work / "T1_brain.nii.gz"
    program = fsl.located(PROGRAM, settings)
    return with_limit(
        Command(
            tool=NAME,
            argv=(program, "-i", image.name, "-o", "first", "-s", "L_Thal,R_Thal", "-b"),
            cwd=work,
            env=fsl.environment(PROGRAM, settings) | fsl.stays_here(work),
            unset=fsl.UNSET,
            reads=(image,),
            log=work / "first.log",
        ),
        settings,
    )


def segment(
    t1: nib.Nifti1Image, brain: np.ndarray, work: Path, settings: FslSettings, runs: Runner | None = None
) -> FirstResult:
    """Run FIRST on a T1w masked by the brain.

    Parameters
    ----------
    t1 : T1w; brought into RAS order (``fslreorient2std`` in the paper) and back
    brain : (x, y, z) mask on the same grid
    work : an empty folder for its files
    runs : in place of the settings' runner

    Raises
    ------
    ToolError
        FIRST failed, by any of its signs.
    """
    work.mkdir(parents=True, exist_ok=True)
    _clean(work)
    masked = np.where(np.asarray(brain) != 0, np.asarray(t1.dataobj), 0).astype(np.float32)
    ras, orientation = to_ras(nib.Nifti1Image(masked, t1.affine))
    save_image(np.asarray(ras.dataobj), ras.affine, work / "T1_brain.nii.gz")
    call = command(work, settings)
    finished = (runs or fsl.runner(settings)).run(call)
    labels, source = read(work, ras)
    native = orientation.invert(nib.Nifti1Image(labels, ras.affine))
    return FirstResult(np.asarray(native.dataobj), finished, source)


def read(work: Path, reference: nib.Nifti1Image) -> tuple[np.ndarray, str]:
    """Labels (uint8: 0, 10, 49) on the grid of ``reference``, and the name of the file they came from.

    Raises
    ------
    ToolError
        There is an error log that is not empty, no result, another grid, or a side is missing.
    """
    complaints = [line for path in sorted(work.glob("first.logs/*.e*")) for line in tail(path, 4)]
    if complaints:
        raise ToolError(f"{NAME} complained in its error log: " + " | ".join(complaints[-4:]), path=work / "first.logs")
    merged = [path for path in sorted(work.glob("first_all_*_firstseg.nii.gz")) if "origsegs" not in path.name]
    if len(merged) > 1:
        raise ToolError(f"{NAME} left several results: {_names(merged)}.", "Give it an empty work folder.", work)
    if merged:
        labels, source = _load(merged[0], reference), merged[0].name
    else:
        labels, source = _sides(work, reference)
    for label, side in ((LEFT, "left"), (RIGHT, "right")):
        if not (labels == label).any():
            raise ToolError(f"{NAME} found no {side} thalamus (label {label}).", path=work / source)
    unknown = sorted(set(np.unique(labels).tolist()) - {0, LEFT, RIGHT})
    if unknown:
        raise ToolError(f"{NAME} wrote labels that are no thalamus: {unknown[:5]}.", path=work / source)
    return labels.astype(np.uint8), source


def _sides(work: Path, reference: nib.Nifti1Image) -> tuple[np.ndarray, str]:
    """The files of the single structures, where there is no merged one."""
    there = [name for name in _SINGLE if (work / name).is_file()]
    if len(there) < len(_SINGLE):
        gone = sorted(set(_SINGLE) - set(there))
        problem = f"{NAME} left no first_all_*_firstseg.nii.gz, and no {' and no '.join(gone)} either."
        raise ToolError(problem, "It may have submitted itself to a cluster; see its log.", work)
    labels = np.zeros(reference.shape, dtype=np.int32)
    for name, label in _SINGLE.items():
        labels[_load(work / name, reference) == label] = label
    return labels, " and ".join(_SINGLE)


def _load(path: Path, reference: nib.Nifti1Image) -> np.ndarray:
    try:
        image = load_labels(path)
    except ImageError as error:
        raise ToolError(f"{NAME} wrote an image that cannot be read: {error.problem}", path=path) from error
    if not same_grid(image, reference):
        raise ToolError(f"{NAME} wrote an image on another grid than that of its input.", path=path)
    return np.asarray(image.dataobj)


def _clean(work: Path) -> None:
    """Take away what an earlier try left: it would look like a result of this one."""
    for pattern in ("first_all_*.nii.gz", "first-*.nii.gz", "first.logs/*"):
        for path in work.glob(pattern):
            path.unlink()


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)
