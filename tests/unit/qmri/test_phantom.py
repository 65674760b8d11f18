"""The phantom's signal by the equations of FLASH, its ringing by Fourier, its files by BIDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thalbids.files import read_json
from thalbids.image.io import load_image
from thalbids.qmri import phantom
from thalbids.qmri.models.flash import Weighting

AFFINE = np.array([[8.0, 0, 0, -88], [0, 8.0, 0, -104], [0, 0, 8.0, -92], [0, 0, 0, 1]])
SHAPE = (22, 26, 23)


def test_the_head_has_every_tissue_and_is_symmetric_about_the_midline() -> None:
    affine = AFFINE.copy()
    affine[0, 3] = -8.0 * (SHAPE[0] - 1) / 2
    labels = phantom.head(SHAPE, affine)
    assert set(np.unique(labels)) == set(range(len(phantom.LABELS)))
    thalami = labels == phantom.LABELS.index("thalamus")
    np.testing.assert_array_equal(thalami, thalami[::-1])


def test_signal_of_one_tissue_by_hand() -> None:
    one = np.ones((1, 1, 1), np.float32)
    there = phantom.Properties(r1=one, r2star=20 * one, density=80 * one, saturation=0 * one)
    first, second = phantom.echoes(there, Weighting(20.0, 0.02), (0.0, 0.05))
    decay, angle = np.exp(-0.02), np.deg2rad(20)
    expected = 80 * np.sin(angle) * (1 - decay) / (1 - decay * np.cos(angle))
    assert first.item() == pytest.approx(expected, rel=1e-5)
    assert second.item() == pytest.approx(expected * np.exp(-1), rel=1e-5)


def test_noise_depends_on_the_seed_alone() -> None:
    there = phantom.properties_of(phantom.head(SHAPE, AFFINE))
    contrast = phantom.PAPER_PROTOCOL["PDw"]
    one, again, other = (phantom.echoes(there, contrast, (0.002,), noise=0.1, seed=(s,))[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_truncation_keeps_the_mean_and_rings_at_edges() -> None:
    image = np.zeros((32, 32, 2))
    image[8:24] = 1
    cut = phantom.truncated(image, 0.5)
    assert cut.mean() == pytest.approx(image.mean()) and cut.max() > 1.03
    np.testing.assert_array_equal(phantom.truncated(image, 1.0), image)


def test_files_have_names_and_sidecars_of_bids(tmp_path: Path) -> None:
    still = phantom.properties_of(phantom.head(SHAPE, AFFINE))
    scanner = phantom.Scanner(phantom.PAPER_PROTOCOL, (0.0025, 0.005))
    written = phantom.write_mpm(tmp_path, "sub-01", lambda name: still, AFFINE, scanner)
    assert len(written) == 3 * 2 + 1 and all(path.is_file() for path in written)
    told = read_json(tmp_path / "anat" / "sub-01_acq-MTw_echo-2_flip-1_mt-on_MPM.json")
    assert told == {"FlipAngle": 5.0, "RepetitionTimeExcitation": 0.037, "EchoTime": 0.005, "MTState": True}
    field = np.asarray(load_image(written[-1]).dataobj)
    assert field.min() >= 50 and field.max() <= 130  # percent


def test_motion_moves_the_thalami() -> None:
    affine = np.array([[4.0, 0, 0, -88], [0, 4.0, 0, -104], [0, 0, 4.0, -92], [0, 0, 0, 1]])
    still = phantom.properties_of(phantom.head((44, 52, 46), affine))
    shift = np.eye(4)
    shift[:3, 3] = (4.0, -8.0, 0.0)
    moved = phantom.moved(still, affine, shift)
    np.testing.assert_allclose(moved.r1[10:34, 10:40, 10:36], still.r1[9:33, 12:42, 10:36], atol=1e-4)
