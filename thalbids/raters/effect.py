"""What ratings by people change in the steps of a run.

A rating is about a picture of something that was computed. The step computes it again and compares: what is the same
is failed as the rater said, what differs is not, and the reason is noted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from thalbids.image.digest import digest
from thalbids.image.io import as_stored
from thalbids.qc import MaskInput
from thalbids.raters.ratings import MASK, REGISTRATION, RatersVerdict, read_verdicts, standing
from thalbids.registration.gate import Attempt
from thalbids.settings import Ratings


def verdicts_on(sessions: Collection[str], out_dir: Path, rule: Ratings) -> tuple[list[RatersVerdict], list[str]]:
    """What raters failed of these sessions, and what there is to say about the ratings.

    Raises
    ------
    MetadataError
        A table of ratings or its key cannot be used.
    """
    if not rule.files:
        return [], []
    verdicts = read_verdicts(out_dir, rule)
    failed = [verdict for verdict in verdicts if verdict.failed]
    of_sessions = [verdict for verdict in failed if verdict.item.session in sessions]
    notes = [
        f"ratings: {len(verdicts)} things were rated, {len(failed)} failed, {len(of_sessions)} of them of this run."
    ]
    notes += [
        f"{_name(verdict)}: the rating ({verdict.reason}) is not applied: what was rated has changed since."
        for verdict in of_sessions
        if standing(out_dir, verdict.item) == "stale"
    ]
    return of_sessions, notes


def by_session(verdicts: Iterable[RatersVerdict]) -> dict[str, list[RatersVerdict]]:
    """The verdicts of each session that has any."""
    grouped: dict[str, list[RatersVerdict]] = {}
    for verdict in verdicts:
        grouped.setdefault(verdict.item.session, []).append(verdict)
    return grouped


def rejected(verdicts: Iterable[RatersVerdict], image: str) -> tuple[dict[str, str], ...]:
    """The registrations of an image among the verdicts: strategy, SHA-256 of the registered image, reason."""
    mine = [v for v in verdicts if v.item.kind == REGISTRATION and v.item.target == image]
    return tuple({"Strategy": v.item.strategy, "Sha256": v.item.sha256, "Reason": v.reason} for v in mine)


def failed(verdicts: Iterable[RatersVerdict]) -> dict[str, list[dict[str, str]]]:
    """The masks among the verdicts, by name: SHA-256 and reason of each."""
    masks: dict[str, list[dict[str, str]]] = {}
    for verdict in verdicts:
        if verdict.item.kind == MASK:
            masks.setdefault(verdict.item.target, []).append({"Sha256": verdict.item.sha256, "Reason": verdict.reason})
    return masks


def _name(verdict: RatersVerdict) -> str:
    item = verdict.item
    return f"{item.session}: {item.kind} {item.target}" + (f" by {item.strategy}" if item.strategy else "")


class Registrations:
    """The registrations of one image that raters failed.

    Parameters
    ----------
    rejected : ``Strategy``, ``Sha256`` of the registered image, ``Reason``
    affine : of the T1w grid
    """

    def __init__(self, rejected: Sequence[Mapping[str, str]], affine: np.ndarray) -> None:
        self._rejected, self._affine = rejected, affine
        self.applied: list[dict[str, str]] = []

    def review(self, attempt: Attempt) -> str:
        """Why this attempt was failed, "" when it was not."""
        asked = [entry for entry in self._rejected if entry["Strategy"] == attempt.strategy]
        if not asked or attempt.image is None:
            return ""
        data = np.asarray(attempt.image.dataobj, dtype=np.float32)
        # raters saw what was stored: in steps of 16 bits, or as it is by an earlier version
        checksums = {digest(values, self._affine, np.float32) for values in (data, as_stored(data))}
        same = [dict(entry) for entry in asked if entry["Sha256"] in checksums]
        self.applied += same
        return same[0]["Reason"] if same else ""

    def stale(self) -> list[str]:
        """A note for each rating that was not applied."""
        return [
            f"not applied, as this result of {entry['Strategy']} did not come out again: {entry['Reason']}"
            for entry in self._rejected
            if dict(entry) not in self.applied
        ]


def failed_masks(
    masks: Mapping[str, MaskInput], affine: np.ndarray | None, rated: Mapping[str, Sequence[Mapping[str, str]]]
) -> tuple[dict[str, MaskInput], list[str]]:
    """The masks, those that raters failed with what they said, and a note for each rating that is not applied."""
    changed, notes = dict(masks), []
    for name, entries in rated.items():
        mask = masks.get(name)
        checksum = ""
        if mask is not None and mask.labels is not None and affine is not None:
            checksum = digest(mask.labels != 0, affine, np.uint8)
        for entry in entries:
            if mask is not None and entry["Sha256"] == checksum:
                changed[name] = replace(mask, failed_by=entry["Reason"])
            else:
                notes.append(f"a rating of {name} is not applied, as the mask has changed: {entry['Reason']}")
    return changed, notes
