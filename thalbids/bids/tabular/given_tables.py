"""Tables that the user gives on the command line (PBVC, intracranial volumes): read strictly, one answer for everybody.

Every cell is read before anything is computed, and all that is wrong is listed with row, column and value: a row that
nobody can be matched with would lose a person silently.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thalbids.bids.dataset.index import LABEL
from thalbids.bids.tabular.near_labels import partners
from thalbids.errors import MetadataError, cell
from thalbids.files import MISSING, read_lines

SHOWN = 20  # problems that a message lists
ICV_COLUMNS = ("participant_id", "icv_mm3")
ICV_RANGE = (400_000.0, 2_500_000.0)  # mm^3; as for icv_ml of the clinical tables
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
PBVC_COLUMNS = ("participant_id", "session_id_baseline", "session_id_followup", "pbvc")
PBVC_WHAT = "PBVC values"
_PREFIXES = {"participant_id": "sub-"}

People = Mapping[str, Collection[str]]  # participant -> sessions, both with their prefix


@dataclass
class Strict:
    """A table of ids and one number a row, and what is wrong with it."""

    path: Path
    columns: list[str] = field(default_factory=list)
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, needed: Sequence[str], what: str) -> Strict:
        """The rows of a table with the needed columns.

        Raises
        ------
        MetadataError
            The table cannot be read, is empty, or lacks a column.
        """
        columns, lines = read_lines(path)
        if not lines or not set(needed) <= set(columns):
            mend = f"It needs the columns {', '.join(needed)}, separated by tabs."
            raise MetadataError(f"This is not a table of {what}.", mend, path)
        return cls(path, columns, [(number, dict(zip(columns, cells, strict=True))) for number, cells in lines])

    def problem(self, number: int, column: str, text: str, why: str) -> None:
        """Note what is wrong with a cell."""
        self.problems.append(f"row {number}, {column}: {cell(text)} {why}")

    def label(self, number: int, row: Mapping[str, str], column: str) -> str:
        """The label in a cell, with its prefix."""
        text, prefix = row.get(column, ""), _PREFIXES.get(column, "ses-")
        label = text.removeprefix(prefix)
        if not re.fullmatch(LABEL, label):
            self.problem(number, column, text, "is no label")
        return prefix + label

    def number(self, number: int, row: Mapping[str, str], column: str, why_not: Callable[[float], str]) -> float | None:
        """The number in a cell; None for n/a, and for what is refused. ``why_not`` says what is wrong with a value."""
        text = row[column]
        if text in ("", MISSING):
            return None
        if not _NUMBER.fullmatch(text):
            hint = " (write a decimal point)" if _NUMBER.fullmatch(text.replace(",", ".")) else ""
            self.problem(number, column, text, f"is not a number{hint}")
            return None
        value = float(text)
        why = why_not(value) if abs(value) < float("inf") else "is out of range"
        if why:
            self.problem(number, column, text, why)
            return None
        return value

    def check(self) -> None:
        """Refuse the table when something is wrong with it.

        Raises
        ------
        MetadataError
            With every problem, the first `SHOWN` of them in words.
        """
        if self.problems:
            listed = "".join(f"\n  {problem}" for problem in self.problems[:SHOWN])
            more = f"\n  and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
            raise MetadataError(f"the table holds what cannot be used:{listed}{more}\n", "Correct it.", self.path)


def read_icv(path: Path) -> dict[tuple[str, str | None], float]:
    """The intracranial volumes (mm^3) of a given table (``--derivatives icv=PATH``).

    The columns are participant_id, icv_mm3 and, where people have several sessions, session_id.

    Returns
    -------
    (``sub-X``, ``ses-Y`` or None for a row without a session) -> volume; rows with n/a are absent

    Raises
    ------
    MetadataError
        The table cannot be read, lacks a column, names a session twice, or holds something that is no such volume.
    """
    table = Strict.read(path, ICV_COLUMNS, "intracranial volumes")
    low, high = ICV_RANGE

    def why_not(value: float) -> str:
        if low <= value <= high:
            return ""
        unit = "; is it in mL?" if low <= 1000 * value <= high else ""
        return f"is no intracranial volume (from {low:.0f} to {high:.0f} mm^3){unit}"

    volumes: dict[tuple[str, str | None], float | None] = {}
    for number, row in table.rows:
        person = table.label(number, row, "participant_id")
        without = row.get("session_id", "") in ("", MISSING)
        key = person, None if without else table.label(number, row, "session_id")
        if key in volumes:
            table.problem(
                number, "participant_id", row["participant_id"], "is there twice (session_id tells visits apart)"
            )
        volumes[key] = table.number(number, row, "icv_mm3", why_not)
    table.check()
    return {key: value for key, value in volumes.items() if value is not None}


def people_of(*datasets: Path, whose: Collection[str] | None = None) -> dict[str, set[str]]:
    """Participants and sessions that have a folder in one of the datasets.

    Parameters
    ----------
    whose : participants whose sessions are looked up; None: everybody, which takes a while with thousands
    """
    people: dict[str, set[str]] = {}
    for root in datasets:
        for person in _folders(root, "sub"):
            known = people.setdefault(person, set())
            if whose is None or person in whose:
                known.update(_folders(root / person, "ses"))
    return people


def check_tables(datasets: Sequence[Path], icv: Path | None = None, pbvc: Path | None = None) -> None:
    """Refuse given tables that cannot be read, or name others than the people of the datasets; see `check_labels`.

    Raises
    ------
    MetadataError
    """
    if icv is None and pbvc is None:
        return
    people = people_of(*datasets)
    if icv is not None:
        read_icv(icv)
        check_labels(icv, ICV_COLUMNS, "intracranial volumes", people)
    if pbvc is not None:
        check_labels(pbvc, PBVC_COLUMNS, PBVC_WHAT, people)


def check_labels(path: Path, needed: Sequence[str], what: str, people: People) -> None:
    """Refuse a given table that names people or sessions whom the dataset does not have.

    Parameters
    ----------
    people : everybody of the dataset, not only those who were asked for

    Raises
    ------
    MetadataError
        With row, column, value and, where there is one, the label that was probably meant.
    """
    table = Strict.read(path, needed, what)
    columns = [name for name in table.columns if name.startswith("session_id")]
    for number, row in table.rows:
        person = table.label(number, row, "participant_id")
        if person not in people:
            table.problem(number, "participant_id", row["participant_id"], _unknown(person, people))
            continue
        for column in columns:
            if row[column] not in ("", MISSING) and people[person]:
                session = table.label(number, row, column)
                if session not in people[person]:
                    table.problem(number, column, row[column], _unknown(session, people[person]))
    table.check()


def _unknown(label: str, known: Collection[str]) -> str:
    partner = partners([label], known).get(label)
    return "is not in the dataset" + (f"; {partner} is" if partner else "")


def _folders(root: Path, prefix: str) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return [entry.name for entry in entries if re.fullmatch(f"{prefix}-{LABEL}", entry.name) and entry.is_dir()]
    except OSError:
        return []
