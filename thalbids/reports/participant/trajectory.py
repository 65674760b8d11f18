"""Every measure over time at the top of the page: volume relative to the first visit, small charts side by side.

Drawn from the table of change alone (``sub-X_desc-change_morph.tsv``). The band is the smallest change that is more
than noise of two scans, where the method tells one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from thalbids.bids.results import names
from thalbids.reports.participant.histogram import ticks
from thalbids.reports.text import as_float

WIDTH, HEIGHT = 300, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 50, 34
_FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif' font-size='13' fill='#1a1c20'"
_LINE, _BAND, _BAD = "#24558a", "#dfe6ee", "#b3002d"
LEAST_PERCENT = 2.0  # of the axis, to both sides: less would make noise look like change
NOTE = (
    "Percent of the first visit, the same scale in every chart. Registered: what moved between the images at the "
    "border of the mask; else each visit was measured by itself. Grey band: changes that the noise of two scans alone "
    "may make (95 %), where it is known; a true loss may be read smaller than it is. Open, red: the quality control "
    "speaks against comparing that visit with the first. Visits without a point have no usable volume; the table says "
    "why."
)
AGREED = (
    " The changes by registration between visits that can be compared were made to add up; the table also holds that "
    "of each pair alone (delta_percent_alone)."
)
LEFT_OUT = (
    " Changes by registration of pairs that cannot be compared take no part in adding up: they stand as they were "
    "measured, and the way over another visit gives another number."
)
Row = Mapping[str, str | None]


@dataclass(frozen=True)
class Point:
    """A visit: its place along the axis, percent of the first, half of the band there (log scale), whether doubtful and
    why.
    """

    x: float
    percent: float
    half: float | None
    doubtful: bool
    why: str = ""


@dataclass(frozen=True)
class Trajectory:
    """One measure of one method, by registration or not; ``first_ml`` None for change of the whole brain."""

    method: str
    first_ml: float | None
    points: Sequence[Point]
    registered: bool = False

    @property
    def label(self) -> str:
        """What people read."""
        return f"{self.method}, registered" if self.registered else self.method


def places(rows: Sequence[Row]) -> tuple[dict[str, float], bool]:
    """Where the visits stand along the axis: years since the first where all are dated (True), else 0, 1, 2 ...

    The table has the visits in order of time, and every visit with the first one.
    """
    order = list(dict.fromkeys(str(row[f"session_id_{end}"]) for row in rows for end in ("baseline", "followup")))
    years = {order[0]: 0.0}
    for row in rows:
        interval = as_float(row["interval_years"])
        if row["session_id_baseline"] == order[0] and interval is not None:
            years[str(row["session_id_followup"])] = interval
    if len(years) == len(order) and len(set(years.values())) == len(years):
        return {name: years[name] for name in order}, True
    return {name: float(number) for number, name in enumerate(order)}, False


def trajectories(rows: Sequence[Row]) -> list[Trajectory]:
    """One for each method and measure that has a change since its first usable visit."""
    along, _ = places(rows) if rows else ({}, False)
    courses = []
    for method, measure in dict.fromkeys((str(row["method"]), str(row["measure"])) for row in rows):
        changes = [row for row in rows if (row["method"], row["measure"]) == (method, measure)]
        usable = [row for row in changes if row["status"] == "ok" and as_float(row["delta_percent"]) is not None]
        if not usable:
            continue
        first = min((str(row["session_id_baseline"]) for row in usable), key=along.__getitem__)
        later = [_point(row, along) for row in usable if row["session_id_baseline"] == first]
        half = next((point.half for point in later if point.half is not None), None)
        start = Point(along[first], 100.0, half, False)
        volume = as_float(next(row for row in usable if row["session_id_baseline"] == first)["volume_baseline_ml"])
        label = "Whole brain (SIENA)" if measure == "pbvc" else _label(method)
        points = sorted([start, *later], key=lambda point: point.x)
        courses.append(Trajectory(label, volume, points, measure == "registration"))
    return courses


def _label(method: str) -> str:
    try:
        return names.by_desc(method).label
    except KeyError:
        return method


def _point(row: Row, along: Mapping[str, float]) -> Point:
    change, low, high = (as_float(row[f"delta_percent{end}"]) for end in ("", "_low", "_high"))
    assert change is not None
    half = None if low is None or high is None else math.log((100 + high) / (100 + low)) / 2
    why = str(row.get("remark") or "").removeprefix("n/a")
    return Point(along[str(row["session_id_followup"])], 100 + change, half, row["comparable"] == "no", why)


def context(rows: Sequence[Row], link: str) -> dict[str, Any] | None:
    """What the template shows; None where no measure has a change."""
    courses = trajectories(rows)
    if not courses:
        return None
    along, dated = places(rows)
    charts = [svg(one, along, dated, _reach(courses)) for one in courses]
    adjusted = any(as_float(row.get("delta_percent_alone")) is not None for row in rows)
    note = NOTE + (AGREED if adjusted else "") + (LEFT_OUT if _left_out(rows) else "")
    return {"charts": charts, "note": note, "link": link}


def _left_out(rows: Sequence[Row]) -> bool:
    """Whether, of three and more visits, a pair was registered but not made to agree with the others."""
    registered = [
        row for row in rows if row["measure"] == "registration" and as_float(row["delta_percent"]) is not None
    ]
    several = len({row[f"session_id_{end}"] for row in registered for end in ("baseline", "followup")}) > 2
    return several and any(row["comparable"] != "yes" or row["status"] != "ok" for row in registered)


def chart(one: Trajectory, rows: Sequence[Row]) -> str:
    """The chart of one measure alone, on a scale of its own."""
    return svg(one, *places(rows), _reach([one]))


def _reach(courses: Sequence[Trajectory]) -> float:
    """How far the axis goes from 100 % to both sides, for all of these."""
    ends = [abs(point.percent - 100) for one in courses for point in one.points]
    ends += [100 * math.expm1(point.half) for one in courses for point in one.points if point.half is not None]
    return max(LEAST_PERCENT, 1.08 * max(ends))


def svg(content: Trajectory, along: Mapping[str, float], dated: bool, reach: float) -> str:
    """One small chart; ``reach``: how far the axis goes from 100 % to both sides."""
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    last = max(along.values()) or 1.0

    def x(place: float) -> str:
        return f"{_LEFT + 8 + place / last * (width - 16):.1f}"

    def y(percent: float) -> str:
        return f"{_TOP + height / 2 * (1 - (percent - 100) / reach):.1f}"

    parts = [f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>", _band(content, x, y)]
    for value in ticks(100 - reach, 100 + reach, 6):
        parts.append(f"<path d='M{_LEFT} {y(value)}h{width}' stroke='#d5d9e0'/>")
        parts.append(f"<text x='{_LEFT - 6}' y='{float(y(value)) + 4:.1f}' text-anchor='end'>{value:g}</text>")
    parts += _axis(along, dated, x)
    line = "L".join(f"{x(point.x)} {y(point.percent)}" for point in content.points)
    parts.append(f"<path d='M{line}' fill='none' stroke='{_LINE}' stroke-width='2'/>")
    for point in content.points:
        look = f"fill='#fff' stroke='{_BAD}'" if point.doubtful else f"fill='{_LINE}' stroke='{_LINE}'"
        parts.append(f"<circle cx='{x(point.x)}' cy='{y(point.percent)}' r='4' stroke-width='2' {look}/>")
    words = _words(content)
    alt = f"{content.label}: {words}. Percent of the first visit: "
    alt += ", ".join(f"{point.percent:.1f}{' (doubtful)' if point.doubtful else ''}" for point in content.points) + "."
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' "
        f"aria-label='{escape(alt, quote=True)}'><g {_FONT}>{''.join(parts)}"
        f"<text x='8' y='18' font-weight='600'>{escape(content.label)}</text>"
        f"<text x='8' y='36' fill='#545b66'>{escape(words)}</text></g></svg>"
    )


def _band(content: Trajectory, x: Any, y: Any) -> str:
    known = [point for point in content.points if point.half is not None]
    if len(known) < 2:
        return ""
    upper = [f"{x(p.x)} {y(100 * math.exp(p.half or 0.0))}" for p in known]
    lower = [f"{x(p.x)} {y(100 * math.exp(-(p.half or 0.0)))}" for p in reversed(known)]
    return f"<path d='M{'L'.join([*upper, *lower])}z' fill='{_BAND}'/>"


def _axis(along: Mapping[str, float], dated: bool, x: Any) -> list[str]:
    """Years, or the labels of the visits."""
    bottom = HEIGHT - _BOTTOM
    if dated:
        marks = [(value, f"{value:g}") for value in ticks(0.0, max(along.values()), 4)]
        named = f"<text x='{WIDTH - _RIGHT}' y='{HEIGHT - 3}' text-anchor='end' fill='#545b66'>years</text>"
    else:
        each = max(1, math.ceil(len(along) / 5))
        marks = [(value, name.removeprefix("ses-")[:8]) for name, value in along.items()][::each]
        named = f"<text x='{WIDTH - _RIGHT}' y='{HEIGHT - 3}' text-anchor='end' fill='#545b66'>visits</text>"
    drawn = [
        f"<path d='M{x(place)} {bottom}v4' stroke='#1a1c20'/>"
        f"<text x='{x(place)}' y='{bottom + 17}' text-anchor='middle'>{escape(name)}</text>"
        for place, name in marks
    ]
    return [f"<path d='M{_LEFT} {bottom}h{WIDTH - _LEFT - _RIGHT}' stroke='#1a1c20'/>", *drawn, named]


def _words(content: Trajectory) -> str:
    change = round(content.points[-1].percent - 100, 1)
    sign = "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else ""
    told = f"{sign}{abs(change):.1f} % at the last"
    volume = "" if content.first_ml is None else f"{content.first_ml:.2f} mL, "
    return volume + told + ("" if content.points[0].half is not None else "; no band")
