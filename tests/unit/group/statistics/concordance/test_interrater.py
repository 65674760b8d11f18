"""Three raters against one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.unit.group.test_comparison import box, job
from thalbids.group import comparison
from thalbids.group.comparison import compare_all
from thalbids.group.statistics.concordance import interrater


def test_three_raters(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    jobs = []
    for i, length in enumerate(rng.permutation(np.arange(6, 16))):
        drawn = {f"r{j}": box(8, size=(int(length), 8, 6 + j % 2 * (i % 2))) for j in range(3)}
        jobs.append(job(tmp_path, {"first": box(8)}, drawn, f"sub-{i}"))
    compared = compare_all(jobs)
    table = pd.DataFrame([row for made in compared for row in made.raters])
    assert len(table) == 30
    rows = {(r["rater"], r["rater2"], r["quantity"]): r for r in interrater.between_raters(table, seed=1)}
    assert rows["r0", "r2", "median_dice"]["estimate"] == 1
    assert rows["r0", "r1", "bias"]["estimate"] == pytest.approx(
        np.mean([m.raters[0]["volume2_ml"] - m.raters[0]["volume_ml"] for m in compared])
    )
    assert 0.8 < rows["all", "all", "icc_a1"]["estimate"] <= rows["all", "all", "icc_c1"]["estimate"] < 1
    assert rows["all", "all", "icc_c1"]["n"] == 10
    assert comparison.problems_of(compared) == ([], [])
