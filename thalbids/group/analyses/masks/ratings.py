"""Blinded ratings by people, unblinded, and how far the raters agree."""

from __future__ import annotations

from thalbids.bids.tabular.tables import Table
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.raters import summary
from thalbids.reports.group.beyond import View


def tables(cohort: Cohort) -> list[Table]:
    """``group_ratings`` and ``group_rating_agreement``; without rows when no ratings are given."""
    settings = cohort.settings
    return summary.tables(cohort.out_dir, settings.ratings, settings.run.seed, settings.group.bootstrap)


ANALYSIS = Analysis(
    "ratings", tables, views={"rating_agreement": View("Agreement of the blinded ratings")}, told=("ratings",)
)
