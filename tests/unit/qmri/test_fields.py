"""Images of the transmit and the receive field put in order; what is missing or contradicts is named."""

from __future__ import annotations

import pytest

from tests.unit.qmri.sessions import image, mpm, session
from thalbids.errors import MetadataError
from thalbids.qmri.acquisition import read_acquisition
from thalbids.qmri.fields import read_field, read_receive
from thalbids.types import InputImage


def coils(*labels: str) -> list[InputImage]:
    return [image("RB1COR", {}, acq=label) for label in labels]


def test_receive_field_of_each_contrast_or_of_all() -> None:
    found = read_acquisition(session(*mpm()), "MPM")
    own = [f"{coil}{part}" for part in ("PDw", "T1w", "MTw") for coil in ("head", "body")]
    receive = read_receive(session(*coils(*own)), found)
    assert receive is not None and list(receive.pairs) == ["PDw", "T1w", "MTw"]
    assert [i.entities["acq"] for i in receive.of("T1w")] == ["headT1w", "bodyT1w"]
    one = read_receive(session(*coils("array", "body")), found)
    assert one is not None and [i.entities["acq"] for i in one.of("T1w")] == ["array", "body"]
    assert read_receive(session(), found) is None
    assert read_receive(session(*coils(*own)), found, "none") is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("headPDw",), "partner of the body coil is missing"),
        (("headPDw", "bodyPDw"), "RB1COR images of T1w, MTw are missing"),
        (("coil1", "body"), "does not say which coil"),
        (("headPDw", "arrayPDw"), "of the same coil and contrast"),
    ],
)
def test_what_is_wrong_with_the_receive_field_is_named(labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(MetadataError, match=words):
        read_receive(session(*coils(*labels)), read_acquisition(session(*mpm()), "MPM"))


def field_images(suffix: str) -> list[InputImage]:
    times = {"RepetitionTimeExcitation": 0.02, "FlipAngle": 60}
    return {
        "TB1map": [image("TB1map")],
        "TB1AFI": [
            image("TB1AFI", times | {"RepetitionTimeExcitation": t}, acq=f"tr{k}") for k, t in ((2, 0.1), (1, 0.02))
        ],
        "TB1DAM": [image("TB1DAM", {"FlipAngle": a}, flip=f) for f, a in (("1", 120), ("2", 60))],
        "TB1EPI": [
            image("TB1EPI", {"FlipAngle": a, "MixingTime": 0.0338}, echo=e, flip=str(a))
            for a in (115, 65) for e in ("1", "2")
        ],
        "TB1TFL": [image("TB1TFL", {"FlipAngle": 80}, acq=acq) for acq in ("anat", "famp")],
    }[suffix]  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "number_of_images", "angles"),
    [("TB1map", 1, ()), ("TB1AFI", 2, (60,)), ("TB1DAM", 2, (60,)), ("TB1EPI", 4, (65, 115)), ("TB1TFL", 1, (80,))],
)
def test_transmit_fields(suffix: str, number_of_images: int, angles: tuple[float, ...]) -> None:
    found = read_field(session(*field_images(suffix)))
    assert found is not None
    assert (found.method, len(found.images), found.flip_angles) == (suffix, number_of_images, angles)
    if suffix == "TB1AFI":
        assert found.repetition_times == (0.02, 0.1)
    if suffix == "TB1EPI":
        assert [i.entities["echo"] for i in found.images] == ["1", "2", "1", "2"]


def test_preference_and_choice_of_the_field() -> None:
    both = session(*field_images("TB1AFI"), *field_images("TB1map"))
    chosen = [read_field(both, wanted) for wanted in ("auto", "TB1AFI", "none")]
    assert [f and f.method for f in chosen] == ["TB1map", "TB1AFI", None]
    with pytest.raises(MetadataError, match="no TB1DAM"):
        read_field(both, "TB1DAM")
    assert read_field(session()) is None


@pytest.mark.parametrize("suffix", ["TB1AFI", "TB1DAM", "TB1EPI", "TB1TFL"])
def test_a_field_with_a_missing_image_is_refused(suffix: str) -> None:
    with pytest.raises(MetadataError):
        read_field(session(field_images(suffix)[0]))
