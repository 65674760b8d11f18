from __future__ import annotations

import itertools
import re

import pytest

from thalbids import families
from thalbids.bids.results import names


def test_the_names_that_other_programs_rely_on() -> None:
    found = {method.desc for method in names.methods()}
    single = {"freesurfer", "first", "dbsegment"}
    parts = ("T1w", "FLAIR", "R1map", "T1FLAIR", "T1R1", "R1FLAIR", "T1FLAIRR1")
    assert single | {f"{family}{part}" for family in ("mindglide", "synthal") for part in parts} <= found
    assert {"synthalT1FLAIRIntersection", "synthalT1FLAIRR1Staple", "mindglideT1wInSynthal"} <= found


def test_no_two_methods_share_a_name() -> None:
    methods = names.methods()
    assert len({method.desc for method in methods}) == len(methods)
    assert len({method.label for method in methods}) == len(methods)
    assert len({method.description for method in methods}) == len(methods)
    assert all(re.fullmatch("[0-9A-Za-z]+", desc) for desc in names.register())


def test_the_order_of_the_images_does_not_matter() -> None:
    for order in itertools.permutations(("T1w", "FLAIR", "R1map")):
        assert names.desc("synthal", order) == "synthalT1FLAIRR1"
        assert names.desc("synthal", order, "staple") == "synthalT1FLAIRR1Staple"
    assert names.desc("synthal", ("FLAIR", "R1map")) == "synthalR1FLAIR"


@pytest.mark.parametrize("method", names.methods(), ids=lambda method: method.desc)
def test_a_name_leads_back_to_its_method(method: names.MaskKind) -> None:
    assert names.by_desc(method.desc) == method
    together = families.of(method.family).reads != families.ONE_IMAGE
    several = "several" if together else "ensemble"
    assert method.image == (method.images[0] if len(method.images) == 1 else several)
    assert (method.rule is None) == (len(method.images) == 1 or together)
    assert method.description.startswith("Thalamus by ")
    assert method.description.endswith(".")


def test_what_a_rule_does_is_said() -> None:
    assert "union" in names.method("synthal", ("T1w", "FLAIR")).description
    assert "majority" in names.method("synthal", ("T1w", "FLAIR", "R1map")).description
    assert "FSL FIRST" in names.method("mindglide", "T1w").description
    assert "SynThal" in names.method("mindglide", "T1w", envelope="synthal").description
    assert names.method("synthal", "R1map").label == "SynThal R1"
    assert names.method("synthal", ("T1w", "FLAIR"), "intersection").label == "SynThal T1w + FLAIR intersection"


@pytest.mark.parametrize(
    "arguments",
    [
        ("un-known", "T1w"),
        ("", "T1w"),
        ("freesurfer", "FLAIR"),
        ("synthal", "PDw"),
        ("synthal", ()),
        ("synthal", ("T1w", "T2w")),
        ("synthal", ("T1w", "FLAIR"), "staple"),
        ("synthal", ("T1w", "FLAIR"), "vote"),
        ("mindglide", "T1w", "mean", "mindglide"),
    ],
)
def test_what_has_no_name_is_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="no method"):
        names.method(*arguments)


@pytest.mark.parametrize(
    "desc", ["synthalPDw", "mindglideT2w", "T1w", "thalamus", "freesurferFLAIR", "firstT1w", "a-bT1w", ""]
)
def test_what_is_no_method_is_a_key_error(desc: str) -> None:
    with pytest.raises(KeyError):
        names.by_desc(desc)


def test_methods_added_by_others_have_names_too() -> None:
    method = names.method("ourNet", ("T1w", "FLAIR"))
    assert (method.desc, method.label) == ("ourNetT1FLAIR", "ourNet T1w + FLAIR")
    added = [method for method in names.methods(["ourNet", "synthal", "first"]) if method not in names.methods()]
    assert {method.family for method in added} == {"ourNet"}
    assert len(added) == len([method for method in names.methods() if method.family == "synthal"])
    for method in added:
        assert names.by_desc(method.desc) == method
    assert set(names.register(["ourNet"])) - set(names.register()) == {method.desc for method in added}
