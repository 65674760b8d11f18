"""Which raw images of a measurement are used: magnitudes, one of those that were repeated, all of them readable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from thalbids.errors import MetadataError
from thalbids.types import InputImage

CHOOSE = "choose images by --bids-filter-file"


def numbered(image: InputImage, entity: str) -> int | None:
    """The number of an entity, as ``inv-01`` is ``inv-1``; None without."""
    text = image.entities.get(entity, "")
    return int(text) if text.isdecimal() else None


def magnitudes(images: Iterable[InputImage]) -> list[InputImage]:
    """Those that are magnitudes: said by ``part-mag``, or nothing said."""
    return [image for image in images if image.entities.get("part", "mag") == "mag"]


def one_of_each(images: Sequence[InputImage], notes: list[str]) -> list[InputImage]:
    """The lowest run of a measurement that was repeated, the unzipped copy of none."""

    def place(image: InputImage) -> tuple[int, str, bool]:
        run = image.entities.get("run", "0")
        return (int(run) if run.isdecimal() else 0, run, not image.path.name.endswith(".gz"))

    chosen: dict[tuple[object, ...], InputImage] = {}
    for image in sorted(images, key=place):
        whole = {"run", "part"} if image.entities.get("part") == "mag" else {"run"}
        key = tuple(sorted((k, v) for k, v in image.entities.items() if k not in whole))
        if key in chosen:
            notes.append(f"{image.path.name} is not used: {chosen[key].path.name} is the same measurement.")
        chosen.setdefault(key, image)
    return sorted(chosen.values(), key=lambda image: image.path.name)


def readable(images: Sequence[InputImage]) -> None:
    """Nothing, where all can be read.

    Raises
    ------
    MetadataError
        One cannot.
    """
    for image in images:
        if image.problem:
            raise MetadataError(image.problem, "", image.path)
