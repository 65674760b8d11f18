"""Which subjects and sessions a raw dataset has, and which of its folders are neither: nobody is left out silently.

A session is a folder whose ``anat/`` holds an image of a kind that thalbids uses, whatever its name says. Others
(function, MEG) are none of ours and are counted in one line; what is ours and cannot be read is a session with a
problem.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath

from thalbids.bids.dataset.filters import Filters
from thalbids.bids.dataset.index import LABEL, SUFFIXES
from thalbids.bids.dataset.sidecars import listing, parse
from thalbids.errors import MetadataError, NoInputError, some
from thalbids.files import read_lines

Place = tuple[str, str | None]  # subject and session labels; None where images lie right under the subject

MAX_LABELS = 100  # characters of both labels together: names of results add 120, and file systems end at 255
RULE = "a label holds only letters, digits and +"
_OURS = re.compile(rf"(?:^|_)(?:{'|'.join(SUFFIXES)})\.nii(?:\.gz)?$", re.IGNORECASE)
_OTHER_FORMATS = (  # of images
    ".mgz", ".mgh", ".img", ".hdr", ".img.gz", ".hdr.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".mnc.gz", ".dcm",
    ".ima",
)  # fmt: skip
_SUFFIX = re.compile(rf"(?:^|_)(?:{'|'.join(SUFFIXES)})\.", re.IGNORECASE)
_PREFIXES = {"participant": "sub-", "session": "ses-"}
_NOWHERE = "a link that leads nowhere; get its content first (datalad get) or repair it."


@dataclass
class Survey:
    """What the folders of a dataset say.

    Attributes
    ----------
    places : asked sessions that hold an image of ours, or should; sorted
    problems : why some of them cannot be processed at all
    notes : what is to be said of single sessions
    remarks : what is to be said of the dataset; warnings start with ``warning:``
    lost : people and sessions that cannot even be named in results, with the reason
    closed : folders that may not be read, inside the dataset
    """

    root: Path
    places: list[Place] = field(default_factory=list)
    problems: dict[Place, str] = field(default_factory=dict)
    notes: dict[Place, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    _sessions: dict[str, list[Place]] = field(default_factory=dict)
    _skipped: list[str] = field(default_factory=list)
    _unread: set[str] = field(default_factory=set)  # subjects that have sessions among them
    _odd: list[str] = field(default_factory=list)
    _nearly: list[str] = field(default_factory=list)
    _files: list[str] = field(default_factory=list)  # in place of folders
    _no_nifti: list[str] = field(default_factory=list)
    _elsewhere: list[str] = field(default_factory=list)
    _without: list[str] = field(default_factory=list)

    def subjects(self) -> list[str]:
        """Sorted labels of the subjects; links that lead nowhere are among them, with their problem.

        Raises
        ------
        NoInputError
            The dataset cannot be read, or has none.
        """
        try:
            everything = _entries(self.root)
        except OSError as error:
            problem = f"the BIDS dataset cannot be read ({error.strerror or error})."
            raise NoInputError(problem, "Check its permissions.", self.root) from None
        self._nearly += [entry.name for entry in everything if _nearly(entry, "sub-")]
        self._files += [entry.name for entry in everything if _file_for_folder(entry, "sub-")]
        labels = []
        for entry in (entry for entry in everything if entry.name.startswith("sub-")):
            label, leads = entry.name.removeprefix("sub-"), _leads(entry)
            if leads and not re.fullmatch(LABEL, label):
                self._skipped.append(entry.name)
            elif leads:
                labels.append(label)
                if leads == "nowhere":
                    self.problems[label, None] = f"{entry.name} is {_NOWHERE}"
        if not labels:
            self.told()
            mend = " ".join([_where_they_are(self.root), *self.remarks])
            raise NoInputError("no sub-* folder in the dataset.", mend, self.root)
        return sorted(labels)

    def subject(self, label: str) -> list[Place]:
        """Every session of a subject; one without a label where there are none, or images beside them."""
        folder = self.root / f"sub-{label}"
        try:
            entries = _entries(folder)
        except OSError as error:
            self._close((label, None), folder, error)
            return [(label, None)]
        self._nearly += [f"sub-{label}/{entry.name}" for entry in entries if _nearly(entry, "ses-", "anat")]
        self._files += [f"sub-{label}/{entry.name}" for entry in entries if _file_for_folder(entry, "ses-", "anat")]
        places: list[Place] = []
        for entry in entries:
            session = entry.name.removeprefix("ses-")
            if not entry.name.startswith("ses-") or not (leads := _leads(entry)):
                continue
            if not re.fullmatch(LABEL, session):
                self._skipped.append(f"sub-{label}/{entry.name}")
                self._unread.add(label)
                continue
            places.append((label, session))
            if leads == "nowhere":
                self.problems[label, session] = f"sub-{label}/{entry.name} is {_NOWHERE}"
        beside = any(entry.name == "anat" for entry in entries) and any(map(_ours, self._anat((label, None))))
        return places if places and not beside and (label, None) not in self.problems else [(label, None), *places]

    def look(self, place: Place) -> None:
        """Decide about one asked session: ours, broken, or none of ours."""
        name = name_of(place)
        if len(place[0]) + len(place[1] or "") > MAX_LABELS:
            self.lost.append(f"{name}: its labels are longer than {MAX_LABELS} characters together.")
            return
        names = [] if place in self.problems else self._anat(place)
        for file in names:
            if _ours(file) and (not printable(file) or parse(Path(file)) is None):
                self._odd.append(f"{_inside(place)}/anat/{file}")
        self._no_nifti += [f"{_inside(place)}/anat/{file}" for file in _no_nifti(names)]
        missing = [] if place in self.problems else self._missing(place, names)
        if missing and not any(map(_ours, names)):
            self.problems[place] = f"no image: its scans.tsv names {', '.join(missing[:3])}, which is not there."
        elif missing:
            self.notes[place] = [f"its scans.tsv names {', '.join(missing)}, which is not there."]
        if place in self.problems or any(map(_ours, names)):
            self.places.append(place)
        elif any(not file.endswith((".json", ".tsv")) for file in names):
            self._without.append(name)
        elif place[1] is not None or place[0] not in self._unread:  # else its sessions are told already
            self._elsewhere.append(name)

    def told(self) -> None:
        """Put what was seen into remarks, one line for each kind."""
        self._told_of_folders()
        people = {f"sub-{person}": person for person, _ in self.places}
        self._warn("labels that nearly match count as several people", _alike(people))
        visits: dict[str, dict[str, str]] = {}
        for place in self.places:
            if place[1] is not None:
                visits.setdefault(place[0], {})[name_of(place)] = place[1]
        alike = [names for of_person in visits.values() for names in _alike(of_person)]
        self._warn("labels that nearly match count as several visits", alike)
        beside = [name_of(place) for place in self.places if place[1] is None and place[0] in visits]
        text = "images beside the folders of sessions count as a visit of their own"
        self._warn(text, beside, " Put them into a ses-* folder.")
        self._warn("not used, the name does not follow BIDS", self._odd)
        self._warn("not used, as BIDS wants NIfTI", self._no_nifti, " Convert to .nii.gz.")
        for lost in self.lost:
            self.remarks.append(f"warning: {lost}")
        if self._without:
            text = "with an anat/ folder but without an image that thalbids uses"
            self.remarks.append(f"warning: {_counted(self._without)} {text}, left out: {some(self._without, 20)}.")
        if self._elsewhere:
            text = "without an image that thalbids uses (function, MEG ...), left out"
            self.remarks.append(f"{_counted(self._elsewhere)} {text}: {some(self._elsewhere, 20)}.")

    def _told_of_folders(self) -> None:
        """Folders that are not read, and files in place of them."""
        if self._skipped:
            example = f" (such as {self._skipped[0].split('/')[-1][:4]}{_mended(self._skipped[0])})"
            self._warn(f"not read, as {RULE}", self._skipped, f" Rename the folder and its files{example}.")
        self._warn("not read, as folders are named sub-LABEL, ses-LABEL and anat, in lower case", self._nearly)
        self._warn("not read, files in place of folders (links that a copy made text of?)", self._files)

    def _warn(self, text: str, names: Sequence[str], mend: str = "") -> None:
        """A remark that names each of these once; none where there are no names."""
        if names:
            self.remarks.append(f"warning: {text}: {some(list(dict.fromkeys(names)), 20)}.{mend}")

    def _anat(self, place: Place) -> list[str]:
        """Names in the ``anat`` folder of a session; none, and a problem, where they cannot be listed."""
        folder = self.root / _inside(place)
        try:
            entries = _entries(folder)
            if place[1] is not None:
                inside = _inside(place)
                self._nearly += [f"{inside}/{entry.name}" for entry in entries if _nearly(entry, "anat")]
                self._files += [f"{inside}/{entry.name}" for entry in entries if _file_for_folder(entry, "anat")]
            anat = [entry for entry in entries if entry.name == "anat"]
            if any(_leads(entry) == "nowhere" for entry in anat):
                self.problems[place] = f"{_inside(place)}/anat is {_NOWHERE}"
                return []
            return [name for name in listing(folder / "anat") if not name.startswith(".")]
        except OSError as error:
            self._close(place, folder, error)
        except MetadataError as error:
            self.problems[place] = f"no T1w: {_inside(place)}/anat: {error.problem} {error.mend}"
            self.closed.append(f"/{_inside(place)}/anat")
        return []

    def _missing(self, place: Place, names: Sequence[str]) -> list[str]:
        """Images of ours that the session's ``scans.tsv`` names and that are not there."""
        folder = self.root / _inside(place)
        try:
            path = next(path for path in (folder / f"{name_of(place)}_scans.tsv",) if os.path.lexists(path))
            columns, rows = read_lines(path)
            column = columns.index("filename")
        except (StopIteration, ValueError):
            return []
        except MetadataError as error:
            self.notes[place] = [f"its scans.tsv cannot be read: {error.problem}"]
            return []
        named = [PurePosixPath(cells[column]) for _, cells in rows]
        return [path.name for path in named if "anat" in path.parts and _ours(path.name) and path.name not in names]

    def _close(self, place: Place, folder: Path, error: OSError) -> None:
        inside = folder.relative_to(self.root).as_posix()
        self.problems[place] = f"{inside} cannot be read ({error.strerror or error}). Check its permissions."
        self.closed.append(f"/{inside}")


def survey(root: Path, participant_labels: Sequence[str], session_labels: Sequence[str], asked: Filters) -> Survey:
    """The asked sessions of a dataset.

    Raises
    ------
    NoInputError
        The dataset cannot be read, has no subjects, lacks an asked label, or the labels and the filter leave nothing.
    """
    result = Survey(root)
    subjects = result.subjects()
    chosen = _chosen("participant", participant_labels, subjects)
    broken = [label for label in chosen if (label, None) in result.problems]
    every = [place for label in chosen for place in ([(label, None)] if label in broken else result.subject(label))]
    places = [place for place in every if asked.keeps("subject", place[0])]
    sessions = sorted({session for _, session in places if session is not None})
    if session_labels:
        wanted = _chosen("session", session_labels, sessions)
        places = [place for place in places if place[1] in wanted or (place[1] is None and place in result.problems)]
        without = [f"sub-{subject}" for subject in chosen if subject not in {place[0] for place in places}]
        if without:
            result.remarks.append(f"warning: no session of those asked for: {some(without, 20)}.")
    places = [place for place in places if asked.keeps("session", place[1]) or place in result.problems]
    if not places:
        mend = f"Of these participants it has the sessions: {some(sessions, 20) or 'none'}."
        raise NoInputError("the labels and the filter together leave no session of the dataset.", mend, root)
    for place in sorted(places, key=lambda place: (place[0], place[1] or "")):
        result.look(place)
    result.told()
    if not result.places:
        mend = f"Looked for in anat/ are {', '.join(SUFFIXES)}. " + " ".join(result.remarks)
        raise NoInputError("no session holds an image that thalbids uses.", mend, root)
    return result


def name_of(place: Place) -> str:
    """``sub-01_ses-2`` or ``sub-01``."""
    return f"sub-{place[0]}" + (f"_ses-{place[1]}" if place[1] else "")


def printable(name: str) -> bool:
    """Whether a name is text that can be written: no bytes that are no UTF-8, no control characters."""
    return name.isprintable()


def _inside(place: Place) -> str:
    """The folder of a session inside the dataset."""
    return f"sub-{place[0]}" + (f"/ses-{place[1]}" if place[1] else "")


def _ours(name: str) -> bool:
    """Whether a file is an image of a kind that thalbids uses, by the end of its name."""
    return _OURS.search(name) is not None


def _no_nifti(names: Sequence[str]) -> list[str]:
    """Images of our kinds that are there in other formats only, a pair once; where a folder has none of ours, and these
    neither, the first image of another format.
    """
    others = {file.split(".")[0]: file for file in names if file.lower().endswith(_OTHER_FORMATS)}
    if not others:
        return []
    ours = {file.split(".")[0] for file in names if _ours(file)}
    of_our_kinds = [file for stem, file in others.items() if _SUFFIX.search(file) and stem not in ours]
    return of_our_kinds or ([] if ours else [*others.values()][:1])


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, in the order of the names."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _nearly(entry: os.DirEntry[str], *starts: str) -> bool:
    """Whether a folder, whose name BIDS does not know, was probably meant as one of ours: ``Sub-01``, ``sub_01``,
    ``SES1``, ``Anat``.
    """
    name = entry.name
    if name.startswith(starts):
        return False
    meant = (re.fullmatch(rf"{start.rstrip('-')}(?:[-_ ].*|\d+.*)?", name, re.IGNORECASE) for start in starts)
    return any(meant) and _leads(entry) == "folder"


def _file_for_folder(entry: os.DirEntry[str], *starts: str) -> bool:
    """Whether a file has the name of a folder of ours."""
    named = any(re.fullmatch(start + (LABEL if start.endswith("-") else ""), entry.name) for start in starts)
    return named and not _leads(entry)


def _alike(labels: Mapping[str, str]) -> list[str]:
    """Names (and what is compared of them) that differ in case or leading zeros only: ``sub-1 and sub-01``."""
    by_key: dict[str, list[str]] = {}
    for name, label in labels.items():
        by_key.setdefault(re.sub(r"(?<!\d)0+(?=\d)", "", label).casefold(), []).append(name)
    return [" and ".join(names) for names in by_key.values() if len(names) > 1]


def _leads(entry: os.DirEntry[str]) -> str:
    """``folder`` for a folder or a link to one, ``nowhere`` for a link to nothing or in a circle, "" for a file."""
    try:
        if entry.is_dir():
            return "folder"
        Path(entry.path).stat()
    except OSError:
        return "nowhere" if entry.is_symlink() else ""
    return ""


def _chosen(what: str, asked: Sequence[str], existing: Sequence[str]) -> list[str]:
    """The asked labels, without their prefix, in the order of the dataset; all when none is asked."""
    labels = {label.removeprefix(_PREFIXES[what]) for label in asked}
    absent = sorted(labels.difference(existing))
    if absent:
        there = some(existing, 20) or "none"
        raise NoInputError(f"the dataset has no {what} {', '.join(absent)}.", f"It has: {there}.")
    return [label for label in existing if label in labels or not asked]


def _where_they_are(root: Path) -> str:
    """What to give as BIDS_DIR in place of a folder that holds no subjects: the one above, or one inside."""
    parts = root.absolute().parts
    ends = parts if parts[-1].startswith(("sub-", "ses-")) else parts[:-1]  # anat, func ...
    inside = [*takewhile(lambda part: part.startswith(("sub-", "ses-")), reversed(ends))][::-1]
    if inside and inside[0].startswith("sub-"):
        options = {"sub-": "--participant-label", "ses-": "--session-label"}
        wanted = " ".join(f"{options[part[:4]]} {part[4:]}" for part in inside)
        top = Path(*ends[: len(ends) - len(inside)])
        return f"This is a folder inside a dataset. The command is: thalbids {top} OUTPUT_DIR participant {wanted}"
    below = [entry.name for entry in _entries(root) if _leads(entry) == "folder" and _has_subjects(root / entry.name)]
    if below:
        return f"BIDS_DIR must be the folder that holds them: here {some([str(root / name) for name in below], 3)}."
    return "BIDS_DIR must be the folder that holds them."


def _has_subjects(folder: Path) -> bool:
    """Whether a folder holds folders of subjects."""
    try:
        return any(entry.name.startswith("sub-") and _leads(entry) == "folder" for entry in _entries(folder))
    except OSError:
        return False


def _mended(folder: str) -> str:
    """The label of a folder without what a label must not hold."""
    label = folder.split("/")[-1][4:]
    return re.sub(r"[^0-9A-Za-z+]", "", label) or "01"


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} session{'s' * (len(names) != 1)}"
