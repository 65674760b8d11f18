"""What ratings change in a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.rated import write_ratings
from tests.unit.registration.test_gate import FLAIR, MASK, T1W, Fixed
from thalbids import qc
from thalbids.errors import MetadataError
from thalbids.image.digest import digest
from thalbids.image.io import save_image
from thalbids.participant.session import PlannedMask
from thalbids.participant.stages.session.measures import volume_rows
from thalbids.raters import effect
from thalbids.raters.ratings import Item, fingerprint, write_key
from thalbids.registration import gate
from thalbids.settings import Ratings

NEAR, FAR = Fixed("near", shift=(0, 0, 0)), Fixed("far", "h", shift=(0, 0, 0), interpolation="spline")


def entry(strategy: Fixed, image: nib.Nifti1Image) -> dict[str, str]:
    sha = digest(np.asarray(image.dataobj), T1W.affine, np.float32)
    return {"Strategy": strategy.name, "Sha256": sha, "Reason": "failed by rater AB (shifted)"}


def test_a_failed_registration_gives_way_to_the_next_strategy_and_then_to_none():
    first = gate.register(FLAIR, T1W, MASK, [NEAR, FAR])
    assert first.chosen == "near"
    seen = effect.Registrations([entry(NEAR, first.image)], T1W.affine)
    second = gate.register(FLAIR, T1W, MASK, [NEAR, FAR], review=seen.review)
    assert second.chosen == "far"
    assert second.attempts[0].reason == "failed by rater AB (shifted)"
    assert not second.attempts[0].passed
    assert second.attempts[0].mi == first.attempts[0].mi
    assert (len(seen.applied), seen.stale()) == (1, [])
    seen = effect.Registrations([entry(NEAR, first.image), entry(FAR, second.image)], T1W.affine)
    third = gate.register(FLAIR, T1W, MASK, [NEAR, FAR], review=seen.review)
    assert third.chosen is None
    assert third.reason == "near: failed by rater AB (shifted). far: failed by rater AB (shifted)"


def test_a_rating_of_another_image_is_not_applied():
    changed = nib.Nifti1Image(np.asarray(FLAIR.dataobj) * np.float32(1.001), np.eye(4))
    first = gate.register(FLAIR, T1W, MASK, [NEAR])
    seen = effect.Registrations([entry(NEAR, first.image)], T1W.affine)
    assert gate.register(changed, T1W, MASK, [NEAR], review=seen.review).chosen == "near"
    assert seen.applied == []
    assert seen.stale() == ["not applied, as this result of near did not come out again: failed by rater AB (shifted)"]


def thalami() -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[9:13, 12:18, 12:17], labels[17:21, 12:18, 12:17] = 10, 49
    return labels, np.diag([3.0, 3.0, 3.0, 1.0])


def test_a_failed_mask_is_excluded_with_its_ensembles_and_keeps_its_numbers():
    labels, affine = thalami()
    masks = {
        "synthalT1w": qc.MaskInput(labels, "synthal", ("T1w",)),
        "synthalFLAIR": qc.MaskInput(labels, "synthal", ("FLAIR",)),
        "synthalT1FLAIR": qc.MaskInput(labels, "synthal", ("T1w", "FLAIR")),
    }
    sha = digest(labels != 0, affine, np.uint8)
    rated = {"synthalFLAIR": [{"Sha256": sha, "Reason": "failed by rater AB (too large)"}],
             "synthalT1w": [{"Sha256": "0" * 64, "Reason": "failed by rater CD"}]}  # fmt: skip
    changed, notes = effect.failed_masks(masks, affine, rated)
    assert notes == ["a rating of synthalT1w is not applied, as the mask has changed: failed by rater CD"]
    document = qc.build(subject="01", session=None, affine=affine, masks=changed)
    flag = document["Masks"]["synthalFLAIR"]["flags"][0]
    assert (flag["rule"], flag["reason"]) == ("rater", "Failed by rater AB (too large).")
    methods = [
        PlannedMask("synthalT1w", "synthal", ("T1w",), "T1w"),
        PlannedMask("synthalFLAIR", "synthal", ("FLAIR",), "FLAIR"),
        PlannedMask("synthalT1FLAIR", "synthal", ("T1w", "FLAIR"), "ensemble", members=("synthalT1w", "synthalFLAIR")),
    ]
    rows = {row["method"]: row for row in volume_rows(methods, document["Masks"])}
    assert rows["synthalFLAIR"]["status"] == rows["synthalT1FLAIR"]["status"] == "excluded"
    assert "synthalFLAIR: Failed by rater AB (too large)." in rows["synthalT1FLAIR"]["reason"]
    assert rows["synthalFLAIR"]["volume_mm3"] == 27 * 240
    assert "rater" not in rows["synthalT1w"].get("reason", "")


def test_what_failed_is_told_by_registration_and_mask(tmp_path: Path):
    path = save_image(thalami()[0], np.eye(4), tmp_path / "m.nii.gz")
    base = Item(
        "0" * 16, "", "mask", "sub-01", "ses-1", "dbsegment", "", "m.nii.gz", fingerprint(path, "mask"), "0" * 64
    )
    items = [
        replace(base, identifier="00000001"),
        replace(base, identifier="00000002", kind="registration", target="FLAIR", strategy="a", file="gone.nii.gz"),
        replace(base, identifier="00000003", participant_id="sub-02", file="other.nii.gz"),
        replace(base, identifier="00000004", target="synthalT1w", file="passed.nii.gz"),
    ]
    write_key(tmp_path, base.page, items)
    rows = [
        {"page": base.page, "item": i.identifier, "rating": "pass" if "4" in i.identifier else "fail"} for i in items
    ]
    files = (write_ratings(tmp_path / "r.tsv", rows),)
    sessions = ("sub-01_ses-1", "sub-03_ses-1")
    verdicts, notes = effect.verdicts_on(sessions, tmp_path, Ratings(files=files))
    reason = "failed by rater AB"
    entry = {"Sha256": base.sha256, "Reason": reason}
    assert effect.rejected(verdicts, "FLAIR") == ({"Strategy": "a", **entry},)
    assert effect.rejected(verdicts, "R1map") == ()
    assert effect.failed(verdicts) == {"dbsegment": [entry]}
    stale = f"the rating ({reason}) is not applied: what was rated has changed since."
    assert notes == [
        "ratings: 4 things were rated, 3 failed, 2 of them of this run.",
        f"sub-01_ses-1: registration FLAIR by a: {stale}",
    ]
    assert effect.verdicts_on(sessions, tmp_path, Ratings()) == ([], [])
    files[0].write_text("page\n")
    with pytest.raises(MetadataError):
        effect.verdicts_on(sessions, tmp_path, Ratings(files=files))
