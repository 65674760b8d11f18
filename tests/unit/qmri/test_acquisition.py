"""Raw images put in order by their sidecars; what is missing or contradicts is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thalbids.bids.dataset.raw import raw_images
from thalbids.bids.dataset.sidecars import Sidecars
from thalbids.errors import MetadataError
from thalbids.qmri.acquisition import acquired, read_acquisition, read_field, read_receive
from thalbids.qmri.models.flash import Contrast
from thalbids.types import InputImage, Session

EXAMPLES = Path(os.environ.get("THALBIDS_TEST_DATA", "absent")) / "bids_examples"


def image(suffix: str, metadata: dict | None = None, **entities: str) -> InputImage:
    name = "_".join(["sub-01", *(f"{k}-{v}" for k, v in entities.items()), suffix])
    return InputImage(Path(f"{name}.nii.gz"), f"bids:raw:{name}", suffix, entities, metadata or {})


def session(*images: InputImage) -> Session:
    return Session("01", None, {}, raw=images)


def mpm(**changes: dict) -> list[InputImage]:
    """Three contrasts of three echoes; ``changes`` by name (``T1w2``: the second T1w echo) over the sidecar."""
    made = []
    for name, flip, mt, angle, tr in (
        ("PDw", "1", "off", 4, 0.018), ("T1w", "2", "off", 25, 0.018), ("MTw", "1", "on", 5, 0.037),
    ):  # fmt: skip
        for echo in (1, 2, 3):
            metadata = {
                "FlipAngle": angle, "RepetitionTimeExcitation": tr, "EchoTime": 0.00246 * echo, "MTState": mt == "on",
            } | changes.get(f"{name}{echo}", {})  # fmt: skip
            metadata = {k: v for k, v in metadata.items() if v is not None}
            made.append(image("MPM", metadata, acq=name, echo=str(echo), flip=flip, mt=mt))
    return made


def test_contrasts_of_mpm() -> None:
    found = read_acquisition(session(*reversed(mpm())), "MPM")
    assert [part.name for part in found.parts] == ["PDw", "T1w", "MTw"]
    assert found.part("T1w").contrast == Contrast(25, 0.018)
    assert found.part("MTw").contrast == Contrast(5, 0.037)
    assert found.part("PDw").times == pytest.approx((0.00246, 0.00492, 0.00738))
    assert [i.entities["echo"] for i in found.part("PDw").images] == ["1", "2", "3"]
    assert len(found.images) == 9


@pytest.mark.parametrize(
    ("changes", "file", "words"),
    [
        ({"T1w2": {"EchoTime": None}}, "acq-T1w_echo-2", "EchoTime is missing"),
        ({"T1w2": {"EchoTime": 4.92}}, "acq-T1w_echo-2", "EchoTime is 4.92; it must be above 0 and at most 0.5"),
        ({"T1w2": {"EchoTime": 0.00246}}, "acq-T1w_echo", "EchoTime is 0.00246, as in"),
        ({"PDw3": {"RepetitionTimeExcitation": 18}}, "acq-PDw_echo-3", "RepetitionTimeExcitation is 18"),
        ({"PDw3": {"RepetitionTimeExcitation": 0.019}}, "acq-PDw_echo-3", "is 0.019, but 0.018"),
        ({"MTw1": {"MTState": False}}, "acq-MTw_echo-1", "MTState is false, but the name says mt-on"),
        ({"MTw1": {"MTState": "on"}}, "acq-MTw_echo-1", "not true or false"),
        ({"MTw1": {"FlipAngle": 6}}, "acq-MTw_echo-2", "FlipAngle is 5, but 6 in sub-01_acq-MTw_echo-1"),
        ({"T1w1": {"FlipAngle": 0.436}}, "acq-T1w_echo-1", "FlipAngle is 0.436; it must be above 0.6"),
        ({"T1w1": {"EchoTime": 0.006}}, "acq-T1w_echo-1", "EchoTime is 0.006, above 0.00492 in sub-01_acq-T1w_echo-2"),
        ({"T1w1": {"FlipAngle": "25"}}, "acq-T1w_echo-1", "FlipAngle is '25', not a number"),
        ({"T1w1": {"FlipAngle": 20}}, "acq-T1w_echo-2", "FlipAngle is 25, but 20 in sub-01_acq-T1w_echo-1"),
        ({f"T1w{k}": {"FlipAngle": 4, "EchoTime": 0.1 * k} for k in (1, 2, 3)}, "sub-01", "two flip angles"),
    ],
)
def test_what_is_wrong_in_mpm_is_named(changes: dict, file: str, words: str) -> None:
    with pytest.raises(MetadataError) as caught:
        read_acquisition(session(*mpm(**changes)), "MPM")
    assert words in caught.value.problem
    assert file in str(caught.value.path)


def test_repetition_time_is_not_taken_for_that_of_an_excitation() -> None:
    changed = {"PDw1": {"RepetitionTimeExcitation": None, "RepetitionTime": 0.018}}
    with pytest.raises(MetadataError, match="RepetitionTimeExcitation is missing") as caught:
        read_acquisition(session(*mpm(**changed)), "MPM")
    assert "RepetitionTime is there: is it the time from one excitation to the next?" in caught.value.mend


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


def test_mt_without_sidecar_or_name() -> None:
    bare = [image("MPM", dict(i.metadata) | {"MTState": None}, echo=i.entities["echo"]) for i in mpm()[:1]]
    with pytest.raises(MetadataError, match="MTState is missing in the sidecars, and mt- in the name"):
        read_acquisition(session(*bare), "MPM")


def test_single_echo_is_no_mpm() -> None:
    with pytest.raises(MetadataError, match="one echo"):
        read_acquisition(session(*(i for i in mpm() if i.entities["echo"] == "1")), "MPM")


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


def mts(**changes: dict) -> list[InputImage]:
    made = []
    for flip, mt, angle in (("1", "on", 6), ("1", "off", 6), ("2", "off", 20)):
        metadata = {"FlipAngle": angle, "RepetitionTimeExcitation": 0.028, "EchoTime": 0.003, "MTState": mt == "on"}
        made.append(image("MTS", metadata | changes.get(f"{flip}{mt}", {}), flip=flip, mt=mt))
    return made


def test_mts() -> None:
    found = read_acquisition(session(*mts()), "MTS")
    assert [(p.name, p.contrast.flip_angle) for p in found.parts if p.contrast] == [("PDw", 6), ("T1w", 20), ("MTw", 6)]


def test_mts_of_different_echo_times_is_refused() -> None:
    with pytest.raises(MetadataError, match=r"EchoTime is 0\.004, but 0\.003"):
        read_acquisition(session(*mts(**{"2off": {"EchoTime": 0.004}})), "MTS")


def vfa(*angles: float, tr: float = 0.015) -> list[InputImage]:
    metadata = [{"FlipAngle": a, "RepetitionTimeExcitation": tr} for a in angles]
    return [image("VFA", m, flip=str(k)) for k, m in enumerate(metadata, start=1)]


def test_vfa_in_the_order_of_angles() -> None:
    found = read_acquisition(session(*vfa(20, 3)), "VFA")
    assert [p.contrast for p in found.parts] == [Contrast(3, 0.015), Contrast(20, 0.015)]


@pytest.mark.parametrize("angles", [(3,), (3, 3)])
def test_vfa_needs_two_angles(angles: tuple[float, ...]) -> None:
    with pytest.raises(MetadataError, match="two different FlipAngle"):
        read_acquisition(session(*vfa(*angles)), "VFA")


def test_vfa_of_several_echoes_takes_the_first() -> None:
    images = [
        image("VFA", {"FlipAngle": a, "RepetitionTimeExcitation": 0.015, "EchoTime": 0.002 * e}, flip=f, echo=str(e))
        for f, a in (("1", 3), ("2", 20)) for e in (1, 2)
    ]  # fmt: skip
    assert [i.entities["echo"] for i in read_acquisition(session(*images), "VFA").images] == ["1", "1"]


def test_irt1_in_the_order_of_times() -> None:
    images = [image("IRT1", {"InversionTime": t}, inv=str(k)) for k, t in enumerate((2.5, 0.05, 1.1, 0.4))]
    assert read_acquisition(session(*images), "IRT1").parts[0].times == (0.05, 0.4, 1.1, 2.5)
    with pytest.raises(MetadataError, match="four different InversionTime"):
        read_acquisition(session(*images[:3]), "IRT1")


COMMON = {"RepetitionTimePreparation": 5.5, "RepetitionTimeExcitation": 0.0062, "NumberShots": 159}


def mp2rage(**changes: object) -> list[InputImage]:
    return [
        image("MP2RAGE", COMMON | {"InversionTime": ti, "FlipAngle": a} | changes, inv=inv, part=part)
        for inv, ti, a in (("1", 0.8, 5), ("2", 2.7, 7)) for part in ("mag", "phase")
    ]  # fmt: skip


def test_mp2rage() -> None:
    found = read_acquisition(session(*mp2rage()), "MP2RAGE")
    assert found.protocol is not None
    assert found.protocol.inversion_times == (0.8, 2.7)
    assert found.protocol.shots == (79, 80)
    assert [i.entities["part"] for i in found.part("inv2").images] == ["mag", "phase"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NumberShots": None}, "NumberShots is None"),
        ({"NumberShots": 500}, "do not fit between InversionTime"),
        ({"InversionTime": 0.8}, "not above that of inv-1"),
        ({"RepetitionTimePreparation": 5500}, "RepetitionTimePreparation is 5500"),
    ],
)
def test_what_is_wrong_in_mp2rage_is_named(changes: dict, words: str) -> None:
    with pytest.raises(MetadataError, match=words):
        read_acquisition(session(*mp2rage(**changes)), "MP2RAGE")


def test_mp2rage_without_phase() -> None:
    with pytest.raises(MetadataError, match="part-phase"):
        read_acquisition(session(*(i for i in mp2rage() if i.entities["part"] == "mag")), "MP2RAGE")


def test_unit1_with_lists_of_its_own_or_the_sidecars_of_the_inversions() -> None:
    own = image("UNIT1", COMMON | {"InversionTime": [0.8, 2.7], "FlipAngle": [5, 7]})
    bare = image("UNIT1")
    protocols = [read_acquisition(s, "UNIT1").protocol for s in (session(own), session(bare, *mp2rage()))]
    assert protocols[0] == protocols[1]
    with pytest.raises(MetadataError, match="of both inversions are missing"):
        read_acquisition(session(bare), "UNIT1")


def test_kinds_in_the_order_of_preference() -> None:
    assert acquired(session(*vfa(3, 20), *mpm())) == ("MPM", "VFA")


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


@pytest.mark.data
@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="THALBIDS_TEST_DATA has no bids_examples")
@pytest.mark.parametrize(
    ("dataset", "kinds", "field"),
    [
        ("qmri_mpm", ("MPM",), "TB1EPI"),
        ("qmri_vfa", ("VFA",), "TB1AFI"),
        ("qmri_mp2rage", ("MP2RAGE", "UNIT1"), None),
        ("qmri_mtsat", ("MTS",), "TB1DAM"),
        ("qmri_irt1", ("IRT1",), None),
    ],
)
def test_examples_of_bids(dataset: str, kinds: tuple[str, ...], field: str | None) -> None:
    folder = next((EXAMPLES / dataset).glob("sub-*"))
    found = Session(folder.name.removeprefix("sub-"), None, {}, raw=raw_images(folder, Sidecars(EXAMPLES / dataset))[0])
    assert acquired(found) == kinds
    for kind in kinds:
        assert read_acquisition(found, kind).images
    transmit = read_field(found)
    assert (transmit and transmit.method) == field
