"""Sample size, smallest detectable change and normative scores, against closed forms, other programs and simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.people import frame_of, make_cohort
from thalbids.group.analyses import detectable, normative
from thalbids.group.cohort import VOLUME_COLUMNS
from thalbids.group.statistics import power


def standard(n: int, mean: float, sd: float, seed: int = 0) -> np.ndarray:
    """A sample with exactly this mean and SD."""
    values = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def size(rows: list[dict[str, Any]], effect: float, chance: float) -> dict[str, Any]:
    (row,) = [row for row in rows if row["effect"] == effect and row["power"] == chance]
    return row


def test_sample_size_of_the_textbook() -> None:
    """A standardised difference of 0.5 needs 63 per arm for 80 % and 85 for 90 % (normal law: 62.8, 84.06)."""
    rows = power.sizes(standard(100, -1.0, 1.0), np.empty(0), seed=1)
    assert size(rows, 0.5, 0.8)["n_per_arm"] == 63
    assert size(rows, 0.5, 0.9)["n_per_arm"] == 85


def test_sample_size_against_statsmodels() -> None:
    from statsmodels.stats.power import NormalIndPower

    rows = power.sizes(standard(200, -0.9, 1.7), standard(40, -0.2, 0.8, 1), seed=1)
    for effect in power.EFFECTS:
        for chance in power.POWERS:
            d = effect * 0.7 / 1.7
            expected = NormalIndPower().solve_power(d, alpha=0.05, power=chance, ratio=1, alternative="two-sided")
            row = size(rows, effect, chance)
            assert row["n_per_arm"] == math.ceil(expected - 1e-9)
            assert row["relative_to"] == "controls"
            assert row["ci_low"] < row["n_per_arm"] < row["ci_high"]


def test_simulated_trials_of_that_size_have_that_power() -> None:
    row = size(power.sizes(standard(100, -1.0, 1.0), np.empty(0), seed=1), 0.5, 0.8)
    n = int(row["n_per_arm"])
    rng = np.random.default_rng(7)
    a, b = rng.normal(-1, 1, (4000, n)), rng.normal(-0.5, 1, (4000, n))
    z = (b.mean(axis=1) - a.mean(axis=1)) / math.sqrt(2 / n)
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.025)


def test_bootstrap_interval_by_the_delta_method() -> None:
    """log n = const + 2 log SD - 2 log loss: its SD is about sqrt(2 / n + 4 (SD / loss)^2 / n) for a normal sample."""
    n = 2000
    row = size(power.sizes(standard(n, -1.0, 1.5), np.empty(0), seed=3), 0.3, 0.8)
    width = (math.log(row["ci_high"]) - math.log(row["ci_low"])) / (2 * 1.96)
    assert width == pytest.approx(math.sqrt(2 / n + 4 * 2.25 / n), rel=0.08)


def test_no_upper_bound_where_resamples_show_no_loss() -> None:
    row = size(power.sizes(standard(12, -0.2, 1.0), np.empty(0), seed=1), 0.3, 0.8)
    assert row["n_per_arm"] > 0 and math.isnan(row["ci_high"]) and "no upper bound" in row["reason"]


@pytest.mark.parametrize(
    ("patients", "controls", "word"),
    [
        (standard(30, 0.3, 1.0), np.empty(0), "no loss"),
        (standard(30, -0.3, 1.0), standard(10, -0.6, 0.5), "beyond that of the controls"),
        (np.full(30, -0.4), np.empty(0), "does not vary"),
        (standard(4, -1, 1), np.empty(0), "4 patients"),
        (np.full(9, np.nan), np.empty(0), "0 patients"),
    ],
)
def test_no_sample_size(patients: np.ndarray, controls: np.ndarray, word: str) -> None:
    for row in power.sizes(patients, controls, seed=1):
        assert word in row["reason"] and math.isnan(row["n_per_arm"]) and math.isnan(row["ci_low"])


def test_two_controls_are_not_enough_to_be_relative_to() -> None:
    row = power.sizes(standard(30, -1, 1), np.array([-0.9, -0.8]), seed=1)[0]
    assert row["relative_to"] == "no change" and row["n_controls"] == 2


def scans(values: dict[str, list[float]]) -> Any:
    rows = [
        {
            "participant_id": who,
            "session_id": "ses-1",
            "method": "first",
            "volume_ml": v,
            "status": "ok",
            "entities": f"run-{i}",
        }
        for who, several in values.items()
        for i, v in enumerate(several)
    ]
    return frame_of(rows, (*VOLUME_COLUMNS, "entities"))


def test_repeated_scans() -> None:
    """Within-session variance of two scans is d^2 / 2; pooled over sessions; 1.96 sqrt(2) SEM."""
    pairs = {f"sub-{i}": [10 + i, 10 + i + d] for i, d in enumerate([0.1, -0.2, 0.3, 0.05, -0.15])}
    found = detectable.limits(scans(pairs), "first", "ml", np.empty(0))
    sem = math.sqrt(sum(d * d / 2 for d in [0.1, -0.2, 0.3, 0.05, -0.15]) / 5)
    assert found.source == "repeated scans" and found.n == 5
    assert found.noise.estimate == pytest.approx(sem)
    assert found.factor == pytest.approx(1.96 * math.sqrt(2))
    percent = detectable.limits(scans(pairs), "first", "percent", np.empty(0)).noise.estimate
    expected = [100 * (b - a) / ((a + b) / 2) for a, b in pairs.values()]
    assert percent == pytest.approx(math.sqrt(sum(d * d / 2 for d in expected) / 5))


def test_three_scans_weigh_by_their_degrees_of_freedom() -> None:
    found = detectable.repeated(scans({"sub-1": [10, 11, 12.0], "sub-2": [9, 9.5], "sub-3": [8.0]}), "first", "ml")
    assert found.noise.estimate == pytest.approx(math.sqrt((2 + 0.125) / 3)) and found.n == 2


def test_controls_stand_in_and_are_named() -> None:
    controls = standard(9, -0.02, 0.15)
    found = detectable.limits(scans({}), "first", "ml", np.r_[controls, np.nan])
    assert (found.source, found.n, found.factor) == ("controls", 9, 1.96)
    assert found.noise.estimate == pytest.approx(0.15)
    chi = stats.chi2.ppf([0.975, 0.025], 8)
    assert (found.noise.ci_low, found.noise.ci_high) == pytest.approx(tuple(0.15 * np.sqrt(8 / chi)))
    assert "4 controls" in detectable.limits(scans({}), "first", "ml", controls[:4]).noise.reason


def test_shares() -> None:
    limit = detectable.Limit("controls", detectable.Estimate(0.1, 0.05, 0.2), 1.96, 9)
    change = np.array([-0.3, -0.2, -0.1, 0.0, 0.1, 0.25, np.nan])
    group = np.array(["RRMS", "RRMS", "HC", "HC", "RRMS", "RRMS", "RRMS"], dtype=object)
    rows = {row["diagnosis"]: row for row in detectable.shares(limit, change, group)}
    assert rows["all"]["smallest_change"] == pytest.approx(0.196)
    assert (rows["all"]["n"], rows["all"]["n_loss"], rows["all"]["n_gain"]) == (6, 2, 1)
    assert (rows["RRMS"]["share_loss"], rows["HC"]["share_loss"]) == (0.5, 0)
    p, n, z = 0.5, 4, 1.959964  # Wilson 1927
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert rows["RRMS"]["share_loss_ci_low"] == pytest.approx((p + z * z / (2 * n)) / (1 + z * z / n) - half)


def people(controls: int, patients: int, seed: int = 0, **change: Any) -> Any:
    rng = np.random.default_rng(seed)
    visits, volumes = [], []
    for i in range(controls + patients):
        key = {"participant_id": f"sub-{i:03d}", "session_id": "ses-1"}
        age, female, icv = rng.uniform(25, 65), float(i % 2), rng.normal(1400, 100)
        volume = 12 - 0.04 * (age - 44) - 0.3 * female + 0.004 * (icv - 1400) + rng.normal(0, 0.8)
        volume -= 1.6 * (i >= controls)
        visits.append(key | {"age": age, "female": female, "diagnosis": "HC" if i < controls else "RRMS"} | change)
        volumes.append(key | {"method": "first", "volume_ml": volume, "icv_ml": icv})
    return make_cohort(visits, volumes)


def test_z_scores_by_the_normal_equations_and_by_leaving_out() -> None:
    cohort = people(30, 10)
    rows = normative.tables(cohort)[0].frame.set_index("participant_id")
    v, m = cohort.visits, cohort.volumes
    X = np.column_stack([v["age"], 1 - v["female"], m["icv_ml"], np.ones(40)])
    y = m["volume_ml"].to_numpy()
    for i in (0, 17, 33):
        used = np.array([k < 30 and k != i for k in range(40)])
        bread = np.linalg.inv(X[used].T @ X[used])
        b = bread @ X[used].T @ y[used]
        s = math.sqrt(((y[used] - X[used] @ b) ** 2).sum() / (used.sum() - 4))
        spread = s * math.sqrt(1 + X[i] @ bread @ X[i])
        row = rows.loc[f"sub-{i:03d}"]
        assert row["z"] == pytest.approx((y[i] - X[i] @ b) / spread, rel=1e-6)
        assert row["percentile"] == pytest.approx(100 * stats.t.cdf(row["z"], used.sum() - 4))


def test_controls_z_is_the_externally_studentised_residual() -> None:
    import statsmodels.api as sm

    cohort = people(25, 3)
    X = np.column_stack([cohort.visits["age"], 1 - cohort.visits["female"], cohort.volumes["icv_ml"], np.ones(28)])[:25]
    expected = sm.OLS(cohort.volumes["volume_ml"].to_numpy()[:25], X).fit().get_influence().resid_studentized_external
    np.testing.assert_allclose(normative.tables(cohort)[0].frame["z"][:25], expected, rtol=1e-6)


def test_percentiles_of_new_controls_are_uniform() -> None:
    found = np.concatenate([normative.tables(people(15, 0, seed))[0].frame["percentile"] for seed in range(40)])
    assert stats.kstest(found / 100, "uniform").pvalue > 0.001


@pytest.mark.parametrize(
    ("cohort", "word"),
    [
        (people(0, 12), "0 controls"),
        (people(8, 12), "8 controls"),
        (people(20, 5, female=1.0), "sex does not vary"),
    ],
)
def test_no_norm(cohort: Any, word: str) -> None:
    rows = normative.tables(cohort)[0].frame
    assert len(rows) and rows["reason"].str.contains(word).all() and rows["z"].isna().all()


def test_a_covariate_that_nobody_has_is_named() -> None:
    cohort = people(20, 5)
    cohort.volumes["icv_ml"] = np.nan
    (table,) = normative.tables(cohort)
    assert set(table.frame["adjusted_for"]) == {"age sex"} and table.frame["z"].notna().all()
    assert "icv_ml" in table.notes[0]


def test_outside_the_controls_is_said() -> None:
    cohort = people(20, 5)
    cohort.visits.loc[22, "age"] = 90.0
    cohort.visits.loc[23, "age"] = np.nan
    rows = normative.tables(cohort)[0].frame
    assert "range of age" in rows["reason"][22] and np.isfinite(rows["z"][22])
    assert rows["reason"][23] == "no age" and np.isnan(rows["z"][23])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=5, max_size=30), st.floats(0.1, 10))
def test_sample_size_does_not_depend_on_the_unit(values: list[float], factor: float) -> None:
    change = np.array(values)
    if np.ptp(change) < 1e-3 or abs(change.mean()) < 1e-3:
        return
    a, b = (size(power.sizes(factor_ * change, np.empty(0), seed=2), 0.5, 0.8) for factor_ in (1.0, factor))
    if not a["reason"].startswith("no loss"):
        assert abs(a["n_per_arm"] - b["n_per_arm"]) <= 1 + 1e-9 * a["n_per_arm"]
