"""FastSurfer, SynthSeg and HIPS-THOMAS: what is called, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import standins
from tests.unit.tools.conftest import scan
from thalbids.programs import FastSurferSettings, SynthSegSettings
from thalbids.tools.runner import ToolError
from thalbids.tools.whole_brain import others, thomas

IMAGE = scan()
THALAMI = standins.thalami(IMAGE, 10, 49)


def test_command_lines(tmp_path: Path) -> None:
    own = FastSurferSettings(options=("--more",))
    fast = others.fastsurfer_command(tmp_path, own, threads=2)
    assert fast.argv[-6:] == ("--no_hypothal", "--device", "cpu", "--threads", "2", "--more")
    assert "--seg_only" in fast.argv and fast.expects[0].name == "aparc.DKTatlas+aseg.deep.mgz"
    seg = others.synthseg_command(tmp_path, own)
    assert seg.argv[:3] == ("mri_synthseg", "--i", str(tmp_path / "T1w.nii.gz")) and "--cpu" in seg.argv
    assert seg.env["FS_ALLOW_DEEP"] == "1"
    assert thomas.command(tmp_path, own).argv == ("hipsthomas.sh", "-t1", "-i", "T1w.nii.gz", "--more")
    with pytest.raises(ToolError, match="space in a path"):
        others.fastsurfer(IMAGE, tmp_path / "a b", own)


def test_a_program_that_runs_is_read_and_one_that_fails_is_told(tmp_path: Path) -> None:
    program = tmp_path / "program"
    standins.save(THALAMI.astype(np.int32), IMAGE.affine, tmp_path / "left here" / "T1w_synthseg.nii.gz")
    program.write_text(f"#!/bin/sh\nmkdir -p \"$(dirname $4)\"\ncp '{tmp_path}/left here/T1w_synthseg.nii.gz' $4\n")
    program.chmod(0o755)
    labels, icv = others.synthseg(IMAGE, tmp_path / "work", SynthSegSettings(command=(str(program),)))
    np.testing.assert_array_equal(labels, THALAMI)
    assert icv is None
    program.write_text("#!/bin/sh\necho no memory\nexit 3\n")
    with pytest.raises(ToolError, match="exit status 3"):
        others.synthseg(IMAGE, tmp_path / "work", SynthSegSettings(command=(str(program),)))
