"""Files that are never fetched during a run: where they lie, and what they must be.

``thalbids fetch`` brings them (:mod:`thalbids.tools.download`).
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from thalbids import families
from thalbids.settings import unknown_name

_TEMPLATES = "https://templateflow.s3.amazonaws.com"
_CHECKED = {  # size and SHA-256, where they are published
    "tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz": (
        13685075,
        "1f27aabea9f7183dc0c69dafa71e1787b921ca778d655d9c1bf302b273d5627a",
    ),
    "tpl-MNI152NLin2009cAsym_res-01_desc-brain_mask.nii.gz": (
        None,
        "e40bb1816736504d4c25abc243c1c8503df1d308f64c048318aa4b829e09a7ae",
    ),
}


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Attributes
    ----------
    url : address, of one fixed revision where there are several
    path : where it lies once it is here
    size : bytes; None when it is not known beforehand
    sha256 : checksum; None when none is published: then that of the first fetch is kept and holds from then on
    licence : its licence
    """

    url: str
    path: Path
    size: int | None
    sha256: str | None
    licence: str


def cache_folder() -> Path:
    """``THALBIDS_CACHE``, or the platform's folder for caches."""
    named = os.environ.get("THALBIDS_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "thalbids"
    base = os.environ.get("XDG_CACHE_HOME")  # relative ones are to be ignored, by the specification
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "thalbids"


def mindglide() -> Download:
    """MindGlide's checkpoint, the one of its versions 1.0 to 1.3.

    Size and checksum are those of the LFS pointer in the repository MS-PINPOINT/mindGlide (commit f5ad869).
    """
    name = "_20240404_conjurer_trained_dice_7733.pt"
    revision = "a1969821c0a4a37ae54f649a9a0c6fd1b8a48e26"
    return Download(
        url=f"https://huggingface.co/MS-PINPOINT/mindglide/resolve/{revision}/{name}",
        path=cache_folder() / "weights" / "mindglide" / f"881e30ef{name}",
        size=123158460,
        sha256="881e30efd9444a25ee70c01d795dd9fb21ac750a48f1ba8070fcd79fb75e76ca",
        licence="MIT",
    )


def template(name: str) -> tuple[Download, ...]:
    """T1w and brain mask (1 mm) of a template, into the folder that TemplateFlow itself uses.

    Raises
    ------
    UsageError
        It is no name of a template.
    """
    if not re.fullmatch(r"[0-9A-Za-z]+", name):
        raise unknown_name("template", name, ["MNI152NLin2009cAsym"])
    given = os.environ.get("TEMPLATEFLOW_HOME")
    home = Path(given).expanduser().absolute() if given else Path.home() / ".cache" / "templateflow"
    files = [f"tpl-{name}_res-01_{rest}.nii.gz" for rest in ("T1w", "desc-brain_mask")]
    return tuple(
        Download(
            url=f"{_TEMPLATES}/tpl-{name}/{file}",
            path=home / f"tpl-{name}" / file,
            size=_CHECKED.get(file, (None, None))[0],
            sha256=_CHECKED.get(file, (None, None))[1],
            licence="see the template's LICENSE",
        )
        for file in files
    )


def named(what: str) -> tuple[Download, ...]:
    """The files behind a word of ``thalbids fetch``.

    Raises
    ------
    UsageError
        Nothing has this name.
    """
    kind, colon, name = what.partition(":")
    if colon and kind == "template":
        return template(name)
    fetched = {family: families.methods()[family] for family, entry in families.known().items() if entry.download}
    if what in fetched:
        return tuple(fetched[what].downloads())
    raise unknown_name("file to fetch", what, [*fetched, "template:MNI152NLin2009cAsym"])


def here(download: Download) -> bool:
    """Tell whether it is here, in the right size; its content was checked when it came."""
    try:
        size = download.path.stat().st_size
    except OSError:
        return False
    return size > 0 if download.size is None else size == download.size
