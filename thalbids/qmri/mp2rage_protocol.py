"""The protocol of MP2RAGE from the sidecars of its two inversions, or of a combined image with lists of two."""

from __future__ import annotations

import reprlib
from dataclasses import replace

from thalbids.errors import MetadataError
from thalbids.qmri.models.mp2rage import MOST_SHOTS, Mp2rage, shots_of
from thalbids.qmri.protocol import LONGEST_CYCLE, LONGEST_TR, agreed, flip_angle_of, number
from thalbids.types import InputImage

BY_INVERSION = ("InversionTime", "FlipAngle", "RepetitionTimeExcitation")


def read_mp2rage(first: InputImage, second: InputImage) -> Mp2rage:
    """The protocol of both inversions.

    Parameters
    ----------
    first, second : images of both inversions, or the same one twice: what differs by inversion is then a list of two
        (RepetitionTimeExcitation may be one number for both)

    Raises
    ------
    MetadataError
        A value is missing or impossible, the two contradict each other, or the excitations do not fit.
    """
    combined = first is second
    one, two = pair = tuple(_of_inversion(image, k, combined=combined) for k, image in enumerate((first, second)))
    inversions = tuple(number(image, "InversionTime", high=LONGEST_CYCLE) for image in pair)
    if inversions[0] >= inversions[1]:
        problem = f"InversionTime of inv-2 is {inversions[1]:g}, not above that of inv-1, {inversions[0]:g}."
        raise MetadataError(problem, "Correct the sidecars.", second.path)
    excitations = tuple(number(image, "RepetitionTimeExcitation", high=LONGEST_TR) for image in pair)
    protocol = Mp2rage(
        agreed(pair, "RepetitionTimePreparation", high=LONGEST_CYCLE),
        (excitations[0], excitations[1]),
        (inversions[0], inversions[1]),
        (flip_angle_of(one), flip_angle_of(two)),
        _shots(first, second),
    )
    _fits(protocol, first)
    return protocol


def _of_inversion(image: InputImage, k: int, *, combined: bool) -> InputImage:
    """The image with one number in place of a list of two: of its inversion, or of both where they agree."""
    metadata = dict(image.metadata)
    for key in BY_INVERSION:
        values = metadata.get(key)
        if isinstance(values, list) and len(values) == 2:
            metadata[key] = values[k]
        elif combined and key != "RepetitionTimeExcitation":
            raise MetadataError(f"{key} is {values!r}, not a list of two.", "Correct the JSON sidecar.", image.path)
    cycle = metadata.get("RepetitionTimePreparation")
    if isinstance(cycle, list) and cycle:
        if any(time != cycle[0] for time in cycle):
            problem = f"RepetitionTimePreparation is {cycle!r}; both inversions are measured in one cycle."
            raise MetadataError(problem, "Write the time from one inversion pulse to the next.", image.path)
        metadata["RepetitionTimePreparation"] = cycle[0]
    return replace(image, metadata=metadata)


def _shots(first: InputImage, second: InputImage) -> tuple[int, int]:
    """NumberShots of both inversions, which share it; one of them may leave it out."""
    told = [image for image in (first, second) if image.metadata.get("NumberShots") is not None]
    values = [image.metadata["NumberShots"] for image in told]
    if values and any(value != values[0] for value in values):
        problem = f"NumberShots is {values[1]!r}, but {values[0]!r} in {first.path.name}."
        raise MetadataError(problem, "Images of one measurement share it: correct the sidecar.", second.path)
    try:
        return shots_of(values[0] if values else None)
    except ValueError:
        told_as = reprlib.repr(values[0] if values else None)  # an integer may have hundreds of digits
        problem = f"NumberShots is {told_as}, not a number from 1 to {MOST_SHOTS} or a list of two."
        mend = "Write the excitations of one inversion into the JSON sidecar."
        raise MetadataError(problem, mend, first.path) from None


def _fits(protocol: Mp2rage, image: InputImage) -> None:
    if min(protocol.gaps) < 0:
        times = " and ".join(f"{time:g}" for time in dict.fromkeys(protocol.excitation_times))
        problem = (
            f"{sum(protocol.shots)} NumberShots of {times} s (RepetitionTimeExcitation) do not fit between "
            f"InversionTime {protocol.inversion_times[0]:g} and {protocol.inversion_times[1]:g} and "
            f"RepetitionTimePreparation {protocol.repetition_time:g}."
        )
        raise MetadataError(problem, "Correct the sidecars.", image.path)
