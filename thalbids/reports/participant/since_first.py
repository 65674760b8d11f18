"""What changed since the first session, in pictures: both masks on both images.

The two sessions are brought together by a rigid registration of their reference images (the T1w, or what takes its
place), which serves the pictures only: all volumes are those of the sessions' own grids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from thalbids.bids.results import names
from thalbids.reports import palette, views
from thalbids.reports.svg import SlicePicture
from thalbids.reports.text import Words

FIRST = palette.Style("#FFFFFF")
LATER = palette.Style("#E69F00", "4 2")


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
