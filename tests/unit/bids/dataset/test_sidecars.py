from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalbids.bids.dataset.sidecars import Sidecars, check_content, listing, parse
from thalbids.errors import MetadataError

LABELS = st.text("abcXYZ0129+", min_size=1, max_size=6)
ENTITIES = st.dictionaries(st.sampled_from(["sub", "ses", "acq", "ce", "rec", "run"]), LABELS)


@given(
    entities=ENTITIES, suffix=st.sampled_from(["T1w", "FLAIR"]), extension=st.sampled_from([".nii", ".nii.gz", ".json"])
)
def test_a_name_is_taken_apart(entities: dict[str, str], suffix: str, extension: str) -> None:
    stem = "_".join([*(f"{key}-{value}" for key, value in entities.items()), suffix])
    file = parse(Path("/data/sub-x") / f"{stem}{extension}")
    assert file is not None
    assert (file.suffix, file.extension, file.entities) == (suffix, extension, entities)
    assert file.own_entities == {key: value for key, value in entities.items() if key not in ("sub", "ses")}


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_T1w.nii.gz.part",
        "sub-01_T1w copy.nii.gz",
        "sub-01_T1w.mgz",
        "sub-01__T1w.nii.gz",
        "_T1w.nii.gz",
        "sub-01_acq-_T1w.nii.gz",
        "sub-01_acq-a_acq-b_T1w.nii.gz",
        "sub-01_acq-a-b_T1w.nii.gz",
        "sub-01_T1w.nii.gz\n",
        ".sub-01_T1w.nii.gz",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert parse(Path(name)) is None


def merged(root: Path, image: str) -> dict:
    file = parse(root / image)
    assert file is not None
    return Sidecars(root).merged(file)


IMAGE = "sub-01/ses-1/anat/sub-01_ses-1_acq-a_run-1_T1w.nii.gz"


def test_nearer_sidecars_win(tree) -> None:
    root = tree(
        IMAGE,
        **{
            "T1w.json": {"a": "root", "b": "root", "c": "root", "d": "root"},
            "sub-01/sub-01_T1w.json": {"b": "subject", "c": "subject", "d": "subject"},
            "sub-01/ses-1/sub-01_ses-1_T1w.json": {"c": "session", "d": "session"},
            "sub-01/ses-1/anat/sub-01_ses-1_acq-a_run-1_T1w.json": {"d": "anat"},
        },
    )
    assert merged(root, IMAGE) == {"a": "root", "b": "subject", "c": "session", "d": "anat"}


def test_in_one_folder_the_more_specific_name_wins(tree) -> None:
    root = tree(
        IMAGE, **{"acq-a_run-1_T1w.json": {"x": 2}, "T1w.json": {"x": 0, "y": 0}, "acq-a_T1w.json": {"x": 1, "y": 1}}
    )
    assert merged(root, IMAGE) == {"x": 2, "y": 1}


@pytest.mark.parametrize(
    "name",
    [
        "FLAIR.json",  # another suffix
        "acq-b_T1w.json",  # another acquisition
        "rec-norm_T1w.json",  # an entity that the image lacks
        "sub-02_T1w.json",  # another subject
        "sub-01/sub-01_ses-2_T1w.json",  # another session
        "sub-01/ses-2/anat/sub-01_ses-2_acq-a_run-1_T1w.json",  # not on the way up
        "sub-01/ses-1/anat/sub-01_ses-1_acq-a_run-2_T1w.json",
        "T1w.json.bak",
    ],
)
def test_sidecars_of_other_images_are_not_used(tree, name: str) -> None:
    assert merged(tree(IMAGE, **{name: {"x": 1}}), IMAGE) == {}


def test_folders_above_the_dataset_are_not_read(tree) -> None:
    root = tree(IMAGE, root="above/raw")
    (root.parent / "T1w.json").write_text('{"x": 1}')
    assert merged(root, IMAGE) == {}


def test_a_damaged_sidecar_is_named_wherever_it_is(tree) -> None:
    root = tree(IMAGE, **{"T1w.json": '{"x": 1,}'})
    with pytest.raises(MetadataError, match="line 1, column") as caught:
        merged(root, IMAGE)
    assert caught.value.path == root / "T1w.json"
    assert merged(root, IMAGE.replace("T1w", "FLAIR")) == {}  # others do not suffer


def test_content_that_is_elsewhere(tmp_path: Path) -> None:
    annex = tmp_path / ".git" / "annex" / "objects" / "MD5E-s1--0.nii.gz"
    locked, pointer, good = (tmp_path / name for name in ("locked.nii.gz", "pointer.nii.gz", "good.nii.gz"))
    locked.symlink_to(annex)
    pointer.write_text("/annex/objects/MD5E-s12345--d41d8cd98f00b204e9800998ecf8427e.nii.gz\n")
    good.write_bytes(b"\x1f\x8b" + bytes(100))
    for path in (locked, pointer):
        with pytest.raises(MetadataError, match="datalad get") as caught:
            check_content(path)
        assert caught.value.path == path
    check_content(good)
    annex.parent.mkdir(parents=True)
    annex.write_bytes(b"\x1f\x8b")
    check_content(locked)


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(MetadataError, match="cannot be read"):
        check_content(tmp_path / "loop")


def test_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()
    assert listing(tmp_path) == ["a", "b"]
    assert listing(tmp_path / "nowhere") == []
    assert listing(tmp_path / "a") == []

    def fail(folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", fail)  # the tests may run as root, whom no permission stops
    with pytest.raises(MetadataError, match="Permission denied"):
        listing(tmp_path)
