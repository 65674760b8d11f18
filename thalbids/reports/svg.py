"""Pictures as SVG, written by hand: a grey image as PNG below, outlines and letters as vectors above.

Small, sharp at any zoom, the same bytes for the same data, and quick: no plotting library is loaded.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape

import numpy as np

from thalbids.reports import palette
from thalbids.reports.planes import ENDS, Plane

UNIT = 10  # SVG units per mm: whole numbers are fine enough
_FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True)
class Outline:
    """One closed line, or several, on a panel.

    Attributes
    ----------
    path : the ``d`` of an SVG path, from :func:`contour`
    style : colour and dashes
    key : CSS class by which the page can hide it
    name : shown by the browser when the pointer rests on it
    distrusted : drawn with a halo
    width : of the line, in pixels of the screen
    """

    path: str
    style: palette.Style
    key: str
    name: str
    distrusted: bool = False
    width: float = 1.4


@dataclass(frozen=True)
class SlicePicture:
    """One picture: a plane, its grey image, what is drawn on it, and the text for those who cannot see it."""

    plane: Plane
    grey: np.ndarray
    alt: str
    outlines: Sequence[Outline] = ()
    edges: np.ndarray | None = None
    edges_key: str = ""
    caption: str = ""
    boxes: Sequence[tuple[float, float, float, float]] = field(default=())  # x, y, width, height in pixels

    @cached_property
    def pixels(self) -> bytes:
        """The grey image as PNG; it stands in the page and in a file."""
        return png(self.grey)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in SVG units."""
        rows, columns = self.plane.shape
        return round(columns * self.plane.step * UNIT), round(rows * self.plane.step * UNIT)


def window(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey values 0-255 (uint8) of an intensity range."""
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.clip(np.rint((values - low) * scale), 0, 255).astype(np.uint8)


def png(grey: np.ndarray) -> bytes:
    """An 8-bit grey PNG (uint8 rows x columns); rows filtered by their upper neighbour, which suits smooth images."""
    rows, columns = grey.shape
    difference = grey.astype(np.int16)
    difference[1:] -= grey[:-1].astype(np.int16)
    lines = np.empty((rows, columns + 1), np.uint8)
    lines[:, 0], lines[:, 1:] = 2, difference.astype(np.uint8)
    return _png(columns, rows, 8, 0, lines.tobytes())


def png_overlay(mask: np.ndarray, colour: str) -> bytes:
    """A 1-bit PNG: ``colour`` where the mask is True, transparent elsewhere."""
    rows, columns = mask.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), np.packbits(mask, axis=1)], axis=1)
    chunks = _chunk(b"PLTE", bytes(3) + bytes.fromhex(colour[1:])) + _chunk(b"tRNS", b"\x00\xff")
    return _png(columns, rows, 1, 3, lines.tobytes(), chunks)


def contour(values: np.ndarray, step: float, level: float = 0.5) -> str:
    """SVG path of the lines where a sampled mask crosses ``level``; "" where there are none."""
    import contourpy

    if not (values > level).any():
        return ""
    padded = np.pad(values, 1)
    parts = []
    for line in contourpy.contour_generator(z=padded).lines(level):
        points = np.rint((np.asarray(line) - 0.5) * step * UNIT).astype(int)
        moves = np.diff(points, axis=0)
        moves = moves[np.any(moves != 0, axis=1)]
        if len(moves) > 2:
            steps = "".join(f"l{x} {y}" for x, y in moves.tolist())
            parts.append(f"M{points[0, 0]} {points[0, 1]}{steps}z")
    return "".join(parts)


def panel(content: SlicePicture) -> str:
    """The SVG element of one picture, to stand in a page."""
    width, height = content.size
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' "
        f"aria-label='{escape(content.alt, quote=True)}'>"
    )
    return head + _inside(content) + "</svg>"


def montage(
    title: str, rows: Sequence[Sequence[SlicePicture]], legend: Iterable[tuple[str, palette.Style]] = (), note: str = ""
) -> str:
    """A file with all pictures of a figure: title, legend, rows of panels, and a note below."""
    gap, line, cell = 6, 22, 380
    total = max(len(row) for row in rows) * (cell + gap) - gap
    y = 2 * line
    parts = [f"<text x='0' y='{line}' class='m t'>{escape(title)}</text>"]
    for text, style in legend:
        parts.append(
            f"<path d='M0 {y - 5}h40' {_stroke(style, 2)}/><text x='50' y='{y}' class='m'>{escape(text)}</text>"
        )
        y += line
    y -= line // 2
    for row in rows:
        heights = [round(cell * content.size[1] / content.size[0]) for content in row]
        for column, (content, height) in enumerate(zip(row, heights, strict=True)):
            width, own_height = content.size
            parts.append(
                f"<svg x='{column * (cell + gap)}' y='{y + (max(heights) - height) // 2}' width='{cell}' "
                f"height='{height}' viewBox='0 0 {width} {own_height}'><title>{escape(content.alt)}</title>"
                f"{_inside(content)}</svg>"
            )
        y += max(heights) + gap
    if note:
        parts.append(f"<text x='0' y='{y + line - gap}' class='m'>{escape(note)}</text>")
        y += line
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-12 0 {total + 24} {y + 12}' width='{total + 24}'>"
        "<style>.m{font:15px system-ui,Segoe UI,Helvetica,Arial,sans-serif;fill:#eee}.t{font-size:19px;font-weight:600}"
        f"</style><rect x='-12' width='{total + 24}' height='{y + 12}'/>{''.join(parts)}</svg>\n"
    )


def strip(panels: Sequence[SlicePicture]) -> str:
    """A small file of panels side by side, without letters."""
    width, height = (sum(sizes) for sizes in zip(*(content.size for content in panels), strict=True))
    height //= len(panels)
    parts, x = [], 0
    for content in panels:
        parts.append(
            f"<svg x='{x}' width='{content.size[0]}' height='{height}'>{_inside(content, letters=False)}</svg>"
        )
        x += content.size[0]
    return f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}'>{''.join(parts)}</svg>\n"


def _inside(content: SlicePicture, letters: bool = True) -> str:
    """Image, edges, boxes, outlines and letters of a panel."""
    width, height = content.size
    parts = [f"<rect width='{width}' height='{height}'/>", _image(content.pixels, width, height)]
    if content.edges is not None:
        attributes = f" class='{content.edges_key}'" if content.edges_key else ""
        parts.append(_image(png_overlay(content.edges, palette.EDGES), width, height, attributes))
    unit = content.plane.step * UNIT
    for x, y, w, h in content.boxes:
        parts.append(
            f"<rect x='{x * unit:.0f}' y='{y * unit:.0f}' width='{w * unit:.0f}' height='{h * unit:.0f}' fill='none' "
            f"stroke='#fff' stroke-opacity='.6' stroke-width='1' vector-effect='non-scaling-stroke'/>"
        )
    rim = 1.8 if letters else 0.9  # of a small picture a wide one would hide what is below
    parts += [_outline(outline, rim) for outline in content.outlines if outline.path]
    return "".join(parts) + (_letters(content, width, height) if letters else "")


def _outline(outline: Outline, rim: float) -> str:
    """A line with its name: on a dark rim, so that it is seen on light and dark; on a red halo when it cannot be
    trusted.
    """
    halo = f"<path d='{outline.path}' {_stroke(palette.Style(palette.RIM), outline.width + rim)} stroke-opacity='.6'/>"
    if outline.distrusted:
        halo = f"<path d='{outline.path}' {_stroke(palette.Style(palette.DISTRUST), 6)} stroke-opacity='.55'/>"
    return (
        f"<g class='{outline.key}'><title>{escape(outline.name)}</title>{halo}"
        f"<path d='{outline.path}' {_stroke(outline.style, outline.width)}/></g>"
    )


def _stroke(style: palette.Style, width: float) -> str:
    dash = f" stroke-dasharray='{style.dash}'" if style.dash else ""
    return (
        f"fill='none' stroke='{style.colour}' stroke-width='{width:g}' stroke-linejoin='round'{dash} "
        "vector-effect='non-scaling-stroke'"
    )


def _letters(content: SlicePicture, width: int, height: int) -> str:
    """L and R (or P and A) at the sides, the position and the caption, on a dark rim that keeps them readable."""
    size = round(0.05 * width)
    left, right = ENDS[content.plane.name]
    axis = {"axial": "z", "coronal": "y", "sagittal": "x"}[content.plane.name]
    where = f"{axis} = {content.plane.position:.1f} mm".replace("-", "\N{MINUS SIGN}")
    texts = [
        (0.35 * size, height / 2, "start", left),
        (width - 0.35 * size, height / 2, "end", right),
        (0.35 * size, height - 0.45 * size, "start", where),
        (0.35 * size, 1.1 * size, "start", content.caption),
    ]
    inside = "".join(
        f"<text x='{x:.0f}' y='{y:.0f}' text-anchor='{anchor}'>{escape(text)}</text>"
        for x, y, anchor, text in texts
        if text
    )
    rim = f"stroke='#000' stroke-width='{size / 5:.0f}' stroke-linejoin='round'"
    return f"<g {_FONT} font-size='{size}' fill='#fff'><g {rim} aria-hidden='true'>{inside}</g>{inside}</g>"


def _image(content: bytes, width: int, height: int, attributes: str = "") -> str:
    data = base64.b64encode(content).decode()
    return (
        f"<image{attributes} width='{width}' height='{height}' preserveAspectRatio='none' "
        f"href='data:image/png;base64,{data}'/>"
    )


def _png(columns: int, rows: int, depth: int, kind: int, lines: bytes, chunks: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, kind, 0, 0, 0))
    body = _chunk(b"IDAT", zlib.compress(lines, 6)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + chunks + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
