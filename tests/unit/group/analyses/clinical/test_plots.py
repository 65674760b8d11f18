"""What the figures of residuals say stands in a table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import rows_of
from thalbids.group.analyses.clinical import plots


def test_what_the_residual_figures_say_stands_in_a_table() -> None:
    visits, volumes = two_visits(40)
    cohort = make_cohort(visits, volumes)
    residuals, checks = (rows_of(cohort, plots, f"group_{name}") for name in ("residuals", "residual_checks"))
    assert len(checks) == 2 * (
        5 + 2 + 4
    )  # of both methods: cross-sectional, t25fw and nhpt without logarithm, longitudinal
    for check in checks:
        if check["method"] != "first":
            continue
        keys = {name: check[name] for name in ("analysis", "outcome", "method", "transform", "sessions")}
        own = [row for row in residuals if all(row[name] == value for name, value in keys.items())]
        e, f = (np.array([row[name] for row in own]) for name in ("residual", "fitted"))
        # medians of uniform order statistics by Filliben (1975)
        m = (np.arange(1, e.size + 1) - 0.3175) / (e.size + 0.365)
        m[0], m[-1] = 1 - 0.5 ** (1 / e.size), 0.5 ** (1 / e.size)
        assert check["n"] == e.size
        assert check["qq_r"] == pytest.approx(np.corrcoef(np.sort(e), stats.norm.ppf(m))[0, 1])
        ranks = np.corrcoef(stats.rankdata(np.abs(e)), stats.rankdata(f))
        assert check["spread_rho"] == pytest.approx(ranks[0, 1])


def test_residuals_of_every_model_that_enters_a_claim() -> None:
    """SDMT follows the volume of both methods: its models are there for both, the others' for the first only."""
    visits, volumes = two_visits(450)
    volume = {(v["participant_id"], v["session_id"]): v["volume_ml"] for v in volumes if v["method"] == "first"}
    rng = np.random.default_rng(1)
    for visit in visits:
        visit["sdmt"] = 5 * volume[visit["participant_id"], visit["session_id"]] + float(rng.normal(0, 3))
    cohort = make_cohort(visits, volumes)
    residuals, checks = (rows_of(cohort, plots, f"group_{name}") for name in ("residuals", "residual_checks"))
    cross = [row for row in checks if row["analysis"] == "crosssectional" and row["transform"] == "none"]
    assert {row["method"] for row in cross if row["outcome"] == "sdmt" and row["claim"]} == {"first", "synthalT1w"}
    other = [row for row in residuals if row["method"] == "synthalT1w" and row["analysis"] == "crosssectional"]
    claimed = {row["outcome"] for row in checks if row["method"] == "synthalT1w" and row["claim"]}
    assert {row["outcome"] for row in other} <= claimed and "sdmt" in claimed
    kept = sorted(row["residual"] for row in other if row["outcome"] == "sdmt")
    assert len(kept) == plots.THINNED  # of 450: the quantiles stay
    whole = [row for row in residuals if row["method"] == "first" and row["outcome"] == "sdmt"]
    assert len(whole) == 450
    check = next(row for row in cross if row["outcome"] == "sdmt" and row["method"] == "synthalT1w")
    assert check["n"] == 450 and stats.probplot(kept)[1][2] == pytest.approx(check["qq_r"], abs=2e-3)
