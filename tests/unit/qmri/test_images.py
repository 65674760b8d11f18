"""Which raw images of a measurement are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.qmri.sessions import image, mpm, session
from thalbids.errors import MetadataError
from thalbids.qmri.acquisition import read_acquisition
from thalbids.qmri.images import numbered
from thalbids.types import InputImage


def test_lowest_run_and_magnitude_are_used() -> None:
    again = [image("MPM", dict(i.metadata), **i.entities, run="2") for i in mpm()]
    phase = [image("MPM", dict(i.metadata), **i.entities, part="phase") for i in mpm()]
    found = read_acquisition(session(*again, *phase, *mpm()), "MPM")
    assert all(set(i.entities) == {"acq", "echo", "flip", "mt"} for i in found.images)
    assert len(found.notes) == 9
    assert "run-2" in found.notes[0]


def test_unreadable_image_stops() -> None:
    broken = InputImage(Path("x_MPM.nii"), "", "MPM", {}, {}, "only a link is here")
    with pytest.raises(MetadataError, match="only a link"):
        read_acquisition(session(*mpm(), broken), "MPM")


@pytest.mark.parametrize(("label", "expected"), [("1", 1), ("01", 1), ("one", None), ("", None)])
def test_numbers_of_entities(label: str, expected: int | None) -> None:
    assert numbered(image("MP2RAGE", {}, inv=label), "inv") == expected
