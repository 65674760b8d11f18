"""Cells of clinical tables: from text to a value in the unit of thalbids, or the reason why it is none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from thalbids.errors import UsageError
from thalbids.files import NOT_KNOWN, is_sheet_error
from thalbids.settings import Clinical, unknown_name

Value = float | str
SITES = ("site", "scanner", "centre", "center", "protocol")  # columns of the site, the first that is there is used
RANGES = {  # lowest, highest, step (0: any); the lowest of a timed test is excluded
    "age": (0.0, 120.0, 0.0),
    "disease_duration": (0.0, 100.0, 0.0),
    "edss": (0.0, 10.0, 0.5),
    "sdmt": (0.0, 110.0, 0.0),
    "t25fw": (0.0, math.inf, 0.0),
    "nhpt": (0.0, math.inf, 0.0),
    "icv_ml": (400.0, 2500.0, 0.0),
    "attacks": (0.0, 500.0, 1.0),
}
TIMED = ("t25fw", "nhpt")
UNITS = {  # factors to the unit of thalbids, which is the first
    "age": {"years": 1.0, "months": 1 / 12, "days": 1 / 365.25},
    "disease_duration": {"years": 1.0, "months": 1 / 12, "weeks": 7 / 365.25, "days": 1 / 365.25},
    "t25fw": {"s": 1.0, "ms": 1e-3, "min": 60.0},
    "nhpt": {"s": 1.0, "ms": 1e-3, "min": 60.0},
    "icv_ml": {"mL": 1.0, "mm3": 1e-3, "L": 1e3},
}
TRUE, FALSE = ("1", "1.0", "true", "yes", "y", "t", "ja", "oui"), ("0", "0.0", "false", "no", "n", "f", "nein", "non")
FEMALE, MALE = ("f", "female", "w", "woman", "weiblich"), ("m", "male", "man", "männlich")
OTHER = ("o", "other", "d", "x", "divers")
GROUPS = {  # words of each diagnosis group, compared without case, blanks, hyphens and underscores
    "HC": ("hc", "healthy", "healthycontrol", "healthycontrols", "control", "controls", "con", "ctrl", "hv"),
    "RRMS": ("rrms", "rms", "relapsingremittingms", "relapsingremittingmultiplesclerosis"),
    "PMS": ("pms", "spms", "ppms", "progressivems", "secondaryprogressivems", "primaryprogressivems"),
    "isolated": ("ris", "cis", "ion", "isolated", "ris/cis/ion", "isolatedopticneuritis"),
    "NMOSD": ("nmosd", "nmo", "aqp4nmosd", "nmosdaqp4+", "nmosdaqp4"),
    "MOGAD": ("mogad", "mog"),
}
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
COMMA_HINT = "; for numbers with a decimal comma give a file by --config: [clinical] decimal_comma = true"
_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)


class NotAValueError(Exception):
    """The reason why a cell cannot be used, in words."""


@dataclass(frozen=True)
class Reader:
    """Reads cells by the settings ``[clinical]``."""

    missing: frozenset[str]
    missing_numbers: frozenset[float]
    decimal_comma: bool
    factors: Mapping[str, float]
    words: Mapping[str, Mapping[str, str | float]]

    @classmethod
    def of(cls, settings: Clinical) -> Reader:
        """The reader of these settings.

        Raises
        ------
        UsageError
            A unit is unknown, or a diagnosis is in two groups.
        """
        codes = frozenset(_plain(code) for code in (*NOT_KNOWN, *settings.missing_codes))
        numbers = frozenset(float(code) for code in settings.missing_codes if _NUMBER.fullmatch(code))
        words: dict[str, Mapping[str, str | float]] = {
            "steroid": _words({1.0: (*TRUE, *settings.true_words), 0.0: (*FALSE, *settings.false_words)}),
            "sex": _words({"F": (*FEMALE, *settings.female_words), "M": (*MALE, *settings.male_words), "O": OTHER}),
            "diagnosis": _groups(settings.diagnosis_groups),
        }
        return cls(codes, numbers, settings.decimal_comma, _factors(settings.units), words)

    def is_missing(self, text: str | None) -> bool:
        """Whether a cell means "not known"."""
        if text is None or _plain(text) in self.missing or is_sheet_error(text):
            return True
        return bool(self.missing_numbers and _NUMBER.fullmatch(text)) and float(text) in self.missing_numbers

    def value(self, variable: str, text: str) -> Value:
        """The value of a cell that is not missing.

        Raises
        ------
        NotAValueError
            The text is no value of this variable.
        """
        if variable == "acq_time":
            return date(text)
        if variable == "diagnosis":
            return str(self.words["diagnosis"].get(squeezed(text), text))
        if variable in self.words:
            meaning = self.words[variable].get(_plain(text))
            if meaning is None:
                known = "F, M or O" if variable == "sex" else "yes or no"
                raise NotAValueError(f"is not {known}; further words are a setting")
            return meaning
        if variable in (*SITES, "rescan_of"):
            return text
        return self._number(variable, text)

    def is_number(self, text: str) -> bool:
        """Whether a cell is a number."""
        return bool(_NUMBER.fullmatch(text) or (self.decimal_comma and _COMMA.fullmatch(text)))

    def number(self, text: str) -> float:
        """Any finite number.

        Raises
        ------
        NotAValueError
            The text is none.
        """
        if not self.is_number(text):
            hint = COMMA_HINT if _COMMA.fullmatch(text) else ""
            raise NotAValueError(f"is not a number{hint}")
        value = float(text.replace(",", "."))
        if not math.isfinite(value):
            raise NotAValueError("is out of range")
        return value

    def _number(self, variable: str, text: str) -> float:
        kind = variable.split("_")[0] if variable.startswith(TIMED) else variable
        value = self.number(text) * self.factors.get(kind, 1.0)
        low, high, step = RANGES[kind]
        if not low <= value <= high or (kind in TIMED and value <= 0) or not math.isfinite(value):
            allowed = "above 0" if kind in TIMED else f"from {low:g} to {high:g}"
            raise NotAValueError(f"is out of range ({allowed})")
        if step and value % step:
            raise NotAValueError(f"is not a multiple of {step:g}")
        return value


def date(text: str) -> str:
    """A date of ISO 8601, with or without time, fractions of a second and time zone (then as UTC), as ISO text.

    Raises
    ------
    NotAValueError
        The text is no such date.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise NotAValueError("is not a date such as 2024-05-31 or 2024-05-31T10:30:00") from None
    return moment.isoformat()


def days_between(first: str, second: str) -> float:
    """Days from the first to the second date of `date`."""
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds() / 86400


def squeezed(text: str) -> str:
    """A diagnosis for comparing: no case, blanks, hyphens, underscores."""
    return re.sub(r"[\s_\-\u2010-\u2015]+", "", text).casefold()


def _plain(text: str) -> str:
    return text.strip().casefold()


def _words(groups: Mapping[str | float, tuple[str, ...]]) -> dict[str, str | float]:
    return {_plain(word): value for value, words in groups.items() for word in words}


def _groups(groups: Mapping[str, tuple[str, ...]]) -> dict[str, str | float]:
    """Diagnosis to group; a group's name belongs to it, and the user's groups win over the built-in ones."""
    group_of: dict[str, str | float] = {word: name for name, words in GROUPS.items() for word in words}
    given: dict[str, str] = {}
    for name, words in groups.items():
        for word in (name, *words):
            if given.setdefault(squeezed(word), name) != name:
                problem = f"clinical.diagnosis_groups: {word!r} is in two groups."
                raise UsageError(problem, "Keep it in one of them.")
    return group_of | given


def _factors(units: Mapping[str, str]) -> dict[str, float]:
    factors = {}
    for variable, unit in units.items():
        if variable not in UNITS:
            raise unknown_name("variable in clinical.units", variable, UNITS)
        if unit not in UNITS[variable]:
            raise unknown_name(f"unit of {variable} in clinical.units", unit, UNITS[variable])
        factors[variable] = UNITS[variable][unit]
    return factors
