"""Which covariates a model has, and how categories become columns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import normal_equations, pick, rows_of, table_of
from thalbids.group.analyses.clinical import crosssectional, longitudinal, ordinal, sides
from thalbids.group.modelling import models
from thalbids.group.modelling.design import design, dummies
from thalbids.settings import Group, Settings

RNG = np.random.default_rng(3)
N = 40
START = {"y": RNG.normal(size=N), "x": RNG.normal(size=N)}


def words(*parts: tuple[str, int]) -> np.ndarray:
    return np.array([word for word, n in parts for _ in range(n)], dtype=object)


def test_absent_and_constant_covariates_are_left_out_with_the_reason() -> None:
    covariates = {"age": RNG.normal(size=N), "sex": np.ones(N), "steroid": np.full(N, np.nan)}
    made = design("y", START, covariates)
    assert made.predictors == ("x", "age")
    assert made.left_out == {"sex": "does not vary", "steroid": "missing for everybody"}
    assert made.formula == "y ~ x + age"
    assert made.told()["left_out"] == "sex (does not vary); steroid (missing for everybody)"
    strict = design("y", START, covariates, strict=True)
    assert strict.predictors == ("x", "age", "sex", "steroid") and not strict.left_out


def test_rows_that_lacked_a_constant_covariate_come_back_and_the_others_are_looked_at_again() -> None:
    steroid = np.where(np.arange(N) < 10, 0.0, np.nan)  # known for ten people, all untreated
    sex = np.where(np.arange(N) < 10, 1.0, np.arange(N) % 2)  # these ten are all male
    made = design("y", START, {"steroid": steroid, "sex": sex})
    # among the ten with a known treatment neither varies; without the treatment everybody is back, and sex varies
    assert made.left_out == {"steroid": "does not vary"} and made.predictors == ("x", "sex")
    made = design("y", START, {"steroid": steroid, "age": START["x"] ** 2})
    assert made.predictors == ("x", "age") and not made.lost["age"].any()


def test_levels_become_columns_against_the_most_frequent() -> None:
    site = words(("A", 10), ("B", 16), ("C", 12), ("", 2))
    made = design("y", START, {"site": site}, smallest=5)
    assert made.predictors == ("x", "site[C]", "site[A]")
    assert made.told()["levels"] == "site: B (reference), C, A"
    np.testing.assert_array_equal(made.columns["site[A]"][:38], (site == "A")[:38])
    assert np.isnan(made.columns["site[A]"][38:]).all() and made.lost["site"].sum() == 2


def test_small_levels_are_put_together() -> None:
    rows = np.ones(N, dtype=bool)
    made, told = dummies("site", words(("A", 30), ("B", 4), ("C", 3), ("D", 3)), rows, 5)
    assert list(made) == ["site[other]"] and told == "A (reference), other (B, C, D)"
    assert made["site[other]"].sum() == 10
    made, told = dummies("site", words(("A", 20), ("B", 17), ("C", 3)), rows, 5)
    assert list(made) == ["site[B]"] and told == "A and C (reference), B"
    assert dummies("site", words(("A", 37), ("C", 3)), rows, 1)[0]["site[C]"].sum() == 3
    lone = design("y", START, {"site": words(("A", 37), ("C", 3))}, smallest=5)
    assert lone.predictors == ("x",) and lone.left_out == {"site": "only one level has 5 people"}


def test_an_added_site_that_is_another_covariate_is_left_out() -> None:
    site = words(("A", 20), ("B", 20))
    covariates = {"treated": (site == "A").astype(float), "site": site}
    made = design("y", START, covariates, dispensable=("site",))
    assert made.predictors == ("x", "treated")
    assert made.left_out == {"site": "cannot be told from the other covariates"}
    assert design("y", START, covariates).predictors == ("x", "treated", "site[B]")  # asked for: the fit says why not


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        ({"steroid": math.nan}, "steroid (missing for everybody)"),
        ({"steroid": 0.0}, "steroid (does not vary)"),
        ({"female": 1.0}, "sex (does not vary)"),
        ({"years": math.nan}, "interval_years (missing for everybody)"),
    ],
)
def test_every_model_is_fitted_without_a_useless_covariate(change: dict[str, float], left_out: str) -> None:
    visits, volumes = two_visits(60)
    cohort = make_cohort([visit | change for visit in visits], volumes)
    base, follow = (table_of(visits, volumes, "first", order) for order in (0, 1))
    name = left_out.split(" ")[0]
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    columns = {
        "age": base["age"], "sex": 1 - base["female"], "icv_z": z, "steroid": follow["steroid"],
        "interval_years": follow["years"],
    }  # fmt: skip
    kept = {key: values for key, values in columns.items() if key != name}
    rows = rows_of(cohort, longitudinal, "group_longitudinal")
    assert all(math.isfinite(row["estimate"]) for row in rows)
    assert {row["left_out"] for row in rows} == {left_out}
    row = pick(rows, outcome="d_sdmt", method="first", subset="all", sensitivity="none", term="delta_volume_ml")
    assert row["formula"] == "d_sdmt ~ delta_volume_ml + " + " + ".join(kept)
    expected = normal_equations(follow["sdmt"] - base["sdmt"], [follow["volume"] - base["volume"], *kept.values()])
    assert row["estimate"] == pytest.approx(expected[0], rel=1e-7) and row["n"] == 60
    for module, table in ((ordinal, "group_ordinal"), (sides, "group_sides")):
        found = [r for r in rows_of(cohort, module, table) if r.get("measure") != "asymmetry"]
        found = [r for r in found if r.get("analysis", "longitudinal") == "longitudinal"]
        assert {r["left_out"] for r in found} == {left_out}
        assert any(math.isfinite(r["estimate"]) for r in found)
    notes = longitudinal.tables(cohort)[0].notes
    assert notes[0].startswith(f"warning: longitudinal: {name} is left out of 16 of 16 models")
    strict = make_cohort(cohort.visits.to_dict("records"), volumes, settings=Settings(group=Group(strict=True)))
    assert all(math.isnan(row["estimate"]) for row in rows_of(strict, longitudinal, "group_longitudinal"))


def test_a_covariate_that_most_people_lack_is_named() -> None:
    visits, volumes = two_visits(60)
    known = {f"sub-{i:03d}" for i in range(20)}
    visits = [v if v["participant_id"] in known else v | {"steroid": math.nan} for v in visits]
    (note,) = [n for n in longitudinal.tables(make_cohort(visits, volumes))[0].notes if "missing for more" in n]
    assert note.startswith("warning: longitudinal: steroid is missing for more people than have it in ")


def test_settings_choose_outcomes_covariates_logarithm_and_errors() -> None:
    visits, volumes = two_visits(50)
    group = Group(
        outcomes=("sdmt", "edss"), covariates=("age",), extra_covariates=("diagnosis",), log=("sdmt",), hc3=("sdmt",),
        hc3_reference="t",
    )  # fmt: skip
    cohort = make_cohort(visits, volumes, settings=Settings(group=group))
    rows = rows_of(cohort, crosssectional, "group_crosssectional")
    assert {row["outcome"] for row in rows} == {"sdmt", "edss"}
    own = [row for row in rows if row["outcome"] == "sdmt" and row["method"] == "first" and row["subset"] == "all"]
    assert [row["term"] for row in own] == ["volume_ml", "age", "diagnosis[PMS]", "intercept"]
    assert {(row["transform"], row["cov_type"], row["reference"]) for row in own} == {("log", "HC3", "t")}
    base = table_of(visits, volumes, "first", 0)
    X = np.column_stack([base["volume"], base["age"], base["diagnosis"] == "PMS", np.ones(50)])
    y = np.log(base["sdmt"])
    inverse = np.linalg.inv(X.T @ X)
    b = inverse @ X.T @ y
    h = np.einsum("ij,jk,ik->i", X, inverse, X)
    sandwich = inverse @ (X.T * ((y - X @ b) / (1 - h)) ** 2) @ X @ inverse
    from scipy import stats

    np.testing.assert_allclose([row["estimate"] for row in own], b, rtol=1e-7)
    np.testing.assert_allclose([row["se"] for row in own], np.sqrt(np.diag(sandwich)), rtol=1e-7)
    t = b / np.sqrt(np.diag(sandwich))
    np.testing.assert_allclose([row["p"] for row in own], 2 * stats.t.sf(abs(t), 46), rtol=1e-6)
    assert {row["cov_type"] for row in rows if row["outcome"] == "edss"} == {"nonrobust"}


def test_an_ordinal_outcome_of_two_levels_is_logistic_regression() -> None:
    from statsmodels.api import Logit

    visits, volumes = two_visits(80)
    for number, visit in enumerate(visits):
        visit["edss"] = 3.0 if (visit["age"] + 7 * math.sin(number)) > 44 else 1.0
    cohort = make_cohort(visits, volumes, settings=Settings(group=Group(ordinal=("edss",))))
    rows = rows_of(cohort, crosssectional, "group_crosssectional")
    terms = ("volume_ml", "age", "sex", "icv_z")
    found = [pick(rows, outcome="edss", method="first", subset="all", term=term) for term in terms]
    base = table_of(visits, volumes, "first", 0)
    z = (base["icv"] - base["icv"].mean()) / base["icv"].std(ddof=1)
    X = np.column_stack([base["volume"], base["age"], 1 - base["female"], z, np.ones(80)])
    expected = Logit((base["edss"] > 2).astype(float), X).fit(disp=False)
    np.testing.assert_allclose([row["estimate"] for row in found], expected.params[:4], rtol=1e-5)
    np.testing.assert_allclose([row["se"] for row in found], expected.bse[:4], rtol=1e-4)
    assert {row["transform"] for row in found} == {"ordinal"}


def test_the_site_is_a_covariate_where_two_have_enough_people() -> None:
    visits, volumes = two_visits(60)
    two = [visit | {"site": "A" if int(visit["participant_id"][4:]) < 25 else "B"} for visit in visits]
    rows = rows_of(make_cohort(two, volumes), crosssectional, "group_crosssectional")
    assert {row["formula"].split(" ~ ")[1] for row in rows} == {"volume_ml + age + sex + icv_z + site"}
    few = [visit | {"site": "A" if int(visit["participant_id"][4:]) < 4 else "B"} for visit in visits]
    assert "site" not in str(rows_of(make_cohort(few, volumes), crosssectional, "group_crosssectional")[0]["formula"])
    without = make_cohort(two, volumes, settings=Settings(group=Group(site="none")))
    assert "site" not in str(rows_of(without, crosssectional, "group_crosssectional")[0]["formula"])


def test_a_scanner_offset_does_not_change_the_slope() -> None:
    """Volumes of one of two scanners are a quarter larger: the slope within sites is the true one."""
    rng = np.random.default_rng(8)
    n = 400
    volume = rng.normal(10, 1, n)
    scanner = np.arange(n) % 2
    visits = [
        {"participant_id": f"sub-{i:03d}", "session_id": "ses-1", "age": float(rng.normal(40, 8)),
         "female": float(i % 3 == 0), "edss": 6 - 0.3 * volume[i] + float(rng.normal(0, 0.4)), "site": "AB"[scanner[i]]}
        for i in range(n)
    ]  # fmt: skip
    volumes = [
        {"participant_id": f"sub-{i:03d}", "session_id": "ses-1", "method": "first", "icv_ml": 1400 + float(i % 7),
         "volume_ml": volume[i] * (1.25 if scanner[i] else 1.0)}
        for i in range(n)
    ]  # fmt: skip
    key = {"outcome": "edss", "method": "first", "subset": "all", "term": "volume_ml"}
    with_site = pick(rows_of(make_cohort(visits, volumes), crosssectional, "group_crosssectional"), **key)
    without = make_cohort(visits, volumes, settings=Settings(group=Group(site="none")))
    diluted = pick(rows_of(without, crosssectional, "group_crosssectional"), **key)
    # within a site the volume is scaled by 1 or 1.25: the pooled slope lies between -0.3 / 1.25 and -0.3
    assert -0.3 - 3 * with_site["se"] < with_site["estimate"] < -0.24 + 3 * with_site["se"]
    assert diluted["estimate"] > 0.6 * with_site["estimate"]


def test_notes_count_models_once() -> None:
    rows = [
        {"outcome": "edss", "method": m, "subset": "all", "term": t, "left_out": "sex (does not vary)"}
        for m in ("a", "b")
        for t in ("volume_ml", "age")
    ]
    rows += [{"outcome": "sdmt", "method": "a", "subset": "all", "term": "volume_ml", "left_out": ""}]
    assert models.left_out_notes("x", rows) == ["warning: x: sex is left out of 2 of 3 models: does not vary."]
