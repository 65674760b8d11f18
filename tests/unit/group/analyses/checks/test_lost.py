"""Lost against kept: who is who, and the numbers of scipy."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from thalbids.group.analyses.checks import lost


def test_the_lost_are_those_without_a_second_visit() -> None:
    visits, volumes = two_visits(60)
    rng = np.random.default_rng(0)
    gone = {f"sub-{i:03d}" for i in range(60) if rng.uniform() < 0.35}
    volumes = [v for v in volumes if not (v["participant_id"] in gone and v["session_id"] == "ses-2")]
    for row in volumes:
        row["volume_ml"] -= 2.0 * (row["participant_id"] in gone)
    cohort = make_cohort(visits, volumes)
    (table,) = lost.tables(cohort)
    rows = table.frame[table.frame["kept"] == "followed"].set_index(["variable", "method"])
    own = {
        v["participant_id"]: v["volume_ml"] for v in volumes if v["method"] == "first" and v["session_id"] == "ses-1"
    }
    a = np.array([value for person, value in own.items() if person in gone])
    b = np.array([value for person, value in own.items() if person not in gone])
    row = rows.loc["volume_ml", "first"]
    assert (row["n_lost"], row["n_kept"]) == (len(a), len(b)) == (len(gone), 60 - len(gone))
    assert row["p"] == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / 58)
    assert row["smd"] == pytest.approx((a.mean() - b.mean()) / pooled)
    men = {v["participant_id"]: 1 - v["female"] for v in visits}
    counts = [[sum(men[p] == sex for p in men if (p in gone) == out) for sex in (1, 0)] for out in (True, False)]
    assert rows.loc["sex", ""]["p"] == pytest.approx(stats.fisher_exact(counts).pvalue)
    assert table.notes == [
        "warning: people who were not followed differ at baseline in volume_ml first, volume_ml synthalT1w."
    ]
    model = table.frame[(table.frame["kept"] == "d_edss") & (table.frame["variable"] == "age")].iloc[0]
    assert model["n_kept"] == 60 - len(gone)


def test_everybody_kept() -> None:
    (table,) = lost.tables(make_cohort(*two_visits(12)))
    assert table.frame["p"].isna().all() and table.frame["reason"].str.contains("fewer than 2 people are lost").all()


def test_a_group_that_does_not_vary_is_compared_without_a_warning() -> None:
    """Two lost people of one age (of one value and rounding noise): Welch's t is that of the others' spread alone."""
    kept = np.array([30.0, 34.0, 41.0, 43.0, 52.0])
    t = (38.1 - 40.0) / math.sqrt(kept.var(ddof=1) / 5)  # 4 degrees of freedom
    expected = 2 * stats.t.sf(abs(t), 4)
    for same in ([38.1, 38.1], [38.1, np.nextafter(38.1, 39)], [38.1] * 7):
        values, mask = np.r_[kept, same], np.arange(5 + len(same)) < 5
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            row = lost.compared(values, mask, "age")
            assert lost.compared(values, ~mask, "age")["p"] == row["p"]
        assert row["p"] == pytest.approx(expected, rel=1e-12)
        assert row["reason"] == ""


def test_welch_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    for n, m in ((2, 2), (3, 20), (50, 7)):
        a, b = rng.normal(50, 10, n), rng.normal(45, 3, m)
        assert lost.welch(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-12)
