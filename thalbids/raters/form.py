"""The page on which a rater judges registrations and masks without knowing what they are.

One HTML file that works from a folder without a network. It holds pictures and opaque identifiers, nothing that names a
person, a session, a method, a file or a number of the quality control. One colour serves every outline.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from thalbids.raters.ratings import COLUMNS, DICTIONARY, MASK, REGISTRATION
from thalbids.reports.planes import ENDS
from thalbids.reports.svg import UNIT, SlicePicture
from thalbids.reports.templating import template
from thalbids.reports.views import PLANES, Focus, Mask, Volume, crop_rows, registration_rows

COLOUR = "#FFD447"
GAP = 4  # pixels between pictures
QUALITY = {REGISTRATION: 55, MASK: 75}  # of the WebP: below 60 kB an item
NOWHERE = Focus(dict.fromkeys(PLANES, (0.0, 0.0, 0.0)), (0.0, 0.0, 0.0))  # for pictures of the whole brain
QUESTIONS = {
    REGISTRATION: "Do the yellow edges follow the borders of the grey image?",
    MASK: "Does the yellow line follow the border of the thalamus on both sides?",
}
REASONS: Mapping[str, Sequence[str]] = {
    REGISTRATION: (
        "shifted", "rotated", "stretched or sheared", "brain not covered", "another person or contrast",
        "poor image quality",
    ),
    MASK: (
        "too large", "part missing", "one side missing", "wrong structure", "ragged or holes", "nothing drawn",
        "poor image quality",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """One item of the page: its identifier, its kind (``registration`` or ``mask``) and its picture (SVG)."""

    identifier: str
    kind: str
    svg: str


def registration_picture(image: Volume, t1w: Volume, brain: Volume | None) -> str:
    """A registered image with the edges of the T1w, three evenly spaced slices per plane (paper, 2.5.2)."""
    return _picture(registration_rows(image, "", t1w, brain, (), NOWHERE, "")[:3], REGISTRATION)


def mask_picture(mask: Mask, t1w: Volume, focus: Focus) -> str:
    """The outline of a mask on the T1w, three slices per plane around the thalami."""
    return _picture(crop_rows(t1w, [mask], focus), MASK)


def _picture(rows: Sequence[Sequence[SlicePicture]], kind: str) -> str:
    """All panels as one grey picture with the lines above it; columns and rows of equal pitch."""
    shapes = [[panel.grey.shape for panel in row] for row in rows]
    heights = [max(shape[0] for shape in row) for row in shapes]
    width = max(shape[1] for row in shapes for shape in row)
    total = (sum(heights) + GAP * (len(rows) - 1), 3 * width + 2 * GAP)
    grey = np.zeros(total, np.uint8)
    edges = np.zeros((2 * total[0], 2 * total[1]), bool)
    lines, letters, y = [], [], 0
    for row, height in zip(rows, heights, strict=True):
        for column, panel in enumerate(row):
            size = panel.grey.shape
            top, left = y + (height - size[0]) // 2, column * (width + GAP) + (width - size[1]) // 2
            grey[top : top + size[0], left : left + size[1]] = panel.grey
            if panel.edges is not None:
                part = panel.edges[: 2 * size[0], : 2 * size[1]]
                edges[2 * top : 2 * top + part.shape[0], 2 * left : 2 * left + part.shape[1]] = part
            scale = f"{1 / (UNIT * panel.plane.step):.6g}"
            lines += [
                f"<path transform='translate({left} {top}) scale({scale})' d='{outline.path}'/>"
                for outline in panel.outlines
                if outline.path
            ]
            letters += _letters(panel, left, top)
        y += height + GAP
    drawn = "".join(lines)
    if edges.any():
        drawn += _image(_webp_overlay(edges), total)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {total[1]} {total[0]}' data-drawn='{int(bool(drawn))}'>"
        f"{_image(_webp(grey, QUALITY[kind]), total)}<g class='lines'>{drawn}</g>"
        f"<g class='letters'>{''.join(letters)}</g></svg>"
    )


def _letters(panel: SlicePicture, left: int, top: int) -> list[str]:
    """What lies at the sides of a panel."""
    rows, columns = panel.grey.shape
    ends = zip((left + 3, left + columns - 3), ("start", "end"), ENDS[panel.plane.name], strict=True)
    return [f"<text x='{x}' y='{top + rows // 2}' text-anchor='{anchor}'>{text}</text>" for x, anchor, text in ends]


def _webp(grey: np.ndarray, quality: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "WEBP", quality=quality, method=4)
    return stream.getvalue()


def _webp_overlay(mask: np.ndarray) -> bytes:
    """The colour of the lines where the mask is True, transparent elsewhere; without loss, smaller than a PNG."""
    from PIL import Image

    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = [*bytes.fromhex(COLOUR[1:]), 255]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", lossless=True, method=4)
    return stream.getvalue()


def _image(content: bytes, size: tuple[int, int]) -> str:
    data = base64.b64encode(content).decode()
    return f"<image width='{size[1]}' height='{size[0]}' href='data:image/webp;base64,{data}'/>"


def page(identifier: str, cards: Sequence[Card]) -> str:
    """The page as HTML: the pictures wait as text until the rater comes to them."""
    about = {
        "page": identifier, "items": [[card.identifier, card.kind] for card in cards], "columns": COLUMNS,
        "questions": QUESTIONS, "reasons": REASONS, "dictionary": DICTIONARY,
    }  # fmt: skip
    # not through the template engine: hundreds of pictures are megabytes of text that it would copy several times
    pictures = "\n".join(
        f'<script type="application/json" id="i{escape(card.identifier)}">{_packed(card.svg)}</script>'
        for card in cards
    )
    html = template("rating.html").render(about=_packed(about), count=len(cards), colour=COLOUR)
    return str(html).replace("<!-- pictures -->", pictures)


def _packed(value: object) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
