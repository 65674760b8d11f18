"""Thalamus masks that the user has: which folder they are taken from, and what a step records of one."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.files import write_json
from thalbids.image.io import load_labels, save_image
from thalbids.participant.stages.session.given import GivenMaskParams, given_mask, given_results
from thalbids.settings import load


def test_a_masks_own_name_comes_before_that_of_its_family(tmp_path: Path) -> None:
    for name in ("own", "family", "other"):
        (tmp_path / name).mkdir()
    places = {
        "MindGlide": str(tmp_path / "family"),
        "mindglideT1w": str(tmp_path / "own"),
        "first": str(tmp_path / "other"),
    }
    settings = load(None, {"inputs": {"derivatives": places}})
    assert [*given_results(settings.inputs.derivatives, "mindglide", "mindglideT1w")] == ["mindglideT1w", "MindGlide"]
    assert [*given_results(settings.inputs.derivatives, "mindglide", "mindglideFLAIR")] == ["MindGlide"]
    assert given_results(settings.inputs.derivatives, "dbsegment", "dbsegment") == {}


def test_a_mask_without_sides_is_split_and_its_origin_recorded(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, 3] = -20
    shape = (40, 40, 40)
    save_image(np.random.default_rng(1).random(shape, dtype=np.float32), affine, tmp_path / "t1w.nii.gz")
    nib.save(nib.load(tmp_path / "t1w.nii.gz"), tmp_path / "raw.nii.gz")
    mask = np.zeros(shape, np.uint8)
    mask[8:16, 15:25, 15:25] = mask[25:33, 15:25, 15:25] = 1
    save_image(mask, affine, tmp_path / "mask.nii.gz", dtype=np.uint8)
    save_image(np.ones(shape, np.uint8), affine, tmp_path / "brain.nii.gz", dtype=np.uint8)
    write_json(tmp_path / "t1w.json", {"ThalamiCentreMm": [0.5, 0.0, 0.0]})
    write_json(tmp_path / "mask.json", {"Manual": True})
    inputs = {
        "mask": tmp_path / "mask.nii.gz", "told": tmp_path / "mask.json", "raw": tmp_path / "raw.nii.gz",
        "T1w": tmp_path / "t1w.nii.gz", "seen": tmp_path / "t1w.json", "brain": tmp_path / "brain.nii.gz",
    }  # fmt: skip
    outputs = {
        "mask": tmp_path / "o_mask.nii.gz",
        "dseg": tmp_path / "o_dseg.nii.gz",
        "table": tmp_path / "o_dseg.tsv",
    }
    done = given_mask(inputs, outputs, GivenMaskParams("first", "bids:x", False, "bids::t1w", "by hand"), {})
    labels = np.asarray(load_labels(outputs["dseg"]).dataobj)
    assert (labels[:20] != 49).all() and (labels[20:] != 10).all()
    np.testing.assert_array_equal(labels != 0, mask != 0)
    told = done.sidecars["mask"]
    assert told["Manual"] is True and told["Given"] is True and told["InBrainFraction"] == 1.0
    assert told["Sides"] == "split at the midline" and told["Sources"] == ["bids:x"]
