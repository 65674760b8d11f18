"""Templates of TemplateFlow, found by its own client in its own folder (``TEMPLATEFLOW_HOME``).

Runs only look whether a template is there (:func:`local`): nothing is downloaded and nothing is written. The client is
imported only where the folder of that template holds something, because its import fills an empty ``TEMPLATEFLOW_HOME``
with placeholders. ``thalbids fetch`` asks the client which files a template has and where they come from
(:func:`downloads`), and fetches them as every other file: resumed and checked, which TemplateFlow does not.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from thalbids.errors import OutputError, UsageError
from thalbids.settings import unknown_name
from thalbids.tools.download import Download

OFFERED = "MNI152NLin2009cAsym"
FILES: tuple[dict[str, Any], ...] = (  # T1w and brain mask (1 mm), as the client is asked for them
    {"resolution": 1, "suffix": "T1w", "desc": None, "extension": ".nii.gz"},
    {"resolution": 1, "suffix": "mask", "desc": "brain", "extension": ".nii.gz"},
)
PINNED = {  # size and SHA-256, where they are published
    "tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz": (
        13685075,
        "1f27aabea9f7183dc0c69dafa71e1787b921ca778d655d9c1bf302b273d5627a",
    ),
    "tpl-MNI152NLin2009cAsym_res-01_desc-brain_mask.nii.gz": (
        None,
        "e40bb1816736504d4c25abc243c1c8503df1d308f64c048318aa4b829e09a7ae",
    ),
}
SETTING = "TEMPLATEFLOW_HOME"


def home() -> Path:
    """The folder of TemplateFlow, by its own rule."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get(SETTING) or user_cache_dir("templateflow")).absolute()


def folder(name: str) -> Path:
    """Where a template lies.

    Raises
    ------
    UsageError
        It is no name of a template.
    """
    if not re.fullmatch(r"[0-9A-Za-z]+", name):
        raise unknown_name("template", name, [OFFERED])
    return home() / f"tpl-{name}"


def local(name: str) -> tuple[Path, ...]:
    """T1w and brain mask of a template that is on this machine; empty where one of them is not.

    Raises
    ------
    UsageError
        It is no name of a template.
    """
    files = _listed(name)
    return files if len(files) == len(FILES) and all(path.stat().st_size for path in files) else ()


def downloads(name: str) -> tuple[Download, ...]:
    """T1w and brain mask of a template, to be fetched; writes TemplateFlow's placeholders where they are not yet.

    Raises
    ------
    UsageError
        TemplateFlow has no such template, or it has no T1w and brain mask of 1 mm.
    OutputError
        The folder cannot be written.
    """
    place = folder(name)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        from templateflow.conf.cache import CacheConfig, TemplateFlowCache

        config = CacheConfig(root=place.parent, use_datalad=False)
        TemplateFlowCache(config).update(local=True, overwrite=False, silent=True)  # from the package, no download
    except OSError as error:
        remedy = f"Choose another folder: {SETTING}."
        raise OutputError(f"cannot be written ({error.strerror or error}).", remedy, place.parent) from None
    files = _listed(name)
    if len(files) != len(FILES):
        raise UsageError(f"TemplateFlow has no T1w and brain mask (1 mm) of {name!r}.", "See templateflow.org.")
    return tuple(
        Download(
            url=f"{config.s3_root}/{path.relative_to(place.parent).as_posix()}",
            path=path,
            size=PINNED.get(path.name, (None, None))[0],
            sha256=PINNED.get(path.name, (None, None))[1],
            licence="see the template's LICENSE",
            setting=SETTING,
        )
        for path in files
    )


def _listed(name: str) -> tuple[Path, ...]:
    """The files of a template that TemplateFlow knows here, empty placeholders among them."""
    place = folder(name)
    if not place.is_dir() or not any(place.iterdir()):
        return ()
    return _asked(name, place, place.stat().st_mtime_ns)


@cache
def _asked(name: str, place: Path, changed: int) -> tuple[Path, ...]:
    """Ask TemplateFlow's client: once, as long as nothing is added to the folder. It takes a second."""
    del changed
    from templateflow.client import TemplateFlowClient

    # The folder of the one template: the index of all of them would take many seconds.
    client = TemplateFlowClient(root=place, use_datalad=False, autoupdate=False)
    return tuple(path for entities in FILES for path in client.ls(name, **entities))
