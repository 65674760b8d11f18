"""The picture of masks on the manual one: who is chosen, and that it is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from tests.people import make_cohort, two_visits
from thalbids.bids.results.derivatives import Place
from thalbids.group.analyses.masks import pictures
from thalbids.group.cohort import Cohort
from thalbids.reports.group.group_data import Tables

AFFINE = np.diag([2.0, 2, 2, 1])


def image(path: Path, low: int, high: int) -> Path:
    data = np.zeros((30, 30, 30), dtype=np.uint8)
    data[low:high, low:high, low:high] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    return path


def study(
    folder: Path, edss: list[float], reference: str = "T1w"
) -> tuple[Cohort, pd.DataFrame, dict[tuple[str, str], dict[str, Path]]]:
    visits, volumes = two_visits(len(edss), methods=("first",))
    for i, score in enumerate(edss):
        visits[2 * i]["edss"] = score
    places, drawn, rows = [], {}, []
    for i in range(len(edss)):
        person, anat = f"sub-{i:03d}", folder / f"sub-{i:03d}" / "ses-1" / "anat"
        image(anat / f"{person}_ses-1_desc-reoriented_{reference}.nii.gz", 4, 26)
        image(anat / f"{person}_ses-1_space-{reference}_label-thalamus_desc-first_mask.nii.gz", 10, 20)
        places.append(Place(person, "ses-1", anat, tuple(sorted(path.name for path in anat.iterdir()))))
        drawn[person, "ses-1"] = {"manual": image(folder / "manual" / f"{person}.nii.gz", 11, 19)}
        key = {"participant_id": person, "session_id": "ses-1", "rater": "manual", "method": "first"}
        rows.append(key | {"volume_rater_ml": 9.0 - i, "status": "ok"})
    cohort = replace(make_cohort(visits, volumes), places=places, out_dir=folder)
    return cohort, pd.DataFrame(rows), drawn


def test_the_most_and_the_least_disabled_are_drawn(tmp_path: Path) -> None:
    cohort, overlap, drawn = study(tmp_path, [2.0, 6.5, 1.0, np.nan])
    (made,) = pictures.pictures(cohort, overlap, drawn, ("first", "dbsegment"))
    rows = made.frame.set_index("which")
    assert rows["participant_id"].to_dict() == {"high": "sub-001", "low": "sub-002"}
    assert set(rows["methods"]) == {"first"}
    text = (tmp_path / rows.loc["high", "file"]).read_text()
    assert "EDSS 6.5" in text and pictures.RED.colour in text and text.count("<path") > 4
    from thalbids.bids.tabular.tables import write

    write(made, tmp_path)
    found = pictures.shown(Tables(tmp_path))
    assert [picture.file for picture in found] == list(made.frame["file"])
    assert all(picture.source.startswith("data:image/svg+xml;base64,") for picture in found)


def test_without_scores_the_smaller_manual_mask_is_the_sicker_one(tmp_path: Path) -> None:
    cohort, overlap, _ = study(tmp_path, [np.nan, np.nan])
    cohort.visits["disease_duration"] = np.nan
    found = pictures.chosen(cohort, overlap)
    assert {which: row["participant_id"] for which, row in found.items()} == {"high": "sub-001", "low": "sub-000"}
    assert pictures.pictures(cohort, overlap.iloc[:0], {}, ()) == []


def test_a_t1w_that_is_not_there_is_said(tmp_path: Path) -> None:
    cohort, overlap, drawn = study(tmp_path, [1.0])
    bare = replace(cohort, places=[replace(cohort.places[0], names=())])
    (made,) = pictures.pictures(bare, overlap, drawn, ("first",))
    assert made.frame.empty and "has no" in made.notes[0]


def test_a_session_without_t1w_is_drawn_on_its_reference(tmp_path: Path) -> None:
    cohort, overlap, drawn = study(tmp_path, [1.0, 2.0], "FLAIR")
    (made,) = pictures.pictures(cohort, overlap, drawn, ("synthalT1w",))
    assert set(made.frame["methods"]) == {"first"}  # which is all that the session has
    text = (tmp_path / made.frame["file"][0]).read_text()
    assert "of the FLAIR" in text and "T1w" not in text


def test_without_scores_nobody_is_said_to_have_much_disease(tmp_path: Path) -> None:
    cohort, overlap, drawn = study(tmp_path, [np.nan, np.nan])
    visits = cohort.visits.assign(disease_duration=np.nan)
    (made,) = pictures.pictures(replace(cohort, visits=visits), overlap, drawn, ("first",))
    rows = made.frame.set_index("which")
    assert rows["participant_id"].to_dict() == {"high": "sub-001", "low": "sub-000"}  # 8 and 9 mL
    high, low = ((tmp_path / rows.loc[end, "file"]).read_text() for end in ("high", "low"))
    assert "The smallest manual mask" in high and "The largest manual mask" in low
    assert "disease" not in high + low
