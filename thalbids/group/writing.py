"""The tables of a run: those of one name joined, all of them written, those of an earlier run removed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from thalbids.bids.results.outputs import UNFINISHED, sidecar
from thalbids.bids.tabular.tables import Table, write
from thalbids.files import write_text

_NAME = re.compile(r"group_[a-z0-9_]+")


_FILE = re.compile(r"group_[a-z]+/group_[0-9A-Za-z_-]+\.nii\.gz")


def joined(tables: Sequence[Table]) -> list[Table]:
    """Tables of one name put together: rows below each other, columns and notes united."""
    import pandas as pd

    by_name: dict[str, list[Table]] = {}
    for item in tables:
        by_name.setdefault(item.name, []).append(item)
    whole = []
    for name, parts in by_name.items():
        if len(parts) == 1:
            whole.append(parts[0])
            continue
        full = [part.frame for part in parts if len(part.frame)] or [parts[0].frame]
        columns = {key: value for part in parts for key, value in part.columns.items()}
        settings = {key: value for part in parts for key, value in part.settings.items()}
        notes = [note for part in parts for note in part.notes]
        files = [path for part in parts for path in part.files]
        whole.append(Table(name, pd.concat(full, ignore_index=True), columns, settings, notes, files))
    return whole


def begin(out_dir: Path) -> None:
    """Mark the tables and the page as not of one run, until `end`: a run that is killed leaves the mark.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    text = (
        "A group run has begun and not ended: the group's tables and page here may be of different runs. Run it again."
    )
    write_text(out_dir / UNFINISHED, f"{text}\n")
    for name in ("group.html", "group_tables.tex", "group_tables.docx"):
        (out_dir / name).unlink(missing_ok=True)
    for path in (out_dir / "group_tables").glob("*.csv"):
        path.unlink()


def end(out_dir: Path) -> None:
    """Take the mark of `begin` away."""
    (out_dir / UNFINISHED).unlink(missing_ok=True)


def unfinished(out_dir: Path) -> bool:
    """Whether a group run is at work here, or was ended before it was done."""
    return (out_dir / UNFINISHED).exists()


def earlier_results(out_dir: Path) -> str:
    """That the tables and the page here are those of an earlier run, of when; "" where there are none, or `begin` has
    marked them.
    """
    paths = [path for pattern in ("group.html", "group_*.tsv") for path in out_dir.glob(pattern) if path.is_file()]
    if not paths or unfinished(out_dir):
        return ""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(path.stat().st_mtime for path in paths)))
    page = "group.html and the tables" if paths[0].name == "group.html" else "The tables"
    return f"{page} group_*.tsv in the output folder are still those of an earlier run ({when})."


def write_all(tables: Sequence[Table], out_dir: Path) -> None:
    """Write the tables of a run; those that an earlier run wrote and this one did not are removed, with their images.

    ``logs/group/tables.txt`` names what was written, so that nothing else is ever removed.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    names = dict.fromkeys(name for item in tables for name in (item.name, *item.files))
    earlier = announce(names, out_dir)  # nothing is forgotten when this run is ended early
    for name in earlier:
        if name in names:
            continue
        if _NAME.fullmatch(name):
            paths = [out_dir / f"{name}.tsv", out_dir / f"{name}.json"]
        elif _FILE.fullmatch(name):
            paths = [out_dir / name, sidecar(out_dir / name)]
        else:
            continue
        for path in paths:
            path.unlink(missing_ok=True)
    for item in tables:
        write(item, out_dir)
    write_text(_record(out_dir), "".join(f"{name}\n" for name in names))


def announce(names: Iterable[str], out_dir: Path) -> list[str]:
    """Put names of tables and files into the record of what thalbids wrote here; gives what stood there."""
    record = _record(out_dir)
    earlier = record.read_text(encoding="utf-8").split() if record.is_file() else []
    write_text(record, "".join(f"{name}\n" for name in dict.fromkeys([*earlier, *names])))
    return earlier


def _record(out_dir: Path) -> Path:
    return out_dir / "logs" / "group" / "tables.txt"
