"""The canvas of figures: ticks and digits."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.unit.reports.group import paper_tables
from thalbids.group.registry import ANALYSES
from thalbids.group.reporting import story
from thalbids.reports.group.figures import canvas
from thalbids.reports.group.group_data import Tables

SVG = "{http://www.w3.org/2000/svg}svg"


def test_small_numbers_keep_their_digits(tmp_path: Path) -> None:
    """Coordinates are shortened, never what people read."""
    panel = canvas.Panel("0.0001", "alt", lambda on: on.text(0.123456, 0.5, "p = 0.00012"))
    text = canvas.draw(canvas.Figure("a", "t", "i", [panel], "x.tsv"), tmp_path).svgs[0]
    assert ">0.0001<" in text and ">p = 0.00012<" in text
    assert not re.search(r'="[^"]*\d\.\d{3}', text)


def test_panels_of_a_file_fill_their_places_and_no_more(tmp_path: Path) -> None:
    """In units of the sheet, which are points: with "pt" a browser draws them a third too large and cuts them off."""
    panel = canvas.Panel("t", "alt", lambda on: on.plot([0, 1]), 3.0, 2.0)
    canvas.draw(canvas.Figure("a", "t", "i", [panel] * 3, "x.tsv", columns=2), tmp_path)
    sheet = ElementTree.parse(tmp_path / "a.svg").getroot()  # noqa: S314 (our own file)
    places = [[float(one.get(key, "")) for key in ("x", "y", "width", "height")] for one in sheet.findall(SVG)]
    assert places == [[0, 0, 216, 144], [226.8, 0, 216, 144], [0, 154.8, 216, 144]]
    assert sheet.get("viewBox") == "0 0 442.8 298.8"


def test_every_panel_can_be_drawn_in_another_process(tmp_path: Path) -> None:
    tables = Tables(paper_tables.write(tmp_path))
    figures = [figure for make in story(ANALYSES) for figure in make(tables).figures]
    assert len(figures) > 10
    for figure in figures:
        assert pickle.loads(pickle.dumps(figure)).name == figure.name


@pytest.mark.slow
def test_the_files_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    tables = Tables(paper_tables.write(tmp_path))
    figures = [figure for make in story(ANALYSES) for figure in make(tables).figures][: canvas.FEW]
    one, two = (canvas.draw_all(figures, tmp_path / str(n), n) for n in (1, 2))
    assert [drawn.svgs for drawn in one] == [drawn.svgs for drawn in two]
    for a, b in zip(one, two, strict=True):
        assert [path.read_bytes() for path in a.files] == [path.read_bytes() for path in b.files]


def test_a_long_title_fits_above_its_panel(tmp_path: Path) -> None:
    title = "Change of 9-HPT (n = 71 to 84): all, clipped at 1-99 %"
    panel = canvas.Panel(title, "alt", lambda on: on.plot([0, 1]))
    canvas.draw(canvas.Figure("a", "t", "i", [panel], "x.tsv"), tmp_path)
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert pixels[: canvas.DPI // 5, -3:].min() > 250
