"""Quantitative maps inside masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.stages.session.test_relaxometry import by_name, mpm, planned, session
from thalbids.bids.results.outputs import read_json, read_table, write_json
from thalbids.engine.step import StepResult
from thalbids.image.io import load_image, save_image
from thalbids.participant.session import PlannedMask
from thalbids.participant.stages.session import microstructure, relaxometry
from thalbids.registration import transforms


def readout_params(**maps: str) -> microstructure.ReadoutParams:
    masks = (PlannedMask("synthalT1w", "synthal", ("T1w",), "T1w", step="mask"),
             PlannedMask("first", "first", ("T1w",), "T1w", reason="FSL is not installed"))  # fmt: skip
    units = {"R1map": ("1/s", 2.0), "MTsat": ("p.u.", None)}
    read = {name: microstructure.ReadMap(step, *units[name]) for name, step in maps.items()}
    return microstructure.ReadoutParams(masks, read, microstructure.QMRI_MORPH, ("T1w", "MTw"))


def test_maps_are_read_inside_masks(tmp_path: Path) -> None:
    labels = np.zeros((20, 16, 16), dtype=np.uint8)
    labels[3:9, 4:10, 4:10], labels[11:17, 4:10, 4:10] = 10, 49
    r1 = np.where(labels == 10, 0.8, np.where(labels == 49, 2.0, 0.6)).astype(np.float32)
    t1w = np.where(labels == 49, 900, np.where(labels == 10, 500, 100)).astype(np.float32)
    inputs: dict[str, Path | None] = {
        name: tmp_path / f"{name}.nii.gz" for name in ("R1map", "brain", "T1w", "synthalT1w")
    }
    inputs["contrast T1w"], inputs["contrast MTw"] = tmp_path / "T1w.json", tmp_path / "MTw.json"
    write_json(tmp_path / "T1w.json", {"ShiftMm": 5.0, "RotationDegrees": 1.0, "Chosen": "ants"})
    write_json(tmp_path / "MTw.json", {"Chosen": None, "Reason": "no strategy passed"})
    images = (("R1map", r1), ("brain", np.ones_like(labels)), ("T1w", t1w), ("synthalT1w", labels))
    for name, data in images:
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
    summary = document["Maps"]["R1map"]
    assert summary["white_matter"] == pytest.approx(2.0)  # the brightest part of the T1w, here the right thalamus
    assert summary["thalamus"] == pytest.approx(1.4) and summary["expected"]["thalamus"] == [0.5, 1.2]
    scopes = [(flag["scope"], flag["rule"]) for flag in document["Flags"]]
    assert scopes == [
        ("map:R1map", "clamped"), ("map:R1map", "white_matter"), ("map:R1map", "thalamus"), ("contrast:T1w", "shift"),
    ]  # fmt: skip
    assert document["Motion"]["MTw"] == {
        "shift_mm": None, "rotation_degrees": None, "strategy": None, "reason": "no strategy passed",
    }  # fmt: skip


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


@pytest.mark.parametrize(("told", "known"), [(3, 3.0), (float("inf"), None), (10**400, None)])
def test_a_field_strength_that_cannot_be_is_not_known(tmp_path: Path, told: object, known: float | None) -> None:
    plan = planned(tmp_path, session(tmp_path, mpm(tmp_path, MagneticFieldStrength=told)))
    assert by_name(plan)["microstructure"].params.field_strength == known
