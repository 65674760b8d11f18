"""QC documents and alignments, read again by all that looks at many: one that is damaged costs its session alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.errors import MetadataError
from thalbids.files import read_json

SEVERITIES = ("check", "distrust")
Kinds = type | tuple[type, ...]
_NUMBER = (int, float, type(None))
_FLAG: Mapping[str, Kinds] = {"rule": str, "severity": str, "scope": str}
_LISTS: Mapping[str, Mapping[str, Kinds]] = {  # key -> what each entry of the list must hold
    "Flags": _FLAG,
    "Registrations": {"image": str, "attempts": list, "excluded": bool, "chosen": (str, type(None))},
    "ICV": {"source": str, "icv_mm3": _NUMBER, "flags": list},
}
_MASK: Mapping[str, Kinds] = {
    "family": str, "status": str, "trusted": bool, "flags": list, "measures": (dict, type(None)),
}  # fmt: skip
_ALIGNMENT: Mapping[str, Kinds] = {
    "First": (str, type(None)), "Chosen": (str, type(None)), "Correlation": _NUMBER, "Reason": str,
}  # fmt: skip
_ATTEMPT: Mapping[str, Kinds] = {"strategy": str, "mi": _NUMBER, "cutoff": _NUMBER}


def read_document(path: Path) -> dict[str, Any]:
    """The QC document of a session, its parts of the kinds that readers rely on (quicker than the whole schema).

    Raises
    ------
    MetadataError
        The file is missing, not JSON, or no such document.
    """
    document = read_json(path)
    fault = next(_faults(document), None)
    if fault is not None:
        raise MetadataError(f"not a QC document ({fault}).", "Run participant again.", path)
    return document


def read_alignment(path: Path) -> dict[str, Any]:
    """The record of an alignment.

    Raises
    ------
    MetadataError
        The file is missing, not JSON, or no such record.
    """
    record = read_json(path)
    fault = "" if _holds(record, _ALIGNMENT) else "its entries"
    if not fault and record["Chosen"] is not None and not _rigid(record.get("Matrix")):
        fault = "Matrix"
    if fault:
        raise MetadataError(f"not a record of an alignment ({fault}).", "Run participant again.", path)
    return record


def _rigid(matrix: object) -> bool:
    """Whether this is a transform of 4 x 4 numbers that keeps volumes (2 % for rounding)."""
    try:
        array = np.asarray(matrix, np.float64)
    except (TypeError, ValueError):
        return False
    return array.shape == (4, 4) and bool(np.isfinite(array).all()) and abs(np.linalg.det(array[:3, :3]) - 1) < 0.02


def _faults(document: Mapping[str, Any]) -> Iterator[str]:
    for key, needed in _LISTS.items():
        entries = document.get(key)
        if not isinstance(entries, list):
            yield key
            return
        yield from (key for entry in entries if not _holds(entry, needed))
    masks = document.get("Masks")
    if not isinstance(masks, dict) or not all(_holds(mask, _MASK) for mask in masks.values()):
        yield "Masks"
        return
    if not all(_names(mask.get("images", [])) for mask in masks.values()):
        yield "images of a mask"
    flags = [*document["Flags"], *(flag for mask in masks.values() for flag in mask["flags"])]
    if not all(isinstance(flag, dict) and flag.get("severity") in SEVERITIES for flag in flags):
        yield "a flag"
    attempts = [attempt for entry in document["Registrations"] for attempt in entry["attempts"]]
    if not all(_holds(attempt, _ATTEMPT) for attempt in attempts):
        yield "an attempt of a registration"
    if not isinstance(document.get("Brain"), (dict, type(None))):
        yield "Brain"
    versions = document.get("Provenance", {})
    if not isinstance(versions, dict) or not isinstance(versions.get("Versions", {}), dict):
        yield "Provenance"
    images = document.get("Images", {})
    if not isinstance(images, dict) or not all(isinstance(image, dict) for image in images.values()):
        yield "Images"


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _holds(entry: object, needed: Mapping[str, Kinds]) -> bool:
    """Whether an object has these keys with values of these kinds."""
    return isinstance(entry, dict) and all(isinstance(entry.get(key, ...), kind) for key, kind in needed.items())
