"""The canvas of figures: ticks and digits."""

from __future__ import annotations

import re
from pathlib import Path

from thalbids.reports.group.figures import canvas


def test_small_numbers_keep_their_digits(tmp_path: Path) -> None:
    """Coordinates are shortened, never what people read."""
    panel = canvas.Panel("0.0001", "alt", lambda on: on.text(0.123456, 0.5, "p = 0.00012"))
    text = canvas.draw(canvas.Figure("a", "t", "i", [panel], "x.tsv"), tmp_path).svgs[0]
    assert ">0.0001<" in text and ">p = 0.00012<" in text
    assert not re.search(r'="[^"]*\d\.\d{3}', text)
