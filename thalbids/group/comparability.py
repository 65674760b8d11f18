"""Which pairs of visits can be compared: what the quality control of the sessions tells of their acquisition, and which
pairs the participant level excluded.
"""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np
import pandas as pd

from thalbids.errors import some
from thalbids.group.cohort import Cohort, visit_pairs
from thalbids.qc.visits import BORDER, BORDER_WORDS, acquired, pair_remarks

KEYS = ["participant_id", "session_id_baseline", "session_id_followup"]
YES, NO, UNKNOWN = "yes", "no", ""
OK, EXCLUDED = "ok", "excluded"
NAMED = 10  # pairs of a note
Visits = tuple[str, frozenset[str]]  # a person and two sessions, in either order


@functools.lru_cache(maxsize=8)
def pairs(cohort: Cohort, pair: str = "first:last") -> pd.DataFrame:
    """One row per pair of visits: participant, sessions, ``comparable`` (yes, no, "" when unknown), ``remark``, and
    ``status``: ok, or excluded by the participant level.
    """
    rows = []
    known, out, at_border = cohort.documents, _excluded(cohort), _odd_at_border(cohort)
    for person, first, later in visit_pairs(cohort, pair)[KEYS].itertuples(index=False, name=None):
        both = known.get((person, first)), known.get((person, later))
        told = [document for document in both if document is not None and acquired(document)]
        visits = person, frozenset((first, later))
        why = out.get(visits, "")
        remarks = [*filter(None, [why]), *(pair_remarks(*told) if len(told) == 2 else [])]
        remarks += [BORDER_WORDS] if visits in at_border else []
        comparable = NO if remarks else UNKNOWN if len(told) < 2 else YES
        rows.append([person, first, later, comparable, "; ".join(remarks), EXCLUDED if why else OK])
    return pd.DataFrame(rows, columns=[*KEYS, "comparable", "remark", "status"], dtype=object)


@functools.lru_cache(maxsize=4)
def _excluded(cohort: Cohort) -> dict[Visits, str]:
    """The pairs of visits that the participant level excluded, and why."""
    known = cohort.excluded_pairs
    return {
        (person, frozenset((first, later))): reason or "no reason given"
        for person, first, later, reason in (
            () if known is None else known[[*KEYS, "reason"]].itertuples(index=False, name=None)
        )
    }


@functools.lru_cache(maxsize=4)
def _odd_at_border(cohort: Cohort) -> set[Visits]:
    """The pairs of visits of which registration by every mask saw something that one visit alone shows."""
    if cohort.changes is None:
        return set()
    measured = cohort.changes[cohort.changes["delta_percent"].notna()]
    odd: dict[Visits, bool] = {}
    for person, first, later, flags in measured[[*KEYS, "flags"]].itertuples(index=False, name=None):
        visits = person, frozenset((first, later))
        odd[visits] = odd.get(visits, True) and BORDER in flags.split(", ")
    return {visits for visits, every in odd.items() if every}


def excluded(cohort: Cohort, visits: pd.DataFrame) -> pd.Series:
    """Why no change must be taken of these pairs of visits ("" where it may)."""
    known = _excluded(cohort)
    if not known:  # mostly; of rows there may be a million
        return pd.Series("", visits.index, dtype=object)
    told = [known.get((person, frozenset(ends)), "") for person, *ends in visits[KEYS].itertuples(index=False)]
    return pd.Series(told, visits.index, dtype=object)


def of_pairs_taken(cohort: Cohort, visits: pd.DataFrame, change: pd.DataFrame) -> pd.DataFrame:
    """Changes, one row per pair of visits, with NaN in those of excluded pairs."""
    change = change.copy()
    change.loc[(excluded(cohort, visits) != "").to_numpy()] = np.nan
    return change


def in_one_course(cohort: Cohort, rows: pd.DataFrame) -> np.ndarray:
    """Which volumes (participant_id, session_id, method) may stand in one course of a person: no two of them are of an
    excluded pair, and the visit that makes more such pairs than others is the one to leave out.
    """
    known = _excluded(cohort)
    good = np.ones(len(rows), dtype=bool)
    order = cohort.visits.set_index(["participant_id", "session_id"])["order"].to_dict() if known else {}
    count = Counter((person, session) for person, ends in known for session in ends)
    of_person = rows.reset_index(drop=True)
    of_person = of_person[of_person["participant_id"].isin({person for person, _ in known})]
    for (person, _), part in of_person.groupby(["participant_id", "method"], sort=False):
        course: list[str] = []
        visits = {session: (count[person, session], order[person, session]) for session in part["session_id"]}
        for place, session in sorted(part["session_id"].items(), key=lambda one: visits[one[1]]):
            if any((person, frozenset((other, session))) in known for other in course):
                good[place] = False
            else:
                course.append(session)
    return good


def without_excluded(cohort: Cohort, repeats: pd.DataFrame) -> pd.DataFrame:
    """Repeated scans, where a rescan that makes an excluded pair with the scan that it repeats is excluded."""
    known = _excluded(cohort)
    repeats = repeats.copy()
    scans = repeats.loc[repeats["status"] == OK, ["participant_id", "session_id", "entities"]]
    for place, person, session, scan in scans.itertuples(name=None):
        if why := known.get((person, frozenset((session, scan)))):
            repeats.loc[place, ["status", "reason"]] = [EXCLUDED, why]
    return repeats


def whole_brain(cohort: Cohort) -> pd.DataFrame:
    """The whole-brain changes of a cohort; that of an excluded pair of visits is excluded."""
    known, pbvc = _excluded(cohort), cohort.pbvc.copy()
    for place, person, *ends in pbvc.loc[pbvc["status"] == OK, KEYS].itertuples(name=None):
        if why := known.get((person, frozenset(ends))):
            pbvc.loc[place, ["status", "reason"]] = [EXCLUDED, why]
    return pbvc


def notes(cohort: Cohort) -> list[str]:
    """A warning about the pairs of visits, or of a scan and its rescan, that take no part in change."""
    scans = [(cohort.volumes, "session_id"), (cohort.repeats, "entities")]
    there = {key for frame, name in scans for key in zip(frame["participant_id"], frame[name], strict=True)}
    named = [
        f"{person} {' to '.join(sorted(ends))}"
        for person, ends in _excluded(cohort)
        if all((person, session) in there for session in ends)
    ]
    if not named:
        return []
    takes = "1 pair of visits takes" if len(named) == 1 else f"{len(named)} pairs of visits take"
    them = "it" if len(named) == 1 else "them"
    text = f"{takes} no part in change, as participant excluded {them}: {some(named, NAMED)}"
    return [f"warning: {text}. The person's table of change (desc-change_morph.tsv) says why."]
