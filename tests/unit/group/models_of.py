"""Rows of the tables of models, and their coefficients by the normal equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from thalbids.group.cohort import Cohort

Rows = list[dict[str, Any]]


def rows_of(cohort: Cohort, module: Any, name: str) -> Rows:
    tables = {table.name: table for table in module.tables(cohort)}
    return tables[name].frame.to_dict("records")


def pick(rows: Rows, **key: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[name] == value for name, value in key.items())]
    assert len(found) == 1, (key, len(found))
    return found[0]


def normal_equations(y: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    X = np.column_stack([*columns, np.ones_like(y)])
    return np.linalg.solve(X.T @ X, X.T @ y)


def table_of(visits: Rows, volumes: Rows, method: str, order: int) -> dict[str, np.ndarray]:
    """The columns of one visit by person, by plain loops."""
    at = [v for v in visits if v["order"] == order]
    at.sort(key=lambda v: v["participant_id"])
    volume = {
        (v["participant_id"], v["session_id"]): (v["volume_ml"], v["icv_ml"]) for v in volumes if v["method"] == method
    }
    found = {name: np.array([v[name] for v in at]) for name in at[0] if isinstance(at[0][name], float)}
    both = np.array([volume[v["participant_id"], v["session_id"]] for v in at])
    return found | {"volume": both[:, 0], "icv": both[:, 1], "diagnosis": np.array([v["diagnosis"] for v in at])}
