"""Every source of an intracranial volume has a sentence in the methods paragraph."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids import families
from thalbids.reports import boilerplate

FRAGMENTS = Path(__file__).resolve().parents[3] / "boilerplate" / "participant"


@pytest.mark.parametrize("source", families.icv_sources())
def test_every_source_of_an_intracranial_volume_has_a_sentence(source: str) -> None:
    assert any(f"icv-{source}" in names for _, names in boilerplate.LAYOUT["participant"])
    assert (FRAGMENTS / f"icv-{source}.md").read_text(encoding="utf-8").strip()
