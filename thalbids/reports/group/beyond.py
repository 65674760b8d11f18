"""What the paper does not have, and tables that are shown as they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.reports import words
from thalbids.reports.group.figures import clinical, descriptive, look
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.section import MOST_ROWS, PageTable, Section, word

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "ci_low": "95 % from", "ci_high": "to", "p_fdr": "p corrected", "n": "n", "p": "p", "estimate": "Estimate",
    "n_source": "n of source", "n_participants": "n", "n_three": "n with three visits", "percent": "% per year",
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """How a table is listed: its title, the rows with these values, these columns; ``last`` after the others."""

    title: str
    rows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    columns: Sequence[str] = ()
    last: bool = False


def beyond(tables: Tables, told: Collection[str] = (), views: Mapping[str, View] | None = None) -> Section:
    """What the paper does not have: figures, and every table that no section tells of (``told``)."""
    views = views or {}
    section = Section("beyond", "Beyond the paper")
    section.add(descriptive.sample_size(tables))
    if any(figure.name == "samplesize" for figure in section.figures):
        section.caveats.append(
            "A small sample size needs a precise method, not a right one: a method that measures something steadier "
            "than the thalamus would win too."
        )
    listed = {name: views.get(name, View(word(name))) for name in tables.names() if name not in told}
    for name, view in sorted(listed.items(), key=lambda item: item[1].last):
        why = unfitted(tables.get(name))
        shown = generic(tables, name, view)
        if why:
            section.caveats.append(f"{view.title}: nothing could be computed ({why}).")
        else:
            section.show(shown)
    if not section.tables and not section.caveats:
        section.nothing = "Nothing beyond the paper's analyses was computed in this run."
    return section


def unfitted(table: pd.DataFrame) -> str:
    """Why no model of a table was fitted, or nothing in it computed; "" where something was, or it has no rows.

    Rows about people are never such: their reason is what they tell.
    """
    if table.empty or "participant_id" in table.columns:
        return ""
    if "estimate" in table.columns and table["estimate"].notna().any():
        return ""
    if "reason" not in table.columns:
        return "no participants" if "n" in table.columns and (table["n"] == 0).all() else ""
    if "estimate" not in table.columns and table["reason"].isna().any():
        return ""
    return words.listed([str(reason) for reason in table["reason"].dropna().unique()], 3)


def generic(tables: Tables, name: str, view: View) -> PageTable:
    """A table as it is, or the part of it that people want first."""
    table = tables.get(name)
    for column, values in view.rows.items():
        if column in table.columns:
            table = table[table[column].isin(values)]
    table = table[[c for c in view.columns if c in table.columns]] if view.columns else table
    table = table.dropna(axis="columns", how="all")
    rows = [[_named(c, v) for c, v in row.items()] for row in table.head(MOST_ROWS + 1).to_dict("records")]
    return PageTable(view.title, [COLUMNS.get(c, word(c)) for c in table.columns], rows, tables.file(name))


def _named(column: str, value: Any) -> str:
    """A cell as people read it: methods and outcomes by their names."""
    if not isinstance(value, str):
        return _cell(value)
    if column.startswith("method"):
        return look.label(value)
    if column in ("outcome", "variable"):
        return clinical.outcome_name(value)
    return value.replace("_", " ") if column == "random" else value


def _cell(value: Any) -> str:
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e9:
            return str(int(value))
        return "–" if not np.isfinite(value) else f"{value:.4g}"
    return "–" if value is None or value != value else str(value)
