"""Which methods a run takes, and what stops it at the start."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from thalbids.errors import MissingToolError, NoInputError, UsageError
from thalbids.methods import registry
from thalbids.methods.base import trait
from thalbids.methods.mindglide import EnvelopeSettings
from thalbids.methods.registry import check_given
from thalbids.methods.registry import methods as every_method
from thalbids.settings import MethodSettings, load


class Fake:
    """A method with what a plug-in must have, and no more."""

    images: tuple[str, ...] = ("T1w",)
    protocol, memory_gb, version, sentence, citations = "none", 1.0, 1, "", ()

    def __init__(self, family: str, reason: str | None = None):
        self.family, self.reason = family, reason

    def unavailable(self) -> str | None:
        return self.reason

    def params(self, settings: MethodSettings) -> dict[str, Any]:
        return {}


class Cut(Fake):
    """A method that builds on another."""

    tables: ClassVar = {"mindglide": EnvelopeSettings}

    def builds_on(self, settings: MethodSettings) -> tuple[str, ...]:
        return (settings.of(EnvelopeSettings).envelope,)


class Slow(Fake):
    only_by_name = "takes hours."


SOME = (Fake("dbsegment", "no weights."), Cut("mindglide"), Fake("synthal"))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """first cannot run, cut builds on it (or on synthal), slow runs only by name."""
    methods = {m.family: m for m in (Slow("freesurfer"), Fake("first", "no FSL."), *SOME)}
    monkeypatch.setattr(registry, "methods", lambda: methods)
    return methods


def choose(*names: str, **tree: Any) -> registry.Choice:
    return registry.chosen(load(None, {"methods": {"names": list(names)}, **tree}))


def families(choice: registry.Choice) -> list[str]:
    return [method.family for method in choice.methods]


def test_auto_takes_what_is_there_and_says_why_not_the_rest() -> None:
    choice = choose("auto")
    assert families(choice) == ["synthal"]
    assert choice.notes["first"] == "left out: no FSL."
    assert choice.notes["freesurfer"] == "left out: takes hours."
    assert choice.notes["mindglide"].startswith("left out: it builds on first, which is left out")
    reasons = "freesurfer (takes hours); first (no FSL); dbsegment (no weights); mindglide (it builds on first)"
    assert choice.summary() == [
        "methods: synthal (runs here)",
        f"left out: {reasons}. How to get them: thalbids doctor",
    ]
    alike = replace(choice, notes=dict.fromkeys(("first", "dbsegment"), "left out: not on the PATH. Install it."))
    assert alike.summary() == ["left out: first, dbsegment (not on the PATH). How to get them: thalbids doctor"]


def test_a_name_is_an_order() -> None:
    assert families(choose("freesurfer")) == ["freesurfer"]
    for name in ("first", "mindglide"):
        with pytest.raises(MissingToolError, match="no FSL"):
            choose(name, "auto")
    with pytest.raises(UsageError, match="Did you mean 'first'"):
        choose("frist")


def test_what_a_method_builds_on_comes_with_it() -> None:
    choice = choose("mindglide", mindglide={"envelope": "synthal"})
    assert families(choice) == ["mindglide", "synthal"]
    assert choice.runnable == {"mindglide", "synthal"}


def test_results_stand_in_for_a_tool_that_is_not_there() -> None:
    choice = choose("auto", inputs={"derivatives": {"first": "/given", "manual": "/hand"}})
    assert families(choice) == ["first", "mindglide", "synthal"]
    assert choice.runnable == {"mindglide", "synthal"}
    assert "results that are given" in choice.notes["first"]
    assert families(choose("first", inputs={"derivatives": {"first": "/given"}})) == ["first"]


def test_a_given_mask_needs_no_method_that_it_was_once_made_with(known: dict[str, Any]) -> None:
    given = {"derivatives": {"mindglide": "/given"}}
    known["mindglide"] = Cut("mindglide", "no weights.")
    assert families(choose("mindglide", inputs=given)) == ["mindglide"]
    known["mindglide"] = Cut("mindglide")
    choice = choose("mindglide", inputs=given)
    assert (families(choice), choice.runnable) == (["mindglide"], frozenset())
    assert "results that are given; it is not run: it builds on first" in choice.notes["mindglide"]


@pytest.mark.parametrize("name", ["frist", "mindglideT1", "brian", "manaul"])
def test_a_name_that_nothing_reads_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        check_given({name: Path("none")})


@pytest.mark.parametrize("name", ["first", "First", "mindglideFLAIR", "brain", "icv", "siena", "manual", "manual2"])
def test_names_that_are_read_are_taken(name: str) -> None:
    check_given({name: Path("none")})


@pytest.mark.parametrize(
    ("name", "option"), [("freesurfer", "--fs-subjects-dir"), ("fastsurfer", "--fastsurfer-dir"), ("first", "")]
)
def test_a_folder_of_a_program_is_pointed_to_its_option(name: str, option: str, tmp_path: Path) -> None:
    check_given({name: tmp_path})
    (tmp_path / "bert" / "mri").mkdir(parents=True)
    (tmp_path / "bert" / "mri" / "aseg.mgz").touch()
    if not option:
        check_given({name: tmp_path})
        return
    with pytest.raises(UsageError, match=f"are given by {option}; --derivatives takes a BIDS derivative dataset"):
        check_given({name: tmp_path})
    (tmp_path / "dataset_description.json").touch()
    check_given({name: tmp_path})  # a BIDS dataset, whatever lies beside


def test_a_brain_source_is_an_order_too() -> None:
    with pytest.raises(UsageError, match="no brain masks are"):
        choose("synthal", brain={"source": "given"})
    with pytest.raises(MissingToolError, match=r"\[brain\] source names it.*no weights"):
        choose("synthal", brain={"source": "dbsegment"})
    assert families(choose("synthal", brain={"source": "freesurfer"})) == ["freesurfer", "synthal"]


def test_a_plug_in_needs_to_say_no_more_than_the_protocol() -> None:
    fake, settings = Fake("mine", "not here"), MethodSettings()
    assert trait(fake, "blocked", settings) == "not here"
    assert trait(fake, "builds_on", settings) == ("brain",)
    assert trait(fake, "gpu", settings) is False
    assert trait(fake, "software", settings) == ()


def test_a_plugin_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("mine", "no_such_module:Mine", "thalbids.methods")
    monkeypatch.setattr(registry.families, "entries", lambda: [entry])
    monkeypatch.setattr(registry.families, "loaded", registry.families.loaded.__wrapped__)
    with pytest.raises(MissingToolError, match=r"mine .* cannot be loaded .*no_such_module"):
        every_method()


@pytest.mark.parametrize(("key", "kind"), [("license_file", MissingToolError), ("subjects_dir", NoInputError)])
def test_what_an_option_names_must_be_there(tmp_path: Path, key: str, kind: type[Exception]) -> None:
    path = tmp_path / "named"
    settings = load(None, {"tools": {"freesurfer": {key: path}}})
    with pytest.raises(kind, match="it is not there"):
        registry.check_options(settings)
    path.touch()
    registry.check_options(settings)
