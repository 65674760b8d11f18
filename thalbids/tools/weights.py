"""Files that some tools need and that are never fetched during a run: where they lie, and what they must be.

``thalbids fetch`` brings them (:mod:`thalbids.cli.fetch`).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Weights:
    """A file to fetch.

    Attributes
    ----------
    name : its short name, for ``thalbids fetch``
    url : address of one fixed revision
    filename : its name in the cache
    size : bytes
    sha256 : checksum
    licence : its licence
    source : where size and checksum come from
    """

    name: str
    url: str
    filename: str
    size: int
    sha256: str
    licence: str
    source: str


MINDGLIDE = Weights(
    name="mindglide",
    url="https://huggingface.co/MS-PINPOINT/mindglide/resolve/a1969821c0a4a37ae54f649a9a0c6fd1b8a48e26/"
    "_20240404_conjurer_trained_dice_7733.pt",
    filename="mindglide-20240404-7733.pt",
    size=123158460,
    sha256="881e30efd9444a25ee70c01d795dd9fb21ac750a48f1ba8070fcd79fb75e76ca",
    licence="MIT",
    source="the LFS pointer of this file in the repository MS-PINPOINT/mindGlide (commit f5ad869)",
)
ALL = {weights.name: weights for weights in (MINDGLIDE,)}


def cache_folder() -> Path:
    """``THALBIDS_CACHE``, or the platform's folder for caches."""
    named = os.environ.get("THALBIDS_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "thalbids"
    base = os.environ.get("XDG_CACHE_HOME")  # relative ones are to be ignored, by the specification
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "thalbids"


def place(weights: Weights) -> Path:
    """Where the file lies once it is fetched; the checksum is part of the path."""
    return cache_folder() / "weights" / weights.sha256[:16] / weights.filename


def cached(weights: Weights) -> Path | None:
    """The file of the cache; None when it was not fetched. Its size is checked, its content was when it came."""
    path = place(weights)
    return path if path.is_file() and path.stat().st_size == weights.size else None
