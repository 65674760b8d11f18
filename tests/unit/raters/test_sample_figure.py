"""The histograms of a sample."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.unit.raters.test_sample import cohort
from thalbids.raters.sample import SamplingDesign, select


def test_the_histograms_are_written_and_always_the_same(tmp_path: Path) -> None:
    from thalbids.raters.sample_figure import draw

    design = SamplingDesign(include=("PMS",))
    found = select(cohort(), design)
    for name in ("a", "b"):
        draw(found, design, tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)  # noqa: S314 (our own)
    assert (tmp_path / "b.svg").read_text(encoding="utf-8") == text
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").stat().st_size > 5000
