from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tests.unit.engine.tiny_steps import join, statuses
from thalbids.engine.fingerprint import Digests, file_sha256, fingerprint, json_sha256, relative
from thalbids.engine.step import Step, StepResult, recorded_as


def of(step, out, versions=None, upstream=None):
    return fingerprint(step, out, Digests(), versions or {"thalbids": "1"}, upstream or {})


@pytest.fixture
def step(out, raw):
    return Step("s", "sub-1", join, {"in": raw, "not": None}, {"out": out / "x.txt"}, {"a": 1, "b": [1.5, None]})


def test_file_digest_is_that_of_its_bytes(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(data)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_json_digest_does_not_depend_on_order_or_tuples():
    assert json_sha256({"a": 1, "b": (1, 2)}) == json_sha256({"b": [1, 2], "a": 1})
    assert json_sha256({"a": 1}) != json_sha256({"a": 1.5})
    with pytest.raises(TypeError):
        json_sha256({"a": object()})


def test_the_same_again(step, out):
    assert of(step, out) == of(step, out)


@pytest.mark.parametrize(
    "change",
    [
        lambda step, raw: replace(step, params={**step.params, "a": 2}),
        lambda step, raw: replace(step, function=statuses),
        lambda step, raw: replace(step, version=2),
        lambda step, raw: replace(step, outputs={"out": step.outputs["out"].with_name("y.txt")}),
        lambda step, raw: replace(step, inputs={"in": None, "not": None}),
        lambda step, raw: replace(step, inputs={"in": None, "not": raw}),
        lambda step, raw: raw.write_text("edited") and step,
        lambda step, raw: raw.unlink() or step,
    ],
    ids=["parameter", "function", "version", "outputs", "input gone", "input swapped", "input edited", "file gone"],
)
def test_every_cause_changes_it(step, out, raw, change):
    before = of(step, out)
    assert of(change(step, raw), out) != before


def test_versions_and_upstream_change_it(step, out):
    before = of(step, out)
    assert of(step, out, versions={"thalbids": "2"}) != before
    ends = [StepResult("u", "excluded", "why"), StepResult("u", "excluded", "other"), StepResult("u", "failed", "why")]
    assert len({before, *(of(step, out, upstream={"u": end}) for end in ends)}) == 4


def test_steps_that_ended_well_are_no_part_of_it(step, out):
    assert of(step, out, upstream={"u": StepResult("u", "ok")}) == of(step, out)


def test_a_spare_input_counts_only_where_another_is_not_there(step, out, raw, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("other")
    alone = replace(step, inputs={"in": raw})
    spare = replace(step, inputs={"in": raw, "2 in": other}, spare=("2 in",))
    assert of(spare, out) == of(alone, out)
    raw.unlink()
    assert of(spare, out) != of(alone, out)
    without = of(spare, out)
    other.write_text("edited")
    assert of(spare, out) != without


def test_memory_name_and_place_do_not_change_it(step, out, raw, tmp_path):
    before = of(step, out)
    assert of(replace(step, name="another", memory_gb=9), out) == before
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "raw2.txt").write_bytes(raw.read_bytes())
    elsewhere = replace(step, inputs={"in": moved / "raw2.txt", "not": None}, outputs={"out": moved / "x.txt"})
    assert of(elsewhere, moved) == before


def test_each_file_is_read_once(tmp_path):
    path = tmp_path / "x"
    path.write_text("one")
    digests = Digests()
    first = digests.get(path)
    path.write_text("two")
    assert digests.get(path) == first
    digests.put(path, None)
    assert digests.get(path) is None
    assert digests.get(tmp_path / "missing") is None
    assert digests.get(tmp_path) is None  # a folder


def test_relative_names(tmp_path):
    assert relative(tmp_path / "a" / "b.txt", tmp_path) == "a/b.txt"
    assert relative(tmp_path / "b.txt", tmp_path / "a") == "../b.txt"


def test_a_function_that_moved_keeps_the_name_that_records_hold(step, out):
    def moved(inputs, outputs, params, upstream): ...

    before = of(step, out)
    assert of(replace(step, function=moved), out) != before
    recorded_as(f"{join.__module__}.{join.__qualname__}")(moved)
    assert of(replace(step, function=moved), out) == before
