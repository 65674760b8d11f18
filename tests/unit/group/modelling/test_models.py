"""Samples, cross-sectional and longitudinal models, sides and rates: what is fitted, on whom, and in which family."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.people import make_cohort, two_visits
from tests.unit.group.models_of import pick, rows_of
from thalbids.group.analyses.clinical import crosssectional, longitudinal, ordinal, sides
from thalbids.group.analyses.over_time import mixed, pbvc
from thalbids.settings import Group, Settings

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
def test_a_column_that_is_useless_gives_reasons_when_strict(change: dict[str, float], word: str) -> None:
    visits, volumes = two_visits(25)
    cohort = make_cohort([v | change for v in visits], volumes, settings=Settings(group=Group(strict=True)))
    rows = rows_of(cohort, crosssectional, "group_crosssectional")
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
