"""Later sessions are aligned with the first one, for pictures: one step each, and a failure is an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, session
from tests.unit.registration.test_gate import MASK, T1W
from tests.unit.registration.test_gate import Fixed as Strategy
from thalbids.engine.step import check_plan
from thalbids.files import read_json
from thalbids.image.io import save_image
from thalbids.participant import plan as plans
from thalbids.participant.stages.person import alignment
from thalbids.registration import strategies
from thalbids.settings import load


def test_one_step_for_each_later_session() -> None:
    images = [session(("T1w",), name) for name in ("1", "2", "3")]
    steps = plans.steps_of(plans.plan(images, OUT, (Fixed(),), load(None, {})))
    made = [step for step in steps if step.name.endswith("align with first session")]
    assert [step.session for step in made] == ["sub-01_ses-2", "sub-01_ses-3"]
    assert all("ses-1" in str(step.inputs["first"]) and step.kind == "alignment" for step in made)
    assert {"sub-01_ses-1 anatomy", "sub-01_ses-2 anatomy"} <= set(made[0].needs)


def test_later_visits_are_aligned_with_the_first_one_that_has_an_image(tmp_path: Path) -> None:
    images = [session(("T1w",), name) for name in ("1", "2", "3")]
    (tmp_path / "sub-01" / "ses-1" / "anat").mkdir(parents=True)
    (tmp_path / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_desc-thalamus_qc.json").touch()
    (subject,) = plans.plan(images[1:], tmp_path, (Fixed(),), load(None, {}), every=images)
    assert len(subject.usable) == 3 and subject.first is subject.usable[1]
    made = [step for step in subject.all_steps if step.name.endswith(alignment.STEP)]
    assert [step.session for step in made] == ["sub-01_ses-3"]
    subject.usable[0].t1w.touch()
    assert subject.first is subject.usable[0]


def test_where_the_first_visit_fails_the_next_one_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third visit waits for the first two whatever became of them; the record names whose image it is."""
    images = [session(("T1w",), name) for name in ("1", "2", "3")]
    steps = plans.steps_of(plans.plan(images, OUT, (Fixed(),), load(None, {})))
    check_plan(steps)
    second, third = (step for step in steps if step.name.endswith(alignment.STEP))
    assert second.needs == ("sub-01_ses-1 anatomy", "sub-01_ses-2 anatomy") and second.params.between == {}  # type: ignore[union-attr]
    assert third.needs == ("sub-01_ses-3 anatomy",)
    assert {"sub-01_ses-1 anatomy", "sub-01_ses-2 anatomy"} <= set(third.after)
    monkeypatch.setattr(strategies, "configured", lambda *given: [Strategy("ants", shift=(0, 0, 0))])
    keys = {"first": None, "brain": None, "T1w": T1W, "2 image": T1W, "2 brain": MASK}
    inputs = {key: tmp_path / f"{key}.nii.gz" for key in keys}
    for key, image in keys.items():
        if image is not None:
            data = np.asarray(image.dataobj)
            dtype = np.uint8 if key.endswith("brain") else data.dtype
            save_image(data, np.asarray(image.affine), inputs[key], dtype=dtype)
    out = {"alignment": tmp_path / "a.json"}
    params = replace(third.params, bins=32)  # type: ignore[type-var]
    assert alignment.align(inputs, out, params, {}).status == "ok"  # type: ignore[arg-type]
    told = read_json(out["alignment"])
    assert told["First"] == "2" and "ses-2" in told["Sources"][1] and told["Matrix"] is not None
    inputs["2 brain"].unlink()
    nothing = alignment.align(inputs, out, params, {})  # type: ignore[arg-type]
    assert (nothing.status, nothing.reason) == ("excluded", "no earlier visit has an image")


@pytest.mark.parametrize("shift", [0.0, 60.0])
def test_a_transform_or_why_there_is_none(shift: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = Strategy("ants", shift=(shift, 0, 0))
    monkeypatch.setattr(strategies, "configured", lambda *given: [fixed])
    inputs = {"first": tmp_path / "first.nii.gz", "T1w": tmp_path / "t1w.nii.gz", "brain": tmp_path / "brain.nii.gz"}
    for key, image in (("first", T1W), ("T1w", T1W), ("brain", MASK)):
        data = np.asarray(image.dataobj)
        save_image(data, np.asarray(image.affine), inputs[key], dtype=data.dtype if key != "brain" else np.uint8)
    out = {"alignment": tmp_path / "a.json"}
    params = alignment.AlignmentParams(first="1", sources=("a", "b"), seed=1, bins=32)
    assert alignment.align(inputs, out, params, {}).status == "ok"
    told = read_json(out["alignment"])
    assert told["First"] == "1" and [entry["strategy"] for entry in told["Attempts"]] == ["ants"]
    assert (told["Chosen"] is None) == (shift > 0) == (told["Matrix"] is None)
    assert bool(told["Reason"]) == (shift > 0)
    assert nib.load(inputs["T1w"]).shape == T1W.shape


def test_a_mirror_image_is_told_from_another_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "configured", lambda *given: [Strategy("ants", shift=(0, 0, 0))])
    rng = np.random.default_rng(1)
    inside = np.asarray(MASK.dataobj) != 0
    head = np.where(inside, np.asarray(T1W.dataobj) * rng.uniform(0.2, 1.8, inside.shape), 0).astype(np.float32)
    asymmetric = inside & inside[::-1]
    images = {"first": head, "T1w": head[::-1], "brain": asymmetric.astype(np.uint8)}
    inputs = {key: tmp_path / f"{key}.nii.gz" for key in images}
    for key, data in images.items():
        save_image(data, np.asarray(T1W.affine), inputs[key], dtype=data.dtype)
    out = {"alignment": tmp_path / "a.json"}
    params = alignment.AlignmentParams(first="1", sources=("sub-1_T1w", "sub-1_T1w"), seed=1, bins=32)
    assert alignment.align(inputs, out, params, {}).status == "ok"
    told = read_json(out["alignment"])
    assert told["Mirrored"] > 0.95
    assert "left and right exchanged" in alignment.other_person(told)
    assert "left and right" not in alignment.other_person(told | {"Mirrored": 0.7})
