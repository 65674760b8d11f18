"""Lost against kept: who is who, and the numbers of scipy."""

from __future__ import annotations

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
