"""Run an external program: on this machine, in a Docker or Apptainer container, or not at all (dry).

A :class:`Command` says everything about one call; a :class:`Runner` carries it out. No shell takes part: a command is a
list of words from the first to the last step. Success is exit status 0 *and* the expected outputs; what a program says
goes into a log file, whose last lines stand in the error message.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from thalbids.errors import ThalbidsError
from thalbids.programs import Program

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
TAIL_LINES = 8
_TAIL_BYTES = 16384
_GUARD = Path(__file__).with_name("_guard.py")
GRACE_S = 5.0  # between the polite signal and the other one
_SHARED_MEMORY = "2g"  # docker's default of 64 MB breaks the data loaders of torch
_SHORT_S = 60.0  # for questions to docker
_UNAME = re.compile(r"(Linux|Darwin) \S+ .*(GNU/Linux|Darwin Kernel)")


class ToolError(ThalbidsError):
    """A program failed: exit status, missing or empty outputs, its own signs of failure, or the time limit."""


@dataclass(frozen=True)
class Command:
    """One call of a program. All paths are absolute; a container sees them under the same names.

    Attributes
    ----------
    tool : name of the tool, as in messages (``FIRST``)
    argv : program and arguments
    cwd : folder in which it runs; it may write there
    env : environment variables to set
    unset : environment variables to take away
    reads : files and folders that it reads
    writes : folders that it writes into, beside ``cwd``
    expects : files that exist, and are not empty, after a success; older ones are removed first
    timeout_s : seconds after which it is ended; None for no limit
    gpu : give a container the machine's GPUs
    threads : number of threads, told by the usual variables; 0 tells nothing
    log : file for all that it says; ``cwd/TOOL.log`` when None
    """

    tool: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    expects: tuple[Path, ...] = ()
    timeout_s: float | None = None
    gpu: bool = False
    threads: int = 1
    log: Path | None = None

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("a command needs a program")
        for path in (self.cwd, *self.reads, *self.writes, *self.expects):
            if not path.is_absolute():
                raise ValueError(f"{path} is not absolute")
        for path in self.expects:
            if not any(path.is_relative_to(folder) for folder in self.writable):
                raise ValueError(f"{path} is expected where the command may not write")

    @property
    def writable(self) -> tuple[Path, ...]:
        """The folders that it may write into."""
        return tuple(dict.fromkeys((self.cwd, *self.writes)))

    @property
    def log_file(self) -> Path:
        """Where its words go."""
        return self.log or self.cwd / f"{self.tool.lower().replace(' ', '-')}.log"

    @property
    def variables(self) -> dict[str, str]:
        """All environment variables to set, those for the number of threads included."""
        threads = {name: str(self.threads) for name in THREAD_VARIABLES} if self.threads else {}
        return threads | dict(self.env)


@dataclass(frozen=True)
class Finished:
    """A call that succeeded.

    Attributes
    ----------
    argv : the words that were started, container and prefix included
    seconds : how long it took
    log : all that the program said
    """

    argv: tuple[str, ...]
    seconds: float
    log: Path


class Runner(Protocol):
    """Carries out commands.

    Attributes
    ----------
    kind : ``local``, ``docker``, ``apptainer`` or ``dry``
    """

    @property
    def kind(self) -> str: ...

    def words(self, command: Command) -> tuple[str, ...]:
        """What is started for this command."""
        ...

    def missing(self, program: str) -> str | None:
        """Why this program cannot be run, and what to do about it; None when it can."""
        ...

    def run(self, command: Command) -> Finished:
        """Carry out the command.

        Raises
        ------
        ToolError
            It could not be started, failed, was killed, ran out of time, or left an expected output away.
        """
        ...


@dataclass(frozen=True)
class Prefix:
    """Words of the settings before a program (``module``, virtual environments).

    Attributes
    ----------
    words : the words
    replaces : they end with the program itself, whose plain name they replace
    """

    words: tuple[str, ...] = ()
    replaces: bool = True

    def applied(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command with the prefix."""
        if not self.words:
            return tuple(argv)
        return (*self.words, *(argv[1:] if self.replaces else argv))


@dataclass(frozen=True)
class Local:
    """Programs of this machine.

    They run in a process group of their own, under a guard that ends the group when we end, by whatever signal.
    """

    prefix: Prefix = field(default_factory=Prefix)
    kind: str = "local"

    def words(self, command: Command) -> tuple[str, ...]:
        return self.prefix.applied(command.argv)

    def missing(self, program: str) -> str | None:
        first = self.prefix.applied([program])[0]
        if shutil.which(first) is None:
            return f"the program {first} is not on the PATH."
        return None

    def run(self, command: Command) -> Finished:
        return _run(command, self.words(command), _environment(command))


@dataclass(frozen=True)
class Docker:
    """An image that is already on this machine; without network, as the user, with nothing mounted but what the command
    names.
    """

    image: str
    prefix: Prefix = field(default_factory=Prefix)
    program: str = "docker"
    kind: str = "docker"

    def words(self, command: Command) -> tuple[str, ...]:
        return self._words(command, "thalbids")

    def missing(self, program: str) -> str | None:
        if shutil.which(self.program) is None:
            return f"the program {self.program} is not on the PATH."
        if not self.image:
            return f"no image is named for {program}."
        done = _ask([self.program, "image", "inspect", "--format", "{{.Id}}", self.image])
        if done is None or done.returncode != 0:
            return f"the image {self.image} is not here; fetch it: {self.program} pull {self.image}"
        return None

    def run(self, command: Command) -> Finished:
        name = f"thalbids-{uuid.uuid4().hex[:12]}"
        try:
            return _run(command, self._words(command, name), dict(os.environ))
        except BaseException:
            _ask([self.program, "kill", name])  # the container outlives the client that is killed
            raise

    def _words(self, command: Command, name: str) -> tuple[str, ...]:
        argv = self.prefix.applied(command.argv)
        words = [self.program, "run", "--rm", "--init", "--name", name, "--pull", "never", "--network", "none"]
        words += ["--shm-size", _SHARED_MEMORY]
        words += ["--user", f"{os.getuid()}:{os.getgid()}", "--workdir", str(command.cwd)]
        if command.gpu:
            words += ["--gpus", "all"]
        for mount in _mounts(command):
            words += ["--mount", mount]
        # a user without an entry in the image's passwd has the home folder /, which cannot be written
        for key, value in {"HOME": str(command.cwd), **command.variables}.items():
            words += ["--env", f"{key}={value}"]
        return (*words, "--entrypoint", argv[0], self.image, *argv[1:])


@dataclass(frozen=True)
class Apptainer:
    """An image file (``.sif``) or an unpacked image (a folder); isolated as :class:`Docker`."""

    image: str
    prefix: Prefix = field(default_factory=Prefix)
    program: str = ""
    kind: str = "apptainer"

    def words(self, command: Command) -> tuple[str, ...]:
        return self._words(command, command.cwd)

    def _words(self, command: Command, scratch: Path) -> tuple[str, ...]:
        words = [self._program(), "exec", "--cleanenv", "--containall", "--net", "--network", "none"]
        # without --workdir /tmp and the home folder are in memory, 64 MB by default
        words += ["--workdir", str(scratch), "--pwd", str(command.cwd)]
        if command.gpu:
            words += ["--nv"]
        for mount in _mounts(command):
            words += ["--mount", mount]
        return (*words, self.image, *self.prefix.applied(command.argv))

    def missing(self, program: str) -> str | None:
        if shutil.which(self._program()) is None:
            return f"the program {self._program()} is not on the PATH."
        if not self.image:
            return f"no image is named for {program}."
        if not Path(self.image).exists():
            return f"the image {self.image} is not here; fetch it first: {self._program()} build FILE.sif docker://..."
        return None

    def run(self, command: Command) -> Finished:
        passed = {
            f"{prefix}_{key}": value
            for key, value in command.variables.items()
            for prefix in ("APPTAINERENV", "SINGULARITYENV")  # --env would split the value at commas
        }
        command.cwd.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=command.cwd, prefix=".tmp-apptainer-", ignore_cleanup_errors=True
        ) as scratch:
            return _run(command, self._words(command, Path(scratch)), {**os.environ, **passed})

    def _program(self) -> str:
        if self.program:
            return self.program
        return next((name for name in ("apptainer", "singularity") if shutil.which(name)), "apptainer")


@dataclass(frozen=True)
class Dry:
    """Runs nothing; keeps what would have been run."""

    commands: list[Command] = field(default_factory=list)
    kind: str = "dry"

    def words(self, command: Command) -> tuple[str, ...]:
        return command.argv

    def missing(self, program: str) -> str | None:
        del program
        return None

    def run(self, command: Command) -> Finished:
        self.commands.append(command)
        return Finished(command.argv, 0.0, command.log_file)


def runner_of(program: Program, *, replaces: bool = True) -> Runner:
    """The runner that the settings of a tool ask for.

    Parameters
    ----------
    program : section ``[tools.NAME]`` of the settings
    replaces : its ``command`` stands in place of the program's name; False when the tool has several programs
    """
    prefix = Prefix(program.command, replaces)
    if program.runner == "docker":
        return Docker(program.image, prefix)
    if program.runner == "apptainer":
        return Apptainer(program.image, prefix)
    return Local(prefix)


def takes_gpu(device: str) -> bool:
    """Whether a program that is told this (``cpu``, ``cuda``, ``auto``) computes on a GPU of this machine."""
    return device == "cuda" or (device == "auto" and shutil.which("nvidia-smi") is not None)


def with_limit(command: Command, program: Program) -> Command:
    """The same command with the time limit of the settings."""
    return replace(command, timeout_s=program.timeout_minutes * 60)


def tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log that are not empty; progress bars count as their last state."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    said = [line.rstrip("\r").rsplit("\r", 1)[-1].strip() for line in text.split("\n")]
    return [line for line in said if line][-lines:]


def said(path: Path) -> str:
    """The last lines of a log, for a message; not what ``uname -a`` wrote, which names the machine (recon-all)."""
    last = [line for line in tail(path) if not _UNAME.match(line)]
    return "Its last lines:\n  " + "\n  ".join(last) if last else "It said nothing."


def version_text(runner: Runner, argv: Sequence[str], folder: Path, *, tool: str = "version") -> str | None:
    """What a program says when asked for its version (standard output and error); None when it cannot be asked."""
    command = Command(tool, tuple(argv), folder, timeout_s=_SHORT_S)
    try:
        log = runner.run(command).log
        return log.read_text(errors="replace").strip() or None
    except (ToolError, OSError):
        return None
    finally:
        command.log_file.unlink(missing_ok=True)


def _run(command: Command, words: Sequence[str], environment: Mapping[str, str]) -> Finished:
    log = command.log_file
    for folder in (*command.writable, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for path in command.expects:  # what an earlier try left would look like a success
        path.unlink(missing_ok=True)
    if shutil.which(words[0], path=environment.get("PATH")) is None:
        raise ToolError(f"{command.tool}: the program {words[0]} is not here.", "See: thalbids doctor")
    started = time.monotonic()
    with log.open("wb") as sink, _guarded(words, command.cwd, environment, sink) as guard:
        try:
            status = guard.wait(command.timeout_s)
        except subprocess.TimeoutExpired:
            status = None
    seconds = time.monotonic() - started
    if status is None:
        assert command.timeout_s is not None
        raise ToolError(
            f"{command.tool} was stopped at its time limit of {command.timeout_s / 60:g} minutes. {said(log)}",
            "Give it more time: timeout_minutes in the settings.",
            log,
        )
    _check(command, status, log)
    return Finished(tuple(words), seconds, log)


@contextlib.contextmanager
def _guarded(
    words: Sequence[str], cwd: Path, environment: Mapping[str, str], sink: io.BufferedWriter
) -> Iterator[subprocess.Popen[bytes]]:
    """The guard with the program; left by an error or an interrupt, the program and all it started are ended."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_GUARD), str(GRACE_S), *words],
        stdin=subprocess.PIPE,
        stdout=sink,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(environment),
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        yield guard
    finally:
        guard.stdin.close()
        try:
            guard.wait(GRACE_S + 10)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()


def _check(command: Command, status: int, log: Path) -> None:
    if status < 0:
        name = signal.Signals(-status).name
        often = " (most often by the system, for want of memory)" if status == -signal.SIGKILL else ""
        raise ToolError(f"{command.tool} was killed by {name}{often}. {said(log)}", path=log)
    if status != 0:
        raise ToolError(f"{command.tool} failed with exit status {status}. {said(log)}", path=log)
    for path in command.expects:
        if not path.is_file():
            raise ToolError(
                f"{command.tool} ended without an error but did not write {path.name}. {said(log)}", path=log
            )
        if path.stat().st_size == 0:
            raise ToolError(f"{command.tool} wrote an empty {path.name}. {said(log)}", path=log)


def _environment(command: Command) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in command.unset}
    return kept | command.variables


def _mounts(command: Command) -> Iterator[str]:
    """Bind mounts, outer folders first: what is read under its own name, read-only; where it writes, writable.

    A link is mounted as what it points to (DataLad and git-annex make links). A file that lies in a writable folder is
    there already, but the target of a link may lie elsewhere.
    """
    writable = command.writable
    binds: dict[Path, tuple[Path, bool]] = {folder: (folder.resolve(), False) for folder in writable}
    for path in command.reads:
        target = path.resolve()
        inside = any(path.is_relative_to(folder) for folder in writable)
        place = target if inside else path
        if not any(place.is_relative_to(folder) for folder in writable):
            binds.setdefault(place, (target, True))
    for place in sorted(binds):
        source, read_only = binds[place]
        yield _csv(["type=bind", f"source={source}", f"destination={place}", *(["ro"] if read_only else [])])


def _csv(words: Sequence[str]) -> str:
    """Both programs read the value as a line of CSV, so a comma in a path is quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(words)
    return line.getvalue()


def _ask(words: Sequence[str]) -> subprocess.CompletedProcess[bytes] | None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(words, capture_output=True, timeout=_SHORT_S, check=False, stdin=subprocess.DEVNULL)
    return None
