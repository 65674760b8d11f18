"""A copy of the derivatives that can be given away: chosen results, no logs, reports, dates or traces of the machine.

The choice is a list of what goes in, never of what stays out: a file of a kind that is not named here is not copied.
"""

from __future__ import annotations

import glob
import gzip
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from thalbids.bids.dataset.index import ENTITY, LABEL
from thalbids.bids.results.outputs import UNFINISHED, sidecar
from thalbids.errors import NoInputError, OutputError, ThalbidsError, UsageError, own_names
from thalbids.files import read_json, read_lines, read_table, write_json, write_table, write_text
from thalbids.image.grids import voxel_volume, zooms
from thalbids.image.io import MORE_BYTES, data_end, inflated, load_image, load_labels

TABLES = ("*_morph.tsv", "*_qc.json", "group_*.tsv", "descriptions.tsv")
MASKS = ("*_label-thalamus_*_mask.nii.gz", "*_seg-thalamus_*_dseg.nii.gz", "*_seg-thalamus_*_dseg.tsv")
IMAGES = ("*_probseg.nii.gz", "*_desc-brain_mask.nii.gz", "*_dseg.nii.gz", "*_dseg.tsv", "*_xfm.txt", "*_xfm.h5")
HEADS = ("*_T1w.nii.gz", "*_FLAIR.nii.gz", "*_R1map.nii.gz", "*_T2w.nii.gz", "*_UNIT1.nii.gz")  # these show a face
# free text of raters; cells of the clinical tables as they are; age, sex and scores of every person
NEVER = ("group_ratings.tsv", "group_conflicts.tsv", "group_people.tsv", "group_masks_shown.tsv")
DESCS = ("thalamus", "icv", "siena", "change", "acquisition")  # of our own tables and QC documents
RATERS = ("rater", "rater2")  # columns with names of people
CHOICES = {"tables": TABLES, "masks": TABLES + MASKS, "all": TABLES + MASKS + IMAGES + HEADS}

_DATE = re.compile(r"(?<![\d-])\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?!\d)")
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_OTHER_DATE = re.compile(  # not written by thalbids: dropped whatever is asked for, as day and month cannot be told
    r"(?<![\w.\-])(?:\d{1,2}([./])\d{1,2}\1(?:19|20)\d{2}|(?:19|20)\d{2}/\d{1,2}/\d{1,2}"
    r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|\d{{1,2}}[. -]+{_MONTH}[., -]+(?:19|20)\d{{2}}|{_MONTH} \d{{1,2}},? (?:19|20)\d{{2}})(?![\w\-]|\.\d)",
    re.IGNORECASE,
)
_SAID_BY = re.compile(r"\bby raters? .*", re.DOTALL)  # what follows names people, in words of their own
_ABSOLUTE = re.compile(r"(?<![\w.:/~\-])(?:/[\w.+\-]+){2,}|\b[A-Za-z]:\\+\w|file://")
_THALAMUS = re.compile(r"_(?:label|seg)-thalamus_desc-([0-9A-Za-z]+)_")
_NAME = re.compile(rf"(?P<sub>sub-{LABEL})(?:_(?P<ses>ses-{LABEL}))?(?:_{ENTITY})*_[0-9A-Za-z]+\.[a-z0-9.]+")
_OWN_TABLE = re.compile(rf"_desc-(?:{'|'.join(DESCS)})_(?:morph\.tsv|qc\.json)$")
_FAR_MM, _MOST_FAR = 12.0, 0.01  # of a stripped scan, so little lies so far from the brain mask
_BRAIN_ML = (300.0, 2500.0)  # a mask beyond these is of no brain
_TEXTS = ("descrip", "aux_file", "db_name", "intent_name", "data_type")
_GZIP_MORE = 0b11100  # flags of a gzip header: further fields, the name of a file, a comment
_HEADER, _DATA_BEGIN = 348, 352  # bytes of a NIfTI-1 file without extensions
UNITS = frozenset({"1/s", "s", "ms", "mm^3", "arbitrary", "rad", "percent", "%", "p.u.", "factor", "n/a"})  # of images
_MOST_DAYS = 365  # a shift of at most a year hides the date and leaves the season of life


class LeakError(ThalbidsError):
    """A file that was to be shared says something about the machine."""


def share(
    out_dir: Path,
    destination: Path,
    *,
    what: str,
    subjects: Sequence[str],
    dates: str,
    license_name: str,
    faces_removed: bool,
) -> list[Path]:
    """Copy chosen results into a new folder; gives the files written, relative to it.

    Parameters
    ----------
    out_dir : a derivative dataset of ours
    destination : a folder that is not there yet, or an empty one
    what : a key of `CHOICES`
    subjects : labels without ``sub-``; empty means all
    dates : ``drop`` replaces every date by n/a; ``shift`` moves those of one person by the same random number of days
    license_name : terms under which the copy is given away; "" takes those of the dataset
    faces_removed : the caller says that the images show no face

    Raises
    ------
    UsageError
        The destination is in use or inside ``out_dir``, no licence is known, or whole heads would be shared.
    NoInputError
        ``out_dir`` holds no results of ours, or none of these subjects.
    LeakError
        A text holds an absolute path, or the name of this machine or user. Nothing is left in the destination.
    """
    description = _description(out_dir, license_name)
    _check_destination(out_dir, destination)
    if (out_dir / UNFINISHED).exists():
        problem = "a group run has not ended: the group's tables here may be of different runs."
        raise UsageError(problem, "Run group again, to its end.", out_dir / UNFINISHED)
    files = sorted(_chosen(out_dir, CHOICES[what], subjects))
    if not any(path.name.endswith("_morph.tsv") for path in files):
        known = ", ".join(sorted(path.name for path in out_dir.glob("sub-*") if path.is_dir())) or "none"
        raise NoInputError(f"no volumes to share (participants here: {known}).", "Check the labels.", out_dir)
    if not faces_removed:
        _refuse_heads(out_dir, files)
    _remove_remains(destination)
    temporary = destination.with_name(f".tmp-{destination.name}-{os.getpid()}")
    try:
        copier = _Copier(out_dir, temporary, dates)
        for path in files:
            copier.copy(path)
        write_json(temporary / "dataset_description.json", description, sort_keys=False)
        shutil.copyfile(out_dir / ".bidsignore", temporary / ".bidsignore")
        write_text(temporary / "README.md", _readme(description, what, dates))
        if destination.is_dir():
            destination.rmdir()  # it is empty
        temporary.replace(destination)
    except OSError as error:
        problem = f"the copy cannot be written ({error.strerror or error})."
        raise OutputError(problem, "Free some space, or choose another place.", destination) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(path.relative_to(destination) for path in destination.rglob("*") if path.is_file())


def _description(out_dir: Path, license_name: str) -> dict[str, Any]:
    """The dataset's description, with a licence and without links to places on this machine."""
    path = out_dir / "dataset_description.json"
    if not path.is_file():
        raise NoInputError(
            "there are no results here (no dataset_description.json).", "Give OUT_DIR of a run.", out_dir
        )
    description = read_json(path)
    tools = description.get("GeneratedBy")
    if not isinstance(tools, list) or not tools or tools[0].get("Name") != "thalbids":
        raise NoInputError("the folder does not hold results of thalbids.", "Give OUT_DIR of a run.", out_dir)
    chosen = license_name or str(description.get("License", "")).strip()
    if not chosen:
        mend = "Say under which terms the copy is given away: --license CC0 (what OpenNeuro wants), PDDL, CC-BY-4.0 ..."
        raise UsageError("the dataset names no licence.", mend, path)
    source = [{key: item[key] for key in ("DOI", "Version") if key in item} for item in description["SourceDatasets"]]
    shared = description | {"License": chosen, "SourceDatasets": [item for item in source if item] or [{"URL": "n/a"}]}
    if shared["SourceDatasets"] == [{"URL": "n/a"}]:
        del shared["SourceDatasets"]
    shared["DatasetLinks"] = {"raw": "sourcedata/raw"}  # where BIDS suggests that the raw dataset is linked
    return shared


def _check_destination(out_dir: Path, destination: Path) -> None:
    if destination.resolve().is_relative_to(out_dir.resolve()):
        raise UsageError("the copy would lie inside the dataset itself.", "Choose another place.", destination)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UsageError("the destination is in use.", "Give a folder that is empty or not there yet.", destination)


def _remove_remains(destination: Path) -> None:
    """Remove what earlier copies to this place left behind when they were killed."""
    for path in destination.parent.glob(f".tmp-{glob.escape(destination.name)}-*"):
        number = path.name.rpartition("-")[2]
        if number.isdecimal() and not _alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _chosen(out_dir: Path, patterns: Sequence[str], subjects: Sequence[str]) -> Iterator[Path]:
    """Files of the chosen kinds, with their sidecars, as paths relative to the dataset."""
    wanted = {f"sub-{label.removeprefix('sub-')}" for label in subjects}
    folders = [
        out_dir,
        *(path for path in out_dir.glob("sub-*") if path.is_dir() and (not wanted or path.name in wanted)),
    ]
    for folder in folders:
        paths = folder.iterdir() if folder == out_dir else folder.rglob("*")
        tables = _group_tables(out_dir)
        for path in paths:
            inside = path.relative_to(out_dir)
            if not path.is_file() or "figures" in inside.parts or path.name.startswith("."):
                continue
            if path.name in NEVER or not any(fnmatch(path.name, pattern) for pattern in patterns):
                continue
            if wanted and folder == out_dir and path.name.startswith("group_"):
                continue  # tables of the whole group tell of people who are left out
            if path.name.startswith("group_") and path.stem not in tables:
                continue  # somebody put it there: nobody knows what is in it
            if folder != out_dir and not _is_named_by_us(inside):
                continue
            if _is_stale(path):
                continue
            yield inside
            if not path.name.endswith(".json") and sidecar(path).is_file():
                yield sidecar(inside)


def _group_tables(out_dir: Path) -> frozenset[str]:
    """Names of the tables that thalbids wrote, by its record."""
    try:
        return frozenset((out_dir / "logs" / "group" / "tables.txt").read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        return frozenset()


def _is_named_by_us(inside: Path) -> bool:
    """Whether a file in a person's folder has a name that thalbids gives: its own person's and session's."""
    match = _NAME.fullmatch(inside.name)
    folders = [part for part in inside.parts[:-1] if part != "anat"]
    if match is None or [part for part in (match["sub"], match["ses"]) if part] != folders:
        return False
    return _OWN_TABLE.search(inside.name) is not None or not inside.name.endswith(("_morph.tsv", "_qc.json"))


def _is_stale(path: Path) -> bool:
    """Whether this is a thalamus mask that the volumes of its session do not list (any more)."""
    match = _THALAMUS.search(path.name)
    return match is not None and match[1] not in _listed(path.parent)


@cache
def _listed(folder: Path) -> frozenset[str]:
    """Methods with a volume in the tables of a session."""
    rows = [row for table in folder.glob("*_desc-thalamus_morph.tsv") for row in read_table(table)]
    return frozenset(str(row["method"]) for row in rows if row.get("volume_mm3") is not None)


def _refuse_heads(out_dir: Path, files: Sequence[Path]) -> None:
    """Whole heads are refused: a face can be drawn from them."""
    heads = [path for path in files if any(fnmatch(path.name, pattern) for pattern in HEADS)]
    shown = [path for path in heads if not _is_stripped(out_dir / path)]
    if shown:
        mend = "Remove the faces first and say so with --faces-removed, or share --what masks."
        raise UsageError(f"{len(shown)} images show a whole head, {shown[0].name} the first.", mend)


def _is_stripped(path: Path) -> bool:
    """Whether a head was skull-stripped by its sidecar and by what it shows: next to nothing far from the brain."""
    try:
        if read_json(sidecar(path)).get("SkullStripped") is not True:
            return False
        masks = sorted(path.parent.glob("*_desc-brain_mask.nii.gz"))
        image, brain = load_image(path), load_labels(masks[0])
    except (ThalbidsError, IndexError):
        return False  # what cannot be looked at stays here
    from scipy import ndimage

    inside = np.asarray(brain.dataobj) != 0
    volume = inside.sum() * voxel_volume(brain.affine) / 1000
    if image.shape != brain.shape or not _BRAIN_ML[0] <= volume <= _BRAIN_ML[1]:
        return False
    coarse = (slice(None, None, 2),) * 3
    away = ndimage.distance_transform_edt(~inside[coarse], [2 * size for size in zooms(brain.affine)])
    something = np.asarray(image.dataobj)[coarse] != 0
    return float(something[away > _FAR_MM].sum()) <= _MOST_FAR * float(something.sum())


class _Copier:
    """Copies files and takes dates and the names of raters out of their texts."""

    def __init__(self, source: Path, target: Path, dates: str):
        self.source, self.target, self.dates = source, target, dates
        self.shifts: dict[str, timedelta] = {}
        self.raters: dict[str, str] = {}

    def copy(self, inside: Path) -> None:
        """Copy one file; the date of the copy is now, and links are followed."""
        source, target = self.source / inside, self.target / inside
        if target.exists():
            return  # the sidecar of two files
        target.parent.mkdir(parents=True, exist_ok=True)
        person = next((part for part in inside.parts if part.startswith("sub-")), "")
        if source.suffix == ".json":
            content = self._cleaned(read_json(source), person)
            if not source.with_suffix(".tsv").exists() or source.with_suffix("").with_suffix(".nii.gz").exists():
                content = _without_odd_units(content)
            self._check(content, inside)
            write_json(target, content, sort_keys=False)
        elif source.suffix == ".tsv":
            rows = [self._row(row, person) for row in read_table(source)]
            self._check(rows, inside)
            write_table(target, rows, read_lines(source)[0])
        else:
            if source.suffix == ".txt":
                self._check(source.read_text(encoding="utf-8"), inside)
            if source.name.endswith(".nii.gz"):
                _copy_image(source, target, inside)
            else:
                shutil.copyfile(source, target)

    def _row(self, row: dict[str, str | None], person: str) -> dict[str, Any]:
        """A row of a table; in tables of several people each row moves as its person does."""
        person = person or row.get("participant_id") or ""
        cleaned: dict[str, Any] = self._cleaned(row, person)
        for column in RATERS:
            name = row.get(column)
            if name and name != "all":
                cleaned[column] = self.raters.setdefault(name, f"rater{len(self.raters) + 1}")
        return cleaned

    def _cleaned(self, value: Any, person: str) -> Any:
        if isinstance(value, dict):
            return {key: self._cleaned(item, person) for key, item in value.items()}
        if isinstance(value, list):
            return [self._cleaned(item, person) for item in value]
        if isinstance(value, str):
            value = _DATE.sub(lambda match: self._date(match[0], person), _SAID_BY.sub("by raters", value))
            return _OTHER_DATE.sub("n/a", value)
        return value

    def _date(self, text: str, person: str) -> str:
        """Another date for this one; within a person all move by the same number of days."""
        if self.dates == "drop" or not person:
            return "n/a"
        days = secrets.choice([*range(-_MOST_DAYS, -29), *range(30, _MOST_DAYS + 1)])
        shift = self.shifts.setdefault(person, timedelta(days=days))
        try:
            day = datetime.fromisoformat(text[:10]) + shift
        except (ValueError, OverflowError):
            return "n/a"  # no date, or beyond the calendar
        return day.date().isoformat() + text[10:]

    def _check(self, content: Any, inside: Path) -> None:
        for text in _texts(content):
            match = _ABSOLUTE.search(text)
            named = next((name for name in own_names() if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)), None)
            if match or named:
                what = f"an absolute path ({match[0]})" if match else f"{named!r}, a name of this machine"
                mend = "Please report this; until it is fixed, remove the text by hand."
                raise LeakError(f"the file would give away {what}.", mend, inside)


def _texts(content: Any) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(content, dict):
        yield from content
        yield from (text for item in content.values() for text in _texts(item))
    elif isinstance(content, list):
        yield from (text for item in content for text in _texts(item))
    elif isinstance(content, str):
        yield content


def _without_odd_units(content: Any) -> Any:
    """The sidecar of an image without units that are none: a raw sidecar may hold any words there, ours repeats it."""
    if isinstance(content, list):
        return [_without_odd_units(item) for item in content]
    if not isinstance(content, dict):
        return content
    return {
        key: "n/a" if key == "Units" and item is not None and item not in UNITS else _without_odd_units(item)
        for key, item in content.items()
    }


def _copy_image(source: Path, target: Path, inside: Path) -> None:
    """Copy an image; texts and extensions of its header, and the name in that of the gzip file, stay here."""
    try:
        content = source.read_bytes()
        raw = zlib.decompressobj(wbits=31).decompress(content, _DATA_BEGIN)
        header = nib.Nifti1Header(raw[:_HEADER], check=False)
        begin = float(header["vox_offset"])
        if not begin >= _DATA_BEGIN or begin > MORE_BYTES:
            raise ValueError(f"the data begin at byte {begin:g}")
        end = data_end(header)
        whole, rest = inflated(content, end + MORE_BYTES)
        data = whole[int(begin) : end]
        if len(data) < end - begin:
            raise ValueError("it is cut off")
    except (OSError, ThalbidsError, EOFError, ValueError, zlib.error, WrapStructError, HeaderDataError) as error:
        raise LeakError(f"the image is not one that thalbids writes ({error}).", "Take it away.", inside) from None
    more = rest or len(whole) > end or begin > _DATA_BEGIN or any(raw[_HEADER:]) or content[3] & _GZIP_MORE
    if not more and not any(bytes(header[key].tobytes()).strip(b"\0") for key in _TEXTS):
        shutil.copyfile(source, target)
        return
    for key in _TEXTS:
        header[key] = b""
    header["vox_offset"] = _DATA_BEGIN
    cleaned = header.binaryblock + bytes(_DATA_BEGIN - _HEADER) + data
    target.write_bytes(gzip.compress(cleaned, compresslevel=3, mtime=0))


def _readme(description: dict[str, Any], what: str, dates: str) -> str:
    programs = ", ".join(f"{tool['Name']} {tool.get('Version', '')}".strip() for tool in description["GeneratedBy"])
    held = {
        "tables": "volumes and quality measures",
        "masks": "volumes, quality measures and thalamus masks",
        "all": "volumes, quality measures, masks and the images on whose grid they lie",
    }[what]
    dated = "were removed" if dates == "drop" else "were moved, within one participant by the same number of days"
    return (
        f"# {description['Name']}\n\n"
        f"A BIDS derivative dataset: {held}, made by {programs}. Licence: {description['License']}.\n\n"
        f"Dates {dated}. Files that a sidecar names (`bids::...`, `bids:raw:...`) and that are not here are not shared."
        "\n\nEach method follows its own definition of the thalamus, which its sidecar names (`Protocol`): volumes of "
        "different methods are not interchangeable. Rows of `*_morph.tsv` whose status is not `ok` are not for "
        "analysis. For research use only.\n"
    )
