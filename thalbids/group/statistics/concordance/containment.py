"""Directed containment between methods over the whole cohort (paper, 2.7.2 and 3.2.3): C(i in j) = |i and j| / |i|."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from thalbids.bids.results import names
from thalbids.group.comparison import Compared

COLUMNS = ("method_inner", "method_outer", "n", "n_empty", "mean", "sd", "constructed", "n_broken", "broken")


def containment(compared: Iterable[Compared]) -> list[dict[str, Any]]:
    """Mean and SD over sessions of the containment of every ordered pair of methods.

    Parameters
    ----------
    compared : one session per participant

    Returns
    -------
    list of dict
        Rows of ``group_containment.tsv``. An empty inner mask has no containment and is counted in ``n_empty``;
        ``constructed`` marks pairs that the making of the masks fixes; ``broken`` names those people in whom such an
        inner mask does not lie in the outer one, which is an error: the masks are not of one run, or were changed.
    """
    shares: dict[tuple[str, str], list[float]] = {}
    broken: dict[tuple[str, str], list[str]] = {}
    order: dict[str, None] = {}
    for person in compared:
        order |= dict.fromkeys(person.names)
        for i, inner in enumerate(person.names):
            size = person.common[i][i]
            for j, outer in enumerate(person.names):
                if i != j:
                    value = person.common[i][j] / size if size else math.nan
                    shares.setdefault((inner, outer), []).append(value)
                    if person.common[i][j] < size and constructed(inner, outer):
                        broken.setdefault((inner, outer), []).append(person.participant_id)
    rows = []
    for inner in order:
        for outer in order:
            values = np.array(shares.get((inner, outer), []))
            there = values[~np.isnan(values)]
            if values.size:
                rows.append(
                    {
                        "method_inner": inner,
                        "method_outer": outer,
                        "n": int(there.size),
                        "n_empty": int(values.size - there.size),
                        "mean": float(there.mean()) if there.size else math.nan,
                        "sd": float(there.std(ddof=1)) if there.size > 1 else math.nan,
                        "constructed": constructed(inner, outer),
                        "n_broken": len(broken.get((inner, outer), ())) if constructed(inner, outer) else math.nan,
                        "broken": " ".join(broken.get((inner, outer), ())),
                    }
                )
    return rows


def constructed(inner: str, outer: str) -> bool:
    """Whether ``inner`` lies in ``outer`` because of how the masks are made.

    MindGlide's mask is cut with an envelope, the mean of two masks is their union, an intersection lies in its members.

    Examples
    --------
    >>> constructed("mindglideT1w", "first"), constructed("first", "mindglideT1w")
    (True, False)
    >>> constructed("synthalT1w", "synthalT1FLAIR"), constructed("synthalT1w", "synthalT1FLAIRR1")
    (True, False)
    """
    try:
        a, b = names.by_desc(inner), names.by_desc(outer)
    except KeyError:
        return False
    if a.envelope == outer:
        return True
    if a.family != b.family or a.envelope != b.envelope:
        return False
    single_in_union = len(a.images) == 1 and b.rule == "mean" and len(b.images) == 2 and a.images[0] in b.images
    intersection_in_member = a.rule == "intersection" and len(b.images) == 1 and b.images[0] in a.images
    return single_in_union or intersection_in_member


def t1w_derived(methods: Collection[str]) -> tuple[str, ...]:
    """The methods whose masks come from the T1w alone, the paper's choice; one that nobody knows is not among them."""
    derived = []
    for method in methods:
        try:
            known = names.by_desc(method)
        except KeyError:
            continue
        if known.image == "T1w":
            derived.append(method)
    return tuple(derived)
