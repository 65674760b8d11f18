"""The QC document of a session: built from arrays and plain values, validated against the published schema on write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from thalbids import families
from thalbids.errors import MetadataError
from thalbids.files import read_json, write_json
from thalbids.image import landmarks
from thalbids.image.landmarks import Side
from thalbids.qc import contradictions, rules
from thalbids.qc.measures import Measures, brain_measures, expected_centre, mask_box, mask_measures, moved_origin
from thalbids.qc.visits import balance_flags, image_flags, visit_flags

SCHEMA_VERSION = "1.0"


@dataclass(frozen=True)
class MaskInput:
    """One thalamus mask of a session, or why there is none.

    Attributes
    ----------
    labels : array on the T1w grid, 10 left and 49 right (or any non-zero value without sides); None without a mask
    family : masks of one family come from one method (``synthal``)
    images : what the mask was made from (``("T1w",)``, ``("T1w", "FLAIR")`` for an ensemble)
    status, reason : as in the volume table (ok, missing, failed, excluded)
    soft_volume_mm3 : sum of probabilities x voxel volume
    image : array of the image that it was made from, exactly 0 where it holds no data; None for ensembles
    diagnostics : what the method says about itself: ``flip_dice``, ``confidence``, ``in_view``
    envelope : how much another method's mask decides of this one (:func:`thalbids.methods.envelope.dependence`)
    builds_on : families whose mask it is cut with, agreement with which says nothing
    failed_by : what raters said who failed this mask; "" when nobody did
    """

    labels: np.ndarray | None
    family: str
    images: tuple[str, ...]
    status: str = "ok"
    reason: str = ""
    soft_volume_mm3: float | None = None
    image: np.ndarray | None = None
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    envelope: Mapping[str, Any] | None = None
    builds_on: tuple[str, ...] = ()
    failed_by: str = ""


def build(
    *,
    subject: str,
    session: str | None,
    affine: np.ndarray | None,
    masks: Mapping[str, MaskInput],
    brain: np.ndarray | None = None,
    brain_source: str | None = None,
    head: Mapping[str, Side] | None = None,
    images: Mapping[str, Mapping[str, Any]] | None = None,
    registrations: Iterable[Mapping[str, Any]] = (),
    icv: Iterable[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    missing: Iterable[Mapping[str, str]] = (),
    visits: Sequence[Mapping[str, Any]] = (),
    reference: str = "T1w",
    maps: Mapping[str, Any] | None = None,
    stripped: bool = False,
) -> dict[str, Any]:
    """Measure and judge everything of one session.

    Parameters
    ----------
    subject, session : labels without ``sub-`` and ``ses-``; session None where there is no session level
    affine : (4, 4) voxel to RAS+ mm of the T1w grid, which all arrays share; None when no array is given
    masks : method -> MaskInput, in the order of the tables
    brain : brain mask
    brain_source : whose it is: a family or ``given``; without one the embedded method's
    head : where the whole-head network sees the left and the right thalamus (:mod:`thalbids.image.landmarks`)
    images : name (T1w, FLAIR, R1map, T2w, UNIT1) -> {"source": BIDS URI, "status", "reason", "notes": [...], ...}
    registrations : one per registered image: {"image", "chosen" (or None), "reason", "excluded", "attempts":
        [{"strategy", "interpolation", "metric", "mi", "cutoff", "passed", "reason"}]}
    icv : {"source", "icv_mm3" (or None), "status", "reason"} per source, the preferred one first
    notes : what was decided or repaired, in words
    missing : {"item", "reason"} for what could not be made
    maps : the QC document of the quantitative maps (``Maps``, ``Motion``, ``Flags``), where there are any
    visits : this visit, then the person's others, as :func:`thalbids.qc.visits.visit_flags` takes them
    reference : the image on whose grid everything lies: T1w, or what takes its place
    stripped : whether that image is skull-stripped

    Returns
    -------
    The document of ``data/schemas/qc.schema.json``. ``Flags`` lists every flag with its ``scope`` (``brain``,
    ``icv``, ``registration:FLAIR``, ``mask:synthalT1w``).
    """
    icv = [_icv(entry) for entry in icv]
    failed = failure_of(reference, images or {})
    registrations = [_registration(entry, reference, failed is not None) for entry in registrations]
    judged = _brain(brain, affine, icv, brain_source or families.embedded())
    trustworthy = judged is not None and not rules.distrusted(judged["flags"])
    document: dict[str, Any] = {
        "SchemaVersion": SCHEMA_VERSION,
        "Subject": subject,
        "Session": session,
        "Reference": reference,
        "Images": {name: dict(entry) for name, entry in (images or {}).items()},
        "Registrations": registrations,
        "Masks": _masks(masks, affine, brain, trustworthy, head, cut_off=_cut_off(judged, icv)),
        "ICV": icv,
        "Brain": judged,
        "Notes": list(notes),
        "Missing": [dict(entry) for entry in missing],
    }
    told = visit_flags(visits[0], visits[1:]) if visits else []
    _distrust(document["Masks"], [flag for _, flag in told if flag["severity"] == rules.DISTRUST])
    _compare_balance(document["Masks"], visits[1:])
    flags = [{"scope": f"visit:{label}", **flag} for label, flag in told if flag["severity"] != rules.DISTRUST]
    sizes = rules.size_flags(*_sizes(document), stripped=stripped)
    document["Flags"] = [*_all_flags(document, sizes), *(maps["Flags"] if maps else ()), *flags]
    if maps:
        document["Maps"] = {name: _short(summary) for name, summary in maps["Maps"].items()}
        document["Contrasts"] = dict(maps["Motion"])
    return document


def write(path: Path | str, document: Mapping[str, Any]) -> None:
    """Validate a document against the schema, then write it atomically.

    Raises
    ------
    ValueError
        The document breaks the schema (a mistake of the caller); the message names the place.
    OutputError
        The file cannot be written.
    """
    fault = _fault(document)
    if fault:
        raise ValueError(f"QC document of {path}: {fault}")
    write_json(path, document)


def read(path: Path | str) -> dict[str, Any]:
    """Read a QC document.

    Raises
    ------
    MetadataError
        The file is missing, not JSON, or breaks the schema.
    """
    document = read_json(path)
    fault = _fault(document)
    if fault:
        raise MetadataError(f"not a QC document: {fault}", "Delete it and run participant again.", path)
    return document


@cache
def schema() -> dict[str, Any]:
    """The published JSON schema (Draft 2020-12) of the QC document."""
    text = resources.files("thalbids").joinpath("data", "schemas", "qc.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def _fault(document: Mapping[str, Any]) -> str:
    """The first place where the document breaks the schema, "" when it is valid."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())
    faults = sorted(validator.iter_errors(document), key=lambda error: [str(part) for part in error.absolute_path])
    if not faults:
        return ""
    place = "/".join(str(part) for part in faults[0].absolute_path) or "the top level"
    return f"{place}: {faults[0].message[:300]}"


def _masks(
    masks: Mapping[str, MaskInput],
    affine: np.ndarray | None,
    brain: np.ndarray | None,
    trustworthy: bool,
    head: Mapping[str, Side] | None,
    *,
    cut_off: bool,
) -> dict[str, Any]:
    """Measures and flags of every mask; a brain mask that is itself implausible says nothing about the centre."""
    expected = None if brain is None or affine is None or not trustworthy else expected_centre(brain, affine)
    out: dict[str, dict[str, Any]] = {}
    for name, mask in masks.items():
        entry: dict[str, Any] = {"family": mask.family, "images": list(mask.images)}
        entry |= {"status": mask.status, "reason": mask.reason, "measures": None, "flags": [], "trusted": False}
        if mask.envelope is not None:
            entry["envelope"] = dict(mask.envelope)
        if mask.labels is not None:
            if affine is None:
                raise ValueError("masks need the affine of their grid")
            entry["measures"] = mask_measures(
                mask.labels, affine, soft_volume_mm3=mask.soft_volume_mm3, expected=expected, brain=brain,
                image=mask.image, diagnostics=mask.diagnostics,
            )  # fmt: skip
            flags = rules.mask_flags(entry["measures"], cut_off=cut_off)
            entry["flags"] = [*rules.rater_flags(mask.failed_by), *flags]
            if any(flag["rule"] in rules.BEYOND_INTERVAL for flag in flags):
                entry["measures"] |= {"volume_low_mm3": None, "volume_high_mm3": None}
        out[name] = entry
    if affine is not None:
        _compare(masks, out, affine, head, cut_off=cut_off)
    for entry in out.values():
        good = entry["status"] == "ok" and entry["measures"] is not None
        entry["trusted"] = good and not rules.distrusted(entry["flags"])
    return out


def _compare(
    masks: Mapping[str, MaskInput],
    out: dict[str, dict[str, Any]],
    affine: np.ndarray,
    head: Mapping[str, Side] | None,
    *,
    cut_off: bool,
) -> None:
    """Add what the masks of a session say of each other: their overlap, which of them is the odd one out, agreement
    with those that are not.
    """
    agreement, shares = _agreement(masks)
    odd, undecided = contradictions.judge(_witnesses(masks, out, affine), shares, head)
    doubtful = {name for name, entry in out.items() if rules.distrusted(entry["flags"])} | set(odd)
    for name, entry in out.items():
        if entry["measures"] is None:
            continue
        entry["measures"]["dice"] = agreement[name]
        sound = {other: value for other, value in agreement[name].items() if other not in doubtful}
        entry["measures"] |= _best(name, masks, sound)
        if name in odd:
            entry["flags"].append(contradictions.flag(odd[name], "odd_one_out"))
        elif name in undecided:
            unsure = rules.unsure(entry["flags"])
            flag = contradictions.flag(undecided[name], "contradiction", odd, unsure=unsure, cut_off=cut_off)
            entry["flags"].append(flag)
        elif name not in doubtful:
            entry["flags"] += rules.apply(rules.AGREEMENT_RULES, entry["measures"])


def _witnesses(
    masks: Mapping[str, MaskInput], out: Mapping[str, Mapping[str, Any]], affine: np.ndarray
) -> dict[str, contradictions.Witness]:
    """The masks that can be compared: with both sides, not distrusted by themselves, and no ensemble of others."""
    witnesses = {}
    for name, mask in masks.items():
        ensemble = any(other.family == mask.family and set(other.images) < set(mask.images) for other in masks.values())
        if mask.labels is None or mask.status != "ok" or ensemble or rules.distrusted(out[name]["flags"]):
            continue
        box = mask_box(mask.labels)
        if box is None:
            continue
        places = landmarks.of_labels(np.asarray(mask.labels)[box], moved_origin(affine, box))
        if places is not None:
            volume = families.of(mask.family).relative_volume
            witnesses[name] = contradictions.Witness(places, mask.family, mask.images, mask.builds_on, volume)
    return witnesses


Table = dict[str, dict[str, float | None]]


def _agreement(masks: Mapping[str, MaskInput]) -> tuple[Table, Table]:
    """Dice of every pair of masks, and the share of the smaller in the larger, on the box that holds them all."""
    arrays = {name: np.asarray(mask.labels) != 0 for name, mask in masks.items() if mask.labels is not None}
    names = list(arrays)
    table: Table = {name: {} for name in names}
    shares: Table = {name: {} for name in names}
    if not names:
        return table, shares
    box = _common_box(list(arrays.values()))
    arrays = {name: array[box] for name, array in arrays.items()}
    sizes = {name: int(np.count_nonzero(array)) for name, array in arrays.items()}
    for i, first in enumerate(names):
        for second in names[:i]:
            both, total = int(np.count_nonzero(arrays[first] & arrays[second])), sizes[first] + sizes[second]
            least = min(sizes[first], sizes[second])
            table[first][second] = table[second][first] = 2.0 * both / total if total else None
            shares[first][second] = shares[second][first] = both / least if least else None
    return {name: {other: row[other] for other in names if other != name} for name, row in table.items()}, shares


def _common_box(arrays: Sequence[np.ndarray]) -> tuple[slice, ...]:
    """The smallest box that holds all masks."""
    boxes = [box for box in map(mask_box, arrays) if box is not None]
    if not boxes:
        return (slice(0, 1),) * 3
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))


def _best(name: str, masks: Mapping[str, MaskInput], row: Mapping[str, float | None]) -> Measures:
    """The best agreement with an independent mask of the same family (no image in common) and of another family."""
    measures = masks[name]
    same = [
        row[o]
        for o, m in masks.items()
        if o in row and m.family == measures.family and not {*m.images} & {*measures.images}
    ]
    apart = {o for o, m in masks.items() if m.family not in (measures.family, *measures.builds_on)}
    other = [row[o] for o, m in masks.items() if o in row and o in apart and measures.family not in m.builds_on]
    return {
        "best_dice_same_family": max((value for value in same if value is not None), default=None),
        "best_dice_other_family": max((value for value in other if value is not None), default=None),
    }


def _brain(
    brain: np.ndarray | None, affine: np.ndarray | None, icv: Sequence[Mapping[str, Any]], source: str
) -> dict[str, Any] | None:
    """Measures and flags of the brain mask; None without one."""
    if brain is None or affine is None:
        return None
    volume = next((entry["icv_mm3"] for entry in icv if entry["icv_mm3"] is not None), None)
    measures = brain_measures(brain, affine, volume)
    return {"source": source, **measures, "flags": rules.apply(rules.BRAIN_RULES, measures)}


def _icv(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One intracranial volume with its flags."""
    measured = "missing" if entry.get("icv_mm3") is None else "ok"
    full = {"status": measured, "reason": "", **entry}
    flags = rules.apply(rules.ICV_RULES, full)
    if rules.distrusted(flags) and full["status"] == "ok":
        full |= {"status": "excluded", "reason": " ".join(flag["reason"] for flag in flags)}
    return {**full, "flags": flags}


def _cut_off(brain: Mapping[str, Any] | None, icv: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the field of view cuts the brain, or the head so that the embedded method tells no volume of it."""
    cut = brain is not None and any(flag["rule"] == "brain_cut_off" for flag in brain["flags"])
    return cut or any(entry["source"] == families.embedded() and entry["icv_mm3"] is None for entry in icv)


def failure_of(reference: str, images: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why the reference image of a session cannot be used; None where it can, or nothing is known."""
    image = images.get(reference, {"status": "ok"})
    return None if image["status"] == "ok" else str(image["reason"])


def _registration(entry: Mapping[str, Any], reference: str, nothing: bool) -> dict[str, Any]:
    """One registration with its flags; none where there was nothing to register with."""
    full = {**entry, "attempts": [dict(attempt) for attempt in entry["attempts"]]}
    return {**full, "flags": [] if nothing else rules.registration_flags(full, reference)}


def _distrust(masks: Mapping[str, dict[str, Any]], flags: Sequence[dict[str, Any]]) -> None:
    """Give every mask the flags of the whole visit."""
    for entry in masks.values():
        if flags and entry["measures"] is not None:
            entry["flags"] += [dict(flag) for flag in flags]
            entry["trusted"] = False


def _compare_balance(masks: Mapping[str, dict[str, Any]], others: Sequence[Mapping[str, Any]]) -> None:
    """Flag the masks whose balance of left and right is another than in the person's other visits."""
    indices = {name: entry["measures"]["asymmetry_index"] for name, entry in masks.items() if entry["measures"]}
    known = {name: value for name, value in indices.items() if value is not None}
    seen = {str(other["session"]): other.get("asymmetry", {}) for other in others}
    for name, flag in balance_flags(known, seen).items():
        masks[name]["flags"].append(flag)
        masks[name]["trusted"] = False


def _short(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A map without its histogram, which stands in ``*_desc-qmri_qc.json``."""
    return {key: value for key, value in summary.items() if key != "histogram"}


def _sizes(document: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The volume inside the skull as the scan itself shows it, and the thalami's: the middle one of all masks."""
    icv = {entry["source"]: entry["icv_mm3"] for entry in document["ICV"]}
    volumes = [mask["measures"]["volume_mm3"] for mask in document["Masks"].values() if mask["measures"]]
    some = [volume for volume in volumes if volume]  # an empty mask tells no size
    return icv.get(families.embedded()), median(some) if some else None


def _all_flags(document: Mapping[str, Any], sizes: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Every flag of the document with the thing it is about; ``sizes`` are those of the reference image."""
    brain, reference = document["Brain"], document["Reference"]
    scoped = [(f"image:{reference}", rules.reference_flags(reference, failure_of(reference, document["Images"])))]
    scoped += [(f"image:{reference}", sizes), ("brain", brain["flags"] if brain else [])]
    scoped += [("icv", entry["flags"]) for entry in document["ICV"]]
    scoped += [(f"registration:{entry['image']}", entry["flags"]) for entry in document["Registrations"]]
    scoped += [(f"mask:{name}", entry["flags"]) for name, entry in document["Masks"].items()]
    scoped += [
        (f"image:{name}", image_flags(name, entry.get("acquisition") or {}, entry.get("notes") or ()))
        for name, entry in document["Images"].items()
    ]
    for scope, flags in scoped:
        for flag in flags:
            yield {"scope": scope, **flag}
