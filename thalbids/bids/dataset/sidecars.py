"""Files by their BIDS name, and their metadata by the inheritance principle."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalbids.bids.dataset.index import ENTITY, SUFFIXES
from thalbids.errors import MetadataError
from thalbids.files import read_json
from thalbids.types import RAW_SUFFIXES

_NAME = re.compile(rf"(?P<entities>(?:{ENTITY}_)*)(?P<suffix>[0-9A-Za-z]+)(?P<extension>\.nii\.gz|\.nii|\.json)")
_WITH_SIDECARS = frozenset({*SUFFIXES, *RAW_SUFFIXES["anat"], *RAW_SUFFIXES["fmap"], "MTsat", "T1rho", "cbf"})
_POINTERS = b"/annex/objects/", b"version https://git-lfs.github.com/spec/"  # of git-annex and Git LFS
_ANNEX_LARGEST = 32 * 1024  # bytes; git-annex takes no longer file for a pointer


@dataclass(frozen=True)
class BidsFile:
    """A file whose name follows BIDS; ``entities`` by their short names, in the order of the name."""

    path: Path
    suffix: str
    extension: str
    entities: Mapping[str, str]

    @property
    def own_entities(self) -> dict[str, str]:
        """The entities besides sub and ses."""
        return {key: value for key, value in self.entities.items() if key not in ("sub", "ses")}


def parse(path: Path) -> BidsFile | None:
    """A file by its name; None when the name does not follow BIDS.

    Examples
    --------
    >>> parse(Path("sub-01_acq-mprage_run-1_T1w.nii.gz")).own_entities
    {'acq': 'mprage', 'run': '1'}
    >>> parse(Path("T1.nii")).entities
    {}
    >>> parse(Path("sub-01_T1w_copy.nii.gz")) is None
    True
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    pairs = [part.split("-", 1) for part in match["entities"].split("_") if part]
    entities = dict(pairs)
    if len(entities) < len(pairs):
        return None  # the same entity twice
    return BidsFile(path, match["suffix"], match["extension"], entities)


@dataclass
class Sidecars:
    """The JSON sidecars of one dataset; every folder and file is read once.

    Nearer folders win over farther ones (root, subject, session, anat); in one folder the name with more entities wins.
    """

    root: Path
    _folders: dict[Path, list[BidsFile]] = field(default_factory=dict)
    _contents: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def merged(self, image: BidsFile) -> dict[str, Any]:
        """The metadata of an image ({} when it has no sidecar).

        Raises
        ------
        MetadataError
            A sidecar, or a folder on the way, cannot be read.
        """
        merged: dict[str, Any] = {}
        for file in self._down_to(image.path.parent):
            if file.suffix == image.suffix and file.entities.items() <= image.entities.items():
                merged.update(self._content(file.path))
        return merged

    def _down_to(self, folder: Path) -> list[BidsFile]:
        """The sidecars from the root down to a folder inside it, in each general names first."""
        if folder not in self._folders:
            inside = self.root in (folder, *folder.parents)
            above = self._down_to(folder.parent) if folder != self.root and inside else []
            self._folders[folder] = [*above, *_sidecars(folder)] if inside else []
        return self._folders[folder]

    def _content(self, path: Path) -> dict[str, Any]:
        if path not in self._contents:
            check_content(path)
            self._contents[path] = read_json(path)
        return self._contents[path]


def _sidecars(folder: Path) -> list[BidsFile]:
    """The sidecars in a folder, general names first."""
    parsed = [parse(folder / name) for name in listing(folder) if name.endswith(".json")]
    files = [file for file in parsed if file is not None and _has_sidecars(file.suffix)]
    return sorted(files, key=lambda file: (len(file.entities), file.path.name))


def _has_sidecars(suffix: str) -> bool:
    """Whether metadata are read of such an image: the others' sidecars are not opened."""
    return suffix in _WITH_SIDECARS or suffix.endswith("map")


def listing(folder: Path) -> list[str]:
    """Sorted names in a folder; empty when it is not there.

    Raises
    ------
    MetadataError
        The folder may not be read.
    """
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 (names only; Path objects cost ten times as much)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problem = f"the folder cannot be read ({error.strerror or error})."
        raise MetadataError(problem, "Check its permissions.", folder) from None


def check_content(path: Path) -> None:
    """Refuse a file whose content is elsewhere.

    Raises
    ------
    MetadataError
        No file, a broken link (content of a datalad or git-annex dataset that was not fetched, a target that was
        moved), or the pointer that git-annex (of an unlocked file) or Git LFS leaves in its place.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise MetadataError("this is not a file but a folder, device or pipe.", "Put the file there.", path)
        pointer = about.st_size <= _ANNEX_LARGEST and path.read_bytes().startswith(_POINTERS)
    except FileNotFoundError:
        pointer = True
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})."
        raise MetadataError(problem, "Check its permissions and links.", path) from None
    if pointer:
        problem = "only a link is here, its content is not on this machine."
        mend = "Get the content first (datalad get, git annex get, git lfs pull) or repair the link."
        raise MetadataError(problem, mend, path)
