"""Maps that exist in a derivative dataset: which files are maps, their names, and the choice among several."""

from __future__ import annotations

import json
from pathlib import Path

from thalbids.bids.dataset.given_maps import given_fields, given_maps
from thalbids.types import Session

START = "sub-01/ses-1/anat/sub-01_ses-1_"
FILES = (
    f"{START}R1map.nii.gz",
    f"{START}desc-stderr_R1map.nii.gz",
    f"{START}space-T1w_R2starmap.nii.gz",
    f"{START}space-MNI152NLin6Asym_MTsat.nii.gz",  # not on this head
    f"{START}T1w.nii.gz",  # no map
    f"{START}label-GM_probseg.nii.gz",
    "sub-01/ses-1/dwi/sub-01_ses-1_model-DTI_param-FA_dwimap.nii.gz",
    "sub-01/ses-1/dwi/sub-01_ses-1_model-DTI_param-MD_dwimap.nii.gz",
    "sub-01/ses-1/fmap/sub-01_ses-1_TB1map.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_PDmap.nii.gz",
)


def dataset(root: Path) -> Path:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    (root / "R2starmap.json").write_text(json.dumps({"Units": "1/s"}))
    return root


def test_maps_of_a_session_by_name(tmp_path: Path) -> None:
    maps, notes = given_maps(dataset(tmp_path), Session("01", "1", {}))
    assert list(maps) == ["FA", "MD", "R1map", "R2starmap"]
    assert maps["R1map"].image.path.name == "sub-01_ses-1_R1map.nii.gz"
    assert notes == ["R1map: sub-01_ses-1_R1map.nii.gz is read, not sub-01_ses-1_desc-stderr_R1map.nii.gz."]
    assert maps["R2starmap"].on_t1w and not maps["R1map"].on_t1w
    assert maps["R2starmap"].image.metadata == {"Units": "1/s"}
    assert maps["FA"].image.uri == f"bids:maps:{FILES[6]}"


def test_transmit_fields_and_absent_sessions(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    assert [image.path.name for image in given_fields(root, Session("01", "1", {}))] == ["sub-01_ses-1_TB1map.nii.gz"]
    assert given_maps(root, Session("02", None, {})) == ({}, [])
    assert given_fields(root, Session("02", None, {})) == ()
