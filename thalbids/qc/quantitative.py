"""Whether the quantitative maps of a session are plausible, and the head lay still between their contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalbids.qc.rules import CHECK, Rule, apply

_PROTOCOL = "Check the protocol in the sidecars, the unit, and the B1+ map; look at the map in the report."
_MOTION = "Look at the edges of the maps in the report; maps of contrasts that were moved far are smoother."

MAP_RULES = (
    Rule(
        "undefined", "undefined", None, 0.05, "{value} % of the brain have no value.",
        "Look at the map in the report: signal, B1+ map or field of view are missing there.", scale=100.0,
    ),
    Rule(
        "clamped", "clamped", None, 0.02, "{value} % of the brain were above the largest value and are set to it.",
        _PROTOCOL, scale=100.0,
    ),
)  # fmt: skip
MOTION_RULES = (
    Rule("shift", "shift_mm", None, 3.0, "The head moved by {value} mm between this contrast and the first.", _MOTION),
    Rule("rotation", "rotation_degrees", None, 3.0, "The head turned by {value} degrees between both.", _MOTION),
)  # fmt: skip
WHERE = {"white_matter": "white matter", "thalamus": "the thalamus"}


def map_flags(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The flags of one map.

    Parameters
    ----------
    summary : ``undefined``, ``clamped`` (shares of the brain), ``peaks``, ``white_matter`` and ``thalamus`` (medians,
        None without), ``unit``, and ``expected``: ranges of the medians and the two peaks; None where nothing is known
    """
    flags = apply(MAP_RULES, summary)
    expected = summary.get("expected")
    if not expected:
        return flags
    for key, words in WHERE.items():
        value, (low, high) = summary.get(key), expected[key]
        if value is not None and not low <= value <= high:
            reason = f"The median in {words} is {value:.3g}, outside {low:g} to {high:g}{_unit(summary)}."
            flags.append(_flag(key, value, low if value < low else high, reason))
    (grey, white), peaks = expected["peaks"], summary.get("peaks") or []
    if peaks and not any(0.7 * grey <= peak <= 1.4 * white for peak in peaks):
        shown = ", ".join(f"{peak:.3g}" for peak in peaks)
        reason = f"The histogram of the brain peaks at {shown}{_unit(summary)}; grey and white matter are expected "
        flags.append(_flag("peaks", peaks[-1], None, f"{reason}at about {grey:g} and {white:g}."))
    return flags


def _flag(rule: str, value: float, limit: float | None, reason: str) -> dict[str, Any]:
    return {
        "rule": rule, "severity": CHECK, "value": float(value), "limit": limit, "reason": reason, "advice": _PROTOCOL,
    }  # fmt: skip


def _unit(summary: Mapping[str, Any]) -> str:
    return f" {summary['unit']}" if summary.get("unit") else ""


def all_flags(maps: Mapping[str, Mapping[str, Any]], motion: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The flags of all maps (``map:R1map``) and contrasts (``contrast:T1w``) with what they are about."""
    flags = [{"scope": f"map:{name}", **flag} for name, summary in maps.items() for flag in map_flags(summary)]
    moved = [(name, apply(MOTION_RULES, one)) for name, one in motion.items()]
    return [*flags, *({"scope": f"contrast:{name}", **flag} for name, moves in moved for flag in moves)]
