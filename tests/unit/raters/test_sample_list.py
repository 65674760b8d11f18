"""``select-gt`` from a dataset: first sessions with a T1w, three files, and nothing in the raw dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cohort import write_rows
from thalbids.errors import NoInputError, UsageError
from thalbids.raters.sample import SamplingDesign
from thalbids.raters.sample_list import first_visits, select_gt
from thalbids.settings import Clinical

DESIGN = SamplingDesign(n=2, diagnosis="RRMS", borders={"age": (18, 80), "disease_duration": (0, 60), "edss": (0, 10)})


def dataset(root: Path) -> Path:
    people = []
    for number in range(1, 6):
        label = f"sub-{number:02d}"
        for session in ("ses-1", "ses-2"):
            if (number, session) == (1, "ses-1"):
                continue  # its first session has no T1w
            folder = root / label / session / "anat"
            folder.mkdir(parents=True)
            (folder / f"{label}_{session}_T1w.nii.gz").touch()
        people.append(
            {
                "participant_id": label,
                "diagnosis": "RRMS",
                "age": str(30 + number),
                "disease_duration": "5",
                "edss": "2",
            }
        )
    write_rows(root / "participants.tsv", people)
    return root


def test_the_first_session_with_a_t1w_counts(tmp_path: Path) -> None:
    frame = first_visits(dataset(tmp_path), Clinical(), [])
    assert dict(zip(frame["participant_id"], frame["session_id"], strict=True)) == {
        "sub-01": "ses-2", **{f"sub-0{n}": "ses-1" for n in range(2, 6)},
    }  # fmt: skip
    assert frame["age"].tolist() == [31, 32, 33, 34, 35]
    with pytest.raises(NoInputError, match="nobody has a T1w"):
        first_visits(tmp_path, Clinical(), ["99"])


def test_files_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = dataset(tmp_path / "raw")
    assert select_gt(raw, tmp_path / "drawn.tsv", DESIGN, Clinical()) == 0
    assert len((tmp_path / "drawn.tsv").read_text().splitlines()) == 3
    for name in ("drawn.json", "drawn_strata.tsv", "drawn_histograms.svg", "drawn_histograms.png"):
        assert (tmp_path / name).is_file()
    assert "2 of 5 people (RRMS) drawn with seed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["raw/list.tsv", "raw/sub-01/list.tsv", "list.csv", ".tsv"])
def test_places_that_will_not_do(name: str, tmp_path: Path) -> None:
    raw = dataset(tmp_path / "raw")
    before = sorted(raw.rglob("*"))
    with pytest.raises(UsageError):
        select_gt(raw, tmp_path / name, DESIGN, Clinical())
    assert sorted(raw.rglob("*")) == before
