"""The tables of the group level as the page reads them: from the files, so that every number shown is in one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.bids.results.names import ordered
from thalbids.errors import MetadataError
from thalbids.files import MISSING
from thalbids.reports.words import listed as listed

if TYPE_CHECKING:
    import pandas as pd

# Columns that are text even where every cell looks like a number.
TEXT = frozenset(
    [
        "participant_id",
        "session_id",
        "session_id_baseline",
        "session_id_followup",
        "method",
        "method2",
        "method_inner",
        "method_outer",
        "rater",
        "rater2",
        "diagnosis",
        "outcome",
        "subset",
        "transform",
        "cov_type",
        "term",
        "status",
        "reason",
        "metric",
        "quantity",
        "measure",
        "change_measure",
        "test",
        "threshold",
        "analysis",
        "sensitivity",
        "variable",
        "source",
        "note",
        "site",
        "stratum",
        "side",
        "sex",
        "sessions",
        "sample",
        "population",
        "unit",
        "relative_to",
        "random",
        "adjusted_for",
        "image",
        "icv_source",
        "sign",
        "warning",
        "reference",
        "value",
        "other_value",
    ]
)


METHODS = ("method", "method2", "method_inner", "method_outer")  # columns that name methods


@dataclass
class Tables:
    """The ``group_*.tsv`` of a folder, each read once; without the rows of methods that nobody has (:attr:`absent`)."""

    folder: Path
    _read: dict[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def absent(self) -> tuple[str, ...]:
        """Methods that everybody lacks, as where no session has their image; none where all methods are such."""
        volumes = self.whole("volumes")
        if not {"method", "status"} <= set(volumes.columns):
            return ()
        there = volumes.loc[volumes["status"] != "missing", "method"].unique()
        return tuple(sorted(set(volumes["method"].dropna()).difference(there))) if len(there) else ()

    def names(self) -> list[str]:
        """What is there, without ``group_`` and ``.tsv``."""
        tables = self.folder.glob("group_*.tsv")
        return sorted(path.name.removeprefix("group_").removesuffix(".tsv") for path in tables)

    def get(self, name: str, needs: Iterable[str] = ()) -> pd.DataFrame:
        """A table; empty when the file is not there or lacks one of the columns that are needed.

        Raises
        ------
        MetadataError
            The file cannot be read as a table.
        """
        import pandas as pd

        table = first_pair(self.whole(name))
        for column in [one for one in METHODS if one in table.columns and self.absent]:
            table = table[~table[column].isin(self.absent)]
        return table if set(needs) <= set(table.columns) else pd.DataFrame(columns=list(needs), dtype=object)

    def whole(self, name: str) -> pd.DataFrame:
        """A table with the rows of methods that nobody has, to count people; empty if it is not there."""
        import pandas as pd

        if name not in self._read:
            path = self.folder / f"group_{name}.tsv"
            self._read[name] = _read(path) if path.is_file() else pd.DataFrame()
        return self._read[name]

    def file(self, name: str) -> str:
        """The name of the table's file."""
        return f"group_{name}.tsv"


def _read(path: Path) -> pd.DataFrame:
    """A table: text columns as text, the others as numbers where all their cells are numbers."""
    import csv

    import pandas as pd

    try:
        table = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, na_values=["", MISSING], quoting=csv.QUOTE_NONE,
            encoding="utf-8-sig", index_col=False,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise MetadataError(f"cannot be read as a table ({error}).", "Run the group level again.", path) from None
    for column in table.columns:
        if column not in TEXT:
            try:
                table[column] = pd.to_numeric(table[column])
            except (ValueError, TypeError):
                continue
    return table


def first_pair(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first kind of pair of sessions, where a table (or an analysis in it) holds several."""
    if "sessions" not in table.columns or table["sessions"].dropna().nunique() < 2:
        return table
    analysis = table["analysis"] if "analysis" in table.columns else table["sessions"].isna() & False
    first = table["sessions"].groupby(analysis, dropna=False).transform("first")  # that is not missing
    return table[table["sessions"].isna() | (table["sessions"] == first)]


def rows_of(table: pd.DataFrame, **equal: str) -> pd.DataFrame:
    """The rows whose columns have these values; a column that is not there does not choose."""
    for column, value in equal.items():
        if column in table.columns:
            table = table[table[column] == value]
    return table


def by_keys(table: pd.DataFrame, *columns: str) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows of each combination of these columns, in their order: one look at a table where `rows_of` takes many."""
    groups = table.groupby(list(columns), sort=False, observed=True)
    return {tuple(str(part) for part in key): rows for key, rows in groups}


def values(table: pd.DataFrame, column: str) -> Any:
    """The finite numbers of a column as an array."""
    import numpy as np

    numbers = table[column].to_numpy(dtype=np.float64)
    return numbers[np.isfinite(numbers)]


def methods_in(table: pd.DataFrame, column: str = "method") -> list[str]:
    """The methods of a table in the order of all our tables."""
    return ordered(table[column].dropna().unique()) if column in table.columns else []


def in_order(names: Iterable[str], preferred: Sequence[str]) -> list[str]:
    """Each once: the preferred first, the others by name."""
    place = {name: number for number, name in enumerate(preferred)}
    return sorted(dict.fromkeys(names), key=lambda name: (place.get(name, len(place)), name))


def number(value: Any, digits: int = 2) -> str:
    """A number for reading; a dash where there is none.

    Examples
    --------
    >>> number(-0.4261), number(float("nan")), number(12345.678, 0)
    ('-0.43', '–', '12346')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    text = f"{float(value):.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def mean_sd(row: Any, digits: int = 2) -> str:
    """``mean ± SD`` of a row; the mean alone where one value has no spread.

    Examples
    --------
    >>> mean_sd({"mean": 1.0, "sd": 0.25}), mean_sd({"mean": 1.0, "sd": float("nan")})
    ('1.00 ± 0.25', '1.00')
    """
    spread = number(row["sd"], digits)
    return number(row["mean"], digits) + ("" if spread == "–" else f" ± {spread}")


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """``[low, high]``; a dash where there is none."""
    texts = number(low, digits), number(high, digits)
    return "–" if texts == ("–", "–") else f"[{texts[0]}, {texts[1]}]"


def p_value(p: Any) -> str:
    """Three decimals, and "< 0.001" below.

    Examples
    --------
    >>> p_value(0.00004), p_value(0.0316), p_value(None)
    ('< 0.001', '0.032', '–')
    """
    if p is None or not math.isfinite(float(p)):
        return "–"
    return "< 0.001" if float(p) < 0.001 else f"{float(p):.3f}"


def stars(p: Any) -> str:
    """* below 0.05, ** below 0.01, *** below 0.001, as in the paper's figures."""
    if p is None or not math.isfinite(float(p)):
        return ""
    return "*" * sum(float(p) < limit for limit in (0.05, 0.01, 0.001))
