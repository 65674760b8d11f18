"""From raw images to the session's R1 map: which steps are planned, and what they write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.engine.params import as_json
from thalbids.engine.step import Step, StepResult, check_plan
from thalbids.errors import ImageError
from thalbids.image.io import load_image, save_image
from thalbids.participant import plan as plans
from thalbids.participant.session import SessionPlan
from thalbids.qmri import phantom
from thalbids.registration import transforms
from thalbids.settings import load
from thalbids.types import InputImage, Session

SHAPE, AFFINE = (24, 28, 26), np.array([[8.0, 0, 0, -96], [0, 8, 0, -112], [0, 0, 8, -104], [0, 0, 0, 1]])


def mpm(folder: Path, contrasts: tuple[str, ...] = ("PDw", "T1w", "MTw"), **changes: object) -> tuple[InputImage, ...]:
    """Raw images of two echoes; ``changes`` over every sidecar."""
    made = []
    for name in contrasts:
        contrast, (flip, mt) = phantom.PAPER_PROTOCOL[name], phantom.FLIP_ENTITIES[name]
        for echo, time in enumerate((0.00246, 0.00738), start=1):
            metadata = {"FlipAngle": contrast.flip_angle, "RepetitionTimeExcitation": contrast.repetition_time,
                        "EchoTime": time, "MTState": mt == "on"} | changes  # fmt: skip
            metadata = {key: value for key, value in metadata.items() if value is not None}
            path = folder / f"sub-01_acq-{name}_echo-{echo}_flip-{flip}_mt-{mt}_MPM.nii.gz"
            entities = {"acq": name, "echo": str(echo), "flip": flip, "mt": mt}
            made.append(InputImage(path, f"bids:raw:{path.name}", "MPM", entities, metadata))
    return tuple(made)


def session(folder: Path, raw: tuple[InputImage, ...], *images: str) -> Session:
    found = {name: InputImage(folder / f"{name}.nii.gz", f"bids:raw:{name}", name) for name in ("T1w", *images)}
    return Session("01", None, found, ("R1map: none found.",), raw=raw)


def planned(folder: Path, one: Session, **qmri: object) -> SessionPlan:
    (subject,) = plans.plan([one], folder / "out", (Fixed(),), load(None, {"qmri": qmri}))
    (plan,) = subject.sessions
    check_plan(plan.steps)
    return plan


def by_name(plan: SessionPlan) -> dict[str, Step]:
    return {step.name.removeprefix("sub-01 "): step for step in plan.steps}


def test_steps_from_raw_images_to_masks(tmp_path: Path) -> None:
    plan = planned(tmp_path, session(tmp_path, mpm(tmp_path)))
    steps = by_name(plan)
    assert {"align T1w", "align MTw", "fit R1map", "register R1map", "register maps", "microstructure"} <= set(steps)
    assert "sub-01 align T1w" in steps["fit R1map"].needs
    assert "sub-01 align MTw" in steps["fit R1map"].after
    assert "sub-01 fit R1map" in steps["register R1map"].needs
    assert steps["register R1map"].inputs["image"] == tmp_path / "out/sub-01/anat/sub-01_R1map.nii.gz"
    assert "synthalR1map" in {mask.desc for mask in plan.masks if mask.step}
    assert plan.session.notes == ("R1map: from the raw MPM images.",)
    recorded = as_json(steps["fit R1map"].params)
    assert recorded["Acquisition"]["parts"][1] == {
        "name": "T1w", "times": [0.00246, 0.00738], "flip_angle": 25.0, "repetition_time": 0.018,
        "images": [f"bids:raw:sub-01_acq-T1w_echo-{k}_flip-2_mt-off_MPM.nii.gz" for k in (1, 2)],
    }  # fmt: skip
    assert recorded["Options"]["form"] == "exact"


def test_a_given_map_comes_first_unless_the_settings_say_else(tmp_path: Path) -> None:
    both = session(tmp_path, mpm(tmp_path), "R1map")
    assert "fit R1map" not in by_name(planned(tmp_path, both))
    assert "fit R1map" in by_name(planned(tmp_path, both, source=["MPM", "maps"]))
    unnamed = planned(tmp_path, session(tmp_path, mpm(tmp_path)), source=["maps"])
    assert "fit R1map" not in by_name(unnamed)
    assert "R1map: the raw MPM images are not used, as [qmri] source does not name them." in unnamed.session.notes


def test_without_alignment_and_with_unringing(tmp_path: Path) -> None:
    steps = by_name(planned(tmp_path, session(tmp_path, mpm(tmp_path)), coregistration=[], unringing="kellner"))
    assert not any(name.startswith("align") for name in steps)
    assert {f"sub-01 unring {name}" for name in ("PDw", "T1w", "MTw")} <= set(steps["fit R1map"].needs)
    made = "out/sub-01/anat/sub-01_acq-PDw_echo-1_flip-1_mt-off_desc-unringed_MPM.nii.gz"
    assert steps["fit R1map"].inputs["PDw 0"] == tmp_path / made
    assert steps["unring PDw"].outputs["image 1"] == tmp_path / made


def test_a_missing_value_stops_r1_alone_and_names_file_and_key(tmp_path: Path) -> None:
    raw = mpm(tmp_path, RepetitionTimeExcitation=None)
    steps = by_name(planned(tmp_path, session(tmp_path, raw)))
    refusal = steps["register R1map"]
    with pytest.raises(ImageError) as caught:
        refusal.function(refusal.inputs, refusal.outputs, refusal.params, {})
    assert "acq-MTw_echo-1_flip-1_mt-on_MPM.nii.gz: RepetitionTimeExcitation is missing" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert "synthalT1w" in steps


def write_phantom(folder: Path, raw: tuple[InputImage, ...], still: phantom.Properties) -> None:
    for image in raw:
        name = image.entities["acq"]
        (signal,) = phantom.echoes(still, phantom.PAPER_PROTOCOL[name], [image.metadata["EchoTime"]], mt=name == "MTw")  # type: ignore[list-item]
        save_image(10 * signal, AFFINE, image.path)


def test_fit_writes_maps_and_what_they_are(tmp_path: Path) -> None:
    still = phantom.properties_of(phantom.head(SHAPE, AFFINE))
    raw = mpm(tmp_path, MagneticFieldStrength=3)
    write_phantom(tmp_path, raw, still)
    step = by_name(planned(tmp_path, session(tmp_path, raw)))["fit R1map"]
    for name in ("T1w", "MTw"):
        path = step.inputs[f"transform {name}"]
        assert path is not None
        transforms.write_itk(np.eye(4), path)
    done = {name: StepResult(name, "ok") for name in (*step.needs, *step.after)}
    found = step.function(step.inputs, step.outputs, step.params, done)
    r1 = np.asarray(load_image(step.outputs["R1map"]).dataobj)
    inside = still.density > 0
    np.testing.assert_allclose(r1[inside], still.r1[inside], rtol=1e-3)
    assert set(found.sidecars) == {"R1map", "R2starmap", "PDmap", "MTsat"} | {
        f"{s} error" for s in ("R1map", "R2starmap", "PDmap", "MTsat")
    }
    told = found.sidecars["R1map"]
    assert told["Units"] == "1/s" and told["MagneticFieldStrength"] == 3 and told["SkullStripped"] is False
    assert told["EstimationReference"].startswith("Weiskopf")
    assert told["ClampedShareOfHead"] == 0
    assert len(told["Sources"]) == 6

    lost = {**done, step.after[0]: StepResult(step.after[0], "excluded", "no overlap")}
    found = step.function(step.inputs, step.outputs, step.params, lost)
    assert "MTsat" not in found.sidecars
    assert any("MTw is left out" in note for note in found.sidecars["R1map"]["Notes"])
