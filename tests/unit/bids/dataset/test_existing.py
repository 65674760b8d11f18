"""Which of the user's files is a session's mask."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.bids.dataset.existing import brain_mask, thalamus_mask
from thalbids.errors import MetadataError
from thalbids.types import InputImage, Session

T1W = InputImage(Path("x"), "bids:raw:x", "T1w", {"acq": "mprage", "run": "1"})
VISIT = Session("01", "2", {"T1w": T1W})


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return root


def anat(*names: str) -> list[str]:
    return [f"sub-01/ses-2/anat/sub-01_ses-2_{name}" for name in names]


def found(root: Path, session: Session = VISIT, desc: str = "first", exact: bool = False) -> str | None:
    mask = thalamus_mask("first", root, session, desc=desc, exact=exact)
    return None if mask is None else mask.path.name.removeprefix("sub-01_ses-2_")


def test_one_file_whatever_its_desc(tmp_path: Path) -> None:
    root = tree(tmp_path, *anat("label-thalamus_desc-bob_mask.nii.gz", "T1w.nii.gz", "label-caudate_mask.nii.gz"))
    assert found(root) == "label-thalamus_desc-bob_mask.nii.gz"
    assert found(root, exact=True) is None
    mask = thalamus_mask("first", root, VISIT, desc="first")
    assert mask is not None
    assert mask.uri == "bids:first:sub-01/ses-2/anat/sub-01_ses-2_label-thalamus_desc-bob_mask.nii.gz"
    assert not mask.labelled


def test_the_desc_of_the_method_wins_and_labels_win_over_a_mask(tmp_path: Path) -> None:
    names = ("label-thalamus_desc-first_mask.nii", "label-thalamus_desc-old_mask.nii.gz")
    assert found(tree(tmp_path / "a", *anat(*names))) == names[0]
    dseg = "seg-thalamus_desc-first_dseg.nii.gz"
    mask = thalamus_mask("first", tree(tmp_path / "a", *anat(dseg)), VISIT, desc="First")
    assert mask is not None
    assert mask.labelled


def test_several_are_an_error_that_names_them(tmp_path: Path) -> None:
    names = ("label-thalamus_desc-a_mask.nii.gz", "label-thalamus_desc-b_mask.nii.gz")
    with pytest.raises(MetadataError, match=r"desc-a_mask.*desc-b_mask"):
        found(tree(tmp_path, *anat(*names)))


@pytest.mark.parametrize(
    "name",
    [
        "sub-01/ses-1/anat/sub-01_ses-1_label-thalamus_mask.nii.gz",  # another session
        "sub-01/ses-2/anat/sub-01_ses-1_label-thalamus_mask.nii.gz",  # a name that contradicts its folder
        "sub-01/ses-2/anat/sub-01_label-thalamus_mask.nii.gz",
        "sub-01/anat/sub-01_label-thalamus_mask.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_run-2_label-thalamus_mask.nii.gz",  # another T1w of the session
        "sub-01/ses-2/anat/sub-01_ses-2_space-MNI152NLin2009cAsym_label-thalamus_mask.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_label-brain_mask.nii.gz",
    ],
)
def test_a_file_of_something_else_is_not_taken(tmp_path: Path, name: str) -> None:
    assert found(tree(tmp_path, name)) is None


@pytest.mark.parametrize(
    "name", ["acq-mprage_run-1_label-thalamus_mask.nii.gz", "space-orig_label-thalamus_mask.nii.gz"]
)
def test_entities_of_the_t1w_and_any_space_of_its_own_will_do(tmp_path: Path, name: str) -> None:
    assert found(tree(tmp_path, *anat(name))) == name


def test_a_session_without_a_label(tmp_path: Path) -> None:
    root = tree(tmp_path, "sub-01/anat/sub-01_label-thalamus_mask.nii.gz")
    assert thalamus_mask("first", root, Session("01", None, {}), desc="first") is not None
    assert thalamus_mask("first", root, Session("02", None, {}), desc="first") is None


def test_content_that_is_elsewhere_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01/ses-2/anat"
    folder.mkdir(parents=True)
    (folder / "sub-01_ses-2_label-thalamus_mask.nii.gz").symlink_to(tmp_path / "gone")
    with pytest.raises(MetadataError, match="only a link"):
        found(tmp_path)


def test_brain_masks(tmp_path: Path) -> None:
    names = ("desc-brain_mask.nii.gz", "label-thalamus_mask.nii.gz")
    mask = brain_mask("brain", tree(tmp_path / "a", *anat(*names)), VISIT)
    assert mask is not None
    assert mask.path.name.endswith(names[0])
    assert brain_mask("brain", tree(tmp_path / "b", *anat("label-brain_desc-hand_mask.nii.gz")), VISIT) is not None
    assert brain_mask("brain", tree(tmp_path / "c", *anat("label-thalamus_mask.nii.gz")), VISIT) is None
