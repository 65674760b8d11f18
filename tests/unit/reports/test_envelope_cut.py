"""Where an envelope ends a mask."""

from __future__ import annotations

import numpy as np

from thalbids.reports import text, views


def test_the_cut_is_the_part_of_the_surface_that_is_the_envelopes() -> None:
    envelope = np.zeros((12, 12, 12), np.uint8)
    envelope[2:8, 2:8, 2:8] = 1
    mask = np.zeros(envelope.shape, np.uint8)
    mask[2:6, 3:7, 3:7] = 1  # it touches one face of the envelope, x = 2
    box = np.eye(4)
    box[:3, 3] = 1  # a mask is kept as the box that holds it
    cut = views.cut_surface(views.Volume(mask[1:, 1:, 1:], box), views.Volume(envelope, np.eye(4)))
    expected = np.zeros_like(mask)
    expected[2, 3:7, 3:7] = 1
    np.testing.assert_array_equal(cut.data, expected[1:, 1:, 1:])
    np.testing.assert_array_equal(cut.affine, box)


def test_which_mask_is_cut_by_which() -> None:
    assert text.envelope_of("mindglideFLAIR") == "first"
    assert text.envelope_of("mindglideT1wInSynthal") == "synthalT1w"
    assert text.envelope_of("synthalT1w") == text.envelope_of("somebody's") == ""
