"""When the visits of each person were, from the clinical tables, for rates of change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from thalbids.bids.tabular.clinical import read_clinical, visits
from thalbids.bids.tabular.own import own_columns
from thalbids.errors import ThalbidsError
from thalbids.settings import Clinical, Group
from thalbids.types import Session

Years = Mapping[str, Mapping[str, float]]  # participant -> session (labels without prefix) -> years


def years_of(bids_dir: Path, sessions: Iterable[Session], settings: Clinical, group: Group) -> tuple[Years, str]:
    """Years since the first dated visit, as the group level counts them; and why dates are not known, "" when they are.

    Clinical tables, or settings of them, that cannot be used cost the rates only: the group level stops for them.
    """
    dates: dict[str, list[str]] = {}
    for session in sessions:
        if session.session is not None:
            dates.setdefault(f"sub-{session.subject}", []).append(f"ses-{session.session}")
    several = {person: labels for person, labels in dates.items() if len(labels) > 1}
    if not several:
        return {}, ""
    try:
        people = [person.removeprefix("sub-") for person in several]
        read = read_clinical(bids_dir, settings, people, own_columns(group), group.categorical)
    except ThalbidsError as error:
        return {}, f"the clinical tables cannot be used, so that changes have no rates: {error.problem}"
    if not any("acq_time" in values for values in read.values.values()):
        return {}, ""
    years: dict[str, dict[str, float]] = {}
    for row in visits(read, several).rows:
        person, label = str(row["participant_id"]), str(row["session_id"])
        if row["years"] is not None and label in several.get(person, ()):
            years.setdefault(person.removeprefix("sub-"), {})[label.removeprefix("ses-")] = float(row["years"])
    return years, ""
