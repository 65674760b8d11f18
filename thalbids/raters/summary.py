"""The tables of ratings: who said what, how far raters agree; and which masks that leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.bids.results import names
from thalbids.bids.tabular import tables as written
from thalbids.bids.tabular.tables import Column, Table, table
from thalbids.raters.kappa import ALL, agreement
from thalbids.raters.ratings import (
    DICTIONARY,
    MASK,
    REGISTRATION,
    RatersVerdict,
    Rating,
    guarded,
    read_ratings,
    read_verdicts,
)
from thalbids.raters.ratings import standing as standing_of
from thalbids.raters.ratings import verdicts as verdicts_of
from thalbids.settings import Ratings

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Mapping[str, Column] = {
    "participant_id": {"LongName": "Participant", "Description": "Whose picture was rated."},
    "session_id": {"LongName": "Session", "Description": "n/a where there are no sessions."},
    "kind": {
        "LongName": "Kind",
        "Description": "What was rated.",
        "Levels": {
            REGISTRATION: "A registered image with the edges of the T1w, or of the image that takes its place",
            MASK: "The outline of a mask on the T1w, or on the image that takes its place",
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


def tables(out_dir: Path, rule: Ratings, seed: int, draws: int) -> list[Table]:
    """``group_ratings`` and ``group_rating_agreement``; without rows when no ratings are given.

    Raises
    ------
    MetadataError
        A table of ratings or a key cannot be used.
    """
    ratings = read_ratings(out_dir, rule.files)
    failed = {v.item.rated: "fail" if v.failed else "pass" for v in verdicts_of(ratings, rule)}
    standing = {rating.item.rated: rating.item for rating in ratings}
    stands = {rated: standing_of(out_dir, item) for rated, item in standing.items()}
    rows = [_rating_row(rating, failed[rating.item.rated], stands[rating.item.rated]) for rating in ratings]
    chosen = {"rule": rule.rule, "unsure": rule.unsure}
    stale = sum(value == "stale" for value in stands.values())
    by = len({rating.rater for rating in ratings})
    note = f"ratings: {len(ratings)} by {by} rater{'' if by == 1 else 's'}; {_count(failed)} failed."
    notes = [
        *([note] if ratings else []),
        *([f"warning: what was rated changed since in {stale} cases; not applied."] if stale else []),
    ]
    agreed = agreement(ratings, seed, draws)
    return [
        table("group_ratings", rows, COLUMNS, settings=chosen, notes=notes),
        table("group_rating_agreement", agreed, AGREEMENT_COLUMNS, settings={"bootstrap": draws}),
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


def write(out_dir: Path, rule: Ratings, seed: int, draws: int) -> list[str]:
    """Write the tables of ratings alone; gives what there is to say.

    Raises
    ------
    MetadataError, OutputError
        See :func:`tables`; the folder cannot be written.
    """
    ratings, agreed = tables(out_dir, rule, seed, draws)
    for one in (ratings, agreed):
        written.write(one, out_dir)
    lines = [*ratings.notes, *agreed.notes]
    lines += [_failed_line(verdict) for verdict in read_verdicts(out_dir, rule) if verdict.failed]
    for row in agreed.frame.to_dict("records"):
        value = "n/a" if row["estimate"] != row["estimate"] else f"{row['estimate']:.2f}"
        pair = " and ".join(name for name in (row["rater"], row["rater2"]) if name)
        lines.append(f"{row['quantity']} ({row['kind']}, {pair}): {value}, {row['n']} items. {row['reason']}".strip())
    lines.append("Give the same files to participant and group by --ratings.")
    return lines


def _failed_line(verdict: RatersVerdict) -> str:
    item = verdict.item
    return f"{item.session}: {item.kind} {item.target}: {verdict.reason}"


def exclusions(out_dir: Path, rule: Ratings, volumes: pd.DataFrame) -> list[dict[str, str]]:
    """The masks that ratings leave out: participant_id, session_id, method, reason.

    A failed mask takes its ensembles with it, a failed registration every mask that was made from it. A rating of
    something that has changed since leaves nothing out.

    Raises
    ------
    MetadataError
        A table of ratings or a key cannot be used.
    """
    if not rule.files:
        return []
    usable = volumes[volumes["status"].isin(("ok", "excluded"))]
    methods: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in usable[["participant_id", "session_id", "method", "image"]].itertuples(index=False, name=None):
        methods.setdefault(row[:2], []).append(row[2:])
    rows: dict[tuple[str, str, str], list[str]] = {}
    for verdict in read_verdicts(out_dir, rule):
        item = verdict.item
        key = (item.participant_id, item.session_id)
        if not verdict.failed or key not in methods or standing_of(out_dir, item) != "current":
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
