"""Tables with a data dictionary: a frame, what its columns mean, and how both are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.files import MISSING, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

Column = Mapping[str, object]


def column(long_name: str, description: str, units: str = "", **more: object) -> dict[str, object]:
    """One entry of a data dictionary."""
    entry: dict[str, object] = {"LongName": long_name, "Description": description}
    return entry | ({"Units": units} if units else {}) | more


def count(long_name: str, description: str) -> dict[str, object]:
    """A column of whole numbers."""
    return column(long_name, description, Format="integer")


SETTINGS_KEY = "AnalysisSettings"
CHUNK = 50_000  # rows of a table that are text at a time: cells take many times the memory of their file


PARTICIPANT = {"participant_id": column("Participant", "Label of the participant with sub-.")}
SESSION = {"session_id": column("Session", "Label of the session with ses-; n/a in a dataset without sessions.")}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes
    ----------
    name : file name without extension (``group_change``)
    frame : the rows; columns that are absent are written as missing, a column that is not in ``columns`` is a mistake
    columns : per column LongName, Description, Units, Levels; the order is that of the file. ``"Format": "integer"``
        writes a column of floats (counts with gaps) as whole numbers
    settings : the choices that shaped the table; written into the JSON beside it
    notes : sentences for the terminal and the report; warnings start with ``warning:``
    files : images that belong to the table, relative to the derivatives; named to ``group.writing.announce`` before
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


def write(whole: Table, out_dir: Path) -> Path:
    """Write ``NAME.tsv`` and ``NAME.json``; gives the path of the table.

    Raises
    ------
    ValueError
        The frame has a column without a description (a mistake of the caller).
    OutputError
        The folder cannot be written.
    """
    unknown = [name for name in whole.frame.columns if name not in whole.columns]
    if unknown:
        raise ValueError(f"{whole.name}: columns without a description: {', '.join(unknown)}")
    parts = ["\t".join(whole.columns) + "\n"]
    for start in range(0, len(whole.frame), CHUNK):
        rows = whole.frame.iloc[start : start + CHUNK]
        cells = [_cells(rows, name, description) for name, description in whole.columns.items()]
        parts.append("".join("\t".join(row) + "\n" for row in zip(*cells, strict=True)))
    path = out_dir / f"{whole.name}.tsv"
    write_text(path, "".join(parts))
    dictionary: dict[str, object] = dict(whole.columns)
    if whole.settings:
        dictionary[SETTINGS_KEY] = dict(whole.settings)
    write_json(out_dir / f"{whole.name}.json", dictionary, sort_keys=False)
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
