"""Files to fetch: by which word, from where, and where they lie."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from thalbids.cli import fetch as verb
from thalbids.errors import UsageError
from thalbids.tools import weights


def test_names_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path / "cache"))
    (model,) = weights.named("mindglide")
    assert model.path.is_relative_to(tmp_path / "cache") and model.sha256 is not None and len(model.sha256) == 64
    assert "resolve/a1969821c0a4a37ae54f649a9a0c6fd1b8a48e26/" in model.url
    for wrong in ("template:../x", "template:", "x"):
        with pytest.raises(UsageError):
            weights.named(wrong)
    assert not weights.here(model)
    monkeypatch.delenv("THALBIDS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert weights.cache_folder() == Path.home() / (
        "Library/Caches/thalbids" if os.uname().sysname == "Darwin" else ".cache/thalbids"
    )


def test_here_is_a_file_of_the_right_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path))
    small = replace(weights.named("mindglide")[0], size=3)
    assert not weights.here(small)
    small.path.parent.mkdir(parents=True)
    for content, there in ((b"", False), (b"ab", False), (b"abc", True)):
        small.path.write_bytes(content)
        assert weights.here(small) == there
    assert weights.here(replace(small, size=None))


def test_every_offer_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    for what in verb.offered():
        assert weights.named(what)
