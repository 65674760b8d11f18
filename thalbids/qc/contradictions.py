"""Which mask of a session is wrong: every mask against every other one, and against the whole-head network.

Two masks contradict each other when their thalami lie apart, end in different places, differ in size by more than their
protocols do, or in the balance of left and right. A mask that most others contradict is the odd one out; the others are
judged again without it, so that one wrong mask does not throw doubt on good ones. Limits: docs/qc.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalbids.image import landmarks
from thalbids.image.landmarks import Side
from thalbids.qc.rules import CHECK, DISTRUST

HEAD = "the whole-head network"
AXES = (("left", "right"), ("back", "front"), ("bottom", "top"))
MOST = 0.5  # more than this share of the others


Deviation = tuple[float, str]  # multiple of the limit, words
Deviations = list[Deviation]


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
WITH_HEAD = Limits(centre_mm=4.5, end_mm=5.0, asymmetry=0.25, volume=None, overlap=None)
FARTHER = 1.2  # of two that contradict each other, the one this much farther from the whole-head network is wrong
GROSS = 1.5  # times its limit that a mask is from the whole-head network, to be distrusted for that alone
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
    """In what a mask differs from another: words on it, the largest excess over a limit (1: at it), whether the
    limits were measured for their protocols.
    """

    other: str
    words: tuple[str, ...]
    excess: float
    measured: bool = False


@dataclass(frozen=True)
class MaskContradictions:
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
) -> tuple[dict[str, MaskContradictions], dict[str, MaskContradictions]]:
    """The masks that most others contradict, and those of which it cannot be said which one is wrong.

    Parameters
    ----------
    masks : those that could be right
    overlaps : share of the smaller mask in the larger, for every pair
    head : where the whole-head network sees the thalami; None without it

    Returns
    -------
    The odd masks with the verdict that condemned them, the worst first; then those that half of the others or more
    contradict once the odd ones are left out, where those others are contradicted no less; of two such masks the one
    that lies clearly farther from what the whole-head network sees is odd, and the other stays doubtful.
    """
    pairs: dict[str, dict[str, Contradiction | None]] = {name: {} for name in masks}
    away: dict[str, float] = {}
    for name, mask in masks.items():
        for other, second in masks.items():
            if other != name and mask.independent(second):
                pairs[name][other] = against(mask, other, second, overlaps[name].get(other))
        if head is not None:
            seen = Witness(head, HEAD, ("T1w",))
            pairs[name][HEAD] = against(mask, HEAD, seen, None)
            away[name] = deviations(mask, seen)[0][0]
    odd: dict[str, MaskContradictions] = {}
    while True:
        left = {name: _verdict(row, odd) for name, row in pairs.items() if name not in odd}
        worst = max((name for name in left if _condemned(name, left)), key=lambda name: _rank(left[name]), default=None)
        if worst is None:
            break
        odd[worst] = left[worst]
    undecided = {name: verdict for name, verdict in left.items() if verdict.share >= MOST}
    farther = {name: verdict for name, verdict in undecided.items() if _farther(name, verdict, away)}
    return odd | farther, {name: verdict for name, verdict in undecided.items() if name not in farther}


def _farther(name: str, verdict: MaskContradictions, away: Mapping[str, float]) -> bool:
    """Whether a mask lies clearly farther from what the whole-head network sees than all that contradict it."""
    others = [away[contradiction.other] for contradiction in verdict.against if contradiction.other in away]
    return bool(others) and away[name] >= FARTHER * max(others)


def _condemned(name: str, verdicts: Mapping[str, MaskContradictions]) -> bool:
    """Whether most others contradict a mask, and each of those stands better than it.

    The whole-head network alone, which sees 3 mm, condemns none.
    """
    verdict = verdicts[name]
    accusers = [verdicts[contradiction.other] for contradiction in verdict.against if contradiction.other != HEAD]
    return (
        bool(accusers) and verdict.share > MOST and all(_rank(accuser)[:2] < _rank(verdict)[:2] for accuser in accusers)
    )


def against(mask: Witness, name: str, other: Witness, overlap: float | None) -> Contradiction | None:
    """In what a mask differs from another one beyond the limits; None when they agree."""
    contradictions = [item for item in deviations(mask, other, overlap) if item[0] > 1]
    if not contradictions:
        return None
    measured = _limits(mask, other)[0] is SAME_PROTOCOL
    return Contradiction(name, tuple(words for _, words in contradictions), contradictions[0][0], measured)


def deviations(mask: Witness, other: Witness, overlap: float | None = None) -> Deviations:
    """Every deviation of a mask from another one as a multiple of its limit, with words; the largest first."""
    limits, ratio = _limits(mask, other)
    measured = [_centres(mask, other, limits), *_ends(mask, other, limits, ratio), _balance(mask, other, limits)]
    if ratio is not None and limits.volume is not None:
        measured.append(_size(mask, other, limits.volume, ratio))
    if overlap is not None and limits.overlap is not None:
        words = f"the smaller of the two lies {100 * overlap:.0f} % in the larger"
        measured.append((limits.overlap / max(overlap, 1e-6), words))
    return sorted(measured, key=lambda item: -item[0])


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


def _centres(mask: Witness, other: Witness, limits: Limits) -> Deviation:
    apart = {side: _centre(mask, side) - _centre(other, side) for side in landmarks.SIDES}
    side = max(apart, key=lambda name: float(np.linalg.norm(apart[name])))
    distance = float(np.linalg.norm(apart[side]))
    axis = int(np.abs(apart[side]).argmax())
    where = AXES[axis][int(apart[side][axis] > 0)]
    words = f"the centre of its {side} thalamus lies {distance:.1f} mm away, towards the {where}"
    return distance / limits.centre_mm, words


def _ends(mask: Witness, other: Witness, limits: Limits, ratio: float | None) -> Deviations:
    ends = []
    for side in landmarks.SIDES:
        wanted = landmarks.scaled(other.places[side], ratio or 1.0)
        for key, end, sign in (("low_mm", 0, 1), ("high_mm", 1, -1)):
            short = sign * (np.asarray(mask.places[side][key]) - np.asarray(wanted[key]))
            axis = int(np.abs(short).argmax())
            how = "short of" if short[axis] > 0 else "beyond"
            words = f"its {side} thalamus ends {abs(short[axis]):.1f} mm {how} the other's at the {AXES[axis][end]}"
            ends.append((float(abs(short[axis]) / limits.end_mm), words))
    return [max(ends)]


def _size(mask: Witness, other: Witness, limit: float, ratio: float) -> Deviation:
    difference = math.log(_volume(mask) / (_volume(other) * ratio))
    how = "smaller" if difference < 0 else "larger"
    words = f"it is {100 * abs(math.expm1(difference)):.0f} % {how} than the two protocols let expect"
    return abs(difference) / limit, words


def _balance(mask: Witness, other: Witness, limits: Limits) -> Deviation:
    asymmetry, others = _asymmetry(mask), _asymmetry(other)
    words = f"left and right differ by {100 * asymmetry:+.0f} % in it and by {100 * others:+.0f} % in the other"
    return abs(asymmetry - others) / limits.asymmetry, words


def _centre(mask: Witness, side: str) -> np.ndarray:
    return np.asarray(mask.places[side]["centre_mm"], dtype=np.float64)


def _volume(mask: Witness) -> float:
    return float(sum(side["volume_mm3"] for side in mask.places.values()))


def _asymmetry(mask: Witness) -> float:
    left, right = (float(mask.places[side]["volume_mm3"]) for side in ("left", "right"))
    return 2 * (left - right) / (left + right)


def _verdict(row: Mapping[str, Contradiction | None], without: Mapping[str, MaskContradictions]) -> MaskContradictions:
    heard = {name: contradiction for name, contradiction in row.items() if name not in without}
    return MaskContradictions(
        len(heard), tuple(contradiction for contradiction in heard.values() if contradiction is not None)
    )


def _rank(verdict: MaskContradictions) -> tuple[float, bool, float]:
    """Worst last: the share that contradicts it, then whether the whole-head network does, then by how much."""
    excess = sum(contradiction.excess for contradiction in verdict.against)
    return verdict.share, any(contradiction.other == HEAD for contradiction in verdict.against), excess


def names_of(contradictions: Sequence[Contradiction]) -> str:
    """Who contradicts, for people."""
    return ", ".join(item.other for item in contradictions)


def flag(
    verdict: MaskContradictions, rule: str, odd: Collection[str] = (), *, unsure: bool = False, cut_off: bool = False
) -> dict[str, Any]:
    """The flag of a mask that others contradict; not trusted where most do, or one of the same protocol does.

    ``odd``: names of the masks that were found odd; ``unsure``: the method finds another thalamus in the mirrored
    image; ``cut_off``: the field of view cuts the brain, where the whole-head network errs by a centimetre and more.
    """
    worst = max(verdict.against, key=lambda contradiction: contradiction.excess)
    told = "; ".join(worst.words)
    count = f"{len(verdict.against)} of {verdict.heard}"
    if rule == "odd_one_out" and verdict.share <= MOST:
        start = f"It and {names_of(verdict.against)} contradict each other, and it lies farther from {HEAD}."
        advice = "Do not use it; look at its outline beside the other's."
    elif rule == "odd_one_out":
        start = f"Most others contradict this mask ({count}: {names_of(verdict.against)})."
        advice = "Do not use it; look at its outline beside the others'."
    elif all(contradiction.other in odd for contradiction in verdict.against):
        start = (
            f"It and {names_of(verdict.against)} contradict each other. This one lies nearer to {HEAD}, which is too "
            "coarse to prove it right."
        )
        advice = "Look at both outlines; where this one follows the thalamus, run again without the other."
    else:
        start = f"It and {names_of(verdict.against)} contradict each other, and nothing tells which is wrong."
        advice = "Look at both outlines; leave out the one that does not follow the thalamus."
    masks = [contradiction for contradiction in verdict.against if contradiction.other != HEAD]
    excess = max(
        (contradiction.excess for contradiction in verdict.against if contradiction.other == HEAD), default=0.0
    )
    gross = (excess >= GROSS and not cut_off) or (excess > 0 and unsure)
    if not masks and unsure:
        start = (
            "The whole-head network contradicts it, and the method itself finds another thalamus in the mirrored image."
        )
        advice = "Do not use it; the head may lie mirrored or upside down in its header: compare it with the scanner's."
    elif not masks and cut_off:
        start = "The whole-head network contradicts it, which often errs where the field of view cuts the head."
        advice = "Look at its outline."
    severe = (bool(masks) and verdict.share > MOST) or rule == "odd_one_out" or gross
    severe = severe or any(contradiction.measured for contradiction in masks)
    return {
        "rule": rule, "severity": DISTRUST if severe else CHECK, "value": verdict.share, "limit": MOST,
        "reason": f"{start} Against {worst.other}: {told}.", "advice": advice,
    }  # fmt: skip
