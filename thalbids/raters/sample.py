"""Which participants to segment by hand: a stratified random sample that resembles the cohort (paper, 2.2.2).

Strata are the combinations of age group, disease duration group and EDSS group. Each gives a share of the sample in
proportion to its size (largest remainders), drawn at random with a seed; other subsets, such as everybody with
progressive MS, can be added whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

CRITERIA = ("age", "disease_duration", "edss")
BORDERS: Mapping[str, tuple[float, ...]] = {
    "age": (18, 30, 50, 70),
    "disease_duration": (0, 5, 20, 40),
    "edss": (0, 1, 3, 7),
}
DIAGNOSIS = "RRMS"
N = 34  # people with RRMS in the paper
SAMPLED, INCLUDED = "sampled", "included whole"
COLUMNS = ("participant_id", "session_id", "diagnosis", *CRITERIA, "stratum", "selected_as")
STRATA_COLUMNS = (
    "stratum",
    *(f"{name}_group" for name in CRITERIA),
    "n_cohort",
    "share_cohort",
    "n_sample",
    "share_sample",
)


@dataclass(frozen=True)
class SamplingDesign:
    """How to draw.

    Attributes
    ----------
    n : people to draw
    diagnosis : whom to draw from; None takes everybody
    include : diagnoses whose people are added whole
    borders : ascending borders of the groups of each criterion; a group holds its lower border and not its upper one,
        the last holds both
    minimum : at least this many of every stratum that is not empty
    seed : of the draw
    """

    n: int = N
    diagnosis: str | None = DIAGNOSIS
    include: tuple[str, ...] = ()
    borders: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: dict(BORDERS))
    minimum: int = 0
    seed: int = 1


@dataclass(frozen=True)
class Selection:
    """Who was chosen.

    Attributes
    ----------
    people : rows of COLUMNS, sorted by participant
    strata : rows of STRATA_COLUMNS, every combination of groups, also empty ones
    frame : the people who could have been drawn, with their ``stratum``
    left_out : people with the diagnosis who could not be drawn: participant, reason
    """

    people: list[dict[str, Any]]
    strata: list[dict[str, Any]]
    frame: pd.DataFrame
    left_out: list[dict[str, str]]


def select(cohort: pd.DataFrame, design: SamplingDesign) -> Selection:
    """Draw the sample.

    Parameters
    ----------
    cohort : one row per participant with ``participant_id``, ``session_id``, ``diagnosis``, ``age``,
        ``disease_duration`` (years) and ``edss``
    design : how to draw

    Raises
    ------
    UsageError
        A column is missing, nobody has the diagnosis, there are fewer people than are to be drawn, or a stratum is
        smaller than the minimum asked for.
    """
    _check(cohort, design)
    ordered = cohort.sort_values("participant_id", kind="stable")
    diagnosis = ordered["diagnosis"] if "diagnosis" in ordered else ordered["participant_id"].isna()
    drawn_from = ordered if design.diagnosis is None else ordered[diagnosis == design.diagnosis]
    frame, left_out = stratified(drawn_from, design.borders)
    sizes = frame["stratum"].value_counts()
    names = [name for name, _ in combinations(design.borders)]
    quota = allocate({name: int(sizes.get(name, 0)) for name in names}, design.n, design.minimum)
    generator = np.random.default_rng(design.seed)
    chosen: list[str] = []
    for name in names:
        people = frame.loc[frame["stratum"] == name, "participant_id"].to_numpy()
        chosen += [str(person) for person in generator.choice(people, quota[name], replace=False)]
    rows = [_row(row, row["stratum"], SAMPLED) for row in frame.to_dict("records") if row["participant_id"] in chosen]
    if design.include:
        whole = ordered[diagnosis.isin(design.include) & ~ordered["participant_id"].isin(chosen)]
        rows += [_row(row, None, INCLUDED) for row in whole.to_dict("records")]
    rows.sort(key=lambda row: str(row["participant_id"]))
    return Selection(rows, _strata_rows(design, sizes, quota), frame, left_out)


def stratified(
    people: pd.DataFrame, borders: Mapping[str, Sequence[float]]
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """The people who fall into a stratum, with a column ``stratum``; and the others, each with the reason."""
    strata, left_out = [], []
    for row in people.to_dict("records"):
        groups = [group_of(row[name], borders[name]) for name in CRITERIA]
        wrong = [
            f"{name} is missing" if row[name] != row[name] or row[name] is None else f"{name} {row[name]:g} is outside"
            for name, group in zip(CRITERIA, groups, strict=True)
            if group is None
        ]
        strata.append(None if wrong else " / ".join(str(group) for group in groups))
        if wrong:
            left_out.append({"participant_id": str(row["participant_id"]), "reason": ", ".join(wrong)})
    marked = people.assign(stratum=strata)
    return marked[marked["stratum"].notna()], left_out


def group_of(value: float | None, borders: Sequence[float]) -> str | None:
    """The group that holds a value, ``18-30``; None for a missing value and one outside.

    Examples
    --------
    >>> group_of(30, (18, 30, 50, 70)), group_of(70, (18, 30, 50, 70)), group_of(71, (18, 30, 50, 70))
    ('30-50', '50-70', None)
    """
    if value is None or not borders[0] <= value <= borders[-1]:
        return None
    index = min(int(np.searchsorted(borders, value, side="right")), len(borders) - 1)
    return f"{borders[index - 1]:g}-{borders[index]:g}"


def combinations(borders: Mapping[str, Sequence[float]]) -> list[tuple[str, tuple[str, ...]]]:
    """Every stratum: its name and its groups."""
    groups = [[f"{low:g}-{high:g}" for low, high in itertools.pairwise(borders[criterion])] for criterion in CRITERIA]
    return [(" / ".join(combined), combined) for combined in itertools.product(*groups)]


def allocate(sizes: Mapping[str, int], n: int, minimum: int = 0) -> dict[str, int]:
    """How many to draw of each stratum: in proportion to its size by the method of largest remainders (Hamilton's).

    With a minimum, each stratum that is not empty first gives that many and the rest is shared out by what is left.
    Equal remainders go to the larger stratum, then to the first.

    Raises
    ------
    UsageError
        There are fewer people than ``n``, or a stratum has fewer than the minimum.
    """
    total = sum(sizes.values())
    if n > total:
        problem = f"{n} people are to be drawn, {total} are in the strata."
        raise UsageError(problem, "Draw fewer (-n), or widen the borders or the diagnosis.")
    small = [f"{name} ({size})" for name, size in sizes.items() if 0 < size < minimum]
    if small:
        problem = f"strata with fewer than {minimum} people: {', '.join(small)}."
        raise UsageError(problem, "Lower --min-per-stratum, or merge groups by fewer borders.")
    quota = {name: minimum if size else 0 for name, size in sizes.items()}
    rest = n - sum(quota.values())
    if rest < 0:
        problem = (
            f"{sum(size > 0 for size in sizes.values())} strata with {minimum} people each are more than {n} people."
        )
        raise UsageError(problem, "Draw more (-n) or lower --min-per-stratum.")
    left = {name: size - quota[name] for name, size in sizes.items()}
    available = sum(left.values())
    if rest == 0:
        return quota
    whole = {name: rest * size // available for name, size in left.items()}
    order = sorted(left, key=lambda name: (-(rest * left[name] % available), -left[name]))
    extra = set(order[: rest - sum(whole.values())])
    return {name: quota[name] + whole[name] + (name in extra) for name in sizes}


def _check(cohort: pd.DataFrame, design: SamplingDesign) -> None:
    needed = [*CRITERIA, *(["diagnosis"] if design.diagnosis is not None or design.include else [])]
    missing = [name for name in needed if name not in cohort or cohort[name].isna().all()]
    if missing:
        problem = f"the clinical tables hold no {', no '.join(missing)}."
        raise UsageError(
            problem, "Add the columns, or name yours in [clinical.rename] of a --config file (docs/clinical.md)."
        )
    for name, borders in design.borders.items():
        if name not in CRITERIA:
            raise UsageError(f"{name} is no criterion.", f"There is: {', '.join(CRITERIA)}.")
        if len(borders) < 2 or any(low >= high for low, high in itertools.pairwise(borders)):
            raise UsageError(f"the borders of {name} do not rise.", "Give them as 18,30,50,70.")
    twice = sorted(cohort.loc[cohort["participant_id"].duplicated(), "participant_id"])
    if twice:
        raise UsageError(f"participants are there twice: {', '.join(twice[:5])}.", "Give one row per participant.")
    known = sorted(str(value) for value in cohort["diagnosis"].dropna().unique()) if "diagnosis" in cohort else []
    asked = ([design.diagnosis] if design.diagnosis is not None else []) + list(design.include)
    for name in asked:
        if name not in known:
            raise UsageError(f"nobody has the diagnosis {name!r}.", f"There is: {', '.join(known)}.")
    if design.diagnosis in design.include:
        problem = f"{design.diagnosis} is both drawn from and included whole."
        raise UsageError(problem, "Name it once.")
    if design.n < 1:
        raise UsageError(f"{design.n} people cannot be drawn.", "Give -n 1 or more.")


def _row(row: Mapping[Any, Any], stratum: str | None, how: str) -> dict[str, Any]:
    shown = {name: row.get(name) for name in ("participant_id", "session_id", "diagnosis", *CRITERIA)}
    return {**shown, "stratum": stratum, "selected_as": how}


def _strata_rows(design: SamplingDesign, sizes: pd.Series, quota: Mapping[str, int]) -> list[dict[str, Any]]:
    rows = []
    for name, groups in combinations(design.borders):
        size = int(sizes.get(name, 0))
        shown = dict(zip((f"{criterion}_group" for criterion in CRITERIA), groups, strict=True))
        shares = {"share_cohort": size / int(sizes.sum()), "share_sample": quota[name] / design.n}
        rows.append({"stratum": name, **shown, "n_cohort": size, "n_sample": quota[name], **shares})
    return rows
