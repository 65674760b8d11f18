"""A method of each kind, as another package adds it: from planning to masks, tables and pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from thalbids import families
from thalbids.bids.results import names
from thalbids.engine.step import Done
from thalbids.files import read_json, read_table, write_json
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.participant.run import participant
from thalbids.participant.stages.person import alignment
from thalbids.participant.stages.session import anatomy, registration
from thalbids.reports.group.figures import look
from thalbids.settings import MethodSettings, Settings, load

SHAPE = (40, 40, 40)
CACHES = (families.loaded, names._known, look._known, look.colour)


def boxes(radius: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for label, x in ((10, 14), (49, 26)):
        labels[x - radius : x + radius, 20 - radius : 20 + radius, 20 - radius : 20 + radius] = label
    return labels


class OneImage:
    family, shown, images = "onenet", "OneNet", ("T1w",)
    protocol, memory_gb, version, sentence, citations = "boxes", 0.1, 1, "", ()

    def unavailable(self) -> str | None:
        return None

    def params(self, settings: MethodSettings) -> dict[str, Any]:
        return {"Radius": 5}

    def segment(self, request: Request) -> Segmentation:
        return Segmentation(boxes(5), request.image.affine)


class SeveralImages(OneImage):
    family, shown, reads, images = "manynet", "ManyNet", "images", ("T1w", "FLAIR")

    def segment(self, request: Request) -> Segmentation:
        assert list(request.images) == ["T1w", "FLAIR"] and request.images["T1w"] is request.image
        seen = [float(np.asarray(image.dataobj).max()) for image in request.images.values()]
        return Segmentation(boxes(5), request.image.affine, metadata={"Maxima": seen})


class SeveralSessions(OneImage):
    family, shown, reads = "longnet", "LongNet", "sessions"

    def builds_on(self, settings: MethodSettings) -> tuple[str, ...]:
        return ("brain", "onenet")

    def session_maps(self, requests: Mapping[str, Request]) -> tuple[dict[str, LabelMap], dict[str, str]]:
        assert all(request.masks["onenet"].any() and request.brain.exists() for request in requests.values())
        maps = {name: LabelMap(boxes(4 + n), {10: "left", 49: "right"}) for n, name in enumerate(sorted(requests))}
        failed = {name: "too dark." for name in requests if np.asarray(requests[name].image.dataobj).max() < 50}
        return {name: made for name, made in maps.items() if name not in failed}, failed

    def segment(self, request: Request) -> Segmentation:
        assert request.labels is not None
        return Segmentation(request.labels.astype(np.uint8), request.image.affine)


KINDS = (OneImage, SeveralImages, SeveralSessions)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three methods of another package; T1w and FLAIR are taken as they are."""
    found = [EntryPoint(kind.family, f"{__name__}:{kind.__name__}", families.GROUP) for kind in KINDS]
    monkeypatch.setattr(families, "entries", lambda: found)
    monkeypatch.setattr(anatomy, "anatomy", as_it_is)
    monkeypatch.setattr(registration, "register", registered)
    monkeypatch.setattr(alignment, "align", not_aligned)
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


def as_it_is(inputs: Any, outputs: Any, params: Any, upstream: Any) -> Done:
    image = load_image(inputs["T1w"])
    save_image(np.asarray(image.dataobj), image.affine, outputs["T1w"])
    brain = np.zeros(SHAPE, np.uint8)
    brain[4:36, 4:36, 4:36] = 1
    save_image(brain, image.affine, outputs["brain"], dtype=np.uint8)
    told = {"ThalamiCentreMm": [20, 20, 20], "IntracranialVolumeMm3": 1.4e6, "SkullStripped": False}
    return Done({"T1w": told, "brain": {"Type": "Brain"}})


def registered(inputs: Any, outputs: Any, params: Any, upstream: Any) -> Done:
    image = load_image(inputs["image"])
    save_image(np.asarray(image.dataobj), image.affine, outputs["image"])
    outputs["transform"].write_text("x")
    return Done({"image": {}, "transform": {"Chosen": "ants", "Reason": "", "Attempts": [], "Notes": []}})


def not_aligned(inputs: Any, outputs: Any, params: Any, upstream: Any) -> Done:
    write_json(outputs["alignment"], {"Chosen": None, "Reason": "not tried", "Matrix": None, "Attempts": []})
    return Done()


def dataset(root: Path, brightness: Mapping[str, float], flair: str = "") -> Path:
    rng = np.random.default_rng(1)
    for label, bright in brightness.items():
        for suffix in ("T1w", *(["FLAIR"] if label in flair else [])):
            path = root / "sub-01" / f"ses-{label}" / "anat" / f"sub-01_ses-{label}_{suffix}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image((rng.random(SHAPE) * bright).astype(np.float32), np.eye(4)), path)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    return root


def rows_of(out: Path, label: str) -> dict[str, dict[str, str | None]]:
    anat = out / "sub-01" / f"ses-{label}" / "anat"
    return {str(row["method"]): row for row in read_table(anat / f"sub-01_ses-{label}_desc-thalamus_morph.tsv")}


def settings(**more: Any) -> Settings:
    return load(None, {"methods": {"names": [kind.family for kind in KINDS]}, "siena": {"run": "no"}, **more})


def test_a_method_of_each_kind_runs_to_masks_tables_and_pages(tmp_path: Path) -> None:
    raw, out = dataset(tmp_path / "raw", {"1": 100, "2": 100, "3": 20}, flair="12"), tmp_path / "out"
    assert participant(raw, out, settings()) == 1  # the third session is too dark for LongNet
    first, second, third = (rows_of(out, label) for label in "123")
    assert list(first) == ["onenetT1w", "manynet", "longnet"]
    assert [row["image"] for row in first.values()] == ["T1w", "several", "T1w"]
    assert float(first["manynet"]["volume_mm3"] or 0) == 2000
    assert [float(rows["longnet"]["volume_mm3"] or 0) for rows in (first, second)] == [1024, 2000]
    assert third["manynet"]["status"] == "missing" and third["manynet"]["reason"] == "the session has no FLAIR image"
    assert third["longnet"]["status"] == "failed" and "too dark" in str(third["longnet"]["reason"])
    anat = out / "sub-01" / "ses-1" / "anat"
    told = read_json(anat / "sub-01_ses-1_space-T1w_seg-thalamus_desc-manynet_dseg.json")
    assert len(told["Maxima"]) == 2 and len(told["Sources"]) == 3  # T1w, FLAIR, brain
    whole = read_json(anat / "sub-01_ses-1_space-T1w_seg-longnet_desc-T1w_dseg.json")
    assert len(whole["Sources"]) == 3 and set(
        np.unique(load_labels(anat / "sub-01_ses-1_space-T1w_seg-longnet_desc-T1w_dseg.nii.gz").dataobj)
    ) == {0, 10, 49}
    page = (out / "sub-01.html").read_text("utf-8")
    assert all(name in page for name in ("OneNet", "ManyNet", "LongNet", "too dark"))
    assert "LongNet" in (out / "qc.html").read_text("utf-8")
