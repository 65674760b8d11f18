"""Raw quantitative images of a session: echoes, flip angles, inversions and B1 maps, from which maps are computed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from thalbids.bids.sidecars import Sidecars, check_content, listing, parse
from thalbids.errors import MetadataError
from thalbids.types import RAW_SUFFIXES, InputImage

_EXTENSIONS = (".nii.gz", ".nii")


def raw_images(folder: Path, sidecars: Sidecars) -> tuple[InputImage, ...]:
    """Every raw quantitative image of a session, none chosen, in the order of folders and names.

    Parameters
    ----------
    folder : of the session, or of the subject where there are no sessions
    sidecars : of the dataset

    Returns
    -------
    An image that is only a link, or whose sidecar cannot be read, has its ``problem`` set.

    Raises
    ------
    MetadataError
        A folder may not be read.
    """
    return tuple(image for datatype in RAW_SUFFIXES for image in _in_folder(folder, datatype, sidecars))


def _in_folder(folder: Path, datatype: str, sidecars: Sidecars) -> Iterator[InputImage]:
    own = dict(part.split("-", 1) for part in folder.relative_to(sidecars.root).parts)
    endings = tuple(f"_{suffix}{extension}" for suffix in RAW_SUFFIXES[datatype] for extension in _EXTENSIONS)
    for name in listing(folder / datatype):
        file = parse(folder / datatype / name) if name.endswith(endings) else None
        if file is None or {key: file.entities.get(key) for key in ("sub", "ses") if key in file.entities} != own:
            continue
        metadata, problem = {}, ""
        try:
            check_content(file.path)
            metadata = sidecars.merged(file)
        except MetadataError as error:
            problem = str(error).replace(f"{sidecars.root}{os.sep}", "")  # it goes into reports: no absolute paths
        uri = f"bids:raw:{file.path.relative_to(sidecars.root).as_posix()}"
        yield InputImage(file.path, uri, file.suffix, file.own_entities, metadata, problem)
