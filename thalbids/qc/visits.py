"""Was it acquired well enough, and can the visits of a person be compared? Flags of images, and of pairs of visits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thalbids.errors import some
from thalbids.image.orientation import ASSUMED, MIRRORED
from thalbids.qc.rules import BLURRED, CHECK, DISTRUST

THICK_MM = 2.5  # slices from here on: the thalamus is about 20 mm high
VOXELS = 0.1  # share by which a side of a voxel, or the thickness of slices, may differ between visits
FIELD_OF_VIEW = 0.15
ICV_CHECK, ICV_DISTRUST = 0.04, 0.08  # share by which the skull's inside may differ between visits
ASYMMETRY = 0.1  # change of the asymmetry index of one method between visits

Facts = Mapping[str, Any]
Flag = dict[str, Any]
SIDES = {"mirrored": MIRRORED, "no_orientation": ASSUMED}  # rules of what leaves left and right in doubt
BORDER, BORDER_WORDS = "visit_border", "one visit alone shows something at the border of the thalami"  # by registration
APART = MIRRORED_VISIT, OTHER_PERSON = "visit_mirrored", "visit_person"  # rules that exclude a pair: images that differ
AXES = ("right to left", "front to back", "top to bottom")


def image_flags(name: str, facts: Facts, notes: Sequence[str] = ()) -> list[Flag]:
    """What is to be known of an image before its volumes are used: thick slices, contrast agent, and, by the notes that
    were made when it was read, a doubt about left and right.
    """
    flags = []
    thick = facts.get("slice_thickness_mm")
    if thick is not None and thick >= THICK_MM:
        slices = f"{facts['slice_direction']} slices" if facts.get("slice_direction") else "slices"
        reason = f"The {name} has {slices} of {thick:g} mm: the border of the thalamus is blurred across them."
        sizes = facts.get("voxel_size_mm") or (0.0,)
        if min(sizes) >= THICK_MM:
            voxels = " x ".join(f"{size:g}" for size in sizes)
            reason = (
                f"The {name} has voxels of {voxels} mm: the border of the thalamus is blurred, volumes read too low."
            )
        advice = "Compare volumes with those of scans of the same geometry only."
        flags.append(_flag("thick_slices", thick, THICK_MM, reason, advice))
    if facts.get("contrast_agent"):
        reason = f"The {name} was made with a contrast agent ({facts['contrast_agent']})."
        advice = "Compare volumes with those of scans with the agent only."
        flags.append(_flag("contrast_agent", None, None, reason, advice))
    for rule, doubt in SIDES.items():
        if any(doubt in note for note in notes):
            advice = "Compare the image with the scanner's; until then, do not use left and right."
            flags.append(_flag(rule, None, None, f"The {name}: {doubt}.", advice))
    return flags


def changes(first: Mapping[str, Facts], later: Mapping[str, Facts]) -> list[tuple[str, str]]:
    """What differs between the acquisitions of two visits, image by image: (rule, words)."""
    lines = []
    for name in first:
        if name in later:
            lines += [(rule, f"{name}: {words}") for rule, words in _differences(first[name], later[name])]
    return lines


def _differences(first: Facts, later: Facts) -> Iterable[tuple[str, str]]:
    one, two = first.get("voxel_size_mm"), later.get("voxel_size_mm")
    other_voxels = _differ(one, two, VOXELS)
    if one and two and any(other_voxels):
        yield "voxel_size", f"voxels of {_sizes(one)} mm against {_sizes(two)} mm"
    thin, thick = first.get("slice_thickness_mm"), later.get("slice_thickness_mm")
    if not any(other_voxels) and thin is not None and thick is not None and _apart(thin, thick) > VOXELS:
        yield "slice_thickness", f"slices of {thin:g} mm against {thick:g} mm"
    one, two = first.get("field_of_view_mm"), later.get("field_of_view_mm")
    wide = ", ".join(axis for axis, other in zip(AXES, _differ(one, two, FIELD_OF_VIEW), strict=False) if other)
    if one and two and wide:
        yield "field_of_view", f"another field of view ({wide}): {_sizes(one, 0)} mm against {_sizes(two, 0)} mm"
    if bool(first.get("contrast_agent")) != bool(later.get("contrast_agent")):
        yield "contrast_agent", "with a contrast agent in one of the two visits only"
    for key, what, unit in (("scanner", "another scanner", ""), ("field_strength_t", "another field strength", " T")):
        a, b = first.get(key), later.get(key)
        if a is not None and b is not None and _other(a, b):
            yield key, f"{what}: {a}{unit} against {b}{unit}"


def _differ(first: Sequence[float] | None, later: Sequence[float] | None, share: float) -> list[bool]:
    """Per axis, whether two sizes differ by more than a share; [] where one is not known."""
    return [_apart(a, b) > share for a, b in zip(first or (), later or (), strict=False)]


def _other(a: object, b: object) -> bool:
    """Whether two values differ; field strengths of 2.89 and 3 T are one."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return _apart(float(a), float(b)) > VOXELS
    return str(a).casefold() != str(b).casefold()


def size_change(first: float | None, later: float | None) -> float | None:
    """Difference of two volumes of one skull as a share of their geometric mean; None without both."""
    return None if not first or not later else _apart(first, later)


def visit_flags(visit: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[tuple[str, Flag]]:
    """What the person's other visits say of this one.

    Parameters
    ----------
    visit, others : ``session`` (label), ``acquisition`` (image -> facts), ``icv_mm3`` of the whole-head network or
        None, ``stripped``: whether the T1w is skull-stripped

    Returns
    -------
    (label of the other visit, flag): each difference of acquisition and of the skull's size (check); and, with the
    label "", that the skull has another size than in most other visits (distrust): a header is wrong, or the person.
    """
    flags: list[tuple[str, Flag]] = []
    far = []
    for other in others:
        for rule, words in changes(other["acquisition"], visit["acquisition"]):
            advice = "Read a change of volume between the two with this in mind, or leave the pair out."
            flags.append(
                (
                    other["session"],
                    _flag(
                        f"visit_{rule}", None, None, f"Session {other['session']} against this one: {words}.", advice
                    ),
                )
            )
        apart = None if either_stripped(visit, other) else size_change(other["icv_mm3"], visit["icv_mm3"])
        if apart is not None and apart > ICV_CHECK:
            far.append((apart, other))
            reason = (
                f"The skull's inside has {visit['icv_mm3'] / 1e6:.2f} L, and {other['icv_mm3'] / 1e6:.2f} L in session "
                f"{other['session']}: one person's does not change."
            )
            advice = "Compare the voxel sizes in the two headers, and look whether it is the same person."
            flags.append((other["session"], _flag("visit_icv", apart, ICV_CHECK, reason, advice)))
    known = [o for o in others if o["icv_mm3"] and not either_stripped(visit, o)]
    much = [other for apart, other in far if apart > ICV_DISTRUST]
    if visit["icv_mm3"] and len(much) > len(known) / 2:
        named = ", ".join(str(other["session"]) for other in much)
        others_are = "the other visit" if len(known) == 1 else "most other visits"
        reason = (
            f"The skull has another size than in {others_are} of the person (session {named}): voxel sizes of the "
            "header, or the person, are wrong in one of them, and with them every volume."
        )
        worst = max(apart for apart, _ in far)
        advice = "Do not use the volumes before the header has been compared with the scanner's images."
        flags.append(("", _flag("visit_size", worst, ICV_DISTRUST, reason, advice, DISTRUST)))
    return flags


def balance_flags(visit: Mapping[str, float], others: Mapping[str, Mapping[str, float]]) -> dict[str, Flag]:
    """The masks in which left and right are balanced otherwise than in the person's other visits (distrust).

    Of several visits one that most others contradict is wrong, of two the more lopsided one.

    Parameters
    ----------
    visit : ``desc-`` label -> asymmetry index, 2 (left - right) / (left + right)
    others : label of the visit -> the same of its masks
    """
    flags = {}
    for name, value in visit.items():
        seen = {label: asymmetries[name] for label, asymmetries in others.items() if name in asymmetries}
        far = {label: other for label, other in seen.items() if abs(other - value) > ASYMMETRY}
        if len(far) <= len(seen) / 2 or (len(seen) == 1 and abs(value) < abs(next(iter(far.values())))):
            continue
        named = ", ".join(f"{_rounded(other)} in session {label}" for label, other in far.items())
        reason = f"Left and right differ by {_rounded(value)} here and by {named}: one side may be cut off."
        worst = max(abs(other - value) for other in far.values())
        advice = "Do not use the mask before its outline has been compared with those of the other visits."
        flags[name] = _flag("visit_asymmetry", worst, ASYMMETRY, reason, advice, DISTRUST)
    return flags


def either_stripped(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether the skull of a visit has no size: of a stripped scan it is that of what the stripping left."""
    return bool(one["stripped"] or two["stripped"])


def pair_flags(first: Mapping[str, Any], later: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why a change between two visits may be none of the thalamus, from their QC documents: (rule, words); [] when
    comparable.
    """
    flags = [(f"visit_{rule}", words) for rule, words in changes(acquired(first), acquired(later))]
    grids = first.get("Reference", "T1w"), later.get("Reference", "T1w")
    if grids[0] != grids[1]:
        flags.append(("visit_reference", f"measured on the {grids[0]} of one visit and the {grids[1]} of the other"))
    one, two = _icvs(first), _icvs(later)
    source = next((name for name in one if name in two), None)
    apart = None if source is None else size_change(one[source], two[source])
    if apart is not None and apart > ICV_CHECK:
        flags.append(("visit_icv", f"the intracranial volumes differ by {100 * apart:.0f} %"))
    for rule, words in (("thick_slices", "thick slices"), ("contrast_agent", "contrast agent")):
        named = {_scope(flag) for document in (first, later) for flag in _flags(document) if flag.get("rule") == rule}
        flags += [(rule, f"{name}: {words}") for name in sorted(named)]
    blurred = [
        {_scope(flag) for flag in _flags(document) if flag.get("rule") in BLURRED} for document in (first, later)
    ]
    return [*flags, *(("visit_blur", f"{name}: one visit is blurred") for name in sorted(blurred[0] ^ blurred[1]))]


def pair_remarks(first: Mapping[str, Any], later: Mapping[str, Any]) -> list[str]:
    """The words of :func:`pair_flags`."""
    return [words for _, words in pair_flags(first, later)]


def sides_in_doubt(documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The images of sessions (their names -> QC documents) whose left and right must be checked, a line a reason."""
    lines = []
    for rule, doubt in SIDES.items():
        flags = ((name, flag) for name, document in documents.items() for flag in _flags(document))
        images = [f"{name} {_scope(flag)}" for name, flag in flags if flag.get("rule") == rule]
        lines += [f"check: {some(images)}: {doubt}"] if images else []
    return lines


def sizes_in_doubt(documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The sessions (their names -> QC documents) whose voxel sizes or brain mask may be wrong, a line each."""
    flags = ((name, size_doubts(_flags(document))) for name, document in documents.items())
    return [f"check: {name}: {doubts[0]['reason']}" for name, doubts in flags if doubts]


def size_doubts(flags: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of a session's flags that doubt every volume, not one mask: of its voxel sizes, else of its brain mask."""
    known = list(flags)
    sizes = [flag for flag in known if flag.get("rule") == "voxel_sizes"]
    brain = [flag for flag in known if flag.get("scope") == "brain" and flag.get("severity") == DISTRUST]
    return sizes or brain


def distrusted_masks(document: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The masks of a session that must not be trusted, and the rules that say so."""
    distrusted: dict[str, dict[str, None]] = {}
    for flag in _flags(document):
        kind, _, name = str(flag.get("scope", "")).partition(":")
        if kind == "mask" and flag.get("severity") == DISTRUST:
            distrusted.setdefault(name, {})[str(flag.get("rule"))] = None
    return {name: tuple(rules) for name, rules in distrusted.items()}


def balance_remark(first: float | None, later: float | None) -> str:
    """That left and right changed by more than they should relative to each other; "" when not, or unknown."""
    if first is None or later is None or abs(first - later) <= ASYMMETRY:
        return ""
    then = f"left and right differed by {_rounded(first)}, then by {_rounded(later)}"
    return f"{then}: one of the masks may be cut off"


def acquired(document: Mapping[str, Any]) -> dict[str, Facts]:
    """The acquisition of each image of a session, by its QC document."""
    images = document.get("Images")
    facts = images if isinstance(images, dict) else {}
    return {
        name: e["acquisition"]
        for name, e in facts.items()
        if isinstance(e, dict) and isinstance(e.get("acquisition"), dict)
    }


def _icvs(document: Mapping[str, Any]) -> dict[str, float]:
    """Intracranial volumes by source: only those of one source can be compared."""
    entries = document.get("ICV")
    return {
        str(entry.get("source")): float(entry["icv_mm3"])
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("icv_mm3"), (int, float))
    }


def _flags(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    flags = document.get("Flags")
    return [flag for flag in flags if isinstance(flag, dict)] if isinstance(flags, list) else []


def _scope(flag: Mapping[str, Any]) -> str:
    return str(flag.get("scope", "")).partition(":")[2]


def _apart(a: float, b: float) -> float:
    """Difference of two positive numbers as a share: |ln(a / b)|; infinite where one is not positive."""
    return abs(math.log(a / b)) if a > 0 and b > 0 else math.inf


def _rounded(share: float) -> str:
    """A share in whole percent with its sign; none is +0, never -0."""
    return f"{round(100 * share):+d} %"


def _sizes(values: Sequence[float], digits: int = 2) -> str:
    return " x ".join(f"{value:.{digits}f}" for value in values)


def _flag(rule: str, value: float | None, limit: float | None, reason: str, advice: str, severity: str = CHECK) -> Flag:
    return {"rule": rule, "severity": severity, "value": value, "limit": limit, "reason": reason, "advice": advice}
