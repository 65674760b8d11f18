"""Quantitative maps inside the masks of a cohort: the rows of ``group_qmri``, and values for models."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.results.derivatives import Place, number
from thalbids.bids.results.dictionaries import QMRI_MORPH
from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, column, count
from thalbids.errors import ThalbidsError
from thalbids.files import read_table
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD

ENDING = "desc-thalamusqmri_morph.tsv"
_KEYS = ["participant_id", "session_id"]
_NUMBERS = ("voxels", "undefined", "mean", "median", "sd")

QMRI: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    **METHOD,
    **{name: QMRI_MORPH[name] for name in ("map", "region", "side")},
    "voxels": count("Number of voxels", "Voxels of the region that have a value."),
    "undefined": count("Undefined voxels", "Voxels of the region without a value; they are left out."),
    **{name: QMRI_MORPH[name] for name in ("mean", "median", "sd", "units", "status", "reason")},
    "diagnosis": column("Diagnosis", "Diagnosis group at this session; n/a when unknown."),
}


@functools.lru_cache(maxsize=4)
def readout(cohort: Cohort) -> tuple[pd.DataFrame, list[str]]:
    """The rows of ``group_qmri``, and what there is to say of tables that could not be read. Not to be changed."""
    notes: list[str] = []
    there = [place for place in cohort.places if place.ending(ENDING)]
    masks: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for row in cohort.volumes.itertuples() if there else ():
        of_session = masks.setdefault((str(row.participant_id), str(row.session_id)), {})
        of_session[str(row.method)] = (str(row.status), str(row.reason))
    rows = [
        row
        for place in there
        for row in _session(masks.get((place.participant_id, place.session_id), {}), place, notes)
    ]
    frame = pd.DataFrame(rows, columns=[name for name in QMRI if name != "diagnosis"])
    frame = frame.merge(cohort.visits[[*_KEYS, "diagnosis"]], on=_KEYS, how="left", validate="many_to_one")
    for name in _NUMBERS:
        frame[name] = frame[name].astype(np.float64)
    return frame, notes


def maps_of(cohort: Cohort) -> list[str]:
    """The maps that anybody has a usable value of, in the order of the tables."""
    frame, _ = readout(cohort)
    return list(dict.fromkeys(frame.loc[(frame["status"] == "ok") & frame["mean"].notna(), "map"]))


def wide(cohort: Cohort, name: str, people: pd.Series[str], sessions: pd.Series[str]) -> pd.DataFrame:
    """A map inside the masks of these sessions, in this order: a column per method, NaN where there is no usable value.

    Region, statistic and both sides together, by the settings ``group.map_region`` and ``group.map_statistic``.
    """
    frame, _ = readout(cohort)
    group = cohort.settings.group
    chosen = frame[
        (frame["map"] == name)
        & (frame["region"] == group.map_region)
        & (frame["side"] == "both")
        & (frame["status"] == "ok")
    ]
    values = chosen.set_index([*_KEYS, "method"])[group.map_statistic]
    columns = dict(values.items())
    keys = list(zip(people, sessions, strict=True))
    return pd.DataFrame({m: [columns.get((*key, m), np.nan) for key in keys] for m in cohort.methods}, dtype=np.float64)


def in_place_of_volumes(cohort: Cohort, name: str) -> Cohort:
    """The cohort with a map inside the masks where volumes stand, and ``map_covariates`` as covariates.

    For analyses that know one measure. Values are in the unit of the map (``group_qmri``), NaN where there is none; of
    the two sides only their mean is known, so the columns of the sides are missing.
    """
    keys = cohort.volumes["participant_id"], cohort.volumes["session_id"]
    values = wide(cohort, name, *keys)
    column = pd.Index(cohort.methods).get_indexer(cohort.volumes["method"])
    of_map = values.to_numpy(dtype=np.float64)[np.arange(len(values)), column] if len(values) else np.empty(0)
    sides = {f"volume_{side}_ml": np.nan for side in ("left", "right")}
    group = replace(cohort.settings.group, covariates=cohort.settings.group.map_covariates)
    settings = replace(cohort.settings, group=group)
    return replace(cohort, volumes=cohort.volumes.assign(volume_ml=of_map, **sides), settings=settings)


def about_map(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of a table about volumes, with a map in their place."""
    described: dict[str, Column] = {
        "map": column("Map", "The quantitative map whose value inside the masks is the measure.")
    }
    for key, about in columns.items():
        words = {name: _of_map(text) for name, text in about.items()}
        described[key] = {name: text for name, text in words.items() if text is not None}
    return described


def _of_map(text: Any) -> Any:
    """A word of a data dictionary; None for a unit of volume, as the unit is that of the map."""
    if isinstance(text, dict):
        return {name: _of_map(words) for name, words in text.items()}
    if not isinstance(text, str):
        return text
    if text in ("mL", "mL per year"):
        return None
    for old, new in (
        ("The volume", "The value"),
        ("the volume", "the value"),
        ("Volume", "Value"),
        ("mean volume", "mean value"),
        (" (mL per year)", ""),
    ):
        text = text.replace(old, new)
    return text


def _session(masks: Mapping[str, tuple[str, str]], place: Place, notes: list[str]) -> list[dict[str, Any]]:
    """The readout of a session; a method whose mask may not be used is excluded, with the reason of its volume.

    ``masks``: status and reason of the session's volumes by method.
    """
    values = []
    for path in place.ending(ENDING)[:1]:
        try:
            rows = read_table(path)
        except ThalbidsError as error:
            notes.append(f"warning: {path.name}: {error.problem}")
            continue
        for row in rows:
            method = str(row.get("method") or "")
            if method not in masks:
                continue
            status, reason = str(row.get("status") or ""), row.get("reason") or ""
            if status == "ok" and masks[method][0] != "ok":
                status, reason = masks[method]
            told: dict[str, Any] = {name: row.get(name) or "" for name in ("map", "region", "side", "units")}
            told |= {name: number(row.get(name)) for name in _NUMBERS}
            ids = {"participant_id": place.participant_id, "session_id": place.session_id, "method": method}
            values.append(ids | told | {"status": status, "reason": reason})
    return values
