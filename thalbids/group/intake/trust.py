"""Whether results are still what was computed: tables and masks against the records of the steps that wrote them.

A record (the QC document for the volumes of a session, the sidecar of a mask for the mask) lists the SHA-256 of
every file of its step. What was edited, damaged or exchanged afterwards is left out, with the reason; results without
records (of other programs, or copies of tables alone) are taken as they stand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from thalbids.bids.dataset.index import LABEL
from thalbids.bids.results.derivatives import Place, tables_of_people
from thalbids.bids.results.documents import read_document
from thalbids.engine.fingerprint import file_sha256, json_sha256
from thalbids.engine.record import KEY
from thalbids.errors import MetadataError, some
from thalbids.files import names_in, read_json, read_lines

QC, MASK, REORIENTED = "desc-thalamus_qc.json", "mask.json", "desc-reoriented"
TABLES = (  # and where their records are
    ("desc-thalamus_morph.tsv", QC),
    ("desc-icv_morph.tsv", "desc-icv_morph.json"),
    ("desc-thalamusqmri_morph.tsv", "desc-thalamusqmri_morph.json"),
)
NEEDED = {"method", "volume_mm3"}  # columns of a table of volumes
MEND = "run participant again"


def distrusted(out_dir: Path, places: Sequence[Place], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What is not to be trusted: participant_id, session_id, method ("" for the whole session), reason.

    Parameters
    ----------
    rows : of the volume tables: participant_id, session_id, method, status
    """
    usable: dict[tuple[str, str], list[str]] = {}
    listed = {(row["participant_id"], row["session_id"]) for row in rows}
    for row in rows:
        if row["status"] == "ok":
            usable.setdefault((row["participant_id"], row["session_id"]), []).append(row["method"])
    faults = []
    for place in places:
        ids = {"participant_id": place.participant_id, "session_id": place.session_id}
        measured = bool(place.ending(QC) or place.ending(TABLES[0][0]))
        if (place.participant_id, place.session_id) not in listed and measured and not _has_volumes(place):
            reason = f"{place.name}_{TABLES[0][0]} is not there, holds no volumes or cannot be read: {MEND}"
            faults.append({**ids, "method": "", "reason": reason})
            continue
        methods = usable.get((place.participant_id, place.session_id), [])
        fault, recorded = _session_fault(out_dir, place) if methods else ("", False)
        recorded = recorded and bool(place.masks())  # a copy of the tables alone has no masks to contradict them
        if fault:
            faults.append({**ids, "method": "", "reason": f"{fault}: {MEND}"})
            continue
        for method in methods:
            if fault := _mask_fault(out_dir, place, method, recorded):
                faults.append({**ids, "method": method, "reason": f"{fault}: {MEND}"})
    return faults


def _has_volumes(place: Place) -> bool:
    """Whether a session has a table of volumes that can be read, and that holds some."""
    for path in place.ending(TABLES[0][0]):
        try:
            columns, rows = read_lines(path)
            if rows and set(columns) >= NEEDED:
                return True
        except MetadataError:
            continue
    return False


def note(row: Mapping[str, str]) -> str:
    """A row of `distrusted` as a warning."""
    what = " ".join(filter(None, (row["participant_id"], row["session_id"], row["method"])))
    return f"warning: {what} left out: {row['reason']}."


def _session_fault(out_dir: Path, place: Place) -> tuple[str, bool]:
    """Why the volumes of a session are not what its records tell of ("" when they are), and whether there are any."""
    recorded = False
    for path in (path for _, record in TABLES for path in place.ending(record)):
        fault, known = _record_fault(out_dir, path)
        if not known and not fault and path.name.endswith(QC):
            try:
                read_document(path)
            except MetadataError:
                fault = f"{path.name} is damaged"
        if fault:
            return fault, recorded
        recorded = recorded or known
    if recorded or _recorded(place):
        lacking = (record for table, record in TABLES if place.ending(table) and not place.ending(record))
        return next((f"{place.name}_{record}, the record of a table, is not there" for record in lacking), ""), recorded
    return "", recorded


def _recorded(place: Place) -> bool:
    """Whether a session has a mask with a record: a copy of tables alone has none."""
    return any(_listed(path) for path in place.ending(MASK))


def _listed(path: Path) -> dict[str, str]:
    """The files of a record and their SHA-256; nothing where a JSON file is none, or cannot be read."""
    try:
        return dict(read_json(path)[KEY]["Outputs"])
    except (MetadataError, KeyError, TypeError, ValueError):
        return {}


def _record_fault(out_dir: Path, path: Path) -> tuple[str, bool]:
    """Why the files of a record (a JSON file) are not what it tells of ("" when they are), and whether it is one."""
    try:
        document = read_json(path)
        provenance = document.pop(KEY, None)
        if provenance is None:
            return "", False
        listed = dict(provenance["Outputs"])
    except (MetadataError, AttributeError, KeyError, TypeError, ValueError):
        return f"{path.name} is damaged", False
    if listed.pop(path.relative_to(out_dir).as_posix(), None) != json_sha256(document):
        return f"{path.name} was changed after it was written", True
    return _changed(out_dir, listed), True


def changed_tables(out_dir: Path, ending: str, places: Sequence[Place]) -> dict[str, str]:
    """Why the table of a person that looks at several sessions is not what its record tells of, by ``sub-X``.

    Parameters
    ----------
    ending : of the table's name (``desc-change_morph.tsv``)
    places : sessions; where one has records, its person's tables must have theirs
    """
    faults = {}
    of_person: dict[str, list[Place]] = {}
    for place in places:
        of_person.setdefault(place.participant_id, []).append(place)
    people = {person.removeprefix("sub-") for person in of_person}
    for person, path in tables_of_people(out_dir, ending, people):
        record = path.with_suffix(".json")
        fault = ""
        if record.is_file():
            fault = _record_fault(out_dir, record)[0]
        elif any(map(_recorded, of_person.get(person, ()))):
            fault = f"{record.name}, the record of a table, is not there"
        if fault:
            faults[person] = f"{fault}: {MEND}"
    return faults


def _mask_fault(out_dir: Path, place: Place, method: str, recorded: bool) -> str:
    """Why the mask of a method is not what its record tells of ("" when it is); ``recorded``: there should be one."""
    for path in place.ending(f"desc-{method}_mask.json")[:1]:
        try:
            provenance = read_json(path).get(KEY)
            listed = {} if provenance is None else dict(provenance["Outputs"])
        except (MetadataError, AttributeError, KeyError, TypeError, ValueError):
            return f"{path.name}, the record of its mask, is damaged"
        if provenance is None and recorded:  # a step with several masks has one record, beside the first
            mask = path.with_suffix(".nii.gz").relative_to(out_dir).as_posix()
            records = (_listed(path.with_name(name)) for name in place.names if name.endswith(".json"))
            listed = next((record for record in records if mask in record), {})
            if not listed:
                return "no record tells of its mask"
        unread = (".json", "_probseg.nii.gz")  # a copy may lack the probabilities
        return _changed(out_dir, {name: d for name, d in listed.items() if not name.endswith(unread)})
    return "the record of its mask is not there" if recorded else ""


def _changed(out_dir: Path, listed: Mapping[str, str]) -> str:
    """The first file that is not what a record lists; "" when all are."""
    for name, digest in listed.items():
        there = _digest(out_dir / name)
        if there != digest:
            what = "is not there" if there is None else "is not the file that its record tells of"
            return f"{Path(name).name} {what}"
    return ""


def unreadable_folders(out_dir: Path, labels: Collection[str] = ()) -> list[str]:
    """Warnings about folders of results that cannot be read: a broken link, one to itself, no permission.

    ``labels``: of people, without prefix; empty means all.
    """
    warnings = []
    for person in sorted(names_in(out_dir)):
        if re.fullmatch(f"sub-{LABEL}", person) and (not labels or person.removeprefix("sub-") in labels):
            inside, closed = _inside(out_dir, person)
            for session in ("", *(name for name in inside if re.fullmatch(f"ses-{LABEL}", name))):
                folder = f"{person}/{session}".rstrip("/")
                below, shut = _inside(out_dir, folder) if session else (inside, [])
                closed += shut + (_inside(out_dir, f"{folder}/anat")[1] if "anat" in below else [])
            if closed:
                warnings.append(f"warning: {person} left out, in whole or in part: cannot be read: {some(closed)}.")
    return warnings


def _inside(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """The names in a folder (none in a file), and the folder with the reason where they cannot be listed."""
    try:
        return sorted(os.listdir(root / folder)), []  # noqa: PTH208 (names only)
    except NotADirectoryError:
        return [], []
    except OSError as error:
        return [], [f"{folder} ({error.strerror})"]


def same_scans(places: Sequence[Place]) -> list[str]:
    """Warnings about sessions with another label whose T1w (or what takes its place) is the same to the last bit."""
    by_digest: dict[str, list[str]] = {}
    for place in places:
        for path in place.ending(f"{REORIENTED}_{place.reference}.json")[:1]:
            for name, digest in _listed(path).items():
                if name.endswith(f"_{place.reference}.nii.gz"):
                    by_digest.setdefault(str(digest), []).append(place.name)
    groups = [names for names in by_digest.values() if len(names) > 1]
    return [
        f"warning: one scan under several labels: {' = '.join(names)}. They count several times." for names in groups
    ]


def _digest(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None
