"""What is said of a run before it starts, and of a dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from thalbids.engine.step import Step
from thalbids.errors import some
from thalbids.methods.registry import LEFT_OUT, Choice
from thalbids.participant import foreseen
from thalbids.participant.session import REGISTERED, SessionPlan, SubjectPlan
from thalbids.participant.stages.session.masks import STALE
from thalbids.registration.strategies import note_on
from thalbids.settings import Settings
from thalbids.types import Session

NOTE = "  note: "


def notes(choice: Choice, settings: Settings, more: Sequence[str], subjects: Sequence[SubjectPlan]) -> Iterator[str]:
    """What is said before the first step: methods, how images are registered, ``more``, masks that are out of date."""
    yield from choice.summary()
    registered: dict[str, list[str]] = {}
    present = {image for subject in subjects for plan in subject.own for image in plan.others}
    for image in (image for image in REGISTERED if image in present):
        registered.setdefault(note_on(image, settings), []).append(image)
    yield from (f"{', '.join(images)}: {note}" for note, images in registered.items() if note)
    yield from more
    yield from stale(subjects)
    sessions = [plan.session for subject in subjects for plan in subject.own]
    everywhere = common_notes(sessions)
    yield from (f"every session: {note}" for note in everywhere)
    yield from (f"{session.name}: {note}" for session in sessions for note in session.notes if note not in everywhere)


def common_notes(sessions: Sequence[Session]) -> list[str]:
    """The notes that every one of several sessions has: they are said once."""
    usable = [session for session in sessions if session.problem is None]
    return [note for note in usable[0].notes if all(note in s.notes for s in usable)] if len(usable) > 1 else []


def stale(subjects: Iterable[SubjectPlan]) -> list[str]:
    """Which masks in the output folder are in no table, as this run cannot tell whether they are current."""
    masks = (mask for subject in subjects for plan in subject.own for mask in plan.masks)
    counts = Counter(mask.desc for mask in masks if mask.reason == STALE)
    named = ", ".join(f"{desc} ({n} session{'s' * (n > 1)})" for desc, n in counts.items())
    told = "masks of earlier runs that this run cannot check stay in the folder and count as missing"
    return [f"{told}: {named}"] if named else []


def results_of_removed_images(subjects: Iterable[SubjectPlan]) -> list[str]:
    """A warning about images that were registered once and that the dataset does not have any more."""
    gone = [
        f"{plan.name} {image}"
        for subject in subjects
        for plan in subject.own
        for image in REGISTERED
        if plan.usable and image not in plan.images and plan.registered(image).is_file()
    ]
    what = "Tables and pages leave them out; delete their files where consent was withdrawn."
    return [f"results of images that are not in the dataset any more: {some(gone, 10)}. {what}"] if gone else []


def dry_run(people: Iterable[tuple[SubjectPlan, Sequence[Step]]], choice: Choice, seen: foreseen.Foreseen) -> str:
    """The plan for reading: per session what is there, what is missing, which mask comes from where, what would run.

    Plans, with their steps, are looked at one after the other and dropped; ``seen`` keeps what is known of all.
    """
    lines = [f"methods: {', '.join(m.family for m in choice.methods if m.family not in choice.kept)}"]
    lines += [f"  {name}: {note}" for name, note in choice.notes.items() if not note.startswith(LEFT_OUT)]
    left = [name for name, note in choice.notes.items() if note.startswith(LEFT_OUT)]
    lines += [f"  left out: {', '.join(left)}. Why, and how to get them: thalbids doctor"] if left else []
    number = 0
    planned: list[str] = []
    for subject, steps in people:
        seen.add(subject.own, steps)
        planned += _person(subject, steps)
        number += len(steps)
    everywhere = common_notes(seen.sessions)
    lines += [f"every session: {note}" for note in everywhere]
    said = {f"{NOTE}{note}" for note in everywhere}
    lines += [line for line in planned if line not in said]
    lines += seen.last_lines
    earlier = f" ({seen.done} of them have results here, of an earlier run)" if seen.done else ""
    sessions = len(seen.sessions)
    lines.append(
        f"{sessions} session{'s' * (sessions != 1)}, {seen.broken} of them cannot be processed, "
        f"{number} steps{earlier}. Nothing was run."
    )
    return "\n".join(lines)


def _person(subject: SubjectPlan, steps: Sequence[Step]) -> Iterator[str]:
    by_session: dict[str, list[str]] = {}
    for step in steps:
        by_session.setdefault(step.session, []).append(step.name.removeprefix(f"{step.session} "))
    for plan in subject.own:
        yield from _session(plan)
        yield f"  steps: {', '.join(by_session.get(plan.name, ()))}"


def _session(plan: SessionPlan) -> Iterator[str]:
    yield plan.name
    if plan.session.problem:
        yield f"  cannot be processed: {plan.session.problem}"
    closed = foreseen.unreadable(plan)
    for name, image in plan.session.images.items():
        problem = image.problem or closed.get(name)
        yield f"  {name}: {f'cannot be used: {problem}' if problem else image.uri}"
    yield from (f"{NOTE}{note}" for note in plan.session.notes)
    yield from (f"  {what}: {whence}" for what, whence in plan.origins.items())
    absent = (mask for mask in plan.masks if mask.step is None and not mask.reason.startswith("the session has no"))
    yield from (f"  {mask.desc}: missing, {mask.reason}" for mask in absent)
