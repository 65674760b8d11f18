"""People who were removed from the raw dataset."""

from __future__ import annotations

from pathlib import Path

from tests.unit.group.intake.test_trust import cohort, root  # noqa: F401
from thalbids.bids.results.derivatives import find_places
from thalbids.bids.results.removed import removed, removed_from


def test_people_who_were_removed_are_named_and_left_out_unless_asked(root: Path) -> None:  # noqa: F811
    (root / "raw/sub-01").rename(root / "raw/sub-22")
    assert [place.name for place in removed(root / "raw", find_places(root / "out"))] == ["sub-01_ses-1"]
    assert "removed or renamed): sub-01_ses-1" in removed_from(root / "raw", root / "out")[0]
    left = cohort(root)
    assert set(left.volumes["participant_id"]) == {"sub-02"}
    assert any("sub-01_ses-1. They are left out." in note for note in left.notes)
    assert set(cohort(root, keep_removed=True).volumes["participant_id"]) == {"sub-01", "sub-02"}


def test_a_dataset_of_tables_alone_tells_of_nobody(root: Path) -> None:  # noqa: F811
    for scan in (root / "raw").rglob("*.nii.gz"):
        scan.unlink()
    (root / "raw/sub-01/ses-1/anat").rmdir()
    (root / "raw/sub-01/ses-1").rmdir()
    assert removed_from(root / "raw", root / "out") == []


def test_a_run_of_one_person_names_removed_people_and_its_own_removed_sessions(root: Path) -> None:  # noqa: F811
    (root / "raw/sub-01/ses-1").rename(root / "raw/sub-01/ses-9")
    assert removed_from(root / "raw", root / "out", {"sub-02"}) == []
    (told,) = removed_from(root / "raw", root / "out", {"sub-01"})
    assert "sub-01_ses-1" in told
    assert (
        "the changes from and to it (sub-X/anat/sub-X_from-A_to-B_*)" in told
    )  # which lie beside the session's folder
    (root / "raw/sub-01").rename(root / "raw/sub-22")
    assert "sub-01_ses-1" in removed_from(root / "raw", root / "out", {"sub-02"})[0]
