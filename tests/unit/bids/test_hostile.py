"""Datasets made by somebody who means harm: nothing hangs, nothing outside is read, what is wrong is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import world_image
from thalbids.bids.dataset.inputs import find_sessions
from thalbids.types import Session

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One good session, sub-good."""
    folder = tmp_path / "raw"
    place(folder, "good")
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    return folder


def place(root: Path, subject: str, name: str = "") -> Path:
    path = root / f"sub-{subject}" / "anat" / (name or f"sub-{subject}_T1w.nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not name:
        world_image().to_filename(path)
    return path


def sessions(root: Path) -> dict[str, Session]:
    return {session.subject: session for session in find_sessions(root)}


def test_a_pipe_a_device_or_a_folder_in_place_of_a_file_is_named_and_not_waited_for(root: Path) -> None:
    os.mkfifo(place(root, "pipe", "sub-pipe_T1w.nii.gz"))
    place(root, "zero", "sub-zero_T1w.nii.gz").symlink_to("/dev/zero")
    place(root, "folder", "sub-folder_T1w.nii.gz").mkdir()
    os.mkfifo(place(root, "meta").with_name("sub-meta_T1w.json"))
    place(root, "large").with_name("sub-large_T1w.json").touch()
    os.truncate(root / "sub-large/anat/sub-large_T1w.json", 10**12)
    place(root, "deep").with_name("sub-deep_T1w.json").write_text("[" * 100_000)
    found = sessions(root)
    assert found["good"].problem is None
    for name in ("pipe", "zero", "folder", "meta", "large", "deep"):
        assert found[name].problem, name
        assert str(root) not in found[name].problem


def test_links_in_a_circle(root: Path) -> None:
    (root / "sub-loop").symlink_to(root)
    place(root, "inner")
    (root / "sub-inner" / "anat" / "anat").symlink_to("..")
    (root / "sub-inner" / "ses-1").symlink_to("..")
    (root / "sub-self").symlink_to("sub-self")
    found = sessions(root)
    assert found["good"].problem is None
    assert set(found) == {"good", "inner", "self"}  # the other two hold no image
    assert "a link that leads nowhere" in str(found["self"].problem)


@pytest.mark.parametrize(
    "label", ["..", ".", "a b", "$(touch x)", "a;b", "=1+1", "<b>", "a\nb", "\u202egood", "-rf", "é", "a%j", "'", "~"]
)
def test_folders_that_are_no_labels_are_not_taken(root: Path, label: str) -> None:
    (root / f"sub-{label}" / "anat").mkdir(parents=True, exist_ok=True)
    (root / f"sub-{label}" / "anat" / f"sub-{label}_T1w.nii.gz").write_bytes(b"x")
    (root / "sub-good" / "anat" / f"sub-good_acq-{label}_T1w.nii.gz").write_bytes(b"x")
    found = sessions(root)
    assert set(found) == {"good"}
    assert found["good"].images["T1w"].path.name == "sub-good_T1w.nii.gz"


@pytest.mark.skipif(os.name != "posix", reason="bytes in names")
def test_names_that_are_no_text(root: Path) -> None:
    for name in (b"sub-good_acq-\xff_T1w.nii.gz", b"\xff\xfe", b"sub-\xff"):
        (Path(os.fsdecode(bytes(root / "sub-good" / "anat") + b"/" + name))).write_bytes(b"x")
    Path(os.fsdecode(bytes(root) + b"/sub-\xff")).mkdir()
    assert set(sessions(root)) == {"good"}
