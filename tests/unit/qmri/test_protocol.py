"""Values of sidecars; one that is missing, impossible or contradicts another is named with its file."""

from __future__ import annotations

import pytest

from tests.unit.qmri.sessions import image, mpm, session
from thalbids.errors import MetadataError
from thalbids.qmri.acquisition import read_acquisition
from thalbids.qmri.protocol import agreed, mt_on, number


def test_repetition_time_is_not_taken_for_that_of_an_excitation() -> None:
    changed = {"PDw1": {"RepetitionTimeExcitation": None, "RepetitionTime": 0.018}}
    with pytest.raises(MetadataError, match="RepetitionTimeExcitation is missing") as caught:
        read_acquisition(session(*mpm(**changed)), "MPM")
    assert "RepetitionTime is there: is it the time from one excitation to the next?" in caught.value.mend


def test_mt_without_sidecar_or_name() -> None:
    bare = [image("MPM", dict(i.metadata) | {"MTState": None}, echo=i.entities["echo"]) for i in mpm()[:1]]
    with pytest.raises(MetadataError, match="MTState is missing in the sidecars, and mt- in the name"):
        read_acquisition(session(*bare), "MPM")


@pytest.mark.parametrize(
    "value", [None, "0.018", True, [0.018, 0.02], -0.018, 0, 18, float("nan"), float("inf"), 10**400]
)
def test_a_value_that_cannot_be_names_file_and_key(value: object) -> None:
    one = image("VFA", {"RepetitionTimeExcitation": value}, flip="1")
    with pytest.raises(MetadataError, match="RepetitionTimeExcitation is") as caught:
        number(one, "RepetitionTimeExcitation", high=1.0)
    assert caught.value.path == one.path


def test_a_list_of_one_is_a_number() -> None:
    assert number(image("VFA", {"FlipAngle": [20]}), "FlipAngle") == 20


def test_shared_values_must_be_the_same() -> None:
    images = [image("VFA", {"EchoTime": t}, flip=str(k)) for k, t in enumerate((0.002, 0.002, 0.003))]
    assert agreed(images[:2], "EchoTime", high=0.5) == 0.002
    with pytest.raises(MetadataError, match=r"EchoTime is 0\.003, but 0\.002 in sub-01_flip-0_VFA") as caught:
        agreed(images, "EchoTime", high=0.5)
    assert caught.value.path == images[2].path


@pytest.mark.parametrize(
    ("state", "entity", "expected"), [(True, None, True), (False, "off", False), (None, "on", True)]
)
def test_mt_pulse_by_sidecar_or_name(state: bool | None, entity: str | None, expected: bool) -> None:
    entities = {} if entity is None else {"mt": entity}
    assert mt_on(image("MPM", {} if state is None else {"MTState": state}, **entities)) is expected
