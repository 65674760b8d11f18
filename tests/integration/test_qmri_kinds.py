"""Every kind of raw quantitative image, of the phantom's head, through ``participant`` and ``group``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import phantoms
from tests.integration.test_validator import needs_validator, unregistered_descs, unresolved_uris, validate
from thalbids.cli.main import main
from thalbids.demo import rotation
from thalbids.files import read_json, read_table, write_json
from thalbids.qmri import phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ZOOM, SHAPE = 3.0, (62, 74, 64)
# the phantom's brain is smoother than any real one, so that a shift of it lowers the mutual information less
SETTINGS = '[registration]\nrule = "paper"\n[qmri]\ncoregistration = []\n'


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A subject for each kind, named as it, with given masks; and the results."""
    root = tmp_path_factory.mktemp("kinds")
    affine = np.diag([ZOOM, ZOOM, ZOOM, 1.0])
    affine[:3, 3] = -ZOOM * (np.array(SHAPE) - 1) / 2
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = rotation((2, -1.5, 1)), (1.5, -2, 1)
    write_json(root / "raw/dataset_description.json", {"Name": "kinds", "BIDSVersion": "1.11.1"})
    for kind in phantoms.KINDS:
        phantoms.write_person(root, kind, affine, SHAPE, moved)
    (root / "settings.toml").write_text(SETTINGS)
    given = [f"first={root / 'given'}", f"brain={root / 'given'}"]
    words = ["--methods", "first", "--config", str(root / "settings.toml"), "--derivatives", *given]
    assert main([str(root / "raw"), str(root / "out"), "participant", *words]) == 0
    return root / "raw", root / "out"


@pytest.mark.parametrize("kind", phantoms.KINDS)
def test_the_truth_is_read_inside_the_mask(folders: tuple[Path, Path], kind: str) -> None:
    anat = folders[1] / f"sub-{kind}" / "anat"
    rows = read_table(anat / f"sub-{kind}_desc-thalamusqmri_morph.tsv")
    found = {str(r["map"]): r for r in rows if (r["region"], r["side"]) == ("eroded", "both")}
    wanted = {"R1map", "PDmap", "MTsat"} if kind == "MTS" else {"R1map"}
    assert set(found) == wanted
    assert float(found["R1map"]["mean"] or 0) == pytest.approx(phantom.TISSUES["thalamus"].r1, rel=0.02)
    assert found["R1map"]["undefined"] == "0" and found["R1map"]["units"] == "1/s"
    told = read_json(anat / f"sub-{kind}_R1map.json")
    assert kind.removesuffix("parts") in told["Sources"][0] and told["EstimationReference"]
    assert ("TB1map" in told["B1Plus"]) is (kind != "IRT1")


@pytest.mark.parametrize("kind", phantoms.KINDS)
def test_quality_control_and_page(folders: tuple[Path, Path], kind: str) -> None:
    _, out = folders
    document = read_json(out / f"sub-{kind}/anat/sub-{kind}_desc-thalamus_qc.json")
    r1 = document["Maps"]["R1map"]
    assert r1["white_matter"] == pytest.approx(phantom.TISSUES["white"].r1, rel=0.03)
    assert r1["undefined"] < 0.01 and r1["clamped"] < 0.01
    assert not [flag for flag in document["Flags"] if flag["scope"].startswith(("map:", "contrast:"))]
    page = (out / f"sub-{kind}.html").read_text(encoding="utf-8")
    assert "Quantitative maps" in page


@needs_validator
def test_the_results_are_bids(folders: tuple[Path, Path], tmp_path: Path) -> None:
    raw, out = folders
    assert validate(out, tmp_path / "report.json") == []
    assert unregistered_descs(out) == set()
    assert [uri for uri in unresolved_uris(out, raw) if "bids:raw:" in uri or "bids::" in uri] == []


def test_group_level(folders: tuple[Path, Path]) -> None:
    raw, out = folders
    assert main([str(raw), str(out), "group"]) == 0
    table = [row for row in read_table(out / "group_qmri.tsv") if row["map"] == "R1map"]
    assert {str(row["participant_id"]).removeprefix("sub-") for row in table} == set(phantoms.KINDS)
