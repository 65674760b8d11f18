"""What changed since the first session: numbers of every method, and both masks in one picture.

The two sessions are brought together by a rigid registration of their reference images (the T1w, or what takes its
place), which serves the pictures only: all volumes are those of the sessions' own grids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thalbids.bids.results import names
from thalbids.reports import palette, views
from thalbids.reports.svg import SlicePicture
from thalbids.reports.text import Words, as_float, number

FIRST = palette.Style("#FFFFFF")
LATER = palette.Style("#E69F00", "4 2")
NUMBERS_NOTE = (
    "Each session was measured by itself: a change holds the error of both measurements, and the noise of two scans of "
    "one day is not known here. A change of few percent in one person is not proof of atrophy."
)


@dataclass(frozen=True)
class ComparedSession:
    """One session, as far as it is needed for the comparison."""

    title: str
    t1w: views.Volume
    brain: views.Volume | None
    masks: Sequence[views.Mask]
    volumes: Sequence[Mapping[str, object]]
    words: Words
    reference: str = "T1w"

    @property
    def image(self) -> str:
        """``T1w of Session 1``, or the image that takes its place."""
        return f"{self.reference} of {self.title}"


def rows(first: ComparedSession, later: ComparedSession) -> list[dict[str, Any]]:
    """Volumes of the methods that gave a number in both sessions, and their difference."""
    before = {str(row["method"]): row for row in first.volumes}
    out = []
    for row in later.volumes:
        method = str(row["method"])
        old, new = as_float(before.get(method, {}).get("volume_mm3")), as_float(row.get("volume_mm3"))
        if old is None or new is None:
            continue
        doubtful = [v.title for v in (first, later) if not v.words.trusted(method)]
        out.append(
            {
                "label": later.words.label(method), "first": number(old, 2, 0.001), "later": number(new, 2, 0.001),
                "difference": number(new - old, 2, 0.001, sign=True),
                "percent": number((new - old) / old if old else None, 1, 100.0, sign=True),
                "doubtful": f"do not trust: {' and '.join(doubtful)}" if doubtful else "",
            }
        )  # fmt: skip
    return out


def whole_brain(table: Sequence[Mapping[str, object]]) -> list[str]:
    """Whole-brain change up to a session, in sentences."""
    out = []
    for row in table:
        since = f"since {str(row.get('session_id_baseline')).replace('ses-', 'Session ')}"
        if row.get("pbvc") in (None, "", "n/a"):
            why = str(row.get("reason") or row.get("status") or "no value")
            out.append(f"Whole brain {since}: not measured ({why}).")
        else:
            source = {"siena": "SIENA", "directory": "an existing SIENA result", "table": "the given table"}
            named = source.get(str(row.get("source")), str(row.get("source") or "unknown source"))
            doubt = "" if row.get("status") == "ok" else f" Do not use it: {row.get('reason') or row.get('status')}."
            out.append(f"Whole brain {since}: {number(row['pbvc'], 2, sign=True)} % (PBVC, from {named}).{doubt}")
    return out


def leading(*sessions: Sequence[views.Mask]) -> str:
    """The method to show where there is room for one: in all sessions, trusted, made from the most images.

    Of equals the first in the tables; "" when no method is in all sessions.
    """
    usable_in_all: list[str] | None = None
    for masks in sessions:
        usable = [m.method for m in masks if m.volume.data.any() and not m.distrusted]
        usable = usable or [m.method for m in masks if m.volume.data.any()]
        usable_in_all = usable if usable_in_all is None else [method for method in usable_in_all if method in usable]
    return max(usable_in_all or [""], key=_images_of)


def _images_of(method: str) -> int:
    try:
        return len(names.by_desc(method).images)
    except KeyError:
        return 0


def aligned(later: ComparedSession, matrix: np.ndarray) -> ComparedSession:
    """The later session in the space of the first one: only the affines change, nothing is resampled.

    ``matrix`` maps RAS+ mm of the first image to RAS+ mm of the later one.
    """
    back = np.linalg.inv(matrix)

    def moved(volume: views.Volume) -> views.Volume:
        return views.Volume(volume.data, back @ volume.affine)

    masks = [replace(mask, volume=moved(mask.volume)) for mask in later.masks]
    brain = None if later.brain is None else moved(later.brain)
    return replace(later, t1w=moved(later.t1w), brain=brain, masks=masks)


def overlay(first: ComparedSession, later: ComparedSession, method: str, key: str) -> list[list[SlicePicture]]:
    """Three rows: the later image with the edges of the first, both masks on the first image, and on the later one.

    ``later`` is in the space of the first session.
    """
    focus = views.choose_focus([m for m in first.masks if m.method == method], first.brain, first.t1w)
    both = [
        *(replace(m, style=LATER, key=f"{key}l", label=f"{m.label}, {later.title}") for m in _of(later, method)),
        *(replace(m, style=FIRST, key=f"{key}f", label=f"{m.label}, {first.title}") for m in _of(first, method)),
    ]
    check = views.edge_row(later.t1w, later.image, first.t1w, first.image, first.brain, focus, f"{key}e")
    return [
        check,
        views.middle_row(first.t1w, both, focus, first.image),
        views.middle_row(later.t1w, both, focus, later.image),
    ]


def side_by_side(first: ComparedSession, later: ComparedSession, method: str, key: str) -> list[list[SlicePicture]]:
    """Each session through its own thalami, where the two could not be brought together."""
    out = []
    for visit, style, letter in ((first, FIRST, "f"), (later, LATER, "l")):
        masks = _of(visit, method)
        focus = views.choose_focus(masks, visit.brain, visit.t1w)
        shown = [replace(m, style=style, key=f"{key}{letter}", label=f"{m.label}, {visit.title}") for m in masks]
        out.append(views.middle_row(visit.t1w, shown, focus, visit.image))
    return out


def _of(visit: ComparedSession, method: str) -> list[views.Mask]:
    return [mask for mask in visit.masks if mask.method == method]
