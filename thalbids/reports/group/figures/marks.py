"""The kinds of drawing that several figures share: box plots, points with intervals, heat map, scatter with lines.

All take matplotlib axes and draw rows from top to bottom in the order given.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalbids.reports.group.figures import look

FEW = 400  # values up to which a box plot shows each of them
GOLDEN = 0.6180339887498949  # multiples of it fall evenly between 0 and 1
MANY = 1500  # points beyond which a cloud is drawn as pixels
BOX = 0.62  # height of a box, of the 1 between rows
ROW = 0.24  # inches per row of a panel
REASON = 46  # characters of a line that says why there is no estimate


@dataclass(frozen=True)
class BoxPlotRow:
    """A row of a box plot: its values, and the look of its method."""

    name: str
    values: np.ndarray
    colour: str


@dataclass(frozen=True)
class Dot:
    """A row of a forest plot; ``low`` and ``high`` may be NaN, ``filled`` says that it stands out, ``note`` is text."""

    name: str
    value: float
    low: float
    high: float
    colour: str
    marker: str = "o"
    filled: bool = True
    note: str = ""


def height(rows: int) -> float:
    """Height in inches of a panel with so many rows."""
    return 1.05 + ROW * max(rows, 1)


def tukey(values: np.ndarray) -> dict[str, Any]:
    """Median, quartiles (numpy's linear quantiles), and whiskers at the last values within 1.5 IQR of the quartiles."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return {"med": np.nan, "q1": np.nan, "q3": np.nan, "whislo": np.nan, "whishi": np.nan, "fliers": values}
    q1, median, q3 = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    return {
        "med": median,
        "q1": q1,
        "q3": q3,
        "whislo": inside.min(),
        "whishi": inside.max(),
        "fliers": values[(values < inside.min()) | (values > inside.max())],
    }


def boxes(
    axes: Any,
    rows: Sequence[BoxPlotRow],
    xlabel: str,
    reference: float | None = None,
    ends: tuple[float, float] | None = None,
) -> None:
    """Tukey's box plots, one row each; a thin line at ``reference``; ``ends`` are those of the axis.

    Boxes, lines and outliers of all rows are one artist each: a figure of many methods draws in half of the time.
    """
    if reference is not None:
        axes.axvline(reference, color=look.QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    drawn = [(place, row, tukey(row.values)) for place, row in enumerate(rows) if np.isfinite(row.values).any()]
    if drawn:
        _tukeys(axes, [(place, box) for place, _, box in drawn], [row.colour for _, row, _ in drawn])
        beyond = [np.column_stack([box["fliers"], np.full(box["fliers"].size, place)]) for place, _, box in drawn]
        x, y = np.concatenate(beyond).T
        line = axes.plot(x, y, linestyle="none", marker="o", markersize=2.6, markerfacecolor="none", zorder=2.1)[0]
        line.set_markeredgecolor(look.QUIET)
        line.set_rasterized(any(len(row.values) > MANY for row in rows))
    _points(axes, [(place, row.values) for place, row, _ in drawn])
    if ends is not None:
        axes.set_xlim(ends)
    _rows(axes, [row.name for row in rows], xlabel)


def _tukeys(axes: Any, boxes: Sequence[tuple[int, dict[str, Any]]], colours: Sequence[str]) -> None:
    """The boxes at their places: quartiles filled, whiskers with ends half as high, a thick median."""
    from matplotlib.collections import LineCollection, PolyCollection

    half = BOX / 2
    corners: list[list[tuple[float, float]]] = []
    thin: list[list[tuple[float, float]]] = []
    medians: list[list[tuple[float, float]]] = []
    for place, box in boxes:
        low, high = place - half, place + half
        corners.append([(box["q1"], low), (box["q3"], low), (box["q3"], high), (box["q1"], high)])
        for end, start in (("whislo", "q1"), ("whishi", "q3")):
            thin.append([(box[start], place), (box[end], place)])
            thin.append([(box[end], place - half / 2), (box[end], place + half / 2)])
        medians.append([(box["med"], low), (box["med"], high)])
    axes.add_collection(PolyCollection(corners, facecolors=colours, edgecolors=look.INK, linewidths=1, zorder=2))
    axes.add_collection(LineCollection(thin, colors=look.INK, linewidths=1, zorder=2))
    axes.add_collection(LineCollection(medians, colors=look.INK, linewidths=2.2, zorder=2.1))


def _points(axes: Any, rows: Sequence[tuple[int, np.ndarray]]) -> None:
    """Every value over its box, spread over the height of the row by its number; none where there are too many."""
    shown = []
    for place, values in rows:
        there = values[np.isfinite(values)]
        if there.size <= FEW:
            shown.append(np.column_stack([there, place + (np.arange(there.size) * GOLDEN % 1 - 0.5) * 0.4]))
    if shown:
        x, y = np.concatenate(shown).T
        axes.plot(x, y, linestyle="none", marker="o", markersize=2, color=look.INK, alpha=0.45, zorder=3)


def dots(
    axes: Any,
    rows: Sequence[Dot],
    xlabel: str,
    reference: float | None = 0.0,
    log: bool = False,
    ends: tuple[float, float] | None = None,
) -> None:
    """Estimates with intervals, one row each; those that stand out are filled, dotted and thick, the others open.

    A note stands at the right; where there is no estimate, in place of it, in lines of `REASON` characters.
    """
    if log:
        _logarithmic(axes)
    else:
        axes.locator_params(axis="x", nbins=5)  # so that long numbers do not run into each other
    if reference is not None:
        axes.axvline(reference, color=look.QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for place, row in enumerate(rows):
        if not np.isfinite(row.value):
            lines = textwrap.wrap(row.note, REASON) or ["no estimate"]
            axes.text(
                0.5,
                place,
                "\n".join(lines),
                transform=axes.get_yaxis_transform(),
                fontsize=min(7.5, 15 / len(lines)),  # as many as there are fit into the row
                linespacing=1.05,
                color=look.QUIET,
                ha="center",
                va="center",
            )
            continue
        if np.isfinite(row.low) and not np.isfinite(row.high):  # an upper bound that is not known
            axes.annotate(
                "",
                (0.99, place),
                (row.low, place),
                xycoords=axes.get_yaxis_transform(),
                textcoords="data",
                arrowprops={"arrowstyle": "->", "color": look.INK, "linewidth": 1},
            )
        axes.plot(
            [row.value],
            [place],
            marker=row.marker,
            markersize=8 if row.filled else 6.5,
            markeredgecolor=look.INK,
            markerfacecolor=row.colour if row.filled else "white",
            markeredgewidth=1.2,
            zorder=3,
        )
        if row.note:
            axes.text(1.01, place, row.note, transform=axes.get_yaxis_transform(), fontsize=7.5, va="center")
    _intervals(axes, rows)
    filled = [(row.value, place) for place, row in enumerate(rows) if row.filled and np.isfinite(row.value)]
    if filled:  # some methods are white, some dark: a dark dot on a white one says it without colour
        x, y = zip(*filled, strict=True)
        axes.plot(x, y, linestyle="none", marker="o", markersize=4.6, color="white", markeredgewidth=0, zorder=4)
        axes.plot(x, y, linestyle="none", marker="o", markersize=2.2, color=look.INK, zorder=5)
    if ends is not None:
        axes.set_xlim(ends)
    _rows(axes, [row.name for row in rows], xlabel)


def _intervals(axes: Any, rows: Sequence[Dot]) -> None:
    """A line from end to end of each estimate that has both; thick where it stands out."""
    from matplotlib.collections import LineCollection

    known = [(place, row) for place, row in enumerate(rows) if np.isfinite([row.value, row.low, row.high]).all()]
    if known:
        lines = [[(row.low, place), (row.high, place)] for place, row in known]
        widths = [2 if row.filled else 1 for _, row in known]
        axes.add_collection(LineCollection(lines, colors=look.INK, linewidths=widths, capstyle="projecting", zorder=2))


def _logarithmic(axes: Any) -> None:
    """A logarithmic axis with plain numbers at its ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def heat(axes: Any, values: np.ndarray, names: Sequence[str], marks: np.ndarray, xlabel: str, ylabel: str) -> None:
    """A matrix of numbers from 0 to 1, printed in their cells; ``marks`` (bool) are hatched and starred."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    finite = values[np.isfinite(values)]
    least = min(float(np.floor(finite.min() * 10) / 10), 0.9) if finite.size else 0.0
    axes.imshow(values, vmin=least, vmax=1, cmap=colormaps["cividis"].with_extremes(bad="#eceef1"), aspect="equal")
    size = 8 if len(names) <= 8 else 6.5 if len(names) <= 14 else 5
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{value:.2f}" + ("*" if marks[row, column] else "")
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=size,
                color="white" if value < least + 0.5 * (1 - least) else look.INK,
            )
        if marks[row, column]:
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="//", alpha=0.2, linewidth=0))
    ticks = [look.short(name) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), ticks, fontsize=8)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    for spine in axes.spines.values():
        spine.set_visible(False)


def cloud(axes: Any, x: np.ndarray, y: np.ndarray, method: str) -> None:
    """Points of a method."""
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=look.marker(method),
        markersize=4.5 if len(x) <= 300 else 3,
        markerfacecolor=look.colour(method),
        markeredgecolor=look.INK,
        markeredgewidth=0.6,
        alpha=0.9 if len(x) <= 300 else 0.6,
        rasterized=len(x) > MANY,
        zorder=2,
    )


def fitted(axes: Any, x: np.ndarray, y: np.ndarray, **line: Any) -> None:
    """The least-squares line of y on x over the range of x; nothing where there is none."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    spread = float(np.sum((x - x.mean()) ** 2)) if x.size > 1 else 0.0
    if spread <= 0:
        return
    slope = float(np.sum((x - x.mean()) * (y - y.mean()))) / spread
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, y.mean() + slope * (ends - x.mean()), **{"color": look.INK, "linewidth": 1.8, "zorder": 3, **line})


def note(axes: Any, text: str, low: bool = False) -> None:
    """Numbers on white, in the upper left corner or the lower right one."""
    axes.text(
        0.98 if low else 0.02,
        0.02 if low else 0.98,
        text,
        transform=axes.transAxes,
        fontsize=7.5,
        va="bottom" if low else "top",
        ha="right" if low else "left",
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": look.GRID, "boxstyle": "round,pad=0.3", "alpha": 0.9},
    )


def _rows(axes: Any, names: Sequence[str], xlabel: str) -> None:
    axes.set_yticks(range(len(names)), [look.short(name) for name in names], fontsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(xlabel)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, left=False)  # lines that nobody sees take time too
