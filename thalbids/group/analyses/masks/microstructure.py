"""Quantitative maps inside the masks: ``group_qmri`` and ``group_qmri_summary``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from thalbids.bids.results.dictionaries import QMRI_MORPH
from thalbids.bids.tabular.tables import Column, Table, table
from thalbids.group.analyses.over_time.change import by_diagnosis, spread
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline
from thalbids.group.columns import DIAGNOSIS, METHOD, SPREAD
from thalbids.group.modelling.map_values import QMRI, readout

SUMMARY: dict[str, Column] = {
    **METHOD,
    **{name: QMRI_MORPH[name] for name in ("map", "region")},
    **DIAGNOSIS,
    **SPREAD,
    "units": QMRI_MORPH["units"],
}


def tables(cohort: Cohort) -> list[Table]:
    """A row per session, method, map, region and side; and their means (both sides) at the baseline by diagnosis."""
    frame, notes = readout(cohort)
    return [
        Table("group_qmri", frame, QMRI, notes=notes),
        table("group_qmri_summary", _summary(cohort, frame), SUMMARY),
    ]


def _summary(cohort: Cohort, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Means inside the masks, at the first session of each person with a usable volume."""
    first = baseline(cohort)[["participant_id", "session_id"]]
    usable = frame[(frame["status"] == "ok") & (frame["side"] == "both")].merge(first, on=list(first.columns))
    rows = []
    for (method, name, region), part in usable.groupby(["method", "map", "region"], sort=False):
        start = {"method": method, "map": name, "region": region, "units": part["units"].iloc[0]}
        rows += [
            start | {"diagnosis": word, **spread(rows_of_group["mean"])} for word, rows_of_group in by_diagnosis(part)
        ]
    return rows


ANALYSIS = Analysis("quantitative maps", tables, told=("qmri",))
