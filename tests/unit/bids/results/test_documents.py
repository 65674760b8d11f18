"""QC documents that are read again: whole ones pass, those of other kinds are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.qc.test_contradictions import AFFINE, GOOD, session
from thalbids import qc
from thalbids.bids.results.documents import read_document
from thalbids.errors import MetadataError


def test_a_document_of_ours_is_read_as_it_is(tmp_path: Path) -> None:
    document = qc.build(
        subject="01", session=None, affine=AFFINE, masks=session(GOOD), icv=[{"source": "synthal", "icv_mm3": None}]
    )
    qc.write(tmp_path / "qc.json", document)
    assert read_document(tmp_path / "qc.json") == json.loads((tmp_path / "qc.json").read_text())


MASK = {"family": "first", "status": "ok", "trusted": True, "flags": [], "measures": None}


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ({"Masks": 3}, "Masks"), ({"Masks": {"first": 3}}, "Masks"), ({"Masks": {"first": {"status": "ok"}}}, "Masks"),
        ({"Flags": None}, "Flags"), ({"Flags": [3]}, "Flags"), ({"Brain": []}, "Brain"), ({"Images": [1]}, "Images"),
        ({"ICV": [{"source": "x", "icv_mm3": "1", "flags": []}]}, "ICV"), ({"Provenance": 1}, "Provenance"),
        ({"Registrations": [{"image": "FLAIR"}]}, "Registrations"),
        ({"Flags": [{"rule": "x", "severity": "worse", "scope": "brain"}]}, "a flag"),
        ({"Masks": {"first": MASK | {"images": None}}}, "images of a mask"),
        ({"Masks": {"first": MASK | {"images": ["T1w", {"a": 1}]}}}, "images of a mask"),
    ],
)  # fmt: skip
def test_parts_of_other_kinds_are_named(tmp_path: Path, part: dict[str, object], fault: str) -> None:
    whole = {"Masks": {"first": MASK}, "Flags": [], "Registrations": [], "ICV": []}
    (tmp_path / "qc.json").write_text(json.dumps(whole))
    assert read_document(tmp_path / "qc.json") == whole
    (tmp_path / "qc.json").write_text(json.dumps(whole | part))
    with pytest.raises(MetadataError, match=rf"not a QC document \({fault}\)"):
        read_document(tmp_path / "qc.json")
