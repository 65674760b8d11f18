"""What maps are like by field strength."""

from __future__ import annotations

from thalbids.qmri.plausible import BY_FIELD, expected


def test_expected_values_by_field_strength() -> None:
    assert expected("R1map") is BY_FIELD[3.0]["R1map"] is expected("R1map", 2.89)
    assert expected("R1map", 6.98) is BY_FIELD[7.0]["R1map"]
    assert expected("Chimap", 3.0) is None
    for usual in (one for maps in BY_FIELD.values() for one in maps.values()):
        assert usual.white_matter[0] < usual.white < usual.white_matter[1]
        assert usual.thalamus[0] < usual.thalamus[1] and usual.grey < usual.white
