"""Kappa against worked examples, its interval, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalbids.raters import kappa as kappas
from thalbids.raters.ratings import MASK, Item, Rating

FLEISS = [  # 14 raters, 10 subjects, 5 categories; kappa is 0.210 (P 0.378, Pe 0.213)
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def labels(table: list[list[int]], names=("pass", "fail", "unsure")) -> tuple[list[str], list[str]]:
    """What two raters said, from the counts of their table."""
    pairs = [(names[i], names[j]) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),  # po 0.7, pe 0.5
        ([[45, 15], [25, 15]], 0.1304),  # po 0.6, pe 0.54
        ([[25, 35], [5, 35]], 0.2593),  # po 0.6, pe 0.46
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], 0.492),  # Cohen (1960), table 1: po 0.70, pe 0.41
    ],
)
def test_cohens_kappa_of_worked_examples(table: list[list[int]], kappa: float):
    assert kappas.cohen(*labels(table)).estimate == pytest.approx(kappa, abs=5e-4)


def test_the_interval_is_that_of_the_delta_method():
    """The variance of kappa by numerical derivatives of its definition, for multinomial counts."""
    counts = np.array([[44.0, 5, 1], [7, 20, 3], [9, 5, 6]])
    n = counts.sum()

    def kappa(p: np.ndarray) -> float:
        p = p.reshape(3, 3) / p.sum()
        expected = p.sum(1) @ p.sum(0)
        return (np.trace(p) - expected) / (1 - expected)

    p = counts.ravel() / n
    step = 1e-6
    slope = np.array([(kappa(p + step * e) - kappa(p - step * e)) / (2 * step) for e in np.eye(9)])
    variance = (slope**2 @ p - (slope @ p) ** 2) / n
    found = kappas.cohen(*labels(counts.astype(int).tolist()))
    assert found.estimate == pytest.approx(kappa(p), abs=1e-9)
    assert found.ci_high - found.estimate == pytest.approx(1.959964 * math.sqrt(variance), abs=1e-5)
    assert found.estimate - found.ci_low == pytest.approx(1.959964 * math.sqrt(variance), abs=1e-5)


def test_fleiss_kappa_of_a_worked_example():
    found = kappas.fleiss(np.array(FLEISS, dtype=float), seed=1, draws=300)
    assert found.estimate == pytest.approx(0.210, abs=5e-4)
    assert found.ci_low < found.estimate < found.ci_high
    assert found == kappas.fleiss(np.array(FLEISS, dtype=float), seed=1, draws=300)


def test_no_kappa_without_two_categories_or_items():
    assert math.isnan(kappas.cohen(["pass"] * 5, ["pass"] * 5).estimate)
    assert "not defined" in kappas.cohen(["pass"] * 5, ["pass"] * 5).reason
    assert kappas.cohen([], []).reason == "no item that both rated"
    perfect = kappas.cohen(["pass", "fail", "pass"], ["pass", "fail", "pass"])
    assert perfect.estimate == 1
    assert math.isnan(perfect.ci_low)
    assert "not defined" in kappas.fleiss(np.array([[3.0, 0, 0], [3, 0, 0]]), 1).reason


def item(number: int, kind: str = MASK, repeats: str = "") -> Item:
    name = f"{number:08x}"
    file = f"m{int(repeats, 16) if repeats else number}.nii.gz"
    return Item("0" * 16, name, kind, "sub-01", "ses-1", "synthalT1w", "", file, "1" * 64, "2" * 64, repeats)


def test_two_raters_three_raters_and_oneself():
    said = {"A": "ppffu", "B": "ppfpu", "C": "pfffp"}
    words = {"p": "pass", "f": "fail", "u": "unsure"}
    ratings = [Rating(item(n), rater, words[c]) for rater, text in said.items() for n, c in enumerate(text)]
    ratings += [Rating(item(10 + n, repeats=f"{n:08x}"), "A", words[c]) for n, c in enumerate("pff")]
    rows = {(row["quantity"], row["rater"], row["rater2"]): row for row in kappas.agreement(ratings, seed=1, draws=50)}
    assert set(rows) == {
        ("cohen_kappa", "A", "B"), ("cohen_kappa", "A", "C"), ("cohen_kappa", "B", "C"), ("fleiss_kappa", "all", ""),
        ("intra_kappa", "A", "A"),
    }  # fmt: skip
    # A and B: po 4/5; A has p 2, f 2, u 1 and B p 3, f 1, u 1: pe (6 + 2 + 1) / 25
    assert rows["cohen_kappa", "A", "B"]["estimate"] == pytest.approx((0.8 - 0.36) / (1 - 0.36))
    assert rows["cohen_kappa", "A", "B"]["observed"] == pytest.approx(0.8)
    # items ppp, ppf, fff, fpf, uup: P = (1 + 1/3 + 1 + 1/3 + 1/3) / 5; shares p 7/15, f 6/15, u 2/15
    alike, chance = 0.6, (49 + 36 + 4) / 225
    assert rows["fleiss_kappa", "all", ""]["observed"] == pytest.approx(alike)
    assert rows["fleiss_kappa", "all", ""]["estimate"] == pytest.approx((alike - chance) / (1 - chance))
    # pp, pf, ff: po 2/3; p 2 f 1 against p 1 f 2: pe 4/9
    assert rows["intra_kappa", "A", "A"]["n"] == 3
    assert rows["intra_kappa", "A", "A"]["estimate"] == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))
