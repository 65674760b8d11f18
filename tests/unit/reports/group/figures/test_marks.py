"""Marks of figures: boxes, lines, estimates."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet

from thalbids.reports.group.figures import look, marks


def axes():
    return Sheet().add_subplot()


def test_tukeys_box() -> None:
    """1 to 9 and 30: quartiles by hand, whiskers at the last values within 1.5 IQR."""
    box = marks.tukey(np.array([*range(1, 10), 30, np.nan]))
    assert (box["q1"], box["med"], box["q3"]) == (3.25, 5.5, 7.75)
    assert (box["whislo"], box["whishi"]) == (1, 9)
    assert box["fliers"].tolist() == [30]


def test_boxes_are_drawn_at_their_rows() -> None:
    rows = [
        marks.BoxPlotRow("a", np.array([*range(1, 10), 30.0, np.nan]), "#ff0000"),
        marks.BoxPlotRow("none", np.array([np.nan]), "#00ff00"),
        marks.BoxPlotRow("b", np.arange(1.0, 6.0), "#0000ff"),
    ]
    drawn = axes()
    marks.boxes(drawn, rows, "x", ends=(0, 40))
    filled, thin, medians = drawn.collections
    corners = [path.vertices[:4].tolist() for path in filled.get_paths()]
    assert corners[0] == [[3.25, -0.31], [7.75, -0.31], [7.75, 0.31], [3.25, 0.31]]
    assert corners[1][0] == [2.0, 2 - 0.31] and len(corners) == 2  # a row without values stays empty
    assert [segment.tolist() for segment in thin.get_segments()][:2] == [[[3.25, 0], [1, 0]], [[1, -0.155], [1, 0.155]]]
    assert [segment[0, 0] for segment in medians.get_segments()] == [5.5, 3.0]
    assert drawn.lines[0].get_xydata().tolist() == [[30, 0]]
    assert len(drawn.lines[1].get_xydata()) == 10 + 5  # every value
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["a", "none", "b"] and drawn.get_xlim() == (0, 40)


def test_the_fitted_line_goes_through_the_points() -> None:
    drawn = axes()
    marks.fitted(drawn, np.array([1.0, 2, 3]), np.array([2.0, 4, 6]))
    np.testing.assert_allclose(drawn.lines[0].get_xydata(), [[1, 2], [3, 6]])
    marks.fitted(drawn, np.array([1.0, 1]), np.array([2.0, 4]))
    assert len(drawn.lines) == 1  # no line through one place


def test_estimates_that_stand_out_are_filled_and_dotted_and_none_is_drawn_without_a_number() -> None:
    rows = [
        marks.Dot("a", 1, 0.5, 2, "#ffffff", filled=True),
        marks.Dot("b", 1, 0.5, 2, "#ff0000", filled=False),
        marks.Dot("c", np.nan, np.nan, np.nan, "#ff0000", note="does not vary"),
    ]
    drawn = axes()
    marks.dots(drawn, rows, "x")
    faces = [line.get_markerfacecolor() for line in drawn.lines if line.get_marker() == "o"]
    assert faces == ["#ffffff", "white", "white", look.INK]  # and a dark dot on a white one where it stands out
    assert drawn.lines[-1].get_xydata().tolist() == [[1, 0]]
    (intervals,) = drawn.collections
    assert [segment.tolist() for segment in intervals.get_segments()] == [[[0.5, 0], [2, 0]], [[0.5, 1], [2, 1]]]
    assert list(intervals.get_linewidths()) == [2, 1]
    assert [text.get_text() for text in drawn.texts] == ["does not vary"]
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["a", "b", "c"]


def test_why_there_is_no_estimate_is_said_in_full() -> None:
    reason = "one person alone determines a coefficient (leverage 1): no HC3 standard error"
    sheet = Sheet(figsize=(5.2, marks.height(2)))
    canvas_ = FigureCanvasAgg(sheet)
    drawn = sheet.add_subplot()
    rows = [marks.Dot("a", 1, 0, 2, "#ff0000"), marks.Dot("b", np.nan, np.nan, np.nan, "#ff0000", note=reason)]
    marks.dots(drawn, rows, "x")
    (text,) = drawn.texts
    assert text.get_text().split() == reason.split() and "\n" in text.get_text()
    place, panel = text.get_window_extent(canvas_.get_renderer()), drawn.get_window_extent()
    assert panel.x0 < place.x0 and place.x1 < panel.x1
    assert place.height < panel.height / 2  # its row


def test_logarithmic_axes_have_plain_numbers() -> None:
    drawn = axes()
    marks.dots(drawn, [marks.Dot("a", 100, 1, 10000, "#ff0000")], "x", reference=1, log=True)
    drawn.figure.canvas.draw()
    low, high = drawn.get_xlim()
    seen = {tick.get_text() for tick in drawn.get_xticklabels() if low <= tick.get_position()[0] <= high}
    assert len(seen) > 1 and seen <= {"1", "10", "100", "1000", "10000"}
