"""What every analysis of the group level works on: one record, read once."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids.results.derivatives import Place
from thalbids.bids.tabular.own import OUTCOMES, own_columns
from thalbids.errors import UsageError
from thalbids.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

VOLUME_COLUMNS = (
    "participant_id", "session_id", "method", "image", "volume_ml", "volume_left_ml", "volume_right_ml", "icv_ml",
    "icv_source", "status", "reason",
)  # fmt: skip
PBVC_COLUMNS = (
    "participant_id", "session_id_baseline", "session_id_followup", "pbvc", "source", "status", "reason",
)  # fmt: skip


@dataclass(frozen=True, eq=False)  # told apart by identity, so that what is made of it can be kept
class Cohort:
    """The data of a group run. An analysis reads it and gives tables; nobody changes its frames.

    Identifiers are text with their BIDS prefix and every zero (``sub-01``, ``ses-1``); a dataset without sessions has
    the session "" (written as n/a). Missing numbers are NaN, missing words "". Join frames on participant and session,
    never by the order of their rows.

    Attributes
    ----------
    volumes : one row per participant, session and method (unique), also for methods that failed. ``volume_ml`` and its
        sides are what the table says; **use rows with status ok only** (`usable`). ``icv_ml`` repeats the session's
        intracranial volume, from one source for the whole cohort (``icv_source``). ``image`` is T1w, FLAIR, R1map or
        ensemble. Sorted by participant, session (natural order) and method (order of the derivatives).
    visits : one row per participant and session (unique) of anyone in the derivatives or the clinical tables.
        ``order`` counts the person's visits from 0, by date where all are dated, else by label; ``years`` since the
        person's first dated visit (days / 365.25; NaN without a date); ``acq_time`` is the date as text, only good for
        differences within a person. ``has_mri``: the session has a volume with status ok. ``sex`` F, M, O or "";
        ``female`` 1.0, 0.0 or NaN. ``diagnosis`` is the group (HC for controls, RRMS, PMS, isolated, NMOSD, MOGAD or
        what the table says), ``diagnosis_given`` the table's word. ``t25fw`` and ``nhpt`` are means of the trials, in
        seconds; ``*_trials`` how many there were. ``steroid`` 1.0, 0.0 or NaN: treatment between this visit and the one
        before. ``icv_ml`` only where a clinical table gives one. Columns of the paper's Table S1 that are not known are
        there and empty.
    pbvc : one row per participant and pair of sessions: percentage brain volume change; use status ok only.
    repeats : rows like ``volumes`` with a column ``entities``, of sessions whose derivatives hold several scans (such
        as run-1 and run-2), or that another session repeats (`thalbids.group.intake.rescans`); ``volumes`` has the
        first of them. Excluded and harmonised like ``volumes``. Empty in most datasets.
    exclusions : ratings that a person gave: participant_id, session_id, method ("" for all), reason. Already applied to
        ``volumes`` (status excluded); whoever reads masks must apply them too (`excluded`).
    places : where each session's derivatives lie, with the names of their files: ``places[0].folder``, ``.names``.
    conflicts : where clinical tables disagree, as in ``group_conflicts.tsv``.
    notes : what was found, repaired or left out, for the terminal and the report; warnings start with ``warning:``.
    lost : those of the notes that tell of people whom a mistake in the data costs: the run ends with 1.
    pressing : further notes that stand at the top of the page and in the last lines, as those of ``lost`` do.
    icv : every intracranial volume of the derivatives: participant_id, session_id, source, icv_ml, status.
    documents : the QC document of each session that has a readable one, by participant and session.
    changes : changes between two visits that were measured by registration: participant, sessions, ``method`` (whose
        mask), ``delta_percent`` and its sides, ``comparable``, ``remark``, ``status`` and ``reason``. Use them through
        `thalbids.group.modelling.registered`.
    excluded_pairs : pairs of visits that the participant level excluded, of which no change must be taken: participant,
        sessions, ``reason``. Use them through `thalbids.group.comparability`.
    columns_found, columns_unused : clinical columns that were read, by variable, and those that mean nothing to us.
    """

    volumes: pd.DataFrame
    visits: pd.DataFrame
    pbvc: pd.DataFrame
    settings: Settings
    bids_dir: Path
    out_dir: Path
    repeats: pd.DataFrame
    exclusions: pd.DataFrame
    conflicts: pd.DataFrame
    places: Sequence[Place] = ()
    notes: Sequence[str] = ()
    columns_found: Mapping[str, Sequence[str]] = field(default_factory=dict)
    columns_unused: Sequence[str] = ()
    lost: Sequence[str] = ()
    pressing: Sequence[str] = ()
    icv: Sequence[Mapping[str, Any]] = ()
    documents: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    changes: pd.DataFrame | None = None
    excluded_pairs: pd.DataFrame | None = None

    @functools.cached_property
    def usable(self) -> pd.DataFrame:
        """The rows of ``volumes`` with status ok."""
        return self.volumes[self.volumes["status"] == "ok"]

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns of ``visits`` that settings name as covariate or outcome and thalbids does not know."""
        return tuple(name for name in own_columns(self.settings.group) if name in self.visits)

    @functools.cached_property
    def methods(self) -> tuple[str, ...]:
        """Every method of ``volumes``, in its order."""
        return tuple(self.volumes["method"].unique())

    @functools.cached_property
    def model_methods(self) -> tuple[str, ...]:
        """The methods that enter the clinical models (setting ``group.not_in_models``)."""
        return tuple(name for name in self.methods if name not in self.settings.group.not_in_models)

    @functools.cached_property
    def compared(self) -> tuple[str, ...]:
        """The methods of the common sample (setting ``group.sample_methods``): of the models, those anybody has."""
        usable = set(self.usable["method"])
        wanted = self.settings.group.sample_methods
        return tuple(name for name in self.model_methods if name in usable and (not wanted or name in wanted))

    def excluded(self, participant_id: str, session_id: str, method: str) -> str:
        """Why a mask must not be used ("" when it may)."""
        exclusions = self.exclusions
        matching = exclusions[
            (exclusions["participant_id"] == participant_id)
            & (exclusions["session_id"] == session_id)
            & exclusions["method"].isin(["", method])
        ]
        return "; ".join(matching["reason"])


def baseline(cohort: Cohort) -> pd.DataFrame:
    """The row of ``visits`` of each participant's baseline, with ``icv_ml`` of that session.

    This is the cross-sectional sample (paper, 2.2.1): the first session with a usable volume, or what
    ``group.baseline`` says.
    """
    return _with_icv(_baselines(cohort), cohort).reset_index(drop=True)


def _scanned(cohort: Cohort) -> pd.DataFrame:
    """The visits with a usable volume by person and order."""
    return cohort.visits[cohort.visits["has_mri"]].sort_values(["participant_id", "order"], kind="stable")


def _baselines(cohort: Cohort) -> pd.DataFrame:
    scanned, which = _scanned(cohort), cohort.settings.group.baseline
    if which == "first":
        return scanned.drop_duplicates("participant_id")
    if which == "first-visit":
        return scanned[scanned["order"] == 0]
    return scanned[scanned["session_id"] == "ses-" + which.removeprefix("ses-")]


def visit_pairs(cohort: Cohort, pair: str = "first:last") -> pd.DataFrame:
    """One row per participant (several for ``consecutive``) with the two visits of a pair.

    Parameters
    ----------
    pair : ``first:last`` of the sessions with a usable volume (the baseline, and the last after it), ``consecutive``,
        or two session labels ``A:B``. Pairs whose interval is not between ``group.followup_from`` and ``followup_to``
        are no pairs, and for ``first:last`` the last visit between them is the follow-up

    Returns
    -------
    DataFrame
        ``participant_id``, ``session_id_baseline``, ``session_id_followup``, ``interval_years`` (NaN without both
        dates); of the baseline ``age``, ``sex``, ``female``, ``diagnosis``, ``disease_duration``, ``site``, ``icv_ml``
        and columns of the user's own;
        ``steroid`` 1.0 when treated at any visit after the baseline up to the follow-up, 0.0 when known at every one of
        them and never treated, else NaN; per outcome ``NAME_baseline``, ``NAME_followup`` and their difference
        ``d_NAME`` (follow-up minus baseline).
    """
    import pandas as pd

    scanned = _scanned(cohort)
    first, last = _pair_rows(cohort, pair)
    base = _with_icv(scanned.loc[first], cohort).reset_index(drop=True)
    follow = scanned.loc[last].reset_index(drop=True)
    kept = ["age", "sex", "female", "diagnosis", "disease_duration", "site", "icv_ml", *cohort.own_columns]
    columns = {
        "participant_id": base["participant_id"],
        "session_id_baseline": base["session_id"],
        "session_id_followup": follow["session_id"],
        "interval_years": follow["years"] - base["years"],
        **{name: base[name] for name in kept},
        "steroid": _steroid_between(cohort.visits, base, follow),
    }
    for name in dict.fromkeys((*OUTCOMES, *cohort.settings.group.outcomes_change)):
        if name not in base:
            continue
        columns |= {
            f"{name}_baseline": base[name],
            f"{name}_followup": follow[name],
            f"d_{name}": follow[name] - base[name],
        }
    return pd.DataFrame(columns)


def check_pair(pair: str) -> tuple[str, str]:
    """The two ends of a pair: ``("first", "last")``, ``("consecutive", "")``, or two labels with ``ses-``.

    Raises
    ------
    UsageError
        The text is no pair.
    """
    if pair == "consecutive":
        return ("consecutive", "")
    first, colon, second = (part.strip() for part in pair.partition(":"))
    if not (first and colon and second) or first == second or ":" in second:
        problem = f"group.pairs: {pair!r} is no pair of sessions."
        raise UsageError(problem, 'Write "first:last", "consecutive" or two labels such as "1:2".')
    if (first, second) == ("first", "last"):
        return (first, second)
    return ("ses-" + first.removeprefix("ses-"), "ses-" + second.removeprefix("ses-"))


def _pair_rows(cohort: Cohort, pair: str) -> tuple[list[object], list[object]]:
    """Index labels of the two visits of each pair, without those outside the window of the settings."""
    first, second = check_pair(pair)
    scanned = _scanned(cohort)
    if first == "first":
        one = _baselines(cohort).set_index("participant_id")
        later = scanned[
            scanned["order"].to_numpy() > one["order"].reindex(scanned["participant_id"]).to_numpy(dtype=float)
        ]
        start = one["years"].reindex(later["participant_id"]).to_numpy(dtype=float)
        later = later[_inside(cohort, later["years"].to_numpy(dtype=float) - start)]
        last = later.drop_duplicates("participant_id", keep="last")
        place = dict(zip(one.index, _baselines(cohort).index, strict=True))
        return [place[person] for person in last["participant_id"]], list(last.index)
    if first == "consecutive":
        person = scanned["participant_id"]
        position = np.flatnonzero((person == person.shift()).to_numpy())
        ends = scanned.index[position - 1], scanned.index[position]
    else:
        one, two = (
            scanned[scanned["session_id"] == label].reset_index().set_index("participant_id")
            for label in (first, second)
        )
        both = [name for name in one.index if name in two.index]
        ends = tuple(frame.loc[both, "index"] for frame in (one, two))
    years = [scanned.loc[rows, "years"].to_numpy(dtype=float) for rows in ends]
    inside = _inside(cohort, years[1] - years[0])
    return [row for row, good in zip(ends[0], inside, strict=True) if good], [
        row for row, good in zip(ends[1], inside, strict=True) if good
    ]


def _inside(cohort: Cohort, interval: np.ndarray) -> np.ndarray:
    """Whether intervals in years lie in the window of the settings; without one, all do, also the unknown."""
    group = cohort.settings.group
    if group.followup_from == 0 and group.followup_to is None:
        return np.ones(interval.shape, dtype=bool)
    high = np.inf if group.followup_to is None else group.followup_to
    return (interval >= group.followup_from) & (interval <= high)


def _steroid_between(visits: pd.DataFrame, base: pd.DataFrame, follow: pd.DataFrame) -> list[float]:
    """Treatment after the baseline up to the follow-up; every visit counts, also those without MRI."""
    by_person: dict[str, list[tuple[int, float]]] = {}
    for person, order, value in zip(visits["participant_id"], visits["order"], visits["steroid"], strict=True):
        by_person.setdefault(person, []).append((order, value))
    between = []
    for person, start, end in zip(base["participant_id"], base["order"], follow["order"], strict=True):
        low, high = min(start, end), max(start, end)
        values = np.array([value for order, value in by_person[person] if low < order <= high])
        between.append(1.0 if (values == 1).any() else float("nan") if np.isnan(values).any() else 0.0)
    return between


def _with_icv(visits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    """The same visits with ``icv_ml`` as it stands in ``volumes``."""
    icv = cohort.volumes.drop_duplicates(["participant_id", "session_id"])
    keys = ["participant_id", "session_id"]
    return visits.drop(columns="icv_ml").merge(icv[[*keys, "icv_ml"]], on=keys, how="left")
