"""All sessions of a person are read, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.unit.participant.test_kinds_of_methods import added, settings  # noqa: F401
from thalbids.engine.step import check_plan
from thalbids.methods import registry
from thalbids.participant.plan import plan, steps_of
from thalbids.participant.stages.person import together
from thalbids.types import InputImage, Session


def sessions(*labels: str) -> list[Session]:
    t1w = {"T1w": InputImage(Path("/raw/T1w.nii.gz"), "bids:raw:T1w.nii.gz", "T1w")}
    return [Session("01", label, t1w) for label in labels]


def reasons(asked: list[Session], every: list[Session]) -> set[str]:
    choice = registry.chosen(settings())
    subjects = plan(asked, Path("/out"), choice.methods, settings(), every, choice.runnable)
    check_plan(steps_of(subjects))
    return {mask.reason for one in subjects[0].sessions for mask in one.masks if mask.family == "longnet"}


def test_all_sessions_of_a_person_are_read_or_none() -> None:
    every = sessions("1", "2")
    assert reasons(every, every) == {""}
    assert reasons(every[:1], every) == {together.ALL_SESSIONS}
    assert reasons(every[:1], every[:1]) == {together.ONE_SESSION}
    broken = [every[0], replace(every[1], problem="no T1w")]
    assert reasons(broken, broken) == {together.ONE_SESSION}
