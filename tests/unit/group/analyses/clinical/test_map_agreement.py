"""Agreement between methods of what their masks read, and the section of the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.people import make_cohort
from tests.unit.group.analyses.clinical.test_map_models import N, people  # noqa: F401
from thalbids.bids.tabular.tables import write
from thalbids.group.analyses.clinical import map_agreement, map_models
from thalbids.group.analyses.masks import microstructure
from thalbids.group.cohort import Cohort
from thalbids.reports.group.group_data import Tables


def test_agreement_of_methods_and_the_section(
    people: tuple[Cohort, np.ndarray, np.ndarray],  # noqa: F811
    tmp_path: Path,
) -> None:
    cohort, r1, _ = people
    (made,) = map_agreement.tables(cohort)
    found = made.frame.set_index("quantity")
    assert found.loc["bias", "estimate"] == pytest.approx(0.05)
    sd2 = r1[:, 0].var(ddof=1)
    assert found.loc["ccc", "estimate"] == pytest.approx(2 * sd2 / (2 * sd2 + 0.05**2))
    assert found["n"].eq(N).all() and len(found) == 11
    for one in (*map_models.tables(cohort), made, *microstructure.tables(cohort)):
        write(one, tmp_path)
    section = map_agreement.section(Tables(tmp_path))
    assert not section.nothing and "corrected p below 0.05" in section.says[1]
    assert [table.title.split(":")[0] for table in section.tables][1] == "Clinical scores"


def test_without_maps_there_is_nothing(tmp_path: Path) -> None:
    visit = {"participant_id": "sub-01", "session_id": "ses-1"}
    cohort = make_cohort([visit], [visit | {"method": "first", "volume_ml": 12.0}])
    assert all(one.frame.empty for one in map_agreement.tables(cohort))
    assert map_agreement.section(Tables(tmp_path)).nothing
