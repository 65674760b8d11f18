"""Ratings at the group level are those of the raters' tables; without any there are no rows."""

from __future__ import annotations

from tests.people import make_cohort, two_visits
from thalbids.group.analyses.masks import ratings
from thalbids.raters import summary


def test_without_ratings_the_tables_are_those_of_the_raters_and_empty() -> None:
    cohort = make_cohort(*two_visits(3))
    made = {table.name: table for table in ratings.tables(cohort)}
    settings = cohort.settings
    same = summary.tables(cohort.out_dir, settings.ratings, settings.run.seed, settings.group.bootstrap)
    assert list(made) == [table.name for table in same] and "group_ratings" in made
    assert all(table.frame.empty and len(table.columns) for table in made.values())
    assert set(ratings.ANALYSIS.views) < {name.removeprefix("group_") for name in made}
