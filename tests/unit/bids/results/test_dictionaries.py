from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.bids.dataset.filters import KEYS
from thalbids.bids.dataset.index import SUFFIXES
from thalbids.bids.results import dictionaries, names

DOCS = Path(__file__).resolve().parents[4] / "docs"

TABLES = {
    "thalamus": dictionaries.THALAMUS_MORPH,
    "icv": dictionaries.ICV_MORPH,
    "descriptions": dictionaries.DESCRIPTIONS,
}


def test_the_columns_that_other_programs_rely_on() -> None:
    promised = (
        "method image volume_mm3 volume_left_mm3 volume_right_mm3 voxels voxel_volume_mm3 status reason "
        "volume_soft_mm3 expected_dice volume_low_mm3 volume_high_mm3 reference"
    )
    assert set(promised.split()) == set(dictionaries.THALAMUS_COLUMNS)
    assert dictionaries.ICV_COLUMNS == ("source", "icv_mm3", "note", "status")


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_explained(table: str) -> None:
    for name, column in TABLES[table].items():
        assert str(column["Description"]).endswith(".")
        assert column["LongName"]
        assert (column.get("Units") == "mm^3") == name.endswith("_mm3")


def test_every_method_and_status_is_a_level() -> None:
    levels = dictionaries.THALAMUS_MORPH["method"]["Levels"]
    assert isinstance(levels, dict)
    assert list(levels) == [method.desc for method in names.methods()]
    assert set(dictionaries.THALAMUS_MORPH["status"]["Levels"]) == {"ok", "missing", "failed", "excluded"}
    assert set(dictionaries.THALAMUS_MORPH["image"]["Levels"]) == {method.image for method in names.methods()}


def test_the_guides_name_what_there_is() -> None:
    outputs, inputs = ((DOCS / name).read_text(encoding="utf-8") for name in ("outputs.md", "inputs.md"))
    for name in (*dictionaries.THALAMUS_COLUMNS, *dictionaries.ICV_COLUMNS, *dictionaries.LABEL_TABLE_COLUMNS):
        assert f"`{name}`" in outputs
    for method in names.methods():
        if method.family == "synthal" and method.rule in (None, "mean"):
            assert f"`{method.desc}`" in outputs
    assert all(f"`{key}`" in inputs for key in KEYS)
    assert all(f"*_{suffix}.nii" in inputs for suffix in SUFFIXES)
