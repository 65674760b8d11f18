"""Sites where no table has any: from the acquisition of the T1w."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tests.people import make_cohort, two_visits
from thalbids.group.cohort import Cohort
from thalbids.group.intake import scanners
from thalbids.group.modelling import sites
from thalbids.settings import Group, Settings


def document(**facts: Any) -> dict[str, Any]:
    return {"Images": {"T1w": {"acquisition": {"voxel_size_mm": [1.0, 1.0, 1.0], **facts}}}}


def cohort_at(*machines: dict[str, Any], settings: Settings | None = None) -> Cohort:
    """20 people, who take turns on these machines."""
    visits, volumes = two_visits(20)
    cohort = make_cohort(visits, volumes, settings=settings)
    cohort.visits["site"] = pd.Series([""] * len(cohort.visits), dtype=object)
    found = {
        (row["participant_id"], row["session_id"]): document(**machines[i // 2 % len(machines)])
        for i, row in enumerate(visits)
    }
    return replace(cohort, documents=found)


PRISMA = {"scanner": "Siemens Prisma", "field_strength_t": 2.89, "repetition_time_s": 2.5}
ACHIEVA = {"scanner": "Philips Achieva", "field_strength_t": 3.0, "repetition_time_s": 0.007}


def test_two_scanners_are_two_sites_of_the_models() -> None:
    found = scanners.named(cohort_at(PRISMA, ACHIEVA))
    assert sites.people(found) == {"Philips Achieva 3.0 T": 10, "Siemens Prisma 2.9 T": 10}
    assert sites.modelled(found)
    assert "scanner and protocol of each T1w" in found.notes[-1]


def test_protocols_of_one_scanner_are_told_apart_by_what_differs() -> None:
    other = PRISMA | {"repetition_time_s": 2.3, "voxel_size_mm": [0.8, 0.8, 0.8]}
    found = scanners.named(cohort_at(PRISMA, other))
    assert sorted(sites.people(found)) == [
        "Siemens Prisma 2.9 T, voxel 0.8 x 0.8 x 0.8 mm, TR 2.3 s",
        "Siemens Prisma 2.9 T, voxel 1.0 x 1.0 x 1.0 mm, TR 2.5 s",
    ]


def test_rounding_is_no_protocol_and_one_scanner_is_no_site() -> None:
    cohort = cohort_at(PRISMA, PRISMA | {"repetition_time_s": 2.503, "voxel_size_mm": [1.001, 1.0, 0.999]})
    assert scanners.named(cohort) is cohort
    assert scanners.named(cohort_at({"field_strength_t": 3.0}, {})).visits["site"].eq("").all()


def test_a_column_and_the_setting_come_first() -> None:
    cohort = cohort_at(PRISMA, ACHIEVA)
    cohort.visits.loc[3, "site"] = "Berlin"
    assert scanners.named(cohort) is cohort
    off = cohort_at(PRISMA, ACHIEVA, settings=Settings(group=Group(site="none")))
    assert scanners.named(off) is off


def test_a_session_without_a_sidecar_counts_as_unknown() -> None:
    cohort = cohort_at(PRISMA, ACHIEVA)
    documents = {key: {} if key[0] == "sub-003" else value for key, value in cohort.documents.items()}
    found = scanners.named(replace(cohort, documents=documents))
    words = sites.site_words(found.visits["site"])
    assert np.count_nonzero(words == sites.UNKNOWN) == 2
