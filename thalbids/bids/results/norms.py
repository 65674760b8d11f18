"""What the group level found of single people against the controls (``group_normative.tsv``), read for their pages."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalbids.errors import MetadataError
from thalbids.files import MISSING, read_text

TABLE = "group_normative.tsv"
_COLUMNS = (
    "participant_id",
    "session_id",
    "method",
    "volume_ml",
    "z",
    "percentile",
    "n_controls",
    "adjusted_for",
    "reason",
)


@dataclass(frozen=True)
class Norm:
    """One volume against the controls.

    Attributes
    ----------
    method : ``desc-`` label
    volume_ml : the volume that was compared
    z, percentile : of the controls; None where there is none, ``reason`` then says why
    controls : how many the expected volume comes from
    adjusted : what it was adjusted for (``age sex icv_ml site``)
    reason : also what to know of a z that is there; "" when there is nothing to say
    """

    method: str
    volume_ml: float
    z: float | None
    percentile: float | None
    controls: int
    adjusted: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """For the record of the page."""
        return dict(vars(self))


def read_norms(out_dir: Path, people: Collection[str]) -> tuple[dict[str, tuple[Norm, ...]], list[str]]:
    """What the last group level in this folder says of these people (``sub-01``), by session (``sub-01_ses-1``), and
    which of their rows cannot be read; nothing where there was none.

    Only the rows of these people are taken apart: the table of a large study has a million.

    Raises
    ------
    MetadataError
        The whole table cannot be read, or is another.
    """
    path = out_dir / TABLE
    if not path.is_file():
        return {}, []
    header, *lines = read_text(path).split("\n")
    columns = header.split("\t")
    if columns[0] != _COLUMNS[0] or not set(_COLUMNS) <= set(columns):
        raise MetadataError("it is a table of another version.", "Run group again.", path)
    norms: dict[str, list[Norm]] = {}
    unread = []
    for number, line in enumerate(lines, start=2):
        person = line.partition("\t")[0]
        if person in people:
            cells = dict(zip(columns, line.split("\t"), strict=False))
            name = person if cells.get("session_id") == MISSING else f"{person}_{cells.get('session_id')}"
            try:
                norm = _norm(cells)
            except (KeyError, ValueError):
                unread.append(f"row {number} ({name} {cells.get('method', '')})")
            else:
                norms.setdefault(name, []).append(norm)
    return {name: tuple(rows) for name, rows in norms.items()}, unread


def _norm(cells: dict[str, str]) -> Norm:
    z, percentile = _number(cells["z"]), _number(cells["percentile"])
    words = {name: "" if cells[name] == MISSING else cells[name] for name in ("adjusted_for", "reason")}
    return Norm(
        cells["method"], float(cells["volume_ml"]), z, percentile, int(cells["n_controls"]), words["adjusted_for"],
        words["reason"],
    )  # fmt: skip


def _number(cell: str) -> float | None:
    value = math.nan if cell == MISSING else float(cell)
    return value if math.isfinite(value) else None
