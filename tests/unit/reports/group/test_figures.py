"""Figures: what is drawn where, by the shapes on the axes, and the words beside them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet

from tests.unit.reports.group import paper_tables
from thalbids.bids.results.names import ordered
from thalbids.reports.group.figures import canvas, clinical, descriptive, look, marks, overlap, volumetric
from thalbids.reports.group.group_data import Tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(paper_tables.write(tmp_path_factory.mktemp("paper")))


def axes():
    return Sheet().add_subplot()


def test_tukeys_box() -> None:
    """1 to 9 and 30: quartiles by hand, whiskers at the last values within 1.5 IQR."""
    box = marks.tukey(np.array([*range(1, 10), 30, np.nan]))
    assert (box["q1"], box["med"], box["q3"]) == (3.25, 5.5, 7.75)
    assert (box["whislo"], box["whishi"]) == (1, 9)
    assert box["fliers"].tolist() == [30]


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
    assert faces == ["#ffffff", "white", look.INK, "white"]  # the dark dot on a white one
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


def test_small_numbers_keep_their_digits(tmp_path: Path) -> None:
    """Coordinates are shortened, never what people read."""
    panel = canvas.Panel("0.0001", "alt", lambda on: on.text(0.123456, 0.5, "p = 0.00012"))
    text = canvas.draw(canvas.Figure("a", "t", "i", [panel], "x.tsv"), tmp_path).svgs[0]
    assert ">0.0001<" in text and ">p = 0.00012<" in text
    assert not re.search(r'="[^"]*\d\.\d{3}', text)


def test_logarithmic_axes_have_plain_numbers() -> None:
    drawn = axes()
    marks.dots(drawn, [marks.Dot("a", 100, 1, 10000, "#ff0000")], "x", reference=1, log=True)
    drawn.figure.canvas.draw()
    low, high = drawn.get_xlim()
    seen = {tick.get_text() for tick in drawn.get_xticklabels() if low <= tick.get_position()[0] <= high}
    assert len(seen) > 1 and seen <= {"1", "10", "100", "1000", "10000"}


def test_constructed_containment_is_marked(tables: Tables) -> None:
    table = tables.get("containment")
    found = {(r["method_inner"], r["method_outer"]) for r in table.to_dict("records") if overlap.constructed(r)}
    assert ("mindglideT1w", "first") in found and ("first", "mindglideT1w") not in found
    assert overlap.constructed({"method_inner": "synthalT1w", "method_outer": "synthalT1FLAIR"})
    assert not overlap.constructed({"method_inner": "synthalT1w", "method_outer": "synthalR1FLAIR"})
    figure = overlap.containment(tables)
    assert figure is not None and "Highest:" in figure.panels[0].alt and "1.00" not in figure.panels[0].alt


def test_words_hold_the_main_numbers(tables: Tables) -> None:
    scatter, forest = volumetric.scatter(tables), clinical.forest(tables, "crosssectional", "t", "f", subset="all")
    assert scatter is not None and forest is not None
    assert "CCC 0.61" in next(p.alt for p in scatter.panels if p.title == "MindGlide T1w")
    assert "FSL FIRST -0.19 (p 0.002)" in forest.panels[0].alt
    assert forest.panels[0].title == "EDSS  (n = 309)"


def test_methods_keep_colour_and_order_everywhere(tables: Tables) -> None:
    from thalbids.reports import palette

    assert look.colour("mindglideT1FLAIRR1") == palette.style("mindglideT1FLAIRR1").colour
    assert ordered(["zzz", "mindglideT1w", "first"]) == ["first", "mindglideT1w", "zzz"]
    change = descriptive.change(tables)
    assert change is not None
    assert [p.title.split(" (")[0] for p in change.panels] == ["All", *descriptive.DIAGNOSES]


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


def test_an_outcome_without_any_model_has_no_panel(tmp_path: Path) -> None:
    keys = [
        "outcome",
        "method",
        "term",
        "subset",
        "sensitivity",
        "estimate",
        "ci_low",
        "ci_high",
        "p_fdr",
        "n",
        "reason",
    ]
    lost = "n/a\tn/a\tn/a\tn/a\t0\td_sdmt is missing for everybody"
    rows = [
        "d_edss\tfirst\tdelta_volume_ml\tall\tnone\t-0.2\t-0.4\t0.1\t0.2\t30\tn/a",
        f"d_edss\tsynthalT1w\tdelta_volume_ml\tall\tnone\t{lost}",
        f"d_sdmt\tfirst\tdelta_volume_ml\tall\tnone\t{lost}",
        f"d_edss\tfirst\tdelta_volume_ml\tRRMS\tnone\t{lost}",
    ]
    path = tmp_path / "group_longitudinal.tsv"
    path.write_text("\n".join(["\t".join(keys), *rows]) + "\n")
    which = {"subset": "all", "sensitivity": "none"}
    figure = clinical.forest(Tables(tmp_path), "longitudinal", "t", "f", **which)
    assert figure is not None
    assert [panel.title for panel in figure.panels] == ["Change of EDSS  (n = 30)"]
    assert figure.intro.endswith("no model could be fitted: Change of SDMT.")
    variants = clinical.sensitivity(Tables(tmp_path))
    assert variants is not None
    assert len(variants.panels) == 1
    path.write_text("\n".join(["\t".join(keys), *rows[1:]]) + "\n")
    assert clinical.forest(Tables(tmp_path), "longitudinal", "t", "f", **which) is None
    assert clinical.sensitivity(Tables(tmp_path)) is None
