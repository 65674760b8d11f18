"""Results of people and sessions that are not in the raw dataset any more: withdrawn, or renamed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from thalbids.bids.results.derivatives import Place, find_places
from thalbids.bids.tabular.given_tables import people_of
from thalbids.errors import some
from thalbids.files import names_in


def removed(bids_dir: Path, places: Sequence[Place]) -> list[Place]:
    """The places of people and sessions that have no folder in the raw dataset any more.

    Nothing is told of a dataset without any image in ``anat``: tables alone are enough for the group level.
    """
    return _without_folder(bids_dir, people_of(bids_dir), places)


def _without_folder(bids_dir: Path, people: Mapping[str, set[str]], places: Sequence[Place]) -> list[Place]:
    """``people``: the sessions of each person that the raw dataset has."""
    if not _has_images(bids_dir, people):
        return []
    gone = []
    for place in places:
        sessions = people.get(place.participant_id)
        if sessions is None or (place.session_id and place.session_id not in sessions):
            gone.append(place)
    return gone


def removal_note(gone: Sequence[Place], what: str) -> str:
    """A warning about those who are not in the dataset any more."""
    names = some([place.name for place in gone], 10)
    return f"warning: results without a scan in the dataset any more (removed or renamed): {names}. {what}"


def removed_from(bids_dir: Path, out_dir: Path, whose: Collection[str] | None = None) -> list[str]:
    """What the participant level says about such results in the output folder: a warning, or nothing.

    Of everybody it tells who was removed; removed sessions of the people in ``whose`` alone (None: of everybody).
    """
    people = people_of(bids_dir, whose=whose)
    suspects = [
        person.removeprefix("sub-")
        for person, sessions in people_of(out_dir, whose=whose).items()
        if person not in people or sessions - people[person]
    ]
    gone = _without_folder(bids_dir, people, find_places(out_dir, suspects)) if suspects else []
    pairs = " and, of a session, the changes from and to it (sub-X/anat/sub-X_from-A_to-B_*)"
    what = f"The group level leaves them out; delete their folders and pages{pairs} where consent was withdrawn."
    return [removal_note(gone, what)] if gone else []


def _has_images(bids_dir: Path, people: Mapping[str, set[str]]) -> bool:
    for person, sessions in sorted(people.items(), key=lambda entry: not entry[1]):  # with known sessions first
        for session in ("", *sessions):
            if any(name.endswith((".nii", ".nii.gz")) for name in names_in(bids_dir / person / session / "anat")):
                return True
    return False
