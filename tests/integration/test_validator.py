"""A derivative dataset with one of every output passes the BIDS validator; what it does not check is checked here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest

from thalbids.bids import LABEL_TABLE, LABEL_TABLE_COLUMNS
from thalbids.bids.results import names, outputs
from thalbids.bids.results.dictionaries import ICV_COLUMNS, ICV_MORPH, THALAMUS_COLUMNS, THALAMUS_MORPH
from thalbids.types import InputImage, Session

BESIDE_PYTHON = Path(sys.executable).with_name("bids-validator-deno")
VALIDATOR = shutil.which("bids-validator-deno") or (str(BESIDE_PYTHON) if BESIDE_PYTHON.is_file() else None)
needs_validator = pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed (pip install it)")

RAW = "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
THALBIDS = {"Name": "thalbids", "Version": "0.0.0", "CodeURL": "https://example.org/thalbids"}
SOURCES = (  # session label, entities of the T1w: every combination that a raw T1w may have
    ("01", None, {}),
    ("02", "1", {"acq": "mprage", "run": "1"}),
    ("02", "2", {"task": "rest", "acq": "highres", "ce": "gd", "rec": "norm", "run": "02"}),
)


def validate(dataset: Path, report: Path) -> list[dict]:
    """The validator's findings of severity error."""
    command = [str(VALIDATOR), str(dataset), "--format", "json", "-o", str(report)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert finished.returncode in (0, 16), finished.stderr
    return [issue for issue in json.loads(report.read_text())["issues"]["issues"] if issue["severity"] == "error"]


def unresolved_uris(dataset: Path, raw: Path | None = None) -> list[str]:
    """BIDS URIs in JSON files that point to nothing (the validator does not look)."""
    missing = []
    links = json.loads((dataset / "dataset_description.json").read_text())["DatasetLinks"]
    for path in dataset.rglob("*.json"):
        for text in _texts(json.loads(path.read_text())):
            match = re.fullmatch(r"bids:([^:]*):(.+)", text)
            if match is None:
                continue
            known = match[1] in ("", *links)
            root = dataset if match[1] == "" else raw
            if not known or (root is not None and not (root / match[2]).exists()):
                missing.append(f"{path.name}: {text}")
    return missing


def unregistered_descs(dataset: Path) -> set[str]:
    """Values of desc- in file names that descriptions.tsv does not explain (the validator does not look)."""
    known = {str(row["desc_id"]).removeprefix("desc-") for row in outputs.read_table(dataset / "descriptions.tsv")}
    paths = [path for path in dataset.rglob("*") if "figures" not in path.parts]
    found = {match[1] for path in paths if (match := re.search(r"_desc-([^_.]+)", path.name))}
    return found - known


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


class Builder:
    """Writes the outputs of sessions into a dataset, with the least metadata that a step may write."""

    def __init__(self, root: Path, session: Session):
        self.root, self.session = root, session
        self.reference = outputs.uri(outputs.derivative(session, "T1w", desc="reoriented"))

    def image(self, suffix: str, metadata: dict, **entities: str) -> PurePosixPath:
        relative = outputs.derivative(self.session, suffix, **entities)
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = suffix in ("mask", "dseg")
        data = np.ones((9, 9, 9), np.uint8 if labels else np.float32)
        nib.save(nib.Nifti1Image(data, np.eye(4)), path)
        outputs.write_json(outputs.sidecar(path), {"Sources": [RAW], **metadata})
        return relative

    def on_t1w(self, suffix: str, metadata: dict, **entities: str) -> PurePosixPath:
        return self.image(suffix, {"SpatialReference": self.reference, **metadata}, space="T1w", **entities)

    def everything(self, methods: Sequence[names.MaskKind]) -> None:
        """One of each output of a session, with the masks of these methods."""
        t1w = {"SkullStripped": False, "Description": "...", "SpatialReference": self.reference}
        self.image("T1w", t1w, desc="reoriented")
        brain = {"Type": "Brain", "SpatialReference": self.reference, "Manual": False}
        self.image("mask", brain, desc="brain")
        for suffix in ("FLAIR", "R1map", "T2w"):
            self.on_t1w(suffix, {"SkullStripped": False, "Units": "arbitrary"}, desc="preproc")
        self.on_t1w("R1map", {"SkullStripped": True, "Units": "arbitrary"}, desc="scaled")
        fitted = {"SkullStripped": False, "EstimationAlgorithm": "...", "MagneticFieldStrength": 3}
        for suffix, units in (("R1map", "1/s"), ("T1map", "s"), ("PDmap", "arbitrary"), ("R2starmap", "1/s")):
            self.image(suffix, {**fitted, "Units": units})
        for method in methods:
            self.method(method)
        for image in ("T1w", "FLAIR", "R1map"):
            self.dseg("dbsegment", image)
        self.transform("FLAIR", ".txt")
        self.transform("R1map", ".h5")
        self.tables()

    def method(self, method: names.MaskKind) -> None:
        roi = {"Type": "ROI", "Manual": False, "Description": method.description}
        self.on_t1w("mask", roi, label="thalamus", desc=method.desc)
        self.on_t1w("probseg", roi, label="thalamus", desc=method.desc)
        self.dseg("thalamus", method.desc)

    def dseg(self, segmentation: str, desc: str) -> None:
        relative = self.on_t1w("dseg", {"Manual": False}, seg=segmentation, desc=desc)
        table = self.root / str(relative).replace(".nii.gz", ".tsv")
        outputs.write_table(table, LABEL_TABLE, LABEL_TABLE_COLUMNS)

    def transform(self, image: str, extension: str) -> None:
        relative = outputs.derivative(self.session, "xfm", extension, from_=image, to="T1w", mode="image")
        outputs.write_text(self.root / relative, "#Insight Transform File V1.0\n")
        outputs.write_json(outputs.sidecar(self.root / relative), {"Sources": [RAW], "Software": "ANTsPy"})

    def tables(self) -> None:
        for desc, columns, meaning in (
            ("thalamus", THALAMUS_COLUMNS, THALAMUS_MORPH),
            ("icv", ICV_COLUMNS, ICV_MORPH),
        ):
            path = self.root / outputs.derivative(self.session, "morph", ".tsv", desc=desc)
            outputs.write_table(path, [{columns[0]: "synthalT1w"}], columns)
            outputs.write_json(outputs.sidecar(path), meaning, sort_keys=False)
        qc = self.root / outputs.derivative(self.session, "qc", ".json", desc="thalamus")
        outputs.write_json(qc, {"masks": []})
        subject = self.root / f"sub-{self.session.subject}"
        outputs.write_text(subject / "figures" / f"{self.session.name}_desc-synthalT1w_mask.svg", "<svg/>\n")
        outputs.write_text(subject.with_suffix(".html"), "<html></html>\n")
        siena = subject / "anat" / f"sub-{self.session.subject}_desc-siena_morph.tsv"
        outputs.write_table(siena, [], ("session_id_baseline", "session_id_followup", "pbvc"))
        outputs.write_json(outputs.sidecar(siena), {"pbvc": {"Description": "...", "Units": "%"}})


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A derivative dataset that holds one of every output, for every kind of source name."""
    raw = tmp_path / "raw"
    raw.mkdir()
    outputs.write_json(raw / "dataset_description.json", {"Name": "raw", "BIDSVersion": "1.9.0", "License": "CC0"})
    root = outputs.open_dataset(
        raw / "derivatives" / "thalbids", raw, [THALBIDS, {"Name": "ANTsPy", "Version": "0.6.3"}]
    )
    few = [names.method("synthal"), names.method("synthal", ("T1w", "FLAIR", "R1map"), "staple")]
    for subject, label, entities in SOURCES:
        t1w = InputImage(Path("unused"), RAW, "T1w", entities)
        methods = few if entities else names.methods()
        Builder(root, Session(subject, label, {"T1w": t1w})).everything(methods)
    outputs.write_text(root / "logs" / "thalbids.log", "log\n")
    outputs.write_text(root / "group.html", "<html></html>\n")
    outputs.write_table(root / "group_volumes.tsv", [{"participant_id": "sub-01"}], ("participant_id",))
    outputs.write_json(root / "group_volumes.json", {"participant_id": {"Description": "..."}})
    return root


@needs_validator
def test_one_of_every_output_is_valid(dataset: Path, tmp_path: Path) -> None:
    assert validate(dataset, tmp_path / "report.json") == []


@needs_validator
def test_the_validator_sees_missing_keys(dataset: Path, tmp_path: Path) -> None:
    removed = {}
    for suffix, key in (("mask", "SpatialReference"), ("R1map", "SkullStripped"), ("dseg", "SpatialReference")):
        path = min(dataset.rglob(f"*_space-T1w_*_{suffix}.json"))
        metadata = json.loads(path.read_text())
        del metadata[key]
        outputs.write_json(path, metadata)
        removed["/" + path.relative_to(dataset).as_posix().removesuffix(".json")] = key
    errors = validate(dataset, tmp_path / "report.json")
    assert {error["location"].split(".")[0]: error["subCode"] for error in errors} == removed


@needs_validator
def test_the_validator_needs_the_bidsignore(dataset: Path, tmp_path: Path) -> None:
    (dataset / ".bidsignore").write_text("")
    locations = {error["location"] for error in validate(dataset, tmp_path / "report.json")}
    for pattern in (r"\.html$", r"/figures/", r"/group_", r"_xfm\.", r"_qc\.json$", r"_morph\."):
        assert any(re.search(pattern, location) for location in locations), pattern


def test_every_desc_is_registered(dataset: Path) -> None:
    assert unregistered_descs(dataset) == set()
    (dataset / "sub-01" / "anat" / "sub-01_desc-nonsense_T1w.nii.gz").touch()
    assert unregistered_descs(dataset) == {"nonsense"}


def test_every_uri_resolves(dataset: Path) -> None:
    raw = dataset.parents[1]
    assert len(unresolved_uris(dataset, raw)) > 0  # the raw image is not there yet
    image = raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    image.parent.mkdir(parents=True)
    image.touch()
    assert unresolved_uris(dataset, raw) == []
