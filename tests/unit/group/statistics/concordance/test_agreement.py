"""Agreement of volumes, against published examples, closed forms, simulation and the paper's printed tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalbids.group.statistics.concordance import agreement as ag

# Peak expiratory flow by two meters, first measurements (Bland and Altman 1986, Lancet 327:307)
WRIGHT = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427.0])
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451.0])
# Six targets rated by four judges (Shrout and Fleiss 1979, table 2)
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7.0]])

GT_SD = 1.89  # mL, paper, 3.1
# method: slope, SD of the differences, bias, and what the paper prints for them (3.3 and table 2): CCC, ICC(3,1) and
# the Bland-Altman slope
PAPER = {
    "FreeSurfer": (0.93, 1.69, 5.65, 0.16, 0.705, 0.28),
    "FIRST": (0.78, 1.72, 4.94, 0.17, 0.659, 0.19),
    "DBSegment": (0.37, 1.68, 0.75, 0.44, 0.489, -0.43),
    "MindGlide T1": (0.66, 1.37, 1.11, 0.61, 0.725, -0.09),
    "MindGlide R1": (0.66, 1.33, 1.17, 0.61, 0.731, -0.14),
}


def sample(
    slope: float, sd_difference: float, bias: float, n: int = 50, sign: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose reference SD, slope, mean difference and SD of differences are exactly these."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=n)
    e = rng.normal(size=n)
    x = (x - x.mean()) / x.std(ddof=1)
    e = e - e.mean() - (e @ x) / (x @ x) * x
    e /= e.std(ddof=1)
    noise = math.sqrt(sd_difference**2 - (slope - 1) ** 2 * GT_SD**2)
    return 12 + GT_SD * x, 12 + sign * bias + slope * GT_SD * x + noise * e


def test_bland_altman_1986() -> None:
    found = ag.agreement(MINI, WRIGHT)
    assert found["bias"].estimate == pytest.approx(-2.1, abs=0.05)
    assert found["bias_sd"].estimate == pytest.approx(38.8, abs=0.05)
    # the paper rounds its limits, -2.1 -+ 2 x 38.8, and their intervals, with 2 in place of 1.96
    assert found["loa_low"].estimate == pytest.approx(-78.1, abs=0.05)
    assert found["loa_high"].estimate == pytest.approx(73.9, abs=0.05)


def test_limits_of_agreement_of_bland_and_altman_1999() -> None:
    """Section 2.1: 85 readings of blood pressure, mean difference -16.29, SD 19.61; limits -54.7 and 22.1, with 95 %
    intervals -61.9 to -47.5 and 14.9 to 29.3 (standard error 3.64 by their approximation 1.71 SD / sqrt n)."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=85)
    d = (d - d.mean()) / d.std(ddof=1) * 19.61 - 16.29
    low, high = ag.limits(d)
    assert (low.estimate, high.estimate) == pytest.approx((-54.7, 22.1), abs=0.06)
    assert (low.ci_low, low.ci_high) == pytest.approx((-61.9, -47.5), abs=0.15)
    assert (high.ci_low, high.ci_high) == pytest.approx((14.9, 29.3), abs=0.15)


def test_ccc_of_the_peak_flow_data_is_the_published_one() -> None:
    """0.943: Steichen and Cox 2002, Stata Journal 2:183."""
    assert ag.ccc(MINI, WRIGHT).estimate == pytest.approx(0.943, abs=5e-4)
    assert ag.ccc(WRIGHT, MINI).estimate == ag.ccc(MINI, WRIGHT).estimate


def test_ccc_interval_covers_as_it_should() -> None:
    """SD of Fisher's z over simulated samples against the formula, with a shift and a scale, where Lin's two versions
    of the variance differ."""
    rng = np.random.default_rng(5)
    n, draws = 200, 1500
    covariance = [[1.0, 0.9], [0.9, 2.25]]
    z, widths = [], []
    for _ in range(draws):
        x, y = rng.multivariate_normal([0, 1.2], covariance, size=n).T
        found = ag.ccc(x, y)
        z.append(math.atanh(found.estimate))
        widths.append((math.atanh(found.ci_high) - math.atanh(found.ci_low)) / (2 * 1.959964))
    assert np.std(z) == pytest.approx(np.mean(widths), rel=0.06)  # the SD of 1500 draws is known to 1.8 %


def test_icc_of_shrout_and_fleiss() -> None:
    """ICC(3,1) = .71 and ICC(2,1) = .29 (their table 4)."""
    consistency, absolute = ag.icc(SHROUT_FLEISS)
    assert consistency.estimate == pytest.approx(0.71, abs=0.006)
    assert absolute.estimate == pytest.approx(0.29, abs=0.005)


@pytest.mark.parametrize("method", PAPER)
def test_the_papers_moments_give_the_papers_coefficients(method: str) -> None:
    slope, sd_difference, bias, ccc, icc, ba = PAPER[method]
    found = ag.agreement(*sample(slope, sd_difference, bias))
    assert found["slope"].estimate == pytest.approx(slope, abs=1e-9)
    assert found["bias"].estimate == pytest.approx(bias, abs=1e-9)
    assert found["bias_sd"].estimate == pytest.approx(sd_difference, abs=1e-9)
    assert found["ccc"].estimate == pytest.approx(ccc, abs=0.012)  # the inputs are rounded
    assert found["icc_c1"].estimate == pytest.approx(icc, abs=0.012)
    assert found["proportional_slope"].estimate == pytest.approx(ba, abs=0.06)
    assert found["icc_a1"].estimate < found["icc_c1"].estimate  # what "absolute agreement" would have given


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_papers_intervals_of_ccc_and_icc(sign: int) -> None:
    """FreeSurfer: CCC .16 [.09, .23], ICC .705 [.53, .82]; DBSegment: CCC .44 [.23, .62], ICC .489 [.24, .68]."""
    found = ag.agreement(*sample(*PAPER["FreeSurfer"][:3], sign=sign))
    assert (found["ccc"].ci_low, found["ccc"].ci_high) == pytest.approx((0.09, 0.23), abs=0.012)
    assert (found["icc_c1"].ci_low, found["icc_c1"].ci_high) == pytest.approx((0.53, 0.82), abs=0.012)
    found = ag.agreement(*sample(*PAPER["DBSegment"][:3], sign=sign))
    assert (found["ccc"].ci_low, found["ccc"].ci_high) == pytest.approx((0.23, 0.62), abs=0.015)
    assert (found["icc_c1"].ci_low, found["icc_c1"].ci_high) == pytest.approx((0.24, 0.68), abs=0.015)


def test_identities() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(13, 2, 40)
    y = 2 + 0.8 * x + rng.normal(0, 1, 40)
    found = ag.agreement(x, y)
    sx2, sy2, sxy = x.var(ddof=1), y.var(ddof=1), np.cov(x, y)[0, 1]
    assert found["icc_c1"].estimate == pytest.approx(2 * sxy / (sx2 + sy2))
    assert found["ccc"].estimate == pytest.approx(2 * sxy / (sx2 + sy2 + (y - x).mean() ** 2))
    assert found["proportional_slope_on_reference"].estimate == pytest.approx(found["slope"].estimate - 1)
    assert found["proportional_slope"].estimate == pytest.approx(2 * (sy2 - sx2) / (sx2 + sy2 + 2 * sxy))
    assert found["sd_e"].estimate == pytest.approx(math.sqrt(39 * (sy2 - sxy**2 / sx2) / 38))
    assert found["sd_e"].ci_low < found["sd_e"].estimate < found["sd_e"].ci_high
    between, within = (
        40 * ((x.mean() - (x + y).mean() / 2) ** 2 + (y.mean() - (x + y).mean() / 2) ** 2),
        (sx2 + sy2) / 2,
    )
    error = within - sxy
    assert found["icc_a1"].estimate == pytest.approx(sxy / (sxy + error + (between - error) / 40))
    # F interval of ICC(C,1) (McGraw and Wong 1996)
    from scipy import stats

    f = (within + sxy) / error
    low, high = f / stats.f.ppf(0.975, 39, 39), f * stats.f.ppf(0.975, 39, 39)
    assert (found["icc_c1"].ci_low, found["icc_c1"].ci_high) == pytest.approx(
        ((low - 1) / (low + 1), (high - 1) / (high + 1))
    )


def test_the_option_of_pingouin_is_left_as_it_was() -> None:
    import pingouin as pg

    before = dict(pg.options)
    ag.icc(SHROUT_FLEISS)
    assert dict(pg.options) == before


def test_a_proportional_slope_on_the_mean_alone_would_mislead() -> None:
    """y measures x with another spread and no systematic relation of the error to x: on the mean the slope is not 0."""
    rng = np.random.default_rng(3)
    x = rng.normal(12, 1, 4000)
    found = ag.agreement(x, x + rng.normal(0, 1, 4000))
    assert abs(found["proportional_slope_on_reference"].estimate) < 0.05
    assert found["proportional_slope"].estimate > 0.3


@pytest.mark.parametrize(
    ("x", "y", "quantity", "word"),
    [
        ([1, 2], [1, 2], "ccc", "at least 3"),
        ([], [], "bias", "at least 3"),
        ([3, 3, 3, 3], [1, 2, 3, 4], "slope", "do not vary"),
        ([3, 3, 3, 3], [1, 2, 3, 4], "sd_e", "do not vary"),
        ([3, 3, 3, 3], [3, 3, 3, 3], "icc_c1", "do not differ"),
        ([1, 2, 3, 4], [1, 2, 3, 4], "ccc", "perfect"),
        ([1, 2, 3, 4], [2, 3, 4, 5], "icc_c1", "perfect"),
    ],
)
def test_reasons_in_place_of_numbers(x: list[float], y: list[float], quantity: str, word: str) -> None:
    found = ag.agreement(np.array(x), np.array(y))[quantity]
    assert word in found.reason
    assert math.isnan(found.ci_low) and math.isnan(found.ci_high)


def test_perfect_consistency_keeps_the_shift_in_absolute_agreement() -> None:
    x = np.array([1.0, 2, 3, 4, 5])
    found = ag.agreement(x, x + 2)
    assert found["icc_c1"].estimate == 1
    assert found["icc_a1"].estimate == pytest.approx(2.5 / (2.5 + 2))  # var x / (var x + shift^2 / 2)


def test_pairs_with_a_gap_are_left_out() -> None:
    x, y = np.array([1.0, 2, np.nan, 4, 5, 7]), np.array([1.1, 2.3, 3, np.nan, 5.2, 7.4])
    assert ag.agreement(x, y)["bias"].estimate == pytest.approx(np.mean([0.1, 0.3, 0.2, 0.4]))


def test_bootstrap_of_a_median() -> None:
    """For a normal sample the SE of the median is about 1.2533 sd / sqrt n."""
    values = np.random.default_rng(8).normal(10, 2, 400)
    low, high = ag.bootstrap(values, np.median, seed=1)
    assert (high - low) / (2 * 1.96) == pytest.approx(1.2533 * 2 / 20, rel=0.3)
    assert (low, high) == ag.bootstrap(values, np.median, seed=1)
    assert (low, high) != ag.bootstrap(values, np.median, seed=2)
