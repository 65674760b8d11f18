"""FSL's programs: where they are, which version, and one run of one of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from thalbids.errors import MissingToolError, ThalbidsError

MEND = "Install FSL and set FSLDIR, or put its bin folder on the PATH (https://fsl.fmrib.ox.ac.uk)."


class FslError(ThalbidsError):
    """A program of FSL did not do what it was asked for."""


def find(program: str) -> Path | None:
    """The program of ``$FSLDIR/bin``, or of the PATH; None when it is in neither."""
    home = os.environ.get("FSLDIR")
    found = shutil.which(program, path=str(Path(home) / "bin")) if home else None
    found = found or shutil.which(program)
    return None if found is None else Path(found).absolute()


def required(program: str) -> Path:
    """The program, or MissingToolError."""
    found = find(program)
    if found is None:
        raise MissingToolError(f"FSL's {program} is not installed.", MEND)
    return found


def version(program: str) -> str:
    """``FSL 6.0.7``, from FSL's own file, or ``FSL`` alone where that is not there."""
    path = home_of(required(program)) / "etc" / "fslversion"
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        words = []
    return f"FSL {words[0].split(':')[0]}" if words else "FSL"


def home_of(program: Path) -> Path:
    """``$FSLDIR``; where it is not set, the folder above the program's (a link is followed)."""
    home = os.environ.get("FSLDIR")
    return Path(home) if home else program.resolve().parent.parent


def environment(program: Path) -> dict[str, str]:
    """One thread, compressed NIfTI, and no submission to a cluster that FSL finds by itself."""
    home = home_of(program)
    own = {"FSLDIR": str(home), "FSLOUTPUTTYPE": "NIFTI_GZ", "FSLSUBALREADYRUN": "true", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(home / "bin"), os.environ.get("PATH", "")])
    kept = {name: value for name, value in os.environ.items() if name not in ("SGE_ROOT", "FSLSUBMETHOD")}
    return kept | own | {"PATH": path}


def run(argv: Sequence[str], folder: Path, timeout_s: float) -> str:
    """Run a program of FSL in a folder; gives what it said.

    The exit status alone decides nothing (FLIRT and SIENA end with 0 after failures): the caller looks at the outputs.

    Raises
    ------
    MissingToolError
        It is not installed.
    FslError
        It ended with another status than 0, was killed, or took longer than the limit (then it and all that it
        started are ended).
    """
    program = required(argv[0])
    process = subprocess.Popen(
        [str(program), *argv[1:]], cwd=folder, env=environment(program), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise FslError(f"{argv[0]} was stopped after {timeout_s / 60:g} minutes.") from None
        raise
    said = output.decode(errors="replace")
    if process.returncode:
        how = f"was killed by signal {-process.returncode}" if process.returncode < 0 else "failed"
        raise FslError(f"{argv[0]} {how}: {last_words(said)}")
    return said


def last_words(said: str) -> str:
    """The last line that says something, shortened."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
