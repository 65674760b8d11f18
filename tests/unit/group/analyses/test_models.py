"""Samples, cross-sectional and longitudinal models, sides and rates: what is fitted, on whom, and in which family."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from thalbids.group import samples
from thalbids.group.analyses import crosssectional, longitudinal, mixed, ordinal, pbvc, plots, sides
from thalbids.group.cohort import Cohort
from thalbids.settings import Group, Settings

Rows = list[dict[str, Any]]


def rows_of(cohort: Cohort, module: Any, name: str) -> Rows:
    tables = {table.name: table for table in module.tables(cohort)}
    return tables[name].frame.to_dict("records")


def pick(rows: Rows, **key: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[name] == value for name, value in key.items())]
    assert len(found) == 1, (key, len(found))
    return found[0]


def normal_equations(y: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    X = np.column_stack([*columns, np.ones_like(y)])
    return np.linalg.solve(X.T @ X, X.T @ y)


def table_of(visits: Rows, volumes: Rows, method: str, order: int) -> dict[str, np.ndarray]:
    """The columns of one visit by person, by plain loops."""
    at = [v for v in visits if v["order"] == order]
    at.sort(key=lambda v: v["participant_id"])
    volume = {
        (v["participant_id"], v["session_id"]): (v["volume_ml"], v["icv_ml"]) for v in volumes if v["method"] == method
    }
    found = {name: np.array([v[name] for v in at]) for name in at[0] if isinstance(at[0][name], float)}
    both = np.array([volume[v["participant_id"], v["session_id"]] for v in at])
    return found | {"volume": both[:, 0], "icv": both[:, 1], "diagnosis": np.array([v["diagnosis"] for v in at])}


def test_crosssectional_coefficients_by_the_normal_equations() -> None:
    visits, volumes = two_visits(50)
    rows = rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional")
    base = table_of(visits, volumes, "first", 0)
    icv_z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    for outcome in ("edss", "t25fw", "nhpt", "sdmt", "disease_duration"):
        y = np.log(base[outcome]) if outcome in ("t25fw", "nhpt") else base[outcome]
        expected = normal_equations(y, [base["volume"], base["age"], 1 - base["female"], icv_z])
        terms = ("volume_ml", "age", "sex", "icv_z", "intercept")
        found = [pick(rows, outcome=outcome, method="first", subset="all", term=term) for term in terms]
        np.testing.assert_allclose([row["estimate"] for row in found], expected, rtol=1e-8)
        assert {row["cov_type"] for row in found} == {"HC3" if outcome in ("edss", "disease_duration") else "nonrobust"}
        assert {row["transform"] for row in found} == {"log" if outcome in ("t25fw", "nhpt") else "none"}
        assert {row["n"] for row in found} == {50}


@pytest.mark.parametrize(("people", "word"), [(40, "icv_z does not vary"), (1, "1 rows are too few")])
def test_an_intracranial_volume_that_does_not_vary_is_not_called_missing(people: int, word: str) -> None:
    visits, volumes = two_visits(people)
    cohort = make_cohort(visits, [row | {"icv_ml": 1400.0} for row in volumes])
    rows = rows_of(cohort, crosssectional, "group_crosssectional")
    row = pick(rows, outcome="sdmt", method="first", subset="all", term="volume_ml")
    assert word in row["reason"] and math.isnan(row["estimate"])
    lost = [row for row in rows_of(cohort, crosssectional, "group_missing") if row["subset"] == "all"]
    assert {row["lost_no_icv"] for row in lost} == {0}
    assert {(row["n_total"], row["n_used"], row["lost_model_not_fitted"]) for row in lost} == {(people, 0, people)}
    assert all(word in row["reason"] for row in lost)


FAMILIES = [
    (crosssectional, "crosssectional", "estimate"), (longitudinal, "longitudinal", "estimate"),
    (longitudinal, "annualised", "estimate"), (ordinal, "ordinal", "estimate"), (mixed, "mixed", "estimate"),
    (pbvc, "pbvc", "r"),
]  # fmt: skip


@pytest.mark.parametrize("people", [2, 40])
@pytest.mark.parametrize(("module", "name", "estimate"), FAMILIES)
def test_a_model_without_an_estimate_used_nobody(module: Any, name: str, estimate: str, people: int) -> None:
    visits, volumes = two_visits(people)
    ends = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2"}
    given = [{"participant_id": f"sub-{i:03d}", **ends, "pbvc": -(i % 7) / 3} for i in range(people)]
    cohort = make_cohort(visits, volumes, pbvc=given)
    models = rows_of(cohort, module, f"group_{name}")
    ledgers = [row for row in rows_of(cohort, module, "group_missing") if row["analysis"] == name]
    assert ledgers
    keys = [key for key in ("outcome", "method", "subset", "sessions") if key in models[0]]
    for lost in ledgers:
        own = [row for row in models if all(row[key] == lost[key] for key in keys)]
        own = [row for row in own if row.get("sensitivity", "none") == "none"]
        there = any(math.isfinite(row[estimate]) for row in own)
        assert own and (lost["n_used"] > 0) == there == (not lost["reason"]), lost
        assert lost["n_total"] == lost["n_used"] + sum(v for k, v in lost.items() if k.startswith("lost_") and v == v)
    assert {lost["n_used"] > 0 for lost in ledgers if lost["subset"] != "RRMS"} == {people == 40 and name != "mixed"}


@pytest.mark.parametrize("people", [2, 40])
def test_sides_without_an_estimate_used_nobody(people: int) -> None:
    cohort = make_cohort(*two_visits(people))
    lost = rows_of(cohort, sides, "group_missing")
    assert {row["analysis"] for row in lost} > {"crosssectional_left", "longitudinal_asymmetry"}
    assert {row["n_used"] > 0 for row in lost if not row["analysis"].endswith("asymmetry")} == {people == 40}


def test_what_the_residual_figures_say_stands_in_a_table() -> None:
    visits, volumes = two_visits(40)
    cohort = make_cohort(visits, volumes)
    residuals, checks = (rows_of(cohort, plots, f"group_{name}") for name in ("residuals", "residual_checks"))
    assert len(checks) == 5 + 2 + 4  # cross-sectional, t25fw and nhpt without logarithm, longitudinal
    for check in checks:
        keys = {name: check[name] for name in ("analysis", "outcome", "method", "transform", "sessions")}
        own = [row for row in residuals if all(row[name] == value for name, value in keys.items())]
        e, f = (np.array([row[name] for row in own]) for name in ("residual", "fitted"))
        # medians of uniform order statistics by Filliben (1975)
        m = (np.arange(1, e.size + 1) - 0.3175) / (e.size + 0.365)
        m[0], m[-1] = 1 - 0.5 ** (1 / e.size), 0.5 ** (1 / e.size)
        assert check["n"] == e.size
        assert check["qq_r"] == pytest.approx(np.corrcoef(np.sort(e), stats.norm.ppf(m))[0, 1])
        ranks = np.corrcoef(stats.rankdata(np.abs(e)), stats.rankdata(f))
        assert check["spread_rho"] == pytest.approx(ranks[0, 1])


def test_subset_is_a_family_of_its_own_and_the_volume_alone_is_corrected() -> None:
    visits, volumes = two_visits(60)
    rows = rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional")
    for subset, n in (("all", 60), ("RRMS", 40)):
        own = [row for row in rows if row["subset"] == subset and row["term"] == "volume_ml"]
        assert len(own) == 2 * 5 and {row["n"] for row in own} == {n}
        adjusted = stats.false_discovery_control([row["p"] for row in own])
        np.testing.assert_allclose([row["p_fdr"] for row in own], adjusted)
        edss = [row for row in own if row["outcome"] == "edss"]
        np.testing.assert_allclose(
            [row["p_fdr_outcome"] for row in edss], stats.false_discovery_control([row["p"] for row in edss])
        )
    assert all(math.isnan(row["p_fdr"]) for row in rows if row["term"] != "volume_ml")


def test_icv_is_standardised_over_everybody_also_in_a_subset() -> None:
    visits, volumes = two_visits(30)
    sample = samples.baseline(make_cohort(visits, volumes))
    z = sample.table["icv_z"].to_numpy()
    assert (z.mean(), z.std(ddof=1)) == pytest.approx((0, 1))
    np.testing.assert_array_equal(sample.within("RRMS").table["icv_z"], z[(sample.table["diagnosis"] == "RRMS")])


def test_the_method_left_out_leaves_the_family() -> None:
    visits, volumes = two_visits(40, methods=("freesurfer", "first", "synthalT1w"))
    rows = rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional")
    assert {row["method"] for row in rows} == {"first", "synthalT1w"}
    every = make_cohort(visits, volumes, settings=Settings(group=Group(not_in_models=())))
    more = rows_of(every, crosssectional, "group_crosssectional")
    assert {row["method"] for row in more} == {"freesurfer", "first", "synthalT1w"}
    key = {"outcome": "edss", "method": "first", "subset": "all", "term": "volume_ml"}
    assert pick(rows, **key)["p"] == pick(more, **key)["p"]
    table = crosssectional.tables(make_cohort(visits, volumes))[0]
    assert table.settings["methods_left_out"] == ["freesurfer"]


def test_rows_are_joined_by_keys() -> None:
    visits, volumes = two_visits(40)
    rng = np.random.default_rng(5)
    mixed = [visits[i] for i in rng.permutation(len(visits))], [volumes[i] for i in rng.permutation(len(volumes))]
    for module, name in ((crosssectional, "group_crosssectional"), (longitudinal, "group_longitudinal")):
        a, b = (
            {
                tuple(str(row[k]) for k in ("outcome", "method", "subset", "sensitivity", "term")): row
                for row in rows_of(c, module, name)
            }
            for c in (make_cohort(visits, volumes), make_cohort(*mixed))
        )
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_allclose(a[key]["estimate"], b[key]["estimate"], rtol=1e-7)


def test_longitudinal_coefficients_by_the_normal_equations() -> None:
    visits, volumes = two_visits(60)
    rows = rows_of(make_cohort(visits, volumes), longitudinal, "group_longitudinal")
    base, follow = (table_of(visits, volumes, "synthalT1w", order) for order in (0, 1))
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    change = follow["volume"] - base["volume"]
    other = [base["age"], 1 - base["female"], z, follow["steroid"], follow["years"]]
    terms = ("delta_volume_ml", "age", "sex", "icv_z", "steroid", "interval_years", "intercept")
    for outcome in ("edss", "t25fw", "nhpt", "sdmt"):
        y = follow[outcome] - base[outcome]  # raw seconds, no logarithm
        for sensitivity, (low, high) in {
            "none": (0, 1),
            "winsor_1_99": (0.01, 0.99),
            "winsor_5_95": (0.05, 0.95),
        }.items():
            x = np.clip(change, np.quantile(change, low), np.quantile(change, high))
            key = {"outcome": f"d_{outcome}", "method": "synthalT1w", "subset": "all", "sensitivity": sensitivity}
            found = [pick(rows, term=term, **key) for term in terms]
            np.testing.assert_allclose([row["estimate"] for row in found], normal_equations(y, [x, *other]), rtol=1e-7)
            assert {row["cov_type"] for row in found} == {"HC3" if outcome in ("edss", "nhpt") else "nonrobust"}


def test_winsorising_clips_before_deletion_and_does_not_count() -> None:
    from scipy.stats import mstats

    values = np.array([np.nan, *np.arange(10.0)])
    found = longitudinal.winsorise(values, 0.05, 0.95)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [0.45, 1, 2, 3, 4, 5, 6, 7, 8, 8.55])
    assert not np.allclose(found[1:], mstats.winsorize(values[1:], (0.05, 0.05)))  # that replaces 0 of 10 values
    assert np.isnan(longitudinal.winsorise(np.full(3, np.nan), 0.05, 0.95)).all()


def test_quantiles_of_the_clipping_include_rows_that_are_deleted_later() -> None:
    visits, volumes = two_visits(60)
    lost = {"sub-001", "sub-002"}
    for visit in visits:
        if visit["participant_id"] in lost and visit["order"] == 1:
            visit["edss"] = math.nan
    rows = rows_of(make_cohort(visits, volumes), longitudinal, "group_longitudinal")
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    change = follow["volume"] - base["volume"]
    x = np.clip(change, *np.quantile(change, [0.05, 0.95]))
    y = follow["edss"] - base["edss"]
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    kept = np.isfinite(y)
    columns = [x, base["age"], 1 - base["female"], z, follow["steroid"], follow["years"]]
    expected = normal_equations(y[kept], [c[kept] for c in columns])[0]
    found = pick(
        rows, outcome="d_edss", method="first", subset="all", sensitivity="winsor_5_95", term="delta_volume_ml"
    )
    assert found["estimate"] == pytest.approx(expected, rel=1e-7)
    assert found["n"] == 58


def test_ledger_adds_up_and_says_which_column_cost_the_row() -> None:
    visits, volumes = two_visits(30)
    first = {visit["participant_id"]: visit for visit in visits if visit["order"] == 0}
    first["sub-000"]["edss"] = math.nan
    first["sub-000"]["age"] = math.nan
    first["sub-001"]["age"] = math.nan
    gone = [v for v in volumes if (v["participant_id"], v["session_id"], v["method"]) == ("sub-002", "ses-1", "first")]
    gone[0]["status"] = "failed"
    lost = crosssectional.ledgers(make_cohort(visits, volumes))
    row = pick(lost, outcome="edss", method="first", subset="all")
    assert (row["n_total"], row["n_used"]) == (30, 27)
    assert (row["lost_no_outcome"], row["lost_no_volume"], row["lost_no_age"]) == (1, 1, 1)
    assert pick(lost, outcome="sdmt", method="first", subset="all")["lost_no_age"] == 2
    fitted = rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional")
    for entry in lost:
        key = {name: entry[name] for name in ("outcome", "method", "subset")}
        assert pick(fitted, term="age", **key)["n"] == entry["n_used"]
        assert entry["n_total"] == entry["n_used"] + sum(v for k, v in entry.items() if k.startswith("lost_"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"female": 1.0}, "sex does not vary"),
        ({"edss": math.nan}, "edss is missing for everybody"),
        ({"age": 40.0}, "age does not vary"),
    ],
)
def test_a_column_that_is_useless_gives_reasons(change: dict[str, float], word: str) -> None:
    visits, volumes = two_visits(25)
    rows = rows_of(make_cohort([v | change for v in visits], volumes), crosssectional, "group_crosssectional")
    edss = [row for row in rows if row["outcome"] == "edss" and row["subset"] == "all"]
    assert len(edss) == 2 * 5
    assert all(word in row["reason"] and math.isnan(row["p"]) and math.isnan(row["p_fdr"]) for row in edss)


def test_a_model_without_numbers_does_not_spoil_the_correction_of_the_others() -> None:
    visits, volumes = two_visits(25)
    rows = rows_of(
        make_cohort([v | {"edss": math.nan} for v in visits], volumes), crosssectional, "group_crosssectional"
    )
    own = [row for row in rows if row["subset"] == "all" and row["term"] == "volume_ml" and not row["reason"]]
    assert len(own) == 8
    np.testing.assert_allclose([r["p_fdr"] for r in own], stats.false_discovery_control([r["p"] for r in own]))


def test_nobody_and_one_person() -> None:
    visits, volumes = two_visits(1)
    for cohort in (make_cohort(visits, volumes), make_cohort(visits, [])):
        for module in (crosssectional, longitudinal, sides):
            for table in module.tables(cohort):
                if "reason" in table.frame and len(table.frame):
                    assert table.frame["reason"].ne("").all()


def test_sides() -> None:
    visits, volumes = two_visits(50)
    for i, row in enumerate(volumes):
        left = row["volume_ml"] * (0.5 + 0.01 * math.sin(i))
        row |= {"volume_left_ml": left, "volume_right_ml": row["volume_ml"] - left}
    cohort = make_cohort(visits, volumes)
    rows = rows_of(cohort, sides, "group_sides")
    base = table_of(visits, [v | {"volume_ml": v["volume_left_ml"]} for v in volumes], "first", 0)
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    expected = normal_equations(base["sdmt"], [base["volume"], base["age"], 1 - base["female"], z])[0]
    found = pick(rows, analysis="crosssectional", measure="left", outcome="sdmt", method="first", term="volume_ml")
    assert found["estimate"] == pytest.approx(expected)
    assert {row["term"] for row in rows if row["measure"] == "asymmetry"} >= {"asymmetry", "delta_asymmetry"}
    assert {row["sign"] for row in rows if row["measure"] == "asymmetry"} == {""}


def test_change_that_is_rounding_noise_is_no_change() -> None:
    visits, volumes = two_visits(50)
    for row in volumes:
        row |= {"volume_left_ml": 0.505 * row["volume_ml"], "volume_right_ml": 0.495 * row["volume_ml"]}
    rows = rows_of(make_cohort(visits, volumes), sides, "group_sides")
    found = [row for row in rows if row["measure"] == "asymmetry"]
    assert found and all("does not vary" in row["reason"] and math.isnan(row["p"]) for row in found)


def test_rates_divide_both_changes_and_need_an_interval() -> None:
    visits, volumes = two_visits(40)
    for visit in visits:
        if visit["participant_id"] == "sub-003" and visit["order"]:
            visit["years"] = math.nan
    rows = rows_of(make_cohort(visits, volumes), longitudinal, "group_annualised")
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    years = follow["years"]
    kept = np.isfinite(years)
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    columns = [(follow["volume"] - base["volume"]) / years, base["age"], 1 - base["female"], z, follow["steroid"]]
    expected = normal_equations(((follow["sdmt"] - base["sdmt"]) / years)[kept], [c[kept] for c in columns])[0]
    found = pick(rows, outcome="d_sdmt", method="first", subset="all", term="delta_volume_ml_per_year")
    assert found["estimate"] == pytest.approx(expected) and found["n"] == 39
    assert "interval_years" not in {row["term"] for row in rows}


def test_warning_reaches_the_table_and_the_terminal() -> None:
    visits, volumes = two_visits(60)
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    change = dict(zip(sorted({v["participant_id"] for v in visits}), follow["volume"] - base["volume"], strict=True))
    start = {v["participant_id"]: v["edss"] for v in visits if v["order"] == 0}
    for visit in visits:
        if visit["order"]:
            visit["edss"] = start[visit["participant_id"]] + round(4 * change[visit["participant_id"]]) / 2
    table = longitudinal.tables(make_cohort(visits, volumes))[0]
    row = pick(table.frame.to_dict("records"), outcome="d_edss", method="first", subset="all", sensitivity="none",
               term="delta_volume_ml")  # fmt: skip
    assert row["sign"] == "opposite" and "counter-intuitive" in row["warning"]
    assert any(note.startswith("warning: counter-intuitive sign") for note in table.notes)
