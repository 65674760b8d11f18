"""What a reader sees first: a row per session with a small picture, the volumes of one method, and what was flagged;
how that method's volume went, against the smallest change that is more than noise; what is missing everywhere; visits
that may show two people.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from thalbids.qc.visits import OTHER_PERSON
from thalbids.reports.participant import trajectory
from thalbids.reports.text import DASH

MOST_FLAGS = 3  # of a session, in the summary; the session has all
Row = Mapping[str, str | None]
_SAME_PERSON = re.compile(r"its image .*?(?:the same person|exchanged)\?")  # participant/stages/person/alignment.py


def leading(sessions: Sequence[Mapping[str, Any]]) -> str:
    """The label of the method that most sessions have a usable volume of; the first in the order of the tables where
    several do. Where none can be trusted, of any volume; "" where there is none.
    """
    rows = [row for session in sessions for row in session["volumes"]["rows"] if row["volume"] != DASH]
    usable = [row for row in rows if row["status"] == "ok" and not row["distrusted"]]
    counts = Counter(row["label"] for row in usable or rows)
    return max(counts, key=lambda label: counts[label], default="")


def context(sessions: Sequence[Mapping[str, Any]], change: Sequence[Row]) -> dict[str, Any]:
    """What the template shows: ``method``, a row per session, the chart and the sentence of its change, and what is
    missing in every session.

    Parameters
    ----------
    sessions : what the template shows of each session, with ``thumbnail``
    change : rows of the table of change
    """
    method = leading(sessions)
    courses = {(one.method, one.registered): one for one in trajectory.trajectories(change)}
    course, registered = courses.get((method, False)), courses.get((method, True))
    if course is not None and registered is not None and better(registered, course):
        course = registered
    chart, said = "", ""
    if course is not None:
        chart = trajectory.chart(course, change)
        said = trend(course, trajectory.places(change)[0])
    return {
        "method": method, "rows": [_row(session, method) for session in sessions], "chart": chart, "trend": said,
        "registered": course is not None and course is registered,
        "missing": grouped(shared(sessions)), "doubts": other_person(change),
    }  # fmt: skip


def other_person(change: Sequence[Row]) -> list[str]:
    """The pairs of visits whose images may show two people, each with the reason: no quality control of a session alone
    can tell.

    Examples
    --------
    >>> row = {"session_id_baseline": "ses-1", "session_id_followup": "ses-2", "status": "excluded"}
    >>> reason = "torn; ses-2: its image could not be brought to that of ses-1 (a; b): is it the same person?; no rate"
    >>> other_person([row | {"reason": reason}, row | {"reason": "torn"}])
    ['ses-1 to ses-2: its image could not be brought to that of ses-1 (a; b): is it the same person?']
    """
    doubts: dict[tuple[str, str], str] = {}
    people = set()  # pairs that may show two, not one whose left and right were exchanged
    for row in change:
        asked = _SAME_PERSON.search(str(row.get("reason") or ""))
        if row.get("status") == "excluded" and asked is not None:
            pair = str(row["session_id_baseline"]), str(row["session_id_followup"])
            doubts.setdefault(pair, asked[0])
            if OTHER_PERSON in str(row.get("flags") or "").split(", "):
                people.add(pair)
    return [*(f"{one} to {two}: {why}" for (one, two), why in doubts.items()), *_odd_first(change, people)]


def _odd_first(change: Sequence[Row], people: Collection[tuple[str, str]]) -> list[str]:
    """That the first visit may be the odd one, where none of several later ones could be brought to it."""
    visits = list(dict.fromkeys(str(row[f"session_id_{end}"]) for row in change for end in ("baseline", "followup")))
    for first in visits if len(visits) > 2 else ():
        others = [visit for visit in visits if visit != first]
        if all((first, other) in people for other in others):
            text = f"No later visit seems to show the person of {first}: it may be {first} that is of somebody else. "
            text += f"If so, take {first} out of the dataset and run again: the others are then compared."
            return [text]
    return []


def better(registered: trajectory.Trajectory, volumes: trajectory.Trajectory) -> bool:
    """Whether the change by registration, which errs less than the difference of volumes on known change, can stand for
    it: it has the same last visit, which can be compared, and an interval.
    """
    last = registered.points[-1]
    return last.x == volumes.points[-1].x and not last.doubtful and last.half is not None


def trend(course: trajectory.Trajectory, along: Mapping[str, float]) -> str:
    """The last change of a measure in a sentence, beside the smallest that is more than noise.

    ``along``: every visit and its place along the axis.

    Examples
    --------
    >>> from thalbids.reports.participant.trajectory import Point, Trajectory
    >>> change = Trajectory("M", 12.0, [Point(0, 100.0, 0.01, False), Point(1, 97.0, 0.01, False)])
    >>> trend(change, {"ses-1": 0, "ses-2": 1})
    '−3.0 % at the last visit; two scans without any change differ by up to 1.0 % (95 %), so this is more than noise.'
    """
    last = course.points[-1]
    number = f"{round(last.percent - 100, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")
    later = [name for name, place in along.items() if place > last.x]
    visit = next((name for name, place in along.items() if place == last.x), "the last visit with a volume")
    where = f"{visit} (no volume at {', '.join(later)})" if later else "the last visit"
    start = f"{number} % at {where}"
    if last.doubtful:
        why = f" ({last.why})" if last.why else ""
        return f"{start}; these visits cannot be compared{why}, so nothing can be said about it."
    if last.half is None:
        return f"{start}; the smallest change that is more than noise is not known for this method."
    limit = 100 * math.expm1(last.half)
    verdict = "more than noise" if abs(math.log(last.percent / 100)) > last.half else "within noise"
    if course.registered:
        return f"{start} by registration (95 % interval: {limit:.1f} % either way), which is {verdict}."
    return f"{start}; two scans without any change differ by up to {limit:.1f} % (95 %), so this is {verdict}."


def shared(sessions: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """What every one of several sessions lacks for the same reason, to be said once: (what, how, why)."""
    if len(sessions) < 2:
        return []
    both = set.intersection(*(set(session["failures"]) for session in sessions))
    return [failure for failure in sessions[0]["failures"] if failure in both]


def with_a_volume(
    rows: Sequence[Mapping[str, Any]], failures: Sequence[tuple[str, str, str]]
) -> list[Mapping[str, Any]]:
    """The rows of the volume table without those of masks that are missing or failed and are named among the failures:
    what a session lacks is said once, not in rows of dashes.

    Examples
    --------
    >>> rows = [{"label": "A", "status": "ok"}, *({"label": label, "status": "missing"} for label in "BC")]
    >>> with_a_volume(rows, [("B", "missing", "no FLAIR")])
    [{'label': 'A', 'status': 'ok'}, {'label': 'C', 'status': 'missing'}]
    """
    named = {(what, how) for what, how, _ in failures if how in ("missing", "failed")}
    return [row for row in rows if (row["label"], row["status"]) not in named]


def grouped(failures: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Failures (what, how, why) with the same way and reason in one row.

    Examples
    --------
    >>> grouped([("A", "missing", "no R1map"), ("B", "failed", "x"), ("C", "missing", "no R1map")])
    [{'what': 'A, C', 'how': 'missing', 'why': 'no R1map'}, {'what': 'B', 'how': 'failed', 'why': 'x'}]
    """
    by_reason: dict[tuple[str, str], list[str]] = {}
    for what, how, why in failures:
        by_reason.setdefault((how, why), []).append(what)
    return [{"what": ", ".join(names), "how": how, "why": why} for (how, why), names in by_reason.items()]


def _row(session: Mapping[str, Any], method: str) -> dict[str, Any]:
    volume: Mapping[str, Any] = next((row for row in session["volumes"]["rows"] if row["label"] == method), {})
    flags, interval = session["flags"], volume.get("interval", DASH)
    acquired = session["acquisition"]
    return {
        "prefix": session["prefix"], "title": session["title"], "thumbnail": session["thumbnail"],
        "verdict": session["verdict"],
        **{key: volume.get(key, DASH) for key in ("volume", "left", "right", "asymmetry")},
        "interval": "no interval" if interval == DASH else f"90 % interval {interval} mL",
        "measured": volume.get("volume", DASH) != DASH, "norm": volume.get("norm"),
        "distrusted": bool(volume.get("distrusted")),
        "flags": flags[:MOST_FLAGS], "more": max(0, len(flags) - MOST_FLAGS),
        "acquisition": _acquired(acquired, session["reference"]),
    }  # fmt: skip


def _acquired(facts: Mapping[str, Any] | None, reference: str) -> str:
    """How the measured image was acquired, in one line."""
    rows = [row for row in (facts or {}).get("rows", ()) if row["label"].startswith(reference)]
    if not rows or facts is None:
        return ""
    told = zip(facts["headings"], rows[0]["cells"], strict=True)
    return "; ".join(f"{heading} {cell}" for heading, cell in told if cell != DASH)
