"""Ratings by people: who said what, how far they agree, and which masks that leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.bids import names
from thalbids.group import tables as written
from thalbids.group.statistics.agreement import CONFIDENCE, MIN_PAIRS, Estimate
from thalbids.group.tables import Column, Table, table
from thalbids.raters.ratings import (
    DICTIONARY,
    MASK,
    RATINGS,
    REGISTRATION,
    Rating,
    Verdict,
    first_ratings,
    guarded,
    read_ratings,
)
from thalbids.raters.ratings import standing as standing_of
from thalbids.raters.ratings import verdicts as verdicts_of
from thalbids.settings import Settings

if TYPE_CHECKING:
    from thalbids.group.cohort import Cohort

ALL = "all"
COLUMNS: Mapping[str, Column] = {
    "participant_id": {"LongName": "Participant", "Description": "Whose picture was rated."},
    "session_id": {"LongName": "Session", "Description": "n/a where there are no sessions."},
    "kind": {
        "LongName": "Kind",
        "Description": "What was rated.",
        "Levels": {
            REGISTRATION: "A registered image with the edges of the T1w",
            MASK: "The outline of a mask on the T1w",
        },
    },
    "target": {"LongName": "Target", "Description": "The registered image, or the method of the mask."},
    "strategy": {"LongName": "Strategy", "Description": "Strategy that the rated registration came from."},
    **{name: DICTIONARY[name] for name in ("rater", "rating", "reason", "comment")},
    "showing": {
        "LongName": "Showing",
        "Description": "Whether the rater saw the item for the first time.",
        "Levels": {"first": "First showing; it decides", "repeat": "Shown again, for the agreement with oneself"},
    },
    "verdict": {
        "LongName": "Verdict",
        "Description": "What all raters together say, by the rule in the settings below.",
        "Levels": {"fail": "It failed", "pass": "It did not fail"},
    },
    "standing": {
        "LongName": "Standing",
        "Description": "Whether the rating still is about what is there.",
        "Levels": {
            "current": "The file is as it was rated",
            "applied": "The registration was failed by raters, and made anew or excluded",
            "stale": "The file changed since, or is gone; the rating is not applied",
        },
    },
    "page": {"LongName": "Rating page", "Description": "Identifier of the page; its key is logs/rating_PAGE.json."},
    "item": {"LongName": "Item", "Description": "Identifier of the item on the page."},
}
AGREEMENT_COLUMNS: Mapping[str, Column] = {
    "kind": {
        "LongName": "Kind",
        "Description": "What was rated.",
        "Levels": {REGISTRATION: "Registrations", MASK: "Masks", ALL: "Both"},
    },
    "quantity": {
        "LongName": "Quantity",
        "Description": "Three nominal categories: pass, unsure, fail. Observed agreement does not correct for chance.",
        "Levels": {
            "cohen_kappa": "Cohen's kappa (1960) of two raters",
            "fleiss_kappa": "Fleiss' kappa (1971) of three or more raters",
            "intra_kappa": "Cohen's kappa of a rater's first and second ratings of one item",
        },
    },
    "rater": {"LongName": "Rater", "Description": "Rater, or all."},
    "rater2": {"LongName": "Second rater", "Description": "The other rater; n/a where there is none."},
    "estimate": {"LongName": "Kappa", "Description": "n/a where it is not defined, see reason."},
    "ci_low": {
        "LongName": "Lower limit",
        "Description": "Of the 95 % interval: by the large-sample variance of Fleiss, Cohen and Everitt (1969) for two "
        "ratings, by a percentile bootstrap over items for more.",
    },
    "ci_high": {"LongName": "Upper limit", "Description": "See ci_low."},
    "observed": {"LongName": "Observed agreement", "Description": "Share of pairs of ratings of one item that agree."},
    "n": {"LongName": "Items", "Description": "Items that all of the raters rated.", "Format": "integer"},
    "reason": {"LongName": "Reason", "Description": "Why there is no kappa or no interval."},
}


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
        found = cohens_kappa(counts)
    if found.kappa == 1:  # the estimated variance is 0: an interval of no width would claim certainty
        return Estimate(1.0, math.nan, math.nan, "no disagreement: the interval has no estimate")
    return Estimate(float(found.kappa), max(-1.0, float(found.kappa_low)), min(1.0, float(found.kappa_upp)))


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
    if len(counts) < MIN_PAIRS:
        return Estimate(value, math.nan, math.nan, f"fewer than {MIN_PAIRS} items: no interval")
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
        own = [rating for rating in ratings if kind in (ALL, rating.item.kind)]
        rows += [{"kind": kind} | row for row in (*_between(own, seed, draws), *_within(own))]
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
        shared = sorted(set.intersection(*(set(own) for own in said.values())))
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
        _pair("intra_kappa", rater, rater, [first for first, _ in own], [second for _, second in own])
        for rater, own in sorted(pairs.items())
    ]


def _pair(quantity: str, rater: str, rater2: str, first: Sequence[str], second: Sequence[str]) -> dict[str, Any]:
    alike = float(np.mean([a == b for a, b in zip(first, second, strict=True)])) if first else math.nan
    return _row(quantity, rater, rater2, cohen(first, second), alike, len(first))


def _row(quantity: str, rater: str, rater2: str, found: Estimate, alike: float, n: int) -> dict[str, Any]:
    numbers = {"estimate": found.estimate, "ci_low": found.ci_low, "ci_high": found.ci_high}
    people = {"rater": guarded(rater), "rater2": guarded(rater2)}
    return {"quantity": quantity, **people, **numbers, "observed": alike, "n": n, "reason": found.reason}


def tables_of(out_dir: Path, settings: Settings) -> list[Table]:
    """``group_ratings`` and ``group_rating_agreement``; without rows when no ratings are given.

    Raises
    ------
    MetadataError
        A table of ratings or a key cannot be used.
    """
    ratings = read_ratings(out_dir, settings.ratings.files)
    failed = {v.item.rated: "fail" if v.failed else "pass" for v in verdicts_of(ratings, settings.ratings)}
    standing = {rating.item.rated: rating.item for rating in ratings}
    stands = {rated: standing_of(out_dir, item) for rated, item in standing.items()}
    rows = [_rating_row(rating, failed[rating.item.rated], stands[rating.item.rated]) for rating in ratings]
    chosen = {"rule": settings.ratings.rule, "unsure": settings.ratings.unsure}
    stale = sum(value == "stale" for value in stands.values())
    by = len({rating.rater for rating in ratings})
    note = f"ratings: {len(ratings)} by {by} rater{'' if by == 1 else 's'}; {_count(failed)} failed."
    notes = [
        *([note] if ratings else []),
        *([f"warning: what was rated changed since in {stale} cases; not applied."] if stale else []),
    ]
    agreed = agreement(ratings, settings.run.seed, settings.group.bootstrap)
    return [
        table("group_ratings", rows, COLUMNS, settings=chosen, notes=notes),
        table("group_rating_agreement", agreed, AGREEMENT_COLUMNS, settings={"bootstrap": settings.group.bootstrap}),
    ]


def _count(failed: Mapping[tuple[str, str], str]) -> str:
    return f"{sum(value == 'fail' for value in failed.values())} of {len(failed)} things"


def _rating_row(rating: Rating, verdict: str, standing: str) -> dict[str, Any]:
    item = rating.item
    return {
        "participant_id": item.participant_id, "session_id": item.session_id, "kind": item.kind,
        "target": item.target, "strategy": item.strategy, "rater": guarded(rating.rater), "rating": rating.rating,
        "reason": guarded(rating.reason), "comment": guarded(rating.comment),
        "showing": "repeat" if item.repeats else "first", "verdict": verdict, "standing": standing,
        "page": item.page, "item": item.identifier,
    }  # fmt: skip


def tables(cohort: Cohort) -> list[Table]:
    """The tables of the ratings, for the group level."""
    return tables_of(cohort.out_dir, cohort.settings)


def write(out_dir: Path, settings: Settings) -> list[str]:
    """Write the tables of ratings alone; gives what there is to say.

    Raises
    ------
    MetadataError, OutputError
        See :func:`tables_of`; the folder cannot be written.
    """
    made = tables_of(out_dir, settings)
    for one in made:
        written.write(one, out_dir)
    lines = [note for one in made for note in one.notes]
    lines += [_failed_line(verdict) for verdict in _verdicts(out_dir, settings) if verdict.failed]
    for row in made[1].frame.to_dict("records"):
        value = "n/a" if row["estimate"] != row["estimate"] else f"{row['estimate']:.2f}"
        pair = " and ".join(name for name in (row["rater"], row["rater2"]) if name)
        lines.append(f"{row['quantity']} ({row['kind']}, {pair}): {value}, {row['n']} items. {row['reason']}".strip())
    lines.append("Give the same files to participant and group by --ratings.")
    return lines


def _verdicts(out_dir: Path, settings: Settings) -> list[Verdict]:
    return verdicts_of(read_ratings(out_dir, settings.ratings.files), settings.ratings)


def _failed_line(verdict: Verdict) -> str:
    item = verdict.item
    return f"{item.session}: {item.kind} {item.target}: {verdict.reason}"


def exclusions(cohort: Cohort) -> list[dict[str, str]]:
    """The masks that ratings leave out: participant_id, session_id, method, reason.

    A failed mask takes its ensembles with it, a failed registration every mask that was made from it. A rating of
    something that has changed since leaves nothing out.

    Raises
    ------
    MetadataError
        A table of ratings or a key cannot be used.
    """
    if not cohort.settings.ratings.files:
        return []
    usable = cohort.volumes[cohort.volumes["status"].isin(("ok", "excluded"))]
    methods: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in usable[["participant_id", "session_id", "method", "image"]].itertuples(index=False, name=None):
        methods.setdefault(row[:2], []).append(row[2:])
    rows: dict[tuple[str, str, str], list[str]] = {}
    for verdict in _verdicts(cohort.out_dir, cohort.settings):
        item = verdict.item
        key = (item.participant_id, item.session_id)
        if not verdict.failed or key not in methods or standing_of(cohort.out_dir, item) != "current":
            continue
        for method, image in methods[key]:
            if concerns(item.kind, item.target, method, image):
                what = f"{item.target}: " if method != item.target else ""
                rows.setdefault((*key, method), []).append(what + verdict.reason)
    head = ("participant_id", "session_id", "method")
    return [dict(zip(head, key, strict=True)) | {"reason": "; ".join(reasons)} for key, reasons in rows.items()]


def concerns(kind: str, target: str, method: str, image: str) -> bool:
    """Whether a failed registration or mask spoils the mask of a method.

    Examples
    --------
    >>> concerns("mask", "synthalFLAIR", "synthalT1FLAIR", "ensemble")
    True
    >>> concerns("registration", "R1map", "synthalT1FLAIR", "ensemble")
    False
    """
    if kind == MASK and target == method:
        return True
    try:
        known = names.by_desc(method)
    except KeyError:  # a method added by others
        return kind == REGISTRATION and image == target
    if kind == REGISTRATION:
        return target in known.images
    try:
        failed = names.by_desc(target)
    except KeyError:
        return False
    parts = len(failed.images) == 1 and len(known.images) > 1
    return parts and failed.family == known.family and failed.images[0] in known.images
