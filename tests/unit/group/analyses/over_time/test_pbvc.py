"""Change of the thalamus against the change of the whole brain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from tests.unit.group.analyses.test_model_tables import one
from thalbids.group.analyses.over_time import pbvc
from thalbids.group.statistics.testing import correlations as co


def test_pbvc_of_the_same_two_sessions() -> None:
    visits, volumes = two_visits(30)
    rng = np.random.default_rng(1)
    pairs = [
        {"participant_id": f"sub-{i:03d}", "session_id_baseline": "ses-1", "session_id_followup": "ses-2",
         "pbvc": rng.normal(-0.3, 0.5), "status": "failed" if i == 4 else "ok"}
        for i in rng.permutation(30)
    ]  # fmt: skip
    pairs[0] |= {"session_id_followup": "ses-9"}  # another pair of sessions is none of ours
    cohort = make_cohort(visits, volumes, pbvc=pairs)
    row = one(pbvc.tables(cohort)[0].frame.to_dict("records"), method="first")
    known = {p["participant_id"]: p["pbvc"] for p in pairs[1:] if p["status"] == "ok"}
    volume = {(v["participant_id"], v["session_id"]): v["volume_ml"] for v in volumes if v["method"] == "first"}
    people = sorted(known)
    percent = [100 * (volume[p, "ses-2"] / volume[p, "ses-1"] - 1) for p in people]
    assert row["n"] == len(people)
    assert row["r"] == pytest.approx(np.corrcoef(percent, [known[p] for p in people])[0, 1])


def change(n: int = 80) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    pbvc_values = rng.normal(-0.3, 0.5, n)
    noisy = {"a": 0.3, "b": 0.6, "c": 3.0}
    return {name: pbvc_values + rng.normal(0, sd, n) for name, sd in noisy.items()}, pbvc_values


def test_rows_per_method_and_pair() -> None:
    values, reference = change()
    values["b"][:10] = np.nan
    rows = {row["method"]: row for row in pbvc.correlate(values, reference)}
    assert [rows[name]["n"] for name in "abc"] == [80, 70, 80]
    assert rows["a"]["r"] > rows["b"]["r"] > rows["c"]["r"]
    np.testing.assert_allclose(
        [rows[name]["p_fdr"] for name in "abc"], stats.false_discovery_control([rows[name]["p"] for name in "abc"])
    )
    tests = {(row["method"], row["method2"], row["test"]): row for row in pbvc.compare(values, reference)}
    assert len(tests) == 6
    row = tests["a", "b", "williams"]
    assert row["n"] == 70
    assert row["difference"] == pytest.approx(
        np.corrcoef(values["a"][10:], reference[10:])[0, 1] - np.corrcoef(values["b"][10:], reference[10:])[0, 1]
    )
    expected = co.williams(row["r"], row["r2"], row["r_methods"], 70)
    assert (row["statistic"], row["p"]) == (expected.statistic, expected.p)


def test_reasons() -> None:
    values, reference = change()
    assert "do" in pbvc.correlate({"a": values["a"]}, np.full(80, -0.3))[0]["reason"]
    few = np.where(np.arange(80) < 3, reference, np.nan)
    assert "values: 3," in pbvc.correlate({"a": values["a"]}, few)[0]["reason"]
    same = pbvc.compare({"a": values["a"], "b": 2 * values["a"]}, reference)
    assert all("same" in row["reason"] and np.isnan(row["p"]) for row in same)
    perfect = pbvc.compare({"a": 2 * reference, "b": values["b"]}, reference)
    assert all("perfect" in row["reason"] for row in perfect)
    assert pbvc.compare({}, reference) == [] and pbvc.correlate({}, reference) == []
