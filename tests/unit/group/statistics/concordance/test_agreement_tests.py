"""Agreement of two methods compared: coefficients as `agreement` has them, plain resampling, level and power."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from thalbids.group.statistics.concordance import agreement, agreement_tests


def volumes(n: int, seed: int, noise: tuple[float, float]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(12, 1.9, n)
    return np.column_stack([x, *(x + 0.5 + sd * rng.normal(size=n) for sd in noise)])


def test_coefficients_are_those_of_the_table_of_agreement() -> None:
    V = volumes(40, 1, (0.5, 0.9))
    found = agreement_tests.coefficients(V)
    for j in (0, 1):
        assert found["ccc"][j] == pytest.approx(agreement.ccc(V[:, 0], V[:, j + 1]).estimate, rel=1e-9)
        consistency, absolute = agreement.icc_both(V[:, 0], V[:, j + 1])
        assert found["icc_c1"][j] == pytest.approx(consistency.estimate, rel=1e-9)
        assert found["icc_a1"][j] == pytest.approx(absolute.estimate, rel=1e-9)


def test_resamples_are_those_of_the_drawn_people() -> None:
    V = volumes(30, 2, (0.5, 0.9))
    found = agreement_tests.resampled(V, seed=5, draws=4)
    for draw, rows in enumerate(np.random.default_rng(5).integers(0, 30, (4, 30))):
        expected = agreement_tests.coefficients(V[rows])
        for name in agreement_tests.VOLUMETRIC:
            np.testing.assert_allclose(found[name][draw], expected[name], rtol=1e-9)


def test_effect_sizes() -> None:
    import pingouin

    rng = np.random.default_rng(3)
    a, b = rng.normal(0.9, 0.03, 25), rng.normal(0.88, 0.03, 25)
    found = agreement_tests.overlap(a, b, 1, 500)
    expected = pingouin.wilcoxon(a, b)
    column = next(name for name in expected.columns if name.upper() == "RBC")
    assert found["effect_size"] == pytest.approx(float(expected[column].iloc[0]))
    assert found["difference"] == pytest.approx(np.median(a - b))
    assert found["ci_low"] < found["difference"] < found["ci_high"]
    row = agreement_tests.volumetric(*volumes(40, 1, (0.5, 0.9)).T, seed=1, draws=200)[0]
    assert row["effect_size"] == pytest.approx(math.atanh(row["estimate"]) - math.atanh(row["estimate2"]))


def test_level_and_power_by_simulation() -> None:
    hits = dict.fromkeys(((0.7, 0.7), (0.4, 1.2)), 0)
    for noise in hits:
        for seed in range(150):
            rows = agreement_tests.volumetric(*volumes(60, seed, noise).T, seed=seed, draws=200)
            hits[noise] += rows[0]["p"] < 0.05
    assert hits[0.7, 0.7] <= 18  # binomial(150, 0.05): above in 0.01 % of the times
    assert hits[0.4, 1.2] >= 120


def test_the_table_and_reasons() -> None:
    V = volumes(30, 4, (0.4, 1.0))
    frames = [
        pd.DataFrame(
            {
                "participant_id": [f"sub-{i:02d}" for i in range(30)], "session_id": "ses-1", "rater": "manual",
                "method": name, "dice": dice, "precision": 0.9, "sensitivity": 0.8, "volume_ml": V[:, j],
                "volume_rater_ml": V[:, 0], "status": "ok",
            }
        )
        for j, (name, dice) in enumerate((("first", 0.9), ("synthalT1w", 0.92)), start=1)
    ]  # fmt: skip
    rows = agreement_tests.rows(pd.concat(frames), seed=1, draws=200)
    assert [row["quantity"] for row in rows] == [*agreement_tests.OVERLAP, *agreement_tests.VOLUMETRIC]
    assert rows[0]["difference"] == pytest.approx(-0.02) and rows[0]["effect_size"] == -1
    assert rows[3]["p_fdr"] == rows[3]["p"] < 0.05 and rows[3]["n"] == 30
    few = agreement_tests.rows(pd.concat([frame.head(3) for frame in frames]), seed=1, draws=200)
    assert all("at least 5" in row["reason"] for row in few)
