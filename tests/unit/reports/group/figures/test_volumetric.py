"""Figures of volumes against manual masks: one panel a method, all on one scale."""

from __future__ import annotations

from pathlib import Path

from thalbids.reports.group.figures import volumetric
from thalbids.reports.group.group_data import Tables, methods_in


def test_one_panel_a_method_and_numbers_of_the_table(tables: Tables) -> None:
    methods = methods_in(tables.get("overlap"))
    for figure in (volumetric.scatter(tables), volumetric.bland_altman(tables)):
        assert figure is not None and len(figure.panels) == len(methods)
    found = volumetric.estimates(tables, methods[0])
    assert {"ccc", "bias", "loa_low", "loa_high"} <= set(found)
    assert volumetric.estimates(tables, "nothing") == {}


def test_without_manual_masks_there_is_no_figure(tmp_path: Path) -> None:
    assert volumetric.scatter(Tables(tmp_path)) is None and volumetric.bland_altman(Tables(tmp_path)) is None
