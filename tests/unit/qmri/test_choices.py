"""The settings offer what the formulas know, with their defaults."""

from __future__ import annotations

from dataclasses import fields

from thalbids.qmri import acquisition, b1, estatics, flash, mp2rage, reconstruct, spoiling, vfa
from thalbids.settings import Qmri

CHOICES = {entry.name: entry.metadata.get("choices") for entry in fields(Qmri)}


def test_choices_are_those_of_the_formulas() -> None:
    assert CHOICES["source"] == ("maps", *acquisition.KINDS)
    assert CHOICES["b1"] == ("auto", "none", *acquisition.FIELDS)
    assert set(acquisition.FIELDS) == set(b1.METHODS)
    assert CHOICES["form"] == flash.FORMS
    assert CHOICES["fit"] == estatics.FITS
    assert CHOICES["vfa_fit"] == vfa.FITS
    assert CHOICES["spoiling"] == ("none", *spoiling.SETS)
    assert CHOICES["interpolation"] == tuple(reconstruct.ORDERS)


def test_defaults_are_those_of_the_formulas() -> None:
    assert Qmri().inversion_efficiency == mp2rage.EFFICIENCY
    assert Qmri().b1_t1 == b1.T1_OF_STE
    assert reconstruct.Options.of(Qmri()) == reconstruct.Options()
