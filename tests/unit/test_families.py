"""A method of each kind from another package: everybody who asks the registry finds it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from thalbids import families
from thalbids.bids.results import names
from thalbids.cli import doctor
from thalbids.cli.parser import app_parser
from thalbids.errors import MissingToolError
from thalbids.methods import registry
from thalbids.reports import palette
from thalbids.reports.group.figures import look
from thalbids.settings import Settings, load


class OneImage:
    family, shown, images, marker, dash = "onenet", "OneNet", ("T1w", "FLAIR"), "*", "9 9"
    protocol, memory_gb, version, sentence, citations = "none", 1.0, 1, "", ()

    def unavailable(self) -> str | None:
        return None

    def params(self, settings: Settings) -> dict[str, Any]:
        return {}


class SeveralImages(OneImage):
    family, shown, reads, colour = "manynet", "ManyNet", "images", "#123456"


class SeveralSessions(OneImage):
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


def test_every_kind_is_chosen_by_name() -> None:
    names_of = ["onenet", "manynet", "longnet"]
    assert [m.family for m in registry.chosen(load(None, {"methods": {"names": names_of}})).methods] == names_of


def test_a_method_of_several_sessions_without_its_function_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SeveralSessions, "session_maps")
    families.loaded.cache_clear()
    with pytest.raises(MissingToolError, match="has no session_maps"):
        registry.chosen(Settings())
