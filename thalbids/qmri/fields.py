"""Images of the transmit field (B1+) and of the receive field of a session, in order, with what their sidecars say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from thalbids.errors import MetadataError
from thalbids.qmri.acquisition import Acquisition
from thalbids.qmri.images import CHOOSE, magnitudes, numbered, one_of_each, readable
from thalbids.qmri.models.mpm import MTW, PDW, T1W
from thalbids.qmri.protocol import SMALLEST_ANGLE, agreed, flip_angle_of, number
from thalbids.types import InputImage, Session

FIELDS = ("TB1map", "TB1AFI", "TB1DAM", "TB1EPI", "TB1TFL")  # the order of preference
_RECEIVE = re.compile(r"(?P<coil>body|head|array)(?P<part>PDw|T1w|MTw|)", re.IGNORECASE)


@dataclass(frozen=True)
class Field:
    """The images that a transmit field is computed from: ``method`` is their suffix."""

    method: str
    images: tuple[InputImage, ...]
    flip_angles: tuple[float, ...] = ()
    repetition_times: tuple[float, float] | None = None
    mixing_time: float | None = None

    def to_json(self) -> dict[str, object]:
        """For records."""
        images = [{"uri": image.uri, "units": image.metadata.get("Units")} for image in self.images]
        times = {"repetition_times": self.repetition_times, "mixing_time": self.mixing_time}
        return {"method": self.method, "images": images, "flip_angles": list(self.flip_angles), **times}


@dataclass(frozen=True)
class Receive:
    """Images of the array coil and of the body coil (RB1COR), by the name of the part that was measured next to them.

    The part ``""`` stands for all: then there is one pair, and what differs between parts is not corrected.
    """

    pairs: Mapping[str, tuple[InputImage, InputImage]]

    @property
    def images(self) -> tuple[InputImage, ...]:
        """All of them, in the order of the parts."""
        return tuple(image for pair in self.pairs.values() for image in pair)

    def of(self, part: str) -> tuple[InputImage, InputImage]:
        """Array and body image for a part."""
        return self.pairs.get(part) or self.pairs[""]

    def to_json(self) -> dict[str, object]:
        """For records."""
        return {name: [image.uri for image in pair] for name, pair in self.pairs.items()}


def read_field(session: Session, wanted: str = "auto") -> Field | None:
    """The transmit field's images; None when there are none (or ``wanted`` is ``none``).

    Parameters
    ----------
    wanted : a suffix of `FIELDS`; ``auto``: the first of which there are images

    Raises
    ------
    MetadataError
        An image is missing or unreadable, or a value of its sidecars; the suffix asked for is not there.
    """
    if wanted == "none":
        return None
    there = [suffix for suffix in FIELDS if magnitudes(session.raw_images(suffix))]
    if wanted != "auto" and wanted not in there:
        raise MetadataError(f"the session has no {wanted} image.", 'Set [qmri] b1 = "auto" or "none".')
    if not there:
        return None
    suffix = there[0] if wanted == "auto" else wanted
    images = one_of_each(magnitudes(session.raw_images(suffix)), [])
    readable(images)
    readers: Mapping[str, Callable[[Sequence[InputImage]], Field]] = {
        "TB1map": _field_map, "TB1AFI": _actual_flip_angle, "TB1DAM": _double_angle, "TB1EPI": _stimulated_echo,
        "TB1TFL": _turbo_flash,
    }  # fmt: skip
    return readers[suffix](images)


def read_receive(session: Session, acquisition: Acquisition, wanted: str = "auto") -> Receive | None:
    """The images of the receive field of an acquisition with several contrasts; None where there are none.

    Parameters
    ----------
    wanted : ``auto``, or ``none``

    Raises
    ------
    MetadataError
        An image is unreadable, its name does not say what it is, or its partner is missing.
    """
    if wanted == "none" or acquisition.kind not in ("MPM", "MTS"):
        return None
    images = one_of_each(magnitudes(session.raw_images("RB1COR")), [])
    pairs: dict[str, dict[str, InputImage]] = {}
    readable(images)
    for image in images:
        match = _RECEIVE.search(image.entities.get("acq", ""))
        if match is None:
            mend = f"Name it acq-headPDw, acq-bodyPDw ..., {CHOOSE}, or set [qmri] receive to none."
            raise MetadataError("the name does not say which coil received.", mend, image.path)
        coil = "body" if match["coil"].lower() == "body" else "array"
        part = next((name for name in (PDW, T1W, MTW) if name.lower() == match["part"].lower()), "")
        if coil in pairs.setdefault(part, {}):
            problem = f"{pairs[part][coil].path.name} is of the same coil and contrast."
            raise MetadataError(problem, f"For one of them: {CHOOSE}.", image.path)
        pairs[part][coil] = image
    return _whole_pairs(pairs, [part.name for part in acquisition.parts]) if images else None


def _whole_pairs(pairs: Mapping[str, Mapping[str, InputImage]], parts: Sequence[str]) -> Receive:
    """Array and body image of each part, or of all."""
    for pair in pairs.values():
        if len(pair) < 2:
            coil = "body" if "array" in pair else "head"
            mend = f"Add it, {CHOOSE}, or set [qmri] receive to none."
            raise MetadataError(f"its partner of the {coil} coil is missing.", mend, next(iter(pair.values())).path)
    missing = [] if "" in pairs else [name for name in parts if name not in pairs]
    if missing:
        problem = f"RB1COR images of {', '.join(missing)} are missing; there are those of {', '.join(pairs)}."
        raise MetadataError(
            problem, "Add them, or set [qmri] receive to none.", next(iter(pairs.values()))["body"].path
        )
    needed = [name for name in (*parts, "") if name in pairs and (name or any(p not in pairs for p in parts))]
    return Receive({name: (pairs[name]["array"], pairs[name]["body"]) for name in needed})


def _field_map(images: Sequence[InputImage]) -> Field:
    if len(images) > 1:
        problem = f"several TB1map images: {', '.join(image.path.name for image in images[1:])}."
        raise MetadataError(problem, f"For one of them: {CHOOSE}.", images[0].path)
    return Field("TB1map", tuple(images))


def _pair(images: Sequence[InputImage], suffix: str, key: str) -> list[InputImage]:
    if len(images) != 2:
        problem = f"{suffix} needs two images; there are {len(images)}."
        raise MetadataError(problem, f"For the two of one measurement: {CHOOSE}.", images[0].path)
    return sorted(images, key=lambda image: number(image, key))


def _actual_flip_angle(images: Sequence[InputImage]) -> Field:
    short, long = _pair(images, "TB1AFI", "RepetitionTimeExcitation")
    times = number(short, "RepetitionTimeExcitation", high=2), number(long, "RepetitionTimeExcitation", high=2)
    if times[0] == times[1]:
        problem = f"RepetitionTimeExcitation is {times[1]:g} in both images."
        raise MetadataError(problem, "Correct the JSON sidecar.", long.path)
    angle = agreed([short, long], "FlipAngle", high=179.9, low=SMALLEST_ANGLE)
    return Field("TB1AFI", (short, long), (angle,), times)


def _double_angle(images: Sequence[InputImage]) -> Field:
    single, double = _pair(images, "TB1DAM", "FlipAngle")
    angles = flip_angle_of(single, 90), flip_angle_of(double, 180)
    if abs(angles[1] - 2 * angles[0]) > 1e-6:
        problem = f"FlipAngle is {angles[1]:g}, not the double of {angles[0]:g} in {single.path.name}."
        raise MetadataError(problem, "Correct the JSON sidecar.", double.path)
    return Field("TB1DAM", (single, double), (angles[0],))


def _stimulated_echo(images: Sequence[InputImage]) -> Field:
    by_key: dict[float, dict[int | None, InputImage]] = {}
    for image in images:
        by_key.setdefault(flip_angle_of(image, 180), {})[numbered(image, "echo")] = image
    ordered = []
    for angle, pair in sorted(by_key.items()):
        if not {1, 2} <= set(pair):
            problem = f"FlipAngle {angle:g} needs echo-1 (spin echo) and echo-2 (stimulated echo)."
            raise MetadataError(problem, "Add the missing image.", next(iter(pair.values())).path)
        ordered += [pair[1], pair[2]]
    mixing = agreed(ordered, "MixingTime", high=1.0)
    return Field("TB1EPI", tuple(ordered), tuple(sorted(by_key)), None, mixing)


def _turbo_flash(images: Sequence[InputImage]) -> Field:
    maps = [image for image in images if "famp" in image.entities.get("acq", "")]
    if len(maps) != 1:
        problem = f"one TB1TFL image with acq-famp is needed, the flip-angle map; there are {len(maps)}."
        raise MetadataError(problem, "Name the map acq-famp and the anatomical image acq-anat.", images[0].path)
    return Field("TB1TFL", tuple(maps), (flip_angle_of(maps[0]),))
