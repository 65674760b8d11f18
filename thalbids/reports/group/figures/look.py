"""The look of the figures: names, order, colours and markers of methods, and matplotlib's settings.

Colours are those of the participant's page (:mod:`thalbids.reports.palette`). They were chosen for a dark image, so on
paper every filled shape gets a dark edge. Nothing is told by colour alone: families have their own markers, and every
row or panel carries the name.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from thalbids import families
from thalbids.bids.results import names
from thalbids.reports import palette

INK = "#1a1c20"
QUIET = "#545b66"
GRID = "#dfe3e8"
LONGEST_LABEL = 34
_OTHER_MARKERS = ("P", "X", "h", "<", ">", "p")

RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a "$" in somebody's label is a dollar sign
    "axes.unicode_minus": True,
    "svg.fonttype": "none",  # text stays text: it can be searched and edited, and is a third of the size
    "path.simplify": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@cache
def _known(method: str) -> names.MaskKind | None:
    try:
        return names.by_desc(method)
    except KeyError:
        return None


def label(method: str) -> str:
    """How people read a method's name; a name that is not ours stays as it is.

    Examples
    --------
    >>> label("mindglideT1FLAIR"), label("consensus")
    ('MindGlide T1w + FLAIR', 'consensus')
    """
    known = _known(method)
    return known.label if known is not None else method


def short(text: str, longest: int = LONGEST_LABEL) -> str:
    """A label that leaves room for the figure."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


@cache
def colour(method: str) -> str:
    """#RRGGBB, as on every page."""
    return palette.style(method).colour


def marker(method: str) -> str:
    """Matplotlib's marker of a family."""
    known = _known(method)
    family = known.family if known is not None else method
    return families.of(family).marker or _OTHER_MARKERS[sum(family.encode()) % len(_OTHER_MARKERS)]


def is_union(method: str) -> bool:
    """True for an ensemble of two, which is the union of its members."""
    known = _known(method)
    return known is not None and len(known.images) == 2 and known.rule == "mean"


def envelope(method: str) -> str | None:
    """The method whose mask cuts this one, where there is such a method."""
    known = _known(method)
    return known.envelope or None if known is not None else None


def member(method: str, ensemble: str) -> bool:
    """True when the mask of one image takes part in this ensemble.

    Examples
    --------
    >>> member("synthalT1w", "synthalT1FLAIR"), member("mindglideT1w", "synthalT1FLAIR")
    (True, False)
    """
    one, many = _known(method), _known(ensemble)
    if one is None or many is None or one.family != many.family or one.rule is not None or many.rule is None:
        return False
    return envelope(method) == envelope(ensemble) and one.images[0] in many.images
