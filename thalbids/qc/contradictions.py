"""Which mask of a session is wrong: every mask against every other one, and against the whole-head network.

Two masks contradict each other when their thalami lie apart, end in different places, differ in size by more than their
protocols do, or in the balance of left and right. A mask that most others contradict is the odd one out; the others are
judged again without it, so that one wrong mask does not throw doubt on good ones. Limits: docs/qc.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalbids.image import landmarks
from thalbids.image.landmarks import Side

HEAD = "the whole-head network"
AXES = (("left", "right"), ("back", "front"), ("bottom", "top"))
MOST = 0.5  # more than this share of the others


@dataclass(frozen=True)
class Limits:
    """Up to where two masks agree.

    Attributes
    ----------
    centre_mm : distance of the centres of one side
    end_mm : distance of the ends of one side along an axis of the world, after scaling to the other's volume
    asymmetry : difference of the asymmetry indices
    volume : difference of the logarithms of the volumes from what the protocols let expect; None: not judged
    overlap : least share of the smaller mask in the larger; None: not judged
    """

    centre_mm: float
    end_mm: float
    asymmetry: float
    volume: float | None
    overlap: float | None


SAME_PROTOCOL = Limits(centre_mm=3.5, end_mm=3.5, asymmetry=0.12, volume=0.25, overlap=0.82)
OTHER_PROTOCOL = Limits(centre_mm=4.5, end_mm=4.5, asymmetry=0.2, volume=0.35, overlap=0.6)
WITH_HEAD = Limits(centre_mm=4.0, end_mm=4.5, asymmetry=0.2, volume=None, overlap=None)
ALIKE = 1.2  # protocols whose volumes differ by no more than this factor are taken for the same


@dataclass(frozen=True)
class Witness:
    """A mask as others see it.

    Attributes
    ----------
    places : of the left and the right thalamus (:mod:`thalbids.image.landmarks`)
    family, images : what it was made by and from
    builds_on : families that it is cut with
    volume : of its protocol relative to FreeSurfer's; None when unknown
    """

    places: Mapping[str, Side]
    family: str
    images: tuple[str, ...]
    builds_on: tuple[str, ...] = ()
    volume: float | None = None

    def independent(self, other: Witness) -> bool:
        """Whether the two could disagree: no image in common within a family, no cutting of one with the other."""
        if self.family == other.family:
            return not set(self.images) & set(other.images) and not self.builds_on
        return self.family not in other.builds_on and other.family not in self.builds_on


@dataclass(frozen=True)
class Contradiction:
    """In what a mask differs from another: words about the mask, and the largest excess over a limit (1: at it)."""

    other: str
    words: tuple[str, ...]
    excess: float


@dataclass(frozen=True)
class Verdict:
    """What the others say of a mask: who could say something, and who contradicts it."""

    heard: int = 0
    against: tuple[Contradiction, ...] = field(default=())

    @property
    def share(self) -> float:
        """Share of the others that contradict it."""
        return len(self.against) / self.heard if self.heard else 0.0


def judge(
    masks: Mapping[str, Witness],
    overlaps: Mapping[str, Mapping[str, float | None]],
    head: Mapping[str, Side] | None = None,
) -> tuple[dict[str, Verdict], dict[str, Verdict]]:
    """The masks that most others contradict, and those of which it cannot be said which one is wrong.

    Parameters
    ----------
    masks : those that could be right
    overlaps : share of the smaller mask in the larger, for every pair
    head : where the whole-head network sees the thalami; None without it

    Returns
    -------
    The odd masks with the verdict that condemned them, the worst first; then those that exactly half of the others
    contradict once the odd ones are left out.
    """
    pairs: dict[str, dict[str, Contradiction | None]] = {name: {} for name in masks}
    for name, mask in masks.items():
        for other, second in masks.items():
            if other != name and mask.independent(second):
                pairs[name][other] = against(mask, other, second, overlaps[name].get(other))
        if head is not None:
            pairs[name][HEAD] = against(mask, HEAD, Witness(head, HEAD, ("T1w",)), None)
    odd: dict[str, Verdict] = {}
    while True:
        left = {name: _verdict(row, odd) for name, row in pairs.items() if name not in odd}
        worst = max(left, key=lambda name: _rank(left[name]), default=None)
        if worst is None or left[worst].share <= MOST:
            break
        odd[worst] = left[worst]
    return odd, {name: verdict for name, verdict in left.items() if verdict.share == MOST}


def against(mask: Witness, name: str, other: Witness, overlap: float | None) -> Contradiction | None:
    """In what a mask differs from another one beyond the limits; None when they agree."""
    limits, ratio = _limits(mask, other)
    found = [
        *_centres(mask, other, limits),
        *_ends(mask, other, limits, ratio),
        *_sizes(mask, other, limits, ratio),
        *_balance(mask, other, limits),
    ]
    if overlap is not None and limits.overlap is not None and overlap < limits.overlap:
        found.append((limits.overlap / max(overlap, 1e-6), f"the smaller of the two lies {100 * overlap:.0f} % in the larger"))
    if not found:
        return None
    found.sort(key=lambda item: -item[0])
    return Contradiction(name, tuple(words for _, words in found), found[0][0])


def _limits(mask: Witness, other: Witness) -> tuple[Limits, float | None]:
    """The limits for two masks, and the volume of the first that the second lets expect relative to its own."""
    if HEAD in (mask.family, other.family):
        return WITH_HEAD, None
    if mask.family == other.family:
        return SAME_PROTOCOL, 1.0
    if mask.volume is None or other.volume is None:
        return OTHER_PROTOCOL, None
    ratio = mask.volume / other.volume
    return (SAME_PROTOCOL if max(ratio, 1 / ratio) <= ALIKE else OTHER_PROTOCOL), ratio


Found = list[tuple[float, str]]


def _centres(mask: Witness, other: Witness, limits: Limits) -> Found:
    apart = {side: _centre(mask, side) - _centre(other, side) for side in landmarks.SIDES}
    side = max(apart, key=lambda name: float(np.linalg.norm(apart[name])))
    distance = float(np.linalg.norm(apart[side]))
    if distance <= limits.centre_mm:
        return []
    axis = int(np.abs(apart[side]).argmax())
    where = AXES[axis][int(apart[side][axis] > 0)]
    return [(distance / limits.centre_mm, f"the centre of its {side} thalamus lies {distance:.1f} mm away, towards the {where}")]


def _ends(mask: Witness, other: Witness, limits: Limits, ratio: float | None) -> Found:
    worst: tuple[float, str] | None = None
    for side in landmarks.SIDES:
        wanted = landmarks.scaled(other.places[side], ratio or 1.0)
        for key, end, sign in (("low_mm", 0, 1), ("high_mm", 1, -1)):
            short = sign * (np.asarray(mask.places[side][key]) - np.asarray(wanted[key]))
            axis = int(np.abs(short).argmax())
            if worst is None or abs(short[axis]) / limits.end_mm > worst[0]:
                how = "short of" if short[axis] > 0 else "beyond"
                words = f"its {side} thalamus ends {abs(short[axis]):.1f} mm {how} the other's at the {AXES[axis][end]}"
                worst = float(abs(short[axis]) / limits.end_mm), words
    return [worst] if worst is not None and worst[0] > 1 else []


def _sizes(mask: Witness, other: Witness, limits: Limits, ratio: float | None) -> Found:
    if ratio is None or limits.volume is None:
        return []
    difference = math.log(_volume(mask) / (_volume(other) * ratio))
    if abs(difference) <= limits.volume:
        return []
    how = "smaller" if difference < 0 else "larger"
    return [(abs(difference) / limits.volume, f"it is {100 * abs(math.expm1(difference)):.0f} % {how} than the two protocols let expect")]


def _balance(mask: Witness, other: Witness, limits: Limits) -> Found:
    own, others = _asymmetry(mask), _asymmetry(other)
    if abs(own - others) <= limits.asymmetry:
        return []
    words = f"left and right differ by {100 * own:+.0f} % in it and by {100 * others:+.0f} % in the other"
    return [(abs(own - others) / limits.asymmetry, words)]


def _centre(mask: Witness, side: str) -> np.ndarray:
    return np.asarray(mask.places[side]["centre_mm"], dtype=np.float64)


def _volume(mask: Witness) -> float:
    return float(sum(side["volume_mm3"] for side in mask.places.values()))


def _asymmetry(mask: Witness) -> float:
    left, right = (float(mask.places[side]["volume_mm3"]) for side in ("left", "right"))
    return 2 * (left - right) / (left + right)


def _verdict(row: Mapping[str, Contradiction | None], without: Mapping[str, Verdict]) -> Verdict:
    heard = {name: found for name, found in row.items() if name not in without}
    return Verdict(len(heard), tuple(found for found in heard.values() if found is not None))


def _rank(verdict: Verdict) -> tuple[float, bool, float]:
    """Worst last: the share that contradicts it, then whether the whole-head network does, then by how much."""
    excess = sum(found.excess for found in verdict.against)
    return verdict.share, any(found.other == HEAD for found in verdict.against), excess


def names_of(found: Sequence[Contradiction]) -> str:
    """Who contradicts, for people."""
    return ", ".join(item.other for item in found)


def flag(verdict: Verdict, severity: str, rule: str) -> dict[str, Any]:
    """The flag of a mask that others contradict."""
    worst = max(verdict.against, key=lambda found: found.excess)
    told = "; ".join(worst.words)
    count = f"{len(verdict.against)} of {verdict.heard}"
    if rule == "odd_one_out":
        start = f"Most others contradict this mask ({count}: {names_of(verdict.against)})."
        advice = "Do not use it; look at its outline beside the others'."
    else:
        start = f"It and {names_of(verdict.against)} contradict each other, and nothing tells which is wrong."
        advice = "Look at both outlines; leave out the one that does not follow the thalamus."
    return {
        "rule": rule, "severity": severity, "value": verdict.share, "limit": MOST,
        "reason": f"{start} Against {worst.other}: {told}.", "advice": advice,
    }  # fmt: skip
