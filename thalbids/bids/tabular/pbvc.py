"""A given table of whole-brain change (``--pbvc-table``): read in one place, with one answer for everybody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from thalbids.bids.tabular.given_tables import PBVC_COLUMNS as COLUMNS
from thalbids.bids.tabular.given_tables import PBVC_WHAT, Strict

__all__ = ["COLUMNS", "Given", "Pair", "read_given"]

PLAUSIBLE_PERCENT = 10.0  # a year of MS costs 0.5 to 1.5 %: beyond this it is the scans that differ

Pair = tuple[str, str, str]  # participant, first and second session: sub-01, ses-1, ses-2


@dataclass(frozen=True)
class Given:
    """A value of the table (%, NaN when missing), whether it may be used, and why not."""

    pbvc: float
    status: str
    reason: str = ""


def read_given(path: Path) -> dict[Pair, Given]:
    """The values of a given table.

    A row may carry ``status`` and ``reason``: one that is not ok is not used.

    Raises
    ------
    MetadataError
        The table cannot be read, lacks a column, names a pair twice, or holds something that is no number; every such
        cell is listed with row, column and value.
    """
    table = Strict.read(path, COLUMNS, PBVC_WHAT)
    values: dict[Pair, Given] = {}
    for number, row in table.rows:
        person, first, second = (table.label(number, row, name) for name in COLUMNS[:3])
        key = (person, first, second)
        if key in values:
            table.problem(number, "participant_id", row["participant_id"], f"stands there twice ({' '.join(key)})")
        if first == second:
            table.problem(number, COLUMNS[2], row[COLUMNS[2]], "is the baseline itself")
        value = table.number(number, row, "pbvc", lambda value: "" if abs(value) < 100 else "is no change in percent")
        values[key] = _judged(math.nan if value is None else value, row)
    table.check()
    return values


def _judged(value: float, row: Mapping[str, str]) -> Given:
    status, reason = (row.get(name, "").replace("n/a", "") for name in ("status", "reason"))
    if status not in ("", "ok"):
        return Given(value, status, reason)
    if math.isnan(value):
        return Given(value, "missing", "n/a in the given table")
    if abs(value) > PLAUSIBLE_PERCENT:
        return Given(value, "excluded", f"a change of {value:.1f} % is not plausible")
    return Given(value, "ok", reason)
