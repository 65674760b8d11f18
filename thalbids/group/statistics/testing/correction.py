"""Benjamini-Hochberg correction, with families said by columns and with p-values that do not exist left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def adjust(
    rows: Sequence[dict[str, Any]], families: Mapping[str, Sequence[str]], chosen: Mapping[str, Any] | None = None
) -> None:
    """Write adjusted p-values into rows of a table.

    Parameters
    ----------
    rows : with a key ``p``; changed in place
    families : the column to write, and the columns whose values say which family a row belongs to
    chosen : keys and values (or tuples of values) of the rows that are tested; None takes all
    """
    tested = [row for row in rows if all(row[key] in _tuple(value) for key, value in (chosen or {}).items())]
    for column, by in families.items():
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in tested:
            groups.setdefault(tuple(row[key] for key in by), []).append(row)
        for group in groups.values():
            for row, value in zip(group, benjamini_hochberg([row["p"] for row in group]), strict=True):
                row[column] = float(value)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p values of one family; NaN stays NaN and is no member of the family."""
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, math.nan)
    there = ~np.isnan(values)
    if there.any():
        from statsmodels.stats.multitest import multipletests

        adjusted[there] = multipletests(values[there], method="fdr_bh")[1]
    return [float(value) for value in adjusted]


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
