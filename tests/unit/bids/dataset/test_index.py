from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

import pytest

from thalbids.bids.dataset import index
from thalbids.errors import MetadataError, OutputError, UsageError

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
ODD_PLACES = [
    "sub-99/ses-9/anat/raw",  # pybids reads entities from the whole path
    "derivatives/raw",
    ".hidden/raw",
    "code/raw",
    "a b",
    "ünï",
    "a::b",
    "s3:",
    "a#b%20c",
    "a?b*[c]{d}",
    "raw.zip",
]


def names(root: Path, *subjects: str, database: Path | None = None) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in index.index_anat(root, subjects, database))


def test_only_our_images_in_anat_are_found(tree, tmp_path: Path) -> None:
    wanted = [
        T1W,
        "sub-01/anat/sub-01_FLAIR.nii",
        "sub-01/ses-1/anat/sub-01_ses-1_acq-x_run-1_R1map.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_T1map.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz",
    ]
    root = tree(
        *wanted,
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/anat/sub-01_mod-T1w_defacemask.nii.gz",
        "sub-01/anat/sub-01_T1w.nii.gz.part",
        "sub-01/anat/sub-01_t1w.nii.gz",
        "sub-01/anat/T1w.nii.gz",
        "sub-01/anat/old/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-folder_T1w.nii.gz/x",
        "sub-01/func/sub-01_T1w.nii.gz",
        "sub-01/sub-01_T1w.nii.gz",
        "sub-01/ses-1/extra/anat/sub-01_ses-1_T1w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/other/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
        "sub-1_2/anat/sub-1_2_T1w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
    )
    for database in (None, tmp_path / "db"):  # by the folders, and by pybids
        assert names(root, "01", database=database) == sorted(wanted)
        assert names(root, "01", "02", database=database) == [*sorted(wanted), "sub-02/anat/sub-02_T1w.nii.gz"]
        assert names(root, "0", database=database) == []


@pytest.mark.parametrize("place", ODD_PLACES)
def test_the_dataset_may_lie_anywhere(tree, tmp_path: Path, place: str) -> None:
    root = tree(T1W, root=place)
    assert names(root, "01") == names(root, "01", database=tmp_path / "db") == [T1W]


@pytest.mark.parametrize("kept", [False, True])
def test_what_upsets_pybids_does_not_upset_us(tree, tmp_path: Path, kept: bool) -> None:
    root = tree(T1W, **{"layout_config.json": "garbage", "sub-01/anat/layout_config.json": "garbage"})
    (root / "sub-01" / "anat" / "loop").symlink_to("..")
    (root / "sub-01" / "anat" / "broken").symlink_to("nowhere")
    (root / "sub-02").symlink_to("sub-01")
    for name in (b"\xff\xfe", b"sub-01_acq-\xff_T1w.nii.gz", b"new\nline_T1w.nii.gz"):
        with open(os.path.join(os.fsencode(root / "sub-01" / "anat"), name), "w"):  # noqa: PTH118, PTH123
            pass
    assert names(root, "01", database=tmp_path / "db" if kept else None) == [T1W]


def test_pybids_failing_is_told(tree, tmp_path: Path) -> None:
    root = tree(T1W, description={"DatasetType": "derivative", "GeneratedBy": None})
    with pytest.raises(MetadataError, match="pybids cannot index the dataset"):
        names(root, "01", database=tmp_path / "db")
    assert names(root, "01") == [T1W]


class TestDatabase:
    def test_it_is_made_then_read(self, tree, tmp_path: Path) -> None:
        root = tree(T1W, "sub-02/anat/sub-02_T1w.nii.gz")
        database = tmp_path / "made" / "database"
        assert names(root, "01", database=database) == [T1W]
        assert [path.name for path in database.iterdir()] == ["layout_index.sqlite"]
        (root / "sub-02" / "anat" / "sub-02_FLAIR.nii.gz").touch()
        assert names(root, "02", database=database) == [
            "sub-02/anat/sub-02_T1w.nii.gz"
        ]  # every subject is in it; trusted

    def test_files_that_went_away_are_left_out_and_told(self, tree, tmp_path: Path, caplog) -> None:
        root = tree(T1W, "sub-01/anat/sub-01_FLAIR.nii.gz")
        names(root, "01", database=tmp_path / "db")
        (root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz").unlink()
        with caplog.at_level(logging.WARNING):
            assert names(root, "01", database=tmp_path / "db") == [T1W]
        assert "out of date" in caplog.text

    def test_a_broken_link_is_still_a_file_of_the_dataset(self, tree, tmp_path: Path) -> None:
        root = tree()
        (root / "sub-01" / "anat").mkdir(parents=True)
        (root / T1W).symlink_to("nowhere")
        assert names(root, "01", database=tmp_path / "db") == [T1W]
        assert names(root, "01", database=tmp_path / "db") == [T1W]

    def test_the_same_dataset_by_another_path(self, tree, tmp_path: Path) -> None:
        root = tree(T1W)
        names(root, "01", database=tmp_path / "db")
        (tmp_path / "link").symlink_to("raw")
        assert names(tmp_path / "link", "01", database=tmp_path / "db") == [T1W]

    def test_another_dataset_is_refused(self, tree, tmp_path: Path) -> None:
        names(tree(T1W), "01", database=tmp_path / "db")
        with pytest.raises(UsageError, match="belongs to another dataset"):
            names(tree(T1W, root="other"), "01", database=tmp_path / "db")

    @pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
    def test_a_damaged_database_is_refused(self, tree, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "layout_index.sqlite").write_bytes(content)
        with pytest.raises(UsageError, match=r"cannot be read.*Delete it") as caught:
            names(tree(T1W), "01", database=tmp_path)
        assert caught.value.path == tmp_path

    def test_a_database_of_something_else_is_refused(self, tree, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "layout_index.sqlite") as connection:
            connection.execute("create table something (x)")
        with pytest.raises(UsageError, match="cannot be read"):
            names(tree(T1W), "01", database=tmp_path)

    def test_a_place_that_cannot_be_written(self, tree, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="--bids-database-dir"):
            names(tree(T1W), "01", database=tmp_path / "file")
