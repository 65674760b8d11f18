"""All sessions of a person are read, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.participant.test_kinds_of_methods import added, settings  # noqa: F401
from thalbids.engine.step import check_plan
from thalbids.files import write_json
from thalbids.image.io import save_image
from thalbids.methods import registry
from thalbids.methods.base import LabelMap, Request
from thalbids.participant.plan import plan, steps_of
from thalbids.participant.stages.person import together
from thalbids.types import InputImage, Session


def sessions(*labels: str) -> list[Session]:
    t1w = {"T1w": InputImage(Path("/raw/T1w.nii.gz"), "bids:raw:T1w.nii.gz", "T1w")}
    return [Session("01", label, t1w) for label in labels]


def reasons(asked: list[Session], every: list[Session]) -> set[str]:
    choice = registry.chosen(settings())
    subjects = list(plan(asked, Path("/out"), choice.methods, settings(), every, choice.runnable))
    check_plan(steps_of(subjects))
    return {mask.reason for one in subjects[0].sessions for mask in one.masks if mask.family == "longnet"}


def test_all_sessions_of_a_person_are_read_or_none() -> None:
    every = sessions("1", "2")
    assert reasons(every, every) == {""}
    assert reasons(every[:1], every) == {together.ALL_SESSIONS}
    assert reasons(every[:1], every[:1]) == {together.ONE_SESSION}
    broken = [every[0], replace(every[1], problem="no T1w")]
    assert reasons(broken, broken) == {together.ONE_SESSION}


class LeavesOneOut:
    """A method that does not believe its third session."""

    family, images = "longnet", ("T1w",)

    def __init__(self, failing: str = "") -> None:
        self.failing = failing

    def session_maps(self, requests: Mapping[str, Request]) -> tuple[dict[str, LabelMap], dict[str, str]]:
        labels = np.full((8, 8, 8), 10)
        kept = [name for name in requests if name != "c"]
        maps = {name: LabelMap(labels, {10: "left"}, {"Visits": kept}) for name in kept if name != self.failing}
        return maps, dict.fromkeys(set(requests) - set(maps), "why")


@pytest.mark.parametrize(("failing", "again"), [("", False), ("b", True)])
def test_a_session_left_out_knowingly_is_no_source_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, again: bool
) -> None:
    inputs: dict[str, Path | None] = {}
    for name in "abc":
        image, seen = tmp_path / f"{name}.nii.gz", tmp_path / f"{name}.json"
        save_image(np.arange(512, dtype=np.float32).reshape(8, 8, 8), np.eye(4), image)
        write_json(seen, {"ThalamiCentreMm": [1, 1, 1]})
        inputs |= {f"{name} image T1w": image, f"{name} seen": seen}
    monkeypatch.setattr(registry, "methods", lambda: {"longnet": LeavesOneOut(failing)})
    visits = {name: together.Visit({"T1w": "x"}, (f"bids::{name}",), f"bids::{name}") for name in "abc"}
    outputs = {key: tmp_path / f"{key}.nii.gz" for key in "abc"} | {f"{k} table": tmp_path / f"{k}.tsv" for k in "abc"}
    done = together.session_maps(inputs, outputs, together.SessionMapsParams("longnet", visits, {}), {})
    assert done.sidecars["a"]["Sources"] == ["bids::a", "bids::b"]
    assert done.sidecars["a"]["Description"] == "All labels of longnet on 2 sessions together."
    assert done.partial is again
    assert done.sidecars["record"]["Failed"]["c"] == "why"
