"""FSL's programs: where they are, which version, and one run of one of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from thalbids.errors import MissingToolError
from thalbids.programs import Program
from thalbids.scratch import scratch
from thalbids.tools.runner import Command, Finished, Runner, ToolError, runner_of, version_text

MEND = "Install FSL and set FSLDIR, or name a container in [tools.fsl] of the settings (see: thalbids doctor)."
ENVIRONMENT = {"FSLOUTPUTTYPE": "NIFTI_GZ", "FSLSUBALREADYRUN": "true"}
UNSET = ("SGE_ROOT", "FSLSUBMETHOD")  # with a queueing system FSL submits itself and returns early


def runner(program: Program) -> Runner:
    """Runs any of FSL's programs by the settings ``[tools.fsl]``."""
    return runner_of(program, replaces=False)


def missing(name: str, program: Program) -> str | None:
    """Why one of FSL's programs cannot be run; None when it can."""
    if program.runner != "local":
        return _missing_in(name, program)
    return runner(program).missing(located(name, program))


@lru_cache(maxsize=16)
def _missing_in(name: str, program: Program) -> str | None:
    """For containers: asked once, not for each image of each session."""
    return runner(program).missing(name)


def required(name: str, program: Program) -> None:
    """Raise MissingToolError when one of FSL's programs cannot be run."""
    why = missing(name, program)
    if why is not None:
        raise MissingToolError(f"FSL's {name} cannot be run: {why}", MEND)


def located(name: str, program: Program) -> str:
    """The program in ``$FSLDIR/bin`` when it runs on this machine and is there; else its name."""
    home = os.environ.get("FSLDIR")
    if program.runner != "local" or program.command or not home:
        return name
    return shutil.which(name, path=str(Path(home).absolute() / "bin")) or name


def environment(name: str, program: Program) -> dict[str, str]:
    """Compressed NIfTI, no submission; on this machine also FSLDIR, which FSL's scripts rest on."""
    if program.runner != "local" or program.command:
        return ENVIRONMENT
    home = home_of(name)
    path = os.pathsep.join([str(home / "bin"), os.environ.get("PATH", "")])
    return ENVIRONMENT | {"FSLDIR": str(home), "PATH": path}


def stays_here(folder: Path) -> dict[str, str]:
    """Variables that keep ``fsl_sub`` of FSL 6.0.6 and later from handing its work to a cluster; writes what they name.

    It reads ``FSLSUB_CONF`` first and ``~/.fsl_sub.yml`` last, whose words win (fsl-sub 2.11.0): so the home folder
    that it sees is ``folder`` too.
    """
    configuration = folder / ".fsl_sub.yml"
    configuration.write_text("method: shell\n", encoding="utf-8")
    return {"FSLSUB_CONF": str(configuration), "FSLSUB_PARALLEL": "1", "HOME": str(folder)}


def home_of(name: str) -> Path:
    """``$FSLDIR``; where it is not set, the folder above that of the program (links are followed)."""
    home = os.environ.get("FSLDIR")
    return Path(home).absolute() if home else Path(shutil.which(name) or name).resolve().parent.parent


def version(name: str, program: Program) -> str:
    """``FSL 6.0.7.4``; ``FSL`` where nothing is known."""
    if program.runner == "local" and not program.command:
        try:
            words = (home_of(name) / "etc" / "fslversion").read_text(errors="replace").split()
        except OSError:
            words = []
        return f"FSL {words[0].split(':')[0]}" if words else "FSL"
    return _version_elsewhere(program)


@lru_cache(maxsize=16)
def _version_elsewhere(program: Program) -> str:
    """What stands in FSL's folder in a container or behind a prefix (FLIRT has a version of its own); asked once."""
    with scratch("version") as folder:
        words = ("sh", "-c", 'cat "$FSLDIR/etc/fslversion"')
        text = version_text(runner(program), words, folder, tool="fslversion")
    return f"FSL {text.split()[-1].split(':')[0]}" if text and text.split() else "FSL"


def run(argv: Sequence[str], folder: Path, program: Program, expects: Sequence[str] = ()) -> Finished:
    """Run one of FSL's programs in a folder.

    Parameters
    ----------
    argv : name of the program and arguments; files by their names in ``folder``
    folder : in which it runs
    program : settings ``[tools.fsl]``
    expects : files of the folder that it must leave there

    Raises
    ------
    ToolError
        In one line: it could not be started, failed, was killed, left nothing or ran out of time.
    """
    command = Command(
        tool=argv[0],
        argv=(located(argv[0], program), *argv[1:]),
        cwd=folder,
        env=environment(argv[0], program),
        unset=UNSET,
        expects=tuple(folder / name for name in expects),
        timeout_s=60 * program.timeout_minutes,
    )
    try:
        return runner(program).run(command)
    except ToolError as error:  # the log lies in a folder that will be gone
        raise ToolError(" ".join(error.problem.split()), error.mend) from None
