"""Typed parameters: what of them is recorded, and under which names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from thalbids.engine.fingerprint import Digests, fingerprint
from thalbids.engine.params import IF_SET, LOCAL, Params, camel
from thalbids.engine.step import Done, Inputs, Outputs, Step, Upstream


@dataclass(frozen=True)
class Inner(Params):
    some_uri: str


@dataclass(frozen=True)
class Smoothing(Params):
    kind = "smoothing"
    t1w_uri: str
    widths: tuple[float, ...]
    units: object
    parts: dict[str, Inner]
    rejected: tuple[str, ...] = field(default=(), metadata=IF_SET)
    threads: int = field(default=1, metadata=LOCAL)


OWN = Smoothing("bids::x", (1.0, 2.0), None, {"a": Inner("bids::y")})


def nothing(inputs: Inputs, outputs: Outputs, params: Smoothing, upstream: Upstream) -> Done:
    return Done()


def test_fields_are_recorded_in_camel_case_as_they_are_marked() -> None:
    recorded = {"T1wUri": "bids::x", "Widths": [1.0, 2.0], "Units": None, "Parts": {"a": {"SomeUri": "bids::y"}}}
    assert OWN.to_json() == recorded
    assert replace(OWN, threads=8).to_json() == recorded
    assert replace(OWN, rejected=("ants",)).to_json() == {**recorded, "Rejected": ["ants"]}
    assert [camel(name) for name in ("t1w_uri", "seed")] == ["T1wUri", "Seed"]


def test_a_record_has_the_fingerprint_of_its_json(tmp_path: Path) -> None:
    def of(params: object) -> str:
        step = Step("s", "s", nothing, {}, {"x": tmp_path / "x.tsv"}, params)  # type: ignore[arg-type]
        return fingerprint(step, tmp_path, Digests(), {}, {})

    assert of(OWN) == of(OWN.to_json()) == of(replace(OWN, threads=8)) != of(replace(OWN, units="1/s"))
    assert Step("s", "s", nothing, {}, {"x": tmp_path / "x.tsv"}, OWN).kind == "smoothing"
