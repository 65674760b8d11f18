"""Who enters a clinical model, and with what: one row per participant or pair of visits.

A :class:`Sample` holds outcomes and covariates and, beside them, one column of volumes per method. Rows are joined by
participant and session, never by their order.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from thalbids.group import comparability
from thalbids.group.cohort import Cohort, visit_pairs
from thalbids.group.cohort import baseline as baseline_visits
from thalbids.group.statistics.fits.fit import z_score

ALL = "all"
MEASURES = ("total", "left", "right", "asymmetry")
_EXACT = 1e-12
_KEYS = ["participant_id", "session_id"]


@dataclass(frozen=True)
class Sample:
    """Participants (or pairs of visits) of an analysis.

    Attributes
    ----------
    table : covariates and outcomes; ``sex`` is 1 for male and 0 for female; ``icv_z`` is standardised over these rows,
        before any subset or deletion
    volumes : per measure (``total``, ``left``, ``right`` in mL; ``asymmetry``, 2 (left - right) / (left + right)) a
        frame with the rows of ``table`` and a column per method; for pairs of visits the change (follow-up - baseline)
    """

    table: pd.DataFrame
    volumes: Mapping[str, pd.DataFrame]

    @functools.cached_property
    def _known(self) -> dict[str, np.ndarray]:
        """Columns that were asked for: every model of a sample asks for the same."""
        return {}

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns as float arrays, not to be changed; one that the table does not have is missing for everybody."""
        for name in names:
            if name not in self._known:
                absent = np.full(len(self.table), np.nan)
                there = name in self.table
                self._known[name] = self.table[name].to_numpy(np.float64, na_value=np.nan) if there else absent
        return {name: self._known[name] for name in names}

    def covariates(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns of numbers as float arrays, those of words (site, diagnosis) as object arrays, "" for missing."""
        words = [name for name in names if name in self.table and self.table[name].dtype == object]
        numbers = self.columns([name for name in names if name not in words])
        return {name: self.table[name].to_numpy(dtype=object) if name in words else numbers[name] for name in names}

    def where(self, chosen: np.ndarray) -> Sample:
        """The rows with True."""
        return Sample(self.table[chosen], {name: wide[chosen] for name, wide in self.volumes.items()})

    def within(self, subset: str) -> Sample:
        """The rows with this diagnosis; ``all`` keeps everybody."""
        return self if subset == ALL else self.where((self.table["diagnosis"] == subset).to_numpy())


def subsets(cohort: Cohort) -> tuple[str, ...]:
    """Everybody, and the diagnosis group of the sensitivity analyses (setting ``group.subset``)."""
    subset = cohort.settings.group.subset
    return (ALL, subset) if subset and subset != ALL else (ALL,)


SAMPLES = ("available", "common")


@functools.lru_cache(maxsize=8)
def baseline(cohort: Cohort, which: str = "") -> Sample:
    """Each participant's baseline: the sample of the cross-sectional models.

    ``which`` is one of :data:`SAMPLES`, ``common`` for those with a volume of every method that is compared; "" takes
    the setting ``group.sample``.
    """
    table = baseline_visits(cohort)
    volumes = _volumes(cohort, table["participant_id"], table["session_id"])
    return _chosen(cohort, table, volumes, which)


@functools.lru_cache(maxsize=16)
def pairs(cohort: Cohort, pair: str = "first:last", which: str = "") -> Sample:
    """Changes between two visits of each participant (`thalbids.group.cohort.visit_pairs`); ``which`` as above."""
    table = visit_pairs(cohort, pair)
    before, after = (
        _volumes(cohort, table["participant_id"], table[f"session_id_{when}"]) for when in ("baseline", "followup")
    )
    of_taken = functools.partial(comparability.of_pairs_taken, cohort, table)
    volumes = {name: of_taken(difference(before[name], after[name])) for name in MEASURES}
    return _chosen(cohort, table, volumes, which)


def _chosen(cohort: Cohort, table: pd.DataFrame, volumes: dict[str, pd.DataFrame], which: str) -> Sample:
    if (which or cohort.settings.group.sample) == "common":
        every = volumes["total"][list(cohort.compared)].notna().all(axis=1).to_numpy()
        table, volumes = table[every], {name: wide[every].reset_index(drop=True) for name, wide in volumes.items()}
    return Sample(_prepared(table), volumes)


def difference(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """After - before, exactly 0 where they differ by rounding noise only, which would pass for variation."""
    change = after - before
    noise = change.abs() <= _EXACT * np.maximum(before.abs(), after.abs())
    return change.mask(noise, 0.0)


def annual(sample: Sample) -> Sample:
    """The same pairs with every change of volume and outcome divided by the interval in years; an interval that is not
    above zero gives no rate.
    """
    years = sample.columns(["interval_years"])["interval_years"]
    per = 1 / np.where(years > 0, years, np.nan)
    table = sample.table.copy()
    for name in [column for column in table if f"{column.removeprefix('d_')}_followup" in table and column[:2] == "d_"]:
        table[name] = table[name].to_numpy(dtype=np.float64) * per
    return Sample(table, {name: wide.mul(per, axis=0) for name, wide in sample.volumes.items()})


def wide(cohort: Cohort, people: pd.Series, sessions: pd.Series) -> pd.DataFrame:
    """Usable volumes of these sessions, in this order: rows as given, a column per method, NaN where there is none."""
    return _wide(cohort, people, sessions, ("volume_ml",))[0]


def _wide(cohort: Cohort, people: pd.Series, sessions: pd.Series, columns: Sequence[str]) -> list[pd.DataFrame]:
    good, methods = cohort.usable, list(cohort.methods)
    rows = pd.DataFrame(
        {"participant_id": people.to_numpy(), "session_id": sessions.to_numpy(), "row": range(len(people))}
    )
    merged = good[[*_KEYS, "method", *columns]].merge(rows, on=_KEYS, how="inner", validate="many_to_one")
    method = pd.Index(methods).get_indexer(merged["method"])
    frames = []
    for name in columns:
        values = np.full((len(rows), len(methods)), np.nan)
        values[merged["row"].to_numpy(dtype=int), method] = merged[name].to_numpy(dtype=np.float64)
        frames.append(pd.DataFrame(values, columns=methods))
    return frames


def _prepared(table: pd.DataFrame) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    table["sex"] = 1.0 - table["female"].astype(float)
    icv = table["icv_ml"].to_numpy(dtype=np.float64, na_value=np.nan)
    z = z_score(icv)  # one value, or equal ones, are known and do not vary: 0, which the checks of the models name so
    table["icv_z"] = z if np.isfinite(z).any() else np.where(np.isfinite(icv), 0.0, np.nan)
    return table


def _volumes(cohort: Cohort, people: pd.Series, sessions: pd.Series) -> dict[str, pd.DataFrame]:
    total, left, right = _wide(cohort, people, sessions, ("volume_ml", "volume_left_ml", "volume_right_ml"))
    both = left + right
    return {"total": total, "left": left, "right": right, "asymmetry": 2 * (left - right) / both.where(both > 0)}
