"""Raw multi-parameter mapping of the demo's head through ``participant``: the truth is read inside the masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from thalbids import demo
from thalbids.cli.main import main
from thalbids.files import read_json, read_table
from thalbids.qmri import phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ANAT = "sub-01/ses-1/anat/sub-01_ses-1_"
MAPS = {"R1map": "r1", "R2starmap": "r2star", "MTsat": "saturation", "PDmap": "density"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo's dataset with one session, and its results."""
    root = tmp_path_factory.mktemp("qmri")
    raw, out = root / "raw", root / "out"
    next(demo.write_dataset(raw, subjects=1, seed=7, qmri=True))
    for flair in raw.rglob("*_FLAIR.nii.gz"):
        flair.unlink()
    (raw / "dataset_description.json").write_text('{"Name": "qmri", "BIDSVersion": "1.11.1", "DatasetType": "raw"}')
    assert main([str(raw), str(out), "participant", "--methods", "synthal"]) == 0
    return raw, out


def rows(out: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """The readout by method, map, region and side, with numbers as numbers."""
    found = {}
    for row in read_table(out / f"{ANAT}desc-thalamusqmri_morph.tsv"):
        numbers = {key: float(str(row[key])) for key in ("voxels", "undefined", "mean") if row[key] is not None}
        found[tuple(str(row[key]) for key in ("method", "map", "region", "side"))] = {**row, **numbers}
    return found


def truth_inside(out: Path) -> dict[str, np.ndarray]:
    """The head's properties at the voxels of SynThal's T1w mask, eroded, where the T1w found them."""
    image = nib.load(out / f"{ANAT}space-T1w_seg-thalamus_desc-synthalT1w_dseg.nii.gz")
    labels = np.asarray(image.dataobj)
    inside = ndimage.binary_erosion(labels == 10) | ndimage.binary_erosion(labels == 49)
    (person,) = demo.people(1, 7)
    world = np.argwhere(inside) @ image.affine[:3, :3].T + image.affine[:3, 3]
    to_head = np.linalg.inv(demo.pose(person, "1", "T1w"))
    points = demo.Warp.of(person)(world @ to_head[:3, :3].T + to_head[:3, 3])
    template = demo.TemplateImages()
    return {name: template.sample(name, points) for name in MAPS.values()}


def test_the_truth_is_read_inside_the_masks(folders: tuple[Path, Path]) -> None:
    _, out = folders
    truth, found = truth_inside(out), rows(out)
    assert (
        len(truth["r1"]) == found[("synthalT1w", "R1map", "eroded", "both")]["voxels"] == pytest.approx(12000, rel=0.4)
    )
    for name, limit in (("R1map", 0.02), ("R2starmap", 0.03)):
        measured = found[("synthalT1w", name, "eroded", "both")]
        assert measured["mean"] == pytest.approx(truth[MAPS[name]].mean(), rel=limit), name
        assert measured["undefined"] == 0
    # the factor for what is left of the transmit field is one of tissue and not of this phantom
    field = 1.08
    saturation = 100 * truth["saturation"].mean() * 0.6 / (1 - 0.4 * field)
    assert found[("synthalT1w", "MTsat", "eroded", "both")]["mean"] == pytest.approx(saturation, rel=0.06)
    for side in ("left", "right"):
        assert found[("synthalR1map", "R1map", "whole", side)]["status"] == "ok"


def test_quality_control_and_page(folders: tuple[Path, Path]) -> None:
    _, out = folders
    document = read_json(out / f"{ANAT}desc-thalamus_qc.json")
    maps = document["Maps"]
    assert list(maps) == sorted(MAPS)
    assert all(maps[name]["undefined"] < 0.01 for name in MAPS)
    assert maps["R1map"]["white_matter"] == pytest.approx(phantom.TISSUES["white"].r1, rel=0.06)
    assert [peak for peak in maps["R1map"]["peaks"] if abs(peak - phantom.TISSUES["grey"].r1) < 0.06]
    assert not [flag for flag in document["Flags"] if flag["scope"].startswith(("map:", "contrast:"))]
    for contrast in ("T1w", "MTw"):
        assert 0.1 < document["Contrasts"][contrast]["shift_mm"] < 4
        assert document["Contrasts"][contrast]["rotation_degrees"] < 2.5
    page = (out / "sub-01.html").read_text(encoding="utf-8")
    assert "Quantitative maps" in page and "Motion between the contrasts" in page
    assert {path.name for path in (out / "sub-01/figures").iterdir()} >= {
        "sub-01_ses-1_desc-maps_thalamus.svg", *(f"sub-01_ses-1_desc-map{name}_thalamus.svg" for name in MAPS),
    }  # fmt: skip


def test_sidecars_say_how(folders: tuple[Path, Path]) -> None:
    _, out = folders
    told = read_json(out / f"{ANAT}R1map.json")
    assert told["Units"] == "1/s" and told["SignalForm"] == "exact" and told["DecayFit"] == "weighted"
    assert told["EstimationReference"].startswith("Weiskopf et al. 2014")
    assert "TB1map" in told["B1Plus"] and told["Coregistration"].startswith("rigid")
    assert sum("_MPM" in source for source in told["Sources"]) == 9


def test_a_second_run_does_nothing(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = folders
    before = (out / f"{ANAT}desc-thalamusqmri_morph.tsv").read_bytes()
    assert main([str(raw), str(out), "participant", "--methods", "synthal"]) == 0
    assert "cached" in capsys.readouterr().err
    assert (out / f"{ANAT}desc-thalamusqmri_morph.tsv").read_bytes() == before


def test_group_level_reads_the_maps(folders: tuple[Path, Path]) -> None:
    raw, out = folders
    assert main([str(raw), str(out), "group"]) == 0
    table = read_table(out / "group_qmri.tsv")
    assert {row["map"] for row in table} == set(MAPS)
    assert read_table(out / "group_qmri_agreement.tsv")
