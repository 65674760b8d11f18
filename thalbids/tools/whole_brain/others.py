"""FastSurfer's segmentation and SynthSeg: one call each, a label map with FreeSurfer's numbers.

Written from the programs' documentation; neither was run here (docs/tools.md).
"""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.programs import FastSurferSettings, SynthSegSettings
from thalbids.tools.check import Check, program_check, said_version
from thalbids.tools.freesurfer import version_number
from thalbids.tools.runner import Command, Runner, ToolError, runner_of, with_limit
from thalbids.tools.whole_brain.samseg import on_grid, write

FASTSURFER, SYNTHSEG = "run_fastsurfer.sh", "mri_synthseg"
_SUBJECT = "T1w"


def check_fastsurfer(settings: FastSurferSettings) -> Check:
    """Tell whether FastSurfer can run here; reading results needs nothing of this."""
    mend = "Install FastSurfer and name its script: [tools.fastsurfer] command; or give results: --fastsurfer-dir."
    return program_check("FastSurfer", runner_of(settings), FASTSURFER, mend)


def fastsurfer_version(settings: FastSurferSettings) -> str | None:
    """``FastSurfer 2.4.2``; None when it cannot be told."""
    match = re.search(r"(\d+\.\d+\.\d+)", said_version(runner_of(settings), (FASTSURFER, "--version")) or "")
    return f"FastSurfer {match[1]}" if match else None


def fastsurfer_command(work: Path, settings: FastSurferSettings, *, threads: int = 1) -> Command:
    """``run_fastsurfer.sh --seg_only`` on ``work/T1w.nii.gz`` without the modules that the thalamus does not need."""
    argv = [FASTSURFER, "--t1", str(work / "T1w.nii.gz"), "--sid", _SUBJECT, "--sd", str(work / "out")]
    argv += ["--seg_only", "--no_cereb", "--no_hypothal", "--device", "cpu", "--threads", str(threads)]
    call = Command(
        tool="FastSurfer",
        argv=(*argv, *settings.options),
        cwd=work,
        reads=(work / "T1w.nii.gz",),
        writes=(work / "out",),
        expects=(work / "out" / _SUBJECT / "mri" / "aparc.DKTatlas+aseg.deep.mgz",),
        threads=threads,
    )
    return with_limit(call, settings)


def fastsurfer(
    t1: nib.Nifti1Image, work: Path, settings: FastSurferSettings, *, threads: int = 1, runs: Runner | None = None
) -> np.ndarray:
    """FastSurfer's labels (int32) on the grid of the T1w.

    Raises
    ------
    ToolError
        It failed, or a thalamus is missing.
    """
    return _run(fastsurfer_command(work, settings, threads=threads), t1, work, runs or runner_of(settings))


def check_synthseg(settings: SynthSegSettings) -> Check:
    """Tell whether mri_synthseg can run here."""
    mend = "It is part of FreeSurfer 7.3 and later; or give results: --synthseg-dir."
    return program_check("SynthSeg", runner_of(settings), SYNTHSEG, mend)


def synthseg_version(settings: SynthSegSettings) -> str | None:
    """FreeSurfer's version, by the program that stands beside."""
    number = version_number(said_version(runner_of(settings), ("recon-all", "-version")) or "")
    return f"FreeSurfer {number}" if number else None


def synthseg_command(work: Path, settings: SynthSegSettings, *, threads: int = 1) -> Command:
    """``mri_synthseg`` on ``work/T1w.nii.gz``, on the processor."""
    out = work / "out"
    argv = [SYNTHSEG, "--i", str(work / "T1w.nii.gz"), "--o", str(out / "synthseg.nii.gz")]
    argv += ["--vol", str(out / "vol.csv"), "--threads", str(threads), "--cpu"]
    call = Command(
        tool="SynthSeg",
        argv=(*argv, *settings.options),
        cwd=work,
        env={"FS_ALLOW_DEEP": "1"},
        reads=(work / "T1w.nii.gz",),
        writes=(out,),
        expects=(out / "synthseg.nii.gz",),
        threads=threads,
    )
    return with_limit(call, settings)


def synthseg(
    t1: nib.Nifti1Image, work: Path, settings: SynthSegSettings, *, threads: int = 1, runs: Runner | None = None
) -> tuple[np.ndarray, float | None]:
    """SynthSeg's labels (int32) on the grid of the T1w, and its intracranial volume in mm^3.

    Raises
    ------
    ToolError
        It failed, or a thalamus is missing.
    """
    labels = _run(synthseg_command(work, settings, threads=threads), t1, work, runs or runner_of(settings))
    volumes = work / "out" / "vol.csv"
    return labels, synthseg_icv(volumes) if volumes.is_file() else None


def synthseg_icv(path: Path) -> float | None:
    """``total intracranial`` of SynthSeg's table of volumes, where it holds one scan; else None."""
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if len(rows) != 1:
        return None
    try:
        return float(rows[0]["total intracranial"])
    except (KeyError, ValueError, TypeError):
        return None


def _run(call: Command, t1: nib.Nifti1Image, work: Path, runs: Runner) -> np.ndarray:
    if call.tool == "FastSurfer" and any(character.isspace() for character in str(work)):
        problem = "FastSurfer's scripts cannot work with a space in a path."
        raise ToolError(problem, "Take a work folder without spaces: --work-dir.", work)
    shutil.rmtree(work / "out", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    write(t1, work / "T1w.nii.gz")
    runs.run(call)
    return on_grid(call.expects[0], t1, call.tool)
