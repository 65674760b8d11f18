"""One row per person and visit, against the long tables, by plain loops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.people import make_cohort
from thalbids.bids.tabular.tables import write
from thalbids.group.analyses.description import people


def three() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """A person whose first visit failed, seen three times, and a control seen once without a date."""
    visits: list[dict[str, object]] = [
        {"participant_id": "sub-01", "session_id": f"ses-{k}", "order": k - 1, "years": k - 1.0, "edss": 1.0 + k,
         "age": 39.0 + k, "sex": "F", "female": 1.0, "site": "A"}
        for k in (1, 2, 3)
    ]  # fmt: skip
    visits.append({"participant_id": "sub-02", "session_id": "ses-1", "diagnosis": "HC", "age": 30.0})
    volumes: list[dict[str, object]] = [
        {"participant_id": "sub-01", "session_id": "ses-1", "method": "first", "volume_ml": 99.0, "status": "failed"},
        {"participant_id": "sub-01", "session_id": "ses-2", "method": "first", "volume_ml": 10.0, "icv_ml": 1400.0},
        {"participant_id": "sub-01", "session_id": "ses-3", "method": "first", "volume_ml": 9.5, "icv_ml": 1400.0},
        {"participant_id": "sub-01", "session_id": "ses-3", "method": "synthalT1w", "volume_ml": 11.0},
        {"participant_id": "sub-02", "session_id": "ses-1", "method": "first", "volume_ml": 12.0},
    ]
    return visits, volumes


def test_a_row_per_visit(tmp_path: Path) -> None:
    visits, volumes = three()
    pbvc = [{"participant_id": "sub-01", "session_id_baseline": "ses-2", "session_id_followup": "ses-3", "pbvc": -0.7}]
    (table,) = people.tables(make_cohort(visits, volumes, pbvc=pbvc))
    rows = table.frame.set_index(["participant_id", "session_id"])
    assert len(rows) == 4 and not rows.index.has_duplicates
    assert rows["baseline"].tolist() == [False, True, False, True]
    failed, first, last = (rows.loc["sub-01", f"ses-{k}"] for k in (1, 2, 3))
    assert np.isnan(failed["first_ml"]) and failed["first_status"] == "failed"  # its number may not be used
    assert (first["first_ml"], first["first_left_ml"]) == (10.0, 5.0)
    assert np.isnan(first["first_change_ml"]) and np.isnan(first["d_edss"])
    assert last["first_change_ml"] == pytest.approx(-0.5) and last["first_change_percent"] == pytest.approx(-5.0)
    assert np.isnan(last["synthalT1w_change_ml"]) and first["synthalT1w_status"] == ""
    assert (last["d_edss"], last["years_since_baseline"], last["pbvc"]) == (1.0, 1.0, -0.7)
    assert failed["years_since_baseline"] == -1.0 and np.isnan(failed["d_edss"])
    assert rows.loc["sub-02", "ses-1"]["diagnosis"] == "HC"
    write(table, tmp_path)
    described = json.loads((tmp_path / "group_people.json").read_text())
    read = pd.read_csv(tmp_path / "group_people.tsv", sep="\t")
    assert set(read.columns) <= set(described) and read["first_ml"].isna().sum() == 1


def test_other_columns_of_the_visits_come_along() -> None:
    cohort = make_cohort(*three())
    cohort.visits["education"] = [12.0, 12.0, 12.0, 16.0]
    (table,) = people.tables(cohort)
    assert table.frame["education"].tolist() == [12.0, 12.0, 12.0, 16.0] and "education" in table.columns


def test_how_images_were_acquired_stands_beside_the_volumes(tmp_path: Path) -> None:
    known = {"voxel_size_mm": [1.0, 0.9, 0.8], "slice_thickness_mm": 1.0, "scanner": "Siemens Skyra"}
    document = {
        "Images": {"T1w": {"acquisition": known | {"field_strength_t": 3.0}}},
        "Flags": [{"scope": "image:T1w", "rule": "thick_slices"}],
    }
    cohort = replace(make_cohort(*three()), documents={("sub-01", "ses-3"): document})
    (table,) = people.tables(cohort)
    write(table, tmp_path)
    rows = pd.read_csv(tmp_path / "group_people.tsv", sep="\t", na_values="n/a").set_index(
        ["participant_id", "session_id"]
    )
    row = rows.loc["sub-01", "ses-3"]
    assert (row["T1w_scanner"], row["T1w_field_strength_t"], row["T1w_voxel_z_mm"]) == ("Siemens Skyra", 3.0, 0.8)
    assert row["T1w_flags"] == "thick_slices" and rows["T1w_scanner"].notna().sum() == 1
    described = json.loads((tmp_path / "group_people.json").read_text())
    assert described["T1w_voxel_x_mm"]["LongName"] == "Voxel size, right, T1w"


def test_visits_without_any_volume() -> None:
    (table,) = people.tables(make_cohort(three()[0], []))
    assert len(table.frame) == 4 and not table.frame["baseline"].any() and table.frame["d_edss"].isna().all()
