"""Kappa: how far raters agree with one another, and with themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.raters.ratings import (
    MASK,
    RATINGS,
    REGISTRATION,
    Rating,
    first_ratings,
    guarded,
)
from thalbids.types import Estimate

if TYPE_CHECKING:
    pass


CONFIDENCE = 0.95
MIN_ITEMS = 3
ALL = "all"  # registrations and masks together


def cohen(first: Sequence[str], second: Sequence[str]) -> Estimate:
    """Cohen's kappa (1960) of two raters with its 95 % interval (Fleiss, Cohen and Everitt 1969), unweighted.

    Parameters
    ----------
    first, second : what each said of the same items, in the same order
    """
    from statsmodels.stats.inter_rater import cohens_kappa

    if not first:
        return Estimate(math.nan, math.nan, math.nan, "no item that both rated")
    counts = np.zeros((len(RATINGS), len(RATINGS)))
    for a, b in zip(first, second, strict=True):
        counts[RATINGS.index(a), RATINGS.index(b)] += 1
    if len({*first, *second}) == 1:
        return Estimate(math.nan, math.nan, math.nan, "every rating is the same: kappa is not defined")
    with np.errstate(all="ignore"):  # its test of kappa = 0, which is not used, may divide by 0
        kappa = cohens_kappa(counts)
    if kappa.kappa == 1:  # the estimated variance is 0: an interval of no width would claim certainty
        return Estimate(1.0, math.nan, math.nan, "no disagreement: the interval has no estimate")
    return Estimate(float(kappa.kappa), max(-1.0, float(kappa.kappa_low)), min(1.0, float(kappa.kappa_upp)))


def fleiss(counts: np.ndarray, seed: int, draws: int = 2000) -> Estimate:
    """Fleiss' kappa (1971) with a percentile bootstrap interval over items.

    Parameters
    ----------
    counts : (items, categories), how many raters put an item into a category; all rows have the same sum
    """
    from statsmodels.stats.inter_rater import fleiss_kappa

    if not len(counts):
        return Estimate(math.nan, math.nan, math.nan, "no item that all of them rated")
    if np.count_nonzero(counts.sum(axis=0)) == 1:
        return Estimate(math.nan, math.nan, math.nan, "every rating is the same: kappa is not defined")
    value = float(fleiss_kappa(counts))
    if len(counts) < MIN_ITEMS:
        return Estimate(value, math.nan, math.nan, f"fewer than {MIN_ITEMS} items: no interval")
    picked = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    drawn = [counts[index] for index in picked]
    values = [float(fleiss_kappa(c)) for c in drawn if np.count_nonzero(c.sum(axis=0)) > 1]
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def agreement(ratings: Sequence[Rating], seed: int, draws: int = 2000) -> list[dict[str, Any]]:
    """Rows of ``group_rating_agreement``: registrations, masks, and both, as far as there are any."""
    kinds = [kind for kind in (REGISTRATION, MASK) if any(r.item.kind == kind for r in ratings)]
    rows = []
    for kind in [*kinds, *([ALL] if len(kinds) > 1 else [])]:
        of_kind = [rating for rating in ratings if kind in (ALL, rating.item.kind)]
        rows += [{"kind": kind} | row for row in (*_between(of_kind, seed, draws), *_within(of_kind))]
    return rows


def _between(ratings: Iterable[Rating], seed: int, draws: int) -> list[dict[str, Any]]:
    """Every pair of raters by Cohen's kappa; three and more together by Fleiss'."""
    said: dict[str, dict[tuple[str, str], str]] = {}
    for rating in first_ratings(ratings):
        said.setdefault(rating.rater, {})[rating.item.rated] = rating.rating
    raters = sorted(said)
    rows = []
    for one, two in combinations(raters, 2):
        shared = sorted(set(said[one]) & set(said[two]))
        rows.append(_pair("cohen_kappa", one, two, [said[one][i] for i in shared], [said[two][i] for i in shared]))
    if len(raters) > 2:
        shared = sorted(set.intersection(*(set(of_rater) for of_rater in said.values())))
        counts = np.array([[[said[r][i] for r in raters].count(c) for c in RATINGS] for i in shared], dtype=float)
        counts = counts.reshape(len(shared), len(RATINGS))
        n = len(raters)
        alike = (counts * (counts - 1)).sum() / (n * (n - 1) * len(shared)) if shared else math.nan
        rows.append(_row("fleiss_kappa", ALL, "", fleiss(counts, seed, draws), float(alike), len(shared)))
    return rows


def _within(ratings: Iterable[Rating]) -> list[dict[str, Any]]:
    """Each rater with themselves, on the items that were shown twice."""
    said = {(r.rater, r.item.page, r.item.identifier): r for r in ratings}
    pairs: dict[str, list[tuple[str, str]]] = {}
    for (rater, page, _), rating in said.items():
        before = said.get((rater, page, rating.item.repeats))
        if before is not None:
            pairs.setdefault(rater, []).append((before.rating, rating.rating))
    return [
        _pair("intra_kappa", rater, rater, [first for first, _ in of_rater], [second for _, second in of_rater])
        for rater, of_rater in sorted(pairs.items())
    ]


def _pair(quantity: str, rater: str, rater2: str, first: Sequence[str], second: Sequence[str]) -> dict[str, Any]:
    alike = float(np.mean([a == b for a, b in zip(first, second, strict=True)])) if first else math.nan
    return _row(quantity, rater, rater2, cohen(first, second), alike, len(first))


def _row(quantity: str, rater: str, rater2: str, estimate: Estimate, alike: float, n: int) -> dict[str, Any]:
    numbers = {"estimate": estimate.estimate, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
    people = {"rater": guarded(rater), "rater2": guarded(rater2)}
    return {"quantity": quantity, **people, **numbers, "observed": alike, "n": n, "reason": estimate.reason}
