"""Can a tool run here, and what to do if not; and how the tools' versions are asked for."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from thalbids.errors import MissingToolError
from thalbids.programs import Program
from thalbids.scratch import scratch
from thalbids.tools.runner import Apptainer, Command, Docker, Local, Prefix, Runner, version_text

_VERSION = "import importlib.metadata as m, sys; sys.stdout.write(m.version({!r}))"


@dataclass(frozen=True)
class Check:
    """Whether a tool can run here.

    Attributes
    ----------
    tool : its name
    problem : why it cannot run, in one sentence; "" when it can
    mend : what to do about it
    where : the program or the image that would run
    """

    tool: str
    problem: str = ""
    mend: str = ""
    where: str = ""

    @property
    def ok(self) -> bool:
        """True when it can run."""
        return not self.problem

    def require(self) -> None:
        """Stop when it cannot run.

        Raises
        ------
        MissingToolError
            With the problem and the mend.
        """
        if self.problem:
            raise MissingToolError(f"{self.tool} cannot run: {self.problem}", self.mend)


def program_check(tool: str, runner: Runner, program: str, mend: str) -> Check:
    """Tell whether the program, or the image that holds it, is here."""
    missing = runner.missing(program)
    return Check(tool, missing or "", mend if missing else "", where_of(runner, program))


def processor_only(tool: str, section: str) -> Check:
    """Tell that a GPU is wanted where thalbids computes the tool's network itself, and what to write in the section."""
    mend = f'[{section}] engine = "upstream", or device = "cpu".'
    return Check(tool, "its network in thalbids computes on the processor only.", mend)


def where_of(runner: Runner, program: str) -> str:
    """Path of the program, or the name of the image."""
    if isinstance(runner, (Docker, Apptainer)):
        return f"{runner.kind}: {runner.image}"
    words = runner.words(Command("where", (program,), Path.cwd()))
    return " ".join([shutil.which(words[0]) or words[0], *words[1:]])


def container_name(program: Program) -> str:
    """The image without its folder, for provenance; "" when no container is used."""
    return "" if program.runner == "local" else program.image.rpartition("/")[2]


def said_version(runner: Runner, argv: tuple[str, ...]) -> str | None:
    """What a program answers to the question for its version."""
    with scratch("version") as folder:
        return version_text(runner, argv, folder.resolve())


def package_version(runner: Runner, program: str, package: str) -> str | None:
    """Version of the Python package that brought a program: asked of the Python beside it; None when that fails."""
    code = _VERSION.format(package)
    if isinstance(runner, (Local, Docker, Apptainer)):
        asker = replace(runner, prefix=Prefix(runner.prefix.words[:-1], replaces=False))
        return said_version(asker, (_python_of(runner, program), "-c", code))
    return None


def _python_of(runner: Runner, program: str) -> str:
    """The interpreter in the first line of a script on this machine; ``python`` elsewhere."""
    words = runner.words(Command("python", (program,), Path.cwd()))
    path = shutil.which(words[-1]) if isinstance(runner, Local) and len(words) == 1 else None
    if path is not None:
        with Path(path).open("rb") as file:
            first = file.readline(512)
        named = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
        if named and "python" in Path(named[0]).name and Path(named[0]).exists():
            return named[0]
        beside = Path(path).with_name("python")
        if first.startswith(b"#!/bin/sh") and beside.exists():  # pip's way around a space in the folder's name
            return str(beside)
        return sys.executable if Path(path).parent == Path(sys.executable).parent else "python"
    return "python"
