"""Change between visits: pairs told apart, and tests between methods by all sign flips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cohort import morph_row, write_cohort, write_rows
from tests.people import make_cohort, two_visits
from tests.unit.group.small import cohort_of, morph, three_visits
from thalbids.group.analyses.over_time.change import between, change, ledgers, mean_change, section
from thalbids.group.analyses.over_time.change import tables as change_tables
from thalbids.reports.group.group_data import Tables
from thalbids.settings import Group, Settings


def test_the_ledger_of_change_tells_the_pairs_apart(tmp_path: Path) -> None:
    three_visits(tmp_path)
    cohort = cohort_of(tmp_path / "raw", tmp_path / "out", pairs=["1:2", "1:9", "consecutive"])
    rows = [row for row in ledgers(cohort) if row["outcome"] == "delta_ml"]
    assert {row["sessions"]: row["n_used"] for row in rows} == {"1:2": 1, "consecutive": 2}
    made = {t.name: t.frame for t in change_tables(cohort)}
    assert set(made["group_missing"]["sessions"]) == {"1:2", "consecutive"}


def test_several_pairs_of_a_person_are_told(tmp_path: Path) -> None:
    raw, out, _ = write_cohort(tmp_path, 6, 3, ("first", "dbsegment"))
    cohort = cohort_of(raw, out)
    (one,) = between(change(cohort), "first:last")
    (several,) = between(change(cohort, "consecutive"), "consecutive")
    assert (one["n"], one["reason"]) == (6, "")
    assert several["n"] == 12
    assert "not independent" in several["reason"]


def test_tests_between_methods_agree_with_all_sign_flips(tmp_path: Path) -> None:
    """The exact p of five differences, ranks 1 to 5: of 32 sign patterns count those as extreme."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    changes = {"first": (-1.0, -2.0, -3.5, -0.5, -2.5), "dbsegment": (0.0, 0.5, 0.0, 0.0, -3.1)}
    for number in range(5):
        for session, factor in ((1, 0.0), (2, 1.0)):
            rows = [morph_row(name, 100 * (100 + factor * own[number])) for name, own in changes.items()]
            morph(out, f"sub-{number}", f"ses-{session}", *rows)
    [row] = between(change(cohort_of(raw, out)), "first:last")
    difference = np.subtract(*changes.values())
    ranks = np.argsort(np.argsort(np.abs(difference))) + 1
    signs = np.array(np.meshgrid(*[[0, 1]] * 5)).reshape(5, -1)
    total = ranks @ signs
    observed = ranks[difference > 0].sum()
    exact = 2 * np.mean(total <= observed)
    assert row["statistic"] == observed == 2
    assert row["p"] == pytest.approx(exact, abs=0.06)  # the normal approximation of the default
    assert row["p_fdr"] == row["p"] and row["p_exact"] == pytest.approx(exact)
    assert between(change(cohort_of(raw, out)), "first:last", ["first"]) == []


def test_methods_left_out_of_the_models_are_not_tested() -> None:
    """Nine of ten methods: the paper's 36 pairs."""
    from tests.people import make_cohort, two_visits
    from thalbids.bids.results.names import methods as known
    from thalbids.group.analyses.over_time import change as analysis
    from thalbids.group.analyses.over_time import pbvc

    names = ("freesurfer", *[item.desc for item in known() if not item.desc.startswith("freesurfer")][:9])
    visits, volumes = two_visits(8, methods=names)
    brain = [
        {
            "participant_id": f"sub-{i:03d}",
            "session_id_baseline": "ses-1",
            "session_id_followup": "ses-2",
            "pbvc": -i / 9,
        }
        for i in range(8)
    ]
    cohort = make_cohort(visits, volumes, pbvc=brain)
    tests = analysis.tables(cohort)[2]
    assert tests.name == "group_change_tests" and len(tests.frame) == 36
    assert "freesurfer" not in set(tests.frame["method"]) and tests.settings["methods_left_out"] == ["freesurfer"]
    one, two = pbvc.tables(cohort)[:2]
    assert len(one.frame) == 9 and len(two.frame) == 2 * 36 and "freesurfer" not in set(one.frame["method"])


def test_the_summary_follows_the_sample() -> None:
    """One method fails at the follow-up of four people: on the common sample nobody of them is in any row."""
    visits, volumes = two_visits(12)
    for row in volumes:
        if row["method"] == "first" and row["session_id"] == "ses-2" and row["participant_id"] < "sub-004":
            row["status"] = "failed"
    sizes = {}
    for sample in ("available", "common"):
        cohort = make_cohort(visits, volumes, settings=Settings(group=Group(sample=sample)))
        made = {t.name: t.frame for t in change_tables(cohort)}
        rows = made["group_change_summary"]
        rows = rows[(rows["diagnosis"] == "all") & (rows["measure"] == "delta_percent")].set_index("method")
        sizes[sample] = rows["n"].to_dict()
        assert len(made["group_change"]) == 24
    assert sizes == {"available": {"first": 8, "synthalT1w": 12}, "common": {"first": 8, "synthalT1w": 8}}


@pytest.mark.parametrize(
    ("alike", "told"),
    [
        (4, "The mean change is -4.00 ± 1.00 % by FSL FIRST (n = 4)."),
        (2, "Over the pairs of visits that can be compared, the mean change is -1.00 ± 0.50 % by FSL FIRST (n = 2)."),
        (1, "Fewer than two pairs of visits can be compared by any method: no mean change is told here."),
    ],
)
def test_the_short_result_holds_no_pair_that_cannot_be_compared(tmp_path: Path, alike: int, told: str) -> None:
    every = {"method": "first", "measure": "delta_percent", "mean": -4.0, "sd": 1.0, "n": 4}
    write_rows(tmp_path / "group_change_summary.tsv", [every | {"diagnosis": "all"}])
    others = every if alike == 4 else every | {"mean": -1.0, "sd": 0.5 if alike > 1 else None, "n": alike}
    rows = [every | {"pairs": "all"}, others | {"pairs": "comparable"}]
    write_rows(tmp_path / "group_change_comparable.tsv", rows)
    assert mean_change(Tables(tmp_path)) == ([told], alike < 4)


def test_the_number_to_cite_comes_before_that_of_every_pair(tmp_path: Path) -> None:
    every = {"method": "first", "measure": "delta_percent", "mean": -4.0, "sd": 1.0, "n": 4}
    alike = every | {"mean": -1.0, "sd": 0.5, "n": 2}
    people = [
        {"participant_id": f"sub-{n}", "method": "first", "diagnosis": "HC", "delta_percent": n} for n in range(4)
    ]
    titles = {}
    for doubtful in (False, True):
        folder = tmp_path / str(doubtful)
        folder.mkdir()
        write_rows(folder / "group_change.tsv", [p | {"comparable": "no" if doubtful else "yes"} for p in people[:2]])
        write_rows(folder / "group_change_summary.tsv", [every | {"diagnosis": "all"}])
        rows = [every | {"pairs": "all"}, (alike if doubtful else every) | {"pairs": "comparable"}]
        write_rows(folder / "group_change_comparable.tsv", rows)
        page = section(Tables(folder))
        titles[doubtful] = [table.title for table in page.tables]
        assert ("2 of 2 changes are of visits that cannot be compared" in page.figures[0].intro) == doubtful
        assert not doubtful or page.tables[0].rows == [["FSL FIRST", "-1.00 ± 0.50; 2"]]
    assert [("the number to cite" in t, "not the number to cite" in t) for t in titles[True]] == [
        (True, False), (True, True),
    ]  # fmt: skip
    assert titles[False] == ["Mean ± SD in % of baseline; n"]
