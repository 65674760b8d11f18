"""SynThal as the registry knows it: what its results depend on, and what the doctor says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from thalbids.methods import synthal
from thalbids.methods.embedded import SynThal, SynthalSettings
from thalbids.settings import MethodSettings


def test_results_depend_on_weights_averaging_and_precision() -> None:
    settings = MethodSettings()
    params = SynThal().params(settings)
    assert params == {"Weights": synthal.weights_checksum(), "FlipAveraging": True, "Precision": "full"}
    fast = replace(
        settings, run=replace(settings.run, precision="fast"), tables=(SynthalSettings(flip_averaging=False),)
    )
    assert SynThal().params(fast) == params | {"FlipAveraging": False, "Precision": "fast"}
    assert SynThal().params(replace(settings, run=replace(settings.run, nprocs=7))) == params


def test_the_doctor_tells_the_weights_or_that_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = SynThal().pieces(MethodSettings())
    assert found.ok and synthal.weights_checksum().startswith(found.version.removeprefix("SHA-256 "))
    monkeypatch.setattr(synthal, "unavailable", lambda: "the weights are gone")
    (found,) = SynThal().pieces(MethodSettings())
    assert not found.ok and found.problem == "the weights are gone" and found.mend
