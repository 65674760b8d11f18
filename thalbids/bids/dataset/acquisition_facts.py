"""How an image was acquired, from its header, the entities of its name and its sidecar. No dates, no names, no serial
numbers: nothing that tells who was scanned or when.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError
from thalbids.image.io import shape_and_affine
from thalbids.types import InputImage

PLANES = ("sagittal", "coronal", "axial")  # of slices that follow each other along x, y, z
ISOTROPIC = 1.2  # the largest voxel side over the smallest up to which there is no slice direction
NO_AGENT = ("", "none", "no", "n/a", "false", "0")
NUMBERS = {
    "field_strength_t": "MagneticFieldStrength",
    "repetition_time_s": "RepetitionTime",
    "echo_time_s": "EchoTime",
    "inversion_time_s": "InversionTime",
    "flip_angle_deg": "FlipAngle",
}


class Acquisition(Mapping[str, Any]):
    """The facts of an image (:func:`facts`), whose header is read once, when something of it is asked for.

    Another process gets the facts as a dict.
    """

    def __init__(self, image: InputImage) -> None:
        self._image = image

    @cached_property
    def _header(self) -> tuple[tuple[int, int, int], np.ndarray] | str:
        try:
            return shape_and_affine(self._image.path)
        except ImageError as error:
            return str(error)

    @property
    def unreadable(self) -> str:
        """Why the header cannot be read; empty where it can."""
        return self._header if isinstance(self._header, str) else ""

    @property
    def voxels(self) -> int:
        """How many there are; 0 where the header cannot be read."""
        return 0 if isinstance(self._header, str) else math.prod(self._header[0])

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return _told(self._image, None if isinstance(self._header, str) else self._header)

    def __getitem__(self, key: str) -> Any:
        return self._facts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self._facts,)


def facts(image: InputImage) -> dict[str, Any]:
    """The acquisition of an image; None for what neither header nor sidecar tells.

    Returns
    -------
    ``voxel_size_mm`` and ``field_of_view_mm`` (right, anterior, superior), ``slice_thickness_mm`` (the larger of the
    sidecar's SliceThickness and the longest side of a voxel), ``slice_direction`` (None for about cubic voxels),
    ``scanner`` (manufacturer and model), ``contrast_agent`` and the numbers of :data:`NUMBERS`, in T, s and degrees.
    """
    return dict(Acquisition(image))


def _told(image: InputImage, header: tuple[tuple[int, int, int], np.ndarray] | None) -> dict[str, Any]:
    told = image.metadata
    sizes, field = (None, None) if header is None else _grid(*header)
    thick = [value for value in (_number(told.get("SliceThickness")), max(sizes) if sizes else None) if value]
    names = (str(told[key]).strip() for key in ("Manufacturer", "ManufacturersModelName") if told.get(key))
    return {
        "voxel_size_mm": sizes,
        "field_of_view_mm": field,
        "slice_thickness_mm": round(max(thick), 2) if thick else None,
        "slice_direction": _direction(sizes),
        "scanner": " ".join(names) or None,
        "contrast_agent": contrast_agent(image.entities, told),
        **{name: _number(told.get(key)) for name, key in NUMBERS.items()},
    }


def contrast_agent(entities: Mapping[str, str], metadata: Mapping[str, object]) -> str | None:
    """The contrast agent by the entity ``ce-`` or the sidecar's ContrastBolusIngredient; None without one."""
    if "ce" in entities and entities["ce"].lower() not in NO_AGENT:
        return f"ce-{entities['ce']}"
    told = metadata.get("ContrastBolusIngredient")
    text = ", ".join(map(str, told)) if isinstance(told, list) else str(told or "").strip()
    return None if text.lower() in NO_AGENT else text


def _grid(shape: tuple[int, int, int], affine: np.ndarray) -> tuple[list[float], list[float]]:
    """Voxel sizes and field of view along x, y, z of the world."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    order = np.argsort(nib.io_orientation(affine)[:, 0])
    return [round(float(sizes[i]), 3) for i in order], [round(float(sizes[i] * shape[i]), 1) for i in order]


def _direction(sizes: list[float] | None) -> str | None:
    if not sizes or max(sizes) <= ISOTROPIC * min(sizes):
        return None
    return PLANES[int(np.argmax(sizes))]


def _number(value: object) -> float | None:
    """A number of a sidecar; the first of a list; None for anything else."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if np.isfinite(number) else None


def words(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts for people: heading -> text, those that are known."""

    def sizes(key: str, digits: int) -> str:
        return " x ".join(f"{value:.{digits}f}" for value in facts.get(key) or ())

    def quantity(key: str, unit: str, factor: float = 1.0) -> str:
        value = facts.get(key)
        return "" if value is None else f"{value * factor:g} {unit}"

    rows = {
        "Voxel (R, A, S)": f"{sizes('voxel_size_mm', 2)} mm" if facts.get("voxel_size_mm") else "",
        "Slices": " ".join(filter(None, [quantity("slice_thickness_mm", "mm"), facts.get("slice_direction")])),
        "Field of view": f"{sizes('field_of_view_mm', 0)} mm" if facts.get("field_of_view_mm") else "",
        "Scanner": " ".join(filter(None, [facts.get("scanner"), quantity("field_strength_t", "T")])),
        "TR / TE / TI": " / ".join(
            quantity(key, "ms", 1000) or "?" for key in ("repetition_time_s", "echo_time_s", "inversion_time_s")
        ).replace("? / ? / ?", ""),
        "Flip angle": quantity("flip_angle_deg", "degrees"),
        "Contrast agent": str(facts.get("contrast_agent") or "none named"),
    }
    return {name: text for name, text in rows.items() if text}
