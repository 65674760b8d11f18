"""The record of a finished step: a JSON file beside its output that says what it was computed from and what it gave.

The record is the sidecar's metadata and one more key, ``Provenance``. It is written last and removed first, so it
exists only while it is true.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from thalbids.engine.fingerprint import Digests, json_sha256, relative
from thalbids.engine.step import Done, Step, sidecar
from thalbids.errors import MetadataError
from thalbids.files import read_json, write_json

KEY = "Provenance"


def finished(step: Step, out_dir: Path, fingerprint: str, digests: Digests) -> Mapping[str, Any] | None:
    """The ``Provenance`` of an earlier run of the step when it still holds, else None.

    It holds when the fingerprint is the same and every file that it lists has the same content; files of the step
    that it does not list must not exist. A partial result holds only for a step that is looked up.
    """
    valid = ("ok", "excluded", "partial") if step.look_up else ("ok", "excluded")
    for path in dict.fromkeys([step.record_path, step.excluded_path(out_dir)]):
        try:
            content = read_json(path)
            provenance = content.pop(KEY)
            listed = dict(provenance["Outputs"])
            same = provenance["Fingerprint"] == fingerprint and provenance["Status"] in valid
            same = same and isinstance(provenance["Reason"], str)
        except (MetadataError, KeyError, TypeError, ValueError):
            continue  # missing, damaged or edited: as if it had never been written
        if same and listed.pop(relative(path, out_dir), None) == json_sha256(content):
            return provenance if _unchanged(step, out_dir, path, listed, digests) else None
    return None


def _unchanged(step: Step, out_dir: Path, record: Path, listed: Mapping[str, str], digests: Digests) -> bool:
    """Whether the files of the step are those of its record, no more and no less."""
    for path in step.files(out_dir):
        expected = listed.get(relative(path, out_dir))
        if path != record and (digests.get(path) != expected if expected else path.exists()):
            return False
    return True


def write(
    step: Step, out_dir: Path, fingerprint: str, versions: Mapping[str, str], done: Done
) -> dict[Path, str | None]:
    """Write the sidecars and, last, the record of a step that has just run.

    Metadata of an output that an excluded step did not write is dropped, unless it belongs to the record.

    Returns
    -------
    The SHA-256 of each file of the step, None for those that do not exist.

    Raises
    ------
    ValueError
        An output is missing though the step was not excluded, or metadata has a key that is no output.
    OutputError
        A file cannot be written.
    """
    missing = [path.name for key, path in step.outputs.items() if not path.exists() and key not in step.optional]
    if missing and done.status == "ok":
        raise ValueError(f"the step did not write {', '.join(missing)}")
    first = next(iter(step.outputs.values()))
    record = step.record_path if step.record is not None or first.exists() else step.excluded_path(out_dir)
    for path, metadata in _metadata(step, done, record).items():
        write_json(path, metadata)
    content = read_json(record) if record.exists() else {}
    digests = Digests()
    files = {path: digests.get(path) for path in step.files(out_dir) if path != record}
    listed = {relative(path, out_dir): digest for path, digest in files.items() if digest}
    listed[relative(record, out_dir)] = json_sha256(content)
    provenance = {
        "StepName": step.name,
        "StepVersion": step.version,
        "Fingerprint": fingerprint,
        "Status": "partial" if done.partial else done.status,
        "Reason": done.reason,
        "Outputs": dict(sorted(listed.items())),
        "Versions": dict(sorted(versions.items())),
    }
    write_json(record, {**content, KEY: provenance}, sort_keys=False)
    return {**files, record: digests.get(record)}


def _metadata(step: Step, done: Done, record: Path) -> dict[Path, dict[str, Any]]:
    """Which JSON file gets which metadata (an image and its table may share one)."""
    contents: dict[Path, dict[str, Any]] = {}
    for key, metadata in done.sidecars.items():
        if key != "record" and key not in step.outputs:
            raise ValueError(f"the step gave metadata for {key!r}, which is not one of its outputs")
        path = record if key == "record" else sidecar(step.outputs[key])
        if key != "record" and not step.outputs[key].exists():
            if path != step.record_path:
                continue
            path = record
        if path in step.outputs.values():
            raise ValueError(f"the step gave metadata for {path.name}, which it writes itself")
        contents.setdefault(path, {}).update(metadata)
    return contents


def discard(step: Step, out_dir: Path) -> None:
    """Remove what an earlier run of the step left, the record first, so that nothing stale looks valid."""
    for path in step.files(out_dir):
        path.unlink(missing_ok=True)


def clean_temporaries(steps: Iterable[Step], out_dir: Path) -> int:
    """Remove the temporary files (``.tmp-NAME-PID``) that killed runs of these steps left; gives back how many.

    Only names that stand for a file of these steps are touched: other runs may be at work in the same folder.
    """
    names: dict[Path, set[str]] = {}
    for step in steps:
        for path in step.files(out_dir):
            names.setdefault(path.parent, set()).add(path.name)
    removed = 0
    for folder, known in names.items():
        if not folder.is_dir():
            continue
        for path in list(folder.glob(".tmp-*")):
            name, _, pid = path.name.removeprefix(".tmp-").rpartition("-")
            if path.is_file() and name in known and not _alive(pid):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _alive(pid: str) -> bool:
    """Whether another process of this machine has this number: it may be writing the file just now."""
    if not pid.isdecimal() or int(pid) == os.getpid():
        return False
    with suppress(OSError, IndexError):  # a killed process that nobody has waited for still answers to signals
        if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
            return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
