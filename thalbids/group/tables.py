"""Group tables: a frame, what its columns mean, and how both are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.bids.outputs import sidecar
from thalbids.files import MISSING, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

Column = Mapping[str, object]
SETTINGS_KEY = "AnalysisSettings"
_NAME = re.compile(r"group_[a-z0-9_]+")
_FILE = re.compile(r"group_[a-z]+/group_[0-9A-Za-z_-]+\.nii\.gz")


@dataclass(frozen=True)
class Table:
    """One table of the group level.

    Attributes
    ----------
    name : file name without extension (``group_change``)
    frame : the rows; columns that are absent are written as missing, a column that is not in ``columns`` is a mistake
    columns : per column LongName, Description, Units, Levels; the order is that of the file. ``"Format": "integer"``
        writes a column of floats (counts with gaps) as whole numbers
    settings : the choices that shaped the table; written into the JSON beside it
    notes : sentences for the terminal and the report; warnings start with ``warning:``
    files : images that belong to the table, relative to the derivatives; named to :func:`announce` before
    """

    name: str
    frame: pd.DataFrame
    columns: Mapping[str, Column]
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()
    files: Sequence[str] = ()


def table(name: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], **more: Any) -> Table:
    """A table of rows; an empty one keeps its columns."""
    import pandas as pd

    return Table(name, pd.DataFrame(list(rows), columns=list(columns)), columns, **more)


def joined(tables: Sequence[Table]) -> list[Table]:
    """Tables of one name put together: rows below each other, columns and notes united."""
    import pandas as pd

    by_name: dict[str, list[Table]] = {}
    for item in tables:
        by_name.setdefault(item.name, []).append(item)
    made = []
    for name, parts in by_name.items():
        if len(parts) == 1:
            made.append(parts[0])
            continue
        full = [part.frame for part in parts if len(part.frame)] or [parts[0].frame]
        columns = {key: value for part in parts for key, value in part.columns.items()}
        settings = {key: value for part in parts for key, value in part.settings.items()}
        notes = [note for part in parts for note in part.notes]
        files = [path for part in parts for path in part.files]
        made.append(Table(name, pd.concat(full, ignore_index=True), columns, settings, notes, files))
    return made


def write_all(made: Sequence[Table], out_dir: Path) -> None:
    """Write the tables of a run; those that an earlier run wrote and this one did not are removed, with their images.

    ``logs/group/tables.txt`` names what was written, so that nothing else is ever removed.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    own = dict.fromkeys(name for item in made for name in (item.name, *item.files))
    earlier = announce(own, out_dir)  # nothing is forgotten when this run is ended early
    for name in earlier:
        if name in own:
            continue
        if _NAME.fullmatch(name):
            paths = [out_dir / f"{name}.tsv", out_dir / f"{name}.json"]
        elif _FILE.fullmatch(name):
            paths = [out_dir / name, sidecar(out_dir / name)]
        else:
            continue
        for path in paths:
            path.unlink(missing_ok=True)
    for item in made:
        write(item, out_dir)
    write_text(_record(out_dir), "".join(f"{name}\n" for name in own))


def announce(names: Iterable[str], out_dir: Path) -> list[str]:
    """Put names of tables and files into the record of what thalbids wrote here; gives what stood there."""
    record = _record(out_dir)
    earlier = record.read_text(encoding="utf-8").split() if record.is_file() else []
    write_text(record, "".join(f"{name}\n" for name in dict.fromkeys([*earlier, *names])))
    return earlier


def _record(out_dir: Path) -> Path:
    return out_dir / "logs" / "group" / "tables.txt"


def write(made: Table, out_dir: Path) -> Path:
    """Write ``NAME.tsv`` and ``NAME.json``; gives the path of the table.

    Raises
    ------
    ValueError
        The frame has a column without a description (a mistake of the caller).
    OutputError
        The folder cannot be written.
    """
    unknown = [name for name in made.frame.columns if name not in made.columns]
    if unknown:
        raise ValueError(f"{made.name}: columns without a description: {', '.join(unknown)}")
    cells = [_cells(made.frame, name, description) for name, description in made.columns.items()]
    lines = ["\t".join(made.columns), *("\t".join(row) for row in zip(*cells, strict=True))]
    path = out_dir / f"{made.name}.tsv"
    write_text(path, "\n".join(lines) + "\n")
    dictionary: dict[str, object] = dict(made.columns)
    if made.settings:
        dictionary[SETTINGS_KEY] = dict(made.settings)
    write_json(out_dir / f"{made.name}.json", dictionary, sort_keys=False)
    return path


def _cells(frame: pd.DataFrame, name: str, description: Column) -> list[str]:
    """A column as text: full double precision, n/a for what is missing."""
    if name not in frame.columns:
        return [MISSING] * len(frame)
    if frame[name].dtype.kind == "f":
        whole = description.get("Format") == "integer"
        return [MISSING if v != v else str(int(v)) if whole else repr(v) for v in frame[name].tolist()]
    return [_cell(value) for value in frame[name].tolist()]


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN and pandas' missing values
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).split()) or MISSING
