"""Numbers and words of a page, from the QC document and the tables, rounded for the screen."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from thalbids import families
from thalbids.bids.dataset import acquisition_facts
from thalbids.bids.results import names
from thalbids.qc.document import failure_of
from thalbids.qc.measures import asymmetry_index

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
SEVERITY = {"distrust": "Do not trust", "check": "Check"}


class Shown(Protocol):
    """What the tables need of a mask."""

    @property
    def label(self) -> str:
        """Name for people."""

    @property
    def protocol(self) -> str:
        """Whose definition of the thalamus it follows."""


def number(value: object, digits: int = 2, scale: float = 1.0, sign: bool = False) -> str:
    """A number for the screen; a dash when it is missing (None, "n/a", "", NaN).

    Examples
    --------
    >>> number("7531.4", scale=0.001), number("n/a") == DASH, number(-0.031, 1, 100.0, sign=True) == MINUS + "3.1"
    ('7.53', True, True)
    """
    parsed = as_float(value)
    if parsed is None:
        return DASH
    return f"{parsed * scale:{'+' if sign else ''}.{digits}f}".replace("-", MINUS)


def as_float(value: object) -> float | None:
    """The number in a cell of a table; None when there is none."""
    try:
        numeric = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return numeric if numeric == numeric and abs(numeric) != float("inf") else None


def image_name(name: str) -> str:
    """How people call an image."""
    return {"R1map": "R1 map", "T1map": "T1 map"}.get(name, name)


def provenance(content: Mapping[str, Mapping[str, object] | str]) -> list[dict[str, Any]]:
    """Headings with a table or a text."""
    out = []
    for heading, body in content.items():
        rows = [(key, str(value)) for key, value in body.items()] if isinstance(body, Mapping) else None
        out.append({"heading": heading, "rows": rows, "text": body if rows is None else ""})
    return out


def setting(value: object) -> str:
    """A setting in words.

    Examples
    --------
    >>> setting({"hires": False, "folds": (), "cutoffs": {"ants": 0.25}}), setting(["auto"]), setting(None)
    ('hires: no; folds: none; cutoffs: (ants: 0.25)', 'auto', 'not set')
    """
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        inner = [(str(key).replace("_", " "), setting(part), isinstance(part, Mapping)) for key, part in value.items()]
        return "; ".join(f"{key}: ({said})" if nested else f"{key}: {said}" for key, said, nested in inner) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(setting(part) for part in value) or "none"
    return str(value)


def scaling(parameters: Mapping[str, Any]) -> str:
    """How R1 was scaled, in a sentence; "" when it was not."""
    if not parameters:
        return ""
    return (
        f"Inside the brain mask R1 was clipped at its {number(parameters.get('Percentile'), 0)}th percentile, "
        f"{number(parameters.get('Maximum'), 3)} per second ({number(parameters.get('ClippedVoxels'), 0)} voxels), "
        f"negative values ({number(parameters.get('NegativeVoxels'), 0)} voxels) set to 0, "
        "and the rest multiplied to 0 - 1000."
    )


class Words:
    """What a QC document says, for the screen."""

    def __init__(
        self,
        document: Mapping[str, Any],
        labels: Mapping[str, str],
        volumes: Sequence[Mapping[str, object]] = (),
    ):
        self.document = document
        self.labels = labels
        self.unusable = {str(row["method"]) for row in volumes if row.get("status") not in (None, "ok")}
        masks = document.get("Masks", {})  # a JSON file has no order of its own: the tables' is taken
        order = dict.fromkeys([*(str(row["method"]) for row in volumes), *labels, *masks])
        self.masks: Mapping[str, Any] = {name: masks[name] for name in order if name in masks}

    def label(self, method: str) -> str:
        """The method's name for people."""
        try:
            return self.labels.get(method) or names.by_desc(method).label
        except KeyError:  # a method of a third party that gave no mask
            return method

    def trusted(self, method: str) -> bool:
        """Whether nothing speaks against this mask, nor (an ensemble) against what it is built on."""
        return method not in self.unusable and bool(self.masks.get(method, {}).get("trusted", True))

    def verdict(self) -> str:
        """The session in one sentence."""
        if not self.document:
            return "There is no QC document: nothing was checked."
        measured = [name for name, mask in self.masks.items() if mask["measures"] is not None]
        flagged = {flag["scope"] for flag in self.document["Flags"] if flag["severity"] == "distrust"}
        bad = [self.scope(scope) for scope in ("brain", "icv") if scope in flagged]
        bad += [self.label(name) for name in measured if not self.trusted(name)]
        if not measured:
            reference = self.document.get("Reference", "T1w")
            broken = failure_of(reference, self.document.get("Images", {})) is not None
            return f"No mask was made: the {reference} cannot be used." if broken else "No mask was made."
        count = f"{len(measured)} mask{'s were' if len(measured) != 1 else ' was'} made"
        if bad:
            return f"{count}; do not trust: {', '.join(bad)}."
        flags = len(self.document.get("Flags", ()))
        rest = f"; {flags} thing{'s' if flags != 1 else ''} to check." if flags else "; nothing implausible was found."
        return count + rest

    def scope(self, scope: str) -> str:
        """What a flag is about."""
        kind, _, name = scope.partition(":")
        if kind == "mask":
            return self.label(name)
        if kind == "registration":
            return f"{image_name(name)} registration"
        if kind == "image":
            return image_name(name)
        if kind == "map":
            return f"Map {name}"
        if kind == "contrast":
            return f"{name} contrast"
        if kind == "visit":
            return f"Compared with session {name}"
        return {"brain": "Brain mask", "icv": "Intracranial volume"}.get(kind, scope)

    def flags(self) -> list[dict[str, Any]]:
        """The flags of each thing and severity together, those that say distrust first; each advice once."""
        groups: dict[tuple[str, str], dict[str, Any]] = {}
        for flag in sorted(self.document.get("Flags", ()), key=lambda flag: flag["severity"] != "distrust"):
            severity = flag["severity"]
            empty = {"severity": severity, "word": SEVERITY[severity], "scope": self.scope(flag["scope"])}
            group = groups.setdefault((severity, flag["scope"]), {**empty, "reasons": [], "advice": []})
            group["reasons"].append(flag["reason"])
            if flag["advice"] not in group["advice"]:
                group["advice"].append(flag["advice"])
        return list(groups.values())

    def volumes(
        self,
        rows: Iterable[Mapping[str, object]],
        shown: Mapping[str, Shown],
        norms: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Rows of the volume table, in mL, and the definitions of the thalamus that they follow, marked a, b, ...

        ``norms``: method -> what is said of its volume against the controls, which stands in each row as ``norm``.
        """
        protocols = list(dict.fromkeys(view.protocol for view in shown.values() if view.protocol))
        marks = {protocol: chr(ord("a") + number % 26) for number, protocol in enumerate(protocols)}
        out = []
        for row in rows:
            method = str(row["method"])
            left, right = as_float(row.get("volume_left_mm3")), as_float(row.get("volume_right_mm3"))
            view = shown.get(method)
            out.append(
                {
                    "label": self.label(method), "image": image_name(str(row.get("image") or DASH)),
                    "volume": number(row.get("volume_mm3"), 2, 0.001), "left": number(left, 2, 0.001),
                    "right": number(right, 2, 0.001), "asymmetry": number(asymmetry_index(left, right), 1, 100, True),
                    "soft": number(row.get("volume_soft_mm3"), 2, 0.001), "interval": _interval(row),
                    "expected": number(row.get("expected_dice"), 2),
                    "mark": marks.get(view.protocol, "") if view else "", "status": str(row.get("status") or DASH),
                    "norm": (norms or {}).get(method),
                    "reason": _said(row.get("reason")), "distrusted": view is not None and not self.trusted(method),
                }
            )  # fmt: skip
        return {"rows": out, "protocols": [(mark, protocol) for protocol, mark in marks.items()]}

    def agreement(self) -> dict[str, Any] | None:
        """Dice of every pair of masks below the diagonal, how much each holds of the other above; None with fewer than
        two.

        Voxels in both follow from Dice D and the sizes a and b of the masks: D (a + b) / 2.
        """
        measured = [name for name, mask in self.masks.items() if mask["measures"] is not None]
        if len(measured) < 2:
            return None
        rows = []
        for row, name in enumerate(measured):
            pairs = [self._pair(name, other) if other != name else None for other in measured]
            cells = [
                pair and pair | {"text": pair["dice" if column < row else "within"]}
                for column, pair in enumerate(pairs)
            ]
            rows.append({"label": self.label(name), "cells": cells})
        return {"labels": [self.label(name) for name in measured], "rows": rows}

    def _pair(self, row: str, column: str) -> dict[str, str]:
        """Two masks: Dice, and the shares (%) of the row's mask in the column's and the other way round."""
        one, two = (self.masks[name]["measures"] for name in (row, column))
        dice = one["dice"].get(column)
        both = None if dice is None else dice * (one["voxels"] + two["voxels"]) / 2
        inside, holds = (
            number(None if both is None or not mask["voxels"] else both / mask["voxels"], 0, 100.0)
            for mask in (one, two)
        )
        first, second = self.label(row), self.label(column)
        words = f"Dice {number(dice)}; {inside} % of {first} lie in {second}; {holds} % of {second} lie in {first}"
        return {"dice": number(dice), "within": f"{inside} | {holds}", "words": words, "shade": _shade(dice)}

    def registered(self, name: str) -> str:
        """How an image came onto the T1w grid, in a sentence or two; "" when the document does not say."""
        entry = next((e for e in self.document.get("Registrations", ()) if e["image"] == name), None)
        attempt = next((a for a in entry["attempts"] if a["strategy"] == entry["chosen"]), None) if entry else None
        if entry is None or attempt is None:
            return ""
        tried = len(entry["attempts"])
        how = "the only one that was tried" if tried == 1 else f"chosen of {tried} tried"
        metric = f"{attempt['metric'].capitalize()} {number(attempt['mi'], 3)} {attempt.get('unit') or ''}".strip()
        verdict = f"cut-off {number(attempt['cutoff'], 3)}: {'passed' if attempt['passed'] else 'failed'}"
        return f"Strategy: {attempt['strategy']} ({how}). {metric}, {verdict}."

    def icv(self, rows: Iterable[Mapping[str, object]]) -> list[dict[str, str]]:
        """Intracranial volumes, in L."""
        flags = {entry["source"]: entry["flags"] for entry in self.document.get("ICV", ())}
        out = []
        for row in rows:
            source = str(row["source"])
            note = _said(row.get("reason") or row.get("note")) or ""
            said = [note, *(flag["reason"] for flag in flags.get(source, ()) if flag["reason"] not in note)]
            note = " ".join(filter(None, said))
            out.append(
                {"source": families.of(source).label, "volume": number(row.get("icv_mm3"), 3, 1e-6), "note": note}
            )
        return out

    def acquisition(self) -> dict[str, Any] | None:
        """How each image was acquired: headings, and a row per image; None where nothing is known."""
        facts = {
            image_name(name): acquisition_facts.words(entry["acquisition"])
            for name, entry in self.document.get("Images", {}).items()
            if entry.get("acquisition")
        }
        if not facts:
            return None
        headings = list(dict.fromkeys(itertools.chain.from_iterable(facts.values())))
        rows = [{"label": name, "cells": [told.get(h, DASH) for h in headings]} for name, told in facts.items()]
        return {"headings": headings, "rows": rows}

    def since(self, session: str | None) -> list[str]:
        """What differs from another session, in sentences."""
        scope = f"visit:{session or 'without a label'}"
        return [flag["reason"] for flag in self.document.get("Flags", ()) if flag["scope"] == scope]

    def brain(self) -> dict[str, str] | None:
        """The brain mask's volume and its share of the intracranial volume."""
        brain = self.document.get("Brain")
        if not brain:
            return None
        return {
            "volume": number(brain["volume_mm3"], 3, 1e-6),
            "fraction": number(brain["icv_fraction"], 0, 100.0),
            "touches": ", ".join(brain["touches_field_of_view"]),
            "note": " ".join(flag["reason"] for flag in brain["flags"]),
        }

    def registrations(self) -> list[dict[str, Any]]:
        """Every strategy that was tried for every image, and the choice; not of an image that none was tried for."""
        out = []
        for entry in filter(lambda entry: entry["attempts"], self.document.get("Registrations", ())):
            attempts = [
                {
                    "strategy": a["strategy"], "interpolation": a["interpolation"],
                    "metric": a["metric"] + (f" ({a['unit']})" if a.get("unit") else ""),
                    "mi": number(a["mi"], 3), "cutoff": number(a["cutoff"], 3),
                    "coverage": number(a.get("coverage"), 0, 100), "sharpness": number(a.get("sharpness"), 0, 100),
                    "passed": "passed" if a["passed"] else "failed", "chosen": a["strategy"] == entry["chosen"],
                    "remarks": "; ".join([*filter(None, [a.get("reason")]), *a.get("warnings", ())]),
                }
                for a in entry["attempts"]
            ]  # fmt: skip
            out.append(
                {
                    "image": image_name(entry["image"]), "excluded": entry["excluded"], "reason": entry["reason"],
                    "chosen": entry["chosen"] or "none", "attempts": attempts,
                }
            )  # fmt: skip
        return out

    def failures(self, more: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
        """What is missing, failed or excluded: (what, how, why), each thing and each reason once."""
        failures: dict[str, tuple[str, str, str]] = {}
        images = self.document.get("Images", {})
        reference = self.document.get("Reference")  # first: everything waits for it
        for name, image in sorted(images.items(), key=lambda item: item[0] != reference):
            if image["status"] != "ok":
                failures[name] = (image_name(name), image["status"], image["reason"])
        for entry in self.document.get("Registrations", ()):
            if entry["excluded"]:
                failures[entry["image"]] = (image_name(entry["image"]), "excluded", entry["reason"])
        for name, mask in self.masks.items():
            if mask["status"] != "ok":
                failures[name] = (self.label(name), mask["status"], mask["reason"])
        for entry in self.document.get("Missing", ()):
            failures.setdefault(entry["item"], (image_name(entry["item"]), "missing", entry["reason"]))
        rows = list(failures.values())
        for what, why in more:  # steps
            if not any(why == row[2] and what.endswith((name, row[0])) for name, row in failures.items()):
                rows.append((what, "failed", why))
        said = {why for _, _, why in rows}
        return [(what, how, _without_cause(why, said)) for what, how, why in rows]

    def notes(self) -> list[str]:
        """What was decided or repaired, for the session and for its images."""
        images = self.document.get("Images", {})
        lines = [f"{image_name(name)}: {note}" for name, image in images.items() for note in image.get("notes", ())]
        return [*self.document.get("Notes", ()), *lines]


def _without_cause(why: str, said: Collection[str]) -> str:
    """Why something is not there, without the reason of what it waited for where that is said anyway.

    Examples
    --------
    >>> _without_cause("sub-01 register FLAIR failed: it is 4-D.", ["it is 4-D."])
    'sub-01 register FLAIR failed'
    """
    ends = [f": {cause}" for cause in said if cause and why.endswith(f": {cause}")]
    return why.removesuffix(max(ends, key=len, default=""))


def _said(value: object) -> str:
    """A text cell; "" when it says nothing."""
    return "" if value is None or value == "n/a" else str(value)


def _shade(value: float | None) -> str:
    """CSS class of a Dice value."""
    if value is None:
        return "none"
    return "high" if value >= 0.85 else "middle" if value >= 0.7 else "low"


def _interval(row: Mapping[str, object]) -> str:
    """Bounds of a volume in mL; a dash where the method tells none."""
    low, high = (number(row.get(f"volume_{end}_mm3"), 2, 0.001) for end in ("low", "high"))
    return DASH if DASH in (low, high) else f"{low} \N{EN DASH} {high}"


def envelope_of(desc: str) -> str:
    """The ``desc-`` label of the mask that cuts this one; "" where none does, or the method is unknown."""
    try:
        return names.by_desc(desc).envelope
    except KeyError:
        return ""
