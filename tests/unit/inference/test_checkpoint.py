"""Checkpoints of PyTorch read without PyTorch: what they hold, what is refused, and that nothing of theirs is run."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests import checkpoints
from thalbids.errors import MissingToolError
from thalbids.inference import checkpoint

TENSORS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a.bias": np.array([1.5, -2], np.float32),
    "steps": np.array([7], np.int64),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return checkpoints.write(tmp_path / "model.pt", TENSORS, {"copy.weight": "a.weight"})


def rewritten(path: Path, change: dict[str, bytes | None]) -> Path:
    """The zip file with other content in some of its files, None: without them; with right checksums."""
    with zipfile.ZipFile(path) as archive:
        files: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | change).items():
            if content is not None:
                archive.writestr(name, content)
    return path


def test_names_numbers_and_shared_storage(path: Path) -> None:
    found = checkpoint.read(path)
    assert set(found) == {*TENSORS, "copy.weight"}
    for name, values in TENSORS.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    assert np.shares_memory(found["copy.weight"], found["a.weight"])


def test_the_layout_is_read_without_the_numbers(path: Path) -> None:
    rewritten(path, {f"archive/data/{i}": None for i in range(3)})
    assert checkpoint.layout(path) == {
        "a.weight": (2, 3, 4), "a.bias": (2,), "steps": (1,), "copy.weight": (2, 3, 4),
    }  # fmt: skip
    with pytest.raises(MissingToolError, match=r"numbers of a\.weight are damaged"):
        checkpoint.read(path)


def test_numbers_in_the_other_byte_order(path: Path) -> None:
    swapped = TENSORS["a.bias"].astype(">f4").tobytes()
    rewritten(path, {"archive/byteorder": b"big", "archive/data/1": swapped})
    np.testing.assert_array_equal(checkpoint.read(path)["a.bias"], TENSORS["a.bias"])


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match=r"is not there\. Fetch it"):
        checkpoint.layout(tmp_path / "gone.pt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(MissingToolError, match=r"cannot be read .*Fetch it again"):
        checkpoint.read(path)


def test_a_changed_number_is_noticed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(TENSORS["a.weight"].tobytes())
    content[at + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(MissingToolError, match=r"numbers of a\.weight are damaged"):
        checkpoint.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02cposix\nsystem\n(" + checkpoints.text("touch hacked") + b"tR.", r"names posix\.system"),
        (b"\x80\x02cbuiltins\neval\n(" + checkpoints.text("1") + b"tR.", r"names builtins\.eval"),
        (pickle.dumps({"model": {"epoch": 3}}, 2), "something else than a table of tensors"),
        (pickle.dumps([1, 2], 2), "something else than a table of tensors"),
        (checkpoints.table([]), "something else than a table of tensors"),
        (b"\x80\x02garbage", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_only_tensors_are_read_and_nothing_is_run(
    path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    rewritten(path, {"archive/data.pkl": content})
    for function in (checkpoint.layout, checkpoint.read):
        with pytest.raises(MissingToolError, match=message):
            function(path)
    assert [one.name for one in path.parent.iterdir()] == ["model.pt"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (checkpoints.number(24), checkpoints.number(23)),  # the storage says that it is shorter than the tensor
        (checkpoints.numbers((12, 4, 1)), checkpoints.numbers((1, 2, 6))),  # not in the order of its axes
    ],
)
def test_tensors_that_reach_elsewhere_are_refused(path: Path, old: bytes, new: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("archive/data.pkl")
    assert old in pickled
    rewritten(path, {"archive/data.pkl": pickled.replace(old, new)})
    with pytest.raises(MissingToolError, match="a tensor"):
        checkpoint.layout(path)


@pytest.mark.parametrize("name", ["archive/data/0", "archive/byteorder"])
def test_a_compressed_archive_is_not_inflated(path: Path, name: str) -> None:
    rewritten(path, {name: None})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(10**6))
    with pytest.raises(MissingToolError, match="compressed"):
        checkpoint.read(path)


def test_what_was_checked_cannot_be_changed_afterwards(path: Path) -> None:
    """The pickle's instruction BUILD would set attributes of the tensor that was built last."""
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("archive/data.pkl")
    build = pickle.dumps({"offset": -6}, 2)[2:-1] + b"b"
    hooks = pickled.index(b"R", pickled.index(checkpoints.numbers((12, 4, 1))))  # an empty table comes before
    at = pickled.index(b"R", hooks + 1)
    rewritten(path, {"archive/data.pkl": pickled[: at + 1] + build + pickled[at + 1 :]})
    with pytest.raises(MissingToolError, match="changes what it has built"):
        checkpoint.layout(path)


def test_plain_values_with_arrays_of_numpy(tmp_path: Path) -> None:
    values = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2.5), "c": [np.int64(3), "x"], "d": np.array([True])}
    values["e"] = np.asfortranarray(values["a"])
    for protocol in (2, 4):
        (tmp_path / "plans.pkl").write_bytes(pickle.dumps(values, protocol))
        found = checkpoint.plain(tmp_path / "plans.pkl")
        for name in "ade":
            np.testing.assert_array_equal(found[name].values, values[name])
        assert found["b"] == 2.5 and found["c"] == [3, "x"]


@pytest.mark.parametrize("value", [np.array([print]), Path("x"), print, {1}, np.datetime64("2020")])
def test_other_values_are_refused(tmp_path: Path, value: object) -> None:
    (tmp_path / "plans.pkl").write_bytes(pickle.dumps({"plans": value}))
    with pytest.raises(MissingToolError, match=r"cannot be read"):
        checkpoint.plain(tmp_path / "plans.pkl")
    with pytest.raises(MissingToolError, match=r"is not there"):
        checkpoint.plain(tmp_path / "other.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02(" + b")" + b"\x85" * 300_000 + b"Nd.", "a key is neither"),  # as deep as a hash would go
        (b"\x80\x02})" + b"q\x00h\x00\x86" * 40 + b"Ns.", "a key is neither"),  # 2 to the 40 to compare
        (b"\x80\x02]\x8f.", "instruction 143"),  # a set
        (b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aNsb.", "changes what it has built"),
        (b"\x80\x02ccollections\nOrderedDict\n](]NeeR.", "cannot be read"),
        (b"\x80\x02X" + (2**24).to_bytes(4, "little") + b"x" * 2**24 + b".", "too large"),
    ],
)
def test_small_files_ask_for_little(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "plans.pkl").write_bytes(content)
    with pytest.raises(MissingToolError, match=message):
        checkpoint.plain(tmp_path / "plans.pkl")


def test_a_place_in_the_reader_costs_no_memory(tmp_path: Path) -> None:
    """A place of 2 to the 32 in the table of what is used again would be 64 GB in the reader written in C."""
    (tmp_path / "plans.pkl").write_bytes(b"\x80\x02Nr\xff\xff\xff\xff.")
    assert checkpoint.plain(tmp_path / "plans.pkl") is None


def test_arrays_without_numbers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plans.pkl").write_bytes(pickle.dumps(np.zeros((2 * 10**7, 0))))
    with pytest.raises(MissingToolError, match="no numbers"):
        checkpoint.plain(tmp_path / "plans.pkl")


def test_shapes_beyond_all_numbers_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="beyond its numbers"):
        checkpoint._tensor(checkpoint._Storage("0", "f4", 24), 0, (2**32, 2**32), (2**32, 1))


def test_every_flipped_bit_is_told_or_harmless(path: Path) -> None:
    """Nothing but the one kind of error, and never other numbers."""
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), 7):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = checkpoint.read(path)
        except MissingToolError:
            continue
        for name in found.keys() & TENSORS.keys():
            np.testing.assert_array_equal(found[name].ravel(), TENSORS[name].ravel())


def test_a_table_whose_names_are_no_text_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("archive/data.pkl")
    name = checkpoints.text("steps")
    assert name in pickled
    rewritten(path, {"archive/data.pkl": pickled.replace(name, checkpoints.number(7))})
    with pytest.raises(MissingToolError, match="something else than a table of tensors"):
        checkpoint.layout(path)
