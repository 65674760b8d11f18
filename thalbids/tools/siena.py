"""FSL's SIENA (Smith 2002; paper, 2.6.4): percentage brain volume change (PBVC) between two T1w images.

SIENA is a chain of programs that goes on after one of them failed, so its exit status says little: the report, the
brain masks and the numbers themselves decide.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.bids.tabular.pbvc import PLAUSIBLE_PERCENT
from thalbids.errors import UsageError
from thalbids.image.grids import voxel_volume
from thalbids.programs import FslSettings
from thalbids.tools import fsl
from thalbids.tools.runner import ToolError

OUTPUT = "siena_out"
REPORT = "report.siena"
NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
FINAL = re.compile(rf"^finalPBVC\s+{NUMBER}", re.MULTILINE)
ONE_WAY = re.compile(rf"^PBVC\s+{NUMBER}", re.MULTILINE)
CALIBRATION = re.compile(rf"corr={NUMBER}")
INCONSISTENT = "Probably failed consistency check"

ASYMMETRY_PERCENT = 1.0  # SIENA's own error is about 0.15 % (Smith 2002): the two directions should agree
CALIBRATION_RANGE = (0.5, 2.0)  # SIENA's correction of its edge motion; 1 means none
MIN_BRAIN_ML = 500.0
MAX_BRAIN_RATIO = 1.2  # of the two brain masks' volumes


class SienaError(ToolError):
    """SIENA gave no PBVC."""


@dataclass(frozen=True)
class Result:
    """The change between two scans.

    Attributes
    ----------
    pbvc : percent, negative for loss
    forward, backward : the two directions, of which ``pbvc`` is half the difference; None when not in the report
    calibration : SIENA's correction factor; None likewise
    brain_ml : volume of the two brain masks; empty when they are not there
    faults : why the number cannot be used
    warnings : what to look at
    """

    pbvc: float
    forward: float | None = None
    backward: float | None = None
    calibration: float | None = None
    brain_ml: tuple[float, ...] = ()
    faults: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """For the QC file."""
        return {
            "Pbvc": self.pbvc,
            "Forward": self.forward,
            "Backward": self.backward,
            "Calibration": self.calibration,
            "BrainMl": list(self.brain_ml),
            "Faults": list(self.faults),
            "Warnings": list(self.warnings),
            "Unit": "%",
        }


def command(options: Sequence[str]) -> list[str]:
    """The arguments; the images lie in the folder in which it runs (SIENA cannot take a path: it changes folders).

    ``-d`` keeps the brain masks, which are looked at afterwards.

    Raises
    ------
    UsageError
        An option names the output folder, which is ours.
    """
    if "-o" in options:
        raise UsageError("SIENA's option -o cannot be passed on.", "Remove it from siena_options.")
    return ["siena", "baseline.nii.gz", "followup.nii.gz", "-o", OUTPUT, "-d", *(o for o in options if o != "-d")]


def run(baseline: Path, followup: Path, folder: Path, program: FslSettings) -> Result:
    """SIENA on two T1w images of whole heads.

    Parameters
    ----------
    baseline, followup : compressed NIfTI files
    folder : empty folder of its own, in which it works
    program : settings ``[tools.fsl]``, with the options to pass on

    Raises
    ------
    ToolError
        There is no number: no report, no final line, a brain mask that is missing or empty, the time limit.
    """
    if same_content(baseline, followup):
        raise SienaError("The two T1w images hold the same values: there is no change to measure.")
    shutil.copyfile(baseline, folder / "baseline.nii.gz")
    shutil.copyfile(followup, folder / "followup.nii.gz")
    fsl.run(command(program.siena_options), folder, program, expects=[f"{OUTPUT}/{REPORT}"])
    return read(folder / OUTPUT, masks_required=True)


def same_content(first: Path, second: Path) -> bool:
    """Whether two images hold the same values, whatever their compression."""
    a, b = (np.asanyarray(nib.load(path).dataobj) for path in (first, second))
    return a.shape == b.shape and bool(np.array_equal(a, b))


def read(folder: Path, *, masks_required: bool = False) -> Result:
    """What SIENA wrote, with its checks.

    Parameters
    ----------
    folder : with ``report.siena``
    masks_required : the brain masks must be there (SIENA removes them at its end unless told ``-d``)

    Raises
    ------
    SienaError
        There is no number, or a brain mask is empty.
    """
    result = parse(report_of(folder))
    volumes = tuple(v for v in (brain_ml(folder, name, masks_required) for name in "AB") if v is not None)
    faults, warnings = list(result.faults), list(result.warnings)
    small = [volume for volume in volumes if volume < MIN_BRAIN_ML]
    if small:
        faults.append(f"a brain mask of SIENA holds {min(small):.0f} mL only")
    elif len(volumes) == 2 and max(volumes) > MAX_BRAIN_RATIO * min(volumes):
        faults.append(f"the two brain masks of SIENA differ: {volumes[0]:.0f} and {volumes[1]:.0f} mL")
    return Result(
        result.pbvc, result.forward, result.backward, result.calibration, volumes, tuple(faults), tuple(warnings)
    )


def report_of(folder: Path) -> str:
    """The text of the report."""
    try:
        return (folder / REPORT).read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise SienaError("SIENA wrote no report.") from None


def parse(text: str) -> Result:
    """PBVC and its checks, from the text of ``report.siena``.

    Raises
    ------
    SienaError
        It has no final line with a number: a program of the chain failed.
    """
    final = FINAL.findall(text)
    if not final:
        raise SienaError("SIENA's report has no finalPBVC: one of its programs failed.")
    pbvc, ways = float(final[-1]), [float(value) for value in ONE_WAY.findall(text)]
    faults, warnings = [], []
    backward, forward = ways[-2:] if len(ways) >= 2 else (None, None)
    if backward is None or forward is None:
        faults.append("SIENA's report lacks one of the two directions")
    elif abs((forward - backward) / 2 - pbvc) > 0.01:
        faults.append(f"SIENA's final {pbvc:.2f} % is not the mean of its two directions")
    elif abs(forward + backward) > ASYMMETRY_PERCENT:
        warnings.append(f"the two directions differ: {forward:.2f} % and {-backward:.2f} %")
    factors = [float(value) for value in CALIBRATION.findall(text)]
    low, high = CALIBRATION_RANGE
    if not factors:
        faults.append("SIENA's report has no calibration")
    elif not low <= factors[-1] <= high:
        faults.append(f"SIENA's calibration is {factors[-1]:.2f} (plausible: {low} to {high})")
    if abs(pbvc) > PLAUSIBLE_PERCENT:
        faults.append(f"a change of {pbvc:.1f} % is not plausible")
    if INCONSISTENT in text:
        warnings.append("SIENA says that its registrations to standard space probably failed")
    factor = factors[-1] if factors else None
    return Result(pbvc, forward, backward, factor, faults=tuple(faults), warnings=tuple(warnings))


def brain_ml(folder: Path, name: str, required: bool) -> float | None:
    """Volume (mL) of a brain mask, ``A_brain_mask`` or ``B_brain_mask``; None where it is not there."""
    which = {"A": "first", "B": "second"}[name]
    masks = sorted(folder.glob(f"{name}_brain_mask.nii*"))
    if not masks:
        if required:
            raise SienaError(f"SIENA found no brain in the {which} image.")
        return None
    mask = nib.load(masks[0])
    count = int(np.count_nonzero(np.asanyarray(mask.dataobj)))
    if count == 0:
        raise SienaError(f"SIENA's brain mask of the {which} image is empty.")
    return count * voxel_volume(mask.affine) / 1000


def find_results(root: Path, subject: str, baseline: str | None, followup: str | None) -> Path:
    """The folder of an existing SIENA result of one pair below ``root``.

    It is recognised by its name, as SIENA makes it from those of the images
    (``sub-X_ses-A_T1w_to_sub-X_ses-B_T1w_siena``), or by those of the folders above it (``sub-X/ses-A_to_ses-B``).

    Raises
    ------
    SienaError
        There is none, or there are several.
    """
    label = re.compile(r"(?<![0-9A-Za-z])(sub|ses)-([0-9A-Za-z]+)")
    reports = []
    for report in sorted(root.rglob(REPORT)):
        names = label.findall(str(report.parent.relative_to(root)))
        subjects = {value for kind, value in names if kind == "sub"}
        sessions = list(dict.fromkeys(value for kind, value in names if kind == "ses"))
        if subjects == {subject} and sessions == [baseline, followup]:
            reports.append(report.parent)
    if len(reports) != 1:
        what = "no SIENA result" if not reports else "several SIENA results"
        raise SienaError(f"There is {what} for sub-{subject}, ses-{baseline} to ses-{followup}.")
    return reports[0]
