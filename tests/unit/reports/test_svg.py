"""PNG and SVG by hand: read back by other programs."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from thalbids.reports import palette, svg
from thalbids.reports.planes import Plane

Image = pytest.importorskip("PIL.Image")


def read(data: bytes):
    return Image.open(io.BytesIO(data))


def test_png_keeps_every_value():
    grey = np.random.default_rng(0).integers(0, 256, (17, 23), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(read(svg.png(grey))), grey)


def test_overlay_is_coloured_where_true_and_clear_elsewhere():
    mask = np.random.default_rng(0).random((9, 21)) > 0.5
    rgba = np.asarray(read(svg.png_overlay(mask, "#FF5A36")).convert("RGBA"))
    np.testing.assert_array_equal(rgba[..., 3] == 255, mask)
    assert tuple(rgba[mask][0][:3]) == (0xFF, 0x5A, 0x36)


def test_window_maps_the_range_to_0_255():
    np.testing.assert_array_equal(svg.window(np.array([[-5.0, 0, 51, 100, 300]]), 0, 100), [[0, 0, 130, 255, 255]])
    assert not svg.window(np.ones((2, 2)), 1, 1).any()


def middle(path: str) -> tuple[float, float]:
    """Middle of the box of the first line."""
    start, moves = re.match(r"M(-?\d+ -?\d+)((?:l-?\d+ -?\d+)*)z", path).groups()
    steps = np.array([[int(v) for v in m] for m in re.findall(r"l(-?\d+) (-?\d+)", moves)])
    points = np.array([int(v) for v in start.split()]) + np.cumsum(np.vstack([[0, 0], steps]), axis=0)
    x, y = (points.min(axis=0) + points.max(axis=0)) / 2
    return x, y


def shoelace(path: str) -> float:
    """Area inside the lines of a path, in SVG units squared."""
    total = 0.0
    for start, moves in re.findall(r"M(-?\d+ -?\d+)((?:l-?\d+ -?\d+)*)z", path):
        points = [tuple(map(int, start.split()))]
        for move in re.findall(r"l(-?\d+) (-?\d+)", moves):
            points.append((points[-1][0] + int(move[0]), points[-1][1] + int(move[1])))
        x, y = np.array(points, float).T
        total += abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return total


def test_contour_encloses_the_mask():
    rows, columns = np.indices((80, 80))
    disc = ((rows - 40) ** 2 + (columns - 30) ** 2 <= 20**2).astype(np.float32)
    path = svg.contour(disc, step=0.5)
    assert shoelace(path) == pytest.approx(np.pi * 100**2, rel=0.01)  # radius 20 pixels = 10 mm = 100 units
    assert middle(path) == pytest.approx((152.5, 202.5), abs=1)  # of pixel (30, 40), whose corner is (150, 200)


def test_contour_of_nothing_and_of_everything():
    assert svg.contour(np.zeros((5, 5)), 1.0) == ""
    assert shoelace(svg.contour(np.ones((5, 5)), 1.0)) == pytest.approx(
        2500, rel=0.05
    )  # closed at the picture's border


def make_panel(alt="A <picture> & 'more'", key="m0", name="<b>x</b>"):
    plane = Plane("axial", (0.0, 0.0, -12.34), 20.0, 10.0, 0.5)
    disc = np.zeros(plane.shape, np.float32)
    disc[5:15, 5:15] = 1
    line = svg.Outline(svg.contour(disc, 0.5), palette.style("synthalT1w"), key, name, distrusted=True)
    return svg.SlicePicture(plane, np.zeros(plane.shape, np.uint8), alt, [line], disc > 0, "e0", "caption")


def test_panel_is_well_formed_says_where_it_is_and_escapes_text():
    text = svg.panel(make_panel())
    root = ElementTree.fromstring(text)  # noqa: S314
    assert root.attrib["aria-label"] == "A <picture> & 'more'"
    assert root.attrib["viewBox"] == "0 0 200 100"
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == 2 * ["L", "R", "z = \N{MINUS SIGN}12.3 mm", "caption"]  # the rim, then the letters
    assert [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")] == ["<b>x</b>"]
    assert palette.DISTRUST in text


def make_montage():
    rows = [[make_panel(), make_panel()], [make_panel()]]
    return svg.montage("<title>", rows, [("a & b", palette.Style("#ffffff"))], "note")


def test_montage_is_well_formed_and_deterministic():
    assert make_montage() == make_montage()
    root = ElementTree.fromstring(make_montage())  # noqa: S314
    assert "<title>" in [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
