"""Raw quantitative images of a session: echoes, flip angles, inversions and B1 maps, from which maps are computed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from thalbids.bids.dataset.filters import Filters, matches
from thalbids.bids.dataset.sidecars import BidsFile, Sidecars, check_content, listing, parse
from thalbids.errors import MetadataError
from thalbids.types import RAW_SUFFIXES, InputImage

_EXTENSIONS = (".nii.gz", ".nii")


def raw_images(
    folder: Path, sidecars: Sidecars, wanted: Filters | None = None, dataset: str = "raw"
) -> tuple[tuple[InputImage, ...], tuple[str, ...]]:
    """Every raw quantitative image of a session that a filter leaves in, in the order of folders and names.

    Parameters
    ----------
    folder : of the session, or of the subject where there are no sessions
    sidecars : of the dataset
    wanted : what ``--bids-filter-file`` says; None: all
    dataset : its name in BIDS URIs

    Returns
    -------
    The images, and the names of those that the filter leaves out. An image that is only a link, or whose sidecar
    cannot be read, has its ``problem`` set.

    Raises
    ------
    MetadataError
        A folder may not be read.
    """
    filters = wanted or Filters()
    files = [file for datatype in RAW_SUFFIXES for file in _in_folder(folder, datatype, sidecars.root)]
    kept = [f for f in files if matches(f.own_entities, f.extension, filters.entities(f.suffix))]
    left_out = tuple(f.path.name for f in files if f not in kept)
    return tuple(image_of(file, sidecars, dataset) for file in kept), left_out


def _in_folder(folder: Path, datatype: str, root: Path) -> Iterator[BidsFile]:
    entities = dict(part.split("-", 1) for part in folder.relative_to(root).parts)
    endings = tuple(f"_{suffix}{extension}" for suffix in RAW_SUFFIXES[datatype] for extension in _EXTENSIONS)
    for name in listing(folder / datatype):
        file = parse(folder / datatype / name) if name.endswith(endings) else None
        if file is None or {key: file.entities.get(key) for key in ("sub", "ses") if key in file.entities} != entities:
            continue
        yield file


def image_of(file: BidsFile, sidecars: Sidecars, dataset: str) -> InputImage:
    """An image of a dataset with its metadata, or with what is wrong with its content or its sidecar."""
    metadata, problem = {}, ""
    try:
        check_content(file.path)
        metadata = sidecars.merged(file)
    except MetadataError as error:
        problem = str(error).replace(f"{sidecars.root}{os.sep}", "")  # it goes into reports: no absolute paths
    uri = f"bids:{dataset}:{file.path.relative_to(sidecars.root).as_posix()}"
    return InputImage(file.path, uri, file.suffix, file.own_entities, metadata, problem)
