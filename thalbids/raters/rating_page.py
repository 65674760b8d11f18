"""``thalbids rate``: from the derivatives to a page for raters and the key that unblinds it."""

from __future__ import annotations

import math
import random
import secrets
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import thalbids
from thalbids.bids.results.derivatives import Place, find_places, read_volumes
from thalbids.bids.results.documents import read_document
from thalbids.errors import MetadataError, NoInputError, ThalbidsError
from thalbids.files import read_json, write_text
from thalbids.raters import form
from thalbids.raters.ratings import MASK, REGISTRATION, Item, bytes_sha256, fingerprint, write_key
from thalbids.reports import palette, views

IMAGES = ("FLAIR", "R1map", "T2w")
WHAT = {"registrations": REGISTRATION, "masks": MASK}
FEWEST_TO_REPEAT = 5


@dataclass(frozen=True)
class Made:
    """What was written: the page, its key, and how many items it has (repeats among them)."""

    page: Path
    key: Path
    items: int
    repeats: int
    problems: Sequence[str]


@dataclass(frozen=True)
class _Candidate:
    place: Place
    kind: str
    target: str
    path: Path


def write(
    out_dir: Path,
    target: Path | None = None,
    *,
    subjects: Collection[str] = (),
    what: Collection[str] = tuple(WHAT),
    sample: int | None = None,
    repeats: float = 0.05,
    seed: int | None = None,
) -> Made:
    """Write the page and its key.

    Parameters
    ----------
    target : the page; None: ``rating_PAGE.html`` in ``out_dir``
    subjects : labels without ``sub-``; empty means all
    what : ``registrations``, ``masks``
    sample : so many items at random; None: all
    repeats : share of the items that are shown a second time
    seed : of the sample and the order; None: another one each time

    Raises
    ------
    NoInputError
        There is nothing to rate.
    OutputError
        The folder cannot be written.
    """
    kinds = {WHAT[name] for name in what}
    candidates = [c for place in find_places(out_dir, subjects) for c in _candidates(place) if c.kind in kinds]
    seed = secrets.randbits(63) if seed is None else seed
    draw = random.Random(seed)  # noqa: S311 (an order, no secret)
    if sample is not None and sample < len(candidates):
        candidates = sorted(draw.sample(candidates, sample), key=candidates.index)
    items, pictures, problems = [], [], []
    for place in dict.fromkeys(candidate.place for candidate in candidates):
        for drawn in _drawn(out_dir, place, [c for c in candidates if c.place is place]):
            if isinstance(drawn, str):
                problems.append(drawn)
            else:
                items.append(drawn[0])
                pictures.append(drawn[1])
    if not items:
        what_said = " or ".join(sorted(what))
        raise NoInputError(f"there are no {what_said} to rate.", "Run participant first.", out_dir)
    of_these = " ".join([str(seed), *(item.sha256 for item in items)])  # other items make another page
    draw = random.Random(of_these)  # noqa: S311
    return _written(out_dir, target, items, pictures, repeats, draw, seed, problems)


def _written(
    out_dir: Path, target: Path | None, items: list[Item], pictures: list[str], share: float, draw: random.Random,
    seed: int, problems: Sequence[str],
) -> Made:  # fmt: skip
    """Give identifiers, shuffle, add the repeats, write."""
    page = f"{draw.getrandbits(64):016x}"
    order = list(range(len(items)))
    draw.shuffle(order)
    shown = [(index, "") for index in order]
    shown = with_repeats(shown, share, draw)
    names = draw.sample(range(16**7, 16**8), len(shown))
    first: dict[int, str] = {}
    keyed, cards = [], []
    for (index, repeat), number in zip(shown, names, strict=True):
        name = f"{number:08x}"
        keyed.append(replace(items[index], page=page, identifier=name, repeats=first[index] if repeat else ""))
        first.setdefault(index, name)
        cards.append(form.Card(name, items[index].kind, pictures[index]))
    path = out_dir / f"rating_{page}.html" if target is None else target
    key = write_key(out_dir, page, keyed, Seed=seed, Version=str(thalbids.__version__))
    write_text(path, form.page(page, cards))
    return Made(path, key, len(keyed), len(keyed) - len(items), problems)


def with_repeats(shown: list[tuple[int, str]], share: float, draw: random.Random) -> list[tuple[int, str]]:
    """Items of the first half a second time, somewhere in the second half and not soon after the first showing."""
    count = math.ceil(share * len(shown)) if len(shown) >= FEWEST_TO_REPEAT else 0
    half = (len(shown) + 1) // 2
    places = draw.sample(range(half), min(count, half))
    cards = list(shown)
    for place in places:
        lowest = max(half, place + min(10, len(shown) // 3)) + 1
        cards.insert(draw.randint(min(lowest, len(cards)), len(cards)), (shown[place][0], "repeat"))
    return cards


def _candidates(place: Place) -> Iterator[_Candidate]:
    """What a session has to rate, by the names of its files."""
    for image in IMAGES:
        for path in place.ending(f"space-{place.reference}_desc-preproc_{image}.nii.gz")[:1]:
            yield _Candidate(place, REGISTRATION, image, path)
    for desc, path in _masks(place).items():
        yield _Candidate(place, MASK, desc, path)


def _drawn(out_dir: Path, place: Place, candidates: Sequence[_Candidate]) -> Iterator[tuple[Item, str] | str]:
    """Items with their pictures, or what kept one from being drawn."""
    try:
        name = f"desc-reoriented_{place.reference}.nii.gz"
        t1w_path = next(iter(place.ending(name)), None)
        if t1w_path is None:
            raise NoInputError(f"{place.name} has no {name}.", "Run participant again.", out_dir)
        t1w = views.read(t1w_path)
        brain_path = next(iter(place.ending("desc-brain_mask.nii.gz")), None)
        brain = None if brain_path is None else views.read_mask(brain_path)  # the box around it is what is shown
        focus = _focus(place, brain, t1w)
    except ThalbidsError as error:
        yield f"{place.name} is not in the page: {error.problem}"
        return
    for candidate in candidates:
        try:
            item = _item(out_dir, candidate)
            if candidate.kind == REGISTRATION:
                yield item, form.registration_picture(views.read(candidate.path), t1w, brain)
            else:
                yield item, form.mask_picture(_mask(candidate.path), t1w, focus)
        except ThalbidsError as error:
            yield f"{candidate.path.name} is not in the page: {error.problem}"


def _focus(place: Place, brain: views.Volume | None, t1w: views.Volume) -> views.Focus:
    """The same slices for all masks of a session, whichever are rated: nothing about them tells the method."""
    trusted = _trusted(place)
    masks = [replace(_mask(path), distrusted=not trusted.get(desc, True)) for desc, path in _masks(place).items()]
    return views.choose_focus(masks, brain, t1w)


def _masks(place: Place) -> dict[str, Path]:
    """The masks of a session, without those of an earlier run that its table calls missing."""
    stale = {row["method"] for row in read_volumes([place]).rows if row["status"] == "missing"}
    return {desc: path for desc, path in place.masks().items() if desc not in stale}


def _trusted(place: Place) -> dict[str, bool]:
    """Per mask whether the quality control trusts it; empty without a document."""
    for path in place.ending("desc-thalamus_qc.json")[:1]:
        try:
            return {name: bool(mask.get("trusted")) for name, mask in read_document(path)["Masks"].items()}
        except MetadataError:
            return {}
    return {}


def _mask(path: Path) -> views.Mask:
    return views.Mask(views.read_mask(path), "", palette.Style(form.COLOUR), "", "", distrusted=False)


def _item(out_dir: Path, candidate: _Candidate) -> Item:
    """The item without its identifier."""
    strategy = ""
    if candidate.kind == REGISTRATION:
        record = next(
            iter(candidate.place.ending(f"from-{candidate.target}_to-{candidate.place.reference}_mode-image_xfm.json")),
            None,
        )
        strategy = str((read_json(record) if record else {}).get("Chosen") or "")
    return Item(
        "", "", candidate.kind, candidate.place.participant_id, candidate.place.session_id, candidate.target,
        strategy, candidate.path.relative_to(out_dir).as_posix(), fingerprint(candidate.path, candidate.kind),
        bytes_sha256(candidate.path),
    )  # fmt: skip


def tell(page: Made) -> None:
    """Say what was written, and what was left out."""
    for problem in page.problems:
        print(f"thalbids: {problem}", file=sys.stderr)
    size = page.page.stat().st_size / 1e6
    print(f"{page.items} items, {page.repeats} of them a second time ({size:.1f} MB): {page.page}")
    print(f"The key is {page.key}; do not give it to raters.")
