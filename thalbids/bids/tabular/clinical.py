"""Clinical tables of a raw BIDS dataset: find them, read them, and put them together per visit.

Sources, the first wins: ``sub-X_scans.tsv`` (dates only), ``sub-X_sessions.tsv``, ``phenotype/*.tsv``,
``participants.tsv``. Where two disagree, both are reported. Images are never touched. For users: docs/clinical.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalbids.bids.dataset.index import LABEL
from thalbids.bids.dataset.sidecars import check_content
from thalbids.bids.tabular.counting import natural
from thalbids.bids.tabular.meaning import Meaning, meaning_of, usual_names
from thalbids.bids.tabular.near_labels import with_prefix
from thalbids.bids.tabular.values import SITES, NotAValueError, Reader, Value, days_between
from thalbids.errors import MetadataError, NoInputError, UsageError, cell, some
from thalbids.files import is_sheet_error, read_header, read_lines
from thalbids.settings import Clinical

PLAIN = ("age", "sex", "diagnosis", "disease_duration", "edss", "sdmt", "steroid", "acq_time", "site", "icv_ml",
         "rescan_of", "attacks")  # fmt: skip
TIMED = ("t25fw", "nhpt")
STATIC = ("sex", "diagnosis", "site")  # a value without a session holds for every visit
AGING = ("age", "disease_duration")  # a value without a session is that of the first visit, and grows with time
_TRIAL = re.compile(r"(t25fw|nhpt(?:_dom|_nondom)?)(?:_(\d+))?")
_WIDE = re.compile(rf"(?P<name>.+)_(?P<session>ses-{LABEL})")
_IDS = ("participant_id", "session_id", "filename")
LONGEST_DAYS = 36525  # between two visits of a person: more, and they were not all shifted alike
RANKS = ("scans", "sessions", "phenotype", "participants")
SHOWN = 20  # problems that a message lists
_SHEETS = ("csv", "xlsx", "xls", "ods", "sav")  # tables that nothing reads
ROUNDED = 0.051  # seconds by which a mean in a table may differ from that of the trials, being rounded


@dataclass(frozen=True)
class SourcedValue:
    """A value, and where it stands: file, row and column; ``rank`` 0 is the source that wins."""

    value: Value
    where: str
    rank: int


@dataclass
class ClinicalData:
    """What the clinical tables say.

    Attributes
    ----------
    values : (participant_id, session_id or None) -> variable -> entries; None stands for the person as a whole
    found : variable -> columns in which it was found (``participants.tsv: age``)
    unused : columns that stand for nothing we know
    problems : impossible values, each with file, row, column and value
    notes : what was repaired
    own : columns of the user's own that were found, True for one of numbers and False for one of words
    listed : the people that have a row in participants.tsv; None without that table
    """

    values: dict[tuple[str, str | None], dict[str, list[SourcedValue]]] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    own: dict[str, bool] = field(default_factory=dict)
    listed: set[str] | None = None


class ClinicalError(MetadataError):
    """Clinical tables that cannot be used; ``data`` is what was read of them all the same."""

    data: ClinicalData


def read_clinical(
    bids_dir: Path,
    settings: Clinical,
    participants: Collection[str] = (),
    outcomes: Collection[str] = (),
    categorical: Collection[str] = (),
) -> ClinicalData:
    """Read every clinical table of the dataset.

    Parameters
    ----------
    participants : labels without ``sub-``; empty means all
    outcomes : further columns to read. One is of numbers where most of its cells are, else of words
    categorical : those of ``outcomes`` whose numbers are words

    Raises
    ------
    NoInputError
        The folder is not there.
    ClinicalError
        A table is damaged, or (``violations = "error"``) holds impossible values.
    UsageError
        A setting contradicts itself.
    """
    if not bids_dir.is_dir():
        raise NoInputError("the BIDS dataset is not there.", "Check the first argument, BIDS_DIR.", bids_dir)
    of_own = {name.lower(): name for name in (*outcomes, *settings.levels)}
    renamed = _columns(settings, of_own)
    reading = _Reading(bids_dir, settings, Reader.of(settings), renamed, frozenset(participants), of_own)
    data = reading.data
    data.notes += elsewhere(bids_dir)
    damaged: list[MetadataError] = []
    for rank, path in _tables(bids_dir, participants):
        try:
            reading.table(path, path.relative_to(bids_dir).as_posix(), rank)
        except MetadataError as error:
            damaged.append(error)
    reading.settle_dates()
    reading.one_site()
    reading.type_own(categorical)
    data.notes += [*reading.sheet_errors(), *usual_names(data.unused, data.found)]
    stop = None
    if damaged:
        stop = ClinicalError(*damaged[0].args)
        data.problems += [str(error) for error in damaged]
    elif data.problems and settings.violations == "error":
        stop = impossible(data.problems)
    if stop is not None:
        stop.data = data
        raise stop
    return data


def impossible(problems: list[str], first: str = "") -> ClinicalError:
    """The error of impossible values; its ``data`` is still to be set. ``first`` begins what to do."""
    listed = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
    more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    mend = 'Correct them, name codes for missing (clinical.missing_codes), or set clinical.violations = "missing".'
    return ClinicalError(f"the clinical tables hold impossible values:{listed}{more}\n", first + mend)


def _tables(root: Path, participants: Collection[str]) -> Iterable[tuple[int, Path]]:
    """Every clinical table with its rank; folders are listed, no name is made from a cell."""
    if os.path.lexists(root / "participants.tsv"):  # a broken link is damaged, not absent
        yield RANKS.index("participants"), root / "participants.tsv"
    for name in _listed(root / "phenotype"):
        if name.endswith(".tsv"):
            yield RANKS.index("phenotype"), root / "phenotype" / name
    for subject in _listed(root):
        label = subject.removeprefix("sub-")
        if not re.fullmatch(rf"sub-{LABEL}", subject) or (participants and label not in participants):
            continue
        for name in _listed(root / subject):
            if name == f"{subject}_sessions.tsv":
                yield RANKS.index("sessions"), root / subject / name
            elif name == f"{subject}_scans.tsv":
                yield RANKS.index("scans"), root / subject / name
            elif re.fullmatch(rf"ses-{LABEL}", name):
                path = root / subject / name / f"{subject}_{name}_scans.tsv"
                if os.path.lexists(path):
                    yield RANKS.index("scans"), path


def elsewhere(root: Path) -> list[str]:
    """Warnings about clinical tables that lie where, or are of a kind that, nothing reads."""
    notes = []
    there = os.path.lexists(root / "participants.tsv")
    for folder in ("", "phenotype"):
        for name in _listed(root / folder):
            stem, ending = _parts(name)
            nearly = stem.startswith(("participant", "subjects")) and not there
            ours = not folder and name != "participants.tsv" and (stem == "participants" or nearly)
            if (folder and ending in _SHEETS) or (ours and ending in (*_SHEETS, "txt", "tsv", "tsv.gz")):
                inside, wanted = (name, "participants") if ours else (f"{folder}/{name}", name.rpartition(".")[0])
                notes.append(f"warning: {inside} is not read: save it as {wanted}.tsv, with tabs between the cells.")
    for name in _listed(root):
        if _parts(name)[0] == "sessions" and _parts(name)[1] in (*_SHEETS, "txt", "tsv", "tsv.gz"):
            notes.append(f"warning: {name} at the root is not read: BIDS wants sub-X/sub-X_sessions.tsv for each "
                         "person, or a table in phenotype/ with participant_id and session_id.")  # fmt: skip
    astray = [
        path for person in _listed(root) if re.fullmatch(rf"sub-{LABEL}", person) for path in _astray(root, person)
    ]
    if astray:
        text = "BIDS wants sub-X/sub-X_sessions.tsv, and scans.tsv in the folder whose labels its name has"
        notes.append(f"warning: not read, misnamed or in another folder: {some(astray, 20)}. {text}.")
    return notes


def _astray(root: Path, person: str) -> list[str]:
    """Tables of sessions and scans of a person that lie, or are named, so that nothing reads them."""
    names = _listed(root / person)
    places = {"": names} | {
        name: _listed(root / person / name) for name in names if re.fullmatch(rf"ses-{LABEL}", name)
    }
    astray = []
    for session, inside in places.items():
        stem = "_".join(filter(None, (person, session)))
        right = {f"{stem}_scans.tsv", *(() if session else (f"{person}_sessions.tsv",))}
        for name in inside:
            kind = _parts(name)[0].rpartition("_")[2]
            if kind in ("sessions", "scans") and _parts(name)[1] in (*_SHEETS, "tsv", "tsv.gz") and name not in right:
                astray.append("/".join(filter(None, (person, session, name))))
    return astray


def _parts(name: str) -> tuple[str, str]:
    """The name of a file without its ending, and the ending, both in lower case."""
    stem, _, ending = name.lower().rpartition(".")
    return (stem.removesuffix(".tsv"), "tsv.gz") if name.lower().endswith(".tsv.gz") else (stem, ending)


def _anyone(where: str) -> str:
    """The table of a person or session as that of anybody."""
    return re.sub(r"sub-[^/_]+|ses-[^/_]+", "*", where)


def _can_be(dates: Sequence[str]) -> bool:
    """Whether the dates of a person's visits are days that differ, all of them shifted alike."""
    days = sorted(date[:10] for date in dates)
    return "" not in days and len(set(days)) == len(days) and days_between(days[0], days[-1]) <= LONGEST_DAYS


def _of_t1w(column: int, lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """The rows of T1w images, where there are any."""
    of_t1w = [line for line in lines if "_T1w." in line[1][column]]
    return of_t1w or lines


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 (names only; Path objects cost ten times as much)
    except OSError:
        return []


def _columns(settings: Clinical, columns: Mapping[str, str]) -> dict[str, str]:
    """Column (``name`` or ``file:name``) to our name, by the settings."""
    meanings = dict(settings.rename)
    for column, name in settings.rename.items():
        wide = _WIDE.fullmatch(name)
        if _variable(wide["name"] if wide else name, columns) is None and name not in _IDS:
            known = ", ".join((*PLAIN, "t25fw_1", "nhpt_1", "nhpt_dom_1", "nhpt_nondom_1"))
            raise UsageError(
                f"clinical.rename: {column!r} is renamed to {name!r}, which means nothing.", f"There is: {known}."
            )
    for test, trials in settings.trials.items():
        if test not in (*TIMED, "nhpt_dom", "nhpt_nondom"):
            raise UsageError(
                f"clinical.trials: {test!r} has no trials.", "There is: t25fw, nhpt, nhpt_dom, nhpt_nondom."
            )
        meanings |= {column: f"{test}_{number}" for number, column in enumerate(trials, start=1)}
    return meanings


def _variable(name: str, columns: Mapping[str, str]) -> str | None:
    """The name of a variable or of a trial of one; None where it means nothing. ``columns``: lower case to name."""
    lower = name.lower()
    known = lower in PLAIN or _TRIAL.fullmatch(lower) or (lower in SITES and lower not in columns)
    return lower if known else columns.get(lower)


@dataclass
class _Reading:
    """Reads one table after the other into ``data``."""

    root: Path
    settings: Clinical
    reader: Reader
    renamed: Mapping[str, str]
    participants: frozenset[str]
    own: Mapping[str, str]
    data: ClinicalData = field(default_factory=ClinicalData)
    meaning: Meaning = field(init=False)
    told: set[str] = field(default_factory=set)  # what is in data.unused (a list of thousands is slow to search), notes
    masked: dict[tuple[str, str | None], list[str]] = field(default_factory=dict)  # dates of scans tables that are none
    errors: dict[str, list[str]] = field(default_factory=dict)  # cells with an error of a spreadsheet, by column

    def sheet_errors(self) -> list[str]:
        """A warning for each column with errors of a spreadsheet."""
        return [
            f"warning: {where}: {len(cells)} cell{'s' * (len(cells) > 1)} with an error of a spreadsheet "
            f"({cell(cells[0])}) counted as missing. Correct the formulas, or leave such cells empty."
            for where, cells in self.errors.items()
        ]

    def one_site(self) -> None:
        """Keep the site of the first of :data:`SITES` that some table has; columns of the others are not used."""
        there = [name for name in SITES if name in self.data.found]
        for name in there[1:]:
            self.data.unused += self.data.found.pop(name)
        if not there:
            return
        self.data.found["site"] = self.data.found.pop(there[0])
        for values in self.data.values.values():
            sites = {name: values.pop(name) for name in there if name in values}
            if there[0] in sites:
                values["site"] = sites[there[0]]

    def type_own(self, categorical: Collection[str]) -> None:
        """Turn the cells of own columns into numbers where most of them are, or into the ranks of ``levels``."""
        for name in self.own.values():
            lists = [values[name] for values in self.data.values.values() if name in values]
            if not lists:
                continue
            texts = [str(entry.value) for entries in lists for entry in entries]
            ranks = {
                level.strip().casefold(): float(rank)
                for rank, level in enumerate(self.settings.levels.get(name, ()), start=1)
            }
            numbers = sum(self.reader.is_number(text) for text in texts)
            self.data.own[name] = bool(ranks) or (name not in categorical and 2 * numbers > len(texts))
            for entries in lists if self.data.own[name] else ():
                entries[:] = [new for entry in entries if (new := self._number(name, entry, ranks)) is not None]

    def _number(self, name: str, entry: SourcedValue, ranks: Mapping[str, float]) -> SourcedValue | None:
        text = str(entry.value)
        try:
            value = ranks[text.strip().casefold()] if ranks else self.reader.number(text)
        except (KeyError, NotAValueError) as error:
            why = f"is not one of {', '.join(ranks)}" if isinstance(error, KeyError) else str(error)
            self.data.problems.append(f"{entry.where}: {cell(text)} {why}")
            return None
        return SourcedValue(value, entry.where, entry.rank)

    def table(self, path: Path, shown: str, rank: int) -> None:
        """Read one table."""
        check_content(path)
        header = read_header(path)
        names = {column: self._name(path.name, column) for column in header if column}
        ours = {column: name for column, name in names.items() if name in _IDS}
        ids = {name: column for column, name in ours.items()}
        variables = {}
        for column, name in names.items():
            if column not in ours and (variable := self._target(name, column, shown, rank)) is not None:
                variables[column] = variable
        if rank == RANKS.index("phenotype") and not variables:
            self.data.notes.append(f"{shown} is not read: it has none of the columns that thalbids knows.")
            return
        columns, lines = read_lines(path)
        self._nameless(header, shown)
        subject = path.name.split("_")[0] if path.name.startswith("sub-") else None
        if subject is None and "participant_id" not in ids:
            mend = "Name that column so, or rename it (clinical.rename); tabs separate the columns."
            if len(columns) == 1 and (marks := [mark for mark in (";", ",", " ") if mark in columns[0]]):
                what = "blanks" if marks[0] == " " else repr(marks[0])
                mend = f"Its columns are separated by {what}: save it with tabs between the cells."
            raise MetadataError("the table has no column participant_id.", mend, path)
        plain = {column: variable for column, (variable, _) in variables.items()}
        if rank == RANKS.index("participants"):
            self.data.listed = set()
        self.meaning = meaning_of(path, self.root, shown, plain, self.reader, self.settings)
        seen: dict[tuple[str, str | None], tuple[int, list[str]]] = {}
        for number, cells in (
            _of_t1w(columns.index(ids["filename"]), lines) if rank == 0 and "filename" in ids else lines
        ):
            row = dict(zip(columns, cells, strict=True))
            key = self._key(row, ids, subject, path if rank == 0 else None, shown, number)
            if key is None:
                continue
            if key in seen and rank != 0:
                self._twice(seen[key], cells, key, shown, number)
                continue
            seen[key] = (number, cells)
            self.data.values.setdefault(key, {})  # the person and the visit exist, also without values
            if self.data.listed is not None and rank == RANKS.index("participants"):
                self.data.listed.add(key[0])
            self._row(row, variables, key, f"{shown}, row {number}", rank)
        self.data.notes += self.meaning.notes()

    def settle_dates(self) -> None:
        """Dates of scans tables that are none (masked ones) matter only where nothing else gives the date."""
        dated = {key for key, rows in self.data.values.items() if rows.get("acq_time")}
        settled = [key for key in self.masked if key in dated or (key[0], None) in dated]
        for key, problems in self.masked.items():
            self.data.problems += [] if key in settled else problems
        if settled:
            text = f"{len(settled)} sessions have no usable date in scans.tsv; that of another table counts."
            self.data.notes.append(text)

    def _name(self, file: str, column: str) -> str:
        name = self.renamed.get(f"{file}:{column}") or self.renamed.get(column) or column
        return name.lower() if name.lower() in _IDS else name

    def _nameless(self, header: Sequence[str], shown: str) -> None:
        """Say which columns have no name."""
        numbers = [str(number) for number, column in enumerate(header, start=1) if not column]
        note = f"warning: {_anyone(shown)}: no name in the header, left out: column {some(numbers)}."
        if numbers and note not in self.told:
            self.told.add(note)
            self.data.notes.append(note)

    def _target(self, name: str, column: str, shown: str, rank: int) -> tuple[str, str | None] | None:
        """The variable of a column, and the session in its name if any."""
        wide = _WIDE.fullmatch(name)
        variable = _variable(wide["name"] if wide else name, self.own)
        if rank == 0 and variable != "acq_time":
            return None
        where = f"{_anyone(shown)}: {column}"
        if variable is None:
            if where not in self.told:
                self.told.add(where)
                self.data.unused.append(where)
            return None
        columns = self.data.found.setdefault(variable, [])
        if where not in columns:
            columns.append(where)
        return variable, wide["session"] if wide else None

    def _key(
        self,
        row: Mapping[str, str],
        ids: Mapping[str, str],
        subject: str | None,
        scans: Path | None,
        shown: str,
        number: int,
    ) -> tuple[str, str | None] | None:
        """Participant and session of a row; None for a row that is not used. ``scans`` is the path of a scans table."""
        person = subject or ""
        known = {"participant_id": subject, "session_id": scans}  # by the name of the table or its folder
        for column in (ids[name] for name, told in known.items() if name in ids and told is None):
            if is_sheet_error(row[column]):  # of nobody knows whom, or when
                text = f"warning: {shown}, row {number}: {column} is an error of a spreadsheet ({row[column]})"
                self.data.notes.append(f"{text}; the row is not used. Correct the formula.")
                return None
        if "participant_id" in ids:
            text = row[ids["participant_id"]]
            given = "" if self.reader.is_missing(text) else with_prefix(text, "sub-")
            if subject is not None and given and given != subject:
                self.data.problems.append(f"{shown}, row {number}, participant_id: {text!r} is another participant")
                return None
            person = subject or given
        if not person:
            self.data.notes.append(f"warning: {shown}, row {number}: no participant; the row is not used.")
            return None
        if self.participants and person.removeprefix("sub-") not in self.participants:
            return None
        if scans is not None:  # the session is that of the folder, or of the file name
            match = re.search(rf"_(ses-{LABEL})_", row.get(ids.get("filename", ""), ""))
            folder = scans.parent.name
            return person, folder if folder.startswith("ses-") else match[1] if match else ""
        if "session_id" in ids:
            text = row[ids["session_id"]]
            if self.reader.is_missing(text):
                self.data.notes.append(f"{shown}, row {number}: no session; its values are taken for the person.")
                return person, None
            return person, with_prefix(text, "ses-")
        return person, None

    def _twice(
        self, before: tuple[int, list[str]], cells: list[str], key: tuple[str, str | None], shown: str, number: int
    ) -> None:
        name = key[0] + (f" {key[1]}" if key[1] else "")
        if cells == before[1]:
            self.data.notes.append(f"{shown}, row {number}: the same as row {before[0]} ({name}); counted once.")
        else:
            text = (
                f"{shown}, row {number}, participant_id: {name} is there twice, with other values than row {before[0]}"
            )
            self.data.problems.append(f"{text}; keep one of them (clinical.violations = 'missing' takes the first)")

    def _row(
        self,
        row: Mapping[str, str],
        variables: Mapping[str, tuple[str, str | None]],
        key: tuple[str, str | None],
        where: str,
        rank: int,
    ) -> None:
        for column, (variable, session) in variables.items():
            text = self.meaning.text(column, variable, row[column])
            levels = self.settings.levels.get(variable, ())
            level = text.strip().casefold() in [word.strip().casefold() for word in levels]
            if self.reader.is_missing(text) and not level:  # "none" may be a level
                if is_sheet_error(text):
                    self.errors.setdefault(f"{_anyone(self.meaning.shown)}: {column}", []).append(text)
                continue
            try:
                value = text if variable in self.own.values() else self.meaning.reader.value(variable, text)
            except NotAValueError as error:
                problems = self.masked.setdefault(key, []) if rank == 0 else self.data.problems
                problems.append(f"{where}, {column}: {cell(text)} {error}")
                continue
            place = (key[0], session) if session is not None else key
            cells = self.data.values.setdefault(place, {})
            entry = SourcedValue(value, f"{where}, {column}", rank)
            cells.setdefault(variable, []).append(entry)
            if variable == "diagnosis":
                cells.setdefault("diagnosis_given", []).append(SourcedValue(text, entry.where, rank))


@dataclass
class Visits:
    """One row per participant and session, and where tables disagree.

    ``rows`` have the columns of ``own.VISIT_COLUMNS`` besides has_mri; missing numbers are None, words "".
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)  # visits at which the disease lasts longer than the life


def visits(data: ClinicalData, sessions: Mapping[str, Collection[str]], scores: Collection[str] = ()) -> Visits:
    """Put the values of every table together.

    Parameters
    ----------
    sessions : participant_id -> sessions that the derivatives have
    scores : columns of the user's own that are outcomes: a value without a session is that of the first visit. One
        that is none holds for every visit
    """
    of_person: dict[str, dict[str, None]] = {person: dict.fromkeys(labels) for person, labels in sessions.items()}
    for person, session in data.values:
        labels = of_person.setdefault(person, {})
        if session is not None:
            labels[session] = None
    result = Visits()
    for person in sorted(of_person, key=natural):
        own_columns = {name: name not in scores for name in data.own}
        one = _Person(person, data.values, result, own_columns)
        result.rows += one.rows(sorted(of_person[person], key=natural) or [""])
    if result.too_long:
        text = (
            f"warning: the disease duration exceeds the age at {len(result.too_long)} visits: {some(result.too_long)}"
        )
        result.notes.append(f"{text}. Are the units right (Units in the JSON, clinical.units)?")
    return result


@dataclass
class _Person:
    """Puts the visits of one participant together."""

    name: str
    values: Mapping[tuple[str, str | None], Mapping[str, list[SourcedValue]]]
    made: Visits
    own: Mapping[str, bool] = field(default_factory=dict)  # column: whether a value without a session is for all visits

    def rows(self, labels: list[str]) -> list[dict[str, Any]]:
        """The rows of these sessions, in order of time."""
        only = len(labels) == 1
        dates = self._consistent({label: self._date(label, only) for label in labels})
        years = self._years(dates)
        ordered = labels
        if all(value is not None for value in years.values()):
            ordered = sorted(labels, key=lambda label: years[label] or 0.0)  # stable: labels decide on one day
            if ordered != labels:
                told = ", ".join(ordered)
                self.made.notes.append(
                    f"{self.name}: the dates order the sessions otherwise than their labels: {told}."
                )
        return [self._row(label, order, dates[label], years[label], order == 0) for order, label in enumerate(ordered)]

    def _consistent(self, dates: dict[str, str]) -> dict[str, str]:
        """The dates; where they cannot all be true, those of a table whose dates can, if there is one.

        A scans table may hold one masked date for all visits, or shifted dates for some of them.
        """
        if len(dates) < 2 or _can_be(list(dates.values())):
            return dates
        for rank in range(1, len(RANKS)):
            dated = {label: [e for e in self._entries(label, "acq_time") if e.rank == rank] for label in dates}
            if all(dated.values()) and _can_be(other := [str(entries[0].value) for entries in dated.values()]):
                self.made.notes.append(
                    f"{self.name}: the dates of scans.tsv cannot all be true; those of {RANKS[rank]}.tsv count."
                )
                return dict(zip(dates, other, strict=True))
        return dates

    def _date(self, label: str, only: bool) -> str:
        entries = [*self._entries(label, "acq_time"), *(self._entries(None, "acq_time") if only else ())]
        earliest: dict[int, SourcedValue] = {}
        for entry in entries:  # a scans table has a date for every image
            if entry.rank not in earliest or str(entry.value) < str(earliest[entry.rank].value):
                earliest[entry.rank] = entry
        chosen = self._choose(label, "acq_time", list(earliest.values()))
        return "" if chosen is None else str(chosen)

    def _years(self, dates: Mapping[str, str]) -> dict[str, float | None]:
        known = [value for value in dates.values() if value]
        if not known:
            return dict.fromkeys(dates)
        first = min(known)
        days = {label: days_between(first, value) if value else None for label, value in dates.items()}
        if max(value for value in days.values() if value is not None) > LONGEST_DAYS:
            text = f"warning: {self.name}: dates more than 100 years apart are not all shifted alike; not used."
            self.made.notes.append(text)
            return dict.fromkeys(dates)
        return {label: None if value is None else value / 365.25 for label, value in days.items()}

    def _row(self, label: str, order: int, when: str, years: float | None, first: bool) -> dict[str, Any]:
        row: dict[str, Any] = {"participant_id": self.name, "session_id": label, "order": order, "years": years}
        row["acq_time"] = when
        for variable in (*STATIC, "diagnosis_given"):
            row[variable] = self._value(label, variable, True) or ""
        for variable in AGING:
            row[variable] = self._aging(label, variable, years, first)
        for variable in ("edss", "sdmt", "steroid", "icv_ml", "attacks"):
            row[variable] = self._value(label, variable, first)
        for test in TIMED:
            row[test], row[f"{test}_trials"] = self._timed(label, test, first)
        rescan = self._value(label, "rescan_of", False)
        row["rescan_of"] = with_prefix(str(rescan), "ses-") if rescan else ""
        for variable, every in self.own.items():
            row[variable] = self._value(label, variable, first or every)
        row["female"] = {"F": 1.0, "M": 0.0}.get(row["sex"])
        if row["age"] is not None and row["disease_duration"] is not None and row["disease_duration"] > row["age"]:
            self.made.too_long.append(f"{self.name} {label}".strip())
        return row

    def _entries(self, label: str | None, variable: str) -> list[SourcedValue]:
        return self.values.get((self.name, label), {}).get(variable, [])

    def _value(self, label: str, variable: str, person_too: bool) -> Value | None:
        entries = [*self._entries(label, variable), *(self._entries(None, variable) if person_too else ())]
        return self._choose(label, variable, entries)

    def _choose(self, label: str, variable: str, entries: list[SourcedValue]) -> Value | None:
        """The value of the source that wins; others that say something else are reported."""
        if not entries:
            return None
        entries = sorted(entries, key=lambda entry: entry.rank)
        best = entries[0]
        for other in entries[1:]:
            if variable != "diagnosis_given" and _differ(variable, best.value, other.value):
                ids = {"participant_id": self.name, "session_id": label, "variable": variable}
                values = {"value": _shown(variable, best.value), "other_value": _shown(variable, other.value)}
                self.made.conflicts.append({**ids, **values, "source": best.where, "other_source": other.where})
        return best.value

    def _aging(self, label: str, variable: str, years: float | None, first: bool) -> Value | None:
        """A value of the person as a whole is that of the first visit; later ones are older by the time passed."""
        if first or self._entries(label, variable):
            return self._value(label, variable, first)
        start = self._choose_silently(None, variable)
        return None if start is None or years is None else float(start) + years

    def _choose_silently(self, label: str | None, variable: str) -> Value | None:
        entries = sorted(self._entries(label, variable), key=lambda entry: entry.rank)
        return entries[0].value if entries else None

    def _timed(self, label: str, test: str, person_too: bool) -> tuple[float | None, int | None]:
        """Mean and number of the trials of a timed test; of both hands the mean of their means."""
        hands = [self._trials(label, f"{test}{hand}", person_too) for hand in ("", "_dom", "_nondom")]
        both, dominant, other = hands
        if both:
            return self._checked_mean(label, test, sum(both) / len(both), person_too), len(both)
        if dominant and other:
            return (sum(dominant) / len(dominant) + sum(other) / len(other)) / 2, len(dominant) + len(other)
        if (dominant or other) and test == "nhpt":
            self.made.notes.append(f"{self.name} {label}: nhpt of one hand only; the mean of both is not known.")
        mean = self._value(label, test, person_too)
        return (None, None) if mean is None else (float(mean), None)

    def _checked_mean(self, label: str, test: str, mean: float, person_too: bool) -> float:
        """The mean of the trials; a column with another mean is reported."""
        given = [*self._entries(label, test), *(self._entries(None, test) if person_too else ())]
        for entry in given:
            if abs(float(entry.value) - mean) > ROUNDED:
                ids = {"participant_id": self.name, "session_id": label, "variable": test}
                values = {"value": _shown(test, mean), "other_value": _shown(test, entry.value)}
                self.made.conflicts.append(
                    {**ids, **values, "source": "mean of the trials", "other_source": entry.where}
                )
        return mean

    def _trials(self, label: str, name: str, person_too: bool) -> list[float]:
        pattern = re.compile(re.escape(name) + r"_\d+")
        places = [label, *([None] if person_too else [])]
        known = {
            key: None for place in places for key in self.values.get((self.name, place), {}) if pattern.fullmatch(key)
        }
        if name in ("nhpt_dom", "nhpt_nondom") and any(self._entries(place, name) for place in places):
            known[name] = None
        trials = [self._value(label, key, person_too) for key in sorted(known)]
        return [float(value) for value in trials if value is not None]


def _differ(variable: str, one: Value, two: Value) -> bool:
    if variable == "acq_time":
        return abs(days_between(str(one), str(two))) > 1
    if isinstance(one, float) and isinstance(two, float):
        return abs(one - two) > 1e-9 * max(1.0, abs(one))
    return one != two


def _shown(variable: str, value: Value) -> str:
    if variable == "steroid":
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
