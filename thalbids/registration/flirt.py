"""The paper's registrations by FSL's FLIRT (Jenkinson 2002; paper, 2.5.2), as strategies.

FLIRT estimates only: on both whole images, in a folder of its own. The image is resampled by the gate, once, with the
strategy's interpolation, as for every other strategy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import RegistrationError
from thalbids.programs import Program
from thalbids.registration.transforms import from_flirt
from thalbids.scratch import scratch
from thalbids.tools import flirt, fsl
from thalbids.tools.runner import ToolError, said

MAX_SCALE = 1.2  # the same head: scanners differ by a few percent, beyond this the refinement has lost its way


@dataclass(frozen=True)
class Stage:
    """One run of FLIRT.

    Attributes
    ----------
    dof : degrees of freedom
    cost : what is optimised
    weighted : the brain mask of the T1w weights the measure
    refines : starts from the matrix of the stage before, without a search
    """

    dof: int
    cost: str
    weighted: bool = False
    refines: bool = False


RIGID_THEN_AFFINE = (Stage(6, "mutualinfo"), Stage(12, "mutualinfo", refines=True))
RIGID_IN_MASK = (Stage(6, "normcorr", weighted=True),)
RIGID = (Stage(6, "normcorr"),)


@dataclass(frozen=True)
class Flirt:
    """One or more runs of FLIRT, each from where the one before ended.

    Attributes
    ----------
    name, group, interpolation, cutoff : see :class:`~thalbids.registration.strategies.Strategy`
    stages : in order
    program : how FSL is run, settings ``[tools.fsl]``
    """

    name: str
    stages: tuple[Stage, ...]
    interpolation: str
    group: str = "fsl"
    cutoff: float = 0.25  # paper, 2.5.2
    program: Program = field(default_factory=Program)

    @property
    def software(self) -> str:
        """Name and version of FSL."""
        return fsl.version("flirt", self.program)

    def estimate(
        self, fixed: nib.Nifti1Image, moving: nib.Nifti1Image, mask: nib.Nifti1Image | None, seed: int
    ) -> np.ndarray:
        """See :class:`~thalbids.registration.strategies.Strategy`; FLIRT draws no random numbers."""
        del seed
        weight = None
        with scratch("flirt") as folder:
            _save(fixed, folder / "fixed.nii")
            _save(moving, folder / "moving.nii")
            if mask is not None and any(stage.weighted for stage in self.stages):
                weight = "weight.nii"
                _save(mask, folder / weight)
            start = None
            for number, stage in enumerate(self.stages, 1):
                written = f"stage{number}.mat"
                argv = flirt.command(
                    "moving.nii", "fixed.nii", written, dof=stage.dof, cost=stage.cost,
                    weight=weight if stage.weighted else None, start=start if stage.refines else None,
                )  # fmt: skip
                matrix = _run(argv, folder, written, self.program)
                start = written
        scale = np.linalg.svd(matrix[:3, :3], compute_uv=False)
        if scale.max() > MAX_SCALE or scale.min() < 1 / MAX_SCALE:
            change = 100 * (scale[np.abs(scale - 1).argmax()] - 1)
            raise RegistrationError(f"FLIRT changed the size of the head by {change:+.0f} %.")
        return from_flirt(matrix, moving, fixed)


def _run(argv: list[str], folder: Path, written: str, program: Program) -> np.ndarray:
    """The matrix of one run."""
    try:
        log = fsl.run(argv, folder, program, expects=[written]).log
        try:
            return flirt.read_matrix(folder / written)
        except flirt.FlirtError as error:
            raise RegistrationError(f"{error.problem} {' '.join(said(log).split())}") from None
    except ToolError as error:
        raise RegistrationError(error.problem) from None


def _save(img: nib.Nifti1Image, path: Path) -> None:
    """float32, with the same geometry in both codes: FSL reads either."""
    image = nib.Nifti1Image(img.get_fdata(dtype=np.float32), img.affine)
    image.set_sform(img.affine, code=1)
    image.set_qform(img.affine, code=1, strip_shears=True)
    nib.save(image, path)
