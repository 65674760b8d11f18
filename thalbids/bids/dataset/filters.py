"""``--bids-filter-file`` as fMRIPrep's: which image of each kind is wanted, by entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thalbids.errors import MetadataError, UsageError
from thalbids.files import read_json
from thalbids.types import RAW_SUFFIXES

DATATYPES = {suffix: datatype for datatype, suffixes in RAW_SUFFIXES.items() for suffix in suffixes}  # of raw qMRI
KEYS = {"t1w": "T1w", "flair": "FLAIR", "r1map": "R1map", "t1map": "T1map", "t2w": "T2w"} | {
    suffix.lower(): suffix for suffix in DATATYPES
}
LONG_NAMES = {  # pybids' and BIDS' long names, and the keys of file names
    "subject": "sub",
    "session": "ses",
    "task": "task",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "echo": "echo",
    "flip": "flip",
    "inversion": "inv",
    "mt": "mt",
    "part": "part",
    "processing": "proc",
    "proc": "proc",
    "chunk": "chunk",
}
_SHORT_NAMES = frozenset(LONG_NAMES.values())
_NUMBERS = frozenset({"run", "echo", "flip", "inv", "chunk"})  # run 1 is run-01
_ANY = "*"


@dataclass(frozen=True)
class Filters:
    """The wanted entities (short names) of each suffix, and of subjects and sessions as a whole."""

    by_suffix: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @staticmethod
    def of(filters: Mapping[str, Mapping[str, object]] | None) -> Filters:
        """Check and translate the content of a filter file.

        Raises
        ------
        UsageError
            An unknown key or entity, or a value that is neither text, number, null nor a list of them.
        """
        checked: dict[str, Mapping[str, object]] = {}
        for key, entities in (filters or {}).items():
            if key not in KEYS:
                raise UsageError(f"the filter has an unknown key {key!r}.", f"Known: {', '.join(KEYS)}.")
            if not isinstance(entities, Mapping):
                raise UsageError(f"the filter's {key!r} is not an object.", 'Write {"entity": "value"}.')
            checked[KEYS[key]] = {
                _short(key, name): value for name, value in entities.items() if _kept(key, name, value)
            }
        return Filters(checked)

    def entities(self, suffix: str) -> Mapping[str, object]:
        """What the file names of this suffix must hold, besides sub and ses."""
        wanted = self.by_suffix.get(suffix, {})
        return {name: value for name, value in wanted.items() if name not in ("sub", "ses")}

    def keeps(self, entity: str, label: str | None) -> bool:
        """Whether the filter of the T1w leaves this subject or session in (as in fMRIPrep, it decides for all)."""
        wanted = self.by_suffix.get("T1w", {})
        name = LONG_NAMES[entity]
        return name not in wanted or _fits(name, label, wanted[name])


def read_filters(path: Path | str) -> dict[str, Mapping[str, object]]:
    """The content of a filter file, checked.

    Raises
    ------
    UsageError
        The file is missing or not JSON, or says something that thalbids does not know.
    """
    try:
        content = read_json(path)
        Filters.of(content)
    except MetadataError as error:
        raise UsageError(error.problem, error.mend, error.path) from None
    except UsageError as error:
        raise UsageError(error.problem, error.mend, path) from None
    return content


def matches(entities: Mapping[str, str], extension: str, wanted: Mapping[str, object]) -> bool:
    """Whether a file passes: null wants the entity absent, ``*`` wants any value, a list wants one of its values."""
    values = {**entities, "extension": extension}
    return all(_fits(name, values.get(name), value) for name, value in wanted.items())


def _fits(name: str, value: str | None, wanted: object) -> bool:
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_fits(name, value, item) for item in wanted)
    if wanted is None or value is None:
        return wanted is None and value is None
    if wanted == _ANY:
        return True
    text = str(wanted).removeprefix(f"{name}-")
    if name == "extension":
        return value.lstrip(".") == text.lstrip(".")
    if name in _NUMBERS and value.isdecimal() and text.isdecimal():
        return int(value) == int(text)
    return value == text


def _short(key: str, name: str) -> str:
    if name in LONG_NAMES:
        return LONG_NAMES[name]
    if name in _SHORT_NAMES or name == "extension":
        return name
    known = ", ".join([*LONG_NAMES, "extension", "suffix", "datatype"])
    raise UsageError(f"the filter's {key!r} has an unknown entity {name!r}.", f"Known: {known}.")


def _kept(key: str, name: str, value: object) -> bool:
    """Check a value; suffix and datatype may be there, as in fMRIPrep's files, but cannot change anything."""
    values = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not (item is None or isinstance(item, (str, int))) for item in values):
        raise UsageError(f"the filter's {key!r}, {name!r} has a value that is no text.", "Write text, null or a list.")
    fixed = {"suffix": KEYS[key], "datatype": DATATYPES.get(KEYS[key], "anat")}
    if name not in fixed:
        return True
    if values != [fixed[name]]:
        problem = f"the filter's {key!r} asks for {name} {value!r}; it is always {fixed[name]!r}."
        raise UsageError(problem, "Leave it out, or use another key.")
    return False
