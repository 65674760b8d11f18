"""Masks that already exist: one session's file in a derivative dataset (``--derivatives NAME=PATH``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thalbids.bids.dataset.sidecars import BidsFile, check_content, listing, parse
from thalbids.errors import MetadataError
from thalbids.types import Session

EXTENSIONS = (".nii.gz", ".nii")
SHARED = ("acq", "ce", "rec", "run", "task")  # entities that say which of several T1w images a mask belongs to
# Prefixes of the BIDS identifiers of template spaces: a mask there is not on this person's head.
TEMPLATES = ("mni", "icbm", "fsaverage", "fslr", "talairach", "unc", "oasis", "nihpd", "ixi", "nki", "whs", "pediatric")


@dataclass(frozen=True)
class GivenMask:
    """A file that the user already has.

    Attributes
    ----------
    path : absolute path
    uri : BIDS URI (``bids:first:sub-01/anat/...``) for sidecars
    labelled : whether it holds labels (``_dseg``) and not only in and out (``_mask``)
    """

    path: Path
    uri: str
    labelled: bool


def thalamus_mask(name: str, root: Path, session: Session, *, desc: str, exact: bool = False) -> GivenMask | None:
    """The thalamus mask of a session in the results called ``name``; None when there is none.

    Looked for are ``*_label-thalamus_*_mask`` and ``*_seg-thalamus_*_dseg`` in the session's ``anat`` folder. Names
    with ``desc-DESC`` win over others; of a mask and a dseg with one desc the dseg is taken, as it knows the sides.

    Parameters
    ----------
    name, root : as in ``--derivatives NAME=PATH``
    session : subject, session and T1w that the file must belong to
    desc : the ``desc-`` label that is preferred (case does not matter)
    exact : take no other desc, for results that hold several methods

    Raises
    ------
    MetadataError
        Several files would do; the message names them. Or the file is only a link to content that is elsewhere.
    """

    def wanted(file: BidsFile) -> bool:
        label = file.entities.get("label" if file.suffix == "mask" else "seg", "")
        return file.suffix in ("mask", "dseg") and label.lower() == "thalamus"

    return _one(name, root, session, [f for f in _files(root, session) if wanted(f)], desc, exact)


def brain_mask(name: str, root: Path, session: Session) -> GivenMask | None:
    """The brain mask of a session: ``*_desc-brain_mask`` or ``*_label-brain_mask``; else as :func:`thalamus_mask`."""
    files = [
        f
        for f in _files(root, session)
        if f.suffix == "mask" and "brain" in (f.entities.get("desc", "").lower(), f.entities.get("label", "").lower())
    ]
    return _one(name, root, session, files, "brain", exact=False)


def _files(root: Path, session: Session) -> list[BidsFile]:
    """Images of the session's folder whose entities are those of the session and of its T1w."""
    entities = {"sub": session.subject, **({"ses": session.session} if session.session else {})}
    folder = root.joinpath(*(f"{key}-{value}" for key, value in entities.items()), "anat")
    t1w = session.images[session.reference].entities if session.reference in session.images else {}
    parsed = [parse(folder / name) for name in listing(folder) if name.endswith(EXTENSIONS)]
    return [f for f in parsed if f is not None and _belongs(f.entities, entities, t1w)]


def _belongs(entities: Mapping[str, str], session: Mapping[str, str], t1w: Mapping[str, str]) -> bool:
    if {key: entities[key] for key in ("sub", "ses") if key in entities} != dict(session):
        return False
    if entities.get("space", "").lower().startswith(TEMPLATES):
        return False
    return all(entities[key] == t1w.get(key) for key in SHARED if key in entities)


def _one(
    name: str, root: Path, session: Session, files: Sequence[BidsFile], desc: str, exact: bool
) -> GivenMask | None:
    named = [f for f in files if f.entities.get("desc", "").lower() == desc.lower()]
    left = named if named or exact else list(files)
    if len({f.entities.get("desc") for f in left}) == 1:
        left = [f for f in left if f.suffix == "dseg"] or left
    if not left:
        return None
    if len(left) > 1:
        problem = f"{session.name} has {len(left)} files in {name}: {', '.join(f.path.name for f in left)}."
        raise MetadataError(problem, f"Keep one of them in the folder, or call it desc-{desc}.")
    check_content(left[0].path)
    uri = f"bids:{name}:{left[0].path.relative_to(root).as_posix()}"
    return GivenMask(left[0].path, uri, left[0].suffix == "dseg")
