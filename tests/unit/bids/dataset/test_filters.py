from __future__ import annotations

import json
from pathlib import Path

import pytest

from thalbids.bids.dataset.filters import KEYS, LONG_NAMES, Filters, matches, read_filters
from thalbids.bids.results.outputs import ORDER
from thalbids.errors import UsageError
from thalbids.types import RAW_SUFFIXES


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({}, True),
        ({"acq": "mprage"}, True),
        ({"acq": "acq-mprage"}, True),
        ({"acq": "MPRAGE"}, False),
        ({"acq": ["flash", "mprage"]}, True),
        ({"acq": []}, False),
        ({"acq": None}, False),
        ({"acq": "*"}, True),
        ({"rec": None}, True),
        ({"rec": [None, "norm"]}, True),
        ({"rec": "*"}, False),
        ({"rec": "norm"}, False),
        ({"run": 1}, True),
        ({"run": "1"}, True),
        ({"run": "01"}, True),
        ({"run": 2}, False),
        ({"run": [1, 2], "acq": "mprage"}, True),
        ({"extension": ".nii.gz"}, True),
        ({"extension": "nii.gz"}, True),
        ({"extension": ".nii"}, False),
    ],
)
def test_matching(wanted: dict, passes: bool) -> None:
    assert matches({"acq": "mprage", "run": "01"}, ".nii.gz", wanted) is passes


def test_numbers_in_labels_are_no_numbers() -> None:
    assert not matches({"acq": "01"}, ".nii.gz", {"acq": "1"})


def test_a_file_as_for_fmriprep(tmp_path: Path) -> None:
    content = {
        "t1w": {
            "datatype": "anat",
            "suffix": "T1w",
            "session": "pre",
            "acquisition": None,
            "reconstruction": ["a", "b"],
        },
        "t2w": {"run": 1},
    }
    (tmp_path / "filter.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    filters = Filters.of(read_filters(tmp_path / "filter.json"))
    assert filters.entities("T1w") == {"acq": None, "rec": ["a", "b"]}
    assert filters.entities("T2w") == {"run": 1}
    assert filters.entities("FLAIR") == {}
    assert filters.keeps("session", "pre")
    assert not filters.keeps("session", "post")
    assert not filters.keeps("session", None)
    assert filters.keeps("subject", "01")


def test_no_filter_keeps_all() -> None:
    assert Filters.of(None).keeps("session", None)
    assert Filters.of(None).entities("T1w") == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"bold": {"task": "rest"}}, "unknown key 'bold'"),
        ({"t1w": {"acquisitoin": "x"}}, "unknown entity 'acquisitoin'"),
        ({"t1w": "mprage"}, "'t1w' is not an object"),
        ({"t1w": {"run": True}}, "no text"),
        ({"t1w": {"run": 1.5}}, "no text"),
        ({"t1w": {"acquisition": {"a": 1}}}, "no text"),
        ({"t1w": {"acquisition": [["a"]]}}, "no text"),
        ({"t1w": {"suffix": "UNIT1"}}, "it is always 'T1w'"),
        ({"r1map": {"datatype": "fmap"}}, "it is always 'anat'"),
        ([], "object"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, content: object, problem: str) -> None:
    path = tmp_path / "filter.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=problem) as caught:
        read_filters(path)
    assert caught.value.path == path
    assert caught.value.mend


@pytest.mark.parametrize("content", ['{"t1w": {"run": 1}', None])
def test_an_unreadable_file_is_a_usage_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "filter.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_filters(path)
    assert caught.value.path == path


def test_every_entity_of_a_filter_can_be_in_the_name_of_a_result() -> None:
    assert set(LONG_NAMES.values()) <= set(ORDER)
    raw = {suffix for suffixes in RAW_SUFFIXES.values() for suffix in suffixes}
    assert set(KEYS.values()) == {"T1w", "FLAIR", "R1map", "T1map", "T2w"} | raw


def test_keys_of_raw_images_know_their_folder() -> None:
    asked = Filters.of({"tb1map": {"datatype": "fmap", "run": 2}, "mpm": {"datatype": "anat", "mt": "off"}})
    assert asked.entities("TB1map") == {"run": 2} and asked.entities("MPM") == {"mt": "off"}
    with pytest.raises(UsageError, match="it is always 'fmap'"):
        Filters.of({"tb1map": {"datatype": "anat"}})
