"""Raw quantitative images of a session: all of them, with what their sidecars say."""

from __future__ import annotations

import json
import os

import pytest

from thalbids.bids.dataset.inputs import find_sessions
from thalbids.bids.dataset.raw import raw_images
from thalbids.bids.dataset.sidecars import Sidecars
from thalbids.errors import MetadataError

MPM = tuple(
    f"sub-01/ses-1/anat/sub-01_ses-1_acq-{acq}_echo-{echo}_flip-{flip}_mt-{mt}_MPM.nii.gz"
    for acq, flip, mt in (("MTw", 1, "on"), ("PDw", 1, "off"), ("T1w", 2, "off"))
    for echo in (1, 2)
)
T1W = "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
B1 = "sub-01/ses-1/fmap/sub-01_ses-1_acq-famp_TB1TFL.nii"


def test_every_image_is_there_with_inherited_metadata(tree) -> None:
    beside = ("sub-01/ses-1/fmap/sub-01_ses-1_magnitude1.nii", "sub-01/ses-1/anat/sub-02_ses-1_VFA.nii")
    root = tree(T1W, *MPM, B1, *beside)
    (root / "MPM.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    (root / "flip-2_MPM.json").write_text(json.dumps({"FlipAngle": 21}))
    (root / MPM[-1].replace(".nii.gz", ".json")).write_text(json.dumps({"EchoTime": 0.00492}))
    (session,) = find_sessions(root)
    assert [image.uri.removeprefix("bids:raw:") for image in session.raw] == [*MPM, B1]
    assert list(session.images) == ["T1w"]  # none of them is taken for a weighted image
    t1w = session.raw_images("MPM", acq="T1w")
    assert [image.entities["echo"] for image in t1w] == ["1", "2"]
    assert t1w[1].metadata == {"MagneticFieldStrength": 3, "FlipAngle": 21, "EchoTime": 0.00492}
    assert session.raw_images("MPM", mt="on", flip="2") == ()
    assert [image.suffix for image in session.raw_images("TB1TFL", "TB1map")] == ["TB1TFL"]


def test_a_filter_chooses_raw_images(tree) -> None:
    root = tree(T1W, *MPM, B1, "sub-01/ses-1/fmap/sub-01_ses-1_acq-anat_TB1TFL.nii")
    asked = {"mpm": {"acquisition": ["PDw", "T1w"], "echo": 1}, "tb1tfl": {"acq": "famp"}}
    (session,) = find_sessions(root, filters=asked)
    assert [image.entities["acq"] for image in session.raw] == ["PDw", "T1w", "famp"]
    (note,) = [note for note in session.notes if "left out by the filter" in note]
    assert "acq-anat_TB1TFL" in note or "more" in note


def test_what_cannot_be_read_is_told(tree) -> None:
    root = tree(T1W, *MPM[:2])
    link = root / "sub-01/ses-1/anat/sub-01_ses-1_inv-1_MP2RAGE.nii.gz"
    link.symlink_to("../../.git/annex/objects/nothing")
    (root / MPM[0].replace(".nii.gz", ".json")).write_text("{")
    problems = {image.path.name: image.problem for image in find_sessions(root)[0].raw}
    assert "not on this machine" in problems[link.name]
    assert problems[MPM[0].rsplit("/", 1)[1]] and str(root) not in "".join(problems.values())
    assert problems[MPM[1].rsplit("/", 1)[1]] == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_stops_nothing(tree) -> None:
    root = tree(T1W, B1)
    folder = root / "sub-01/ses-1/fmap"
    folder.chmod(0)
    try:
        with pytest.raises(MetadataError):
            raw_images(folder.parent, Sidecars(root))
        (session,) = find_sessions(root)
    finally:
        folder.chmod(0o755)
    assert session.raw == () and any("raw quantitative images" in note for note in session.notes)
