"""A given table of whole-brain change (``--pbvc-table``): read in one place, with one answer for everybody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from thalbids.errors import MetadataError
from thalbids.files import read_table

COLUMNS = ("participant_id", "session_id_baseline", "session_id_followup", "pbvc")
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
        The table cannot be read, lacks a column, names a pair twice, or holds something that is no number.
    """
    rows = read_table(path)
    mend = f"It needs the columns {', '.join(COLUMNS)}, separated by tabs."
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise MetadataError("This is not a table of PBVC values.", mend, path)
    values: dict[Pair, Given] = {}
    for row in rows:
        person, first, second = (str(row[name]).strip() for name in COLUMNS[:3])
        key = (_prefixed(person, "sub-"), _prefixed(first, "ses-"), _prefixed(second, "ses-"))
        if key in values:
            raise MetadataError(f"The pair {' '.join(key)} stands in the table twice.", "Keep one row.", path)
        values[key] = _judged(_number(row["pbvc"], path), row)
    return values


def _prefixed(label: str, prefix: str) -> str:
    return label if label.startswith(prefix) else prefix + label


def _number(text: str | None, path: Path) -> float:
    """A cell as a finite number; NaN for n/a."""
    if text in (None, "", "n/a"):
        return math.nan
    try:
        value = float(str(text))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise MetadataError(f"{text!r} is not a PBVC value.", "Write a number in percent, or n/a.", path)
    return value


def _judged(value: float, row: Mapping[str, str | None]) -> Given:
    status, reason = row.get("status") or "ok", row.get("reason") or ""
    if status != "ok":
        return Given(value, status, reason)
    if math.isnan(value):
        return Given(value, "missing", "n/a in the given table")
    if abs(value) > PLAUSIBLE_PERCENT:
        return Given(value, "excluded", f"a change of {value:.1f} % is not plausible")
    return Given(value, "ok", reason)
