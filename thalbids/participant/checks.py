"""What is checked of given results before a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from thalbids.errors import NoInputError, ThalbidsError
from thalbids.methods.registry import Choice, results_of
from thalbids.settings import Settings
from thalbids.types import Session


def check_freesurfer(
    sessions: Sequence[Session], every: Sequence[Session], choice: Choice, settings: Settings
) -> list[str]:
    """What there is to say when the subjects directory holds not one of the sessions.

    Raises
    ------
    NoInputError
        The same, FreeSurfer is asked for by name, and its results are not given or made in another way.
    """
    place = settings.tools.freesurfer.subjects_dir
    usable = [session for session in sessions if session.problem is None and "T1w" in session.images]
    if place is None or not usable:
        return []
    single = alone(every)
    if any(_in_freesurfer(place, session, alone=session.subject in single) for session in usable):
        return []
    names = [session.name for session in usable[:3]]
    names += [f"sub-{usable[0].subject}"] if usable[0].session else []
    problem = f"the FreeSurfer subjects directory holds no session of this run (looked for: {', '.join(names)}, ...)."
    elsewhere = "freesurfer" in choice.runnable or results_of(settings, "freesurfer")
    if "freesurfer" in settings.methods.names and not elsewhere:
        raise NoInputError(problem, "Check --fs-subjects-dir and the names of the folders in it.", place)
    return [f"{place.name}: {problem}"]


def alone(every: Sequence[Session]) -> set[str]:
    """The subjects with one session."""
    return {subject for subject, n in Counter(session.subject for session in every).items() if n == 1}


def _in_freesurfer(place: Path, session: Session, *, alone: bool) -> bool:
    """Whether results of a session are there, also such as cannot be used: the plan says why."""
    from thalbids.tools import freesurfer

    try:
        return freesurfer.find(place, session.subject, session.session, only_session=alone) is not None
    except ThalbidsError:
        return True
