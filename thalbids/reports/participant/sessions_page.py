"""The page of all sessions, ``qc.html``: one table of their measures, with those that are unusual in this cohort.

How unusual a value is says the robust z of Iglewicz and Hoaglin (1993): 0.6745 (x - median) / MAD, where the median
absolute deviation (MAD) replaces the standard deviation, which outliers would inflate. Median and MAD are those of the
trusted masks (of all brain masks, intracranial volumes and accepted registrations), method by method.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from thalbids.bids.results import names
from thalbids.errors import some
from thalbids.reports import palette, text
from thalbids.reports.templating import template

MINIMUM = 10  # values; a median of fewer says little about what is usual
MOST_NAMED = 10  # visits of one kind of doubt, above the table
OUTLIER = 3.5  # |z|, the limit of Iglewicz and Hoaglin
STATES = {  # the worst first
    "failed": "no result",
    "distrust": "do not trust",
    "incomplete": "incomplete",
    "check": "check",
    "ok": "nothing found",
}


@dataclass(frozen=True)
class Measure:
    """A column: where its value stands in the QC document, and how it is shown."""

    key: str
    label: str
    title: str
    scale: float = 1.0
    digits: int = 2


OF_SESSION = (
    Measure(
        "brain", "Brain mask L", "Volume of the brain mask in litres, the fluid around the brain included", 1e-6, 3
    ),
    Measure("icv", "ICV L", "Intracranial volume in litres, the preferred source", 1e-6, 3),
    Measure(
        "FLAIR",
        "FLAIR MI",
        "Mutual information of the registered FLAIR with the reference image, chosen strategy",
        1.0,
        3,
    ),
    Measure(
        "R1map",
        "R1 MI",
        "Mutual information of the registered R1 map with the reference image, chosen strategy",
        1.0,
        3,
    ),
    Measure(
        "T2w", "T2w MI", "Mutual information of the registered T2w with the reference image, chosen strategy", 1.0, 3
    ),
)
OF_MASK = (
    Measure("volume_mm3", "Total mL", "Volume of both thalami", 1e-3),
    Measure("volume_left_mm3", "Left mL", "Volume of the left thalamus", 1e-3),
    Measure("volume_right_mm3", "Right mL", "Volume of the right thalamus", 1e-3),
    Measure("asymmetry_index", "Asym. %", "2 (L - R) / (L + R); positive: the left is larger", 100.0, 1),
    Measure("best_dice_other_family", "Dice other", "Best Dice with a mask of another method: agreement, not truth"),
    Measure("best_dice_same_family", "Dice same", "Best Dice with a mask of the same method from another image"),
    Measure("flip_dice", "Flip Dice", "Dice with the mask of the mirrored image, where the method tells"),
    Measure("confidence", "Conf.", "Mean certainty inside the mask, where the method tells"),
)

MAIN = 4  # of the columns of a mask, those that are shown where there is no room for all


@dataclass(frozen=True)
class SessionEntry:
    """One session.

    Attributes
    ----------
    subject, session : labels; session None where there is no session level
    document : its QC document; None when there is none
    problem : why there is none
    page, thumbnail : addresses relative to the page; "" when the file is not there
    doubt : why its change from the first session is excluded (another person, a mirror image); "" when it is not
    mirrored : whether its image is the mirror image of that of the first session
    """

    subject: str
    session: str | None
    document: Mapping[str, Any] | None
    problem: str = ""
    page: str = ""
    thumbnail: str = ""
    doubt: str = ""
    mirrored: bool = False

    @property
    def name(self) -> str:
        """``sub-01 ses-2`` or ``sub-01``."""
        return f"sub-{self.subject}" + (f" ses-{self.session}" if self.session else "")


@dataclass
class _Column:
    """One measure of one method over all sessions."""

    measure: Measure
    values: list[float | None] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)  # of what can be trusted

    def add(self, value: object, trusted: bool) -> None:
        number = text.as_float(value)
        number = None if number is None else number * self.measure.scale
        self.values.append(number)
        if number is not None and trusted:
            self.usual.append(number)


def page(entries: Sequence[SessionEntry]) -> str:
    """The page as HTML; its rows are data, drawn by its script."""
    data = content(entries)
    packed = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    counts = [(label, sum(row["state"] == state for row in data["rows"])) for state, label in STATES.items()]
    return str(
        template("qc.html").render(
            data=packed, sessions=len(entries), subjects=len({entry.subject for entry in entries}), states=STATES,
            counts=[pair for pair in counts if pair[1]], minimum=MINIMUM, outlier=OUTLIER,
            doubts=_doubts(entries),
        )
    )  # fmt: skip


def _doubts(entries: Sequence[SessionEntry]) -> list[dict[str, Any]]:
    """What the first lines say of visits that cannot be compared with the first one, a kind each."""
    doubted = [entry for entry in entries if entry.doubt]
    kinds = {
        "mirror image": ("looks like the mirror image of the first one", "look like mirror images of the first one"),
        "same person": ("may show another person than the first one",) * 2,
    }
    lines = []
    for (search, what), mirrored in zip(kinds.items(), (True, False), strict=True):
        found = [entry.name for entry in doubted if entry.mirrored is mirrored]
        told = {"number": len(found), "what": what[len(found) > 1], "names": some(found, MOST_NAMED), "search": search}
        lines += [told] if found else []
    return lines


def content(entries: Sequence[SessionEntry]) -> dict[str, Any]:
    """What the page's script draws: columns, methods, and a row per session with values and robust z."""
    methods = _methods(entries)
    general = [_Column(measure) for measure in OF_SESSION]
    masks = {method: [_Column(measure) for measure in OF_MASK] for method in methods}
    for entry in entries:
        document = entry.document or {}
        for column, (value, trusted) in zip(general, _of_session(document), strict=True):
            column.add(value, trusted)
        for method, columns in masks.items():
            mask = document.get("Masks", {}).get(method, {})
            measures = mask.get("measures") or {}
            for column in columns:
                column.add(measures.get(column.measure.key), bool(mask.get("trusted")))
    scores = [robust_z(column.values, column.usual) for column in general]
    mask_scores = {m: [robust_z(column.values, column.usual) for column in columns] for m, columns in masks.items()}
    flags: dict[str, int] = {}
    rows = []
    for number, entry in enumerate(entries):
        row = _row(entry, flags)
        row["general"] = [_cell(column, z, number) for column, z in zip(general, scores, strict=True)]
        told = {
            method: [_cell(column, z, number) for column, z in zip(masks[method], mask_scores[method], strict=True)]
            for method in methods
        }
        known = (entry.document or {}).get("Masks", {})
        row["masks"] = {
            str(place): {"status": _status(known[method]), "cells": told[method]}
            for place, method in enumerate(methods)
            if method in known
        }
        row["worst"] = _worst(row["general"], told)
        rows.append(row)
    return {
        "general": [_head(column) for column in general],
        "columns": [{"label": m.label, "title": m.title, "digits": m.digits} for m in OF_MASK],
        "methods": [
            {
                "label": label(method), "colour": palette.style(method).colour,
                "usual": [_head(column)["usual"] for column in masks[method]],
            }
            for method in methods
        ],
        "start": _most_measured(methods, masks), "main": MAIN,
        "flags": list(flags), "states": STATES, "outlier": OUTLIER, "rows": rows,
    }  # fmt: skip


def _most_measured(methods: Sequence[str], masks: Mapping[str, Sequence[_Column]]) -> int:
    """The place of the method that most sessions have a volume of, the first of several: what the page opens with."""
    counts = [sum(value is not None for value in masks[method][0].values) for method in methods]
    return counts.index(max(counts)) if counts else 0


def robust_z(values: Sequence[float | None], usual: Sequence[float]) -> list[float | None]:
    """0.6745 (x - median) / MAD of each value; None where there are fewer than ``MINIMUM`` usual values or no spread.

    Examples
    --------
    >>> robust_z([5.0, 14.0], [float(x) for x in range(11)])
    [0.0, 2.0235]
    """
    if len(usual) < MINIMUM:
        return [None] * len(values)
    median = float(np.median(usual))
    mad = float(np.median(np.abs(np.asarray(usual) - median)))
    if mad <= 1e-9 * max(1.0, abs(median)):
        return [None] * len(values)
    return [None if value is None else 0.6745 * (value - median) / mad for value in values]


@cache
def label(method: str) -> str:
    """A method's name for people."""
    try:
        return names.by_desc(method).label
    except KeyError:
        return method


def _methods(entries: Iterable[SessionEntry]) -> list[str]:
    """Methods that any session has a row for, in the order of the tables; those of third parties last."""
    methods = {method for entry in entries for method in (entry.document or {}).get("Masks", {})}
    known = [method.desc for method in names.methods()]
    return [m for m in known if m in methods] + sorted(methods - set(known))


def _of_session(document: Mapping[str, Any]) -> list[tuple[object, bool]]:
    """Value, and whether it counts for what is usual, of each of ``OF_SESSION``."""
    brain = document.get("Brain") or {}
    icv = next((entry["icv_mm3"] for entry in document.get("ICV", ()) if entry["icv_mm3"] is not None), None)
    chosen: dict[str, object] = {}
    for entry in document.get("Registrations", ()):
        attempts = [a for a in entry["attempts"] if a["strategy"] == entry["chosen"]] or entry["attempts"]
        tried = [a["mi"] for a in attempts if a["mi"] is not None]
        chosen[entry["image"]] = (max(tried, default=None), not entry["excluded"])
    registered = [chosen.get(name, (None, False)) for name in ("FLAIR", "R1map", "T2w")]
    return [(brain.get("volume_mm3"), True), (icv, True), *registered]  # type: ignore[list-item]


def _row(entry: SessionEntry, known: dict[str, int]) -> dict[str, Any]:
    """Name, state and flags of a session; each flag's text is kept once, in ``known``."""
    flags = (entry.document or {}).get("Flags", ())
    said = [
        f"{text.SEVERITY[flag['severity']]}: {_scope(flag['scope'])}: {flag.get('reason') or _words(flag['rule'])}"
        for flag in flags
    ]
    said += [f"{text.SEVERITY['check']}: change between visits: {entry.doubt}"] if entry.doubt else []
    return {
        "name": entry.name,
        "page": entry.page, "picture": entry.thumbnail, "state": _state(entry), "problem": entry.problem,
        "flags": [known.setdefault(words, len(known)) for words in dict.fromkeys(said)],
    }  # fmt: skip


def _state(entry: SessionEntry) -> str:
    """The key of ``STATES`` that holds."""
    document = entry.document
    if document is None or not any(mask["measures"] for mask in document["Masks"].values()):
        return "failed"
    severities = {flag["severity"] for flag in document["Flags"]}
    statuses = {mask["status"] for mask in document["Masks"].values()}
    if "distrust" in severities:
        return "distrust"
    if statuses & {"failed", "excluded"}:
        return "incomplete"
    return "check" if severities or entry.doubt else "ok"


def _status(mask: Mapping[str, Any]) -> str:
    return str(mask["status"]) if mask["status"] != "ok" or mask["trusted"] else "do not trust"


def _scope(scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind == "mask":
        return label(name)
    if kind == "registration":
        return f"{text.image_name(name)} registration"
    if kind == "image":
        return text.image_name(name)
    if kind in ("map", "contrast", "visit"):
        return f"{kind} {name}"
    return {"brain": "brain mask", "icv": "intracranial volume"}.get(kind, scope)


def _words(rule: str) -> str:
    return rule.replace("_", " ").replace("t1w", "T1w")


def _cell(column: _Column, scores: Sequence[float | None], number: int) -> list[float | None]:
    """Value and robust z, rounded for the screen; [] when there is none."""
    value, score = column.values[number], scores[number]
    if value is None:
        return []
    rounded = round(value, column.measure.digits)
    return [rounded] if score is None else [rounded, round(score, 1)]


def _head(column: _Column) -> dict[str, Any]:
    measure, usual = column.measure, column.usual
    shown = {"label": measure.label, "title": measure.title, "digits": measure.digits}
    return shown | {"usual": [len(usual), round(float(np.median(usual)), measure.digits) if usual else None]}


def _worst(general: Sequence[list[float | None]], masks: Mapping[str, Sequence[list[float | None]]]) -> list[Any]:
    """The largest |z| of a session: [z, what]; [] where there is no z."""
    flagged = [(cell[1], m.label) for cell, m in zip(general, OF_SESSION, strict=True) if len(cell) == 2]
    for method, cells in masks.items():
        flagged += [
            (cell[1], f"{label(method)}: {m.label}") for cell, m in zip(cells, OF_MASK, strict=True) if len(cell) == 2
        ]
    return list(max(flagged, key=lambda pair: abs(pair[0] or 0.0), default=()))
