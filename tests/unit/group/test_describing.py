"""What the terminal says of models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thalbids.bids.tabular.tables import Table
from thalbids.group import run
from thalbids.group.describing import clinical_lines


def test_models_that_vanish_are_told_with_their_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame(
        {
            "outcome": ["a", "a", "b", "b", "c", "c", "d"],
            "term": ["x", "age", "x", "age", "x", "age", "x"],
            "estimate": [1.0, np.nan, *[np.nan] * 5],
            "reason": ["", "", *["steroid is missing for everybody"] * 4, None],
        }
    )
    columns = {name: {"Description": name} for name in frame}
    plain = Table("group_volumes", frame[["outcome"]], columns)
    empty = Table("group_mixed", frame[:0], columns)
    assert run.fitted_lines([Table("group_longitudinal", frame, columns), plain, empty]) == [
        "longitudinal: 1 of 4 models fitted: steroid is missing for everybody (2); no reason given (1)."
    ]


def test_many_tables_without_a_model_share_a_line() -> None:
    frame = pd.DataFrame({"outcome": ["a", "b"], "term": "x", "estimate": np.nan, "reason": ["too few rows", None]})
    columns = {name: {"Description": name} for name in frame}
    tables = [Table(f"group_{name}", frame, columns) for name in ("one", "two", "three", "four")]
    assert run.fitted_lines(tables[:3])[2] == "three: 0 of 2 models fitted: too few rows (1); no reason given (1)."
    assert run.fitted_lines(tables) == [
        (
            "no model could be fitted in: one (2: too few rows); two (2: too few rows); three (2: too few rows); "
            "four (2: too few rows). The tables have every reason."
        )
    ]


def test_the_verdict_of_a_dry_run() -> None:
    from thalbids.group.describing import verdict

    rows = [
        {"analysis": "crosssectional", "n_used": 40, "lost_no_age": 3},
        {"analysis": "crosssectional", "n_used": 12},
        {"analysis": "longitudinal", "n_used": 0, "lost_no_steroid": 9, "lost_no_age": 1},
        {"analysis": "longitudinal", "n_used": 0, "lost_no_steroid": 8},
    ]
    assert verdict(43, rows) == [
        "Verdict: 1 of 4 analyses (outcome and method) have 30 and more rows, 1 have fewer, 2 none.",
        "  without rows: longitudinal: no steroid (2)",
    ]
    assert verdict(0, [])[0].startswith("Verdict: nothing can be analysed")


def test_norms_are_told_only_where_somebody_has_one() -> None:
    frame = pd.DataFrame({"z": [np.nan, -1.0]})
    columns = {"z": {"Description": "z"}}
    assert run.has_norms([Table("group_change", frame, columns), Table("group_normative", frame, columns)])
    assert not run.has_norms([Table("group_normative", frame[:1], columns), Table("group_change", frame, columns)])


def test_a_table_of_thousands_of_columns_does_not_fill_the_terminal() -> None:
    line = clinical_lines({}, [f"participants.tsv: c{n}" for n in range(5000)])[-1]
    assert line.startswith("  not used: participants.tsv: c0, ") and line.endswith("c99 and 4900 more")


def test_methods_that_nobody_has_do_not_say_why_the_others_could_not_be_fitted() -> None:
    reasons = [*["volume_ml is missing for everybody in the sample"] * 3, "too few rows: 1, for 5 coefficients"]
    frame = pd.DataFrame({"method": list("abcd"), "term": "x", "estimate": np.nan, "reason": reasons})
    columns = {name: {"Description": name} for name in frame}
    tables = [Table(f"group_{name}", frame, columns) for name in ("one", "two", "three", "four")]
    assert "one (4: too few rows: 1, for 5 coefficients); " in run.fitted_lines(tables)[0]
    nobody = [Table(table.name, frame[:3], columns) for table in tables]
    assert "one (3: volume_ml is missing for everybody in the sample); " in run.fitted_lines(nobody)[0]
