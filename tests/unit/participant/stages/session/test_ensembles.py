"""Ensembles: which are planned, why one is missing, and the fused mask with its record."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.image.io import load_labels, save_image
from thalbids.participant.stages.session.ensembles import EnsembleParams, ensemble
from thalbids.settings import load


def test_as_many_as_the_images_allow_and_a_reason_for_the_others() -> None:
    whole = planned_session(session(("T1w", "FLAIR", "R1map")), OUT, (Fixed(),), load(None, {}))
    made = {mask.desc: mask for mask in whole.masks if len(mask.images) > 1}
    assert len(made) == 4 and all(mask.step for mask in made.values())
    for mask in made.values():
        assert len(mask.members) == len(mask.images) and len(mask.roots) >= len(mask.members)
    part = planned_session(session(("T1w", "FLAIR")), OUT, (Fixed(),), load(None, {}))
    missing = [mask.reason for mask in part.masks if len(mask.images) > 1 and not mask.step]
    assert missing == ["the session has no R1map image"] * 3


def test_two_masks_are_fused_and_the_rule_is_recorded(tmp_path: Path) -> None:
    one, two = np.zeros((8, 8, 8), np.uint8), np.zeros((8, 8, 8), np.uint8)
    one[1:3, 2, 2], two[2:4, 2, 2] = 10, 10
    one[5, 2, 2] = two[5, 2, 2] = 49
    for name, labels in (("T1w", one), ("FLAIR", two)):
        save_image(labels, np.eye(4), tmp_path / f"{name}.nii.gz", dtype=np.uint8)
    outputs = {key: tmp_path / f"{key}.nii.gz" for key in ("mask", "dseg")}
    outputs["table"] = tmp_path / "labels.tsv"
    inputs = {name: tmp_path / f"{name}.nii.gz" for name in ("T1w", "FLAIR")}
    params = EnsembleParams(("T1w", "FLAIR"), "mean", "synthalT1FLAIR", ("a", "b"), "t1w")
    done = ensemble(inputs, outputs, params, {})
    labels = np.asarray(load_labels(outputs["dseg"]).dataobj)
    assert labels[:, 2, 2].tolist() == [0, 10, 10, 10, 0, 49, 0, 0] and np.count_nonzero(labels) == 4
    told = done.sidecars["mask"]
    assert (told["EnsembleRule"], told["EnsembleMembers"], told["Sources"]) == ("mean", ["T1w", "FLAIR"], ["a", "b"])
