"""Values of the protocol from the sidecars of raw images.

Nothing is guessed: a value that is missing, impossible or contradicts another is an error that names the file and the
key. Angles are in degrees, times in seconds, as in BIDS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from thalbids.errors import MetadataError
from thalbids.qmri.models.flash import Weighting
from thalbids.types import InputImage

LONGEST_TR = 1.0  # s, of an excitation of a spoiled gradient echo; more is milliseconds
LONGEST_TE = 0.5
LONGEST_CYCLE = 60.0  # s, of an inversion recovery
SMALLEST_ANGLE = 0.6  # degrees; less is radians


def number(image: InputImage, key: str, *, low: float = 0.0, high: float | None = None) -> float:
    """A value of the sidecars.

    Raises
    ------
    MetadataError
        It is missing, no finite number, not above ``low``, or above ``high``.
    """
    value = image.metadata.get(key)
    if value is None:
        mend = f'Write "{key}" into the JSON sidecar{_near(image, key)}.'
        raise MetadataError(f"{key} is missing in the sidecars.", mend, image.path)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MetadataError(f"{key} is {value!r}, not a number.", "Correct it in the JSON sidecar.", image.path)
    try:
        value = float(value)
    except OverflowError:  # JSON has integers of any length
        value = math.inf
    if not math.isfinite(value):
        problem = f"{key} is not finite, or too large for a number."
        raise MetadataError(problem, "Correct it in the JSON sidecar.", image.path)
    if not low < value or (high is not None and value > high):
        limits = f"above {low:g}" + (f" and at most {high:g}" if high is not None else "")
        mend = "BIDS has times in seconds and angles in degrees: correct it in the JSON sidecar."
        raise MetadataError(f"{key} is {value:g}; it must be {limits}.", mend, image.path)
    return value


def _near(image: InputImage, key: str) -> str:
    """What the sidecar has in its place: RepetitionTime may be of an excitation or of a whole preparation."""
    if not key.startswith("RepetitionTime") or "RepetitionTime" not in image.metadata:
        return ""
    what = "from one excitation to the next" if key.endswith("Excitation") else "from one preparation to the next"
    return f" (RepetitionTime is there: is it the time {what}?)"


def flip_angle_of(image: InputImage, high: float = 179.9) -> float:
    """FlipAngle, in degrees."""
    return number(image, "FlipAngle", low=SMALLEST_ANGLE, high=high)


def contrast_of(image: InputImage) -> Weighting:
    """Flip angle and time from one excitation to the next."""
    return Weighting(flip_angle_of(image), number(image, "RepetitionTimeExcitation", high=LONGEST_TR))


def agreed(images: Sequence[InputImage], key: str, *, high: float, low: float = 0.0) -> float:
    """A value that all of them share."""
    values = [number(image, key, low=low, high=high) for image in images]
    for image, value in zip(images, values, strict=True):
        if value != values[0]:
            problem = f"{key} is {value:g}, but {values[0]:g} in {images[0].path.name}."
            raise MetadataError(problem, "Images of one measurement share it: correct the sidecar.", image.path)
    return values[0]


def mt_on(image: InputImage) -> bool:
    """Whether an MT pulse was played, by the sidecar and the name, which must not contradict each other."""
    state, entity = image.metadata.get("MTState"), image.entities.get("mt")
    if state is not None and not isinstance(state, bool):
        raise MetadataError(f"MTState is {state!r}, not true or false.", "Correct it in the JSON sidecar.", image.path)
    if state is None and entity is None:
        mend = 'Write "MTState" into the JSON sidecar.'
        raise MetadataError("MTState is missing in the sidecars, and mt- in the name.", mend, image.path)
    if state is not None and entity is not None and state != (entity == "on"):
        problem = f"MTState is {str(state).lower()}, but the name says mt-{entity}."
        raise MetadataError(problem, "Correct the sidecar or the name.", image.path)
    return entity == "on" if state is None else state
