"""What a section of the group report is, and what its makers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalbids.bids.results.names import ordered
from thalbids.reports.group.figures import descriptive, look
from thalbids.reports.group.figures.canvas import Figure
from thalbids.reports.group.group_data import by_keys, methods_in, number, p_value

if TYPE_CHECKING:
    import pandas as pd

MOST_METHODS = 15  # of a matrix of methods
MOST_ROWS = 60  # of a table on the page; the file has all


@dataclass(frozen=True)
class PageTable:
    """A table on the page, as text, and the file that holds its numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    file: str


@dataclass(frozen=True)
class Picture:
    """A picture that an analysis made: its source (a data URI), words for those who cannot see it, and its file."""

    source: str
    alt: str
    file: str


@dataclass
class Section:
    """A part of the story; ``nothing`` says why there is none."""

    key: str
    title: str
    says: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[PageTable] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    nothing: str = ""

    def add(self, *figures: Figure | None) -> None:
        """Figures that could be made."""
        self.figures += [figure for figure in figures if figure is not None]

    def show(self, *tables: PageTable) -> None:
        """Tables that have rows."""
        self.tables += [table for table in tables if table.rows]


def per_group(table: pd.DataFrame, cell: Callable[[Any], str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of methods times diagnoses; ``cell`` makes a text from a row of ``table``."""
    groups = descriptive.groups_of(table)
    first = {key: rows_of_key.iloc[0] for key, rows_of_key in by_keys(table, "method", "diagnosis").items()}
    rows = []
    for method in methods_in(table):
        cells = [first.get((method, group)) for group in groups]
        rows.append([look.label(method), *("–" if row is None else cell(row) for row in cells)])
    return ["Method", *groups], rows


def matrix(title: str, tests: pd.DataFrame, file: str) -> list[PageTable]:
    """Corrected p of every pair of methods, methods times methods; none of one pair, or of more methods than a page has
    room for.

    ``tests`` has the columns ``method``, ``method2`` and ``p_fdr``, and each pair once.
    """
    p_of = {frozenset((row["method"], row["method2"])): row["p_fdr"] for row in tests.to_dict("records")}
    names = ordered({name for pair in p_of for name in pair})
    if not 2 < len(names) <= MOST_METHODS or not any(p == p for p in p_of.values()):
        return []
    rows = [
        [look.label(one), *("" if one == two else p_value(p_of.get(frozenset((one, two)))) for two in names)]
        for one in names
    ]
    return [PageTable(title, ["", *(look.short(look.label(name)) for name in names)], rows, file)]


def by_measure(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each measure of change, a family each, with words for a title: "" for the difference of volumes."""
    if "change_measure" not in table.columns:
        return [("", table)]
    moved = table["change_measure"] == "registration"
    parts = [("", table[~moved]), (", with registration", table[moved])]
    return [(words, part) for words, part in parts if len(part)]


def unions(methods: Sequence[str]) -> list[str]:
    """The caveat on ensembles, where there are any."""
    if not any(look.is_union(m) for m in methods):
        return []
    return [
        (
            "Ensembles of two are unions of their members, never smaller than either; those of three are majorities. "
            "Their numbers are not independent of their members'."
        )
    ]


def span(column: pd.Series[Any]) -> str:
    """The smallest and the largest number of a column of counts."""
    known = column.dropna()
    if known.empty:
        return "–"
    ends = number(known.min(), 0), number(known.max(), 0)
    return ends[0] if ends[0] == ends[1] else f"{ends[0]}–{ends[1]}"


def counted(n: int, what: str) -> str:
    """A number and its noun."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def word(text: Any) -> str:
    """A name of a table's cell or column as words."""
    text = "–" if text is None or text != text else str(text).replace("_", " ")
    return text[:1].upper() + text[1:]


def remark(value: Any) -> str:
    """A cell that may be empty."""
    return "" if value is None or value != value else str(value)
