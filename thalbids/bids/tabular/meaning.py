"""What the JSON beside a clinical table says of its cells: ``Levels`` and ``Units``; and columns by their usual names.

A JSON that contradicts the settings is refused: one of the two is wrong, and nobody can guess which.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from thalbids.bids.dataset.sidecars import check_content
from thalbids.bids.tabular.values import FALSE, TIMED, UNITS, NotAValueError, Reader, squeezed
from thalbids.errors import MetadataError
from thalbids.files import read_json
from thalbids.settings import Clinical

_UNITS = {  # spellings of each unit, compared without case, blanks and dots
    "years": ("year", "years", "yr", "yrs", "y", "a", "annum"),
    "months": ("month", "months", "mo", "mos", "mon"),
    "weeks": ("week", "weeks", "wk", "wks", "w"),
    "days": ("day", "days", "d"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "min": ("min", "mins", "minute", "minutes"),
    "mL": ("ml", "milliliter", "milliliters", "millilitre", "millilitres", "cm3", "cm^3", "cc", "ccm"),
    "mm3": ("mm3", "mm^3", "cubicmm", "ul", "µl"),
    "L": ("l", "liter", "liters", "litre", "litres", "dm3", "dm^3"),
}
_ALSO_WORDS = ("ms", "min")  # the disease and the minimum, but for "in ms" and "(ms)"
_CODED = ("sex", "diagnosis", "steroid")  # variables of words, whose cells may be codes
_UNKNOWN = ("missing", "unknown", "notknown", "notavailable", "notapplicable", "nodata", "refused", "na", "n/a", "none")
# Other names that tables give our variables; they are named and not taken: a gender is no sex, a group may be an arm.
USUAL = {
    "sex": ("gender", "sexatbirth", "biologicalsex", "sexe", "geschlecht"),
    "age": ("ageyears", "ageatscan", "ageatvisit", "agescan", "ageatmri", "ageyrs", "alter"),
    "diagnosis": ("group", "dx", "diag", "phenotype", "mstype", "subtype", "disease", "cohort", "mscourse"),
    "disease_duration": ("diseaseduration", "dd", "duration", "msduration", "yearssinceonset", "diseasedurationyears"),
    "edss": ("edssscore", "edsstotal", "totaledss"),
    "sdmt": ("sdmtscore", "sdmttotal", "sdmtcorrect", "sdmtraw", "sdmtoral", "symboldigit"),
    "t25fw": ("t25w", "25fw", "25ftw", "timed25footwalk", "t25fwmean"),
    "nhpt": ("9hpt", "ninehole", "9hptmean", "nineholepegtest"),
    "steroid": ("steroids", "corticosteroids", "corticosteroid", "cortisone", "relapsetreatment"),
    "attacks": ("numberofattacks", "nattacks", "relapses", "numberofrelapses", "nrelapses"),
    "site": ("institute", "institution", "hospital"),
    "acq_time": ("date", "visitdate", "scandate", "mridate", "acqdate", "dateofvisit", "dateofscan"),
    "icv_ml": ("icv", "etiv", "tiv"),
}
_TOP_CODED = re.compile(r"(?:[<>\u2264\u2265]=?\s*)?(\d{1,3})\s*\+?")
_RANGE = re.compile(r"(\d{1,3})\s*(?:-|\u2013|to)\s*(\d{1,3})")


@dataclass
class Meaning:
    """Turns the cells of one table into what its JSON says that they mean.

    Attributes
    ----------
    levels : column -> cell -> its description
    counted : kind of repair -> how many cells
    doubts : warnings about what the JSON leaves open
    """

    reader: Reader
    shown: str
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    doubts: list[str] = field(default_factory=list)

    def text(self, column: str, variable: str, cell: str) -> str:
        """The text to read in place of a cell; "" for one that means missing."""
        described = self._described(column, cell)
        if described is not None:
            if variable == "steroid" and squeezed(described) == "none" and not self.reader.is_missing(cell):
                return FALSE[0]  # no steroids were given: that is known
            if squeezed(described) in _UNKNOWN:
                if variable == "diagnosis" and squeezed(described) == "none":
                    count = f"{column} hold the level {cell!r}, described as none, and count as missing; for people"
                    self.counted[f"{count} without the disease describe it as healthy control"] += 1
                return ""
            if variable in _CODED:
                cell = self._level(variable, cell, described)
        if variable == "age" and not self.reader.is_missing(cell):
            return self._age(column, cell)
        return cell

    def _described(self, column: str, cell: str) -> str | None:
        """What a cell means; 1.0 is the level 1: a column with missing cells is often written so."""
        levels = self.levels.get(column, {})
        if cell in levels or not self.reader.is_number(cell):
            return levels.get(cell)
        value = _as_number(cell)
        return next(
            (text for key, text in levels.items() if self.reader.is_number(key) and _as_number(key) == value), None
        )

    def notes(self) -> Iterator[str]:
        """What was read in a way that the user should know."""
        yield from self.doubts
        for what, times in self.counted.items():
            yield f"warning: {self.shown}: {times} cells of {what}."

    def _level(self, variable: str, cell: str, described: str) -> str:
        """The description where it says something that we know, else the cell where that does, else the description."""
        first = described.split()[0]
        for text in (described, first if len(first) > 2 else "", cell):
            try:
                self.reader.value(variable, text)
            except NotAValueError:
                continue
            if variable != "diagnosis" or squeezed(text) in self.reader.words["diagnosis"]:
                return text
        return described if variable == "diagnosis" else cell

    def _age(self, column: str, cell: str) -> str:
        """An age such as 89+ counts as 89, a range as its middle: privacy rules leave no more."""
        if (match := _RANGE.fullmatch(cell)) and int(match[1]) < int(match[2]):
            self.counted[f"{column} hold a range such as {cell!r}; its middle is used"] += 1
            return repr((int(match[1]) + int(match[2])) / 2)
        if (match := _TOP_CODED.fullmatch(cell)) and not cell.isdecimal():
            self.counted[f"{column} are cut such as {cell!r}; the number is used"] += 1
            return match[1]
        return cell


def meaning_of(
    table: Path, root: Path, shown: str, variables: Mapping[str, str], reader: Reader, settings: Clinical
) -> Meaning:
    """The meaning of a table's cells, by the JSON beside it or, for ``sub-X_sessions.tsv``, at the root.

    Parameters
    ----------
    variables : column -> our variable (``t25fw_1`` too)

    Raises
    ------
    MetadataError
        A unit is not understood, or JSON and settings contradict each other; the message has a line to paste.
    """
    content = _json_of(table, root)
    in_any_case = {name.casefold(): entry for name, entry in content.items()}
    levels: dict[str, dict[str, str]] = {}
    factors = dict(reader.factors)
    doubts: list[str] = []
    for column, variable in variables.items():
        entry = content.get(column, in_any_case.get(column.casefold()))  # the columns themselves may be in any case
        if not isinstance(entry, dict):
            continue
        entry = {str(key).casefold(): value for key, value in entry.items()}
        described = {str(cell): text for cell, text in _descriptions(entry.get("levels"))}
        if described:
            levels[column] = described
            _check_words(described, column, variable, reader, settings, table)
        kind = variable.split("_")[0] if variable.startswith(TIMED) else variable
        unit = str(entry.get("units") or entry.get("unit") or "").strip()
        if kind in UNITS and unit.lower() not in ("", "n/a"):
            factors[kind] = _factor(kind, unit, column, settings, table)
        elif kind in UNITS and kind not in settings.units:
            doubts += _unit_in_words(kind, column, shown, entry)
    return Meaning(replace(reader, factors=factors), shown, levels, doubts=doubts)


def usual_names(unused: Collection[str], columns: Collection[str]) -> list[str]:
    """Columns that probably are a variable that no table has, each with the line for the settings.

    ``unused`` are entries such as ``participants.tsv: gender``.
    """
    notes = []
    for where in unused:
        column = where.rpartition(": ")[2]
        variable, unit = _usual(column)
        if variable and variable not in columns:
            line = f'[clinical.rename] "{column}" = "{variable}"' + (
                f' and [clinical.units] {variable} = "{unit}"' if unit else ""
            )
            notes.append(f"warning: {where} is not used; no column is called {variable}. If it is that, set {line}")
    return notes


def _as_number(text: str) -> float:
    return float(text.replace(",", "."))


def _usual(column: str) -> tuple[str, str]:
    """The variable that a column probably is, and the unit that its name ends with where that is not ours; or ""s."""
    name = re.sub(r"[\s_\-.()]+", "", column).casefold()
    for variable, names in USUAL.items():
        if name in names:
            return variable, ""
        _, *others = UNITS.get(variable, {"": 1.0})
        for unit in others:
            stem = name.removesuffix(unit.casefold()).removesuffix("in")
            if name.endswith(unit.casefold()) and stem in (variable.replace("_", ""), *names):
                return variable, unit
    return "", ""


def _json_of(table: Path, root: Path) -> dict[str, Any]:
    """The data dictionary of a table; {} where there is none. A broken link is none that is absent."""
    for path in (table.with_suffix(".json"), root / f"{table.stem.rpartition('_')[2]}.json"):
        if os.path.lexists(path):
            check_content(path)
            return read_json(path)
    return {}


def _unit_in_words(kind: str, column: str, shown: str, entry: Mapping[str, object]) -> Iterator[str]:
    """A warning where a description, but no Units, names another unit than the one that is taken."""
    usual = next(iter(UNITS[kind]))
    told = " ".join(str(entry.get(key) or "") for key in ("longname", "description"))
    words = [word for word in re.findall(r"[^\W_]+", told) if word.casefold() not in _ALSO_WORDS]
    words += re.findall(rf"(?:\bin |[(\[])({'|'.join(_ALSO_WORDS)})\b(?! of\b)", told)
    named = {name for name in UNITS[kind] for word in words if len(word) > 1 and word.casefold() in _UNITS[name]}
    if named and usual not in named:
        unit = sorted(named)[0]
        line = f'[clinical.units] {kind} = "{unit}"'
        text = f"{shown}: {column} is read in {usual}, but its description speaks of {unit} and there are no Units"
        yield f"warning: {text}. If it is so, set {line}."


def _descriptions(levels: object) -> Iterator[tuple[str, str]]:
    """Cell and description of each level; BIDS allows a text, or an object with a Description."""
    if not isinstance(levels, dict):
        return
    for cell, text in levels.items():
        described = text.get("Description") if isinstance(text, dict) else text
        if isinstance(described, str) and described.strip():
            yield str(cell).strip(), described.strip()


def _check_words(
    levels: Mapping[str, str], column: str, variable: str, reader: Reader, settings: Clinical, table: Path
) -> None:
    """Refuse levels that say the opposite of the words in the settings, or exchange what words mean by themselves."""
    exchanged = [
        cell for cell in levels if not reader.is_number(cell) and _opposite(cell, levels[cell], variable, reader)
    ]
    if len({reader.words[variable][cell.casefold()] for cell in exchanged}) > 1:
        told = " and ".join(f"{cell!r} is {levels[cell]!r}" for cell in exchanged)
        mend = "Correct it; if the cells do mean this, write other codes than these words."
        raise MetadataError(f"{column}: {told} here, each what the other one says.", mend, table.with_suffix(".json"))
    usual = {
        "sex": {"female_words": settings.female_words, "male_words": settings.male_words},
        "steroid": {"true_words": settings.true_words, "false_words": settings.false_words},
    }.get(variable, {})
    for name, words in usual.items():
        for word in words:
            described = levels.get(word)
            if described is None:
                continue
            by_words, by_json = reader.words[variable].get(word.casefold()), _known(reader, variable, described)
            if by_json is not None and by_json != by_words:
                problem = f"{column}: {word!r} is {described!r} here, and one of clinical.{name} in the settings."
                raise MetadataError(
                    problem, f"Correct one of them: [clinical] {name} = [...]", table.with_suffix(".json")
                )


def _opposite(cell: str, described: str, variable: str, reader: Reader) -> bool:
    """Whether a word of two (F and M, yes and no) is described by the other one."""
    if variable not in ("sex", "steroid"):
        return False
    words = reader.words[variable].get(cell.casefold()), _known(reader, variable, described)
    return None not in words and "O" not in words and words[0] != words[1]


def _known(reader: Reader, variable: str, text: str) -> object:
    words = reader.words[variable]
    first = text.split()[0].casefold() if text.split() else ""
    return words.get(text.casefold(), words.get(first))


def _factor(kind: str, unit: str, column: str, settings: Clinical, table: Path) -> float:
    """The factor of a unit that a JSON names."""
    spelled = re.sub(r"[\s.()]+", "", unit).casefold()
    named = next((name for name, spellings in _UNITS.items() if spelled in spellings and name in UNITS[kind]), None)
    chosen = settings.units.get(kind)
    path = table.with_suffix(".json")
    if named is None and chosen is None:
        mend = f'Write one of {", ".join(UNITS[kind])}, or say it in the settings: [clinical.units] {kind} = "..."'
        raise MetadataError(f"{column}: the unit {unit!r} is not understood.", mend, path)
    if named is not None and chosen is not None and named != chosen:
        problem = f"{column}: the unit is {unit!r} here, and clinical.units says that {kind} is in {chosen}."
        raise MetadataError(problem, f'Correct one of them: [clinical.units] {kind} = "{named}"', path)
    return UNITS[kind][named or str(chosen)]
