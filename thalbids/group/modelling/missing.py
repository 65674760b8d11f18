"""Who was lost, and why: one row per analysis, outcome and method (``group_missing``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalbids.bids.tabular.tables import Table, table
from thalbids.group.columns import MISSING_KEYS, lost_column


def ledger(analysis: str, outcome: str, method: str, lost: Mapping[str, Any], **more: str) -> dict[str, Any]:
    """One row of ``group_missing``.

    Parameters
    ----------
    analysis, outcome, method : what was analysed ("" where it does not apply)
    lost : reason to a boolean array or Series over all candidate rows, True where the row is lost for it. A row that is
        lost for several reasons counts under the first, so the reasons add up to n_total - n_used.
    more : further keys (``subset="RRMS"``)

    Examples
    --------
    >>> ledger("crosssectional", "edss", "first", {"no volume": [True, False], "no age": [True, True]})["n_used"]
    0
    """
    masks = {reason: np.asarray(mask, dtype=bool) for reason, mask in lost.items()}
    total = len(next(iter(masks.values()), ()))
    left = np.ones(total, dtype=bool)
    counts = {}
    for reason, mask in masks.items():
        counts[lost_column(reason)] = int((left & mask).sum())
        left &= ~mask
    start = {"analysis": analysis, "outcome": outcome, "method": method, **more}
    return {**start, "n_total": total, "n_used": int(left.sum()), **counts}


_MODEL = ("outcome", "method", "subset", "sessions")
NOT_FITTED = "model not fitted"


def after_fit(
    ledgers: Sequence[Mapping[str, Any]], fitted: Sequence[Mapping[str, Any]], estimate: str = "estimate"
) -> list[dict[str, Any]]:
    """The ledgers once the models are fitted: one without any estimate used nobody, and ``reason`` says why.

    ``fitted`` are rows of the table of models (of one family: the same keys among outcome, method, subset, sessions);
    a ledger whose model is not among them stays as it is. Sensitivity analyses do not count.
    """
    rows = [row for row in fitted if row.get("sensitivity", "none") == "none"]
    keys = [name for name in _MODEL if rows and name in rows[0]]
    reasons: dict[tuple[Any, ...], str] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        there = bool(np.isfinite(row[estimate]))
        reasons[key] = "" if there else reasons.get(key, row["reason"])
    lines = []
    for entry in ledgers:
        reason = reasons.get(tuple(entry[name] for name in keys), "") if keys else ""
        lost = {lost_column(NOT_FITTED): entry["n_used"], "n_used": 0} if reason else {}
        lines.append({**entry, **lost, "reason": reason})
    return lines


def missing_table(rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> Table:
    """``group_missing`` of these ledgers; tables of several analyses are joined, reasons that do not apply are n/a."""
    reasons = dict.fromkeys(key for row in rows for key in row if key not in MISSING_KEYS)
    described = {name: _reason(name) for name in reasons}
    return table("group_missing", rows, {**MISSING_KEYS, **described}, notes=notes)


def _reason(name: str) -> dict[str, object]:
    words = name.removeprefix("lost_").replace("_", " ")
    text = f"Rows lost for this reason: {words}. A row with several reasons counts under the first of them."
    return {"LongName": f"Lost: {words}", "Description": text, "Format": "integer"}
