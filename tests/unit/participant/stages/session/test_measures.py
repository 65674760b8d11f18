"""Which masks the volume table leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from tests.unit.qc.test_contradictions import AFFINE, cut, thalami
from thalbids.bids.results.dictionaries import THALAMUS_MORPH
from thalbids.engine.step import StepResult
from thalbids.files import read_table, write_json
from thalbids.image.io import save_image
from thalbids.participant.session import PlannedMask
from thalbids.participant.stages.session import measures


def test_a_blocked_mask_is_excluded_with_its_image_and_failed_with_a_failed_step() -> None:
    entry = PlannedMask("first", "first", ("T1w",), "T1w", step="mask", roots=("register",))
    blocked = StepResult("mask", "blocked", "because")
    for status, expected in (("excluded", "excluded"), ("failed", "failed"), ("lost", "failed")):
        upstream = {"mask": blocked, "register": StepResult("register", status, "because")}
        assert measures.ending(entry, upstream) == (expected, "because")
    assert measures.ending(replace(entry, step=None, reason="no image"), {}) == ("missing", "no image")


def test_a_distrusted_mask_and_ensembles_on_it_are_excluded_and_keep_their_numbers() -> None:
    good = {"status": "ok", "reason": "", "trusted": True, "flags": [], "measures": {"volume_mm3": 14000.0}}
    flags = [{"reason": "in pieces", "severity": "check"}, {"reason": "too small", "severity": "distrust"}]
    bad = good | {"trusted": False, "flags": flags, "measures": {"volume_mm3": 900.0}}
    methods = [
        PlannedMask("a", "x", ("T1w",), "T1w"),
        PlannedMask("b", "x", ("FLAIR",), "FLAIR"),
        PlannedMask("ab", "x", ("T1w", "FLAIR"), "ensemble", members=("a", "b")),
    ]
    rows = measures.volume_rows(methods, {"a": good, "b": bad, "ab": good})
    assert [r["status"] for r in rows] == ["ok", "excluded", "excluded"]
    assert rows[1]["reason"] == rows[2]["reason"] == "b: too small; b: in pieces"
    assert rows[1]["volume_mm3"] == 900.0


GOOD = thalami()
HEAD_ICV = 1.59e6


def table_of(
    folder: Path,
    masks: Mapping[str, np.ndarray],
    *,
    icv: float = HEAD_ICV,
    scan: Mapping[str, object] | None = None,
    others: Mapping[str, tuple[float, Mapping[str, float]]] | None = None,
) -> dict[str, dict[str, str | None]]:
    """Rows of the volume table of a session with these masks; ``others``: visits with ICV and asymmetries."""
    t1w = folder / "x_T1w.nii.gz"
    brain = np.ones(GOOD.shape, np.uint8)
    save_image(np.where(GOOD, 2, 1) + np.indices(GOOD.shape)[0], AFFINE, t1w, dtype=np.float32)
    save_image(brain, AFFINE, folder / "brain_mask.nii.gz", dtype=np.uint8)
    write_json(folder / "x_T1w.json", {"IntracranialVolumeMm3": icv, "SkullStripped": False} | dict(scan or {}))
    inputs = {"image T1w": t1w, "sidecar T1w": folder / "x_T1w.json"}
    planned = []
    for desc, labels in masks.items():
        inputs[desc] = save_image(labels, AFFINE, folder / f"{desc}_dseg.nii.gz", dtype=np.uint8)
        write_json(folder / f"{desc}_dseg.json", {})
        family, image = ("synthal", desc.removeprefix("synthal")) if desc.startswith("synthal") else (desc, "T1w")
        planned.append(PlannedMask(desc, family, (image,), image, step=desc))
    visits = [measures.VisitAcquisition("1", {}, "sidecar T1w")]
    for label, (volume, balance) in (others or {}).items():
        inputs[label] = folder / f"{label}.json"
        write_json(inputs[label], {"IntracranialVolumeMm3": volume, "SkullStripped": False})
        for desc, value in balance.items():
            inputs[f"{label} {desc}"] = folder / f"{label}_{desc}.json"
            write_json(inputs[f"{label} {desc}"], {"AsymmetryIndex": value})
        visits.append(measures.VisitAcquisition(label, {}, label, {desc: f"{label} {desc}" for desc in balance}))
    params = measures.MeasuresParams(
        subject="01", session="1", methods=tuple(planned), columns=tuple(THALAMUS_MORPH), dictionary=THALAMUS_MORPH,
        registered=(), images={"T1w": measures.ImageSource("bids:raw:x", "anatomy")}, notes=(), brain_source="synthal",
        missing=(), visits=tuple(visits) if others else (),
    )  # fmt: skip
    upstream = {name: StepResult(name, "ok", "") for name in ("anatomy", *masks)}
    outputs = {"qc": folder / "qc.json", "volumes": folder / "morph.tsv"}
    measures.measures(inputs, outputs, params, upstream)
    return {str(row["method"]): row for row in read_table(outputs["volumes"])}


def beside(first: np.ndarray) -> dict[str, np.ndarray]:
    """A given FIRST mask beside three that agree."""
    return {
        "first": first, "synthalT1w": thalami(0.97), "synthalFLAIR": thalami(0.98, (0.6, -0.4, 0.3)),
        "synthalR1map": thalami(0.96, (-0.5, 0.5, 0.4)),
    }  # fmt: skip


def statuses(rows: Mapping[str, Mapping[str, str | None]]) -> dict[str, str | None]:
    return {name: row["status"] for name, row in rows.items()}


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (GOOD, "ok"),
        (np.roll(GOOD, 6, 0), "excluded"),
        (np.roll(GOOD, -9, 1), "excluded"),
        (cut(GOOD, 2, 0, 1 / 3), "excluded"),
        (cut(GOOD, 1, 0, 0.27, side=10), "excluded"),
        (np.where(GOOD == 10, 49, np.where(GOOD == 49, 10, 0)).astype(np.uint8), "excluded"),
    ],
)
def test_a_given_mask_that_is_wrong_is_excluded_in_the_table_and_the_good_ones_are_ok(
    damage: np.ndarray, status: str, tmp_path: Path
) -> None:
    rows = table_of(tmp_path, beside(damage))
    good = dict.fromkeys(("synthalT1w", "synthalFLAIR", "synthalR1map"), "ok")
    assert statuses(rows) == {"first": status, **good}
    assert (rows["first"]["reason"] is None) == (status == "ok")
    assert {row["reference"] for row in rows.values()} == {"T1w"}


def test_a_skull_of_another_size_excludes_every_mask_of_the_visit(tmp_path: Path) -> None:
    """As of a header whose pixdim[3] is a fifth too large: 1.59 and 1.82 L in one head."""
    rows = table_of(tmp_path, beside(GOOD), icv=1.82e6, others={"2": (HEAD_ICV, {}), "3": (HEAD_ICV, {})})
    assert set(statuses(rows).values()) == {"excluded"}
    assert "another size" in str(rows["first"]["reason"])
    rows = table_of(tmp_path, beside(GOOD), others={"2": (HEAD_ICV, {}), "3": (1.82e6, {})})
    assert set(statuses(rows).values()) == {"ok"}


def test_a_lopsided_mask_is_excluded_where_the_other_visits_are_even(tmp_path: Path) -> None:
    lopsided = {"first": cut(GOOD, 1, 0, 0.2, side=10)}
    assert statuses(table_of(tmp_path, lopsided)) == {"first": "ok"}  # alone, it may be the person
    even = {"2": (HEAD_ICV, {"first": 0.01})}
    rows = table_of(tmp_path, lopsided, others=even)
    assert statuses(rows) == {"first": "excluded"}
    assert "in session 2" in str(rows["first"]["reason"])
    assert statuses(table_of(tmp_path, {"first": GOOD}, others={"2": (HEAD_ICV, {"first": -0.14})})) == {"first": "ok"}


def test_a_scan_that_is_nearly_all_noise_is_excluded(tmp_path: Path) -> None:
    assert statuses(table_of(tmp_path, {"synthalT1w": GOOD}, scan={"NoiseShare": 0.12})) == {"synthalT1w": "ok"}
    rows = table_of(tmp_path, {"synthalT1w": GOOD}, scan={"NoiseShare": 0.35})
    assert statuses(rows) == {"synthalT1w": "excluded"}
    assert "noise of the scan is 35 %" in str(rows["synthalT1w"]["reason"])


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (
            {
                "EmptySlices": 0,
                "GreyValues": 46,
                "ClippedShare": 0.01,
                "Smoothness": 1.6,
                "ScannedVoxelSize": [4.0, 4.0, 4.0],
            },
            "",
        ),
        ({"ClippedShare": 0.37}, "37 % of the brain have the highest value"),
        ({"Smoothness": 1.7}, "The scan is blurred: its smoothness is 1.70"),
        ({"EmptySlices": 3}, "run through the brain hold no data (3)"),
        ({"GreyValues": 7}, "has 7 shades of grey in the brain only"),
        ({"ScannedVoxelSize": [4.0, 4.0, 7.0]}, "The voxels have 112 mm3"),  # on a session's grid of 1 mm
    ],
)
def test_a_scan_that_lacks_what_a_volume_needs_is_excluded(
    tmp_path: Path, scan: Mapping[str, object], reason: str
) -> None:
    (row,) = table_of(tmp_path, {"synthalT1w": GOOD}, scan=scan).values()
    assert row["status"] == ("excluded" if reason else "ok") and reason in str(row["reason"])
