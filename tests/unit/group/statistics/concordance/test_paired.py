"""Summaries and tests of overlap over people, against values worked out otherwise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from thalbids.group.comparison import METRICS
from thalbids.group.statistics.concordance import paired


def table(values: dict[str, list[float]], rater: str = "manual") -> pd.DataFrame:
    rows = [
        {"participant_id": f"sub-{i}", "session_id": None, "rater": rater, "method": method, "status": "ok"}
        | dict.fromkeys(METRICS, value)
        for method, column in values.items()
        for i, value in enumerate(column)
    ]
    return pd.DataFrame(rows)


def test_quartiles_are_numpys_linear_ones() -> None:
    row = paired.summary(table({"first": [0.1, 0.2, 0.4, 0.8]}), seed=1)[0]
    assert (row["q1"], row["median"], row["q3"]) == pytest.approx((0.175, 0.3, 0.5))
    assert row["n"] == 4
    assert 0.1 <= row["ci_low"] < row["median"] < row["ci_high"] <= 0.8


def test_an_interval_does_not_depend_on_other_methods() -> None:
    rng = np.random.default_rng(1)
    values = {name: list(rng.random(12)) for name in ("first", "dbsegment")}
    both = paired.summary(table(values), seed=3)
    alone = paired.summary(table({"dbsegment": values["dbsegment"]}), seed=3)
    assert [row for row in both if row["method"] == "dbsegment"] == alone


def exact_p(d: np.ndarray) -> float:
    """Two-sided p of the signed-rank statistic by all assignments of signs."""
    ranks = pd.Series(np.abs(d)).rank().to_numpy()
    centre = ranks.sum() / 2
    observed = abs(ranks[d > 0].sum() - centre)
    sums = [ranks[np.array(signs, dtype=bool)].sum() for signs in itertools.product((0, 1), repeat=len(d))]
    return float(np.mean(np.abs(np.array(sums) - centre) >= observed - 1e-9))


def test_exact_signed_rank_is_the_full_permutation() -> None:
    a = np.random.default_rng(2).normal(size=9)
    found = paired.signed_rank(a + 0.4, np.zeros(9), "exact")
    assert found["p"] == pytest.approx(exact_p(a + 0.4))


def test_the_exact_p_stands_beside_the_other_for_few_people() -> None:
    from scipy import stats

    d = np.random.default_rng(5).normal(0.3, 1, 26)
    assert math.isnan(paired.signed_rank(d, np.zeros(26))["p_exact"])
    few = paired.signed_rank(d[:25], np.zeros(25))
    assert few["p_exact"] == pytest.approx(stats.wilcoxon(d[:25], method="exact").pvalue)
    assert few["p"] != few["p_exact"]
    many = paired.signed_rank(np.random.default_rng(6).normal(0.1, 1, 501), np.zeros(501), "exact")
    assert "asymptotic" in many["reason"] and many["p"] > 0


def test_asymptotic_signed_rank_by_its_formula() -> None:
    """z = (W - n (n + 1) / 4) / sqrt(n (n + 1) (2 n + 1) / 24 - sum (t^3 - t) / 48), zeros dropped, no correction."""
    d = np.array([0.0, 0.3, -0.1, 0.5, 0.5, -0.2, 0.7, 0.9, 0.0, 0.4, 1.1, -0.5])
    found = paired.signed_rank(d, np.zeros(12))
    used = d[d != 0]
    ranks = pd.Series(np.abs(used)).rank().to_numpy()
    w = min(ranks[used > 0].sum(), ranks[used < 0].sum())
    n, tied = 10, 3
    z = (w - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24 - (tied**3 - tied) / 48)
    assert found["statistic"] == w
    assert found["p"] == pytest.approx(math.erfc(abs(z) / math.sqrt(2)))
    assert (found["n"], found["n_zero"]) == (12, 2)
    exact = paired.signed_rank(d, np.zeros(12), "exact")
    assert exact["p"] == exact["p_exact"] == found["p_exact"] == pytest.approx(exact_p(used))  # with ties


def test_no_test_without_a_difference_or_pairs() -> None:
    same = np.array([0.5, 0.6, 0.7])
    assert paired.signed_rank(same, same)["reason"] == "every difference is 0"
    nothing = paired.signed_rank(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    assert (nothing["n"], nothing["reason"]) == (0, "no pairs")
    assert math.isnan(nothing["p"])
    for method in ("asymptotic", "exact"):
        one = paired.signed_rank(np.array([1.0, 2.0]), np.array([1.0, 3.0]), method)
        assert (one["n"], one["n_zero"], one["reason"]) == (2, 1, "one pair differs: nothing to test")
        assert math.isnan(one["p"]) and math.isnan(one["p_exact"])


def test_the_family_is_the_metric_of_one_rater() -> None:
    rng = np.random.default_rng(4)
    values = {name: list(shift + rng.random(15)) for name, shift in (("first", 0), ("dbsegment", 0.2), ("a", 0.4))}
    rows = paired.tests(pd.concat([table(values), table(values, "second")]))
    assert len(rows) == 2 * len(METRICS) * 3
    for metric in METRICS:
        own = [row for row in rows if row["metric"] == metric and row["rater"] == "manual"]
        ps = np.array([row["p"] for row in own])
        order = np.argsort(ps)
        by_hand = np.minimum.accumulate((ps[order] * 3 / np.arange(1, 4))[::-1])[::-1]
        assert np.array([row["p_fdr"] for row in own])[order] == pytest.approx(by_hand)


def test_pairs_are_merged_on_people_never_by_order() -> None:
    frame = table({"first": [0.1, 0.2, 0.3, 0.4, 0.5], "dbsegment": [0.2, 0.3, 0.4, 0.5, 0.7]})
    shuffled = frame.sample(frac=1, random_state=1)
    found = {r["metric"]: (r["n"], r["statistic"]) for r in paired.tests(shuffled)}
    assert found["dice"] == (5, 0.0)


def test_one_method_gives_no_pairs() -> None:
    assert paired.tests(table({"first": [0.1, 0.2]})) == []
