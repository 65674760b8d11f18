"""A method of each kind from another package: everybody who asks the registry finds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from thalbids import families
from thalbids.bids.results import names
from thalbids.cli import doctor
from thalbids.cli.main import parse, settings_of
from thalbids.cli.parser import app_parser
from thalbids.errors import MissingToolError, UsageError
from thalbids.methods import registry
from thalbids.methods.base import own_settings
from thalbids.programs import FslSettings
from thalbids.reports import palette
from thalbids.reports.group.figures import look
from thalbids.settings import MethodSettings, Settings, load


@dataclass(frozen=True)
class OneSettings:
    weights: Path | None = None
    folds: int = field(default=3, metadata={"min": 1})


@dataclass(frozen=True)
class NoDefault:
    weights: Path


class OneImage:
    tables: ClassVar = {"tools.onenet": OneSettings}
    options = (families.Option("--onenet-weights", "tools.onenet.weights", "weights of OneNet"),)
    family, shown, images, marker, dash = "onenet", "OneNet", ("T1w", "FLAIR"), "*", "9 9"
    protocol, memory_gb, version, sentence, citations = "none", 1.0, 1, "", ()

    def unavailable(self) -> str | None:
        return None

    def params(self, settings: MethodSettings) -> dict[str, Any]:
        return {"Folds": settings.of(OneSettings).folds}


class SeveralImages(OneImage):
    options = ()
    family, shown, reads, colour = "manynet", "ManyNet", "images", "#123456"


class SeveralSessions(OneImage):
    options = ()
    family, shown, reads, images = "longnet", "LongNet", "sessions", ("T1w",)

    def session_maps(self, requests: Any) -> Any:
        raise NotImplementedError


CACHES = (families.loaded, names._known, look._known, look.colour)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found = [
        EntryPoint(kind.family, f"{__name__}:{kind.__name__}", families.GROUP)
        for kind in (OneImage, SeveralImages, SeveralSessions)
    ]
    monkeypatch.setattr(families, "entries", lambda: found)
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


@pytest.mark.parametrize(
    ("desc", "label", "image"),
    [
        ("onenetFLAIR", "OneNet FLAIR", "FLAIR"),
        ("onenetT1FLAIR", "OneNet T1w + FLAIR", "ensemble"),
        ("manynet", "ManyNet", "several"),
        ("longnet", "LongNet", "T1w"),
    ],
)
def test_masks_and_tables_know_it(desc: str, label: str, image: str) -> None:
    kind = names.by_desc(desc)
    assert (kind.label, kind.image) == (label, image)
    assert desc in names.register() and look.label(desc) == label
    assert desc in [known.desc for known in names.methods()]


def test_pages_show_it_as_it_says() -> None:
    assert palette.style("onenetT1w").dash == "9 9" and look.marker("onenetT1w") == "*"
    assert palette.style("manynet").colour == "#123456"


def test_the_doctor_and_the_help_name_it() -> None:
    assert {"OneNet", "ManyNet", "LongNet"} <= {piece.name for piece in doctor.examine(Settings())}
    text = " ".join(app_parser().format_help().split())
    assert all(name in text for name in ("onenet", "manynet", "longnet"))


def test_it_brings_settings_of_its_own(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text("[tools.onenet]\nfolds = 5\n")
    words = ["raw", "out", "participant", "--config", str(config), "--onenet-weights", str(tmp_path / "w.pt")]
    settings = settings_of(parse(words))
    assert settings.of(OneSettings) == OneSettings(tmp_path / "w.pt", 5)
    (tmp_path / "again.toml").write_text(settings.to_toml())
    assert load(tmp_path / "again.toml") == settings
    assert OneImage().params(own_settings(OneImage(), settings)) == {"Folds": 5}  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"tools\.onenet\.folds is 0\. It must be at least 1"):
        load(None, {"tools": {"onenet": {"folds": 0}}})


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"run": OneSettings}, r"\[run\], not"),
        ({"tools.a.b": OneSettings}, r"\[tools\.a\.b\], not"),
        ({"tools.fsl": OneSettings}, "those of another method"),
        ({"tools.onenet": FslSettings}, "a class of its own"),
        ({"tools.onenet": dict}, "no dataclass"),
        ({"tools.onenet": NoDefault}, "missing 1 required"),
    ],
)
def test_settings_in_the_place_of_others_are_refused(
    monkeypatch: pytest.MonkeyPatch, tables: dict[str, type], message: str
) -> None:
    monkeypatch.setattr(OneImage, "tables", tables)
    families.loaded.cache_clear()
    with pytest.raises(MissingToolError, match=message):
        registry.chosen(Settings())


def test_every_kind_is_chosen_by_name() -> None:
    names_of = ["onenet", "manynet", "longnet"]
    assert [m.family for m in registry.chosen(load(None, {"methods": {"names": names_of}})).methods] == names_of


def test_a_method_of_several_sessions_without_its_function_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SeveralSessions, "session_maps")
    families.loaded.cache_clear()
    with pytest.raises(MissingToolError, match="has no session_maps"):
        registry.chosen(Settings())
