"""Find the images of every session in a raw BIDS dataset.

The rules (what is read, which of several images is taken, what stops a session) are written down for users in
``docs/inputs.md``; keep both in step.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalbids.bids.files import read_json
from thalbids.bids.filters import Filters, matches
from thalbids.bids.index import ENTITY, LABEL, SUFFIXES, index_anat
from thalbids.errors import MetadataError, NoInputError, ThalbidsError
from thalbids.types import InputImage, Session

LOG = logging.getLogger(__name__)

# What tells two images of one contrast apart without changing what they are; anything else (echo-, part-, chunk-, inv-,
# desc-, ...) makes the file a piece of an acquisition or a derivative, which is used only when a filter asks for it.
USABLE_ENTITIES = frozenset({"task", "acq", "ce", "rec", "run"})

_NAME = re.compile(rf"(?P<entities>(?:{ENTITY}_)*)(?P<suffix>[0-9A-Za-z]+)(?P<extension>\.nii\.gz|\.nii|\.json)")
_ANNEX_POINTER = b"/annex/objects/"


@dataclass(frozen=True)
class _File:
    """A file of the dataset whose name follows BIDS."""

    path: Path
    suffix: str
    extension: str
    entities: Mapping[str, str]  # without sub and ses


@dataclass
class _Sidecars:
    """JSON sidecars by the inheritance principle; folders and files are read once."""

    root: Path
    folders: dict[Path, list[_File]] = field(default_factory=dict)
    contents: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def merged(self, image: _File) -> dict[str, Any]:
        """The metadata of an image: nearer folders win over farther ones, more specific names over general ones."""
        levels = [folder for folder in image.path.parents if folder.is_relative_to(self.root)]
        merged: dict[str, Any] = {}
        for folder in reversed(levels):
            for sidecar in self._in(folder):
                if sidecar.suffix == image.suffix and sidecar.entities.items() <= image.entities.items():
                    merged.update(self._content(sidecar.path))
        return merged

    def _in(self, folder: Path) -> list[_File]:
        """Sidecars of a folder, general names first; those for another subject or session never lie on the way up."""
        if folder not in self.folders:
            found = [_parse(folder / name) for name in os.listdir(folder) if name.endswith(".json")]
            files = [file for file in found if file is not None and file.suffix in SUFFIXES]
            self.folders[folder] = sorted(files, key=lambda file: (len(file.entities), file.path.name))
        return self.folders[folder]

    def _content(self, path: Path) -> dict[str, Any]:
        if path not in self.contents:
            if _content_is_absent(path):
                raise MetadataError(*_ABSENT, path)
            self.contents[path] = read_json(path)
        return self.contents[path]


_ABSENT = (
    "a link whose content is not on this machine.",
    "Get the content first (datalad get, git annex get) or repair the link.",
)


def find_sessions(
    bids_dir: Path | str,
    participant_labels: Sequence[str] = (),
    session_labels: Sequence[str] = (),
    filters: Mapping[str, Mapping[str, object]] | None = None,
    database_dir: Path | str | None = None,
) -> list[Session]:
    """Every asked session of a dataset, sorted by subject and session.

    Parameters
    ----------
    bids_dir : the root of the raw dataset
    participant_labels, session_labels : with or without ``sub-`` and ``ses-``; empty means all
    filters : what `thalbids.bids.filters.read_filters` gives for a ``--bids-filter-file``
    database_dir : folder of a pybids database; made when it is not there, trusted when it is

    Returns
    -------
    list of Session
        A session that cannot be processed (no T1w, damaged sidecar) is in the list with its ``problem`` set.

    Raises
    ------
    NoInputError
        The folder is not there, has no subjects, or lacks an asked label (the message names those that exist).
    MetadataError
        ``dataset_description.json`` is there but damaged.
    UsageError
        A filter or the database is unusable.
    """
    root = _root(bids_dir)
    asked = Filters.of(filters)
    _, dataset_notes = raw_description(root)
    for note in dataset_notes:
        LOG.warning(note)
    places = _places(root, participant_labels, session_labels, asked)
    files = _by_folder(index_anat(root, sorted({subject for subject, _ in places}), database_dir), root)
    sidecars = _Sidecars(root)
    sessions = []
    for subject, session in places:
        found = files.get((subject, session), [])
        sessions.append(_session(root, subject, session, found, asked, sidecars, dataset_notes))
    return sessions


def raw_description(bids_dir: Path | str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The raw dataset's ``dataset_description.json`` ({} when there is none) and what is worth saying about it.

    Raises
    ------
    MetadataError
        The file is there but cannot be read as a JSON object.
    """
    path = Path(bids_dir) / "dataset_description.json"
    if not os.path.lexists(path):
        return {}, ("dataset_description.json is missing: not a valid BIDS dataset; read as one all the same.",)
    if _content_is_absent(path):
        raise MetadataError(*_ABSENT, path)
    description = read_json(path)
    if description.get("DatasetType") == "derivative":
        return description, (
            "dataset_description.json calls this dataset a derivative; read as raw data all the same.",
        )
    return description, ()


def _root(bids_dir: Path | str) -> Path:
    """The absolute path of the dataset; links on the way are kept, as the user knows the place."""
    root = Path(os.path.abspath(bids_dir))
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "is not there"
        raise NoInputError(f"the BIDS dataset {what}.", "Check the first argument, BIDS_DIR.", bids_dir)
    return root


def _places(
    root: Path, participant_labels: Sequence[str], session_labels: Sequence[str], asked: Filters
) -> list[tuple[str, str | None]]:
    """The asked (subject, session) pairs that have a folder; session None where images lie right under the subject."""
    existing = _labels(root, "sub")
    if not existing:
        raise NoInputError("no sub-* folder in the dataset.", "BIDS_DIR must be the folder that holds them.", root)
    subjects = _chosen("participant", participant_labels, "sub", existing)
    subjects = [label for label in subjects if asked.keeps("subject", label)]
    pairs: list[tuple[str, str | None]] = []
    for subject in subjects:
        sessions = _labels(root / f"sub-{subject}", "ses")
        pairs += [(subject, session) for session in sessions]
        if not sessions or _has_candidates(root / f"sub-{subject}" / "anat"):
            pairs.append((subject, None))
    known = sorted({session for _, session in pairs if session is not None})
    if session_labels:
        wanted = set(_chosen("session", session_labels, "ses", known))
        pairs = [pair for pair in pairs if pair[1] in wanted]
    pairs = [pair for pair in pairs if asked.keeps("session", pair[1])]
    if not pairs:
        mend = f"Subjects: {_listing(existing)}; sessions: {_listing(known)}."
        raise NoInputError("the labels and the filter together leave no session.", mend, root)
    return sorted(pairs, key=lambda pair: (pair[0], pair[1] or ""))


def _labels(folder: Path, entity: str) -> list[str]:
    """Labels of the sub-folders ``<entity>-<label>`` whose label follows BIDS."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(f"{entity}-") and entry.is_dir()]
    except OSError as error:
        mend = "Check its permissions."
        raise NoInputError(f"the folder cannot be read ({error.strerror or error}).", mend, folder) from None
    return sorted(name[len(entity) + 1 :] for name in names if re.fullmatch(LABEL, name[len(entity) + 1 :]))


def _chosen(what: str, asked: Sequence[str], entity: str, existing: Sequence[str]) -> list[str]:
    """The asked labels without their prefix, in the order of the dataset; all when none is asked."""
    if not asked:
        return list(existing)
    labels = [label.removeprefix(f"{entity}-") for label in asked]
    absent = sorted({label for label in labels if label not in existing})
    if absent:
        problem = f"the dataset has no {what} {', '.join(absent)}."
        raise NoInputError(problem, f"It has: {_listing(existing)}.")
    return [label for label in existing if label in labels]


def _listing(labels: Sequence[str], most: int = 20) -> str:
    """Labels for a message, cut where they get too many."""
    if not labels:
        return "none"
    rest = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + rest


def _has_candidates(anat: Path) -> bool:
    """Whether the folder holds an image that we could use."""
    if not anat.is_dir():
        return False
    files = (_parse(anat / name) for name in os.listdir(anat))
    return any(file is not None and file.suffix in SUFFIXES and file.extension != ".json" for file in files)


def _parse(path: Path) -> _File | None:
    """A file by its name; None when the name does not follow BIDS."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    pairs = [part.split("-", 1) for part in match["entities"].rstrip("_").split("_") if part]
    entities = {key: value for key, value in pairs if key not in ("sub", "ses")}
    if len({key for key, _ in pairs}) < len(pairs):
        return None
    return _File(path, match["suffix"], match["extension"], entities)


def _by_folder(paths: Iterable[Path], root: Path) -> dict[tuple[str, str | None], list[_File]]:
    """Image files by (subject, session) of their folder; a file whose name says otherwise is left out."""
    found: dict[tuple[str, str | None], list[_File]] = {}
    for path in sorted(paths):
        folders = path.relative_to(root).parts[:-2]  # without anat and the name
        subject = folders[0].removeprefix("sub-")
        session = folders[1].removeprefix("ses-") if len(folders) > 1 else None
        file = _parse(path)
        start = f"sub-{subject}_" + (f"ses-{session}_" if session else "")
        if file is None or not path.name.startswith(start) or (session is None and "_ses-" in path.name):
            LOG.warning(
                "%s: the name does not follow BIDS or contradicts its folder; not used.", path.relative_to(root)
            )
            continue
        found.setdefault((subject, session), []).append(file)
    return found


def _session(
    root: Path,
    subject: str,
    session: str | None,
    files: list[_File],
    asked: Filters,
    sidecars: _Sidecars,
    dataset_notes: tuple[str, ...],
) -> Session:
    """The record of one session: which image of each kind, and what there is to say."""
    notes = list(dataset_notes)
    images: dict[str, InputImage] = {}
    problem = None
    for kind, suffixes in (("T1w", ("T1w",)), ("FLAIR", ("FLAIR",)), ("R1map", ("R1map", "T1map")), ("T2w", ("T2w",))):
        try:
            image = _image(root, suffixes, files, asked, sidecars, notes)
        except ThalbidsError as error:
            reason = _relative(str(error), root)
            if kind == "T1w":
                problem = reason
            else:
                notes.append(f"{kind} not used: {reason}")
            continue
        if image is not None:
            images[kind] = image
        elif kind == "T1w":
            problem = _no_t1w(root, subject, session, files)
        elif kind != "T2w":  # no method needs a T2w
            notes.append(f"no {' or '.join(suffixes)} found.")
    record = Session(subject, session, images, tuple(notes), problem)
    for note in record.notes[len(dataset_notes) :]:
        LOG.info("%s: %s", record.name, note)
    if problem:
        LOG.warning("%s: %s", record.name, problem)
    return record


def _image(
    root: Path,
    suffixes: Sequence[str],
    files: list[_File],
    asked: Filters,
    sidecars: _Sidecars,
    notes: list[str],
) -> InputImage | None:
    """The image with the first of these suffixes that has any, by the rule of `_preference`; None when there is none."""
    for suffix in suffixes:
        candidates = [file for file in files if file.suffix == suffix and _usable(file, asked.entities(suffix))]
        if not candidates:
            continue
        chosen = candidates[0]
        if len(candidates) > 1:
            ranked = sorted(candidates, key=lambda file: _preference(file, sidecars))
            chosen = ranked[0]
            others = ", ".join(file.path.name for file in ranked[1:])
            notes.append(f"{len(ranked)} {suffix} images: {chosen.path.name} is used; not used: {others}.")
        if suffix != suffixes[0]:
            notes.append(f"no {suffixes[0]}: {chosen.path.name} is used.")
        if _content_is_absent(chosen.path):
            raise MetadataError(*_ABSENT, chosen.path)
        uri = f"bids:raw:{chosen.path.relative_to(root).as_posix()}"
        return InputImage(chosen.path, uri, suffix, dict(chosen.entities), sidecars.merged(chosen))
    return None


def _usable(file: _File, wanted: Mapping[str, object]) -> bool:
    """Whether the file is a whole image (or a filter asks for the piece) and passes the filter."""
    pieces = set(file.entities) - USABLE_ENTITIES - set(wanted)
    return not pieces and matches(file.entities, file.extension, wanted)


def _preference(file: _File, sidecars: _Sidecars) -> tuple[object, ...]:
    """Sort key of the documented rule: the smallest is used.

    1. without contrast agent (no ``ce-``); 2. no ``rec-``, then ``rec-norm``, then any other; 3. ``MRAcquisitionType``
    3D, then unknown, then 2D; 4. fewer entities; 5. ``acq-`` and the rest in alphabetical order; 6. the lowest ``run-``;
    7. ``.nii.gz`` before ``.nii``.
    """
    entities = file.entities
    rec = entities.get("rec")
    try:
        dimensions = str(sidecars.merged(file).get("MRAcquisitionType", "")).upper()
    except MetadataError:
        dimensions = ""  # reported when the image is chosen
    run = entities.get("run", "0")
    others = {key: value for key, value in entities.items() if key != "run"}
    return (
        "ce" in entities,
        0 if rec is None else 1 if rec == "norm" else 2,
        {"3D": 0, "2D": 2}.get(dimensions, 1),
        len(others),
        sorted(others.items()),
        (int(run), run) if run.isdecimal() else (0, run),
        file.extension != ".nii.gz",
        file.path.name,
    )


def _content_is_absent(path: Path) -> bool:
    """Whether the file is a broken link, or the pointer that git-annex leaves for content that is elsewhere."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_ANNEX_POINTER)) == _ANNEX_POINTER
    except FileNotFoundError:
        return os.path.lexists(path)
    except OSError:
        return False  # no permission and the like: reported by whoever reads it


def _no_t1w(root: Path, subject: str, session: str | None, files: list[_File]) -> str:
    """Why there is no T1w, with what lies there instead."""
    anat = root / f"sub-{subject}" / (f"ses-{session}" if session else "") / "anat"
    shown = anat.relative_to(root).as_posix()
    if not anat.is_dir():
        return f"no T1w image: there is no folder {shown}."
    left_out = [file.path.name for file in files if file.suffix == "T1w"]
    if left_out:
        return f"no T1w image that can be used: {_listing(left_out, 3)} left out (a piece of an image, or the filter)."
    names = sorted(name for name in os.listdir(anat) if not name.startswith("."))
    if not names:
        return f"no T1w image: the folder {shown} is empty."
    return f"no T1w image in {shown}, which holds {_listing(names, 3)}."


def _relative(text: str, root: Path) -> str:
    """A message without the absolute path of the dataset (it goes into reports)."""
    return text.replace(f"{root}{os.sep}", "")
