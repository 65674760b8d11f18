"""Quantitative maps that already exist: those of a session in a derivative dataset (``--derivatives maps=PATH``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from thalbids.bids.dataset.existing import TEMPLATES
from thalbids.bids.dataset.raw import image_of, raw_images
from thalbids.bids.dataset.sidecars import BidsFile, Sidecars, listing, parse
from thalbids.types import InputImage, Session

NAME = "maps"  # in --derivatives
FOLDERS = ("anat", "dwi", "perf")
OTHER_SUFFIXES = ("MTsat", "T1rho", "cbf")  # of maps, besides those that end in "map"
_EXTENSIONS = (".nii.gz", ".nii")
_PARTS = ("hemi", "label", "seg", "mode", "from", "to")  # entities of what is no map of the head


@dataclass(frozen=True)
class GivenMap:
    """A map: its name in tables, the image, and whether it lies on the T1w by its name (``space-T1w``)."""

    name: str
    image: InputImage
    on_t1w: bool


def given_maps(root: Path, session: Session) -> tuple[dict[str, GivenMap], list[str]]:
    """Every map of a session, by its name, and which were left out for another of the same name.

    A map is an image in ``anat``, ``dwi`` or ``perf`` whose suffix ends in ``map`` or is one of `OTHER_SUFFIXES`, in no
    template space. Its name is the suffix, or ``param-`` where the name has it (``FA`` of a ``dwimap``). Of several
    with one name that without ``desc-`` is taken, then ``desc-preproc``, then the fewest entities, then the alphabet.
    """
    sidecars = Sidecars(root)
    named: dict[str, list[BidsFile]] = {}
    for file in _files(root, session):
        named.setdefault(file.entities.get("param", file.suffix), []).append(file)
    notes = []
    maps = {}
    for name, files in sorted(named.items()):
        chosen, *others = sorted(files, key=_preference)
        maps[name] = GivenMap(name, image_of(chosen, sidecars, NAME), chosen.entities.get("space") == "T1w")
        if others:
            names = ", ".join(file.path.name for file in others)
            notes.append(f"{name}: {chosen.path.name} is read, not {names}.")
    return maps, notes


def given_fields(root: Path, session: Session) -> tuple[InputImage, ...]:
    """The B1 maps of a session in such a dataset (``fmap/*_TB1map``)."""
    folder = _folder(root, session)
    images, _ = raw_images(folder, Sidecars(root), dataset=NAME)
    return tuple(image for image in images if image.suffix == "TB1map")


def _preference(file: BidsFile) -> tuple[object, ...]:
    desc = file.entities.get("desc")
    rank = 0 if desc is None else 1 if desc == "preproc" else 2
    return rank, len(file.entities), file.path.name


def _folder(root: Path, session: Session) -> Path:
    return root.joinpath(*(f"{key}-{value}" for key, value in _own(session).items()))


def _own(session: Session) -> Mapping[str, str]:
    return {"sub": session.subject, **({"ses": session.session} if session.session else {})}


def _files(root: Path, session: Session) -> Iterator[BidsFile]:
    for datatype in FOLDERS:
        folder = _folder(root, session) / datatype
        for name in listing(folder):
            file = parse(folder / name) if name.endswith(_EXTENSIONS) else None
            if file is None or not (file.suffix.endswith("map") or file.suffix in OTHER_SUFFIXES):
                continue
            same = {key: file.entities[key] for key in ("sub", "ses") if key in file.entities} == _own(session)
            template = file.entities.get("space", "").lower().startswith(TEMPLATES)
            if same and not template and not set(_PARTS) & set(file.entities):
                yield file
