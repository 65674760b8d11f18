"""The volumes that the viewer gets: on a grid of the session, where the images are, small."""

from __future__ import annotations

import base64
import gzip

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import affine_of, ramp, world_coordinates
from thalbids.reports import palette
from thalbids.reports.participant import viewer
from thalbids.reports.views import Focus, Mask, Volume

CENTRE = (3.0, -5.0, 7.0)
FOCUS = Focus({"axial": (4, 7, 10), "coronal": (-8, -5, -2), "sagittal": (-9, 3, 15)}, CENTRE)


def unpack(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def volume(orientation: str, shape=(60, 64, 62), zoom: float = 2.0) -> Volume:
    affine = affine_of(orientation, shape) @ np.diag([zoom, zoom, zoom, 1])
    affine[:3, 3] += np.array(CENTRE) - (affine @ [*((np.array(shape) - 1) / 2), 1])[:3]
    return Volume(ramp(world_coordinates(affine, shape)).astype(np.float32), affine)


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_an_image_keeps_its_values_and_places(orientation: str, zoom: float):
    image = volume(orientation, zoom=zoom, shape=(60, 64, 62) if zoom > 0.5 else (220, 220, 220))
    packed = viewer.content({"T1w": image}, [], FOCUS, "")["images"][0]
    got = unpack(packed["data"])
    values, affine = got.get_fdata(), got.affine
    world = world_coordinates(affine, got.shape)
    seen = (np.abs(world - np.reshape(CENTRE, (3, 1, 1, 1))) < 20).all(axis=0)
    assert seen.sum() > 50
    within = (ramp(world) > packed["low"]) & (ramp(world) < packed["high"]) & seen
    step = (packed["high"] - packed["low"]) / viewer.GREYS
    assert np.abs(values - ramp(world))[within].max() <= step / 2 + 1e-3
    assert min(nib.affines.voxel_sizes(affine)) >= min(0.99, 0.8 * zoom)
    extent = np.abs(affine[:3, :3]) @ got.shape
    assert (extent > 0.8 * np.array(viewer.BOX_MM)).all()


def test_the_grid_of_a_coarse_image_is_kept(orientation: str):
    image = volume(orientation)
    shape, affine = viewer.crop_grid(image.affine, CENTRE)
    index = np.linalg.inv(image.affine) @ affine
    np.testing.assert_allclose(index[:3, :3], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(index[:3, 3], np.rint(index[:3, 3]), atol=1e-6)
    assert np.prod(shape) < 100_000


def test_a_mask_is_the_same_voxels(orientation: str):
    image = volume(orientation)
    labels = np.zeros(image.data.shape, np.uint8)
    labels[25:35, 30:36, 28:33] = 1
    box = np.eye(4)
    box[:3, 3] = (24, 29, 27)
    small = Volume(labels[24:36, 29:37, 27:34], image.affine @ box)
    mask = Mask(small, "T1w", palette.Style("#56B4E9"), "k", "<b>", False)
    empty = Mask(Volume(np.zeros((1, 1, 1), np.uint8), np.eye(4)), "T1w", palette.Style("#56B4E9"), "e", "e", False)
    got = viewer.content({"T1w": image}, [mask, empty], FOCUS, "k")["masks"]
    assert [(m["key"], m["shown"], m["colour"]) for m in got] == [("k", True, "#56B4E9")]
    found = unpack(got[0]["data"])
    data = np.asarray(found.dataobj)
    assert data.sum() == labels.sum()
    centre = nib.affines.apply_affine(found.affine, np.argwhere(data)).mean(axis=0)
    np.testing.assert_allclose(
        centre, nib.affines.apply_affine(image.affine, np.argwhere(labels)).mean(axis=0), atol=1e-3
    )


def test_a_probability_keeps_its_values(orientation: str):
    image = volume(orientation)
    share = Volume(np.clip(image.data / image.data.max(), 0, 1).astype(np.float32), image.affine)
    (got,) = viewer.content({"T1w": image}, [], FOCUS, "", {"SynThal T1w": share})["maps"]
    assert (got["label"], got["low"], got["high"]) == ("SynThal T1w", viewer.LEAST_SHARE, 1.0)
    found = unpack(got["data"])
    values = found.get_fdata()
    expected = np.clip(ramp(world_coordinates(found.affine, found.shape)) / image.data.max(), 0, 1)
    seen = (np.abs(world_coordinates(found.affine, found.shape) - np.reshape(CENTRE, (3, 1, 1, 1))) < 20).all(axis=0)
    assert np.abs(values - expected)[seen].max() <= 0.5 / viewer.GREYS + 1e-6


def test_what_lies_outside_of_an_image_is_zero() -> None:
    small = Volume(np.arange(1, 28, dtype=np.float32).reshape(3, 3, 3), np.eye(4))
    affine = np.eye(4)
    affine[:3, 3] = (1, -1, 3 - 1e-9)
    cut = viewer.on_grid(small, (4, 3, 2), affine, 1)
    assert cut.dtype == np.float32
    assert not cut.any()
    affine[2, 3] = 2 - 1e-9
    expected = np.zeros((4, 3, 2))
    expected[:2, 1:, 0] = small.data[1:, :2, 2]
    np.testing.assert_array_equal(viewer.on_grid(small, (4, 3, 2), affine, 1), expected)


def test_the_same_data_give_the_same_text():
    image = volume("RAS")
    assert viewer.content({"T1w": image}, [], FOCUS, "") == viewer.content({"T1w": image}, [], FOCUS, "")


def test_the_program_is_the_one_that_the_page_beside_it_names():
    from hashlib import sha256
    from importlib import resources

    folder = resources.files("thalbids.reports") / "assets" / "niivue"
    readme = (folder / "README.md").read_text("utf-8")
    assert sha256(gzip.decompress(base64.b64decode(viewer.program()))).hexdigest() in readme
    assert f"`@niivue/niivue` {viewer.VERSION}" in readme
    assert "Copyright (c) 2021, Niivue" in (folder / "LICENSE").read_text("utf-8")
