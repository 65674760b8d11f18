from __future__ import annotations

import gzip
import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.spatialimages import HeaderDataError

from tests.conftest import ORIENTATIONS, affine_of, ramp, with_header, world_coordinates, world_image
from thalbids.errors import ImageError, OutputError
from thalbids.image.grids import voxel_volume
from thalbids.image.io import (
    as_stored,
    header_voxels,
    load_image,
    load_labels,
    read_header,
    save_image,
    save_intensities,
    shape_and_affine,
)
from thalbids.image.sparse import load_mask


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_values_and_places_survive_every_orientation_and_header(tmp_path, orientation, header_kind, extension):
    image = with_header(world_image(orientation), header_kind)
    path = tmp_path / f"x{extension}"
    nib.save(image, path)
    loaded = load_image(path)
    assert loaded.get_data_dtype() == np.float32
    np.testing.assert_allclose(loaded.get_fdata(), ramp(world_coordinates(loaded.affine, loaded.shape)), atol=2e-3)
    np.testing.assert_allclose(loaded.affine, image.affine, atol=1e-3)
    assert (loaded.header["sform_code"], loaded.header["qform_code"]) == (1, 1)
    assert loaded.extra == {"notes": (), "nonfinite": 0}


def test_big_endian(tmp_path):
    image = world_image("LPS")
    big = nib.Nifti1Image(np.asanyarray(image.dataobj).astype(">f4"), image.affine, image.header.as_byteswapped(">"))
    nib.save(big, tmp_path / "x.nii.gz")
    assert gzip.decompress((tmp_path / "x.nii.gz").read_bytes())[:4] == struct.pack(">i", 348)
    loaded = load_image(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(loaded.get_fdata(), image.get_fdata())
    assert np.asanyarray(loaded.dataobj).dtype.isnative


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_data_types(tmp_path, dtype):
    values = np.arange(1000).reshape(10, 10, 10) % 250
    nib.save(nib.Nifti1Image(values.astype(dtype), np.eye(4)), tmp_path / "x.nii")
    np.testing.assert_array_equal(load_image(tmp_path / "x.nii").get_fdata(), values)


def test_scl_slope_and_intercept_are_applied_once(tmp_path):
    image = nib.Nifti1Image(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), np.eye(4))
    image.header.set_slope_inter(0.5, -7)
    raw = np.arange(1000).reshape(10, 10, 10) * 0.5 - 7
    nib.save(nib.Nifti1Image(raw.astype(np.float32), np.eye(4), image.header), tmp_path / "x.nii.gz")
    stored = nib.load(tmp_path / "x.nii.gz")
    assert stored.get_data_dtype() == np.int16 and stored.dataobj.slope != 1
    loaded = load_image(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(loaded.get_fdata(), raw, atol=stored.dataobj.slope)
    save_image(loaded.get_fdata(), loaded.affine, tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(load_image(tmp_path / "again.nii.gz").get_fdata(), loaded.get_fdata())


def test_four_dimensions(tmp_path):
    data = np.random.default_rng(0).random((9, 10, 11, 1, 1)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "one.nii.gz")
    np.testing.assert_array_equal(load_image(tmp_path / "one.nii.gz").get_fdata(), data[..., 0, 0])
    nib.save(nib.Nifti1Image(np.repeat(data[..., 0], 3, axis=3), np.eye(4)), tmp_path / "three.nii.gz")
    with pytest.raises(ImageError, match="3 volumes"):
        load_image(tmp_path / "three.nii.gz")


@pytest.mark.parametrize("extension", [".mgz", ".mgh"])
def test_freesurfer_volumes(tmp_path, extension):
    shape = (10, 12, 14)
    affine = affine_of("LIA", shape)
    data = ramp(world_coordinates(affine, shape)).astype(np.float32)
    nib.save(nib.MGHImage(data, affine), tmp_path / f"x{extension}")
    loaded = load_image(tmp_path / f"x{extension}")
    np.testing.assert_allclose(loaded.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(loaded.get_fdata(), data)


def test_content_counts_not_the_name(tmp_path):
    image = world_image()
    (tmp_path / "x.nii.gz").write_bytes(image.to_bytes())
    (tmp_path / "x.nii").write_bytes(gzip.compress(image.to_bytes()))
    for name in ("x.nii", "x.nii.gz"):
        np.testing.assert_array_equal(load_image(tmp_path / name).get_fdata(), image.get_fdata())


def test_nan_and_inf(tmp_path):
    data = np.random.default_rng(1).random((10, 10, 10)).astype(np.float32)
    data[0, 0, 0], data[1, 1, 1] = np.nan, -np.inf
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "few.nii.gz")
    loaded = load_image(tmp_path / "few.nii.gz")
    assert loaded.extra["nonfinite"] == 2 and "2 NaN" in loaded.extra["notes"][-1]
    assert loaded.get_fdata()[0, 0, 0] == loaded.get_fdata()[1, 1, 1] == 0
    assert np.isfinite(loaded.get_fdata()).all()


def test_scattered_nan_are_filled_where_that_is_asked_for(tmp_path):
    data = np.indices((10, 10, 10)).sum(0).astype(np.float32) + 5
    data[4, 5, 6] = np.inf
    data[0] = np.nan
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii")
    loaded = load_image(tmp_path / "x.nii", fill=True)
    assert loaded.get_fdata()[4, 5, 6] == 20  # the mean of a ramp about its middle
    assert (loaded.get_fdata()[0] == 0).all() and loaded.extra["nonfinite"] == 101
    assert np.argwhere(loaded.extra["filled"]).tolist() == [[4, 5, 6]]
    words = "1 NaN or infinite voxels were filled with the mean of their neighbours, 100 were set to 0"
    assert loaded.extra["notes"][-1] == words
    assert load_image(tmp_path / "x.nii").get_fdata()[4, 5, 6] == 0


@pytest.mark.parametrize(
    ("value", "share", "refused"), [(np.nan, 0.9, False), (np.nan, 0.98, True), (np.inf, 0.6, True)]
)
def test_nan_outside_of_the_brain_is_background_and_nearly_nothing_else_is_refused(tmp_path, value, share, refused):
    """A brain of 1.2 L fills 7 % of a field of view of 256 mm along each axis."""
    data = np.random.default_rng(1).random((10, 10, 10)).astype(np.float32) + 1
    data.flat[: int(share * 1000)] = value
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii.gz")
    if refused:
        with pytest.raises(ImageError, match=f"{100 * share:.0f} % of the voxels are NaN"):
            load_image(tmp_path / "x.nii.gz")
    else:
        loaded = load_image(tmp_path / "x.nii.gz")
        assert (loaded.get_fdata() == 0).mean() == pytest.approx(share)
        assert "900 NaN or infinite voxels were set to 0" in loaded.extra["notes"]


def _raw(**fields):
    image = world_image()
    header = image.header.copy()
    raw = bytearray(nib.Nifti1Image(image.get_fdata().astype(np.float32), image.affine, header).to_bytes())
    for offset, content in fields.values():
        raw[offset : offset + len(content)] = content
    return bytes(raw)


BAD = {
    "missing": (None, "does not exist"),
    "empty": (b"", "The file is empty"),
    "nothing in gzip": (gzip.compress(b""), "The file is empty"),
    "text": (b"hello " * 100, "not a NIfTI or MGH image"),
    "magic": (_raw(magic=(344, b"abc\0")), "cannot be read"),
    "cut gz": (gzip.compress(_raw())[:-500], "cut off or damaged"),
    "gz without its checksum": (gzip.compress(_raw())[:-6], "cut off or damaged"),
    "gz with a wrong checksum": (gzip.compress(_raw())[:-8] + b"\0" * 8, "cut off or damaged"),
    "cut nii": (_raw()[:-400], "cut off"),
    "only a header": (_raw()[:200], "cannot be read"),
    "unknown data type": (_raw(datatype=(70, struct.pack("<h", 1234))), "cannot be read"),
    "shape beyond any memory": (
        _raw(dim=(40, struct.pack("<8h", 3, 32000, 32000, 32000, 1, 1, 1, 1))),
        "by its header",
    ),
    "data far behind": (_raw(offset=(108, struct.pack("<f", 1e9))), "begin at byte 1000000000"),
    "data before the header": (_raw(offset=(108, struct.pack("<f", -1e9))), "begin at byte|cannot be read"),
    "data nowhere": (_raw(offset=(108, struct.pack("<f", np.inf))), "cannot be read"),
    "compressed twice": (gzip.compress(gzip.compress(_raw())), "compressed twice"),
    "negative dimension": (
        _raw(dim=(40, struct.pack("<8h", 3, -12, 14, 10, 1, 1, 1, 1))),
        "damaged: it speaks of -12 x 14 x 10 voxels",
    ),
    "sform of NaN": (_raw(srow=(280, struct.pack("<f", np.nan)), qform=(252, b"\0\0")), "finite"),
    "singular": (_raw(srow=(280, b"\0" * 16), qform=(252, struct.pack("<h", 0))), "implausible"),
    "offset of ten metres": (_raw(srow=(292, struct.pack("<f", 1e5)), qform=(252, b"\0\0")), "ten metres"),
    "qform of NaN alone": (_raw(q=(268, struct.pack("<f", np.nan)), sform=(254, b"\0\0")), "no rotation of finite"),
    "metres": (_raw(srow=(280, (np.eye(4, dtype="<f4")[:3] / 1000).tobytes()), q=(252, b"\0\0")), "implausible"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_name_the_file_the_problem_and_the_mend(tmp_path, case):
    content, problem = BAD[case]
    path = tmp_path / "sub-01_T1w.nii.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=problem) as caught:
        load_image(path)
    assert caught.value.path == path
    assert caught.value.mend
    assert "sub-01_T1w" in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair, nib.AnalyzeImage, nib.Spm99AnalyzeImage])
def test_files_of_a_pair_are_called_so_and_not_damaged(tmp_path, kind, zipped):
    image = world_image()
    nib.save(kind(image.get_fdata().astype(np.float32), image.affine), tmp_path / "x.img")
    for name in ("x.hdr", "x.img"):
        path = tmp_path / name
        if zipped:
            path = path.with_name(f"{name.upper()}.gz")
            path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        for reader in (load_image, load_labels, shape_and_affine):
            with pytest.raises(ImageError, match=r"a NIfTI pair or of Analyze 7\.5") as caught:
                reader(path)
            assert caught.value.path == path
            assert "Convert it to .nii.gz (for example with mri_convert" in caught.value.mend


def test_a_whole_nifti_under_the_name_of_a_pair_is_read(tmp_path):
    image = world_image()
    (tmp_path / "x.img").write_bytes(image.to_bytes())
    np.testing.assert_array_equal(load_image(tmp_path / "x.img").get_fdata(), image.get_fdata())


def test_an_image_that_is_too_large_comes_with_two_ways_out(tmp_path):
    (tmp_path / "x.nii.gz").write_bytes(BAD["shape beyond any memory"][0])
    with pytest.raises(ImageError, match=r"32000 x 32000 x 32000 voxels") as caught:
        load_image(tmp_path / "x.nii.gz")
    assert "copy or convert it again. Otherwise resample it" in caught.value.mend


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (np.zeros((9, 9, 9), np.float32), "Every voxel has the value 0"),
        (np.full((9, 9, 9), 7, np.uint8), "Every voxel has the value 7"),
        (np.full((9, 9, 9), np.nan, np.float32), "100 % of the voxels are NaN"),
        (np.ones((9, 9, 9), np.complex64), "complex64"),
        (np.zeros((9, 9, 9), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])), "colours"),
        (np.ones((64, 64, 7), np.float32), "slab"),
        (np.ones((64, 64), np.float32), "slab"),
    ],
)
def test_bad_content(tmp_path, data, problem):
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii.gz")
    with pytest.raises(ImageError, match=problem) as caught:
        load_image(tmp_path / "x.nii.gz")
    assert caught.value.path == tmp_path / "x.nii.gz" and caught.value.mend


@pytest.mark.parametrize("name", ["x.nii.gz", "mask.nii.gz"])
def test_a_small_file_that_inflates_to_much_is_refused_before_it_fills_the_memory(tmp_path, name):
    plain = world_image()
    labels = nib.Nifti1Image(np.ones(plain.shape, dtype=np.uint8), plain.affine)
    squeeze = zlib.compressobj(9, wbits=31)
    parts = [squeeze.compress(labels.to_bytes()), *(squeeze.compress(bytes(2**20)) for _ in range(100))]
    path = tmp_path / name
    path.write_bytes(b"".join([*parts, squeeze.flush()]))
    assert path.stat().st_size < 300_000
    read = load_mask if name.startswith("mask") else load_image
    tracemalloc.start()
    with pytest.raises(ImageError, match="more than its header speaks of"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.nii.gz")
    with pytest.raises(ImageError, match="not a file"):
        load_image(tmp_path / "x.nii.gz")
    (tmp_path / "y.nii.gz").symlink_to("/dev/zero")
    with pytest.raises(ImageError, match="not a file"):
        load_image(tmp_path / "y.nii.gz")


def test_directory_and_broken_link(tmp_path):
    (tmp_path / "dir.nii.gz").mkdir()
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "annexed")
    for name, problem in (("dir.nii.gz", "is a folder"), ("link.nii.gz", "a link to a file that is not here")):
        with pytest.raises(ImageError, match=problem):
            load_image(tmp_path / name)


def test_labels_are_exact(tmp_path):
    labels = np.zeros((10, 10, 10), np.int32)
    labels[2:5, 3:6, 4:7] = 16_777_217  # not representable in float32
    labels[6, 6, 6] = 10
    nib.save(nib.MGHImage(labels, np.eye(4)), tmp_path / "x.mgz")
    loaded = load_labels(tmp_path / "x.mgz")
    np.testing.assert_array_equal(np.asanyarray(loaded.dataobj), labels)
    assert loaded.get_data_dtype() == np.int32


def test_labels_from_floats_empty_masks_and_refusals(tmp_path):
    mask = np.zeros((10, 10, 10), np.float32)
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "empty.nii.gz")
    assert not np.asanyarray(load_labels(tmp_path / "empty.nii.gz").dataobj).any()
    mask[3, 3, 3] = 48.9999
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "x.nii.gz")
    assert np.asanyarray(load_labels(tmp_path / "x.nii.gz").dataobj)[3, 3, 3] == 49
    for value, problem in ((0.5, "not integers"), (np.nan, "NaN"), (1e12, "32 bits")):
        mask[3, 3, 3] = value
        nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "bad.nii.gz")
        with pytest.raises(ImageError, match=problem):
            load_labels(tmp_path / "bad.nii.gz")


def test_saving_is_deterministic_and_keeps_the_place(tmp_path, orientation):
    image = world_image(orientation)
    first = save_image(image.get_fdata(), image.affine, tmp_path / "a.nii.gz")
    second = save_image(image.get_fdata(), image.affine, tmp_path / "new" / "other_name.nii.gz")
    assert first.read_bytes() == second.read_bytes()
    stored = nib.load(first)
    assert (stored.header["sform_code"], stored.header["qform_code"]) == (1, 1)
    assert stored.header.get_xyzt_units()[0] == "mm"
    assert stored.get_data_dtype() == np.float32
    np.testing.assert_allclose(stored.get_sform(), image.affine, atol=1e-5)
    np.testing.assert_allclose(stored.get_qform(), image.affine, atol=1e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz", "new"]


def test_a_sheared_affine_has_no_qform(tmp_path):
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[0, 1] = 0.1
    path = save_image(np.ones((9, 9, 9), bool), affine, tmp_path / "x.nii.gz")
    stored = nib.load(path)
    assert (stored.header["sform_code"], stored.header["qform_code"]) == (1, 0)
    np.testing.assert_allclose(stored.affine, affine, atol=1e-6)
    assert voxel_volume(stored.affine) == pytest.approx(2.0)
    np.testing.assert_allclose(stored.header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        (np.array([0, 1], bool), None, np.uint8),
        (np.array([0, 255]), None, np.uint8),
        (np.array([0, 256]), None, np.int16),
        (np.array([-1, 40000]), None, np.int32),
        (np.array([0.25, 3e5]), None, np.float32),
        (np.array([0.0, 255.0]), np.uint8, np.uint8),
    ],
)
def test_data_types_on_disk(tmp_path, data, dtype, expected):
    volume = np.tile(data, (8, 8, 4))
    stored = nib.load(save_image(volume, np.eye(4), tmp_path / "x.nii.gz", dtype))
    assert stored.get_data_dtype() == expected
    assert (stored.dataobj.slope, stored.dataobj.inter) == (1, 0)
    np.testing.assert_array_equal(stored.get_fdata(), volume)


@pytest.mark.parametrize("value", [256, -1, 0.5, np.nan, np.inf])
def test_nothing_overflows_silently(tmp_path, value):
    volume = np.zeros((8, 8, 8))
    volume[4, 4, 4] = value
    with pytest.raises(ValueError, match="uint8"):
        save_image(volume, np.eye(4), tmp_path / "x.nii.gz", np.uint8)
    assert not list(tmp_path.iterdir())


def test_unwritable_output(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_image(np.ones((8, 8, 8)), np.eye(4), tmp_path / "file" / "x.nii.gz")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_image(np.ones((8, 8, 8)), np.eye(4), tmp_path / "x.nii.gz")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        save_image(np.zeros((8, 8, 8)), np.eye(4), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.nii.gz"]


def noted(path, content: bytes) -> tuple[nib.Nifti1Image, str]:
    path.write_bytes(content)
    loaded = load_image(path)
    return loaded, "; ".join(loaded.extra["notes"])


@pytest.mark.parametrize("rubbish", [b"\n", b"rubbish at the end", b"\0\0\0x"])
def test_what_follows_the_gzip_stream_is_told_and_the_image_read(tmp_path, rubbish):
    image = world_image()
    loaded, notes = noted(tmp_path / "x.nii.gz", gzip.compress(image.to_bytes()) + rubbish)
    np.testing.assert_array_equal(loaded.get_fdata(), image.get_fdata())
    assert f"{len(rubbish.lstrip(bytes(1)))} bytes after the end of the compressed data were not read" in notes
    assert noted(tmp_path / "x.nii.gz", gzip.compress(image.to_bytes()) + bytes(100))[1] == ""


def test_several_members_are_one_stream_and_a_damaged_one_is_an_error(tmp_path):
    raw = world_image().to_bytes()
    loaded, notes = noted(tmp_path / "x.nii.gz", gzip.compress(raw[:900]) + gzip.compress(raw[900:]))
    np.testing.assert_array_equal(loaded.get_fdata(), world_image().get_fdata())
    assert notes == ""
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(raw[:900]) + gzip.compress(raw[900:])[:-5])
    with pytest.raises(ImageError, match="cut off or damaged"):
        load_image(tmp_path / "x.nii.gz")


def test_empty_members_may_come_before_the_header(tmp_path):
    raw, empty = world_image().to_bytes(), gzip.compress(b"", mtime=0)
    start = time.monotonic()
    for before in (2**16, 2**21):
        parts = [empty * (before // len(empty)), gzip.compress(raw[:99]), gzip.compress(raw[99:])]
        (tmp_path / "x.nii.gz").write_bytes(b"".join(parts))
        np.testing.assert_array_equal(load_image(tmp_path / "x.nii.gz").dataobj, world_image().get_fdata())
    assert time.monotonic() - start < 20


def test_megabytes_of_empty_members_take_seconds(tmp_path):
    """Quadratic, 16 MB took 212 s; a fourth of them here, and the time must not be a fourth of that squared."""
    raw, empty = world_image().to_bytes(), gzip.compress(b"", mtime=0)
    (tmp_path / "x.nii.gz").write_bytes(
        gzip.compress(raw[:400]) + empty * (2**22 // len(empty)) + gzip.compress(raw[400:])
    )
    start = time.process_time()
    np.testing.assert_array_equal(load_image(tmp_path / "x.nii.gz").get_fdata(), world_image().get_fdata())
    assert time.process_time() - start < 6


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_more_data_than_the_header_says_is_told(tmp_path, extension):
    raw = world_image().to_bytes() + bytes(5 * 10**6)
    loaded, notes = noted(tmp_path / f"x{extension}", gzip.compress(raw) if extension.endswith("gz") else raw)
    np.testing.assert_array_equal(loaded.get_fdata(), world_image().get_fdata())
    assert notes == "5000000 bytes after the data that the header speaks of were not read"


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_all_the_bytes_that_follow_are_counted_and_not_only_those_that_were_read(tmp_path, extension):
    raw, more = world_image().to_bytes(), 20 * 10**6
    content = raw + b"x" * more if extension == ".nii" else gzip.compress(raw) + b"x" * more
    assert noted(tmp_path / f"x{extension}", content)[1].startswith("20000000 bytes after the ")


@pytest.mark.parametrize(("field", "note"), [
    ({"q": (268, struct.pack("<f", np.nan))}, "the qform is damaged: the sform was used"),
    ({"zooms": (80, struct.pack("<fff", 0, 0, 0))}, "the qform is damaged: the sform was used"),
    ({"s": (292, struct.pack("<f", 1e30))}, "the sform lies metres away from the scanner: the qform was used"),
])  # fmt: skip
def test_one_geometry_that_is_damaged_gives_way_to_the_other(tmp_path, field, note):
    with_qform = {"qform": (252, struct.pack("<h", 1))}
    loaded, notes = noted(tmp_path / "x.nii", _raw(**with_qform, **field))
    assert note in notes and np.abs(loaded.affine[:3, 3]).max() < 1000


def test_an_mgh_file_without_geometry_is_refused(tmp_path):
    """Its default geometry has voxels of 1 mm, whatever they were."""
    nib.save(nib.MGHImage(np.ones((10, 10, 10), np.float32), np.diag([2.0, 2, 2, 1])), tmp_path / "x.mgh")
    raw = (tmp_path / "x.mgh").read_bytes()
    (tmp_path / "x.mgh").write_bytes(raw[:28] + bytes(2) + raw[30:])
    with pytest.raises(ImageError, match="holds no geometry"):
        load_image(tmp_path / "x.mgh")


def test_data_that_begin_at_byte_0_by_the_header(tmp_path):
    loaded, notes = noted(tmp_path / "x.nii", _raw(offset=(108, struct.pack("<f", 0))))
    np.testing.assert_array_equal(loaded.get_fdata(), world_image().get_fdata())
    assert notes == "the header has the data begin at byte 0: read from byte 352"


def test_the_bound_is_one_of_bytes(tmp_path):
    big = _raw(dim=(40, struct.pack("<8h", 3, 800, 800, 800, 1, 1, 1, 1)), kind=(70, struct.pack("<hh", 64, 64)))
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(big))
    with pytest.raises(ImageError, match="4096000000 bytes of data by its header"):
        load_image(tmp_path / "x.nii.gz")


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_colours_and_complex_numbers_are_refused_by_the_header_alone(tmp_path, dtype):
    nib.save(nib.Nifti1Image(np.zeros((8, 9, 10), dtype), np.eye(4)), tmp_path / "x.nii.gz")
    with pytest.raises(ImageError, match="not real numbers"):
        shape_and_affine(tmp_path / "x.nii.gz")


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("dim", None), ("bitpix", 7), ("datatype", 4096), ("datatype", 1536), ("pixdim", (1, 0, 1, 1)),
     ("pixdim", (0, 1, 1, 1)), ("pixdim", (-1, 1, 1, 1)), ("pixdim", (1, 1, -2, 1)), ("magic", b"ni1"),
     ("pixdim", (1, np.nan, 1, 1)),
     ("magic", b"no"), ("vox_offset", 0), ("vox_offset", 100), ("vox_offset", 1000), ("vox_offset", 1024),
     ("qform_code", 9), ("sform_code", -1), ("sform_code", 3)],
)  # fmt: skip
def test_a_header_is_what_all_checks_of_nibabel_make_of_it(kind, endianness, field, value):
    header = kind(endianness=endianness)
    header.set_data_dtype(np.int16)
    header.set_data_shape((8, 9, 10))
    header["vox_offset"] = header.single_vox_offset
    header["pixdim"][0] = 1
    if field == "pixdim":
        header["pixdim"][:4] = value
    elif field != "dim":
        header[field] = value
    expected = header.copy()
    try:
        expected.check_fix()
    except HeaderDataError:
        with pytest.raises(HeaderDataError):
            read_header(header.binaryblock, Path("x.nii"))
        return
    if 0 <= expected["vox_offset"] < header.single_vox_offset:
        expected["vox_offset"] = header.single_vox_offset
    repaired, unchecked = read_header(header.binaryblock, Path("x.nii"))
    assert repaired.binaryblock == expected.binaryblock
    assert unchecked.binaryblock == header.binaryblock


def test_voxels_by_the_header(tmp_path):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((8, 9, 10), np.float32), np.eye(4)), path)
    assert header_voxels(path) == 720
    assert shape_and_affine(path)[0] == (8, 9, 10)
    path.write_bytes(path.read_bytes()[:40])
    assert header_voxels(path) == 0
    assert header_voxels(tmp_path / "gone.nii") == header_voxels(tmp_path) == 0
    nib.save(nib.Nifti1Image(np.zeros((8, 9, 10, 2), np.float32), np.eye(4)), tmp_path / "two.nii")
    with pytest.raises(ImageError, match="2 volumes"):
        shape_and_affine(tmp_path / "two.nii")


def test_a_header_behind_a_long_name_in_the_gzip_file_or_of_several_members_is_read_whole(tmp_path):
    raw = world_image().to_bytes()
    member = bytearray(gzip.compress(raw, mtime=0))
    member[3] |= 8  # a file name follows the ten bytes that begin a member
    named = bytes(member[:10]) + b"n" * 5000 + b"\0" + bytes(member[10:])
    members = b"".join(gzip.compress(raw[at : at + 100]) for at in range(0, 600, 100)) + gzip.compress(raw[600:])
    for content in (named, members, gzip.compress(b"") * 300 + bytes(gzip.compress(raw))):
        (tmp_path / "a.nii.gz").write_bytes(content)
        shape, affine = shape_and_affine(tmp_path / "a.nii.gz")
        assert shape == world_image().shape
        np.testing.assert_array_equal(affine, world_image().affine)


def test_a_file_without_its_end_is_refused_by_its_length(tmp_path: Path) -> None:
    plain = nib.Nifti1Image(np.random.default_rng(1).random((20, 21, 22)), np.eye(4)).to_bytes()
    zipped = gzip.compress(plain)
    sound = {
        "plain.nii": plain,
        "zipped.nii.gz": zipped,
        "tail.nii.gz": zipped + b"tail",  # told in a note of what reads it
        "parts.nii.gz": gzip.compress(plain[:9000]) + gzip.compress(plain[9000:]) + bytes(20),
    }
    for name, content in sound.items():
        (tmp_path / name).write_bytes(content)
        assert shape_and_affine(tmp_path / name)[0] == (20, 21, 22), name
    for name, content in {"b.nii": plain[:-1], "b.nii.gz": zipped[: len(zipped) // 2], "c.nii.gz": zipped[:-5]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match="cut off") as caught:
            shape_and_affine(tmp_path / name)
        with pytest.raises(ImageError) as read:
            load_image(tmp_path / name)
        assert str(caught.value) == str(read.value)


def test_a_sound_file_is_not_read_for_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalbids.image.io._read", lambda path: pytest.fail(f"{path} was read"))
    for name in ("a.nii", "a.nii.gz", "a.mgz"):
        data = np.random.default_rng(1).random((20, 21, 22)).astype(np.float32)
        nib.save((nib.MGHImage if name == "a.mgz" else nib.Nifti1Image)(data, np.eye(4)), tmp_path / name)
        assert shape_and_affine(tmp_path / name)[0] == data.shape


def test_a_block_gzip_file_is_not_read_for_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, end = world_image().to_bytes(), bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
    path, content = tmp_path / "x.nii.gz", gzip.compress(raw[:900]) + gzip.compress(raw[900:]) + end
    assert gzip.decompress(end) == b""
    path.write_bytes(content[:-1])
    with pytest.raises(ImageError, match="cut off"):
        shape_and_affine(path)
    path.write_bytes(content)
    np.testing.assert_array_equal(load_image(path).get_fdata(), world_image().get_fdata())
    monkeypatch.setattr("thalbids.image.io._read", lambda path: pytest.fail(f"{path} was read"))
    assert shape_and_affine(path)[0] == world_image().shape


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_the_order_in_memory_changes_no_byte_and_no_voxel(tmp_path, kind):
    data = np.random.default_rng(3).integers(0, 200, (37, 18, 40)).astype(kind)  # no whole number of blocks
    paths = [save_image(np.asarray(data, order=order), np.eye(4), tmp_path / f"{order}.nii.gz") for order in ("C", "F")]
    turned = save_image(np.ascontiguousarray(data.T).T, np.eye(4), tmp_path / "turned.nii.gz")
    assert len({path.read_bytes() for path in (*paths, turned)}) == 1
    np.testing.assert_array_equal(nib.load(turned).get_fdata(), data)
    loaded = np.asarray(load_image(turned).dataobj)
    assert loaded.flags.c_contiguous and loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, data)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("low", [0.0, -35.0])
def test_intensities_are_written_to_half_a_step(tmp_path, orientation, low):
    data = np.random.default_rng(1).uniform(low, 900, (10, 9, 8)).astype(np.float32)
    data[:4] = 0
    affine = affine_of(orientation, data.shape)
    image = nib.load(save_intensities(data, affine, tmp_path / "x.nii.gz"))
    assert image.get_data_dtype() == (np.uint16 if low == 0 else np.int16)
    step = np.abs(data).max() / (65535 if low == 0 else 32767)
    assert np.abs(image.get_fdata() - data).max() <= 0.5001 * step
    assert (image.get_fdata()[:4] == 0).all()
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "x.nii.gz").dataobj), image.get_fdata().astype("f4"))


@pytest.mark.parametrize("data", [np.zeros((2, 2, 2)), np.full((2, 2, 2), np.nan), np.full((2, 2, 2), 1e-42)])
def test_intensities_without_a_step_stay_floats(tmp_path, data):
    image = nib.load(save_intensities(data, np.eye(4), tmp_path / "x.nii.gz"))
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(image.get_fdata(), data.astype(np.float32))


@pytest.mark.parametrize("spike", [50.0, 1e3, 1e6])
def test_a_single_bright_voxel_does_not_coarsen_the_rest(tmp_path, spike):
    """An R1 map of 1/T1 has spikes where there is noise alone."""
    data = np.random.default_rng(3).normal(0.9, 0.1, (20, 20, 20)).astype(np.float32)
    data[0, 0, 0] = spike
    read = nib.load(save_intensities(data, np.eye(4), tmp_path / "x.nii.gz")).get_fdata()
    np.testing.assert_allclose(read[1:], data[1:], atol=1e-6)


@pytest.mark.parametrize("low", [0.0, -700.0])
@pytest.mark.parametrize("spike", [1.0, 1e9])
def test_what_is_read_back_is_known_beforehand(tmp_path, low, spike):
    data = np.random.default_rng(4).uniform(low, 1100, (9, 10, 11)).astype(np.float32)
    data[1, 2, 3] *= spike
    read = np.asarray(load_image(save_intensities(data, np.eye(4), tmp_path / "x.nii.gz")).dataobj)
    np.testing.assert_array_equal(read, as_stored(data))


def test_a_file_that_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "T1w.nii.gz"
    save_image(np.ones((4, 4, 4)), np.eye(4), path)

    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(ImageError, match=r"Permission denied.*Ask for the right to read it") as caught:
        shape_and_affine(path)
    assert str(path) in str(caught.value)


def test_a_file_is_a_header_and_the_voxels_with_x_fastest(tmp_path: Path) -> None:
    data = np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10)[::-1]
    content = gzip.decompress(save_image(data, np.eye(4), tmp_path / "a.nii.gz").read_bytes())
    header = nib.Nifti1Header(content[:348])
    assert header.get_data_offset() == 352 and header.get_data_shape() == data.shape
    assert content[348:352] == bytes(4)  # no extension
    assert content[352:] == b"".join(value.tobytes() for plane in data.transpose(2, 1, 0) for value in plane)


def test_nifti_2_whose_ends_of_lines_were_converted_is_refused(tmp_path):
    raw = bytearray(nib.Nifti2Image(np.arange(720, dtype=np.int16).reshape(8, 9, 10), np.eye(4)).to_bytes())
    (tmp_path / "x.nii").write_bytes(raw)
    assert load_image(tmp_path / "x.nii").shape == (8, 9, 10)
    raw[8:12] = b"\r\n\x1a\r"
    (tmp_path / "x.nii").write_bytes(raw)
    for read in (load_image, shape_and_affine):
        with pytest.raises(ImageError):
            read(tmp_path / "x.nii")
