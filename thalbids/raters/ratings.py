"""Blinded ratings: the key of a rating page, the raters' tables, and what they say together.

A page shows items by opaque identifiers. Which identifier is whose stands in a key, ``logs/rating_PAGE.json`` of the
derivatives, which raters do not get. Reading a rater's table together with the key is what unblinds it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError, MetadataError, NoInputError
from thalbids.files import read_json, read_lines, write_json
from thalbids.image.digest import digest
from thalbids.settings import Ratings

REGISTRATION, MASK = "registration", "mask"
RATINGS = ("pass", "fail", "unsure")
COLUMNS = ("page", "item", "rater", "rating", "reason", "comment")
DICTIONARY: Mapping[str, Mapping[str, object]] = {
    "page": {"LongName": "Rating page", "Description": "Identifier of the page that was rated."},
    "item": {"LongName": "Item", "Description": "Identifier of the picture; the key of the page says what it shows."},
    "rater": {"LongName": "Rater", "Description": "Name or initials that the rater gave."},
    "rating": {
        "LongName": "Rating",
        "Description": "What the rater said of the picture.",
        "Levels": {
            "pass": "Good enough to be used",
            "fail": "Must not be used",
            "unsure": "The rater could not decide",
        },
    },
    "reason": {"LongName": "Reason", "Description": "Reasons chosen from the list or written, separated by ; ."},
    "comment": {
        "LongName": "Comment",
        "Description": "Free text, on one line. A text that starts with = + - @ or ' carries one ' in front, so that a "
        "spreadsheet program does not take it for a formula; the same holds for rater and reason.",
    },
}
_PAGE = re.compile(r"[0-9a-f]{8,64}")
_FORMULA = ("=", "+", "-", "@", "'")


@dataclass(frozen=True)
class Item:
    """One picture of a page, unblinded.

    Attributes
    ----------
    page, identifier : as the page shows them
    kind : ``registration`` or ``mask``
    participant_id, session_id : ``sub-01``, ``ses-1`` ("" without sessions)
    target : the registered image (FLAIR, R1map), or the ``desc-`` label of the mask
    strategy : the one that the registration came from; "" for a mask
    file : what was drawn, relative to the derivatives
    sha256 : of its voxels (:func:`fingerprint`)
    file_sha256 : of its bytes
    repeats : identifier of the item that this one shows a second time; "" for none
    """

    page: str
    identifier: str
    kind: str
    participant_id: str
    session_id: str
    target: str
    strategy: str
    file: str
    sha256: str
    file_sha256: str
    repeats: str = ""

    @property
    def session(self) -> str:
        """``sub-01_ses-1`` or ``sub-01``."""
        return self.participant_id + (f"_{self.session_id}" if self.session_id else "")

    @property
    def rated(self) -> tuple[str, str]:
        """What was rated, the same on every page: the file with this content."""
        return self.file, self.sha256


@dataclass(frozen=True)
class Rating:
    """What one rater said of one item."""

    item: Item
    rater: str
    rating: str
    reason: str = ""
    comment: str = ""


@dataclass(frozen=True)
class RatersVerdict:
    """What all raters together say of one file.

    Attributes
    ----------
    item : the item, or one of several that show it
    failed : whether it must not be used, by the rule
    reason : ``failed by rater AB (too large); passed by CD``, without a full stop
    """

    item: Item
    failed: bool
    reason: str


def key_path(out_dir: Path, page: str) -> Path:
    """Where the key of a page lies."""
    return out_dir / "logs" / f"rating_{page}.json"


def write_key(out_dir: Path, page: str, items: Sequence[Item], **about: Any) -> Path:
    """Write the key of a page; gives its path."""
    content = {
        "Description": "Key of a page for blinded rating: which item shows what. Not for raters.",
        "Page": page,
        **about,
        "Items": {item.identifier: {_camel(name): getattr(item, name) for name in _KEPT} for item in items},
    }
    path = key_path(out_dir, page)
    write_json(path, content)
    return path


_KEPT = tuple(field.name for field in fields(Item) if field.name not in ("page", "identifier"))


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def read_key(out_dir: Path, page: str) -> dict[str, Item]:
    """The items of a page by their identifiers.

    Raises
    ------
    MetadataError
        There is no such key here, or it is damaged.
    """
    path = key_path(out_dir, page)
    if not path.is_file():
        mend = "Use the output folder from which the page was made; its logs folder holds the key."
        raise MetadataError(f"there is no key of the rating page {page}.", mend, path)
    content = read_json(path).get("Items")
    try:
        assert isinstance(content, dict)
        items = {
            name: Item(page, name, **{field: str(entry[_camel(field)]) for field in _KEPT})
            for name, entry in content.items()
        }
    except (AssertionError, KeyError, TypeError):
        raise MetadataError("the key of the rating page is damaged.", "Restore it from a copy.", path) from None
    outside = [i.file for i in items.values() if Path(i.file).is_absolute() or ".." in Path(i.file).parts]
    if outside:
        raise MetadataError(f"the key names a file outside the derivatives: {outside[0]}", "Restore it.", path)
    return items


def read_ratings(out_dir: Path, files: Sequence[Path]) -> list[Rating]:
    """The ratings of all files, unblinded, each once, in the order of the files.

    A rater who rated the same item in two files (a table saved twice) counts once.

    Raises
    ------
    NoInputError
        A table is not there.
    MetadataError
        A table is damaged, names an unknown page or item, an impossible rating or no rater, or a rater gives two
        different ratings of one item.
    """
    keys: dict[str, dict[str, Item]] = {}
    ratings: dict[tuple[str, str, str], Rating] = {}
    for path in files:
        if not path.exists():
            raise NoInputError("there is no such table of ratings.", "Check its name.", path)
        columns, lines = read_lines(path)
        absent = [name for name in COLUMNS if name not in columns]
        if absent:
            problem = f"the table has no column {', '.join(absent)}."
            raise MetadataError(problem, "Give the table that the rating page saved.", path)
        for number, cells in lines:
            row = {name: unguarded(cell) for name, cell in zip(columns, cells, strict=True)}
            rating = _rating(out_dir, keys, row, number, path)
            known = ratings.setdefault((rating.item.page, rating.item.identifier, rating.rater), rating)
            if known.rating != rating.rating:
                problem = f"row {number}: {rating.rater} rated item {rating.item.identifier} twice, {known.rating} and "
                raise MetadataError(problem + f"{rating.rating}.", "Keep one of the two rows.", path)
    return list(ratings.values())


def _rating(out_dir: Path, keys: dict[str, dict[str, Item]], row: Mapping[str, str], number: int, path: Path) -> Rating:
    """One row of a rater's table."""
    page, name = row["page"], row["item"]
    if not _PAGE.fullmatch(page):  # it becomes part of a file name
        raise MetadataError(f"row {number}: {page!r} is no rating page.", "Give the table that the page saved.", path)
    if page not in keys:
        keys[page] = read_key(out_dir, page)
    if name not in keys[page]:
        raise MetadataError(f"row {number}: page {page} has no item {name!r}.", "Restore the cell.", path)
    if row["rating"] not in RATINGS:
        problem = f"row {number}: {row['rating']!r} is no rating."
        raise MetadataError(problem, f"It must be one of {', '.join(RATINGS)}.", path)
    if not row["rater"]:
        raise MetadataError(f"row {number} names no rater.", "Fill in the column rater.", path)
    return Rating(keys[page][name], row["rater"], row["rating"], row["reason"], row["comment"])


def guarded(text: str) -> str:
    """A text as a cell that no spreadsheet program takes for a formula: a ``'`` in front of ``= + - @ '``.

    Examples
    --------
    >>> guarded("=1+1"), unguarded(guarded("=1+1"))
    ("'=1+1", '=1+1')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def unguarded(cell: str) -> str:
    """The text of a cell that :func:`guarded` wrote; "" for a missing one."""
    return "" if cell == "n/a" else cell.removeprefix("'")


def first_ratings(ratings: Iterable[Rating]) -> list[Rating]:
    """One rating per rater and file: repeats, which only serve the agreement of raters with themselves, are left out.

    A repeat counts when its rater did not come to rate the first showing; of two pages the later file counts.
    """
    chosen: dict[tuple[str, tuple[str, str]], Rating] = {}
    for rating in sorted(ratings, key=lambda rating: rating.item.repeats == ""):
        chosen[rating.rater, rating.item.rated] = rating
    return list(chosen.values())


def verdicts(ratings: Iterable[Rating], settings: Ratings) -> list[RatersVerdict]:
    """What the raters say together of each file, by the rule of the settings (docs/rating.md)."""
    grouped: dict[tuple[str, str], list[Rating]] = {}
    for rating in first_ratings(ratings):
        grouped.setdefault(rating.item.rated, []).append(rating)
    return [
        RatersVerdict(ratings_of[0].item, _failed(ratings_of, settings), _words(ratings_of))
        for _, ratings_of in sorted(grouped.items())
    ]


def _failed(ratings: Sequence[Rating], settings: Ratings) -> bool:
    votes = [settings.unsure if rating.rating == "unsure" else rating.rating for rating in ratings]
    fails, passes = votes.count("fail"), votes.count("pass")
    if settings.rule == "any":
        return fails > 0
    return fails > passes if settings.rule == "majority" else fails > 0 and passes == 0


def _words(ratings: Sequence[Rating]) -> str:
    parts = []
    for rating, word in (("fail", "failed by"), ("unsure", "not decided by"), ("pass", "passed by")):
        named = [r.rater + (f" ({r.reason})" if r.reason else "") for r in ratings if r.rating == rating]
        if named:
            parts.append(f"{word} rater{'s' if len(named) > 1 else ''} {', '.join(sorted(named))}")
    return "; ".join(parts)


def read_verdicts(out_dir: Path, settings: Ratings) -> list[RatersVerdict]:
    """The verdicts of the files of the settings; MetadataError as in :func:`read_ratings`."""
    return verdicts(read_ratings(out_dir, settings.files), settings)


def fingerprint(path: Path, kind: str) -> str:
    """:func:`~thalbids.image.digest.digest` of a file that is rated: of a mask only what is inside and what is not.

    Raises
    ------
    ImageError
        The file is missing or damaged.
    """
    try:
        image = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise ImageError(f"cannot be read ({type(error).__name__}).", "Run participant again.", path) from None
    if kind == MASK:
        return digest(data != 0, image.affine, np.uint8)
    return digest(data, image.affine, np.float32)


def bytes_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def standing(out_dir: Path, item: Item) -> str:
    """Whether a rating still is about what is there.

    ``current`` the file is as it was rated; ``applied`` the registration was failed by a rater and made anew, or
    excluded; ``stale`` the file changed since, or is gone: the rating is of something else.
    """
    path = out_dir / item.file
    if path.is_file():
        if bytes_sha256(path) == item.file_sha256:
            return "current"
        try:
            if fingerprint(path, item.kind) == item.sha256:
                return "current"
        except ImageError:
            return "stale"
    if item.kind == REGISTRATION and any(entry["Sha256"] == item.sha256 for entry in _applied(path)):
        return "applied"
    return "stale"


def _applied(image: Path) -> list[Mapping[str, str]]:
    """What raters failed of a registration, by the record of its transform."""
    stem, _, rest = image.name.removesuffix(".nii.gz").partition("_space-")
    reference, suffix = rest.split("_")[0], rest.split("_")[-1]
    record = image.with_name(f"{stem}_from-{suffix}_to-{reference}_mode-image_xfm.json")
    try:
        return list(read_json(record).get("FailedByRater", []))
    except MetadataError:
        return []
