"""Fingerprints: what a result was computed from, as one SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from thalbids.engine.params import as_json
from thalbids.engine.step import Step, StepResult


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, streamed (hashlib lets other threads run meanwhile)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_sha256(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Digests:
    """SHA-256 of files, each file read once a run, by whichever thread asks first."""

    def __init__(self) -> None:
        self._known: dict[Path, Future[str | None]] = {}
        self._lock = threading.Lock()

    def get(self, path: Path) -> str | None:
        """The digest, or None for a file that is missing or cannot be read (the step that reads it says why)."""
        with self._lock:
            asked = path in self._known
            future = self._known.setdefault(path, Future())
        if not asked:
            try:
                future.set_result(file_sha256(path))
            except OSError:
                future.set_result(None)
        return future.result()

    def put(self, path: Path, digest: str | None) -> None:
        """Set a digest that is known (None: the file was removed)."""
        future: Future[str | None] = Future()
        future.set_result(digest)
        with self._lock:
            self._known[path] = future


def fingerprint(
    step: Step, out_dir: Path, digests: Digests, versions: Mapping[str, str], upstream: Mapping[str, StepResult]
) -> str:
    """What the step's result depends on, as one SHA-256.

    The function's name and version, the parameters, the content of every input, the names of the outputs, the versions
    given by the caller, and which steps waited for did not end well. Of one that did, what it wrote counts where it is
    read: so a run without the steps of an untouched visit finds the others finished. Absolute paths are no part of it:
    a dataset may be moved.
    """
    inputs = {key: None if path is None else digests.get(path) for key, path in step.inputs.items()}
    if all(digest for key, digest in inputs.items() if key not in step.spare):
        inputs = {key: digest for key, digest in inputs.items() if key not in step.spare}
    return json_sha256(
        {
            "function": getattr(
                step.function, "recorded_as", f"{step.function.__module__}.{step.function.__qualname__}"
            ),
            "version": step.version,
            "params": as_json(step.params),
            "inputs": inputs,
            "outputs": {key: relative(path, out_dir) for key, path in step.outputs.items()},
            "versions": dict(versions),
            "upstream": {name: [end.status, end.reason] for name, end in upstream.items() if end.status != "ok"},
        }
    )


def relative(path: Path, out_dir: Path) -> str:
    """The path as records show it: relative to the output folder, with forward slashes."""
    return Path(os.path.relpath(path, out_dir)).as_posix()
