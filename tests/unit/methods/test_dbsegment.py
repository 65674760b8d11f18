"""DBSegment as a method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import checkpoints
from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.participant.test_plan import OUT, planned_session, session
from thalbids.inference import dbsegment as network
from thalbids.inference import nnunet
from thalbids.methods.base import Request, own_settings
from thalbids.methods.dbsegment import DBSegment
from thalbids.settings import load
from thalbids.tools import dbsegment as tool
from thalbids.tools.runner import ToolError


def test_a_kept_method_gives_no_brain_mask() -> None:
    settings = load(None, {})
    made = planned_session(session(("T1w",)), OUT, (DBSegment(), Fixed()), settings, None, {"dbsegment"})
    assert made.brain_source == "synthal"


class Sides:
    """A network in place of DBSegment's: brain, and thalami by their brightness."""

    plans = nnunet.Plans((32, 32, 32), (), (), 1, 2, 32, (0, 1, 2), "nonCT", masked=False)
    windows = 0

    def __call__(self, window: np.ndarray) -> np.ndarray:
        Sides.windows += 1
        out = np.zeros((32, *window.shape), np.float32)
        out[1], out[24], out[25] = 2, 9 * (window > 17), 9 * ((window > 8) & (window < 17))
        return out

    def rest(self) -> None:
        """Nothing to give back."""


def request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, near: bool, **options: object) -> Request:
    root = tmp_path / "deep_brain_seg_model_2f" / tool._MODEL
    for fold in (4, 6):
        checkpoints.random_nnunet(root / f"fold_{fold}", fold)
    monkeypatch.setattr(nnunet, "load", lambda *what: Sides())
    monkeypatch.setattr(network, "SIDE", 160)
    settings = own_settings(DBSegment(), load(None, {"tools": {"dbsegment": {"models": str(tmp_path), **options}}}))
    if near:
        settings = DBSegment().without_brain(settings)
    data = np.zeros((150, 120, 110), np.float32)
    data[20:130, 20:100, 20:90] = np.random.default_rng(1).uniform(50, 60, (110, 80, 70))
    data[60:70, 55:65, 50:60], data[80:90, 55:65, 50:60] = 500, 350
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, 3] = -75, -60, -55
    params = DBSegment().params(settings)
    image = nib.Nifti1Image(data, affine)
    return Request("T1w", image, tmp_path, (20, 0, 0), params, tmp_path, settings=settings)


def test_thalbids_computes_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path, monkeypatch, near=False)
    maps, failed = DBSegment().label_maps({"T1w": asked})
    assert not failed
    made = maps["T1w"]
    assert made.labels.shape == asked.image.shape and (made.labels > 0).mean() > 0.3
    told = {"Extent": "head", "Precision": "full", "WayBack": "header", "Folds": [4, 6], "Mode": "conformed"}
    assert told.items() <= made.metadata.items() and "Description" not in made.metadata
    assert made.metadata["Software"][0]["Version"] == "0.2.2, engine of thalbids 2"
    assert DBSegment().memory(asked.settings) < DBSegment().memory_gb


def test_near_the_thalami_the_labels_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path, monkeypatch, near=True)
    Sides.windows = 0
    near = DBSegment().label_maps({"T1w": asked})[0]["T1w"]
    few = Sides.windows
    whole = DBSegment().label_maps({"T1w": request_of_head(asked)})[0]["T1w"]
    assert few < Sides.windows - few
    assert near.metadata["Extent"] == "thalami" and "0 elsewhere" in near.metadata["Description"]
    box = near.labels > 0
    assert (near.labels[box] == whole.labels[box]).all() and box.sum() < (whole.labels > 0).sum()
    for labels in (24, 25):
        assert ((near.labels == labels) == (whole.labels == labels)).all() and (near.labels == labels).any()


def request_of_head(asked: Request) -> Request:
    program = replace(asked.settings.tables[-1], extent="head")
    return replace(asked, settings=replace(asked.settings, tables=(program,)))


def test_a_container_is_named_only_where_it_computes(tmp_path: Path) -> None:
    def software(engine: str) -> dict[str, object]:
        given = {"models": str(tmp_path), "engine": engine, "runner": "docker", "image": "x/dbsegment:1"}
        settings = own_settings(DBSegment(), load(None, {"tools": {"dbsegment": given}}))
        return dict(DBSegment().software(settings)[0])

    assert "Container" not in software("thalbids")


def test_a_missing_side_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path, monkeypatch, near=False)

    class Brain(Sides):
        def __call__(self, window: np.ndarray) -> np.ndarray:
            out = super().__call__(window)
            out[24:] = 0
            return out

    monkeypatch.setattr(nnunet, "load", lambda *what: Brain())
    with pytest.raises(ToolError, match="found no left thalamus"):
        DBSegment().label_maps({"T1w": asked})


@pytest.mark.parametrize(("source", "extent"), [("dbsegment", "auto"), ("synthal", "thalami")])
def test_only_a_brain_mask_needs_all_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, extent: str
) -> None:
    request(tmp_path, monkeypatch, near=False)
    tables = {"tools": {"dbsegment": {"models": str(tmp_path)}}, "brain": {"source": source}}
    settings = load(None, tables)
    made = planned_session(session(("T1w",)), OUT, (DBSegment(), Fixed()), settings, {"dbsegment"})
    steps = [step for step in made.steps if "label maps" in step.name]
    assert [step.params.settings.tables[-1].extent for step in steps] == [extent]
    assert steps[0].params.method["Extent"] == {"auto": "head"}.get(extent, extent)


def test_what_its_own_program_made_stays_current() -> None:
    """The parameters with ``engine = "upstream"`` are those of before there was another engine."""
    settings = own_settings(DBSegment(), load(None, {"tools": {"dbsegment": {"engine": "upstream"}}}))
    assert set(DBSegment().params(settings)) == {"Software", "Mode", "Folds", "TestTimeAugmentation", "Models"}
    assert DBSegment().without_brain(settings) is settings and DBSegment().memory(settings) == DBSegment.memory_gb
