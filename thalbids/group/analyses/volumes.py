"""The volumes of every session as a frame, and the table ``group_volumes``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from thalbids.bids import names
from thalbids.bids.derivatives import Volumes
from thalbids.bids.tables import Table
from thalbids.errors import UsageError
from thalbids.group.cohort import VOLUME_COLUMNS, Cohort, baseline
from thalbids.group.columns import VOLUMES

if TYPE_CHECKING:
    from thalbids.settings import Group

KEYS = ["participant_id", "session_id"]
ICV_SOURCES = ("given", "freesurfer", "synthal")  # the first wins where equally many sessions have them


def keep_named(read: Volumes, wanted: Collection[str]) -> None:
    """Keep the rows of these methods and families (``--methods``) alone; ``auto`` keeps all.

    Raises
    ------
    UsageError
        The derivatives have no row of one of them.
    """
    if "auto" in wanted:
        return
    there = dict.fromkeys(str(row["method"]) for row in read.rows)
    of = {method: {method, _family(method)} for method in there}
    absent = [name for name in wanted if not any(name in own for own in of.values())]
    if absent:
        problem = f"--methods: the derivatives have no volume of {', '.join(absent)}."
        raise UsageError(problem, f"There is: {', '.join(there)}.")
    for rows in (read.rows, read.repeats):
        rows[:] = [row for row in rows if set(wanted) & of.get(str(row["method"]), set())]


def _family(method: str) -> str:
    try:
        return names.by_desc(method).family
    except KeyError:
        return method


def volume_frame(read: Volumes, icv: pd.DataFrame, settings: Group, notes: list[str]) -> pd.DataFrame:
    """The frame ``Cohort.volumes``: rows of the asked methods, with the intracranial volume of their session.

    Parameters
    ----------
    icv : participant_id, session_id, icv_ml, icv_source: at most one row per session
    """
    frame = pd.DataFrame(read.rows, columns=[name for name in VOLUME_COLUMNS if not name.startswith("icv_")])
    for name in ("participant_id", "session_id", "method", "image", "status", "reason"):
        frame[name] = frame[name].astype(object)
    if settings.methods:
        absent = [name for name in settings.methods if name not in set(frame["method"])]
        if absent:
            notes.append(f"warning: no session has the method {', '.join(absent)} (setting group.methods).")
        frame = frame[frame["method"].isin(settings.methods)]
    return frame.merge(icv, on=KEYS, how="left")[list(VOLUME_COLUMNS)].fillna({"icv_source": ""})


def icv_frame(rows: Sequence[dict[str, Any]], wanted: str, notes: list[str]) -> pd.DataFrame:
    """One intracranial volume per session, all from one source: two sources differ systematically."""
    columns = [*KEYS, "source", "icv_ml"]
    frame = pd.DataFrame(rows, columns=columns).drop_duplicates([*KEYS, "source"])
    counts = Counter(frame["source"])
    known = [*ICV_SOURCES, *sorted(set(counts) - set(ICV_SOURCES))]
    source = wanted if wanted != "auto" else max(known, key=lambda name: counts[name])
    used = frame[frame["source"] == source]
    if not len(used):
        notes.append("warning: there is no intracranial volume" + ("" if wanted == "auto" else f" from {wanted}") + ".")
    elif len(counts) > 1:
        others = ", ".join(f"{name} ({count})" for name, count in counts.items() if name != source)
        notes.append(f"intracranial volume: {source} ({len(used)} sessions) is used for everybody, not {others}.")
    return used.rename(columns={"source": "icv_source"})[[*KEYS, "icv_ml", "icv_source"]].astype(
        {"participant_id": object, "session_id": object, "icv_source": object, "icv_ml": float}
    )


def excluded(volumes: pd.DataFrame, exclusions: pd.DataFrame) -> pd.DataFrame:
    """The volumes with status excluded, and the reason, where a rating says so (method "" stands for all)."""
    if not len(exclusions):
        return volumes
    volumes = volumes.copy()
    for row in exclusions.itertuples():
        hit = (volumes["participant_id"] == row.participant_id) & (volumes["session_id"] == row.session_id)
        if row.method:
            hit &= volumes["method"] == row.method
        volumes.loc[hit, ["status", "reason"]] = ["excluded", row.reason]
    return volumes


def tables(cohort: Cohort) -> list[Table]:
    """``group_volumes``."""
    counts = Counter(cohort.volumes["status"])
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    note = f"volumes: {len(cohort.volumes)} rows of {len(cohort.methods)} methods ({told or 'none'})."
    choices = {"icv": cohort.settings.group.icv, "harmonise": cohort.settings.group.harmonise}
    keys = ["participant_id", "session_id"]
    known = cohort.visits[[*keys, "diagnosis"]]
    frame = cohort.volumes.merge(known, on=keys, how="left", validate="many_to_one")
    first = pd.MultiIndex.from_frame(baseline(cohort)[keys])
    frame["baseline"] = pd.MultiIndex.from_frame(frame[keys]).isin(first).tolist()
    return [Table("group_volumes", frame, VOLUMES, choices, [note])]
