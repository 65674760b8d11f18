"""Histograms of an image inside the brain."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from thalbids.reports.participant.histogram import histogram, svg, ticks


def test_every_voxel_is_counted_and_the_median_is_that_of_the_values():
    values = np.concatenate([np.linspace(0, 1, 1000), [-5.0, 7.0, np.nan, np.inf]])
    made = histogram(values, "R1", "1/s", 0.99, "99th percentile")
    assert made is not None
    assert made.counts.sum() == 1002
    assert made.median == pytest.approx(0.5, abs=0.01)
    assert made.edges[0] <= 0


def test_nothing_to_show():
    assert histogram(np.array([]), "R1", "1/s") is None
    assert histogram(np.array([np.nan]), "R1", "1/s") is None


def test_a_constant_image_can_be_drawn():
    made = histogram(np.zeros(10), "R1", "1/s")
    assert made is not None
    ElementTree.fromstring(svg(made))  # noqa: S314


def test_the_picture_is_well_formed_and_says_what_it_shows():
    made = histogram(np.linspace(0, 1, 1001), "<b>R1</b>", "1/s & more", 0.99, "99th percentile")
    assert made is not None
    root = ElementTree.fromstring(svg(made))  # noqa: S314
    assert root.attrib["aria-label"].startswith("Histogram of <b>R1</b> inside the brain mask; median 0.5 ")
    assert "99th percentile 0.99" in [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]


def test_ticks_are_round():
    assert ticks(0, 1000) == [0, 200, 400, 600, 800, 1000]
    assert ticks(-3, 3) == [-3, -2, -1, 0, 1, 2, 3]
