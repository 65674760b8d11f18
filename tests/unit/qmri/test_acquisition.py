"""Raw images put in order by their sidecars; what is missing or contradicts is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.qmri.sessions import MP2RAGE, image, mp2rage, mpm, session
from thalbids.bids.dataset.raw import raw_images
from thalbids.bids.dataset.sidecars import Sidecars
from thalbids.errors import MetadataError
from thalbids.qmri.acquisition import acquired, read_acquisition
from thalbids.qmri.fields import read_field
from thalbids.qmri.models.flash import Weighting
from thalbids.types import InputImage, Session

EXAMPLES = Path(os.environ.get("THALBIDS_TEST_DATA", "absent")) / "bids_examples"


def test_contrasts_of_mpm() -> None:
    found = read_acquisition(session(*reversed(mpm())), "MPM")
    assert [part.name for part in found.parts] == ["PDw", "T1w", "MTw"]
    assert found.part("T1w").contrast == Weighting(25, 0.018)
    assert found.part("MTw").contrast == Weighting(5, 0.037)
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


def test_single_echo_is_no_mpm() -> None:
    with pytest.raises(MetadataError, match="one echo"):
        read_acquisition(session(*(i for i in mpm() if i.entities["echo"] == "1")), "MPM")


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
    assert [p.contrast for p in found.parts] == [Weighting(3, 0.015), Weighting(20, 0.015)]


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


def test_mp2rage() -> None:
    found = read_acquisition(session(*mp2rage()), "MP2RAGE")
    assert found.protocol is not None
    assert found.protocol.inversion_times == (0.8, 2.7)
    assert found.protocol.shots == (79, 80)
    assert [i.entities["part"] for i in found.part("inv2").images] == ["mag", "phase"]


def test_mp2rage_without_phase() -> None:
    with pytest.raises(MetadataError, match="part-phase"):
        read_acquisition(session(*(i for i in mp2rage() if i.entities["part"] == "mag")), "MP2RAGE")


def test_mp2rage_in_real_and_imaginary_parts() -> None:
    images = [
        image(
            "MP2RAGE",
            dict(one.metadata),
            inv=one.entities["inv"],
            part={"mag": "real", "phase": "imag"}[one.entities["part"]],
        )
        for one in mp2rage()
    ]
    found = read_acquisition(session(*images), "MP2RAGE")
    assert [i.entities["part"] for i in found.images] == ["real", "imag"] * 2
    assert read_acquisition(session(*images, *mp2rage()), "MP2RAGE").images[0].entities["part"] == "mag"
    with pytest.raises(MetadataError, match=r"inv-2 needs .* part-real and part-imag"):
        read_acquisition(session(*images[:3]), "MP2RAGE")


def test_unit1_with_lists_of_its_own_or_the_sidecars_of_the_inversions() -> None:
    own = image("UNIT1", MP2RAGE | {"InversionTime": [0.8, 2.7], "FlipAngle": [5, 7]})
    bare = image("UNIT1")
    protocols = [read_acquisition(s, "UNIT1").protocol for s in (session(own), session(bare, *mp2rage()))]
    assert protocols[0] == protocols[1]
    with pytest.raises(MetadataError, match="of both inversions are missing"):
        read_acquisition(session(bare), "UNIT1")


def test_kinds_in_the_order_of_preference() -> None:
    assert acquired(session(*vfa(3, 20), *mpm())) == ("MPM", "VFA")


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
