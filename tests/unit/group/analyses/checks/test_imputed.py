"""Models with imputed values: against the truth where a method fails in the most atrophied, and what is not imputed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.people import make_cohort, two_visits
from thalbids.errors import UsageError
from thalbids.group.analyses.checks import imputed
from thalbids.group.analyses.clinical import crosssectional
from thalbids.group.cohort import Cohort
from thalbids.settings import Group, Settings

METHODS = ("first", "synthalT1w")


def _cohort(n: int = 200, seed: int = 2, **group: object) -> Cohort:
    """SDMT = 2 per mL; ``synthalT1w`` lacks in the fifth with the lowest SDMT."""
    rng = np.random.default_rng(seed)
    visits, volumes = two_visits(n, seed=seed, methods=METHODS)
    visits = [row for row in visits if row["order"] == 0]
    volumes = [row for row in volumes if row["session_id"] == "ses-1"]
    true = {row["participant_id"]: row["volume_ml"] for row in volumes if row["method"] == "first"}
    for row in visits:
        row["sdmt"] = 30 + 2 * true[row["participant_id"]] + float(rng.normal(0, 3))
    low = np.quantile([row["sdmt"] for row in visits], 0.2)
    worst = {row["participant_id"] for row in visits if row["sdmt"] < low}
    for row in volumes:
        if row["method"] == "synthalT1w":
            row["volume_ml"] = true[row["participant_id"]] + float(rng.normal(0, 0.1))
            row["status"] = "failed" if row["participant_id"] in worst else "ok"
    settings = Settings(group=Group(subset="", imputations=5, imputation_cycles=3, outcomes=("edss", "sdmt"), **group))  # type: ignore[arg-type]
    return make_cohort(visits, volumes, settings=settings)


def _volume(cohort: Cohort, **which: str) -> list[dict[str, object]]:
    frame = imputed.tables(cohort)[0].frame
    rows = frame[frame["term"] == "volume_ml"].to_dict("records")
    return [row for row in rows if all(row[key] == value for key, value in which.items())]


def test_a_method_that_fails_in_the_worst_is_put_right():
    row = _volume(_cohort(), outcome="sdmt", method="synthalT1w", subset="all")[0]
    assert row["n_complete"] == 160
    assert row["n"] == 200
    assert row["n_imputed"] == 40
    assert row["estimate_complete"] < 1.65  # cut off at the outcome, which flattens the slope
    assert row["estimate"] == pytest.approx(2, abs=0.25)
    assert row["ci_low"] < 2 < row["ci_high"]
    assert 0 < row["fmi"] < 0.5
    assert "other_methods" in row["helped"]


def test_where_nothing_is_missing_it_is_the_main_model():
    cohort = _cohort()
    main = crosssectional.tables(cohort)[0].frame
    main = main[(main["method"] == "first") & (main["outcome"] == "sdmt") & (main["subset"] == "all")]
    rows = imputed.tables(cohort)[0].frame
    rows = rows[(rows["method"] == "first") & (rows["outcome"] == "sdmt") & (rows["subset"] == "all")]
    for name in ("estimate", "se"):
        np.testing.assert_allclose(rows[name].astype(float), main[name].astype(float), rtol=1e-10)
    assert (rows["fmi"] == 0).all()
    assert (rows["n_imputed"] == 0).all()


def test_a_score_that_nobody_of_a_group_has_is_not_made_up():
    cohort = _cohort()
    visits = cohort.visits.copy()
    healthy = visits["participant_id"] < "sub-030"
    visits.loc[healthy, "diagnosis"] = "HC"
    visits.loc[healthy, "edss"] = np.nan
    some = visits.index[~healthy][:20]
    visits.loc[some, "edss"] = np.nan
    made = replace(cohort, visits=visits)
    edss = _volume(made, outcome="edss", method="first", subset="all")[0]
    assert (edss["n_complete"], edss["n"], edss["n_imputed"]) == (150, 170, 20)
    assert _volume(made, outcome="sdmt", method="first", subset="all")[0]["n"] == 200


def test_off_by_default_and_one_is_none():
    cohort = _cohort()
    assert imputed.tables(replace(cohort, settings=Settings())) == []
    with pytest.raises(UsageError, match="two imputations"):
        imputed.tables(replace(cohort, settings=Settings(group=Group(imputations=1))))


def test_proportional_odds_words_and_changes():
    """An ordinal outcome, a category with a gap, and the longitudinal models."""
    cohort = _cohort(120, ordinal=("edss",), extra_covariates=("education",), categorical=("education",))
    visits = cohort.visits.copy()
    visits["education"] = pd.Series(
        np.resize(["school", "university", ""], len(visits)), index=visits.index, dtype=object
    )
    visits["edss"] = np.round(visits["edss"] / 3)
    row = _volume(replace(cohort, visits=visits), outcome="edss", method="first", subset="all")[0]
    assert (row["transform"], row["n"], row["n_complete"], row["n_imputed"]) == ("ordinal", 120, 80, 40)
    assert np.isfinite(row["estimate"])
    visits, volumes = two_visits(60, methods=METHODS)
    for row in visits[::9]:
        row["sdmt"] = np.nan
    settings = Settings(group=Group(subset="", imputations=3, imputation_cycles=2))
    frame = imputed.tables(make_cohort(visits, volumes, settings=settings))[0].frame
    own = frame[(frame["analysis"] == "longitudinal") & (frame["outcome"] == "d_sdmt") & (frame["subset"] == "all")]
    assert "sdmt_baseline" in own["helped"].iloc[0]
    assert (own["n"] == 60).all()
    assert (own["n_complete"] < 60).all()
    assert np.isfinite(own["estimate"]).all()
