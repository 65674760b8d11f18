"""What is checked of given results, and of the paths of programs, before a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from thalbids import families
from thalbids.engine.step import Step
from thalbids.errors import NoInputError, ThalbidsError, some
from thalbids.methods.base import own_settings
from thalbids.methods.registry import Choice, results_of
from thalbids.participant.stages.session.label_maps import ToolRunParams
from thalbids.settings import Settings
from thalbids.types import Session


def check_results(
    sessions: Sequence[Session], every: Sequence[Session], choice: Choice, settings: Settings
) -> list[str]:
    """What there is to say when a folder of a program's results holds not one of the sessions.

    Raises
    ------
    NoInputError
        The same, the method is asked for by name, and its results are not given or made in another way.
    """
    usable = [session for session in sessions if session.problem is None and "T1w" in session.images]
    single, told = alone(every), []
    for family, method in families.methods().items():
        place = (
            method.results_root(own_settings(method, settings)) if usable and hasattr(method, "results_root") else None
        )
        if place is None or any(_in_results(method, settings, one, single) for one in usable):
            continue
        names = [session.name for session in usable[:3]]
        people = dict.fromkeys(session.subject for session in usable if session.session)
        names += [f"sub-{person}" for person in people if person in single][:1]
        label = families.of(family).label
        problem = f"the folder of {label} results holds no session of this run (looked for: {', '.join(names)}, ...)."
        unclear = [f"sub-{person}" for person in people if person not in single and (place / f"sub-{person}").exists()]
        if unclear:
            problem += f" {some(unclear)} may be of any session: name each as in {names[0]}, or link it by such a name."
        elsewhere = family in choice.runnable or results_of(settings.inputs.derivatives, family)
        if family in settings.methods.names and not elsewhere:
            option = next(
                (option_of.option for option_of in families.of(family).options if option_of.metavar == "DIR"),
                "the folder",
            )
            raise NoInputError(problem, f"Check {option} and the names of the folders in it.", place)
        told.append(f"{place.name}: {problem}")
    return told


def check_paths(planned: Sequence[Step]) -> None:
    """Refuse paths that a program with a folder of results of its own cannot work with: it would fail in every session.

    Raises
    ------
    ThalbidsError
        There is such a path.
    """
    for step in planned:
        if isinstance(step.params, ToolRunParams) and not step.look_up:
            method: Any = families.methods()[step.params.family]
            method.check_paths([path for path in (*step.inputs.values(), *step.outputs.values()) if path is not None])


def alone(every: Sequence[Session]) -> set[str]:
    """The subjects with one session."""
    return {subject for subject, n in Counter(session.subject for session in every).items() if n == 1}


def _in_results(method: Any, settings: Settings, session: Session, single: set[str]) -> bool:
    """Whether results of a session are there, also such as cannot be used: the plan says why."""
    try:
        return method.results(own_settings(method, settings), session, alone=session.subject in single) is not None
    except ThalbidsError:
        return True
