"""When is a measure implausible? Thresholds as data, and flags in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CHECK = "check"  # look at the picture before you use the number
DISTRUST = "distrust"  # do not use the number unless a person has seen that the mask is right


@dataclass(frozen=True)
class Rule:
    """A measure must lie between ``low`` and ``high`` (both allowed, None: no limit on that side).

    Attributes
    ----------
    name : identifier of the rule in the QC document
    measure : key of the measure; a list counts by its length
    low, high : limits in the unit of the measure
    reason : what a value beyond the limit means; ``{value}`` and ``{limit}`` are filled in
    advice : what to do
    severity : ``check`` or ``distrust``
    scale : what value and limit are multiplied by in the text (mm^3 to mL: 0.001)
    digits : decimals in the text
    by_brain : the measure counts from the middle of the brain mask, which moves where the field of view cuts the head
    unless : the rule whose flag says the same, and more: where it is raised, this one is not
    """

    name: str
    measure: str
    low: float | None
    high: float | None
    reason: str
    advice: str
    severity: str = CHECK
    scale: float = 1.0
    digits: int = 1
    by_brain: bool = False
    unless: str | None = None

    def flag(self, measures: Mapping[str, Any]) -> dict[str, Any] | None:
        """The flag that these measures raise; None when the measure is plausible or has no value."""
        value = measures.get(self.measure)
        if value is None:
            return None
        number = float(len(value)) if isinstance(value, (list, tuple)) else float(value)
        if self.low is not None and number < self.low:
            limit = self.low
        elif self.high is not None and number > self.high:
            limit = self.high
        else:
            return None
        shown = ", ".join(value) if isinstance(value, (list, tuple)) else f"{number * self.scale:.{self.digits}f}"
        reason = self.reason.format(value=shown, limit=f"{limit * self.scale:.{self.digits}f}")
        return {
            "rule": self.name, "severity": self.severity, "value": number, "limit": limit,
            "reason": reason, "advice": self.advice,
        }  # fmt: skip


def apply(rules: Iterable[Rule], measures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The flags of these measures, in the order of the rules; of two that say the same the stronger one."""
    raised = [(rule, flag) for rule in rules if (flag := rule.flag(measures)) is not None]
    names = {rule.name for rule, _ in raised}
    return [flag for rule, flag in raised if rule.unless not in names]


_LOOK = "Look at the outline in the report; leave the mask out if it does not follow the thalamus."
_REDO = "Do not use this mask unless the report shows that it is right."
_SIDE_ML = (3000.0, 12000.0)  # mm^3; 5.5-10.5 mL in 23 healthy and elderly heads (docs/qc.md), less in MS


def _side_rules(side: str) -> tuple[Rule, ...]:
    """The rules for one thalamus."""
    return (
        Rule(
            f"volume_{side}", f"volume_{side}_mm3", *_SIDE_ML,
            f"The {side} thalamus has {{value}} mL; {{limit}} mL is the limit of what is plausible in adults.",
            _REDO, DISTRUST, scale=0.001, digits=2,
        ),
        Rule(
            f"components_{side}", f"components_{side}", None, 3,
            f"The {side} thalamus falls into {{value}} separate pieces.", _LOOK, digits=0,
        ),
        Rule(
            f"largest_fraction_{side}", f"largest_fraction_{side}", 0.95, None,
            f"Only {{value}} % of the {side} thalamus hang together.", _LOOK, scale=100.0,
        ),
        Rule(
            f"torn_{side}", f"largest_fraction_{side}", 0.5, None,
            f"The {side} thalamus is torn: its largest piece holds {{value}} % of it.", _REDO, DISTRUST, scale=100.0,
        ),
        Rule(
            f"centre_distance_{side}", f"centre_distance_{side}_mm", None, 14.0,
            f"The centre of the {side} thalamus lies {{value}} mm from where the brain mask puts it.",
            "Check the brain mask and the outline: the mask may sit on another structure.", DISTRUST, by_brain=True,
            unless="centre_distance",
        ),
    )  # fmt: skip


UNSIDED_RULES = (
    Rule(
        "volume", "volume_mm3", 2 * _SIDE_ML[0], 2 * _SIDE_ML[1],
        "The thalami have {value} mL together; {limit} mL is the limit of what is plausible in adults.",
        _REDO, DISTRUST, scale=0.001, digits=2,
    ),
    Rule("components", "components", None, 6, "The mask falls into {value} separate pieces.", _LOOK, digits=0),
    Rule(
        "torn", "two_largest_fraction", 0.5, None,
        "The mask is torn: its two largest pieces hold {value} % of it together.", _REDO, DISTRUST, scale=100.0,
    ),
)  # fmt: skip

SIDED_RULES = (
    *_side_rules("left"),
    *_side_rules("right"),
    Rule(
        "asymmetry", "asymmetry_index", -0.25, 0.25,
        "Left and right differ by {value} % of their mean (positive: the left is larger).",
        _LOOK, scale=100.0,
    ),
    Rule(
        "left_right_swapped", "right_minus_left_x_mm", 0.0, None,
        "Left and right are swapped: the mask's left thalamus lies {value} mm to the right of its right one.",
        "Check the orientation in the image's header, and whether the mask was made on another grid.", DISTRUST,
        scale=-1.0,
    ),
    Rule(
        "separation", "separation_mm", 14.0, 35.0,
        "The centres of the two thalami are {value} mm apart; {limit} mm is the limit of what is plausible.", _LOOK,
    ),
)  # fmt: skip

SCAN_RULES = (  # what is wrong with the scan itself: the cause of what other rules say
    Rule(
        "coarse_voxels", "scan_voxel_mm3", None, 100.0,
        "The voxels have {value} mm3, more than cubes of 4.6 mm: volumes read a tenth too low, or more.",
        "Do not use the volume: a scan with smaller voxels is needed.", DISTRUST, digits=0,
    ),
    Rule(
        "empty_slices", "empty_slices", None, 0,
        "Slices of the scan that run through the brain hold no data ({value}).",
        "Do not use the volume: convert the scan again, or use another image of the session.", DISTRUST, digits=0,
    ),
    Rule(
        "grey_values", "grey_values", 10, None,
        "The scan has {value} shades of grey in the brain only, as a label map has, or one that was stored too "
        "coarsely.",
        "Do not use the volume: give the scan itself, with the values that the scanner gave.", DISTRUST, digits=0,
    ),
    Rule(
        "clipped", "clipped_share", None, 0.25,
        "{value} % of the brain have the highest value of the scan: what is brighter was cut off.",
        "Do not use the volume: export the scan again with its whole range of values.", DISTRUST, scale=100.0,
        digits=0,
    ),
    Rule(
        "partly_clipped", "clipped_share", None, 0.05,
        "{value} % of the brain have the highest value of the scan: what is brighter was cut off.",
        "Volumes may read several percent too high or too low: export the scan again with its whole range of values.",
        scale=100.0, digits=0, unless="clipped",
    ),
    Rule(
        "very_blurred", "smoothness", None, 1.65,
        "The scan is blurred: its smoothness is {value} (sharp: below 1.2), by motion, a filter or larger voxels.",
        "Do not use the volume, which reads a tenth too low or more: a sharper image is needed.", DISTRUST, digits=2,
    ),
    Rule(
        "blurred", "smoothness", None, 1.45,
        "The scan is blurred: its smoothness is {value} (sharp: below 1.2), by motion, a filter or larger voxels.",
        "Look at the image; volumes may read 3 to 8 % too low, and change against a sharp visit is not to be trusted.",
        digits=2, unless="very_blurred",
    ),
    Rule(
        "filled", "filled_share", None, 0.15,
        "{value} % of the brain had no value (NaN or infinite) and were filled with the mean of their neighbours.",
        "Volumes may read a percent or more too high or too low: export the scan again, with a value in every voxel.",
        scale=100.0, digits=0,
    ),
    Rule(
        "one_side_dark", "brightness_asymmetry", -0.3, 0.3,
        "Left and right thalamus differ in brightness by {value} % of their mean (positive: the left is brighter).",
        "A coil may have failed on one side: look at the outline there; volumes may read several percent too high, on "
        "the darker side most.", scale=100.0, digits=0, unless="no_data",
    ),
    Rule(
        "noise", "noise_share", None, 0.2,
        "The noise of the scan is {value} % of the brain's brightness: the border of the thalamus is lost in it.",
        "Do not use the volume; use another image of the session, or a scan with less noise.", DISTRUST, scale=100.0,
        digits=0,
    ),
)  # fmt: skip

COMMON_RULES = (
    Rule(
        "centre_distance", "centre_distance_mm", None, 12.0,
        "The centre of the mask lies {value} mm from where the brain mask puts the thalami.",
        "Check the brain mask and the outline: the mask may sit on another structure, or the head is cut off.",
        DISTRUST, by_brain=True,
    ),
    Rule(
        "inside_brain", "inside_brain_fraction", 0.95, None,
        "Only {value} % of the mask lie inside the brain mask.",
        "Check the brain mask and the outline: one of the two is wrong.", DISTRUST, scale=100.0,
    ),
    Rule(
        "field_of_view", "touches_field_of_view", None, 0,
        "The mask reaches the edge of the image ({value}): the thalamus is probably cut off.",
        "Do not use the volume: part of the structure was not scanned.", DISTRUST,
    ),
    Rule(
        "no_data", "no_data_fraction", None, 0.02,
        "The image holds no data in {value} % of the mask's border: the thalamus is probably cut off.",
        "Do not use the volume: part of the structure was not scanned.", DISTRUST, scale=100.0,
    ),
    Rule(
        "in_view", "in_view", 0.98, None,
        "Only {value} % of the mask lie where the method could see the image.",
        "Do not use the volume: part of the structure was not scanned.", DISTRUST, scale=100.0,
    ),
    Rule(
        "self_agreement", "flip_dice", 0.92, None,
        "The method finds another thalamus in the mirrored image (Dice {value}).",
        "Look at the outline: the image may be noisy, blurred, cut off or of a contrast that the method cannot read.",
        digits=2,
    ),
    Rule(
        "confidence", "confidence", 0.83, None,
        "The method is uncertain: {value} where 1 is certain and {limit} the limit.",
        "Look at the outline: the image may be noisy, blurred, cut off or of a contrast that the method cannot read.",
        digits=2,
    ),
)  # fmt: skip

AGREEMENT_RULES = (
    Rule(
        "agreement_family", "best_dice_same_family", 0.85, None,
        "The mask agrees with none of the same method on the session's other images (best Dice {value}).",
        "Check the registration: the image may be of another person or session, or misaligned.", digits=2,
    ),
    Rule(
        "agreement", "best_dice_other_family", 0.70, None,
        "The mask agrees with none of the other methods (best Dice {value}).", _LOOK, digits=2,
    ),
)  # fmt: skip

EMPTY_RULE = Rule(
    "empty", "voxels", 1, None, "The mask is empty.",
    "Check that the image shows a whole head and has the contrast that its name says.", DISTRUST, digits=0,
)  # fmt: skip

BRAIN_RULES = (
    Rule(
        "brain_volume", "volume_mm3", 700_000.0, 2_000_000.0,
        "The brain mask has {value} L; {limit} L is the limit of what is plausible in adults.",
        "Look at the brain outline, which R1 scaling and the intracranial volume depend on; where it is right, the "
        "voxel sizes of the scan may be wrong, and with them every volume.", DISTRUST, scale=1e-6, digits=2,
    ),
    Rule(
        "brain_icv_fraction", "icv_fraction", 0.55, 1.15,
        "The brain mask is {value} % of the intracranial volume; {limit} % is the limit of what is plausible.",
        "Look at the brain outline; do not normalise by this intracranial volume before.", scale=100.0,
    ),
    Rule(
        "brain_cut_off", "largest_cut_mm2", None, 1500.0,
        "The field of view cuts through the brain ({value} mm^2 on one face).",
        "The thalamus may be complete, but brain and intracranial volume are not: do not normalise by them.", digits=0,
    ),
)  # fmt: skip

ICV_RULES = (
    Rule(
        "icv", "icv_mm3", 900_000.0, 2_200_000.0,
        "The intracranial volume is {value} L; {limit} L is the limit of what is plausible in adults.",
        "Do not normalise by it; look at the brain outline and the head's coverage.", DISTRUST, scale=1e-6, digits=2,
    ),
)  # fmt: skip


BLURRED = ("blurred", "very_blurred")
BEYOND_INTERVAL = {  # faults of a scan that move volumes by more than the interval of a method knows
    *BLURRED, "partly_clipped", "clipped", "one_side_dark", "filled", "noise",
    "empty_slices", "no_data",
}  # fmt: skip
SIZES = {"larger": (2_000_000.0, 20_000.0), "smaller": (950_000.0, 9_000.0)}  # mm^3 inside the skull, of both thalami


def size_flags(icv_mm3: float | None, volume_mm3: float | None, *, stripped: bool = False) -> list[dict[str, Any]]:
    """The flag of a scan in which the skull's inside and the thalami are both beyond nearly all adults'.

    Of a stripped scan (`stripped`) the volume inside the skull is that of what was left: it is not called small.
    """
    if icv_mm3 is None or volume_mm3 is None:
        return []
    far = {"larger": icv_mm3 > SIZES["larger"][0] and volume_mm3 > SIZES["larger"][1]}
    far["smaller"] = not stripped and icv_mm3 < SIZES["smaller"][0] and volume_mm3 < SIZES["smaller"][1]
    reason = (
        "Head and thalami are both {} than those of nearly all adults ({:.2f} L inside the skull, {:.1f} mL): "
        "the voxel sizes in the header may be wrong, and with them every volume."
    )
    advice = "Compare the voxel sizes with those of the protocol before you use a volume; they may be right of {}."
    right = {"larger": "a head that is known to be large", "smaller": "a child"}
    return [
        {
            "rule": "voxel_sizes", "severity": CHECK, "value": icv_mm3, "limit": SIZES[how][0],
            "reason": reason.format(how, icv_mm3 / 1e6, volume_mm3 / 1e3), "advice": advice.format(right[how]),
        }
        for how, beyond in far.items()
        if beyond
    ]  # fmt: skip


def distrusted(flags: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of the flags says that the thing must not be trusted."""
    return any(flag["severity"] == DISTRUST for flag in flags)


def mask_flags(measures: Mapping[str, Any], *, cut_off: bool = False) -> list[dict[str, Any]]:
    """The flags of one mask; of an empty one only that it is empty.

    Where the field of view cuts the brain (`cut_off`), its middle has moved: how far a mask is from it is then only to
    be looked at, unless the method is unsure of itself too.
    """
    empty = EMPTY_RULE.flag(measures)
    if empty is not None:
        return [empty]
    sided = measures.get("volume_left_mm3") is not None
    rules = (*SCAN_RULES, *(SIDED_RULES if sided else UNSIDED_RULES), *COMMON_RULES)
    flags = apply(rules, measures)
    if cut_off and not unsure(flags):
        mild = {
            "severity": CHECK,
            "advice": "The field of view cuts the brain, which moves its middle: look at the outline.",
        }
        moved = {rule.name for rule in rules if rule.by_brain}
        flags = [flag | mild if flag["rule"] in moved else flag for flag in flags]
    return flags


def unsure(flags: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the method itself finds another thalamus in the mirrored image."""
    return any(flag["rule"] == "self_agreement" for flag in flags)


def rater_flags(failed_by: str) -> list[dict[str, Any]]:
    """The flag of a mask that a person failed; none when ``failed_by`` is empty."""
    if not failed_by:
        return []
    advice = "Do not use it, nor what is made from it; correct the mask by hand or leave the session out."
    flag = {"rule": "rater", "severity": DISTRUST, "value": None, "limit": None, "advice": advice}
    return [flag | {"reason": _sentence(failed_by[0].upper() + failed_by[1:])}]


def reference_flags(reference: str, failed: str | None = None) -> list[dict[str, Any]]:
    """The flag of a session whose reference image cannot be used (``failed``: why), or is not a T1w."""
    if failed is not None:
        return [
            {
                "rule": "reference_failed", "severity": DISTRUST, "value": None, "limit": None,
                "reason": _sentence(f"The {reference} cannot be used: {failed}"),
                "advice": "Nothing of this session was measured: mend or replace the image.",
            }
        ]  # fmt: skip
    if reference == "T1w":
        return []
    return [
        {
            "rule": "no_t1w", "severity": CHECK, "value": None, "limit": None,
            "reason": f"There is no T1w: everything was measured on the {reference} in its place.",
            "advice": f"Compare its volumes with those of sessions that were measured on a {reference} only.",
        }
    ]  # fmt: skip


def registration_flags(registration: Mapping[str, Any], reference: str = "T1w") -> list[dict[str, Any]]:
    """The flags of one registration: excluded, with what is made from it, or what to look at although it passed."""
    name, attempts = registration["image"], registration["attempts"]
    if registration["excluded"]:
        best = max((a["mi"] for a in attempts if a["mi"] is not None), default=None)
        look = "Check that the image shows the same person and a whole head"
        advice = look if attempts else "Nothing was tried: mend what the reason names"
        return [
            {
                "rule": "registration_excluded", "severity": DISTRUST, "value": best, "limit": None,
                "reason": _sentence(f"{name} could not be aligned with the {reference}: {registration['reason']}"),
                "advice": f"{advice}; all that needs it is left out.",
            }
        ]  # fmt: skip
    chosen = [a for a in attempts if a["strategy"] == registration["chosen"]]
    return [
        {
            "rule": "registration_warning", "severity": CHECK, "value": attempt["mi"], "limit": attempt["cutoff"],
            "reason": _sentence(f"{name}: {warning}"), "advice": f"Look at {name} on the edges of the {reference}.",
        }
        for attempt in chosen
        for warning in attempt.get("warnings", ())
    ]  # fmt: skip


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
