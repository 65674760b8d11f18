"""ComBat: against the algorithm written out, what it must keep and take away, and what is refused."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.people import make_cohort
from thalbids.errors import MissingToolError, UsageError
from thalbids.group.cohort import Cohort
from thalbids.group.intake import harmonise
from thalbids.settings import Group, Settings

COMBAT = Settings(group=Group(harmonise="combat"))
METHODS = ("first", "synthalT1w", "dbsegment")


def people(n: int = 90, visits: int = 1, sites: int = 3, methods: tuple[str, ...] = METHODS, seed: int = 0,
           **change: Any) -> Cohort:  # fmt: skip
    rng = np.random.default_rng(seed)
    shift = {f"site{k}": [0.0, 1.2, -0.8][k] for k in range(3)}
    seen, volumes = [], []
    for i in range(n):
        site = f"site{i % sites}"
        age, female, icv = rng.uniform(25, 65), float(rng.uniform() < 0.5), rng.normal(1400, 100)
        base = 12 - 0.05 * (age - 44) + 0.004 * (icv - 1400) + rng.normal(0, 0.7)
        for order in range(visits):
            key = {"participant_id": f"sub-{i:03d}", "session_id": f"ses-{order + 1}"}
            seen.append(key | {"order": order, "years": float(order), "age": age, "female": female, "site": site,
                               "diagnosis": "HC" if rng.uniform() < 0.3 else "RRMS"} | change)  # fmt: skip
            for method in methods:
                volume = base - 0.1 * order + shift[site] + rng.normal(0, 0.2)
                left = 0.5 * volume + rng.normal(0, 0.05)
                volumes.append(key | {"method": method, "volume_ml": volume, "icv_ml": icv, "volume_left_ml": left,
                                      "volume_right_ml": volume - left})  # fmt: skip
    return make_cohort(seen, volumes, settings=COMBAT)


def combat_by_hand(Y: np.ndarray, site: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    """Johnson, Li and Rabinovic (2007) with covariates kept (Fortin et al. 2018), iterated to the end."""
    names = np.unique(site)
    B = (site[:, None] == names).astype(float)
    X = np.hstack([B, covariates])
    beta = np.linalg.solve(X.T @ X, X.T @ Y)
    mean = B.mean(axis=0) @ beta[: len(names)]
    sigma = np.sqrt(((Y - X @ beta) ** 2).mean(axis=0))
    kept = mean + covariates @ beta[len(names) :]
    Z = (Y - kept) / sigma
    out = np.empty_like(Y)
    for name in names:
        own = Z[site == name]
        n = len(own)
        g, d = own.mean(axis=0), own.var(axis=0, ddof=1)
        g_bar, t2 = g.mean(), g.var(ddof=1)
        a = 2 + d.mean() ** 2 / d.var(ddof=1)
        b = d.mean() * (a - 1)
        gamma, delta = g.copy(), d.copy()
        for _ in range(500):
            gamma = (n * t2 * g + delta * g_bar) / (n * t2 + delta)
            delta = (b + ((own - gamma) ** 2).sum(axis=0) / 2) / (n / 2 + a - 1)
        out[site == name] = sigma * (own - gamma) / np.sqrt(delta) + kept[site == name]
    return out


def test_against_the_algorithm_written_out() -> None:
    data = harmonise.collect(people())
    sessions = data.sessions
    covariates = np.column_stack(
        [sessions["age"], sessions["icv_ml"], sessions["female"], (sessions["diagnosis"] == "RRMS").astype(float)]
    )
    centred = covariates - covariates.mean(axis=0)
    expected = combat_by_hand(data.features.to_numpy(), sessions["site"].to_numpy(str), centred)
    found = harmonise.learn(data).applied(data.features, sessions).to_numpy()
    assert np.abs(found - data.features.to_numpy()).mean() > 0.2  # something happened
    np.testing.assert_allclose(found, expected, atol=2e-3)  # the package stops its iteration earlier


def site_means(volumes: Any, visits: Any) -> np.ndarray:
    merged = volumes[volumes["method"] == "first"].merge(visits, on=["participant_id", "session_id"])
    X = np.column_stack([np.ones(len(merged)), merged["age"] - 44, merged["icv_ml_x"] - 1400])
    X = np.hstack([X, (merged["site"].to_numpy(str)[:, None] == ["site1", "site2"]).astype(float)])
    return np.linalg.lstsq(X, merged["volume_ml"].to_numpy(), rcond=None)[0]


@pytest.mark.parametrize("visits", [1, 3])
def test_sites_go_and_the_rest_stays(visits: int) -> None:
    cohort = people(visits=visits)
    before = site_means(cohort.volumes, cohort.visits)
    made, _ = harmonise.prepared(cohort)
    after = site_means(made.volumes, made.visits)
    assert np.abs(before[3:]).min() > 0.5 and np.abs(after[3:]).max() < 0.15
    assert after[1] == pytest.approx(before[1], abs=0.01)  # age
    assert after[2] == pytest.approx(before[2], abs=0.001)  # intracranial volume
    good = made.usable
    np.testing.assert_allclose(good["volume_left_ml"] + good["volume_right_ml"], good["volume_ml"])
    if visits > 1:
        wide = good[good["method"] == "first"].pivot(index="participant_id", columns="session_id", values="volume_ml")
        assert (wide["ses-3"] - wide["ses-1"]).mean() == pytest.approx(-0.2, abs=0.08)


def test_repeated_scans_are_harmonised_like_their_session() -> None:
    cohort = people()
    rows = [
        {**row, "entities": f"run-{run}", **{name: row[name] + 0.1 * (run - 1) for name in harmonise._NAMES}}
        for row in cohort.volumes.to_dict("records")
        for run in (1, 2)
    ]
    columns = [*cohort.volumes.columns.drop(["icv_ml", "icv_source"]), "entities"]
    lacking = rows[0] | {"participant_id": "sub-none", "entities": "run-1"}
    repeats = pd.DataFrame([*rows, lacking])[columns]
    made, _ = harmonise.prepared(replace(cohort, repeats=repeats))
    keys = ["participant_id", "session_id", "method"]
    both = made.repeats.merge(made.volumes, on=keys, suffixes=("", "_of_session"))
    first, second = both[both["entities"] == "run-1"], both[both["entities"] == "run-2"]
    assert len(first) == len(second) == 270
    for name in harmonise._NAMES:  # the first scan is the one that the volumes have
        np.testing.assert_allclose(first[name], first[f"{name}_of_session"], rtol=1e-12)
    learned = harmonise.learn(harmonise.collect(cohort))
    scale = 1 / np.sqrt(np.asarray(learned.delta, dtype=float))  # of a site and feature
    steps = second["volume_left_ml"].to_numpy() - first["volume_left_ml"].to_numpy()
    site = learned.sites.get_indexer(["site0"])[0]
    own = (first["participant_id"] == "sub-000").to_numpy() & (first["method"] == METHODS[0]).to_numpy()
    assert steps[own] == pytest.approx(0.1 * scale[site, 0], rel=1e-6)
    (left_out,) = made.repeats[made.repeats["status"] == "excluded"].to_dict("records")
    assert left_out["participant_id"] == "sub-none" and left_out["reason"].startswith("not harmonised")


def test_nothing_happens_unless_asked() -> None:
    cohort = people()
    plain = make_cohort([], [])
    assert harmonise.prepared(plain) == (plain, [])
    before = cohort.volumes.copy()
    harmonise.prepared(cohort)
    assert cohort.volumes.equals(before)  # nobody changes the frames of a cohort


def test_sessions_that_lack_something_are_excluded_with_the_reason() -> None:
    cohort = people()
    cohort.visits.loc[4, "site"] = ""
    cohort.visits.loc[5, "age"] = np.nan
    made, (table,) = harmonise.prepared(cohort)
    out = made.volumes[made.volumes["status"] == "excluded"]
    assert set(out["participant_id"]) == {"sub-004", "sub-005"} and out["reason"].str.contains("not harmonised").all()
    assert table.frame["volume_harmonised_ml"].isna().sum() == 2 * len(METHODS)


def test_a_method_that_few_have_is_left_out_and_does_not_cost_the_others() -> None:
    cohort = people()
    rows = cohort.volumes.index[cohort.volumes["method"] == "dbsegment"][20:]
    cohort.volumes.loc[rows, "status"] = "failed"
    made, (table,) = harmonise.prepared(cohort)
    assert table.settings["methods_left_out"] == ["dbsegment"]
    assert set(made.usable["method"]) == {"first", "synthalT1w"} and len(made.usable) == 180


@pytest.mark.parametrize(
    ("cohort", "word"),
    [
        (people(sites=1), "one site"),
        (people(site=""), "no session has a site"),
        (people(n=4), "at least 3"),
    ],
)
def test_refused(cohort: Cohort, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        harmonise.prepared(cohort)


def test_a_single_feature_is_refused() -> None:
    cohort = people(methods=("first",))
    harmonise.prepared(cohort)  # left and right are two
    whole = replace(cohort, volumes=cohort.volumes.assign(volume_left_ml=np.nan, volume_right_ml=np.nan))
    with pytest.raises(UsageError, match="1 volume"):
        harmonise.prepared(whole)


def test_sites_that_are_the_diagnosis_are_refused() -> None:
    cohort = people(sites=2)
    cohort.visits["diagnosis"] = np.where(cohort.visits["site"] == "site0", "HC", "RRMS")
    with pytest.raises(UsageError, match="cannot be told"):
        harmonise.prepared(cohort)


def test_the_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match="neuroCombat") as caught:
        harmonise.prepared(people())
    assert caught.value.exit_code == 69 and "thalbids[harmonise]" in caught.value.mend
