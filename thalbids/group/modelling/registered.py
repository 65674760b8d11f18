"""Changes by registration as methods of their own, so that every analysis of change can take them.

The image of two visits says by how much the border of a mask moved (`thalbids.longitudinal.affine`); the volume at a
later visit is then the volume at the baseline times that change. :func:`by_registration` makes a cohort of such
volumes, with methods named ``METHOD_registration``: analyses that compare two visits work on it as on any cohort.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.results.names import REGISTERED, registered
from thalbids.bids.tabular.tables import Column, column
from thalbids.group.cohort import Cohort, baseline, visit_pairs

DIFFERENCE, REGISTRATION = "volume_difference", "registration"
CHANGE_MEASURE: dict[str, Column] = {
    "change_measure": column(
        "Measure of change",
        "How the change was measured; methods named METHOD_registration have the change by registration at the border "
        "of METHOD's mask. Each measure is a family of its own in corrections.",
        Levels={
            DIFFERENCE: "Difference of the volumes of two visits",
            REGISTRATION: "By registration of the two visits; the later volume is the earlier one times the change",
        },
    )
}
_SIDES = {"": "delta_percent", "left_": "delta_left_percent", "right_": "delta_right_percent"}
_KEYS = ["participant_id", "session_id"]
_PAIR = ["participant_id", "session_id_baseline", "session_id_followup", "method"]


def measure_of(method: str) -> str:
    """How the change of a method of these cohorts was measured.

    Examples
    --------
    >>> measure_of("first"), measure_of("first_registration")
    ('volume_difference', 'registration')
    """
    return REGISTRATION if method.endswith(REGISTERED) else DIFFERENCE


def with_measure(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a table of change with the column ``change_measure``."""
    return [{**row, "change_measure": measure_of(str(row["method"]))} for row in rows]


def measured(cohort: Cohort, pair: str = "first:last") -> list[tuple[str, Cohort]]:
    """The measures of change that a pair of sessions has, each with the cohort that analyses of it take."""
    of_measure = by_registration(cohort, pair)
    return [(DIFFERENCE, cohort), *([] if of_measure is None else [(REGISTRATION, of_measure)])]


@functools.lru_cache(maxsize=8)
def by_registration(cohort: Cohort, pair: str = "first:last") -> Cohort | None:
    """The cohort with volumes by registration, relative to the first session of a pair; None where nobody has any.

    ``first:last`` takes the baseline, so that the volumes of all visits of a person form a series; of ``consecutive``
    visits there is no such session (`consecutive`).
    """
    if pair == "consecutive":
        return None
    starts = baseline(cohort) if pair == "first:last" else visit_pairs(cohort, pair)
    label = "session_id" if pair == "first:last" else "session_id_baseline"
    return since(cohort, starts["participant_id"], starts[label])


def since(cohort: Cohort, people: pd.Series[str], sessions: pd.Series[str]) -> Cohort | None:
    """The cohort with volumes by registration relative to one session of each of these people.

    A volume is ok where those of both sessions are, and the registration of the pair succeeded. Of repeated scans the
    change between a scan and its repetition is a repetition too.
    """
    changes = both_ways(cohort)
    methods = [name for name in cohort.methods if name in set(changes["method"])]
    if not methods or not len(people):
        return None
    start = pd.DataFrame({"participant_id": people.to_numpy(), "start": sessions.to_numpy()}, dtype=object)
    frame = _every_row(cohort, methods).merge(start, on="participant_id", how="inner")
    volumes = _scaled(cohort, frame, changes)
    group = cohort.settings.group
    named = replace(
        group,
        not_in_models=tuple(registered(name) for name in group.not_in_models),
        sample_methods=tuple(registered(name) for name in group.sample_methods),
    )
    settings = replace(cohort.settings, group=named)
    return replace(cohort, volumes=volumes, repeats=_repeats(cohort, methods, changes), settings=settings, changes=None)


def both_ways(cohort: Cohort) -> pd.DataFrame:
    """The changes by registration, each pair and method once and both ways round; none where the settings say so."""
    known = cohort.changes
    if known is None or not len(known) or not cohort.settings.group.registration:
        return pd.DataFrame(columns=[*_PAIR, *_SIDES.values(), "status", "reason"])
    known = known.drop_duplicates(_PAIR)
    turned = known.rename(
        columns={"session_id_baseline": "session_id_followup", "session_id_followup": "session_id_baseline"}
    )
    for name in _SIDES.values():  # the measure is exactly the negative logarithm when visits are swapped
        turned = turned.assign(**{name: 100 * (1 / (1 + known[name].to_numpy(dtype=np.float64) / 100) - 1)})
    return pd.concat([known, turned[known.columns]], ignore_index=True)


def _every_row(cohort: Cohort, methods: Sequence[str]) -> pd.DataFrame:
    """A row of every session and method, as in ``volumes`` where there is one, in its order."""
    sessions = cohort.volumes.drop_duplicates(_KEYS)[[*_KEYS, "icv_ml", "icv_source"]]
    every = sessions.merge(pd.DataFrame({"method": list(methods)}, dtype=object), how="cross")
    known = cohort.volumes.drop(columns=["icv_ml", "icv_source"])
    frame = every.merge(known, on=[*_KEYS, "method"], how="left", validate="one_to_one")
    words = {"image": "", "status": "missing", "reason": "not in the derivatives"}
    return frame.fillna({name: text for name, text in words.items() if name in frame})


def _scaled(cohort: Cohort, frame: pd.DataFrame, changes: pd.DataFrame) -> pd.DataFrame:
    """The volumes of rows with their ``start``: as they are there, times the change at other sessions."""
    names = [f"volume_{side}ml" for side in _SIDES]
    base = cohort.volumes[[*_KEYS, "method", "status", *names]].rename(
        columns={"session_id": "start", "status": "status_start", **{name: f"{name}_start" for name in names}}
    )
    frame = frame.merge(base, on=["participant_id", "start", "method"], how="left", validate="many_to_one")
    ends = {"session_id_baseline": "start", "session_id_followup": "session_id"}
    told = changes.rename(columns={**ends, "status": "status_change", "reason": "reason_change"})
    keys = ["participant_id", "start", "session_id", "method"]
    kept = [*keys, *_SIDES.values(), "status_change", "reason_change"]
    frame = frame.merge(told[kept], on=keys, how="left", validate="one_to_one")
    later = (frame["session_id"] != frame["start"]).to_numpy()
    good = ((frame["status"] == "ok") & (frame["status_start"] == "ok")).to_numpy()
    changed = good & (frame["status_change"] == "ok").to_numpy()
    for side, name in _SIDES.items():
        grown = frame[f"volume_{side}ml_start"] * (1 + frame[name] / 100)
        frame[f"volume_{side}ml"] = np.where(later, grown.where(changed), frame[f"volume_{side}ml"])
    lacking = later & (frame["status"] == "ok").to_numpy() & ~changed
    why = frame["reason_change"].where(frame["status_change"].notna(), "this pair was not registered").fillna("")
    why = why.mask((frame["status_start"] != "ok").to_numpy(), "no volume at " + frame["start"])
    status = frame["status_change"].where(good, "missing").fillna("missing")
    frame["status"] = frame["status"].mask(lacking, status)
    frame["reason"] = frame["reason"].mask(lacking, why)
    frame["method"] = frame["method"].map(registered).astype(object)  # a list without rows would be of numbers
    return frame[list(cohort.volumes.columns)]


def _repeats(cohort: Cohort, methods: Sequence[str], changes: pd.DataFrame) -> pd.DataFrame:
    """Rescans by registration: the volume of the scan, and that times the change to each of its repetitions."""
    repeats = cohort.repeats
    good = repeats[repeats["method"].isin(methods) & (repeats["status"] == "ok")]
    first = good[good["session_id"] == good["entities"]]
    again = good[(good["session_id"] != good["entities"]) & good["entities"].astype(str).str.startswith("ses-")]
    told = changes[changes["status"] == "ok"].rename(
        columns={"session_id_baseline": "session_id", "session_id_followup": "entities"}
    )
    keys = [*_KEYS, "method"]
    volumes = [f"volume_{side}ml" for side in _SIDES]
    scans = again.drop(columns=volumes).merge(first[[*keys, *volumes]], on=keys, how="inner")
    scans = scans.merge(told[[*keys, "entities", *_SIDES.values()]], on=[*keys, "entities"], how="inner")
    kept = pd.MultiIndex.from_frame(first[keys]).isin(pd.MultiIndex.from_frame(scans[keys]))
    for side, name in _SIDES.items():
        scans[f"volume_{side}ml"] *= 1 + scans[name] / 100
    both = pd.concat([first[kept], scans[list(repeats.columns)]], ignore_index=True) if len(scans) else repeats.iloc[:0]
    return both.assign(method=[registered(name) for name in both["method"]])
