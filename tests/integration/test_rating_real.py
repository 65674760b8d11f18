"""Ratings change what a participant run makes of a real session: re-registered, then excluded; masks with ensembles."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import pytest

from tests.conftest import DATA_ROOT
from tests.rated import write_ratings
from tests.realdata import MNI, place
from thalbids.bids.results.outputs import read_json, read_table, write_json, write_table
from thalbids.cli.main import main
from thalbids.raters import rating_page
from thalbids.raters.ratings import Item, read_key

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not DATA_ROOT.is_dir(), reason=f"the real scans are not in {DATA_ROOT}"),
]
FOLDER = "sub-ms07/anat/sub-ms07_"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """A dataset of one session; a function that runs a level on it with tables of ratings."""
    root = tmp_path_factory.mktemp("ratings")
    raw, out = root / "raw", root / "out"
    write_json(raw / "dataset_description.json", {"Name": "One", "BIDSVersion": "1.10.0", "DatasetType": "raw"})
    write_table(raw / "participants.tsv", [{"participant_id": "sub-ms07"}], ["participant_id"])
    for contrast, suffix in (("T1", "T1w"), ("FLAIR", "FLAIR")):
        image = nib.load(DATA_ROOT / MNI.format(contrast)).slicer[::2, ::2, ::2]  # six registrations, quickly
        nib.save(image, place(raw, "ms07", None, suffix))
    config = root / "config.toml"
    config.write_text('[registration]\nflair_strategies = ["ants", "ants-centre"]\n[outputs]\nreport = false\n')

    def go(level: str, *files: Path) -> int:
        more = ["--ratings", *map(str, files)] if files else []
        return main([str(raw), str(out), level, "--methods", "synthal", "--config", str(config), *more])

    assert go("participant") == 0
    return out, go


def page_of(out: Path) -> tuple[Path, dict[str, Item]]:
    """A new page, and its items by what they show."""
    made = rating_page.write(out, out.parent / "page.html", repeats=0.0)
    page = json.loads(made.key.read_text())["Page"]
    return made.page, {item.target: item for item in read_key(out, page).values()}


def rows_of(out: Path) -> dict[str, dict[str, str | None]]:
    return {str(row["method"]): row for row in read_table(out / f"{FOLDER}desc-thalamus_morph.tsv")}


def record(out: Path) -> dict:
    return read_json(out / f"{FOLDER}from-FLAIR_to-T1w_mode-image_xfm.json")


def test_failed_by_raters(run, capsys: pytest.CaptureFixture[str]) -> None:
    out, go = run
    assert record(out)["Chosen"] == "ants"
    _, items = page_of(out)
    fails = {"FLAIR": "shifted", "synthalT1w": "too large"}
    first = write_ratings(
        out.parent / "first.tsv",
        [{"page": i.page, "item": i.identifier, "rating": "fail" if i.target in fails else "pass",
          "reason": fails.get(i.target, "n/a")} for i in items.values()],
    )  # fmt: skip

    # the group level alone leaves out what was rated
    assert go("group", first) == 0
    status = {row["method"]: row["status"] for row in read_table(out / "group_volumes.tsv")}
    status = {method: value for method, value in status.items() if value != "missing"}  # there is no R1 map
    assert status == {"synthalT1w": "excluded", "synthalFLAIR": "excluded", "synthalT1FLAIR": "excluded"}

    # the participant level registers again with the next strategy
    assert go("participant", first) == 0
    assert record(out)["Chosen"] == "ants-centre"
    assert record(out)["Attempts"][0]["reason"] == "failed by rater AB (shifted)"
    assert rows_of(out)["synthalT1w"]["status"] == "excluded"
    assert rows_of(out)["synthalT1w"]["reason"] == "synthalT1w: Failed by rater AB (too large)."
    assert rows_of(out)["synthalT1w"]["volume_mm3"] is not None
    assert rows_of(out)["synthalT1FLAIR"]["status"] == "excluded"
    assert rows_of(out)["synthalFLAIR"]["status"] == "ok"
    document = read_json(out / f"{FOLDER}desc-thalamus_qc.json")
    assert document["Registrations"][0]["attempts"][0]["reason"] == "failed by rater AB (shifted)"
    assert {flag["scope"] for flag in document["Flags"] if flag["rule"] == "rater"} == {"mask:synthalT1w"}

    # the same ratings again change nothing, and are not stale
    before = (out / f"{FOLDER}space-T1w_desc-preproc_FLAIR.nii.gz").stat().st_mtime_ns
    capsys.readouterr()
    assert go("participant", first) == 0
    assert (out / f"{FOLDER}space-T1w_desc-preproc_FLAIR.nii.gz").stat().st_mtime_ns == before
    assert go("group", first) == 0
    standing = {row["target"]: row["standing"] for row in read_table(out / "group_ratings.tsv")}
    assert standing == {"FLAIR": "applied", "synthalT1w": "current", "synthalFLAIR": "stale", "synthalT1FLAIR": "stale"}

    # the second strategy fails too: nothing is left, and nothing is made from the image
    _, items = page_of(out)
    assert items["FLAIR"].strategy == "ants-centre"
    again = {"page": items["FLAIR"].page, "item": items["FLAIR"].identifier, "rating": "fail"}
    second = write_ratings(out.parent / "second.tsv", [again])
    assert go("participant", first, second) == 1
    assert record(out)["Chosen"] is None
    assert record(out)["Reason"].count("failed by rater AB") == 2
    assert rows_of(out)["synthalFLAIR"]["status"] == "excluded"
    assert "failed by rater AB" in str(rows_of(out)["synthalFLAIR"]["reason"])
    assert go("group", first, second) == 0
    standing = {row["target"]: row["standing"] for row in read_table(out / "group_ratings.tsv")}
    assert standing["FLAIR"] == "applied"

    # without the ratings everything is as it was
    assert go("participant") == 0
    assert record(out)["Chosen"] == "ants"
    assert {row["status"] for row in rows_of(out).values()} == {"ok", "missing"}
