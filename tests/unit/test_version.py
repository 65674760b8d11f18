"""The version can be asked for more than once, also where the build has written ``thalbids/_version.py``."""

import importlib
import sys
import types

import pytest

import thalbids


def test_the_version_survives_being_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("thalbids._version")
    module.version = "1.2.3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "thalbids._version", module)
    monkeypatch.setattr(thalbids, "_version", module, raising=False)  # what importing the submodule does
    assert thalbids.__version__ == "1.2.3"
    assert importlib.import_module("thalbids").__version__ == "1.2.3"
