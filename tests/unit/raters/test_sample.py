"""The stratified sample: allocation by hand, everybody in the right stratum, the same draw for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from thalbids.errors import UsageError
from thalbids.raters.sample import COLUMNS, CRITERIA, SamplingDesign, allocate, combinations, group_of, select


def cohort(n: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 72, n).round(1)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in range(n)],
            "session_id": "ses-1",
            "diagnosis": np.where(np.arange(n) % 10 == 0, "PMS", "RRMS"),
            "age": age,
            "disease_duration": rng.uniform(0, age - 17).round(1),
            "edss": rng.choice(np.arange(0, 7.5, 0.5), n),
        }
    )


def test_largest_remainders_by_hand() -> None:
    """Hamilton's method on 21, 10, 5, 1 of 37 for 10 seats: quotas 5.68, 2.70, 1.35, 0.27."""
    assert allocate({"a": 21, "b": 10, "c": 5, "d": 1}, 10) == {"a": 6, "b": 3, "c": 1, "d": 0}


def test_ties_go_to_the_larger_stratum_then_to_the_first() -> None:
    assert allocate({"a": 1, "b": 1, "c": 1, "d": 1}, 2) == {"a": 1, "b": 1, "c": 0, "d": 0}
    assert allocate({"a": 1, "b": 3}, 2) == {"a": 0, "b": 2}


@pytest.mark.parametrize("n", [1, 7, 34, 99, 100])
@pytest.mark.parametrize("minimum", [0, 1])
def test_an_allocation_adds_up_and_never_exceeds_a_stratum(n: int, minimum: int) -> None:
    sizes = {str(i): size for i, size in enumerate([0, 1, 2, 3, 10, 24, 60])}
    if minimum and n < 6:
        with pytest.raises(UsageError, match="6 strata with 1 people each"):
            allocate(sizes, n, minimum)
        return
    quota = allocate(sizes, n, minimum)
    assert sum(quota.values()) == n
    assert all(min(minimum, sizes[name]) <= quota[name] <= sizes[name] for name in sizes)
    if not minimum:
        assert all(abs(quota[name] - n * sizes[name] / 100) < 1 for name in sizes)


def test_groups_hold_their_lower_border_and_the_last_both() -> None:
    borders = (0, 1, 3, 7)
    assert [group_of(v, borders) for v in (0, 0.5, 1, 2.5, 3, 7)] == ["0-1", "0-1", "1-3", "1-3", "3-7", "3-7"]
    assert (
        group_of(7.5, borders)
        is group_of(-1, borders)
        is group_of(float("nan"), borders)
        is group_of(None, borders)
        is None
    )


def test_the_papers_27_strata() -> None:
    names = [name for name, _ in combinations(SamplingDesign().borders)]
    assert len(set(names)) == 27
    assert names[0] == "18-30 / 0-5 / 0-1"


def test_sample_of_the_paper() -> None:
    table = cohort()
    found = select(table, SamplingDesign(include=("PMS",)))
    counts = Counter((row["diagnosis"], row["selected_as"]) for row in found.people)
    assert counts == {("RRMS", "sampled"): 34, ("PMS", "included whole"): 20}
    drawn = [row for row in found.people if row["selected_as"] == "sampled"]
    for row in drawn:
        age, duration, edss = row["stratum"].split(" / ")
        for name, group in zip(CRITERIA, (age, duration, edss), strict=True):
            low, high = map(float, group.split("-"))
            assert low <= row[name] <= high
    per_stratum = Counter(row["stratum"] for row in drawn)
    assert {row["stratum"]: row["n_sample"] for row in found.strata if row["n_sample"]} == per_stratum
    assert sum(row["n_cohort"] for row in found.strata) == len(found.frame)
    assert len(found.frame) + len(found.left_out) == (table["diagnosis"] == "RRMS").sum()
    assert all("age" in entry["reason"] or "disease_duration" in entry["reason"] for entry in found.left_out)
    assert set(found.people[0]) == set(COLUMNS)


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    table = cohort()
    first = select(table, SamplingDesign())
    again = select(table.sample(frac=1, random_state=3), SamplingDesign())
    other = select(table, SamplingDesign(seed=2))
    assert first.people == again.people
    assert first.people != other.people
    assert [row["n_sample"] for row in first.strata] == [row["n_sample"] for row in other.strata]


def test_everybody_of_a_stratum_is_drawn_equally_often() -> None:
    table = cohort(40)
    hits = Counter(
        row["participant_id"] for s in range(400) for row in select(table, SamplingDesign(n=12, seed=s)).people
    )
    found = select(table, SamplingDesign(n=12))
    size = {row["stratum"]: (row["n_sample"], row["n_cohort"]) for row in found.strata}
    for person in found.frame.to_dict("records"):
        n, of = size[person["stratum"]]
        expected = 400 * n / of
        assert abs(hits[person["participant_id"]] - expected) <= 4.5 * np.sqrt(400 * (n / of) * (1 - n / of)) + 1e-9


def test_missing_values_and_values_outside_are_named() -> None:
    table = cohort(30).assign(diagnosis="RRMS")
    table.loc[0, "edss"] = np.nan
    table.loc[1, "age"] = 83.0
    found = {entry["participant_id"]: entry["reason"] for entry in select(table, SamplingDesign(n=3)).left_out}
    assert found["sub-000"] == "edss is missing"
    assert "age 83 is outside" in found["sub-001"]


@pytest.mark.parametrize(
    ("change", "design", "word"),
    [
        ({"drop": "edss"}, SamplingDesign(), "no edss"),
        ({"empty": "disease_duration"}, SamplingDesign(), "no disease_duration"),
        ({"drop": "diagnosis"}, SamplingDesign(), "no diagnosis"),
        ({}, SamplingDesign(n=500), "500 people are to be drawn"),
        ({}, SamplingDesign(n=0), "cannot be drawn"),
        ({}, SamplingDesign(diagnosis="NMOSD"), "nobody has the diagnosis 'NMOSD'"),
        ({}, SamplingDesign(include=("RRMS",)), "both drawn from and included"),
        ({}, SamplingDesign(minimum=3), "strata with fewer than 3 people"),
        ({}, SamplingDesign(borders={"age": (30, 18), "disease_duration": (0, 40), "edss": (0, 7)}), "do not rise"),
        ({"twice": True}, SamplingDesign(), "there twice: sub-004"),
    ],
)
def test_errors_say_what_is_wrong(change: dict[str, object], design: SamplingDesign, word: str) -> None:
    table = cohort()
    if "drop" in change:
        table = table.drop(columns=str(change["drop"]))
    if "empty" in change:
        table[str(change["empty"])] = np.nan
    if "twice" in change:
        table = pd.concat([table, table.iloc[[4]]])
    with pytest.raises(UsageError, match=word):
        select(table, design)


def test_everybody_can_be_drawn_from_without_a_diagnosis() -> None:
    table = cohort().drop(columns="diagnosis")
    assert len(select(table, SamplingDesign(n=20, diagnosis=None)).people) == 20
