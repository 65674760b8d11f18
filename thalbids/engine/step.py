"""What the engine runs: steps, what they give back, and the checks that a plan makes sense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from thalbids.engine.params import Params

Status = Literal["ok", "cached", "failed", "excluded", "blocked", "lost"]

SIDECAR_OF = (".nii.gz", ".nii", ".tsv", ".txt", ".h5", ".svg", ".png")  # outputs that may have a JSON file beside them


@dataclass(frozen=True)
class StepResult:
    """How one step ended.

    Attributes
    ----------
    name, session : those of the step
    status :
        ``ok`` computed now; ``cached`` found finished from an earlier run; ``excluded`` the step ran (now or, with
        ``cached``, earlier) and decided that there is nothing to deliver; ``failed`` it raised; ``lost`` its process
        was killed twice; ``blocked`` something it needs is not there.
    reason : one line, without absolute paths, the same in every run; empty for ``ok`` and ``cached``
    seconds : wall time of the function and of hashing its outputs (0 when nothing ran)
    peak_mb : peak resident memory of the process while the step ran, in MiB (0 when unknown)
    cached : True when the result comes from the record of an earlier run
    traceback : file with the traceback, relative to the output folder ("" when there is none)
    """

    name: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    peak_mb: float = 0.0
    session: str = ""
    cached: bool = False
    traceback: str = ""

    @property
    def usable(self) -> bool:
        """Whether steps that need this one can run."""
        return self.status in ("ok", "cached")

    @property
    def crashed(self) -> bool:
        """Whether the step ended in a way that it should not."""
        return self.status in ("failed", "lost")

    def as_upstream(self) -> StepResult:
        """What a later step may see: nothing that differs between a first run and a resumed one."""
        status: Status = "ok" if self.status == "cached" else self.status
        return StepResult(self.name, status, self.reason, session=self.session)


@dataclass(frozen=True)
class Done:
    """What a step's function returns.

    ``sidecars`` maps output keys to the metadata of the JSON file that the engine writes beside that output; the key
    ``"record"`` holds metadata of a record that is beside no output. ``excluded`` with a ``reason`` says that there is
    nothing to deliver, knowingly. ``partial``: something of it failed; what there is counts in this run, and the next
    run does the step again.
    """

    sidecars: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    status: Literal["ok", "excluded"] = "ok"
    reason: str = ""
    partial: bool = False


Inputs = Mapping[str, Path | None]
Outputs = Mapping[str, Path]
Upstream = Mapping[str, StepResult]
StepFunction = Callable[[Inputs, Outputs, Any, Upstream], Done]


F = TypeVar("F", bound=Callable[..., Any])


def recorded_as(name: str) -> Callable[[F], F]:
    """Give a step's function the name that fingerprints hold, so that results stay valid when the function moves."""

    def named(function: F) -> F:
        function.recorded_as = name  # type: ignore[attr-defined]
        return function

    return named


@dataclass(frozen=True)
class Step:
    """One computation from files to files.

    Attributes
    ----------
    name : unique and readable, ``"sub-01_ses-1 synthal T1w"``
    session : what the step belongs to, ``"sub-01_ses-1"`` (or ``"sub-01"``); the steps of one session run before the
        next's
    function : module-level function ``(inputs, outputs, params, upstream) -> Done``
    inputs : files that are read (None: not there); their content is part of the fingerprint
    outputs : files that are written
    params : the function's own record (:class:`thalbids.engine.params.Params`), or JSON values; part of the fingerprint
    needs : names of steps that must be ``ok`` or ``cached``
    after : names of steps that are waited for whatever their status
    record : JSON file with status and fingerprint. Given: always this file. None: the sidecar of the first output, or
        ``logs/excluded/SESSION/NAME.json`` when the step is excluded without that output (BIDS forbids a sidecar
        without its file)
    memory_gb : peak memory to plan with, in GB (10**9 bytes)
    gpu : whether it computes on a GPU; such steps run one at a time on one machine
    look_up : it is not computed in this run: finished earlier and still current, or else ``blocked``; its files stay
    version : raised when a change of the code changes results
    optional : keys of outputs that may be left out although the step is ``ok``
    spare : keys of inputs that are read only where one of the others is not there
    """

    name: str
    session: str
    function: StepFunction
    inputs: Mapping[str, Path | None]
    outputs: Mapping[str, Path]
    params: Params | Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    record: Path | None = None
    memory_gb: float = 1.0
    version: int = 1
    gpu: bool = False
    look_up: bool = False
    optional: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What sort of step it is, as its record of parameters says; no part of the fingerprint."""
        return self.params.kind if isinstance(self.params, Params) else ""

    @property
    def record_path(self) -> Path:
        """Where the record of a step that is ``ok`` lies."""
        if self.record is not None:
            return self.record
        first = next(iter(self.outputs.values()))
        return first if first.suffix == ".json" else sidecar(first)

    @property
    def written(self) -> tuple[Path, ...]:
        """The record, the outputs and the sidecars that the outputs may have."""
        sidecars = [sidecar(path) for path in self.outputs.values() if path.name.endswith(SIDECAR_OF)]
        return tuple(dict.fromkeys([self.record_path, *sidecars, *self.outputs.values()]))

    def excluded_path(self, out_dir: Path) -> Path:
        """Where the record of an excluded step lies when ``record_path`` would be a sidecar without its data file."""
        if self.record is not None:
            return self.record
        return out_dir / "logs" / "excluded" / self.session / self.record_path.name

    def files(self, out_dir: Path) -> tuple[Path, ...]:
        """Every file that the step or the engine for it may write, in the order of their removal: records first."""
        return tuple(dict.fromkeys([self.record_path, self.excluded_path(out_dir), *self.written]))


def sidecar(path: Path) -> Path:
    """The JSON file beside an output: ``x_mask.nii.gz`` -> ``x_mask.json``.

    Raises
    ------
    ValueError
        For a file kind that has no sidecar (``.html``, ``.json``).
    """
    for extension in SIDECAR_OF:
        if path.name.endswith(extension):
            return path.with_name(path.name.removesuffix(extension) + ".json")
    raise ValueError(f"{path.name} has no JSON sidecar; give the step a record")


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps in their order, but each after those that it waits for.

    Raises
    ------
    ValueError
        Some wait for each other, or for a step that is not there.
    """
    placed: list[Step] = []
    there: set[str] = set()
    waiting = list(steps)
    while waiting:
        ready = next((step for step in waiting if there.issuperset((*step.needs, *step.after))), None)
        if ready is None:
            raise ValueError(f"{waiting[0].name!r} waits for a step that does not come")
        waiting.remove(ready)
        placed.append(ready)
        there.add(ready.name)
    return placed


def check_plan(steps: Sequence[Step]) -> None:
    """Refuse a plan that cannot run or whose result would depend on chance.

    Raises
    ------
    ValueError
        Two steps of one name or with one output; a step without outputs; an unknown or later step in ``needs`` or
        ``after`` (so there are no cycles); an input that another step writes and that is not waited for.
    """
    ancestors: dict[str, set[str]] = {}
    writer: dict[Path, str] = {}
    for step in steps:
        if step.name in ancestors:
            raise ValueError(f"two steps are called {step.name!r}")
        if not step.outputs:
            raise ValueError(f"{step.name!r} has no outputs")
        ancestors[step.name] = set()
        for upstream in (*step.needs, *step.after):
            if upstream == step.name or upstream not in ancestors:
                raise ValueError(f"{step.name!r} waits for {upstream!r}, which does not come before it")
            ancestors[step.name] |= {upstream, *ancestors[upstream]}
        for path in step.written:
            if path in writer:
                raise ValueError(f"{step.name!r} and {writer[path]!r} both write {path}")
            writer[path] = step.name
    for step in steps:
        for path in filter(None, step.inputs.values()):
            if path in writer and writer[path] not in ancestors[step.name]:
                raise ValueError(f"{step.name!r} reads {path} of {writer[path]!r} without waiting for it")
