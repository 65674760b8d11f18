"""The right-hand side of a model: which covariates it has, and how categories become columns.

A covariate that nobody has, or that does not vary among the rows of the model, says nothing about the outcome and
makes the model impossible to fit: it is left out, and named with the reason (setting ``group.strict`` keeps it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from thalbids.bids.tabular.counting import natural
from thalbids.group.statistics.fits import fit

ABSENT = "missing for everybody"
CONSTANT = "does not vary"
ALIASED = "cannot be told from the other covariates"
OTHER = "other"


@dataclass(frozen=True)
class Design:
    """One model, ready to be fitted.

    Attributes
    ----------
    outcome : name of the outcome, a key of ``columns``
    columns : (n,) float arrays of the outcome, the volume and the covariates that are in the model (categories coded 1
        and 0 per level), NaN for missing
    predictors : the keys of ``columns`` besides the outcome, the volume first
    covariates : the covariates of the model by their names, categories not coded
    left_out : covariate to the reason why it is not in the model
    levels : categorical covariate to its levels in words, the reference first
    lost : per value that a row may lack (outcome, volume, covariates), where it is missing
    logged : whether ``columns`` holds the natural logarithm of the outcome
    """

    outcome: str
    columns: Mapping[str, np.ndarray]
    predictors: tuple[str, ...]
    covariates: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, np.ndarray] = field(default_factory=dict)
    logged: bool = False

    @property
    def formula(self) -> str:
        """``log(nhpt) ~ volume_ml + age + sex``."""
        left = f"log({self.outcome})" if self.logged else self.outcome
        return f"{left} ~ " + " + ".join((self.predictors[0], *self.covariates))

    def told(self) -> dict[str, str]:
        """The columns ``formula``, ``left_out`` and ``levels`` of a table of models."""
        left_out = "; ".join(f"{name} ({reason})" for name, reason in self.left_out.items())
        levels = "; ".join(f"{name}: {words}" for name, words in self.levels.items())
        return {"formula": self.formula, "left_out": left_out, "levels": levels}


def design(
    outcome: str,
    start: Mapping[str, np.ndarray],
    covariates: Mapping[str, np.ndarray],
    *,
    strict: bool = False,
    smallest: int = 1,
    dispensable: Sequence[str] = (),
    logged: bool = False,
) -> Design:
    """The model of ``outcome`` on the volume and these covariates.

    Parameters
    ----------
    outcome : a key of ``start``
    start : (n,) float arrays of outcome and volume, in this order
    covariates : (n,) arrays: numbers (NaN for missing) or, of object dtype, words ("" for missing)
    strict : keep covariates that are absent or constant; the fit then says why it cannot be done
    smallest : rows that a level of a category needs (not if ``strict``)
    dispensable : covariates that are left out too where they are a combination of the others
    logged : the outcome is a logarithm already
    """
    there = {name: known(values) for name, values in covariates.items()}
    kept = list(covariates)
    left_out: dict[str, str] = {}
    if not strict:
        kept, left_out = _choose(fit.listwise(start), covariates, there, smallest)
    rows = np.all([fit.listwise(start), *(there[name] for name in kept)], axis=0)
    coded, levels = _coded({name: covariates[name] for name in kept}, rows, 1 if strict else smallest)
    for name in dispensable:
        others = {other: columns for other, columns in coded.items() if other != name}
        if name in coded and not strict and _aliased(start, coded, rows) and not _aliased(start, others, rows):
            left_out[name], coded = ALIASED, others
            levels.pop(name, None)
    columns = {name: values for coding in coded.values() for name, values in coding.items()}
    return Design(
        outcome=outcome,
        columns={**start, **columns},
        predictors=(*list(start)[1:], *columns),
        covariates=tuple(coded),
        left_out=left_out,
        levels=levels,
        lost={name: ~np.isfinite(values) for name, values in start.items()} | {name: ~there[name] for name in coded},
        logged=logged,
    )


def known(values: np.ndarray) -> np.ndarray:
    """Where there is a value."""
    if values.dtype == object:
        return np.array([isinstance(value, str) and bool(value) for value in values], dtype=bool)
    return np.isfinite(values)


def _choose(
    start: np.ndarray, covariates: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray], smallest: int
) -> tuple[list[str], dict[str, str]]:
    """The covariates that somebody with outcome and volume has and that vary; the reasons of the others.

    Without a constant covariate the rows that lacked it come back, so the others are looked at again: of several the
    one goes first that the fewest have.
    """
    left_out = {name: ABSENT for name in covariates if start.any() and not (there[name] & start).any()}
    while True:
        kept = [name for name in covariates if name not in left_out]
        rows = np.all([start, *(there[name] for name in kept)], axis=0)
        constant = {name: _constant(covariates[name][rows], smallest) for name in kept} if rows.sum() > 1 else {}
        if not any(constant.values()):
            return kept, {name: left_out[name] for name in covariates if name in left_out}
        least = min(int((there[name] & start).sum()) for name, reason in constant.items() if reason)
        left_out |= {
            name: reason for name, reason in constant.items() if reason and (there[name] & start).sum() == least
        }


def _constant(values: np.ndarray, smallest: int) -> str:
    """Why these values say nothing, or ""."""
    if values.dtype != object:
        return CONSTANT if fit.constant(values) else ""
    if len(set(values)) == 1:
        return CONSTANT
    coded, _ = dummies("", values, np.ones(values.size, dtype=bool), smallest)
    return f"only one level has {smallest} people" if "" in coded else ""


def _coded(
    covariates: Mapping[str, np.ndarray], rows: np.ndarray, smallest: int
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Per covariate its columns: itself, or one per level besides the reference; and the levels in words."""
    coded, levels = {}, {}
    for name, values in covariates.items():
        if values.dtype != object:
            coded[name] = {name: values}
            continue
        coded[name], levels[name] = dummies(name, values, rows, smallest)
    return coded, levels


def dummies(name: str, values: np.ndarray, rows: np.ndarray, smallest: int) -> tuple[dict[str, np.ndarray], str]:
    """Columns ``NAME[LEVEL]`` that are 1 for the level and 0 for others, and the levels in words.

    The reference is the most frequent level among ``rows`` (of equal ones the first by name). Levels with fewer than
    ``smallest`` of them are one level, ``other``; where these are too few together, they count as the reference.

    Examples
    --------
    >>> site = np.array(["A", "A", "B", "B", "C", ""], dtype=object)
    >>> columns, words = dummies("site", site, site != "", 2)
    >>> columns["site[B]"].tolist(), words
    ([0.0, 0.0, 1.0, 1.0, 0.0, nan], 'A and C (reference), B')
    """
    counts = Counter(str(value) for value in values[rows])
    order = sorted(counts, key=lambda level: (-counts[level], natural(level)))
    small = [level for level in order[1:] if counts[level] < smallest]
    large = [level for level in order[1:] if level not in small]
    pooled = sum(counts[level] for level in small) >= smallest
    there = known(values)
    groups = {level: [level] for level in large} | ({OTHER: small} if small and pooled else {})
    columns = {
        f"{name}[{level}]": np.where(there, np.isin(values.astype(str), of).astype(float), np.nan)
        for level, of in groups.items()
    }
    first = " and ".join([*order[:1], *(small if not pooled else [])])
    words = [f"{first} (reference)", *large, *([f"{OTHER} ({', '.join(small)})"] if small and pooled else [])]
    if columns:
        return columns, ", ".join(words)
    return {name: np.where(there, 0.0, np.nan)}, ", ".join(words)  # one level: the checks of the fit name it


def _aliased(start: Mapping[str, np.ndarray], coded: Mapping[str, Mapping[str, np.ndarray]], rows: np.ndarray) -> bool:
    """Whether a predictor is a combination of the others, or does not vary."""
    volume = {name: start[name] for name in list(start)[1:]}
    columns = {**volume, **{name: values for coding in coded.values() for name, values in coding.items()}}
    complete = {name: values[rows] for name, values in columns.items()}
    if not rows.any() or any(fit.constant(values) for values in complete.values()):
        return True
    return bool(fit.collinear(tuple(complete), complete))
