"""Panels and figures: drawn with matplotlib's Agg, without its global state, and the same bytes for the same data.

A panel is one picture with its own words for those who cannot see it. The page shows panels side by side, as many as
fit; the file of a figure holds all of them.
"""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from html import escape
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.errors import OutputError, ThalbidsError
from thalbids.files import write_text
from thalbids.reports.group.figures.look import RC

WIDTH = 3.9  # inches: 374 pixels of a screen; three fit beside each other, and one on a telephone
SMALL = 2.85  # inches: four beside each other
DPI = 150
POINTS = 72
FEW = 4  # figures that are drawn sooner than processes start
_GAP = 0.15  # inches between panels
_PAD = 0.4  # around the axes with their labels, in sizes of the font
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes
    ----------
    title : above the picture
    alt : what it shows, with the main numbers, for those who cannot see it
    draw : puts the data on a pair of axes; can be sent to another process (a function of a module, or `partial` of one)
    width, height : inches
    """

    title: str
    alt: str
    draw: Callable[[Any], None]
    width: float = WIDTH
    height: float = 3.2


@dataclass(frozen=True)
class Figure:
    """A titled set of panels from one table.

    Attributes
    ----------
    name : letters, digits and underscores; of the files
    title, intro : for the page
    panels : at least one
    table : file name of the table that it was drawn from
    columns : panels side by side in the files
    """

    name: str
    title: str
    intro: str
    panels: Sequence[Panel]
    table: str
    columns: int = 2


@dataclass(frozen=True)
class Drawn:
    """A figure as pictures: the panels' SVG texts, and the files."""

    figure: Figure
    svgs: Sequence[str]
    files: Sequence[Path]


def draw(figure: Figure, folder: Path) -> Drawn:
    """Draw a figure; write ``NAME.svg`` and ``NAME.png`` into the folder.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    panels = [_panel(panel, f"{figure.name}-{number}") for number, panel in enumerate(figure.panels)]
    svgs = [svg for svg, _ in panels]
    places, width, height = _places(figure)
    svg_path, png_path = folder / f"{figure.name}.svg", folder / f"{figure.name}.png"
    write_text(svg_path, _montage(figure, svgs, places, width, height))
    _write_png(png_path, _paste([pixels for _, pixels in panels], places, width, height))
    return Drawn(figure, svgs, [svg_path, png_path])


def draw_all(figures: Sequence[Figure], folder: Path, nprocs: int = 1) -> list[Drawn]:
    """Draw figures, in as many processes; the files do not depend on their number.

    Raises
    ------
    OutputError
        A file cannot be written.
    ThalbidsError
        A process was killed.
    """
    if nprocs == 1 or len(figures) < FEW:
        return [draw(figure, folder) for figure in figures]
    largest = sorted(figures, key=lambda figure: -len(figure.panels))  # first, so that nobody waits for it at the end
    try:
        with ProcessPoolExecutor(nprocs, mp_context=get_context("spawn")) as pool:
            waiting = {figure.name: pool.submit(_pictures, figure, folder) for figure in largest}
            return [Drawn(figure, *waiting[figure.name].result()) for figure in figures]
    except BrokenProcessPool:
        problem = "a process that drew figures was killed."
        raise ThalbidsError(problem, "Memory may be short: run again with fewer --nprocs.") from None


def _pictures(figure: Figure, folder: Path) -> tuple[Sequence[str], Sequence[Path]]:
    drawn = draw(figure, folder)
    return drawn.svgs, drawn.files


def _panel(panel: Panel, salt: str) -> tuple[str, np.ndarray]:
    """The SVG text and the pixels (rows, columns, 3) of one panel."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Sheet
    from matplotlib.layout_engine import TightLayoutEngine

    with mpl.rc_context({**RC, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a label in a script that the font lacks
        layout = TightLayoutEngine(pad=_PAD)  # "constrained" measures every label twice
        sheet = Sheet(figsize=(panel.width, panel.height), dpi=DPI, layout=layout)
        canvas = FigureCanvasAgg(sheet)
        axes = sheet.add_subplot()
        panel.draw(axes)
        sheet.suptitle(panel.title, x=0.01, ha="left", fontsize=_title_size(panel), fontweight="bold")
        canvas.draw()
        sheet.set_layout_engine("none")  # what Agg measured holds for the SVG too
        _keep_labels(axes)
        pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        out = io.StringIO()
        sheet.set_dpi(POINTS)
        FigureCanvasSVG(sheet).print_svg(out, metadata=_NO_METADATA)  # savefig would draw once more
    return _clean(out.getvalue()), pixels


def _keep_labels(axes: Any) -> None:
    """Labels of the axes stay where they were drawn: to find their place again takes as long as all ticks together."""
    frame = axes.bbox
    x, y = axes.xaxis.label.get_position(), axes.yaxis.label.get_position()
    axes.xaxis.set_label_coords(x[0], (x[1] - frame.y0) / frame.height)
    axes.yaxis.set_label_coords((y[0] - frame.x0) / frame.width, y[1])


def _title_size(panel: Panel) -> float:
    """Points in which the title fits above the panel: 10, or fewer for a long one."""
    return float(np.clip(panel.width * POINTS / (_ADVANCE * max(len(panel.title), 1)), 6.5, 10))


_ADVANCE = 0.67  # width of a bold letter in sizes of the font, on average
_FONT = "font-family: 'DejaVu Sans'"
_FONTS = "font-family: DejaVu Sans, Verdana, Arial, sans-serif"
_POINTS = re.compile(r"<g((?: clip-path=\"[^\"]*\")?)>((?:<use [^>]*style=\"[^\"]*\"/>)+)</g>")
_STYLE = re.compile(r" style=\"([^\"]*)\"")


def _clean(svg: str) -> str:
    """The svg element alone and small: numbers to a hundredth of a point, a look that all points share said once."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*\n\s*", " ", re.sub(r">\s*\n\s*<", "><", svg))
    svg = re.sub(
        r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d{2})\d+", r"\1", tag[0]), svg
    )  # not the numbers that people read
    svg = svg.replace(_FONT, _FONTS)
    return _POINTS.sub(_shared, svg).strip()


def _shared(group: re.Match[str]) -> str:
    """A group of points with one style as an attribute of the group, from which they inherit it."""
    styles = set(_STYLE.findall(group[2]))
    if len(styles) != 1:
        return group[0]
    return f'<g{group[1]} style="{styles.pop()}">{_STYLE.sub("", group[2])}</g>'


def _places(figure: Figure) -> tuple[list[tuple[float, float]], float, float]:
    """Upper left corner of every panel, width and height of the sheet, in inches."""
    places: list[tuple[float, float]] = []
    top, widest = 0.0, 0.0
    step = max(1, figure.columns)
    for start in range(0, len(figure.panels), step):
        row = figure.panels[start : start + step]
        left = 0.0
        for panel in row:
            places.append((left, top))
            left += panel.width + _GAP
        widest = max(widest, left - _GAP)
        top += max(panel.height for panel in row) + _GAP
    return places, widest, max(top - _GAP, 0.1)


def _montage(
    figure: Figure, svgs: Sequence[str], places: Sequence[tuple[float, float]], width: float, height: float
) -> str:
    """All panels in one SVG text."""
    size = f"{width * POINTS:.1f}", f"{height * POINTS:.1f}"
    parts = [
        "<?xml version='1.0' encoding='utf-8'?>",
        (
            f"<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='{size[0]}pt' "
            f"height='{size[1]}pt' viewBox='0 0 {size[0]} {size[1]}' role='img'>"
        ),
        f"<title>{escape(figure.title)}</title>",
        f"<desc>{escape(' '.join(panel.alt for panel in figure.panels))}</desc>",
        "<rect width='100%' height='100%' fill='#fff'/>",
    ]
    for svg, (left, top) in zip(svgs, places, strict=True):
        head, rest = svg.split(">", 1)
        head = head.replace('pt"', '"')  # a unit of the sheet is a point already: "280pt" would be 374 of them
        place = f"<svg x='{left * POINTS:.1f}' y='{top * POINTS:.1f}' "
        parts.append(f"{head.replace('<svg ', place, 1)}>{rest}")
    return "\n".join([*parts, "</svg>", ""])


def _paste(
    panels: Sequence[np.ndarray], places: Sequence[tuple[float, float]], width: float, height: float
) -> np.ndarray:
    """All panels as pixels on white."""
    sheet = np.full((math.ceil(height * DPI), math.ceil(width * DPI), 3), 255, dtype=np.uint8)
    for pixels, (left, top) in zip(panels, places, strict=True):
        row, column = round(top * DPI), round(left * DPI)
        part = sheet[row : row + pixels.shape[0], column : column + pixels.shape[1]]
        part[...] = pixels[: part.shape[0], : part.shape[1]]
    return sheet


def _write_png(path: Path, pixels: np.ndarray) -> None:
    """Written under a temporary name and renamed."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("Software", "thalbids")
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(temporary, format="png", dpi=(DPI, DPI), pnginfo=about)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot be written ({error.strerror or error}).", "Check the output folder.", path) from None
