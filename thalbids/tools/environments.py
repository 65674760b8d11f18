"""Environments of their own for tools that do not live beside ours: ``thalbids setup`` makes them with pip.

Each lies in the cache folder, ``environments/NAME``; a tool whose settings name no command is taken from there before
it is looked for on the PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from thalbids.errors import MissingToolError
from thalbids.programs import Program
from thalbids.settings import unknown_name
from thalbids.tools.weights import cache_folder

DONE = "thalbids.txt"  # written last: what was installed


@dataclass(frozen=True)
class Environment:
    """A tool that pip installs.

    Attributes
    ----------
    name : word of ``thalbids setup``
    program : what it is for: the program in its ``bin``
    packages : what pip installs; versions as they were tried
    pythons : minor versions of Python 3 that it runs with, the preferred one first
    note : licence, size and what is needed besides
    """

    name: str
    program: str
    packages: tuple[str, ...]
    pythons: tuple[int, ...]
    note: str


KNOWN: Mapping[str, Environment] = MappingProxyType(
    {
        one.name: one
        for one in (
            Environment(
                "samseg", "run_samseg", ("samseg==0.4a0", "numpy<2"), (11,), "MIT; 0.4 GB; the atlas is in the package"
            ),
            Environment(
                "samseg-lesion",
                "run_samseg",
                ("samseg==0.4a0", "numpy<2", "tensorflow-cpu==2.15.1"),
                (11,),
                "MIT and Apache-2.0; 1.5 GB; SAMSEG with what --lesion needs",
            ),
            Environment(
                "mindglide", "mindglide", ("mindglide==1.3.0",), (11, 12, 10),
                "MIT; several GB with torch; only for engine = \"upstream\" or a GPU (docs/tools.md)",
            ),
            Environment(
                "dbsegment", "DBSegment", ("DBSegment==0.2.2", "numpy<2"), (11, 10, 9),
                "GPL-3; 7 GB with torch; only for engine = \"upstream\", the paper or a GPU (docs/tools.md)",
            ),
        )
    }
)  # fmt: skip

Settings = TypeVar("Settings", bound=Program)


def named(name: str) -> Environment:
    """The environment of a word of ``thalbids setup``.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    if name not in KNOWN:
        raise unknown_name("environment", name, KNOWN)
    return KNOWN[name]


def folder(name: str) -> Path:
    """Where it lies, or would lie."""
    return cache_folder() / "environments" / name


def ready(name: str) -> bool:
    """Whether it was made to its end."""
    return (folder(name) / DONE).is_file()


def program(*names: str) -> tuple[str, ...]:
    """Words that start the program of the first of these environments that is here; empty when none is."""
    ready_program = next((name for name in names if ready(name)), None)
    return () if ready_program is None else (str(folder(ready_program) / "bin" / KNOWN[ready_program].program),)


def settled(settings: Settings, *names: str) -> Settings:
    """The settings of a tool with the program of its environment, where they name neither command nor container."""
    if settings.command or settings.runner != "local":
        return settings
    return replace(settings, command=program(*names))


def make(name: str, python: str | None = None, pip_options: Sequence[str] = ()) -> Path:
    """Make an environment with ``venv`` and ``pip``; one that was cut off is made anew.

    Parameters
    ----------
    python : the interpreter; None looks for one that the tool runs with
    pip_options : further options of ``pip install`` (``--index-url`` ...)

    Returns
    -------
    The program.

    Raises
    ------
    MissingToolError
        There is no such Python, or pip cannot install.
    """
    wanted, place = named(name), folder(name)
    interpreter = python or _python(wanted)
    if not ready(name):
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        _call([interpreter, "-m", "venv", str(place)], wanted)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        _call([*pip, *pip_options, *wanted.packages], wanted)
        if not (place / "bin" / wanted.program).is_file():
            raise MissingToolError(f"pip installed {name}, but there is no program {wanted.program}.", "", place)
        (place / DONE).write_text("\n".join(wanted.packages) + "\n", encoding="utf-8")
    return place / "bin" / wanted.program


def _python(wanted: Environment) -> str:
    names = [f"python3.{minor}" for minor in wanted.pythons]
    if sys.version_info.minor in wanted.pythons:
        names.insert(0, sys.executable)
    for name in names:
        path = shutil.which(name)
        if path is not None and _runs(path):
            return path
    versions = " or ".join(f"3.{minor}" for minor in wanted.pythons)
    problem = f"{wanted.name} needs Python {versions}, which is not on the PATH."
    raise MissingToolError(problem, "Install it, or name one: --python PATH.")


def _runs(path: str) -> bool:
    """Whether the interpreter starts: shims of version managers are there for versions that are not."""
    try:
        return subprocess.run([path, "-c", ""], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _call(argv: Sequence[str], wanted: Environment) -> None:
    try:
        status = subprocess.run(argv, check=False).returncode
    except OSError as error:
        raise MissingToolError(f"{argv[0]} cannot be started ({error.strerror}).", "Name another --python.") from None
    if status != 0:
        problem = f"{wanted.name} could not be installed (exit status {status}); what pip said stands above."
        raise MissingToolError(problem, "Fix that and give the same command again; nothing half-made is used.")
