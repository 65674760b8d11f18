"""One wrong volume and one wrong score: named, and the models without them are those of the clean cohort's rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.people import make_cohort
from thalbids.bids.tabular.tables import write
from thalbids.group.analyses.checks import influence
from thalbids.group.analyses.clinical import crosssectional
from thalbids.reports.group.group_data import Tables
from thalbids.settings import Checks, Group, Settings


def cohort_of(n: int = 60, wrong: bool = True, checks: Checks | None = None) -> Any:
    """EDSS falls with the volume; with ``wrong``, one volume is four times itself and one walk took 180 s."""
    rng = np.random.default_rng(4)
    visits, volumes = [], []
    for i in range(n):
        age, female, icv = rng.normal(44, 10), float(i % 2), rng.normal(1450, 100)
        true = 12 + rng.normal(0, 1.5)
        edss = round(2 * float(np.clip(3 - 0.8 * (true - 12) + rng.normal(0, 0.5), 0, 8))) / 2
        walk = float(np.exp(1.6 - 0.05 * (true - 12) + rng.normal(0, 0.15)))
        for order in (0, 1):
            key = {"participant_id": f"sub-{i:02d}", "session_id": f"ses-{order + 1}"}
            visits.append(
                key | {"order": order, "years": order * (1 + 0.1 * rng.normal()), "age": age + order, "female": female,
                       "edss": edss, "t25fw": 180.0 if wrong and i == 9 and not order else walk,
                       "nhpt": float(rng.lognormal(3, 0.2)), "sdmt": float(rng.normal(50, 9)),
                       "steroid": float(rng.uniform() < 0.3), "disease_duration": float(rng.normal(9, 3))}
            )  # fmt: skip
            walk *= float(np.exp(rng.normal(0, 0.03)))
            volume = true + rng.normal(-0.1 * order, 0.1)
            volumes.append(
                key | {"method": "first", "icv_ml": icv, "volume_ml": 4 * volume if wrong and i == 5 else volume}
            )
    return make_cohort(visits, volumes, settings=Settings(checks=checks or Checks()))


def found(cohort: Any) -> dict[str, Any]:
    return {table.name: table for table in influence.tables(cohort)}


def test_the_wrong_ones_are_named_and_the_sign_turns() -> None:
    made = found(cohort_of())
    far = made["group_outliers"].frame
    assert {"sub-05", "sub-09"} == set(far["participant_id"])
    assert set(far[far["participant_id"] == "sub-09"]["variable"]) == {"t25fw", "d_t25fw"}
    models = made["group_influence_models"].frame.set_index(["analysis", "outcome"])
    row = models.loc["crosssectional", "edss"]
    assert row["removed"] == "sub-05" and row["n_removed"] == 1
    assert row["estimate_without"] < -0.4 < row["estimate"]
    assert "significance" in row["turns"]
    assert models.loc["crosssectional", "t25fw"]["removed"] == "sub-05 sub-09"
    people = made["group_influence"].frame
    named = people[(people["outcome"] == "edss") & (people["analysis"] == "crosssectional")].iloc[0]
    assert set(named["named_for"].split()) >= {"leverage", "volume"} and named["leverage"] > 0.8
    assert "sub-09 (t25fw" in made["group_outliers"].notes[0]
    assert made["group_influence_models"].notes[0].startswith("warning:")


def test_both_models_are_those_of_the_analysis() -> None:
    """With everybody: the rows of group_crosssectional. Without: those of the cohort without the person."""
    cohort = cohort_of()
    models = found(cohort)["group_influence_models"].frame
    rows = crosssectional.tables(cohort)[0].frame
    main = rows[(rows["term"] == "volume_ml") & (rows["subset"] == "all")].set_index("outcome")
    own = models[models["analysis"] == "crosssectional"].set_index("outcome")
    for name in ("estimate", "ci_low", "ci_high", "p", "p_fdr"):
        np.testing.assert_allclose(own[name], main.loc[own.index, name])
    import statsmodels.api as sm

    v, m = cohort.visits[cohort.visits["order"] == 0], cohort.volumes[cohort.volumes["session_id"] == "ses-1"]
    icv = m["icv_ml"].to_numpy()
    X = np.column_stack([m["volume_ml"], v["age"], 1 - v["female"], (icv - icv.mean()) / icv.std(ddof=1), np.ones(60)])
    rest = (v["participant_id"] != "sub-05").to_numpy()
    expected = sm.OLS(v["edss"].to_numpy()[rest], X[rest]).fit(cov_type="HC3")
    assert own.loc["edss"]["estimate_without"] == pytest.approx(expected.params[0])
    assert own.loc["edss"]["p_without"] == pytest.approx(expected.pvalues[0])


def test_a_clean_cohort_names_nobody() -> None:
    made = found(cohort_of(wrong=False))
    assert len(made["group_outliers"].frame) == 0 and not made["group_influence_models"].notes
    models = made["group_influence_models"].frame
    assert (models["n_removed"].dropna() == 0).all()
    np.testing.assert_array_equal(models["estimate"], models["estimate_without"])


def test_the_limits_are_settings() -> None:
    made = found(cohort_of(wrong=False, checks=Checks(outlier_z=2.0, cook=0.05)))
    assert len(made["group_outliers"].frame) > 5
    assert made["group_influence_models"].frame["n_removed"].max() > 3


def test_the_section(tmp_path: Path) -> None:
    for table in influence.tables(cohort_of()):
        write(table, tmp_path)
    section = influence.section(Tables(tmp_path))
    assert section.says[0].startswith("2 people stand out") and "sub-05" in section.says[0]
    assert any("EDSS" in text and "sub-05 left out" in text for text in section.warnings)
    assert influence.section(Tables(tmp_path / "none")).nothing


def test_an_ordinal_outcome_has_the_model_of_the_main_table() -> None:
    """Proportional odds in both tables, so that estimates and the corrected p of the family are the same."""
    cohort = cohort_of(wrong=False)
    group = Group(ordinal=("edss",), outcomes=("edss", "sdmt"), subset="")
    cohort = replace(cohort, settings=Settings(group=group))
    main = crosssectional.tables(cohort)[0].frame
    main = main[main["term"] == "volume_ml"].set_index(["outcome", "method"])
    models = found(cohort)["group_influence_models"].frame
    models = models[models["analysis"] == "crosssectional"].set_index(["outcome", "method"])
    assert set(models.index) == set(main.index)
    for name in ("estimate", "p", "p_fdr"):
        np.testing.assert_allclose(models[name].astype(float), main[name].reindex(models.index).astype(float))


def test_of_few_values_none_is_far_from_the_others() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 100])
    assert np.isnan(influence.distance(values)).all()
    assert influence.distance(np.append(values, 9.0))[8] > 20
