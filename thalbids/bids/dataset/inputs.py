"""Find the images of every session in a raw BIDS dataset.

The rules (what is read, which of several images is used, what stops a session) are written down for users in
``docs/inputs.md``; keep both in step.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalbids.bids.dataset.acquisition_facts import contrast_agent
from thalbids.bids.dataset.filters import Filters, matches, read_filters
from thalbids.bids.dataset.ignored import Ignored, ignored
from thalbids.bids.dataset.index import index_anat
from thalbids.bids.dataset.places import Place, Survey, survey
from thalbids.bids.dataset.raw import raw_images
from thalbids.bids.dataset.sidecars import BidsFile, Sidecars, check_content, listing, parse
from thalbids.errors import MetadataError, NoInputError, some
from thalbids.files import read_json
from thalbids.types import REFERENCES, InputImage, Session

__all__ = ["DatasetSessions", "find_sessions", "raw_description", "read_dataset", "read_filters"]

LOG = logging.getLogger(__name__)

# What is looked for, and the suffixes that will do, the best first.
KINDS = {
    "T1w": ("T1w",), "UNIT1": ("UNIT1",), "FLAIR": ("FLAIR",), "R1map": ("R1map", "T1map"), "T2w": ("T2w",),
}  # fmt: skip
MISSED = ("FLAIR", "R1map")  # their absence is said, as the paper uses them

# What tells two images of one contrast apart without changing what they are. Any other entity (echo, part, chunk, inv,
# desc ...) makes the file a piece of an acquisition or a derivative, used only when a filter asks for it.
USABLE_ENTITIES = frozenset({"task", "acq", "ce", "rec", "run"})


@dataclass(frozen=True)
class DatasetSessions:
    """The sessions of a dataset, and what became of the rest of it.

    Attributes
    ----------
    sessions : every asked session that holds an image of ours, or should, sorted by subject and session
    remarks : what is to be said of the dataset as a whole; warnings start with ``warning:``
    lost : people and sessions that cannot even be named in results, with the reason: the run counts them as failed
    """

    sessions: list[Session]
    remarks: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def read_dataset(
    bids_dir: Path | str,
    participant_labels: Sequence[str] = (),
    session_labels: Sequence[str] = (),
    filters: Mapping[str, Mapping[str, object]] | None = None,
    database_dir: Path | str | None = None,
    *,
    validate: bool = True,
) -> DatasetSessions:
    """Every asked session of a dataset, and what there is to say about what is no session.

    Parameters
    ----------
    bids_dir : the root of the raw dataset
    participant_labels, session_labels : with or without ``sub-`` and ``ses-``; empty means all
    filters : what `read_filters` gives for a ``--bids-filter-file``
    database_dir : folder of a pybids database; made when it is not there, trusted when it is
    validate : False (``--skip-bids-validation``) takes a damaged ``dataset_description.json`` for a missing one

    Returns
    -------
    Found
        A session that cannot be processed (no image to measure on, damaged sidecar) is in its list, with its
        ``problem`` set. A session without any image of ours (function, MEG) is none: it is counted in the remarks.

    Raises
    ------
    NoInputError
        The folder is not there, has no subjects, lacks an asked label (the message names those that exist), or holds no
        image of ours.
    MetadataError
        ``dataset_description.json`` is there but damaged.
    UsageError
        A filter or the database is unusable.
    """
    root = _root(bids_dir)
    asked = Filters.of(filters)
    _, notes = raw_description(root, validate=validate)
    surveyed = survey(root, participant_labels, session_labels, asked)
    places = [place for place in surveyed.places if place not in surveyed.problems]
    subjects = sorted({subject for subject, _ in places})
    paths = index_anat(root, subjects, database_dir, surveyed.closed) if subjects else []
    files = _by_place(paths, root, surveyed.remarks)
    finder = _Finder(root, files, asked, Sidecars(root), notes, surveyed, ignored(root), database_dir is not None)
    sessions = [finder.session(*place) for place in surveyed.places]
    return DatasetSessions(sessions, (*(f"warning: {note}" for note in notes), *surveyed.remarks), tuple(surveyed.lost))


def raw_description(bids_dir: Path | str, *, validate: bool = True) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The raw dataset's ``dataset_description.json`` ({} when there is none) and what is worth saying about it.

    Raises
    ------
    MetadataError
        The file is there but does not hold a usable JSON object, and ``validate`` is set.
    """
    path = Path(bids_dir) / "dataset_description.json"
    if not os.path.lexists(path):
        return {}, ("dataset_description.json is missing, so this is no valid BIDS dataset; it is read as one anyway.",)
    try:
        return _description(path)
    except MetadataError as error:
        if validate:
            mend = f"{error.mend} Or give --skip-bids-validation."
            raise MetadataError(error.problem, mend, path) from None
        return {}, (f"dataset_description.json is not used: {error.problem}",)


def _description(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    check_content(path)
    description = read_json(path)
    if description.get("DatasetType") != "derivative":
        return description, ()
    tools = description.get("GeneratedBy", [])
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise MetadataError("GeneratedBy is not a list of objects.", "Correct it in a text editor.", path)
    return description, ("dataset_description.json says derivative; the dataset is read as raw data anyway.",)


def find_sessions(bids_dir: Path | str, *arguments: Any, **options: Any) -> list[Session]:
    """The sessions of `read_dataset`, which takes the same arguments; its remarks are logged."""
    dataset = read_dataset(bids_dir, *arguments, **options)
    for remark in dataset.remarks:
        LOG.warning("%s", remark.removeprefix("warning: "))
    return dataset.sessions


@dataclass
class _Finder:
    """Chooses the images of one session after the other."""

    root: Path
    files: Mapping[Place, list[BidsFile]]
    asked: Filters
    sidecars: Sidecars
    dataset_notes: tuple[str, ...]
    seen: Survey
    ignored: Ignored
    from_database: bool
    notes: list[str] = field(default_factory=list)

    def session(self, subject: str, session: str | None) -> Session:
        """The record of one session: the image of each kind, and what there is to say."""
        self.notes = list(self.seen.notes.get((subject, session), ()))
        files = self.files.get((subject, session), [])
        images: dict[str, InputImage] = {}
        problem = self.seen.problems.get((subject, session))
        named = any(file.suffix == "T1w" for file in files)
        for kind in KINDS if problem is None else ():
            if kind == "UNIT1" and named:  # then it is only a raw image for R1
                continue
            try:
                image = self._image(kind, files)
                if image is not None:
                    images[kind] = image
                elif problem is None and kind in MISSED:
                    self.notes.append(f"{kind}: none found.")
            except MetadataError as error:
                reason = str(error).replace(f"{self.root}{os.sep}", "")  # it goes into reports: no absolute paths
                problem = f"T1w not used: {reason}"
        if problem is None and "T1w" not in images:
            problem = self._without_t1w(subject, session, files, images)
        raw = self._raw(self.root / f"sub-{subject}" / (f"ses-{session}" if session else "")) if problem is None else ()
        whole = Session(subject, session, images, (*self.dataset_notes, *self.notes), problem, raw)
        for note in self.notes:
            LOG.info("%s: %s", whole.name, note)
        if problem:
            LOG.warning("%s: %s", whole.name, problem)
        return whole

    def _raw(self, folder: Path) -> tuple[InputImage, ...]:
        """The raw quantitative images of the session; a folder that may not be read is noted."""
        try:
            images, left_out = raw_images(folder, self.sidecars, self.asked)
        except MetadataError as error:
            reason = str(error).replace(f"{self.root}{os.sep}", "")
            self.notes.append(f"raw quantitative images are not looked for: {reason}")
            return ()
        if left_out:
            self.notes.append(f"raw quantitative images left out by the filter: {some(left_out, 5)}.")
        return images

    def _image(self, kind: str, files: list[BidsFile]) -> InputImage | None:
        """The image of this kind by the rule of `_preference`; None when there is none."""
        for suffix in KINDS[kind]:
            named = [file for file in files if file.suffix == suffix]
            wanted = self.asked.entities(suffix)
            usable = [file for file in named if _usable(file, wanted)]
            usable = usable or [file for file in named if _usable(file, wanted, magnitude=True)]
            if not usable:
                if named and kind != "T1w":
                    self.notes.append(f"{suffix}: left out by their entities or the filter: {_names(named)}.")
                continue
            ranked = sorted(usable, key=self._preference) if len(usable) > 1 else usable
            chosen = ranked[0]
            if len(ranked) > 1:
                used = f"{chosen.path.name} is used by the rule in docs/inputs.md"
                self.notes.append(f"{suffix}: {len(ranked)} images; {used}, not {_names(ranked[1:])}.")
            if suffix != kind:
                self.notes.append(f"{kind}: none found, {chosen.path.name} is used.")
            metadata, problem = {}, ""
            try:
                check_content(chosen.path)
                metadata = self.sidecars.merged(chosen)
                self.notes += [f"{suffix}: {note}" for note in self._doubts(chosen, metadata)]
            except MetadataError as error:
                if kind == "T1w":
                    raise
                problem = str(error).replace(f"{self.root}{os.sep}", "")  # it goes into reports: no absolute paths
                self.notes.append(f"{kind} not used: {problem}")
            uri = f"bids:raw:{chosen.path.relative_to(self.root).as_posix()}"
            return InputImage(chosen.path, uri, suffix, chosen.own_entities, metadata, problem)
        return None

    def _doubts(self, file: BidsFile, metadata: Mapping[str, object]) -> Iterator[str]:
        """What is to be said of an image that is used."""
        entities = file.own_entities
        if agent := contrast_agent(entities, metadata):
            yield f"with contrast agent ({agent}); there is no image without, and volumes of the two are not the same."
        if "part" in entities and "part" not in self.asked.entities(file.suffix):
            yield f"{file.path.name} is used, the magnitude, as there is no whole image."
        if self.ignored.patterns and self.ignored.names(file.path.relative_to(self.root).as_posix()):
            yield f"{file.path.name} is used although .bidsignore names it; --bids-filter-file leaves images out."

    def _preference(self, file: BidsFile) -> tuple[object, ...]:
        """Sort key of the documented rule: the smallest is used.

        1. without contrast agent (by name or sidecar); 2. no ``rec-``, then ``rec-norm``, then any other; 3. its
        ``MRAcquisitionType`` 3D, then unknown, then 2D; 4. fewer entities besides ``run-``; 5. these in alphabetical
        order; 6. the lowest ``run-``, none counting as 0; 7. ``.nii.gz`` before ``.nii``.
        """
        entities = file.own_entities
        run = entities.pop("run", "0")
        rec = entities.get("rec")
        told = self._told(file)
        return (
            contrast_agent(entities, told) is not None,
            0 if rec is None else 1 if rec == "norm" else 2,
            {"3D": 0, "2D": 2}.get(str(told.get("MRAcquisitionType", "")).upper(), 1),
            len(entities),
            sorted(entities.items()),
            (int(run) if run.isdecimal() else 0, run),
            file.extension != ".nii.gz",
        )

    def _told(self, file: BidsFile) -> Mapping[str, object]:
        """Its metadata, for a choice among several; nothing where they are damaged."""
        try:
            return self.sidecars.merged(file)
        except MetadataError:
            return {}  # raised again, and reported, when this image is chosen

    def _without_t1w(
        self, subject: str, session: str | None, files: list[BidsFile], images: Mapping[str, InputImage]
    ) -> str | None:
        """Why a session without a T1w cannot be processed; None, and a note, where another image takes its place.

        A T1w that is there and cannot be used is not replaced without a word from the user.
        """
        there = [name for name in REFERENCES if name in images]
        reference = next((name for name in there if not images[name].problem), None)
        if not there or any(file.suffix == "T1w" for file in files):
            return self._no_t1w(subject, session, files)
        if reference is None:
            return f"no T1w, and {there[0]} not used: {images[there[0]].problem}"
        self.notes.append(
            f"no T1w: measured on {images[reference].path.name} in its place; volumes are not those of a T1w."
        )
        return None

    def _no_t1w(self, subject: str, session: str | None, files: list[BidsFile]) -> str:
        """Why there is no T1w: what is there instead."""
        anat = self.root / f"sub-{subject}" / (f"ses-{session}" if session else "") / "anat"
        where = anat.relative_to(self.root).as_posix()
        named = [file for file in files if file.suffix == "T1w"]
        if named:
            return f"no usable T1w in {where}: left out by their entities or the filter: {_names(named)}."
        there = [name for name in listing(anat) if not name.startswith(".") and not name.endswith(".json")]
        if not there:
            return f"no T1w: {where} holds no image or is not there."
        start = f"sub-{subject}_" + (f"ses-{session}_" if session else "")
        folders = [name for name in there if name.startswith(start) and "T1w.nii" in name and (anat / name).is_dir()]
        if folders:
            return f"no T1w: {where}/{folders[0]} is a folder; put the image itself there."
        stale = " The --bids-database-dir may be out of date: delete it." if self.from_database else ""
        return f"no T1w named {start}[...]T1w.nii.gz in {where}, which holds {some(there, 3)}.{stale}"


def _root(bids_dir: Path | str) -> Path:
    """The absolute path of the dataset; links on the way are kept, as the user knows the place by them."""
    root = Path(os.path.abspath(bids_dir))  # noqa: PTH100 (resolve() would follow links)
    if not os.path.isdir(root):  # noqa: PTH112 (Path.is_dir raises where a folder above may not be read)
        what = "is not a folder" if os.path.exists(root) else "is not there, or may not be read"  # noqa: PTH110
        raise NoInputError(f"the BIDS dataset {what}.", "Check the first argument, BIDS_DIR.", bids_dir)
    return root


def _by_place(paths: Iterable[Path], root: Path, remarks: list[str]) -> dict[Place, list[BidsFile]]:
    """Image files by their folder's subject and session; a file whose name says otherwise is left out, and remarked."""
    files: dict[Place, list[BidsFile]] = {}
    above = len(root.parts)
    for path in sorted(paths, key=lambda path: path.parts):  # paths themselves are slow to compare
        subject, *rest = path.parts[above:-2]  # without anat and the name
        place = subject.removeprefix("sub-"), rest[0].removeprefix("ses-") if rest else None
        file = parse(path)
        if file is None or (file.entities.get("sub"), file.entities.get("ses")) != place:
            remarks.append(f"warning: {path.relative_to(root)}: the name contradicts its folder; not used.")
            continue
        files.setdefault(place, []).append(file)
    return files


def _usable(file: BidsFile, wanted: Mapping[str, object], *, magnitude: bool = False) -> bool:
    """Whether the file is a whole image (or a filter asks for the piece) and passes the filter.

    ``magnitude`` lets in the magnitude of a complex image, which is what others have as the whole image.
    """
    entities = file.own_entities
    pieces = entities.keys() - USABLE_ENTITIES - wanted.keys()
    if magnitude and entities.get("part") == "mag":
        pieces -= {"part"}
    return not pieces and matches(entities, file.extension, wanted)


def _names(files: Iterable[BidsFile]) -> str:
    return ", ".join(file.path.name for file in files)
