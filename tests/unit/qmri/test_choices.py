"""The settings offer what the formulas know, with their defaults."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

from thalbids.qmri import acquisition, reconstruct
from thalbids.qmri import fields as fields_of
from thalbids.qmri.models import b1, estatics, flash, mp2rage, spoiling, vfa
from thalbids.settings import Qmri, load

ROOT = Path(__file__).resolve().parents[3]

CHOICES = {entry.name: entry.metadata.get("choices") for entry in fields(Qmri)}


def test_choices_are_those_of_the_formulas() -> None:
    assert CHOICES["source"] == ("maps", *acquisition.KINDS)
    assert CHOICES["b1"] == ("auto", "none", *fields_of.FIELDS)
    assert set(fields_of.FIELDS) == set(b1.METHODS)
    assert CHOICES["form"] == flash.FORMS
    assert CHOICES["fit"] == estatics.FITS
    assert CHOICES["vfa_fit"] == vfa.FITS
    assert CHOICES["spoiling"] == ("none", *spoiling.SETS)
    assert CHOICES["interpolation"] == tuple(reconstruct.ORDERS)


def test_defaults_are_those_of_the_formulas() -> None:
    assert Qmri().inversion_efficiency == mp2rage.EFFICIENCY
    assert Qmri().b1_t1 == b1.T1_OF_STE
    assert reconstruct.Options.of(Qmri()) == reconstruct.Options()


def test_the_papers_choices() -> None:
    chosen = load(ROOT / "thalbids" / "data" / "paper.toml").qmri
    shown = (ROOT / "docs" / "qmri.md").read_text(encoding="utf-8").split("## As in the paper")[1]
    told = tomllib.loads(shown.split("```toml")[1].split("```")[0])["qmri"]
    assert told == {
        "source": ["MPM", "maps"], "unringing": "kellner", "form": "small-angle", "fit": "ols", "spoiling": "none",
    }  # fmt: skip
    assert chosen == replace(Qmri(), **{**told, "source": ("MPM", "maps")})
