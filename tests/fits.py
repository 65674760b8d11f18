"""Every fit of the group level on small cohorts, for a comparison of what different processors compute.

    python -m tests.fits

writes the tables as JSON. A process computes with the kernel that it began with, so each needs one of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from tests.people import make_cohort, two_visits
from thalbids.group.analyses.clinical import crosssectional
from thalbids.group.analyses.over_time import mixed
from thalbids.group.cohort import Cohort
from thalbids.group.comparison import METRICS
from thalbids.group.intake.harmonise import prepared
from thalbids.group.registry import ANALYSES
from thalbids.group.statistics.concordance import agreement, interrater, paired
from thalbids.raters import kappa
from thalbids.raters.ratings import RATINGS
from thalbids.settings import Group, Settings

METHODS = ("first", "dbsegment", "synthalT1w")
DRAWS = 200
WITHOUT = ("volumes", "conflicts", "masks", "maps", "ratings")  # nothing is fitted, or they need images
SLOPES = {"some": 0.1, "none": 0.0, "few": 0.02}  # SD of the change per year between people
Rows = list[dict[str, Any]]
Columns = dict[str, list[Any]]


def main() -> None:
    """Write every table to stdout."""
    found = {name: columns for make in (analyses, changes, harmonised, volumes, ratings) for name, columns in make()}
    json.dump(found, sys.stdout, default=_plain)


def analyses() -> Iterator[tuple[str, Columns]]:
    """Every analysis of two visits, with scores, SIENA, repeated scans and sites."""
    cohort = pairs(Settings(group=Group(bootstrap=DRAWS)))
    for analysis in ANALYSES:
        if analysis.name not in WITHOUT:
            for table in analysis.tables(cohort):
                yield f"{analysis.name}: {table.name}", table.frame.to_dict("list")


def changes() -> Iterator[tuple[str, Columns]]:
    """The mixed model of four visits, where people differ in their slopes and where they do not."""
    for name, sd in SLOPES.items():
        for seed in range(3):
            yield f"mixed, {name} {seed}", next(iter(mixed.tables(many(sd, seed)))).frame.to_dict("list")


def harmonised() -> Iterator[tuple[str, Columns]]:
    """ComBat, and what the models say afterwards."""
    cohort, tables = prepared(pairs(Settings(group=Group(bootstrap=DRAWS, harmonise="combat"))))
    for table in [*tables, *crosssectional.tables(cohort)]:
        yield f"harmonised: {table.name}", table.frame.to_dict("list")


def volumes() -> Iterator[tuple[str, Columns]]:
    """Overlap and volumes against two raters, and between three."""
    rng = np.random.default_rng(3)
    true = rng.normal(12, 1.9, 40)
    drawn = {rater: true + rng.normal(0, 0.3, true.size) for rater in ("manual", "second", "third")}
    rows: Rows = []
    between: Rows = []
    for i in range(true.size):
        key = {"participant_id": f"sub-{i:02d}", "session_id": "ses-1", "status": "ok", "reason": ""}
        for rater in ("manual", "second"):
            for k, method in enumerate(METHODS):
                volume = 2 + (0.6 + 0.2 * k) * true[i] + rng.normal(0, 0.8)
                more = {"rater": rater, "method": method, "volume_rater_ml": drawn[rater][i], "volume_ml": volume}
                rows.append(key | more | _overlap(rng))
        for one, two in (("manual", "second"), ("manual", "third"), ("second", "third")):
            more = {"rater": one, "rater2": two, "volume_ml": drawn[one][i], "volume2_ml": drawn[two][i]}
            between.append(key | more | _overlap(rng))
    frame = pd.DataFrame(rows)
    yield "overlap summary", _columns(paired.summary(frame, 1, DRAWS))
    yield "overlap tests", _columns(paired.tests(frame))
    yield "agreement", _columns(agreement.rows(frame))
    yield "raters", _columns(interrater.between_raters(pd.DataFrame(between), 1, DRAWS))


def ratings() -> Iterator[tuple[str, Columns]]:
    """Kappa of two and of three raters."""
    rng = np.random.default_rng(5)
    said = rng.choice(RATINGS, (3, 60), p=[0.6, 0.3, 0.1])
    said[1, :40] = said[0, :40]
    counts = np.array([[list(item).count(word) for word in RATINGS] for item in said.T], dtype=float)
    found = [kappa.cohen(list(said[0]), list(said[1])), kappa.fleiss(counts, 1, DRAWS)]
    yield "kappa", _columns([vars(estimate) for estimate in found])


def pairs(settings: Settings) -> Cohort:
    """120 people with two visits at three sites; a fifth of them are controls."""
    rng = np.random.default_rng(11)
    visits, measured = two_visits(120, seed=4, methods=METHODS)
    site = {row["participant_id"]: i // 2 % 3 for i, row in enumerate(visits)}
    for i, row in enumerate(visits):
        row |= {"site": f"site{site[row['participant_id']]}"} | ({"diagnosis": "HC"} if i // 2 % 5 == 0 else {})
    for row in measured:
        row["volume_ml"] += (0.0, 1.1, -0.7)[site[row["participant_id"]]] + rng.normal(0, 0.2)
        row["volume_left_ml"] = row["volume_ml"] * (0.5 + rng.normal(0, 0.01))
        row["volume_right_ml"] = row["volume_ml"] - row["volume_left_ml"]
    people = list(site)
    pbvc = [
        {"participant_id": person, "session_id_baseline": "ses-1", "session_id_followup": "ses-2",
         "pbvc": float(rng.normal(-0.4, 0.5))}
        for person in people
    ]  # fmt: skip
    repeats = [
        row | {"entities": f"run-{run}", "volume_ml": row["volume_ml"] + float(rng.normal(0, 0.1))}
        for row in measured[: 20 * len(METHODS)]
        for run in (1, 2)
    ]
    return make_cohort(visits, measured, pbvc=pbvc, repeats=repeats, settings=settings)


def many(sd: float, seed: int) -> Cohort:
    """40 people with four visits each, whose slopes differ by ``sd`` mL per year."""
    rng = np.random.default_rng(seed)
    visits, measured = [], []
    for i in range(40):
        base, slope, icv = rng.normal(12, 1.3), -0.1 + rng.normal(0, sd), rng.normal(1400, 100)
        age, female = rng.normal(44, 10), float(i % 2)
        for order in range(4):
            years = order + (rng.normal(0, 0.05) if order else 0.0)
            key = {"participant_id": f"sub-{i:02d}", "session_id": f"ses-{order + 1}"}
            visits.append(key | {"order": order, "years": years, "age": age + years, "female": female})
            volume = base + slope * years + rng.normal(0, 0.1)
            measured.append(key | {"method": METHODS[0], "volume_ml": volume, "icv_ml": icv})
    return make_cohort(visits, measured)


def _overlap(rng: np.random.Generator) -> dict[str, float]:
    return {name: float(rng.uniform(0.6, 0.95)) for name in METRICS}


def _columns(rows: Rows) -> Columns:
    return pd.DataFrame(rows).to_dict("list")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else None if value is pd.NA else str(value)


if __name__ == "__main__":
    main()
