"""What changed since the first session, in numbers: by the volumes and by registration, and where the two disagree.

Volumes are those of the sessions' own tables, so that a distrusted mask is shown too; intervals, registration and why a
pair cannot be used come from the table of change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalbids.qc.visits import BORDER
from thalbids.reports.participant.since_first import ComparedSession
from thalbids.reports.text import DASH, as_float, number

VOLUMES, REGISTRATION = "volume_difference", "registration"  # measures of the table of change
NOTE = (
    "Volumes: each session was measured by itself. Registration: what moved between both images at the border of the "
    "mask; its mL are those of the first session times that. Interval: 95 %, of the noise of two scans, where the "
    "method knows it and the visits can be compared. A true loss may be read smaller or "
    "larger than it is. A change of few percent in one person is not proof of atrophy."
)
ALONE = (
    "Each session was measured by itself: a change holds the error of both measurements, and the noise of two scans of "
    "one day is not known here. A change of few percent in one person is not proof of atrophy."
)
Row = Mapping[str, Any]
Pair = Mapping[tuple[str, str], Row]


@dataclass(frozen=True)
class Disagreement:
    """Volumes and registration of one method say different things; ``beyond``: by more than the noise of both."""

    words: str
    beyond: bool


def context(first: ComparedSession, later: ComparedSession, pair: Pair) -> dict[str, Any]:
    """What the template shows of the numbers: rows, a note, remarks that ask for a look, and what is left open."""
    apart = disagreements(pair, later.words.label)
    contrasts = f"{first.title} was measured on its {first.reference}, {later.title} on its {later.reference}."
    return {
        "first": first.title, "rows": rows(first, later, pair), "note": NOTE if pair else ALONE,
        "contrasts": "" if first.reference == later.reference else contrasts,
        "remarks": [one.words for one in apart if one.beyond],
        "open": [one.words for one in apart if not one.beyond],
    }  # fmt: skip


def pair_of(changes: Sequence[Row], first: str | None, later: str | None) -> Pair:
    """The rows of the table of change from one session to another, by method and measure."""
    ends = f"ses-{first}", f"ses-{later}"
    rows = [row for row in changes if (row["session_id_baseline"], row["session_id_followup"]) == ends]
    return {(str(row["method"]), str(row["measure"])): row for row in rows}


def turned(changes: Sequence[Row], first: ComparedSession, later: ComparedSession, ends: tuple[str, str]) -> list[str]:
    """What is said where the dates contradict the order of the labels (``ends``), in which the page shows visits."""
    if pair_of(changes, *ends) or not pair_of(changes, *reversed(ends)):
        return []
    text = (
        f"By their dates {later.title} is the earlier visit: this part shows the change the other way round. The "
        f"course over time and the table of change go from {later.title} to {first.title}, with intervals."
    )
    return [text]


def rows(first: ComparedSession, later: ComparedSession, pair: Pair) -> list[dict[str, Any]]:
    """Two rows of each method that gave a volume in both sessions: by the volumes, and by registration where that was
    tried.
    """
    before = {str(row["method"]): row for row in first.volumes}
    out = []
    for row in later.volumes:
        method = str(row["method"])
        old, new = as_float(before.get(method, {}).get("volume_mm3")), as_float(row.get("volume_mm3"))
        if old is None or new is None:
            continue
        label = later.words.label(method)
        doubtful = [v.title for v in (first, later) if not v.words.trusted(method)]
        distrust = f"do not trust: {' and '.join(doubtful)}" if doubtful else ""
        volumes = pair.get((method, VOLUMES), {})
        percent = 100 * (new - old) / old if old else None
        said = distrust or "; ".join(filter(None, [_status(volumes), _border(volumes)]))
        out.append(_row(label, "volumes", (old / 1000, new / 1000, percent), volumes, said))
        registered = pair.get((method, REGISTRATION))
        if registered is not None:
            before_ml, after_ml = (as_float(registered.get(f"volume_{when}_ml")) for when in ("baseline", "followup"))
            numbers = before_ml, after_ml, as_float(registered.get("delta_percent"))
            remark = "; ".join(filter(None, [_status(registered), _alone(registered, volumes)]))
            out.append(_row(label, "registration", numbers, registered, remark))
    return out


def _row(
    label: str, measure: str, numbers: tuple[float | None, float | None, float | None], told: Row, remark: str
) -> dict[str, Any]:
    first, later, percent = numbers
    bounds = [number(told.get(f"delta_percent_{end}"), 1, sign=True) for end in ("low", "high")]
    return {
        "label": label, "measure": measure, "first": number(first), "later": number(later),
        "difference": number(None if first is None or later is None else later - first, sign=True),
        "percent": number(percent, 1, sign=True),
        "interval": DASH if DASH in bounds else f"{bounds[0]} to {bounds[1]}",
        "remark": remark,
        "doubtful": told.get("status") == "excluded" or remark.startswith("do not trust"),
    }  # fmt: skip


def _status(row: Row) -> str:
    """Why a row of the table of change is not to be used. Rates are not on the page; of intervals its note tells."""
    quiet = ("no rate", "no interval")
    parts = [part for part in str(row.get("reason") or "").split("; ") if part and not part.startswith(quiet)]
    status = row.get("status", "ok")
    return ": ".join(filter(None, ["" if status == "ok" else str(status), "; ".join(parts)]))


def _border(volumes: Row) -> str:
    """What registration saw at the border (the last remark); what else is against the pair stands above the table."""
    flagged = str(volumes.get("flags") or "").split(", ")[-1] == BORDER
    return str(volumes.get("remark") or "").split("; ")[-1] if flagged else ""


def _alone(registered: Row, volumes: Row) -> str:
    """What speaks against the registration and not against the volumes."""
    return str(registered.get("remark") or "").removeprefix(str(volumes.get("remark") or "")).removeprefix("; ")


def disagreements(pair: Pair, label: Callable[[str], str]) -> list[Disagreement]:
    """Methods whose volumes and registration do not say the same, of pairs that can be used."""
    out = []
    for method, measure in pair:
        measures = [pair.get((method, name), {}) for name in (VOLUMES, REGISTRATION)]
        percents = [as_float(row.get("delta_percent")) for row in measures if row.get("status") == "ok"]
        if measure != VOLUMES or len(percents) < 2 or None in percents:
            continue
        by_volumes, by_registration = (value for value in percents if value is not None)
        noise = _noise(measures)
        apart = math.log((100 + by_volumes) / (100 + by_registration))
        signs = {math.copysign(1, value) for value in (by_volumes, by_registration) if round(value, 1)}
        beyond = noise is not None and abs(apart) > noise
        if not beyond and len(signs) < 2:
            continue
        said = [f"{number(value, 1, sign=True)} %" for value in (by_volumes, by_registration)]
        words = f"{label(method)}: the volumes say {said[0]}, registration says {said[1]}. "
        out.append(Disagreement(words + _meaning(noise, beyond, len(signs) > 1), beyond))
    return out


def _meaning(noise: float | None, beyond: bool, signs: bool) -> str:
    """What to make of two measures that disagree."""
    start = "One says growth, the other loss" if signs else "They say different amounts"
    if beyond:
        advice = "compare the outlines below before using either"
        return f"{start}, and differ by more than noise explains ({_percent(noise)} %): {advice}."
    known = "how much of that is noise is not known for this pair"
    within = known if noise is None else f"they differ by no more than noise explains ({_percent(noise)} %)"
    return f"{start}; {within}, so the direction of the change is open."


def _percent(noise: float | None) -> str:
    return f"{100 * math.expm1(noise or 0.0):.1f}"


def _noise(measures: Sequence[Row]) -> float | None:
    """By how much (logarithm, 95 %) two measures of one pair may differ by their noise, counted as independent; None
    where the interval of one is not known.
    """
    halves = []
    for row in measures:
        low, high = (as_float(row.get(f"delta_percent_{end}")) for end in ("low", "high"))
        if low is None or high is None or low <= -100:
            return None
        halves.append(math.log((100 + high) / (100 + low)) / 2)
    return math.hypot(*halves)


def whole_brain(table: Sequence[Mapping[str, object]]) -> list[str]:
    """Whole-brain change up to a session, in sentences."""
    out = []
    for row in table:
        since = f"since {str(row.get('session_id_baseline')).replace('ses-', 'Session ')}"
        if row.get("pbvc") in (None, "", "n/a"):
            why = str(row.get("reason") or row.get("status") or "no value")
            out.append(f"Whole brain {since}: not measured ({why}).")
        else:
            source = {"siena": "SIENA", "directory": "an existing SIENA result", "table": "the given table"}
            named = source.get(str(row.get("source")), str(row.get("source") or "unknown source"))
            doubt = "" if row.get("status") == "ok" else f" Do not use it: {row.get('reason') or row.get('status')}."
            out.append(f"Whole brain {since}: {number(row['pbvc'], 2, sign=True)} % (PBVC, from {named}).{doubt}")
    return out
