"""Figures: what is drawn where, by the shapes on the axes, and the words beside them."""

from __future__ import annotations

from pathlib import Path

from thalbids.reports.group.figures import clinical, descriptive, overlap, volumetric
from thalbids.reports.group.group_data import Tables


def test_no_data_no_figure(tmp_path: Path) -> None:
    empty = Tables(tmp_path)
    made = [
        overlap.boxes(empty),
        overlap.containment(empty),
        volumetric.scatter(empty),
        descriptive.volumes(empty),
        descriptive.change(empty),
        descriptive.sample_size(empty),
        descriptive.normative(empty),
        clinical.sensitivity(empty),
        clinical.ordinal(empty),
        clinical.residuals(empty, "longitudinal"),
    ]
    assert made == [None] * len(made)
    assert descriptive.pbvc(empty) == []
