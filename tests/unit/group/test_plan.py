"""A plan is written without data, never replaced, and every deviation from it is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.cohort import write_cohort
from tests.people import make_cohort, two_visits
from thalbids.cli.main import main
from thalbids.errors import UsageError
from thalbids.group import plan
from thalbids.group.analyses.clinical import crosssectional, longitudinal
from thalbids.settings import load


def test_written_without_data_and_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    command = [str(tmp_path / "no"), str(tmp_path / "none"), "group", "--plan", str(path)]
    assert main(command) == 0
    written = json.loads(path.read_text())
    (cross,) = [model for model in written["models"] if model["analysis"] == "crosssectional"]
    assert cross["formula"] == "outcome ~ volume_ml + age + sex + icv_z" and cross["log"] == ["t25fw", "nhpt"]
    assert written["settings"]["group"]["pairs"] == ["first:last"]
    assert main(command) == 2
    assert "not changed" in capsys.readouterr().err
    assert main([str(tmp_path), str(tmp_path / "o"), "participant", "--follow-plan", str(path)]) == 2


def test_the_plan_says_which_measures_of_change_there_are() -> None:
    both, one = (plan.planned(load(None, {"group": {"registration": given}})) for given in (True, False))
    assert "a family of their own in every correction" in both["tests"]["measures_of_change"]
    assert one["tests"]["measures_of_change"] == "differences of volumes alone"
    assert (both["settings"]["group"]["registration"], one["settings"]["group"]["registration"]) == (True, False)


def test_settings_of_the_plan_win_and_others_are_told(tmp_path: Path) -> None:
    plan.write(tmp_path / "plan.json", load(None, {"group": {"subset": "PMS"}, "checks": {"cook": 1.0}}))
    given = load(None, {"group": {"subset": "RRMS"}, "run": {"nprocs": 3}})
    settings, fixed, rows = plan.follow(tmp_path / "plan.json", given)
    assert (settings.group.subset, settings.checks.cook, settings.run.nprocs) == ("PMS", 1.0, 3)
    assert {(row["what"], row["planned"], row["actual"]) for row in rows} == {
        ("group.subset", "PMS", "RRMS"), ("checks.cook", "1.0", "0.5")
    }  # fmt: skip
    path = tmp_path / "old.json"
    fixed["version"] = "0.0.1"
    fixed["models"][0]["covariates"] = ["age"]
    path.write_text(json.dumps(fixed))
    kinds = [row["kind"] for row in plan.follow(path, settings)[2]]
    assert kinds == ["version", "model"]


def test_a_plan_from_before_changes_by_registration_is_followed_without_them(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan.write(path, load())
    old = json.loads(path.read_text())
    del old["settings"]["group"]["registration"], old["tests"]["measures_of_change"]
    path.write_text(json.dumps(old))
    settings, _, rows = plan.follow(path, load())
    assert not settings.group.registration
    assert [(row["what"], row["planned"], row["actual"]) for row in rows] == [("group.registration", "false", "true")]
    assert plan.follow(path, load(None, {"group": {"registration": False}}))[2] == []


def test_a_plan_that_lacks_a_section_or_a_model_is_followed_and_told(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    old = plan.planned(load(None, {}))
    del old["settings"]["group"]
    gone = old["models"].pop()["analysis"]
    path.write_text(json.dumps(old), encoding="utf-8")
    settings, _, rows = plan.follow(path, load(None, {}))
    assert not settings.group.registration
    assert {"kind": "model", "what": gone, "planned": "not in the plan", "actual": "fitted"} in rows


def test_another_test_than_planned_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan.write(path, load())
    old = json.loads(path.read_text())
    old["tests"]["correction"] = "Bonferroni"
    path.write_text(json.dumps(old))
    assert [(row["kind"], row["what"]) for row in plan.follow(path, load())[2]] == [("test", "correction")]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ({"settings": [1]}, "settings"),
        ({"settings": {"group": 3}}, "settings.group"),
        ({"models": [{"analysis": "longitudinal"}]}, "models[0].outcomes"),
        ({"models": None}, "models"),
        ({"tests": "all"}, "tests"),
        ({"seed": "one"}, "seed"),
    ],
)
def test_a_damaged_plan_names_what_is_wrong(tmp_path: Path, damage: dict[str, object], named: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.planned(load()) | damage))
    with pytest.raises(UsageError, match=re.escape(named)):
        plan.follow(path, load())


def test_models_that_came_otherwise_are_told() -> None:
    visits, volumes = two_visits(30)
    for visit in visits:
        visit["sdmt"] = float("nan")
    cohort = make_cohort(visits, volumes)
    made = [*crosssectional.tables(cohort), *longitudinal.tables(cohort)]
    frame = made[0].frame
    lost = (frame["outcome"] == "nhpt") & (frame["method"] == "first") & (frame["term"] == "sex")
    made[0] = plan.table("group_crosssectional", frame[~lost].to_dict("records"), made[0].columns)
    rows = plan.deviations(plan.planned(cohort.settings), [], made).frame
    told = dict(zip(rows["what"], rows["kind"], strict=True))
    assert told["crosssectional: sdmt, first"] == told["longitudinal: d_sdmt, first"] == "not fitted"
    assert told["crosssectional: nhpt, first"] == "terms"
    assert rows["actual"].str.contains("missing for everybody").sum() == 3 * 2


def test_a_run_by_its_plan(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 12, methods=("first",))
    path, config = tmp_path / "plan.json", tmp_path / "thalbids.toml"
    config.write_text('[group]\nsubset = "RRMS"\n[outputs]\nreport = false\n')
    assert main([str(raw), str(out), "group", "--plan", str(path), "--config", str(config)]) == 0
    config.write_text('[group]\nsubset = "PMS"\n[outputs]\nreport = false\n')
    assert main([str(raw), str(out), "group", "--follow-plan", str(path), "--config", str(config)]) == 0
    rows = pd.read_csv(out / "group_plan_deviations.tsv", sep="\t")
    assert "group.subset" in set(rows["what"])
    assert 'subset = "RRMS"' in (out / "logs" / "group" / "settings.toml").read_text()


def test_rules_for_ratings_are_planned_and_their_files_are_not(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan.write(path, load(None, {"ratings": {"rule": "majority", "files": ["before.tsv"]}}))
    assert json.loads(path.read_text())["settings"]["ratings"] == {"rule": "majority", "unsure": "ignore"}
    settings, _, rows = plan.follow(path, load(None, {"ratings": {"files": ["a.tsv"]}}))
    assert settings.ratings.rule == "majority"
    assert [file.name for file in settings.ratings.files] == ["a.tsv"]
    assert [(row["what"], row["planned"], row["actual"]) for row in rows] == [("ratings.rule", "majority", "any")]


def test_an_ordinal_outcome_has_neither_a_logarithm_nor_robust_errors() -> None:
    models = plan.planned(load(None, {"group": {"ordinal": ["edss", "t25fw"], "sample": "common"}}))["models"]
    assert models[0]["ordinal"] == ["edss", "t25fw"] and models[0]["sample"] == "common"
    assert models[0]["log"] == ["nhpt"] and models[0]["HC3"] == ["disease_duration"]


def test_a_setting_that_an_older_plan_does_not_know_is_told_where_it_is_set(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan.write(path, load())
    old = json.loads(path.read_text())
    del old["settings"]["ratings"], old["settings"]["group"]["imputations"]
    path.write_text(json.dumps(old))
    assert plan.follow(path, load())[2] == []
    rows = plan.follow(path, load(None, {"group": {"imputations": 20}}))[2]
    assert [(row["what"], row["planned"], row["actual"]) for row in rows] == [("group.imputations", "0", "20")]
