"""Maps that the user has: R1 of the session, others on the T1w grid for the readout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.engine.step import Done, Step, StepResult, check_plan
from thalbids.image.io import load_image, save_image
from thalbids.participant import plan as plans
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages.session import given_maps
from thalbids.registration import transforms
from thalbids.settings import load
from thalbids.types import InputImage, Session

AFFINE = np.diag([2.0, 2, 2, 1])


def planned(folder: Path, *names: str, raw: tuple[InputImage, ...] = (), **sidecars: dict[str, object]) -> SessionPlan:
    """The plan of a session whose derivative dataset ``maps`` has these files."""
    anat = folder / "maps" / "sub-01" / "anat"
    anat.mkdir(parents=True)
    for name in names:
        (anat / f"sub-01_{name}.nii.gz").write_bytes(b"x")
    for name, content in sidecars.items():
        (folder / "maps" / f"{name}.json").write_text(json.dumps(content))
    one = Session("01", None, {"T1w": InputImage(folder / "T1w.nii.gz", "bids:raw:T1w", "T1w")},
                  ("R1map: none found.",), raw=raw)  # fmt: skip
    settings = load(None, {"inputs": {"derivatives": {"maps": folder / "maps"}}})
    (subject,) = plans.plan([one], folder / "out", (Fixed(),), settings)
    (plan,) = subject.sessions
    check_plan(plan.steps)
    return plan


def by_name(plan: SessionPlan) -> dict[str, Step]:
    return {step.name.removeprefix("sub-01 "): step for step in plan.steps}


def test_a_given_r1_is_the_sessions_and_others_are_read(tmp_path: Path) -> None:
    plan = planned(tmp_path, "R1map", "desc-x_R2starmap", "Chimap", Chimap={"Units": "ppm"})
    steps = by_name(plan)
    assert plan.session.images["R1map"].uri == "bids:maps:sub-01/anat/sub-01_R1map.nii.gz"
    assert "R1map: none found." not in plan.session.notes
    assert {"register R1map", "read R2starmap", "read Chimap", "microstructure"} <= set(steps)
    params = steps["microstructure"].params
    assert {name: one.unit for name, one in params.maps.items()} == {  # type: ignore[union-attr]
        "R1map": "1/s", "Chimap": "ppm", "R2starmap": "1/s",
    }  # fmt: skip
    assert steps["measures"].inputs["maps"] == plan.maps_qc


def test_maps_without_r1_are_read_too(tmp_path: Path) -> None:
    plan = planned(tmp_path, "MTsat")
    assert "register R1map" not in by_name(plan) and "read MTsat" in by_name(plan)
    assert "microstructure" in by_name(plan) and list(plan.maps) == ["MTsat"]


def test_without_maps_for_the_session_a_note_says_so(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert "maps: none given for this session." in plan.session.notes
    assert "microstructure" not in by_name(plan)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path | None]:
    """A T1w, and an R1 map on a grid of its own that lies 4 mm to the left of it."""
    rng = np.random.default_rng(2)
    image = rng.uniform(1, 2, (12, 12, 12)).astype(np.float32)
    shifted = AFFINE.copy()
    shifted[0, 3] = 50.0
    made: dict[str, Path | None] = {name: tmp_path / f"{name}.nii.gz" for name in ("T1w", "raw T1w", "R1map", "image")}
    for name, affine in (("T1w", AFFINE), ("raw T1w", AFFINE), ("R1map", shifted), ("image", shifted)):
        save_image(image, affine, made[name])  # type: ignore[arg-type]
    matrix = np.eye(4)
    matrix[0, 3] = 54.0
    transforms.write_itk(matrix, tmp_path / "xfm.txt")
    return made | {"R1map transform": tmp_path / "xfm.txt", "brain": tmp_path / "brain.nii.gz"}


def brought(tmp_path: Path, files: dict[str, Path | None], *, on_t1w: bool = False) -> tuple[np.ndarray, Done]:
    plan = planned(tmp_path, "MTsat", MTsat={"Units": "arbitrary"})
    params = by_name(plan)["read MTsat"].params
    assert isinstance(params, given_maps.GivenMapParams)
    outputs = {"image": tmp_path / "out.nii.gz", "transform": tmp_path / "out.txt"}
    done = given_maps.bring(files, outputs, replace(params, on_t1w=on_t1w), {"x": StepResult("x", "ok")})
    return np.asarray(load_image(outputs["image"]).dataobj), done


def test_a_map_on_the_grid_of_r1_goes_with_it(tmp_path: Path, files: dict[str, Path | None]) -> None:
    made, done = brought(tmp_path, files)
    own = np.asarray(load_image(files["image"]).dataobj)  # type: ignore[arg-type]
    np.testing.assert_allclose(made[:10], own[2:], rtol=1e-5)
    assert "by the transform of the R1 map" in str(done.sidecars["image"]["Description"])


def test_a_map_on_the_t1w_stays_where_its_header_says(tmp_path: Path, files: dict[str, Path | None]) -> None:
    assert files["T1w"] is not None
    made, _ = brought(tmp_path, {**files, "image": files["T1w"]})
    np.testing.assert_allclose(made, np.asarray(load_image(files["T1w"]).dataobj), rtol=1e-5)


def test_a_map_elsewhere_is_registered(
    tmp_path: Path, files: dict[str, Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(given_maps, "register", lambda *a: asked.append(a) or Done({}, "excluded", "too far"))
    path = tmp_path / "far.nii.gz"
    far = AFFINE.copy()
    far[2, 3] = 9.0
    save_image(np.random.default_rng(1).uniform(1, 2, (10, 12, 12)).astype(np.float32), far, path)
    plan = planned(tmp_path, "MTsat")
    params = by_name(plan)["read MTsat"].params
    assert isinstance(params, given_maps.GivenMapParams)
    done = given_maps.bring({**files, "image": path}, {}, params, {})
    assert done.status == "excluded" and asked[0][2].image == "MTsat"
