"""What the paper does not have, and tables that are shown as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from thalbids.reports.group.figures import descriptive, look
from thalbids.reports.group.group_data import Tables, rows_of
from thalbids.reports.group.sections.base import MOST_ROWS, Section, Shown, word

KNOWN = {
    "volumes", "overlap", "overlap_summary", "overlap_tests", "containment", "agreement", "change", "change_summary",
    "change_tests", "crosssectional", "longitudinal", "ordinal", "pbvc", "pbvc_tests", "descriptives", "missing",
    "residuals", "residual_checks", "wholebrain", "ratings",
    "normative", "conflicts", "rater_overlap", "rater_agreement", "harmonised", "samplesize",
}  # fmt: skip


COLUMNS = {
    "ci_low": "95 % from", "ci_high": "to", "p_fdr": "p corrected", "n": "n", "p": "p", "estimate": "Estimate",
    "n_source": "n of source", "n_participants": "n", "n_three": "n with three visits", "percent": "% per year",
}  # fmt: skip


BEYOND: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {  # title, rows shown, columns shown
    "rater_agreement": ("Agreement between raters", {}, ()),
    "rating_agreement": ("Agreement of the blinded ratings", {}, ()),
    "detectable": (
        "Smallest detectable change of one person, and who changed more",
        {"unit": "percent", "diagnosis": "all"},
        (
            "method",
            "source",
            "n_source",
            "smallest_change",
            "ci_low",
            "ci_high",
            "n",
            "share_loss",
            "share_gain",
            "reason",
        ),
    ),
    "annualised": (
        "Scores and volumes per year: the volume's coefficient",
        {"subset": "all", "term": "delta_volume_ml_per_year"},
        ("outcome", "method", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason"),
    ),
    "mixed": (
        "Mixed models of three and more visits: change per year",
        {"subset": "all", "term": "years"},
        (
            "method",
            "random",
            "estimate",
            "ci_low",
            "ci_high",
            "percent",
            "p_fdr",
            "n_participants",
            "n_three",
            "reason",
        ),
    ),
    "samplesize": (
        "People per arm of a trial",
        {},
        ("method", "population", "effect", "power", "n_per_arm", "ci_low", "ci_high", "relative_to", "reason"),
    ),
}


SIDES = ("analysis", "outcome", "method", "measure", "estimate", "ci_low", "ci_high", "p_fdr", "n", "reason")


def beyond(tables: Tables) -> Section:
    """What the paper does not have."""
    section = Section("beyond", "Beyond the paper")
    section.add(descriptive.normative(tables), descriptive.sample_size(tables))
    if any(figure.name == "samplesize" for figure in section.figures):
        section.caveats.append(
            "A small sample size needs a precise method, not a right one: a method that measures something steadier "
            "than the thalamus would win too."
        )
    for name in [name for name in tables.names() if name not in KNOWN] + ["samplesize"]:
        shown = generic(tables, name)
        if shown.rows:
            section.tables.append(shown)
    if not section.tables:
        section.nothing = "Nothing beyond the paper's analyses was computed in this run."
    return section


def generic(tables: Tables, name: str) -> Shown:
    """A table as it is, or the part of it that people want first."""
    title, which, columns = BEYOND.get(name, (word(name), {}, ()))
    table = rows_of(tables.get(name), **which)
    if name == "sides":
        title = "Left, right and asymmetry: the volume's coefficient"
        terms = ("volume_ml", "delta_volume_ml", "asymmetry", "delta_asymmetry")
        table, columns = table[table["term"].isin(terms)], SIDES
    table = table[[c for c in columns if c in table.columns]] if columns else table
    table = table.dropna(axis="columns", how="all")
    rows = [
        [look.label(str(v)) if c.startswith("method") and v == v else _cell(v) for c, v in row.items()]
        for row in table.head(MOST_ROWS + 1).to_dict("records")
    ]
    return Shown(title, [COLUMNS.get(c, word(c)) for c in table.columns], rows, tables.file(name))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e9:
            return str(int(value))
        return "–" if not np.isfinite(value) else f"{value:.4g}"
    return "–" if value is None or value != value else str(value)
