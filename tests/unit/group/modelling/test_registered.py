"""Changes by registration as methods of their own: every number by hand or by other packages, other rows untouched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from tests.people import make_cohort, two_visits
from thalbids.bids.results.derivatives import CHANGES
from thalbids.group.analyses.checks import imputed, influence, same_people
from thalbids.group.analyses.clinical import longitudinal, ordinal, plots, sides
from thalbids.group.analyses.description import people
from thalbids.group.analyses.over_time import change, comparability, detectable, mixed, pbvc
from thalbids.group.analyses.trials import baseline_score, detection, progression, retest, samplesize
from thalbids.group.cohort import Cohort
from thalbids.group.intake.reading import frame_of
from thalbids.group.modelling import registered
from thalbids.group.modelling.missing import missing_table
from thalbids.group.modelling.samples import pairs
from thalbids.settings import load

N = 36
NAME = "synthalT1w_registration"
OF_CHANGE = (change, comparability, longitudinal, ordinal, influence, pbvc, sides, mixed, detectable, samplesize,
             progression, baseline_score, plots, same_people)  # fmt: skip


def with_changes(cohort: Cohort, rows: Sequence[Mapping[str, Any]]) -> Cohort:
    full = [
        {"method": "synthalT1w", "measure": "registration", "status": "ok", "reason": "", "comparable": "yes",
         "remark": "", "delta_left_percent": row.get("delta_percent"),
         "delta_right_percent": row.get("delta_percent"), **row}
        for row in rows
    ]  # fmt: skip
    return replace(cohort, changes=frame_of(full, CHANGES, ("measure", "comparable", "flags", "remark")))


def pair_of(person: int, percent: float, **more: Any) -> dict[str, Any]:
    ends = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2"}
    return {"participant_id": f"sub-{person:03d}", **ends, "delta_percent": percent, **more}


def made(n: int = N) -> tuple[Cohort, np.ndarray, list[dict[str, Any]], list[dict[str, Any]]]:
    """A cohort of two visits, its changes by registration in percent, and its rows."""
    visits, volumes = two_visits(n)
    percent = np.random.default_rng(7).normal(-0.9, 0.8, n)
    whole = [
        {**{k: v for k, v in pair_of(i, 0).items() if k != "delta_percent"}, "pbvc": 0.3 * percent[i] + 0.1 * (i % 5),
         "source": "siena"}
        for i in range(n)
    ]  # fmt: skip
    few = load(None, {"group": {"bootstrap": 100}})
    cohort = make_cohort(visits, volumes, pbvc=whole, settings=few)
    return with_changes(cohort, [pair_of(i, percent[i]) for i in range(n)]), percent, visits, volumes


def tables_of(cohort: Cohort) -> dict[str, pd.DataFrame]:
    found = {table.name: table.frame for module in OF_CHANGE for table in module.tables(cohort)}
    return {name: frame for name, frame in found.items() if name != "group_missing"}


def rows_of(frame: pd.DataFrame, **key: str) -> pd.DataFrame:
    return frame[np.logical_and.reduce([frame[name] == value for name, value in key.items()])]


def test_rows_of_volumes_are_what_they_were() -> None:
    """In every table of change: rows of registration come after the others, and change none of their numbers."""
    cohort, _, _, _ = made()
    before, after = tables_of(replace(cohort, changes=None)), tables_of(cohort)
    assert before.keys() == after.keys()
    added = []
    for name, frame in before.items():
        found = after[name]
        methods = found["method"].fillna("").astype(str) if "method" in found else pd.Series("", index=found.index)
        own = found[~methods.str.endswith("_registration").to_numpy()].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, frame.reset_index(drop=True), check_dtype=False, obj=name)
        added += [name] if len(found) > len(own) else []
    told = {"change", "change_summary", "change_tests", "change_comparable", "longitudinal", "annualised", "ordinal",
            "influence_models", "pbvc", "pbvc_tests", "sides", "mixed", "detectable", "samplesize", "responsiveness",
            "progression_models", "baseline_adjusted", "residual_checks", "associations"}  # fmt: skip
    assert {f"group_{name}" for name in told} <= set(added)


def test_the_change_is_that_of_the_table() -> None:
    cohort, percent, _, volumes = made()
    rows = rows_of(change.tables(cohort)[0].frame, method=NAME).sort_values("participant_id")
    base = [v["volume_ml"] for v in volumes if v["method"] == "synthalT1w" and v["session_id"] == "ses-1"]
    np.testing.assert_allclose(rows["delta_percent"], percent, rtol=1e-11)
    np.testing.assert_allclose(rows["delta_ml"], np.array(base) * percent / 100, rtol=1e-11)
    assert set(rows["change_measure"]) == {"registration"}
    summary = rows_of(change.tables(cohort)[1].frame, method=NAME, diagnosis="all", measure="delta_percent")
    assert summary["mean"].item() == pytest.approx(percent.mean())
    assert summary["sd"].item() == pytest.approx(percent.std(ddof=1))


def test_tests_between_measures_are_a_family_of_their_own() -> None:
    cohort, percent, _, volumes = made()
    tests = {table.name: table.frame for table in change.tables(cohort)}["group_change_tests"]
    own = tests[tests["change_measure"] == "registration"]
    assert own[["method", "method2"]].to_numpy().tolist() == [[NAME, "synthalT1w"]]
    of = {(v["participant_id"], v["session_id"]): v["volume_ml"] for v in volumes if v["method"] == "synthalT1w"}
    ids = [f"sub-{i:03d}" for i in range(N)]
    other = [100 * (of[p, "ses-2"] / of[p, "ses-1"] - 1) for p in ids]
    expected = stats.wilcoxon(percent - other, method="asymptotic", correction=False)
    assert own["p"].item() == pytest.approx(expected.pvalue)
    assert own["p_fdr"].item() == own["p"].item()  # one member


def test_clinical_models_by_statsmodels_and_their_family() -> None:
    cohort, percent, visits, volumes = made()
    frame = longitudinal.tables(cohort)[0].frame
    of = {(v["participant_id"], v["session_id"]): v for v in volumes if v["method"] == "synthalT1w"}
    by = {(v["participant_id"], v["session_id"]): v for v in visits}
    ids = [f"sub-{i:03d}" for i in range(N)]
    first, later = ([by[p, f"ses-{n}"] for p in ids] for n in (1, 2))
    icv = np.array([of[p, "ses-1"]["icv_ml"] for p in ids])
    x = np.array([of[p, "ses-1"]["volume_ml"] for p in ids]) * percent / 100
    covariates = [
        [v["age"] for v in first], [1 - v["female"] for v in first], (icv - icv.mean()) / icv.std(ddof=1),
        [v["steroid"] for v in later], [v["years"] for v in later],
    ]  # fmt: skip
    X = sm.add_constant(np.column_stack([x, *covariates]))
    for name, kind in (("sdmt", "nonrobust"), ("edss", "HC3")):
        y = np.array([b[name] - a[name] for a, b in zip(first, later, strict=True)])
        fit = sm.OLS(y, X).fit(cov_type=kind)
        row = rows_of(frame, method=NAME, outcome=f"d_{name}", term="delta_volume_ml", subset="all", sensitivity="none")
        assert row["estimate"].item() == pytest.approx(fit.params[1])
        assert row["p"].item() == pytest.approx(fit.pvalues[1])
    family = rows_of(frame, method=NAME, term="delta_volume_ml", subset="all", sensitivity="none")
    np.testing.assert_allclose(family["p_fdr"], stats.false_discovery_control(family["p"]))


def test_associations_of_both_measures_by_hand() -> None:
    """Partial correlations as correlations of residuals; people who have both, whatever the other methods have."""
    cohort, percent, visits, volumes = made()
    known = cohort.changes
    assert known is not None
    cohort = replace(cohort, changes=known[4:])
    rows = same_people.tables(cohort)[1].frame
    own = rows[rows["change_measure"] == "registration"]
    assert set(zip(own["method"], own["method2"], strict=True)) == {(NAME, "synthalT1w")}
    of = {(v["participant_id"], v["session_id"]): v for v in volumes if v["method"] == "synthalT1w"}
    by = {(v["participant_id"], v["session_id"]): v for v in visits}
    ids = [f"sub-{i:03d}" for i in range(4, N)]
    first, later = ([by[p, f"ses-{n}"] for p in ids] for n in (1, 2))
    before, after = (np.array([of[p, f"ses-{n}"]["volume_ml"] for p in ids]) for n in (1, 2))
    C = np.column_stack(
        [
            [v["age"] for v in first], [v["female"] for v in first], [of[p, "ses-1"]["icv_ml"] for p in ids],
            [v["steroid"] for v in later], [v["years"] for v in later], np.ones(len(ids)),
        ]
    )  # fmt: skip
    y = np.array([b["sdmt"] - a["sdmt"] for a, b in zip(first, later, strict=True)])
    left = [v - C @ np.linalg.lstsq(C, v, rcond=None)[0] for v in (y, before * percent[4:] / 100, after - before)]
    row = rows_of(own, quantity="partial_r", outcome="d_sdmt", subset="all")
    expected = [np.corrcoef(left[0], other)[0, 1] for other in left[1:]]
    assert [row["estimate"].item(), row["estimate2"].item()] == pytest.approx(expected)
    assert row["n"].item() == N - 4
    family = rows_of(own, quantity="partial_r", subset="all")
    np.testing.assert_allclose(family["p_fdr"], stats.false_discovery_control(family["p"]))


def test_pbvc_by_scipy() -> None:
    cohort, percent, _, _ = made()
    table, tests = (made.frame for made in pbvc.tables(cohort)[:2])
    whole = 0.3 * percent + 0.1 * (np.arange(N) % 5)
    expected = stats.pearsonr(percent, whole)
    row = rows_of(table, method=NAME)
    assert (row["r"].item(), row["p_fdr"].item()) == pytest.approx((expected.statistic, expected.pvalue))
    against = rows_of(tests, method=NAME, test="williams")
    assert against["method2"].tolist() == ["synthalT1w"]
    assert against["r"].item() == pytest.approx(expected.statistic)


def test_sample_size_and_response_by_hand() -> None:
    cohort, percent, visits, _ = made()
    years = np.array([v["years"] for v in visits if v["order"] == 1])
    rate = percent / years
    size, response = (made.frame for made in samplesize.tables(cohort))
    row = rows_of(size, method=NAME, population="patients", relative_to="no change")
    row = row[(row["effect"] == 0.5) & (row["power"] == 0.8)]
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert row["n_per_arm"].item() == np.ceil(2 * z**2 * rate.var(ddof=1) / (0.5 * rate.mean()) ** 2)
    srm = rows_of(response, method=NAME, population="patients")["srm"].item()
    assert srm == pytest.approx(rate.mean() / rate.std(ddof=1))
    detected = detection.tables(cohort)[0].frame
    same = rows_of(detected, method="synthalT1w", measure="registration", population="patients")
    assert same["srm"].item() == pytest.approx(srm)


def first_volumes() -> list[dict[str, Any]]:
    return [v for v in made()[3] if v["method"] == "synthalT1w" and v["session_id"] == "ses-1"][:6]


def with_rescans() -> tuple[Cohort, np.ndarray]:
    """Six people scanned again, 10 % larger by their volumes; what registration says instead, in percent."""
    cohort, _, _, _ = made()
    again = np.random.default_rng(3).normal(0, 0.4, 6)
    repeats = [
        {**v, "entities": name, "volume_ml": v["volume_ml"] * factor, "volume_left_ml": 1.0, "volume_right_ml": 1.0}
        for v in first_volumes()
        for name, factor in (("ses-1", 1.0), ("ses-1b", 1.1))  # the volume of the rescan itself does not count
    ]
    rows = [pair_of(i, d, session_id_followup="ses-1b") for i, d in enumerate(again)]
    known = cohort.changes
    assert known is not None
    repeated = replace(cohort, repeats=make_cohort([], [], repeats=repeats).repeats)
    return with_changes(repeated, [*known.to_dict("records"), *rows]), again


def test_the_detectable_change_comes_from_rescans() -> None:
    """1.96 sqrt(2) SEM of pairs; a rescan's change d from its scan has the sum of squares d^2 / 2 around their mean."""
    repeated, again = with_rescans()
    found = rows_of(detectable.tables(repeated)[0].frame, method=NAME, unit="percent", diagnosis="all")
    relative = again / (1 + again / 200)  # percent of the mean of both
    assert found["source"].item() == "repeated scans"
    assert found["smallest_change"].item() == pytest.approx(1.96 * np.sqrt(np.mean(relative**2)))


def test_repeated_scans_by_hand() -> None:
    """Test-retest of rescans by registration: sem = sqrt(mean d^2 / 2), bias = mean d in mL; no ICC."""
    cohort, again = with_rescans()
    found, scans = (item.frame for item in retest.tables(cohort))
    by_hand = np.array([v["volume_ml"] for v in first_volumes()]) * again / 100
    mine = rows_of(found, method=NAME, measure="total").set_index("quantity")
    assert mine.loc["sem", "estimate"] == pytest.approx(np.sqrt(np.mean(by_hand**2) / 2))
    assert mine.loc["bias", "estimate"] == pytest.approx(by_hand.mean())
    assert (
        mine.loc["icc_a1", "estimate"] != mine.loc["icc_a1", "estimate"]
        and "not measured" in mine.loc["icc_a1", "reason"]
    )
    assert set(mine["change_measure"]) == {"registration"} and (mine["n"] == 6).all()
    volumes = rows_of(found, method="synthalT1w", measure="total").set_index("quantity")
    assert volumes.loc["cv_percent", "estimate"] == pytest.approx(100 * 0.1 / 2.1 * np.sqrt(2))
    assert dict(scans.groupby("method").size()) == {"synthalT1w": 12, NAME: 12}


def test_imputation_and_the_other_sample_have_changes_by_registration() -> None:
    """Five pairs were not registered: imputed they count again, and the common sample is of the others."""
    cohort, _, _, _ = made()
    known = cohort.changes
    assert known is not None
    twice = pd.concat([known[5:], known.assign(method="first")])  # two methods, so that samples differ
    group = replace(cohort.settings.group, imputations=2, imputation_cycles=2)
    cohort = replace(cohort, changes=twice, settings=replace(cohort.settings, group=group))
    frame = imputed.tables(cohort)[0].frame
    row = rows_of(
        frame, method=NAME, outcome="d_sdmt", subset="all", term="delta_volume_ml", change_measure="registration"
    )
    assert (row["n_complete"].item(), row["n"].item(), row["n_imputed"].item()) == (N - 5, N, 5)
    before = imputed.tables(replace(cohort, changes=None))[0].frame
    pd.testing.assert_frame_equal(frame[: len(before)], before)
    own = registered.by_registration(cohort)
    assert own is not None
    other, notes = same_people.other_sample(cohort, "common")
    mine = [r for r in other if r["method"] == NAME and r["outcome"] == "d_sdmt" and r["term"] == "delta_volume_ml"]
    alone = longitudinal.fitted(replace(own, changes=None), "first:last")
    complete = next(r for r in alone if (r["method"], r["outcome"], r["term"]) == (NAME, "d_sdmt", "delta_volume_ml"))
    assert mine[0]["n"] == N - 5 and mine[0]["estimate"] == pytest.approx(complete["estimate"])
    assert any(f"{N - 5} of {N} pairs" in note and "by registration" in note for note in notes)


def test_the_detectable_change_of_controls() -> None:
    cohort, percent, _, _ = made()
    healthy = replace(cohort, visits=cohort.visits.assign(diagnosis="HC"))
    found = rows_of(detectable.tables(healthy)[0].frame, method=NAME, unit="percent", diagnosis="all")
    assert found["smallest_change"].item() == pytest.approx(1.96 * percent.std(ddof=1))


def test_every_row_without_a_change_says_why() -> None:
    visits, volumes = two_visits(5)
    for row in volumes:
        if (row["participant_id"], row["session_id"]) == ("sub-004", "ses-1"):
            row |= {"status": "excluded", "reason": "rated bad"}
    flags = {"comparable": "no", "remark": "the scanner differs"}
    cohort = with_changes(
        make_cohort(visits, volumes),
        [pair_of(0, -1.0, **flags), pair_of(1, np.nan, status="failed", reason="no signal"),
         pair_of(2, -1.0, delta_left_percent=np.nan), pair_of(4, -1.0)],
    )  # fmt: skip
    rows = rows_of(change.tables(cohort)[0].frame, method=NAME).set_index("participant_id")
    assert rows["delta_percent"].notna().to_dict() == {f"sub-{i:03d}": i in (0, 2) for i in range(4)}
    assert (rows.loc["sub-000", "comparable"], rows.loc["sub-000", "remark"]) == ("no", "the scanner differs")
    assert rows.loc["sub-001", "reason"] == "follow-up: failed (no signal)"
    assert np.isnan(rows.loc["sub-002", "delta_left_ml"])
    assert rows.loc["sub-003", "reason"] == "follow-up: missing (this pair was not registered)"
    comparable = comparability.tables(cohort)[3].frame
    counts = rows_of(comparable, method=NAME, measure="delta_percent").set_index("pairs")["n"].to_dict()
    assert counts == {"all": 2, "comparable": 1}
    lost = missing_table(longitudinal.ledgers(cohort)).frame
    assert rows_of(lost, method=NAME, outcome="d_sdmt", subset="all", analysis="longitudinal")["n_used"].item() == 2
    pairs_used = rows_of(missing_table(change.ledgers(cohort)).frame, method=NAME, outcome="delta_ml")
    assert (pairs_used["n_total"].item(), pairs_used["n_used"].item()) == (4, 2)  # sub-004 has no pair


def three(changes: Sequence[tuple[str, str, float]], pair: str = "first:last", years: bool = True) -> Cohort:
    """One method, twelve people, three visits, the same changes for all but their size."""
    visits, volumes, rows = [], [], []
    for i in range(12):
        for order in range(3):
            key = {"participant_id": f"sub-{i:03d}", "session_id": f"ses-{order + 1}"}
            about = {"order": order, "years": float(order) if years else np.nan, "age": 40.0 + 3 * i % 7, "sex": "F"}
            visits.append(key | about | {"female": float(i % 2)})
            volumes.append(key | {"method": "synthalT1w", "volume_ml": 10.0 + i, "icv_ml": 1400.0 + (i * 37) % 100})
        rows += [
            pair_of(i, percent * (1 + i / 10), session_id_baseline=f"ses-{one}", session_id_followup=f"ses-{two}")
            for one, two, percent in changes
        ]
    made = with_changes(make_cohort(visits, volumes), rows)
    return replace(made, settings=replace(made.settings, group=replace(made.settings.group, pairs=(pair,))))


SERIES = (("1", "2", -1.0), ("1", "3", -2.0), ("2", "3", -1.5))


def test_pairs_by_labels_have_their_own_change_and_swapped_ones_its_inverse() -> None:
    for pair, percent in (("2:3", -1.5), ("1:2", -1.0), ("first:last", -2.0)):
        rows = rows_of(change.tables(three(SERIES, pair))[0].frame, method=NAME)
        assert rows["delta_percent"].iloc[0] == pytest.approx(percent)
    turned = rows_of(change.tables(three(SERIES, "3:2"))[0].frame, method=NAME)
    assert turned["delta_percent"].iloc[0] == pytest.approx(100 * (1 / 0.985 - 1))


def test_consecutive_visits_have_the_change_of_each_pair() -> None:
    rows = rows_of(change.tables(three(SERIES, "consecutive"))[0].frame, method=NAME, participant_id="sub-000")
    found = rows.set_index("session_id_followup")["delta_percent"].to_dict()
    assert found == pytest.approx({"ses-2": -1.0, "ses-3": -1.5})


def test_a_mixed_model_takes_the_series_since_the_baseline() -> None:
    """Lines without noise: the mean slope is that of the volumes by hand; people with one visit by registration stay
    out.
    """
    cohort = three((("1", "2", -1.0), ("1", "3", -2.0)))
    known = cohort.changes
    assert known is not None
    cohort = replace(cohort, changes=known[known["participant_id"] != "sub-011"])
    rows = rows_of(mixed.tables(cohort)[0].frame, method=NAME, term="years", random="intercept", subset="all")
    slopes = [-(10.0 + i) / 100 * (1 + i / 10) for i in range(11)]
    assert rows["estimate"].item() == pytest.approx(np.mean(slopes), rel=1e-6)
    assert (rows["n_participants"].item(), rows["n"].item()) == (11, 33)


def test_the_common_sample_is_of_one_measure() -> None:
    """Who has every method by registration; the sample of volumes stays as it was."""
    cohort, _, _, _ = made()
    known = cohort.changes
    assert known is not None
    group = replace(cohort.settings.group, sample="common")
    cohort = replace(cohort, changes=known[5:], settings=replace(cohort.settings, group=group))
    own = registered.by_registration(cohort)
    assert own is not None
    assert (len(pairs(cohort).table), len(pairs(own).table)) == (N, N - 5)
    against = pbvc.tables(cohort)[1].frame
    row = rows_of(against, method=NAME, method2="synthalT1w", test="steiger")
    assert row["n"].item() == N - 5


def test_the_settings_leave_it_out() -> None:
    cohort, _, _, _ = made(8)
    group = replace(cohort.settings.group, registration=False)
    without = replace(cohort, settings=replace(cohort.settings, group=group))
    assert registered.measured(without) == [("volume_difference", without)]
    left_out = replace(cohort.settings.group, not_in_models=("synthalT1w",))
    own = registered.by_registration(replace(cohort, settings=replace(cohort.settings, group=left_out)))
    assert own is not None and own.methods == (NAME,) and own.model_methods == ()


def test_people_have_the_change_beside_that_of_volumes() -> None:
    cohort, percent, _, volumes = made(8)
    frame = people.tables(cohort)[0].frame
    later = frame[frame["session_id"] == "ses-2"]
    np.testing.assert_allclose(later[f"{NAME}_change_percent"], percent)
    base = np.array([v["volume_ml"] for v in volumes if v["method"] == "synthalT1w" and v["session_id"] == "ses-1"])
    np.testing.assert_allclose(later[f"{NAME}_change_ml"], base * percent / 100)
    assert later[f"{NAME}_status"].tolist() == ["ok"] * 8
    assert frame.loc[frame["session_id"] == "ses-1", f"{NAME}_change_percent"].isna().all()


def test_nobody_with_every_volume_but_with_changes_by_registration() -> None:
    """Two methods that fail in complementary people: rows with a reason, no end of the analysis."""
    visits, volumes = two_visits(8)
    kept = [row for row in volumes if (row["method"] == "first") == (row["participant_id"] < "sub-004")]
    whole = [{**{k: v for k, v in pair_of(i, 0).items() if k != "delta_percent"}, "pbvc": -0.1 * i, "source": "siena"}
             for i in range(8)]  # fmt: skip
    common = load(None, {"group": {"bootstrap": 100, "sample": "common"}})
    cohort = with_changes(
        make_cohort(visits, kept, pbvc=whole, settings=common), [pair_of(i, -1.0 - i) for i in range(8)]
    )
    tests = rows_of(change.tables(cohort)[2].frame, method=NAME, method2="synthalT1w")
    assert tests["p"].isna().all() and (tests["n"] == 0).all()
    own, against = (table.frame for table in pbvc.tables(cohort)[:2])
    assert rows_of(own, method=NAME)["n"].item() == 4
    assert (rows_of(against, method=NAME)["n"].fillna(0) == 0).all()


def test_what_is_against_a_pair_is_against_it_in_either_order() -> None:
    visits, volumes = two_visits(8)
    rows = [pair_of(i, -1.0, comparable="no", remark="another scanner") for i in range(8)]
    cohort = with_changes(make_cohort(visits, volumes), rows)
    for pair in ("1:2", "2:1"):
        group = replace(cohort.settings.group, pairs=(pair,))
        found = rows_of(
            change.tables(replace(cohort, settings=replace(cohort.settings, group=group)))[0].frame, method=NAME
        )
        assert len(found) == 8
        assert set(found["comparable"]) == {"no"} and set(found["remark"]) == {"another scanner"}


def test_a_study_without_any_usable_volume_has_no_rows_and_no_error() -> None:
    """Changes by registration are there, but every volume was excluded."""
    cohort, _, _, _ = made(4)
    volumes, visits = cohort.volumes.assign(status="excluded"), cohort.visits.assign(has_mri=False)
    nobody = replace(cohort, volumes=volumes, visits=visits)
    assert len(change.change_by_registration(nobody)) == 0
    assert tables_of(nobody)["group_change"].empty
