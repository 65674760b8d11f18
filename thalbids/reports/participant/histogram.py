"""Histograms of an image inside the brain mask, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

BINS = 100
WIDTH, HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 24, 24, 34, 46
_FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif' font-size='14' fill='#1a1c20'"


@dataclass(frozen=True)
class Histogram:
    """Counts of values inside a mask.

    Attributes
    ----------
    title, unit : words for the axis
    counts, edges : of :func:`numpy.histogram`
    median : of all values
    mark, mark_label : a value to draw a line at, and its name
    expected : values where a peak is expected, and of what
    """

    title: str
    unit: str
    counts: np.ndarray
    edges: np.ndarray
    median: float
    mark: float | None = None
    mark_label: str = ""
    expected: Sequence[tuple[float, str]] = ()


def histogram(
    values: np.ndarray, title: str, unit: str, mark: float | None = None, mark_label: str = ""
) -> Histogram | None:
    """The histogram of values, from the smaller of 0 and the 0.1st percentile to the 99.9th; None without values.

    What lies beyond is counted in the outermost bins, so that no voxel is lost from the picture.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = min(0.0, float(np.quantile(values, 0.001))), float(np.quantile(values, 0.999))
    high = max(high, mark or high)
    if not high > low:
        high = low + 1.0
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    return Histogram(title, unit, counts, edges, float(np.median(values)), mark, mark_label)


def svg(content: Histogram) -> str:
    """The picture, with what it shows in words for those who cannot see it."""
    low, high = float(content.edges[0]), float(content.edges[-1])
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * width

    top = max(1, int(content.counts.max()))
    points = [f"M{x(low):.1f} {_TOP + height}"]
    for count, start, end in zip(content.counts, content.edges[:-1], content.edges[1:], strict=True):
        y = _TOP + height * (1 - count / top)
        points.append(f"L{x(start):.1f} {y:.1f}L{x(end):.1f} {y:.1f}")
    points.append(f"L{x(high):.1f} {_TOP + height}z")
    parts = [f"<path d='{''.join(points)}' fill='#7fa8d1' stroke='#24558a' stroke-width='.8'/>"]
    for value, label, anchor in _lines(content):
        place = {"start": x(value) + 4, "end": x(value) - 4}[anchor]
        parts.append(
            f"<path d='M{x(value):.1f} 6V{_TOP + height}' stroke='#b3002d' stroke-dasharray='4 3'/>"
            f"<text x='{place:.1f}' y='18' text-anchor='{anchor}' fill='#b3002d'>{escape(label)}</text>"
        )
    for value, label in content.expected:
        if low <= value <= high:
            parts.append(
                f"<path d='M{x(value):.1f} {_TOP}V{_TOP + height}' stroke='#006b54' stroke-dasharray='2 3'/>"
                f"<text x='{x(value):.1f}' y='{_TOP - 3}' text-anchor='middle' font-size='12' fill='#006b54'>"
                f"{escape(label)}</text>"
            )
    for value in ticks(low, high):
        parts.append(
            f"<path d='M{x(value):.1f} {_TOP + height}v5' stroke='#1a1c20'/>"
            f"<text x='{x(value):.1f}' y='{_TOP + height + 19}' text-anchor='middle'>{value:g}</text>"
        )
    alt = f"Histogram of {content.title} inside the brain mask; median {content.median:.4g} {content.unit}"
    alt += f"; {content.mark_label} {content.mark:.4g}" if content.mark is not None else ""
    alt += "".join(f"; {label} expected at {value:g}" for value, label in content.expected) + "."
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' "
        f"aria-label='{escape(alt, quote=True)}'><g {_FONT}>"
        f"<text x='{_LEFT}' y='16' font-weight='600'>{escape(content.title)}</text>{''.join(parts)}"
        f"<path d='M{_LEFT} {_TOP + height}h{width}' stroke='#1a1c20'/>"
        f"<text x='{WIDTH / 2:.0f}' y='{HEIGHT - 8}' text-anchor='middle'>{escape(content.unit)}</text></g></svg>"
    )


def _lines(content: Histogram) -> list[tuple[float, str, str]]:
    """Vertical lines: value, label, on which side of it the label stands."""
    middle = (content.edges[0] + content.edges[-1]) / 2
    lines = [] if content.mark is None else [(content.mark, f"{content.mark_label} {content.mark:.4g}")]
    return [(value, label, "end" if value > middle else "start") for value, label in lines]


def ticks(low: float, high: float, wanted: int = 6) -> Sequence[float]:
    """Round numbers in a range, about as many as wanted.

    Examples
    --------
    >>> ticks(0.0, 1.18)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / wanted
    size = 10.0 ** np.floor(np.log10(raw))
    step = float(next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [round(number * step, 10) for number in range(first, last + 1)]
