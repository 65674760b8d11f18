"""The simulated cohort: what was put in is what is written, and what the group level finds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.cohort import write_rows
from thalbids import demo_cohort
from thalbids.bids.results.derivatives import find_places, read_volumes
from thalbids.cli.main import main
from thalbids.errors import OutputError, UsageError
from thalbids.files import read_table
from thalbids.image import sparse


def test_people_depend_on_the_seed_alone() -> None:
    everybody = demo_cohort.people(3)
    assert everybody == demo_cohort.people(3) and everybody != demo_cohort.people(4)
    groups = [person.diagnosis for person in everybody]
    assert {name: groups.count(name) for name in demo_cohort.DIAGNOSES} == {"HC": 14, "RRMS": 16, "SPMS": 12}
    assert [person.number_in_group for person in everybody][13:16] == [13, 0, 1]
    assert all((person.duration is None) == (person.diagnosis == "HC") for person in everybody)


def test_what_was_put_in_is_in_the_people() -> None:
    everybody = [person for seed in range(40) for person in demo_cohort.people(seed)]
    for name, group in demo_cohort.DIAGNOSES.items():
        own = [person for person in everybody if person.diagnosis == name]
        rates = [100 * (p.volumes[2] / p.volumes[0] - 1) / p.years[2] for p in own]
        assert np.mean(rates) == pytest.approx(group.change, abs=4 * demo_cohort.SPREAD_CHANGE / math.sqrt(len(own)))
        spread = math.hypot(demo_cohort.SPREAD_VOLUME, demo_cohort.OF_ICV * 110, demo_cohort.OF_AGE * 7)
        assert np.mean([p.volumes[0] for p in own]) == pytest.approx(group.volume, abs=4 * spread / math.sqrt(len(own)))
    first = demo_cohort.METHODS["first"]
    errors = [demo_cohort.measure(p)["first"]["1"] / 1000 - p.volumes[0] for p in everybody]
    assert np.mean(errors) == pytest.approx(first.bias, abs=4 * first.person / math.sqrt(len(errors)))
    again = [demo_cohort.measure(p)["first"] for p in everybody]
    differences = [(found["1rescan"] - found["1"]) / 1000 for found in again]
    assert np.std(differences) == pytest.approx(math.sqrt(2) * first.scan, rel=0.1)


def test_masks_have_just_the_volumes_of_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = [person for person in demo_cohort.people(1) if person.number in (0, 15)]
    monkeypatch.setattr(demo_cohort, "people", lambda seed: one)
    assert list(demo_cohort.write_cohort(tmp_path)) == ["sub-sim01", "sub-sim16"]
    assert list(demo_cohort.write_cohort(tmp_path)) == []  # it is complete
    places = find_places(tmp_path / "derivatives" / "thalbids")
    volumes = {(r["participant_id"], r["session_id"], r["method"]): r for r in read_volumes(places).rows}
    first = next(place for place in places if place.name == "sub-sim16_ses-1")
    assert set(first.masks()) == set(demo_cohort.METHODS)
    for method, path in first.masks().items():
        row, mask = volumes["sub-sim16", "ses-1", method], sparse.load_mask(path)
        assert mask.volume_mm3 == pytest.approx(1000 * row["volume_ml"])
        assert row["volume_left_ml"] + row["volume_right_ml"] == pytest.approx(row["volume_ml"])
        assert row["status"] == "ok"
    drawn = find_places(tmp_path / "derivatives" / "manual")
    assert [place.name for place in drawn] == ["sub-sim01_ses-1", "sub-sim16_ses-1"]
    assert "nobody was scanned" in (tmp_path / "raw" / "README").read_text().lower()


def test_another_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mine.txt").touch()
    with pytest.raises(UsageError, match="something other"):
        list(demo_cohort.write_cohort(tmp_path))
    with pytest.raises(OutputError, match="not a folder"):
        (tmp_path / "file").mkdir()
        (tmp_path / "file" / "raw").touch()
        list(demo_cohort.write_cohort(tmp_path / "file"))


def test_a_folder_whose_description_lost_its_name_is_written_again(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "README").write_text("us", encoding="utf-8")
    (raw / "dataset_description.json").write_text("{}", encoding="utf-8")
    assert demo_cohort.description_in(raw, "us").get("Name") != demo_cohort.NAME


def test_facts_are_held_against_tables(tmp_path: Path) -> None:
    fact = next(fact for fact in demo_cohort.TRUTH if fact.what == "change of the thalamus, HC")
    row = {**fact.where, "n": 4, "mean": -0.5, "sd": 0.4}
    write_rows(tmp_path / f"{fact.table}.tsv", [{**row, "method": "first", "mean": 9}, row])
    found = next(found for found in demo_cohort.held_against_truth(tmp_path) if found.fact is fact)
    assert (found.estimate, found.low, found.high) == pytest.approx((-0.5, -0.892, -0.108)) and found.holds
    others = [found for found in demo_cohort.held_against_truth(tmp_path) if found.fact is not fact]
    assert all(math.isnan(found.estimate) and not found.holds for found in others)
    assert set(demo_cohort.TOLD) <= {fact.what for fact in demo_cohort.TRUTH}


@pytest.mark.slow
def test_the_group_level_finds_what_was_put_in(tmp_path: Path) -> None:
    """95 % intervals miss one time in twenty: at most two of seventeen here, and none by more than a width."""
    list(demo_cohort.write_cohort(tmp_path))
    assert main(demo_cohort.command(tmp_path)) == 0
    out = tmp_path / "derivatives" / "thalbids"
    found = demo_cohort.held_against_truth(out)
    assert len(found) == 17 and sum(one.holds for one in found) >= 15
    for one in found:
        width = one.high - one.low
        assert one.low - width < one.fact.truth < one.high + width, one.fact.what
    empty = {path.stem for path in out.glob("group_*.tsv") if not read_table(path)}
    assert empty <= {
        "group_conflicts", "group_baselines", "group_samples", "group_missing_tests", "group_outliers",
        "group_longitudinal_comparable", "group_masks_shown", "group_ratings", "group_rating_agreement",
    }  # fmt: skip
    page = (out / "group.html").read_text(encoding="utf-8")
    assert "simulated cohort (nobody was scanned" in page
