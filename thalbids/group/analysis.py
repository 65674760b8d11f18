"""What an analysis says about itself: its tables, who would enter it, its part of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalbids.bids.tabular.tables import Table
from thalbids.group.cohort import Cohort
from thalbids.reports.group.beyond import View
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.section import Section


@dataclass(frozen=True)
class Analysis:
    """One analysis of the group level; `thalbids.group.registry` lists them.

    Attributes
    ----------
    name : for messages
    tables : called once with the cohort; with nothing to work on it gives a table without rows, or rows that say why.
        Tables of one name (``group_missing``) are put together
    ledgers : who would enter each model, for ``--dry-run``: rows of ``missing.ledger``, before anything is fitted
    sections : sections of the page by their key, made from the files of the tables
    views : how the page lists a table that no section shows: title, rows and columns; without one it is shown whole
    told : tables that the page does not list, because a section shows them or they are too long (without ``group_``)
    """

    name: str
    tables: Callable[[Cohort], Iterable[Table]]
    ledgers: Callable[[Cohort], Iterable[Mapping[str, Any]]] | None = None
    sections: Mapping[str, Callable[[Tables], Section]] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    told: tuple[str, ...] = ()
