"""Find and read our own derivatives: sessions, morph tables, intracranial volumes, SIENA tables, masks.

The tables stay rows of text and numbers here; the group level makes frames of them. Nothing but the names of folders
and files and small tables is read, so ten thousand sessions take seconds.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from thalbids.bids.dataset.index import LABEL
from thalbids.bids.results.documents import read_document
from thalbids.bids.tabular.counting import natural
from thalbids.bids.tabular.near_labels import with_prefix
from thalbids.bids.tabular.pbvc import COLUMNS, read_given
from thalbids.errors import MetadataError, NoInputError
from thalbids.files import MISSING, names_in, read_table
from thalbids.types import REFERENCES

MORPH = "desc-thalamus_morph.tsv"
ICV = "desc-icv_morph.tsv"
SIENA = "desc-siena_morph.tsv"
CHANGE = "desc-change_morph.tsv"
DOCUMENT = "desc-thalamus_qc.json"
MIN_MM3, MAX_MM3 = 500.0, 60_000.0  # both thalami: 10 000 - 18 000 in adults, half of that where little is left
STATUSES = ("ok", "missing", "failed", "excluded")
_MASK = re.compile(r"_label-thalamus_desc-(?P<desc>[0-9A-Za-z]+)_mask\.nii(?:\.gz)?$")
_LIKE_A_MASK = re.compile(r"^[^.].*(?:mask|thal).*\.nii(?:\.gz)?$", re.IGNORECASE)
_OTHER = re.compile(r"_label-(?!thal)|_desc-brain", re.IGNORECASE)  # masks of something else
_OF_PERSON = re.compile(r"_desc-(?:siena|change)_")  # belongs to no session
CHANGES = (
    "participant_id", "session_id_baseline", "session_id_followup", "method", "measure", "delta_percent", "status",
    "reason", "comparable", "flags", "remark", "delta_left_percent", "delta_right_percent",
)  # fmt: skip
PAIRS = ("participant_id", "session_id_baseline", "session_id_followup", "reason")
_PBVC = COLUMNS[1:]
_SUBJECT, _SESSION = re.compile(rf"sub-{LABEL}"), re.compile(rf"ses-{LABEL}")


@dataclass(frozen=True)
class Place:
    """The ``anat`` folder of a session of a derivative dataset, and the names in it.

    ``participant_id`` is ``sub-X``; ``session_id`` is ``ses-Y``, or "" where the dataset has no sessions.
    """

    participant_id: str
    session_id: str
    folder: Path
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """``sub-01_ses-1`` or ``sub-01``."""
        return self.participant_id + (f"_{self.session_id}" if self.session_id else "")

    @property
    def reference(self) -> str:
        """The image on whose grid the session was measured, by the name of its reoriented image; T1w without one."""
        endings = (f"_desc-reoriented_{name}.nii.gz" for name in REFERENCES)
        there = (ending for ending in endings if any(name.endswith(ending) for name in self.names))
        return next(there, "_T1w.").rpartition("_")[2].partition(".")[0]

    @property
    def measured(self) -> bool:
        """Whether the image is there that the session was measured on, so that `reference` is known."""
        return any(name.endswith(f"_desc-reoriented_{self.reference}.nii.gz") for name in self.names)

    def ending(self, ending: str) -> list[Path]:
        """The files whose name ends like this, those with fewer entities first."""
        matching = [name for name in self.names if name.endswith("_" + ending) and not name.startswith(".")]
        return [self.folder / name for name in sorted(matching, key=lambda name: (name.count("_"), _runs(name)))]

    def masks(self) -> dict[str, Path]:
        """Thalamus masks by the label of their ``desc-`` entity; of several with one label the first is taken."""
        paths: dict[str, Path] = {}
        for name in sorted(self.names, key=lambda name: (name.count("_"), _runs(name))):
            match = _MASK.search(name)
            if match is not None and not name.startswith("."):
                paths.setdefault(match["desc"], self.folder / name)
        return paths

    def misnamed(self) -> list[str]:
        """Files that look like thalamus masks, and are not read because their name is not that of one."""
        return [
            name
            for name in sorted(self.names)
            if _LIKE_A_MASK.search(name) and not _OTHER.search(name) and not _MASK.search(name)
        ]


@dataclass
class Volumes:
    """Rows of every morph table: ``rows`` of each session's first scan, ``repeats`` of sessions with several scans."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_places(
    root: Path,
    participants: Collection[str] = (),
    sessions: Collection[str] = (),
    empty: list[Place] | None = None,
) -> list[Place]:
    """Every session of a derivative dataset that has something in its ``anat`` folder, in natural order of the labels.

    Parameters
    ----------
    participants, sessions : labels without prefix; empty means all
    empty : is added the sessions whose folder holds nothing: the participant level refused their scans

    Raises
    ------
    NoInputError
        The folder is not there or cannot be read.
    """
    subjects = _folders(root, _SUBJECT)
    if subjects is None:
        raise NoInputError("the folder is not there, or may not be read.", "Check its path.", root)
    places = []
    for subject in subjects:
        if participants and subject.removeprefix("sub-") not in participants:
            continue
        labels = _folders(root / subject, _SESSION) or ()
        for session in ("", *labels):
            if sessions and session.removeprefix("ses-") not in sessions:
                continue
            folder = root / subject / session / "anat"
            listed = names_in(folder)
            names = tuple(name for name in listed if not _OF_PERSON.search(name))
            if empty is not None and not listed and (session or not labels) and folder.is_dir():
                empty.append(Place(subject, session, folder, ()))
            if names:
                places.append(Place(subject, session, folder, names))
    return places


def read_volumes(places: Iterable[Place]) -> Volumes:
    """The rows of every ``desc-thalamus_morph.tsv``.

    Each row has participant_id, session_id, entities (of the file name besides sub, ses and desc), method, image,
    volume_ml, volume_left_ml, volume_right_ml (NaN when missing), status and reason. A number that is none, or not
    above 0, makes the status failed; a damaged table is noted and gives no rows.
    """
    volumes = Volumes()
    for place in places:
        files = place.ending(MORPH)
        for number, path in enumerate(files):
            rows = _session_rows(place, path, volumes.notes)
            if number == 0:
                volumes.rows += rows
            if len(files) > 1:
                volumes.repeats += rows
    return volumes


def read_icv(places: Iterable[Place]) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of every ``desc-icv_morph.tsv`` (participant_id, session_id, source, icv_ml, status, note), and notes.

    The status is ``excluded`` where the participant level says so; tables without that column count as ok.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for place in places:
        for path in place.ending(ICV)[:1]:
            for row in _table(path, ("source", "icv_mm3"), notes):
                value = number(row["icv_mm3"])
                if value > 0:
                    ids = {"participant_id": place.participant_id, "session_id": place.session_id}
                    status = "excluded" if row.get("status") == "excluded" else "ok"
                    source = row["source"] or "given"
                    note = None if row.get("note") in (None, "", MISSING) else row["note"]
                    rows.append({**ids, "source": source, "icv_ml": value / 1000, "status": status, "note": note})
    return rows, notes


def read_documents(places: Iterable[Place]) -> dict[tuple[str, str], dict[str, Any]]:
    """The QC document of each session by participant and session, without those that are damaged."""
    documents = {}
    for place in places:
        for path in place.ending(DOCUMENT)[:1]:
            with suppress(MetadataError):
                documents[place.participant_id, place.session_id] = read_document(path)
    return documents


def tables_of_people(root: Path, ending: str, participants: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
    """``sub-X`` and its table ``sub-X/anat/sub-X_ENDING``, of those who have it."""
    for subject in _folders(root, _SUBJECT) or ():
        path = root / subject / "anat" / f"{subject}_{ending}"
        wanted = not participants or subject.removeprefix("sub-") in participants
        if wanted and os.path.isfile(path):  # noqa: PTH113 (a name that is too long raises elsewhere)
            yield subject, path


def read_pbvc(root: Path, participants: Collection[str] = ()) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of every ``sub-X/anat/sub-X_desc-siena_morph.tsv``, and notes.

    The columns are participant_id, session_id_baseline, session_id_followup, pbvc (%, NaN when missing), source, status
    and reason.
    """
    notes: list[str] = []
    tables = tables_of_people(root, SIENA, participants)
    return [_pbvc_row(subject, row) for subject, path in tables for row in _table(path, _PBVC, notes)], notes


def read_changes(
    root: Path, participants: Collection[str] = (), doubts: Collection[str] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Of every ``sub-X/anat/sub-X_desc-change_morph.tsv`` the rows by registration (columns ``CHANGES``), the pairs of
    visits that have one of these flags (``doubts``) in any row (columns ``PAIRS``), and notes. A row by registration
    without a number that can be used is not ok.
    """
    rows: list[dict[str, Any]] = []
    pairs: dict[tuple[str | None, ...], dict[bool, str]] = {}  # with both volumes, and without, the first reason
    notes: list[str] = []
    for subject, path in tables_of_people(root, CHANGE, participants):
        for row in _table(path, CHANGES[1:], notes):
            if not set((row["flags"] or "").split(", ")).isdisjoint(doubts):
                pair = subject, row["session_id_baseline"], row["session_id_followup"]
                both = not math.isnan(number(row["delta_percent"]))
                pairs.setdefault(pair, {}).setdefault(both, row["reason"] or "")
            if row["measure"] != "registration" or not row["method"]:
                continue
            cells = {name: row[name] for name in CHANGES[1:]}
            change: dict[str, Any] = {
                name: number(cell) if name.startswith("delta_") else cell or "" for name, cell in cells.items()
            }
            percents = [change[f"delta_{side}percent"] for side in ("", "left_", "right_")]
            if change["status"] == "ok" and not (
                percents[0] > -100 and all(one > -100 for one in percents if one == one)
            ):
                change |= {"status": "failed", "reason": "the change is no number above -100 %"}
            rows.append({"participant_id": subject} | change)
    out = [  # where a volume is missing, the reason tells of that too
        dict(zip(PAIRS, (*pair, reasons.get(True, reasons.get(False))), strict=True)) for pair, reasons in pairs.items()
    ]
    return rows, out, notes


def read_pbvc_table(path: Path, participants: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows of a given table (``--pbvc-table``), with the columns of `read_pbvc`; errors of `read_given`."""
    return [
        dict(zip(COLUMNS[:3], pair, strict=True)) | {"source": "table"} | asdict(given)
        for pair, given in read_given(path).items()
        if not participants or pair[0].removeprefix("sub-") in participants
    ]


def number(text: str | None) -> float:
    """A number of one of our own tables; NaN for none and for what is no finite number."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _pbvc_row(subject: str, row: Mapping[str, str | None]) -> dict[str, Any]:
    value = number(row["pbvc"])
    status = row.get("status") or ("ok" if value == value else "missing")
    reason = row.get("reason") or ""
    if status == "ok" and value != value:
        status, reason = "missing", reason or "no number"
    return {
        "participant_id": subject,
        "session_id_baseline": with_prefix(row["session_id_baseline"], "ses-"),
        "session_id_followup": with_prefix(row["session_id_followup"], "ses-"),
        "pbvc": value,
        "source": row.get("source") or "",
        "status": status,
        "reason": reason,
    }


def _session_rows(place: Place, path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """The rows of one morph table, one per method."""
    start = {"participant_id": place.participant_id, "session_id": place.session_id, "entities": _entities(path.name)}
    rows: dict[str, dict[str, Any]] = {}
    for row in _table(path, ("method", "volume_mm3"), notes):
        method = row["method"]
        if method is None:
            notes.append(f"warning: {path.name}: a row without a method is not used.")
            continue
        volume = start | _volume_row(method, row)
        if method in rows and not _same(rows[method], volume):
            reason = "the table has this method twice, with different values"
            rows[method] |= {"status": "failed", "reason": reason}
            notes.append(f"warning: {path.name}: {method}: {reason}.")
        else:
            rows[method] = volume
    return list(rows.values())


def _volume_row(method: str, row: Mapping[str, str | None]) -> dict[str, Any]:
    """Method, volumes in mL, status and reason of one row."""
    names = ("volume_mm3", "volume_left_mm3", "volume_right_mm3")
    values = {name: number(row.get(name)) for name in names}
    status, reason = row.get("status") or "ok", row.get("reason") or ""
    if status not in STATUSES:
        status, reason = "failed", f"unknown status {status!r}"
    elif status == "ok" and not values["volume_mm3"] > 0:
        status, reason = "failed", f"the volume is {row['volume_mm3'] or 'missing'}"
    elif status == "ok" and not MIN_MM3 <= values["volume_mm3"] <= MAX_MM3:
        status, reason = "failed", f"a volume of {values['volume_mm3']:g} mm3 is that of no pair of thalami"
    in_ml = {name.replace("_mm3", "_ml"): values[name] / 1000 for name in names}
    return {"method": method, "image": row.get("image") or "", **in_ml, "status": status, "reason": reason}


def _same(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    return all(one[key] == two[key] or (one[key] != one[key] and two[key] != two[key]) for key in one)


def _table(path: Path, needed: Sequence[str], notes: list[str]) -> list[dict[str, str | None]]:
    """The rows of a table; none, and a note, when it is damaged."""
    try:
        rows = read_table(path)
    except MetadataError as error:
        notes.append(f"warning: {path.name} is not used: {error.problem}")
        return []
    absent = [name for name in needed if rows and name not in rows[0]]
    if absent:
        notes.append(f"warning: {path.name} is not used: it has no column {', '.join(absent)}.")
        return []
    return rows


def _entities(name: str) -> str:
    """The entities of a file name besides sub, ses and desc (``acq-mprage_run-1``)."""
    parts = name.split("_")[:-1]
    return "_".join(part for part in parts if part.split("-")[0] not in ("sub", "ses", "desc"))


def _runs(name: str) -> tuple[int, str]:
    match = re.search(r"_run-(\d+)", name)
    return (int(match[1]) if match else 0, name)


def _folders(root: Path, pattern: re.Pattern[str]) -> list[str] | None:
    """Names of the sub-folders that match, in natural order; None when the folder cannot be read."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if pattern.fullmatch(entry.name) and os.path.isdir(entry.path)]  # noqa: PTH112 (a link in a circle raises elsewhere)
    except OSError:
        return None
    return sorted(names, key=natural)
