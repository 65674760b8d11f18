"""One look per method, the same on every page: colours that colour-blind people can tell apart, and dashes.

The colours are those of Okabe and Ito (2008), lightened where they would drown in a grey image. Within a family the
colour says which images a mask was made from, unless the family has one of its own; the dashes say which family it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from thalbids import families
from thalbids.bids.results import names

_BY_IMAGES = {
    ("T1w",): "#56B4E9",
    ("FLAIR",): "#E69F00",
    ("R1map",): "#1FC79A",
    ("T2w",): "#B79CFF",
    ("UNIT1",): "#9ADBFF",
    ("T1w", "FLAIR"): "#F0E442",
    ("T1w", "R1map"): "#E58CC0",
    ("R1map", "FLAIR"): "#FF7043",
    ("T1w", "FLAIR", "R1map"): "#FFFFFF",
}
_BY_IMAGES_SORTED = {tuple(sorted(images)): colour for images, colour in _BY_IMAGES.items()}
_RULE_DASHES = {"intersection": "8 2 1.5 2", "staple": "2.5 2"}

EDGES = "#FF5A36"  # T1w edges over another image
BRAIN = "#FFD447"  # outline of the brain mask
RIM = "#000000"  # below every outline
DISTRUST = "#FF1744"  # halo of a mask that cannot be trusted


@dataclass(frozen=True)
class Style:
    """How an outline is drawn: colour (#RRGGBB) and SVG dash pattern ("" for a solid line)."""

    colour: str
    dash: str = ""


def style(method: str) -> Style:
    """The look of a method by its ``desc-`` label; a method that we do not know gets one that its name decides.

    Examples
    --------
    >>> style("synthalT1w")
    Style(colour='#56B4E9', dash='')
    """
    try:
        known = names.by_desc(method)
    except KeyError:
        colours = list(_BY_IMAGES.values())
        return Style(colours[hashlib.sha256(method.encode()).digest()[0] % len(colours)], "4 1.5 1 1.5")
    entry = families.of(known.family)
    colour = entry.colour or _BY_IMAGES_SORTED[tuple(sorted(known.images))]
    return Style(colour, _RULE_DASHES.get(known.rule or "", "") or entry.dash)
