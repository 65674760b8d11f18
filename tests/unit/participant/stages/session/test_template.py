"""To a template only when asked; a template that is not there stops the run before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.errors import RegistrationError, UsageError
from thalbids.image.io import save_image
from thalbids.participant.stages.session.template import TemplateParams, to_template
from thalbids.registration import template as registration
from thalbids.settings import load


def test_one_step_with_the_transform_of_the_kind_asked_for(tmp_path: Path) -> None:
    image = tmp_path / "tpl-Own_T1w.nii.gz"
    image.write_bytes(b"x")
    for kind, ending in registration.EXTENSION.items():
        settings = load(None, {"template": {"name": str(image), "transform": kind}})
        made = planned_session(session(("T1w",)), OUT, (Fixed(),), settings)
        (step,) = [step for step in made.steps if step.kind == "template"]
        assert step.outputs["transform"].name == f"sub-01_ses-1_from-T1w_to-Own_mode-image_xfm{ending}"
        assert step.params.to_json()["Kind"] == kind  # type: ignore[union-attr]
    made = planned_session(session(("T1w",)), OUT, (Fixed(),), load(None, {}))
    assert not [step for step in made.steps if step.kind == "template"]


def test_a_template_that_is_not_there_stops_the_plan(tmp_path: Path) -> None:
    settings = load(None, {"template": {"name": str(tmp_path / "no.nii.gz")}})
    with pytest.raises(UsageError):
        planned_session(session(("T1w",)), OUT, (Fixed(),), settings)


def test_a_registration_that_fails_is_an_exclusion_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> None:
        raise RegistrationError("the brains do not overlap.")

    monkeypatch.setattr(registration, "estimate", fails)
    for name in ("t1w", "brain"):
        data = np.indices((8, 8, 8))[0] // 4
        save_image(data, np.eye(4), tmp_path / f"{name}.nii.gz", dtype=np.uint8)
    inputs = {
        "T1w": tmp_path / "t1w.nii.gz",
        "brain": tmp_path / "brain.nii.gz",
        "template": tmp_path / "x",
        "template brain": None,
    }
    done = to_template(inputs, {"transform": tmp_path / "x.txt"}, TemplateParams("Own", "affine", 1, ("a",)), {})
    assert (done.status, done.reason) == ("excluded", "the brains do not overlap.")
    assert done.sidecars["record"]["Template"] == "Own"
