"""From raw images to the session's R1 map: which steps are planned, and what they write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.bids.results.outputs import read_json, read_table
from thalbids.engine.params import as_json
from thalbids.engine.step import Step, StepResult, check_plan
from thalbids.errors import ImageError
from thalbids.image.io import load_image, save_image
from thalbids.participant import plan as plans
from thalbids.participant.session import PlannedMask, SessionPlan
from thalbids.participant.stages.session import microstructure, relaxometry
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
    assert "fit R1map" not in by_name(planned(tmp_path, session(tmp_path, mpm(tmp_path)), source=["maps"]))


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


def readout_params(**maps: str) -> microstructure.ReadoutParams:
    masks = (PlannedMask("synthalT1w", "synthal", ("T1w",), "T1w", step="mask"),
             PlannedMask("first", "first", ("T1w",), "T1w", reason="FSL is not installed"))  # fmt: skip
    return microstructure.ReadoutParams(masks, maps, {"R1map": 2.0}, microstructure.QMRI_MORPH)


def test_maps_are_read_inside_masks(tmp_path: Path) -> None:
    labels = np.zeros((20, 16, 16), dtype=np.uint8)
    labels[3:9, 4:10, 4:10], labels[11:17, 4:10, 4:10] = 10, 49
    r1 = np.where(labels == 10, 0.8, np.where(labels == 49, 2.0, 0.6)).astype(np.float32)
    inputs: dict[str, Path | None] = {name: tmp_path / f"{name}.nii.gz" for name in ("R1map", "brain", "synthalT1w")}
    for name, data in (("R1map", r1), ("brain", np.ones_like(labels)), ("synthalT1w", labels)):
        data = data.copy()
        data[0, 0, 0] = 0
        save_image(data, np.eye(4), inputs[name])  # type: ignore[arg-type]
    outputs = {"table": tmp_path / "x_morph.tsv", "qc": tmp_path / "x_qc.json"}
    upstream = {"register": StepResult("register", "ok"), "maps": StepResult("maps", "failed", "no disk"),
                "mask": StepResult("mask", "ok")}  # fmt: skip
    params = readout_params(R1map="register", MTsat="maps")
    microstructure.read_maps({**inputs, "MTsat": tmp_path / "none.nii.gz"}, outputs, params, upstream)
    rows: list[dict[str, Any]] = read_table(outputs["table"])
    assert list(rows[0]) == list(microstructure.QMRI_MORPH)
    left, right = (
        next(r for r in rows if (r["map"], r["region"], r["side"]) == ("R1map", "eroded", side))
        for side in ("left", "right")
    )
    assert (left["voxels"], float(left["mean"]), left["units"], left["reason"]) == (
        "64",
        pytest.approx(0.8),
        "1/s",
        None,
    )
    assert "outside 0.5 - 1.2" in right["reason"]
    lost = [r for r in rows if r["status"] != "ok"]
    assert {(r["method"], r["map"], r["status"], r["reason"]) for r in lost} == {
        ("first", "R1map", "missing", "FSL is not installed"), ("synthalT1w", "MTsat", "missing", "no disk"),
        ("first", "MTsat", "missing", "no disk"),
    }  # fmt: skip
    document = read_json(outputs["qc"])
    assert document["Maps"]["R1map"]["clamped"] == pytest.approx(216 / (labels.size - 1))
    assert len(document["Flags"]) == 2  # of the right one, and of both together


def test_other_maps_follow_r1(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    image = rng.uniform(10, 30, (12, 12, 12)).astype(np.float32)
    inputs: dict[str, Path | None] = {name: tmp_path / f"{name}.nii.gz" for name in ("R2starmap", "T1w")}
    save_image(image, np.eye(4), tmp_path / "R2starmap.nii.gz")
    save_image(image, np.eye(4), tmp_path / "T1w.nii.gz")
    shifted = np.eye(4)
    shifted[0, 3] = 2.0
    transforms.write_itk(shifted, tmp_path / "xfm.txt")
    params = microstructure.MapsParams({"R2starmap": "bids::r2", "MTsat": "bids::mt"}, "bids::t1w")
    outputs = {name: tmp_path / f"made_{name}.nii.gz" for name in params.sources}
    found = microstructure.resample_maps(
        {**inputs, "MTsat": tmp_path / "none.nii.gz", "transform": tmp_path / "xfm.txt"}, outputs, params, {}
    )
    assert set(found.sidecars) == {"R2starmap"}
    made = np.asarray(load_image(outputs["R2starmap"]).dataobj)
    np.testing.assert_allclose(made[:10], image[2:], rtol=1e-5)


def test_a_session_without_r1_is_not_read_out(tmp_path: Path) -> None:
    bare = replace(session(tmp_path, ()), notes=())
    assert not {"microstructure", "fit R1map"} & set(by_name(planned(tmp_path, bare)))
    assert relaxometry.kinds_in_order(bare, ("maps", "MPM")) == []
