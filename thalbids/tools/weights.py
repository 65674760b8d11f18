"""Files that are never fetched during a run: where they lie, and what they must be.

``thalbids fetch`` brings them (:mod:`thalbids.tools.download`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from thalbids import families
from thalbids.settings import unknown_name
from thalbids.tools import templates
from thalbids.tools.download import Download


def cache_folder() -> Path:
    """``THALBIDS_CACHE``, or the platform's folder for caches."""
    named = os.environ.get("THALBIDS_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "thalbids"
    base = os.environ.get("XDG_CACHE_HOME")  # relative ones are to be ignored, by the specification
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "thalbids"


def named(what: str) -> tuple[Download, ...]:
    """The files behind a word of ``thalbids fetch``.

    Raises
    ------
    UsageError
        Nothing has this name.
    OutputError
        The folder of templates cannot be written.
    """
    kind, colon, name = what.partition(":")
    if colon and kind == "template":
        return templates.downloads(name)
    fetched = {family: families.methods()[family] for family, entry in families.known().items() if entry.download}
    if what in fetched:
        return tuple(fetched[what].downloads())
    raise unknown_name("file to fetch", what, [*fetched, f"template:{templates.OFFERED}"])


def here(download: Download) -> bool:
    """Tell whether it is here, in the right size; its content was checked when it came."""
    try:
        size = download.path.stat().st_size
    except OSError:
        return False
    return size > 0 if download.size is None else size == download.size
