"""The protocol of MP2RAGE from sidecars."""

from __future__ import annotations

import pytest

from tests.unit.qmri.sessions import MP2RAGE, image, mp2rage, session
from thalbids.errors import MetadataError
from thalbids.qmri.acquisition import read_acquisition
from thalbids.qmri.models.mp2rage import Mp2rage
from thalbids.qmri.mp2rage_protocol import read_mp2rage


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NumberShots": None}, "NumberShots is None"),
        ({"NumberShots": float("inf")}, "NumberShots is inf, not a number from 1 to 1000000"),
        ({"NumberShots": 10**400}, "NumberShots is 10+[.]+0+, not a number"),
        ({"FlipAngle": 10**400}, "FlipAngle is not finite"),
        ({"NumberShots": 500}, "do not fit between InversionTime"),
        ({"InversionTime": 0.8}, "not above that of inv-1"),
        ({"RepetitionTimePreparation": 5500}, "RepetitionTimePreparation is 5500"),
    ],
)
def test_what_is_wrong_in_mp2rage_is_named(changes: dict, words: str) -> None:
    with pytest.raises(MetadataError, match=words):
        read_acquisition(session(*mp2rage(**changes)), "MP2RAGE")


def test_two_repetition_times() -> None:
    """That of the excitations may differ by inversion: a list in the combined image, or a number in each."""
    wanted = Mp2rage(5.5, (0.0062, 0.0071), (0.8, 2.7), (5.0, 7.0), (79, 80))
    both = {"InversionTime": [0.8, 2.7], "FlipAngle": [5, 7], "RepetitionTimeExcitation": [0.0062, 0.0071]}
    own = image("UNIT1", MP2RAGE | both | {"RepetitionTimePreparation": [5.5, 5.5]})
    assert read_mp2rage(own, own) == wanted
    each = [
        image("MP2RAGE", MP2RAGE | {"InversionTime": t, "FlipAngle": a, "RepetitionTimeExcitation": r}, inv=str(k))
        for k, (t, a, r) in enumerate(((0.8, 5, 0.0062), (2.7, 7, 0.0071)), start=1)
    ]
    assert read_mp2rage(*each) == wanted
    again = mp2rage(RepetitionTimeExcitation=[0.0062, 0.0071])  # inherited by both from one sidecar
    assert read_acquisition(session(*again), "MP2RAGE").protocol == wanted


def test_shots_before_and_after_the_centre() -> None:
    found = read_acquisition(session(*mp2rage(NumberShots=[40, 119])), "MP2RAGE").protocol
    assert found is not None and found.shots == (40, 119)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RepetitionTimePreparation": [5.5, 6.0]}, "both inversions are measured in one cycle"),
        ({"RepetitionTimeExcitation": [0.0062, 0.05]}, "of 0.0062 and 0.05 s .* do not fit"),
        ({"RepetitionTimeExcitation": [0.0062] * 3}, "not a number"),
        ({"FlipAngle": 5}, "FlipAngle is 5, not a list of two"),
        ({"InversionTime": [0.8]}, "not a list of two"),
    ],
)
def test_what_is_wrong_in_a_combined_image_is_named(changes: dict, words: str) -> None:
    own = image("UNIT1", MP2RAGE | {"InversionTime": [0.8, 2.7], "FlipAngle": [5, 7]} | changes)
    with pytest.raises(MetadataError, match=words) as caught:
        read_acquisition(session(own), "UNIT1")
    assert caught.value.path == own.path


def test_shots_that_contradict_each_other() -> None:
    one, two = (image("MP2RAGE", MP2RAGE | {"InversionTime": t, "FlipAngle": 5, "NumberShots": n}, inv=str(k))
                for k, (t, n) in enumerate(((0.8, 159), (2.7, 160)), start=1))  # fmt: skip
    with pytest.raises(MetadataError, match="NumberShots is 160, but 159 in sub-01_inv-1_MP2RAGE") as caught:
        read_mp2rage(one, two)
    assert caught.value.path == two.path
