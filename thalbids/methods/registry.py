"""All methods by name, and which of them a run takes.

A new one is a file in this folder and a line in ``__init__.py``, or an entry point of the group ``thalbids.methods``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from thalbids import families
from thalbids.bids.results import names
from thalbids.errors import MissingToolError, NoInputError, UsageError
from thalbids.methods.base import Method, own_settings, trait
from thalbids.settings import Settings, unknown_name

SLOW_MINUTES = 30.0
LEFT_OUT, GIVEN = "left out", "results that are given"  # how notes begin


@dataclass(frozen=True)
class Choice:
    """What a run does.

    Attributes
    ----------
    methods : in the order of the tables
    runnable : families that are run where a session has no result yet; of the others only results are taken
    notes : per family how it comes about, or why it is left out, in words
    kept : families that are not computed in this run; masks of an earlier run that are still current stay in the tables
    """

    methods: tuple[Method, ...]
    runnable: frozenset[str]
    notes: Mapping[str, str]
    kept: frozenset[str] = frozenset()

    def summary(self) -> list[str]:
        """The notes in two lines for the terminal: what is taken, and what is left out for which reason."""
        taken, left = [], dict[str, list[str]]()
        for name, note in self.notes.items():
            kind, _, reason = note.partition(": ")
            if kind == LEFT_OUT:
                left.setdefault(reason.partition(". ")[0].partition(", which is left out")[0].rstrip("."), []).append(
                    name
                )
            else:
                taken.append(f"{name} ({'given results' if kind.startswith(GIVEN) else note})")
        lines = [f"methods: {', '.join(taken)}"] if taken else []
        told = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in left.items())
        return [*lines, f"left out: {told}. How to get them: thalbids doctor"] if told else lines


def methods() -> Mapping[str, Method]:
    """Every known method by family name; built-in ones cannot be replaced by a plug-in.

    Raises
    ------
    MissingToolError
        A plug-in cannot be loaded.
    """
    known, _, broken = families.loaded()
    for entry in broken:
        problem = f"the method {entry.name} of the package {entry.package} cannot be loaded ({entry.error!r})."
        mend = f"Fix that package, or uninstall it: pip uninstall {entry.package}"
        raise MissingToolError(problem, mend) from entry.error
    return known


def chosen(settings: Settings) -> Choice:
    """The methods of a run; ``auto`` takes all that can run here or that results are given of.

    Raises
    ------
    UsageError
        A name is unknown, or a brain mask shall be given and is not.
    MissingToolError
        Something that was asked for by name cannot run here.
    """
    check_given(settings.inputs.derivatives)
    picking = _Picking(settings)
    for name in settings.methods.names:
        if name != "auto" and name not in picking.known:
            raise unknown_name("method", name, ["auto", *picking.known])
    named = [name for name in picking.known if name in settings.methods.names]
    for name in named:
        picking.take(name, "it was asked for by name")
    if "auto" in settings.methods.names:
        for name in picking.known:
            if name not in picking.notes:
                picking.take(name, "")
    source = settings.brain.source
    if source == "given" and "brain" not in settings.inputs.derivatives:
        raise UsageError("[brain] source is 'given', but no brain masks are.", "Add --derivatives brain=PATH.")
    if source not in ("auto", "given", families.embedded()) and source not in picking.picked:
        picking.take(source, "[brain] source names it")
    return Choice(
        tuple(method for name, method in picking.known.items() if name in picking.picked),
        frozenset(picking.runnable),
        picking.notes,
    )


def with_earlier(choice: Choice, settings: Settings, earlier: Collection[str]) -> Choice:
    """The choice with the families of earlier runs whose masks are there and can be planned here, to look them up."""
    chosen_families = {method.family for method in choice.methods}
    picking = _Picking(settings)
    for name in picking.known:
        if name in earlier and name not in chosen_families:
            with suppress(MissingToolError):  # what made it is not here: nobody can tell whether it is current
                picking.take(name, "an earlier run made it")
    kept = frozenset(picking.picked & set(earlier) - chosen_families)
    return replace(
        choice,
        methods=tuple(method for name, method in picking.known.items() if name in chosen_families | kept),
        runnable=choice.runnable | (picking.runnable & kept),
        kept=kept,
    )


class _Picking:
    """Takes one method after the other, each with what it builds on."""

    def __init__(self, settings: Settings):
        self.settings, self.known = settings, methods()
        self.picked: set[str] = set()
        self.runnable: set[str] = set()
        self.notes: dict[str, str] = {}

    def take(self, name: str, why: str) -> bool:
        """Take a method; one that somebody asked for (``why``) and that cannot be had is an error."""
        if name in self.picked:
            return True
        method = self.known[name]
        settings = own_settings(method, self.settings)
        slow = getattr(method, "only_by_name", "") if not why else ""
        reason = slow or trait(method, "blocked", settings)
        own_results = getattr(method, "results_given", lambda _: False)
        given = results_of(self.settings.inputs.derivatives, name) or bool(own_results(settings))
        if reason and not given:
            return self._leave_out(name, reason, why)
        needed = () if reason else trait(method, "builds_on", settings)  # results that are given need nothing
        for other in needed:
            if other != "brain" and not self.take(other, f"{name} builds on it" if why and not given else ""):
                reason = f"it builds on {other}, which is left out: {self.notes[other]}"
                if not given:
                    return self._leave_out(name, reason, why)
        self.picked.add(name)
        if reason:
            self.notes[name] = f"{GIVEN}; it is not run: {reason}"
        else:
            self.runnable.add(name)
            software = ", ".join(
                f"{s['Name']} {s.get('Version', '')}".strip() for s in trait(method, "software", settings)
            )
            self.notes[name] = (
                f"runs here{f' ({software})' if software else ''}{_lasting(trait(method, 'minutes', settings))}"
            )
        return True

    def _leave_out(self, name: str, reason: str, why: str) -> bool:
        if why:
            problem = f"method {name} cannot run ({why}): {reason.rstrip('.')}."
            raise MissingToolError(problem, "Leave it out of --methods, or fix this first.")
        self.notes[name] = f"{LEFT_OUT}: {reason}"
        return False


def _lasting(minutes: float | None) -> str:
    """How long a slow method takes, to be told before it starts."""
    if minutes is None or minutes < SLOW_MINUTES:
        return ""
    told = f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.0f} min"
    return f"; about {told} a session on one thread"


def check_given(places: Mapping[str, Path]) -> None:
    """Refuse a name in ``--derivatives`` that nothing reads, and a folder of a program's results that an option of its
    own reads: every row would be missing without a word.

    Raises
    ------
    UsageError
        A name is no method or mask of one, and none of ``brain``, ``icv``, ``maps``, ``siena``, ``manual``
        (``manual2`` ...); or the folder holds ``SUBJECT/mri/``.
    """
    every = methods()
    known = {"brain", "icv", "manual", "maps", "siena", *every}
    known |= {method.desc for method in names.methods(every) if len(method.images) == 1}
    spelled = {name.lower() for name in known}
    for name, place in places.items():
        if name.lower() not in spelled and not name.lower().startswith("manual"):
            raise unknown_name("name in --derivatives", name, known)
        options = [option.option for option in families.of(name.lower()).options if option.metavar == "DIR"]
        described = (place / "dataset_description.json").is_file()
        if options and not described and next(place.glob("*/mri/*.mgz"), None) is not None:
            problem = f"--derivatives {name}=: a program's own results (SUBJECT/mri) are there, and no BIDS dataset."
            whose = families.of(name.lower()).label
            mend = f"Results of {whose} are given by {options[0]}; --derivatives takes a BIDS derivative dataset."
            raise UsageError(problem, mend, place)


def check_places(given: Mapping[str, Path | None]) -> None:
    """Refuse a place of given results that does not exist: every session would lack them without a word.

    Raises
    ------
    NoInputError
        The place is not there.
    """
    for name, path in given.items():
        if path is not None and not path.exists():
            raise NoInputError(f"the results given as {name} are not there.", "Check the path; nothing was done.", path)


def check_options(settings: Settings) -> None:
    """Refuse a file or folder that an option of a method names and that does not exist, also where the method does not
    run: what was named on purpose shall not be ignored without a word.

    Raises
    ------
    NoInputError
        A folder of results is not there.
    MissingToolError
        A file (a licence) is not there.
    """
    for entry in families.known().values():
        for option in entry.options:
            table, _, key = option.setting.rpartition(".")
            path = getattr(settings.of(families.tables()[table]), key)
            if path is None or path.exists():
                continue
            kind = MissingToolError if option.metavar == "FILE" else NoInputError
            raise kind(f"{option.option}: it is not there.", "Check the path; nothing was done.", path)


def results_of(places: Iterable[str], family: str) -> bool:
    """Whether ``--derivatives`` names results of this family, or of one of its images (``mindglideT1w``)."""
    known = {family, *(method.desc.lower() for method in names.methods([family]) if method.family == family)}
    return any(key.lower() in known for key in places)
