"""Colours and dashes of methods."""

from __future__ import annotations

import re

import numpy as np

from thalbids.reports import palette


def test_a_method_looks_the_same_everywhere_and_unlike_its_siblings():
    methods = ["synthalT1w", "synthalFLAIR", "synthalR1map", "synthalT1FLAIR", "synthalT1R1", "synthalR1FLAIR",
               "synthalT1FLAIRR1", "freesurfer", "first", "dbsegment", "mindglideT1w", "mindglideFLAIR"]  # fmt: skip
    styles = [palette.style(method) for method in methods]
    assert len(set(styles)) == len(methods)
    assert palette.style("thirdParty") == palette.style("thirdParty")
    for method in palette.names.methods():
        assert re.fullmatch("#[0-9A-F]{6}", palette.style(method.desc).colour)


def test_colours_of_one_family_stay_apart_for_colour_blind_people():
    """Smallest distance in CIELAB under deuteranopia and protanopia (Vienot 1999)."""
    family = [
        "synthalT1w",
        "synthalFLAIR",
        "synthalR1map",
        "synthalT1FLAIR",
        "synthalT1R1",
        "synthalR1FLAIR",
        "synthalT1FLAIRR1",
    ]
    rgb = np.array([[int(palette.style(m).colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for m in family])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for blind in (DEUTERANOPIA, PROTANOPIA):
        lab = cielab(np.clip(linear @ blind.T, 0, 1))
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e9 * np.eye(len(lab))
        assert distance.min() > 10


DEUTERANOPIA = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


PROTANOPIA = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])


def cielab(linear: np.ndarray) -> np.ndarray:
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    f = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
