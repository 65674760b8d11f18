"""Sessions that are a second scan of the same visit: repeated measurements, not follow-ups."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from thalbids.bids.tabular.near_labels import with_prefix
from thalbids.errors import UsageError
from thalbids.group import comparability
from thalbids.group.cohort import Cohort

_KEYS = ["participant_id", "session_id"]


def apart(cohort: Cohort) -> Cohort:
    """The cohort with its rescans among ``repeats``, under the session that they repeat, no longer among the visits.

    Rescans are marked by the column ``rescan_of`` of the clinical tables, or by pairs ``FIRST:RESCAN`` of labels in the
    setting ``checks.rescans``.

    Raises
    ------
    UsageError
        A pair of the setting is none, or a session repeats itself, a rescan, or a session that is not there.
    """
    pairs = {**_marked(cohort.visits), **_set(cohort)}
    if not pairs:
        return cohort
    known = set(zip(cohort.visits["participant_id"], cohort.visits["session_id"], strict=True))
    for (person, rescan), first in pairs.items():
        if first == rescan or (person, first) not in known or (person, first) in pairs:
            problem = f"{person} {rescan} is marked as a rescan of {first}, which is no other visit of this person."
            raise UsageError(problem, "Name a session that is no rescan (column rescan_of, setting checks.rescans).")
    repeats = comparability.without_excluded(cohort, _repeats(cohort, pairs))
    keep = _unmarked(cohort.visits, pairs)
    visits = cohort.visits[keep].reset_index(drop=True)
    visits["order"] = (visits.groupby("participant_id")["order"].rank(method="first") - 1).astype("int64")
    volumes = cohort.volumes[_unmarked(cohort.volumes, pairs)].reset_index(drop=True)
    gone = pd.MultiIndex.from_tuples(list(pairs))
    ends = [
        pd.MultiIndex.from_frame(cohort.pbvc[["participant_id", f"session_id_{end}"]]).isin(gone)
        for end in ("baseline", "followup")
    ]
    pbvc = cohort.pbvc[~(ends[0] | ends[1])].reset_index(drop=True)
    note = f"{len(pairs)} sessions are rescans: they tell the repeatability (group_retest) and are no visits."
    return replace(
        cohort, visits=visits, volumes=volumes, pbvc=pbvc, repeats=repeats, notes=[*cohort.notes, note]
    )  # fmt: skip


def _marked(visits: pd.DataFrame) -> dict[tuple[str, str], str]:
    marked = visits[visits["rescan_of"].fillna("") != ""]
    return {
        (person, session): first
        for person, session, first in zip(
            marked["participant_id"], marked["session_id"], marked["rescan_of"], strict=True
        )
    }


def _set(cohort: Cohort) -> dict[tuple[str, str], str]:
    """The pairs of the setting, for everybody who has both sessions."""
    pairs: dict[tuple[str, str], str] = {}
    sessions = set(zip(cohort.visits["participant_id"], cohort.visits["session_id"], strict=True))
    for pair in cohort.settings.checks.rescans:
        first, colon, second = (part.strip() for part in pair.partition(":"))
        if not (first and colon and second) or first == second:
            raise UsageError(f"checks.rescans: {pair!r} is no pair of sessions.", 'Write "FIRST:RESCAN", as "1:1b".')
        one, two = with_prefix(first, "ses-"), with_prefix(second, "ses-")
        pairs |= {(person, two): one for person, session in sessions if session == two and (person, one) in sessions}
    return pairs


def _unmarked(frame: pd.DataFrame, pairs: dict[tuple[str, str], str]) -> list[bool]:
    return [key not in pairs for key in zip(frame["participant_id"], frame["session_id"], strict=True)]


def _repeats(cohort: Cohort, pairs: dict[tuple[str, str], str]) -> pd.DataFrame:
    """What is known of repeats, the rescans, and the first scans that they repeat."""
    columns = list(cohort.repeats.columns)
    volumes = cohort.volumes.copy()
    keys = list(zip(volumes["participant_id"], volumes["session_id"], strict=True))
    volumes["entities"] = volumes["session_id"]
    rescans = volumes[[key in pairs for key in keys]].copy()
    rescans["session_id"] = [pairs[key] for key in keys if key in pairs]
    there = set(zip(cohort.repeats["participant_id"], cohort.repeats["session_id"], strict=True))
    wanted = {(person, first) for (person, _), first in pairs.items()} - there
    firsts = volumes[[key in wanted for key in keys]]
    known = cohort.repeats.copy()
    sessions = list(zip(known["participant_id"], known["session_id"], strict=True))
    known["session_id"] = [pairs.get(key, key[1]) for key in sessions]  # runs of a rescan belong to its first session
    rescans = rescans[
        [key not in set(sessions) for key in zip(rescans["participant_id"], rescans["entities"], strict=True)]
    ]
    parts = [part[columns] for part in (known, firsts, rescans) if len(part)]
    result = pd.concat(parts, ignore_index=True) if parts else cohort.repeats
    return result.sort_values(_KEYS, kind="stable").reset_index(drop=True)
