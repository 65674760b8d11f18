"""The quantitative maps of a session on the participant's page: pictures, histograms, numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thalbids.qmri.plausible import WINDOWS
from thalbids.reports import text, views
from thalbids.reports.participant.histogram import Histogram, svg
from thalbids.reports.svg import SlicePicture

NAMES = {"R1map": "R1", "R2starmap": "R2*", "MTsat": "MTsat", "PDmap": "PD (relative)"}
PICTURES = (
    "One slice per plane through the thalami, with the outlines of the masks. Black and white: {windows}. "
    "Look for rings, shading, and borders that are double or smeared by motion."
)
NUMBERS = (
    "Inside the brain mask. Peaks: of the histogram; expected: grey and white matter at {field}. White matter: the "
    "brightest part of the T1w image. Plausible ranges in brackets; they are wide, as protocols differ."
)
READ_OUT = (
    "Mean (SD) inside each mask, and inside the mask eroded by one voxel, which leaves out the border with its mixture "
    "of tissues. Masks that were excluded have no row."
)


def ordered(names: Iterable[str]) -> list[str]:
    """Known maps first, in the order of `NAMES`, then the others by the alphabet."""
    known = list(NAMES)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def map_name(name: str) -> str:
    """The name of a map for people."""
    return NAMES.get(name, name)


def rows(
    maps: Mapping[str, views.Volume], brain: views.Volume | None, masks: Sequence[views.Mask], focus: views.Focus
) -> tuple[list[list[SlicePicture]], str]:
    """A row of pictures per map, and the introduction."""
    pictures, windows = [], []
    for name in ordered(maps):
        image = maps[name]
        low, high = _window(name, image, brain)
        shown = [f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}" for value in (low, high)]
        windows.append(f"{map_name(name)} {' and '.join(shown)}")
        row = views.middle_row(image, masks, focus, f"{map_name(name)} map", (low, high))
        pictures.append([replace(row[0], caption=map_name(name)), *row[1:]])
    return pictures, PICTURES.format(windows=", ".join(windows))


def _window(name: str, image: views.Volume, brain: views.Volume | None) -> tuple[float, float]:
    """What is shown as black and white: the same for everybody where the map is known, else by its values.

    A given map may have another scale than ours, as PD often has; then its values decide too.
    """
    values = np.asarray(image.data if brain is None else views.inside(image, brain))
    usual, defined = WINDOWS.get(name), values[np.isfinite(values) & (values != 0)]
    if usual is not None and (not defined.size or usual[0] <= np.median(defined) <= usual[1]):
        return usual
    return views.grey_range([[defined]])


def histograms(document: Mapping[str, Any]) -> dict[str, str]:
    """The histogram of each map inside the brain, with the expected peaks."""
    drawn = {}
    maps = document.get("Maps", {})
    for name in ordered(maps):
        summary = maps[name]
        bins = summary.get("histogram") or {}
        if not bins:
            continue
        expected = (summary.get("expected") or {}).get("peaks", ())
        content = Histogram(
            title=f"{map_name(name)} in the brain",
            unit=summary.get("unit") or "no unit",
            counts=np.asarray(bins["counts"]),
            edges=np.asarray(bins["edges"]),
            median=float(summary["percentiles"]["50"]),
            expected=tuple(zip(expected, ("grey", "white"), strict=False)),
        )
        drawn[f"map{name}"] = svg(content)
    return drawn


def context(document: Mapping[str, Any] | None, readout: Sequence[Mapping[str, object]], words: text.Words) -> Any:
    """Tables of the section; None where the session has no map."""
    if document is None or not document.get("Maps"):
        return None
    maps = document["Maps"]
    fields = {summary.get("field_strength") for summary in maps.values()}
    known = next((f"{field:g} T" for field in fields if field), "3 T (the sidecars do not say the field strength)")
    return {
        "rows": [_row(name, maps[name]) for name in ordered(maps)],
        "note": NUMBERS.format(field=known),
        "motion": [_moved(name, one) for name, one in document.get("Motion", {}).items()],
        "readout": _readout(ordered(maps), readout, words),
        "readout_note": READ_OUT,
    }


def _row(name: str, summary: Mapping[str, Any]) -> dict[str, str]:
    expected = summary.get("expected") or {}
    return {
        "label": map_name(name),
        "unit": summary.get("unit") or text.DASH,
        "median": text.number(summary.get("percentiles", {}).get("50")),
        "peaks": ", ".join(text.number(peak) for peak in summary.get("peaks", ())) or text.DASH,
        "expected": ", ".join(f"{peak:g}" for peak in expected.get("peaks", ())) or text.DASH,
        "undefined": text.number(summary.get("undefined"), 1, 100.0),
        "clamped": text.number(summary.get("clamped"), 1, 100.0),
        "white": _ranged(summary.get("white_matter"), expected.get("white_matter")),
        "thalamus": _ranged(summary.get("thalamus"), expected.get("thalamus")),
    }


def _ranged(value: object, limits: Sequence[float] | None) -> str:
    shown = text.number(value)
    return shown if limits is None or shown == text.DASH else f"{shown} ({limits[0]:g} to {limits[1]:g})"


def _moved(name: str, one: Mapping[str, Any]) -> dict[str, str]:
    return {
        "label": name,
        "shift": text.number(one.get("shift_mm"), 1),
        "turned": text.number(one.get("rotation_degrees"), 1),
        "how": str(one.get("strategy") or text.DASH),
        "reason": str(one.get("reason") or ""),
    }


def _readout(maps: Sequence[str], table: Sequence[Mapping[str, object]], words: text.Words) -> dict[str, Any]:
    """One row per mask, two columns per map: whole and eroded."""
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for row in table:
        method, status = str(row["method"]), row.get("status")
        if row.get("side") != "both" or status != "ok" or not words.trusted(method):
            continue
        mean, sd = (text.number(row.get(key)) for key in ("mean", "sd"))
        shown = mean if mean == text.DASH else f"{mean} ({sd})"
        cells.setdefault(method, {})[(str(row["map"]), str(row["region"]))] = shown
    keys = [(name, region) for name in maps for region in ("whole", "eroded")]
    return {
        "headings": [f"{map_name(name)}{', eroded' if region == 'eroded' else ''}" for name, region in keys],
        "rows": [
            {"label": words.label(method), "cells": [values.get(key, text.DASH) for key in keys]}
            for method, values in cells.items()
        ],
    }
