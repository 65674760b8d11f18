"""The readout of quantitative maps at the group level, from tables on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.people import make_cohort
from thalbids.bids.results.derivatives import Place
from thalbids.bids.results.dictionaries import QMRI_MORPH
from thalbids.bids.tabular.tables import write
from thalbids.files import write_table
from thalbids.group.analyses.masks import microstructure
from thalbids.group.cohort import Cohort
from thalbids.group.modelling import map_values


def row(method: str, mean: float | None, side: str = "both", status: str = "ok") -> dict[str, object]:
    return {"method": method, "map": "R1map", "region": "whole", "side": side, "voxels": 900, "undefined": 2,
            "mean": mean, "median": mean, "sd": 0.05, "units": "1/s", "status": status}  # fmt: skip


def cohort(folder: Path) -> Cohort:
    """Two patients and a control; the mask of one patient is excluded."""
    visits, volumes, places = [], [], []
    for label, diagnosis, mean, status in (
        ("01", "RRMS", 0.80, "ok"), ("02", "RRMS", 0.90, "excluded"),
        ("03", "HC", 0.86, "ok"), ("04", "RRMS", 0.84, "ok"),
    ):  # fmt: skip
        person = {"participant_id": f"sub-{label}", "session_id": "ses-1"}
        visits.append(person | {"diagnosis": diagnosis})
        volumes.append(person | {"method": "synthalT1w", "volume_ml": 12.0, "status": status, "reason": "cut off"})
        name = f"sub-{label}_ses-1_{map_values.ENDING}"
        rows = [row("synthalT1w", mean), row("synthalT1w", mean + 0.1, "left"), row("elsewhere", 5.0)]
        write_table(folder / name, rows, tuple(QMRI_MORPH))
        places.append(Place(f"sub-{label}", "ses-1", folder, (name,)))
    return replace(make_cohort(visits, volumes), places=places)


def test_rows_and_summary(tmp_path: Path) -> None:
    long, summary = microstructure.tables(cohort(tmp_path))
    frame = long.frame.set_index(["participant_id", "side"])
    assert len(frame) == 8  # a method without a volume here is none of this run's
    assert frame.loc[("sub-02", "both"), ["status", "reason"]].tolist() == ["excluded", "cut off"]
    assert frame.loc[("sub-03", "left"), "mean"] == pytest.approx(0.96)
    assert frame.loc[("sub-03", "both"), "diagnosis"] == "HC"
    told = summary.frame.set_index("diagnosis")
    assert (told.loc["all", "n"], told.loc["RRMS", "n"]) == (3, 2)
    assert told.loc["RRMS", "mean"] == pytest.approx(0.82)
    assert told.loc["all", "mean"] == pytest.approx((0.80 + 0.86 + 0.84) / 3)
    for one in (long, summary):
        write(one, tmp_path)
    assert (tmp_path / "group_qmri.json").is_file()


def test_without_maps_the_tables_are_empty() -> None:
    visit = {"participant_id": "sub-01", "session_id": "ses-1"}
    long, summary = microstructure.tables(make_cohort([visit], [visit | {"method": "first", "volume_ml": 12.0}]))
    assert long.frame.empty and summary.frame.empty


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    made = cohort(tmp_path)
    (tmp_path / f"sub-01_ses-1_{map_values.ENDING}").write_bytes(b"\xff\xfe\x00")
    long, _ = microstructure.tables(made)
    assert any("sub-01_ses-1" in note for note in long.notes)
    assert set(long.frame["participant_id"]) == {"sub-02", "sub-03", "sub-04"}
