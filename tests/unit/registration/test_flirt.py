"""FLIRT's matrices against an independent reader, the paper's command lines, and each way in which FLIRT fails."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import rotation_matrix
from thalbids.errors import RegistrationError
from thalbids.programs import Program
from thalbids.registration.gate import register
from thalbids.registration.strategies import (
    configured,
)
from thalbids.registration.transforms import from_flirt, read_itk, to_flirt, write_itk

ZOOMS = [(1.0, 1.0, 1.0), (0.8, 1.1, 3.0), (2.5, 0.7, 0.9)]
POSE = rotation_matrix(6, -5, 8, centre=(3, -5, 7))
POSE[:3, 3] += (4, -3, 5)
AFFINE = POSE @ np.diag([1.02, 0.99, 1.01, 1.0])


def grid(zooms, shape, hand: str, oblique: bool = False) -> nib.Nifti1Image:
    """An image stored from right to left or from left to right, perhaps with permuted and tilted axes."""
    linear = np.diag(zooms).astype(float)
    if hand == "left-handed":
        linear[:, 0] *= -1
    if oblique:
        linear = rotation_matrix(12, -9, 17)[:3, :3] @ linear[[1, 2, 0]]
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = (-20, 13, -7)
    return nib.Nifti1Image(np.zeros(shape, np.float32), affine)


GRIDS = [
    grid(zooms, (11, 9, 7), hand, oblique)
    for zooms, hand, oblique in itertools.product(ZOOMS, ("right-handed", "left-handed"), (False, True))
]


@pytest.mark.parametrize("matrix", [POSE, AFFINE], ids=["rigid", "affine"])
def test_every_combination_of_handedness_and_voxel_size_agrees_with_nitransforms(tmp_path, matrix):
    fsl_io = pytest.importorskip("nitransforms.io.fsl")
    for fixed, moving in itertools.product(GRIDS, GRIDS):
        written = to_flirt(matrix, moving, fixed)
        theirs = fsl_io.FSLLinearTransform.from_ras(matrix, moving=moving, reference=fixed)
        np.testing.assert_allclose(written, theirs["parameters"], atol=1e-9)
        read = fsl_io.FSLLinearTransform.from_string(theirs.to_string()).to_ras(moving=moving, reference=fixed)
        np.testing.assert_allclose(from_flirt(written, moving, fixed), read, atol=1e-5)  # they write eight decimals
        path = write_itk(from_flirt(written, moving, fixed), tmp_path / "x.txt")
        np.testing.assert_allclose(read_itk(path), matrix, atol=1e-9)


def test_fsl_counts_x_from_the_other_end_when_the_determinant_is_positive():
    right, left = grid((2, 3, 4), (11, 9, 7), "right-handed"), grid((2, 3, 4), (11, 9, 7), "left-handed")
    shift = np.eye(4)
    shift[0, 3] = 5.0  # in FLIRT's coordinates x grows to the left in both: the moving image goes 5 mm to the left
    for image in (right, left):
        np.testing.assert_allclose(np.linalg.inv(from_flirt(shift, image, image))[:3, 3], (-5, 0, 0), atol=1e-12)


STAND_IN = """\
#!/bin/sh
# what FLIRT leaves behind, by the folder that holds it: answers in order, one a call
here=$(cd "$(dirname "$0")/.." && pwd)
n=$(($(cat "$here/calls" 2>/dev/null || echo 0) + 1))
echo $n > "$here/calls"
echo "$@" >> "$here/argv"
env > "$here/environment"
while [ $# -gt 0 ]; do
  case $1 in
    -omat) omat=$2 ;;
    -in|-ref|-init|-refweight) [ -f "$2" ] || { echo "Image Exception : #63 :: No image files match: $2"; exit 0; } ;;
  esac
  shift
done
. "$here/behaviour"
[ -f "$here/answer$n.mat" ] && cp "$here/answer$n.mat" "$omat"
exit 0
"""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An FSL with a stand-in for FLIRT, which writes ``answerN.mat`` at its Nth call."""
    root = tmp_path / "fsl"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc" / "fslversion").write_text("6.0.7.4:1a2b3c\n")
    (root / "behaviour").write_text("")
    program = root / "bin" / "flirt"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("FSLDIR", str(root))
    monkeypatch.setenv("SGE_ROOT", "/opt/sge")
    return root


def answer(home: Path, number: int, matrix: np.ndarray | str) -> None:
    text = matrix if isinstance(matrix, str) else "\n".join("  ".join(f"{v:.10f}" for v in row) for row in matrix)
    (home / f"answer{number}.mat").write_text(text + "\n")


FIXED = grid((0.8, 1.1, 3.0), (11, 9, 7), "left-handed", oblique=True)
MOVING = grid((2.5, 0.7, 0.9), (8, 12, 10), "right-handed")
MASK = nib.Nifti1Image(np.ones((11, 9, 7), np.uint8), FIXED.affine)


def test_mutual_information_then_an_affine_refinement_from_the_rigid_matrix(home):
    answer(home, 1, to_flirt(POSE, MOVING, FIXED))
    answer(home, 2, to_flirt(AFFINE, MOVING, FIXED))
    found = configured(["fsl-mi"])[0].estimate(FIXED, MOVING, MASK, seed=1)
    np.testing.assert_allclose(found, AFFINE, atol=1e-7)
    assert (home / "argv").read_text().splitlines() == [  # tools of the paper, 2.5.2, strategy 1
        "-in moving.nii -ref fixed.nii -omat stage1.mat -dof 6 -cost mutualinfo -searchcost mutualinfo",
        "-in moving.nii -ref fixed.nii -omat stage2.mat -dof 12 -cost mutualinfo -init stage1.mat -nosearch",
    ]


def test_normalised_correlation_with_the_brain_as_weight(home):
    answer(home, 1, to_flirt(POSE, MOVING, FIXED))
    np.testing.assert_allclose(configured(["fsl-nc"])[0].estimate(FIXED, MOVING, MASK, seed=1), POSE, atol=1e-7)
    assert (home / "argv").read_text().strip() == (
        "-in moving.nii -ref fixed.nii -omat stage1.mat -dof 6 -cost normcorr -searchcost normcorr "
        "-refweight weight.nii"
    )


def test_flair_has_no_weight_and_linear_interpolation(home):
    answer(home, 1, to_flirt(POSE, MOVING, FIXED))
    flair = configured(["fsl-flair"])[0]
    np.testing.assert_allclose(flair.estimate(FIXED, MOVING, MASK, seed=1), POSE, atol=1e-7)
    assert "weight" not in (home / "argv").read_text()
    assert (flair.interpolation, flair.group, flair.cutoff) == ("linear", "fsl", 0.25)
    assert {s.interpolation for s in configured(["fsl-mi", "fsl-nc"])} == {"spline"}


SINGULAR = np.diag([1.0, 1.0, 0.0, 1.0])
NAN = np.where(np.eye(4) == 1, np.nan, 0.0)
NAN[3] = (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("matrix", "behaviour", "reason"),
    [
        (
            None,
            "echo 'Failed to read volume moving'",
            "did not write stage1.mat. Its last lines: Failed to read volume moving",
        ),
        (None, "", "did not write stage1.mat. It said nothing"),
        (np.eye(4), "echo 'bad alloc' >&2; exit 3", "flirt failed with exit status 3. Its last lines: bad alloc"),
        (np.eye(4), "kill -9 $$", "flirt was killed by SIGKILL"),
        (SINGULAR, "", "singular"),
        (NAN, "", "not finite"),
        ("1 0 0 0\n0 1 0 0\n", "", "not a matrix of 4 x 4"),
        ("1 0 0 0\n0 1 0 x\n0 0 1 0\n0 0 0 1", "", "not a matrix"),
        ("1 0 0 0\n0 1\n0 0 1 0\n0 0 0 1", "", "not a matrix"),
        (np.diag([1.5, 1, 1, 1]), "", "changed the size of the head by +50 %"),
        (np.diag([1, 0.7, 1, 1]), "", "changed the size of the head by -30 %"),
    ],
)
def test_a_failed_run_is_an_attempt_with_its_reason(home, matrix, behaviour, reason):
    if matrix is not None:
        answer(home, 1, matrix)
    (home / "behaviour").write_text(behaviour + "\n")
    outcome = register(MOVING, FIXED, MASK, configured(["fsl-flair"]))
    assert outcome.chosen is None
    assert reason in outcome.attempts[0].reason


def test_the_second_stage_fails_without_using_the_first(home):
    answer(home, 1, np.eye(4))
    with pytest.raises(RegistrationError, match=r"did not write stage2\.mat"):
        configured(["fsl-mi"])[0].estimate(FIXED, MOVING, MASK, seed=1)


def test_a_run_that_takes_too_long_is_ended_with_what_it_started(home):
    (home / "behaviour").write_text('sleep 60 &\necho $! > "$here/child"; wait\n')
    program = Program(timeout_minutes=0.01)
    with pytest.raises(RegistrationError, match=r"stopped at its time limit of 0\.01 minutes"):
        configured(["fsl-flair"], program=program)[0].estimate(FIXED, MOVING, MASK, seed=1)
    child = int((home / "child").read_text())
    for _ in range(100):
        if not running(child):
            return
        time.sleep(0.02)
    raise AssertionError("the program's own child still runs")


def running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_a_spline_does_not_take_r1_below_zero(home):
    data = np.zeros((30, 30, 30), np.float32)
    data[10:20, 10:20, 10:20] = 1.0  # an edge: the spline overshoots on both sides of it
    image = nib.Nifti1Image(data, np.diag([1.5, 1.5, 1.5, 1.0]))
    fixed = nib.Nifti1Image(np.zeros((44, 44, 44), np.float32), np.eye(4))
    fixed.dataobj[12:32, 12:32, 12:32] = 5.0
    mask = nib.Nifti1Image(np.ones((44, 44, 44), np.uint8), np.eye(4))
    answer(home, 1, to_flirt(np.eye(4), image, fixed))
    strategies, lowest = configured(["fsl-nc"], {"fsl-nc": 0.0}), []
    for minimum in (None, 0.0):
        (home / "calls").unlink(missing_ok=True)
        outcome = register(image, fixed, mask, strategies, rule="paper", minimum=minimum)
        lowest.append(float(outcome.image.get_fdata().min()))
        json.dumps(outcome.attempts[0].to_json())
    assert lowest[0] < -0.01 and lowest[1] == 0.0
