"""What the figures of residuals say stands in a table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import rows_of
from thalbids.group.analyses import plots


def test_what_the_residual_figures_say_stands_in_a_table() -> None:
    visits, volumes = two_visits(40)
    cohort = make_cohort(visits, volumes)
    residuals, checks = (rows_of(cohort, plots, f"group_{name}") for name in ("residuals", "residual_checks"))
    assert len(checks) == 5 + 2 + 4  # cross-sectional, t25fw and nhpt without logarithm, longitudinal
    for check in checks:
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
