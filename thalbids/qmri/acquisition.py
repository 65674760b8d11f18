"""What was measured: raw quantitative images put in order, with their protocol from the sidecars.

Nothing is guessed: a value that is missing, impossible or contradicts another is an error that names the file and the
key. Angles are in degrees, times in seconds, as in BIDS.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from thalbids.errors import MetadataError
from thalbids.qmri.models.flash import Contrast
from thalbids.qmri.models.mp2rage import Mp2rage, shots_of
from thalbids.qmri.models.mpm import MTW, PDW, T1W
from thalbids.types import InputImage, Session

KINDS = ("MPM", "MP2RAGE", "UNIT1", "VFA", "MTS", "IRT1")  # the order of preference
FIELDS = ("TB1map", "TB1AFI", "TB1DAM", "TB1EPI", "TB1TFL")
LONGEST_TR = 1.0  # s, of an excitation of a spoiled gradient echo; more is milliseconds
LONGEST_TE = 0.5
LONGEST_CYCLE = 60.0  # s, of an inversion recovery
SMALLEST_ANGLE = 0.6  # degrees; less is radians
_RECEIVE = re.compile(r"(?P<coil>body|head|array)(?P<part>PDw|T1w|MTw|)", re.IGNORECASE)
CHOOSE = "choose images by --bids-filter-file"


@dataclass(frozen=True)
class Part:
    """Images that share a flip angle and a repetition time, or an inversion time."""

    name: str
    images: tuple[InputImage, ...]
    contrast: Contrast | None = None
    times: tuple[float, ...] = ()  # echo times, or inversion times

    def to_json(self) -> dict[str, object]:
        """For records: the protocol, and where the images come from."""
        angles = {} if self.contrast is None else asdict(self.contrast)
        units = [image.metadata.get("Units") for image in self.images]
        return {
            "name": self.name, "images": [image.uri for image in self.images], "times": list(self.times), **angles,
            **({"units": units} if any(units) else {}),
        }  # fmt: skip


@dataclass(frozen=True)
class Acquisition:
    """Everything of one kind from which maps are computed.

    Attributes
    ----------
    kind : one of `KINDS`
    parts : MPM, MTS: ``PDw``, ``T1w`` and maybe ``MTw``; VFA: one per flip angle; MP2RAGE: ``inv1`` and ``inv2``, each
        magnitude and phase; UNIT1: one; IRT1: one with all times
    protocol : of MP2RAGE and UNIT1
    notes : choices made, in words
    """

    kind: str
    parts: tuple[Part, ...]
    protocol: Mp2rage | None = None
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[InputImage, ...]:
        """All of them."""
        return tuple(image for part in self.parts for image in part.images)

    def part(self, name: str) -> Part:
        """The part of this name."""
        return next(part for part in self.parts if part.name == name)

    def without(self, names: Container[str]) -> Acquisition:
        """The acquisition without these parts."""
        return replace(self, parts=tuple(part for part in self.parts if part.name not in names))

    def reading(self, files: Mapping[Path, Path]) -> Acquisition:
        """The acquisition with other files in place of some of its own."""
        parts = [
            replace(part, images=tuple(replace(i, path=files.get(i.path, i.path)) for i in part.images))
            for part in self.parts
        ]
        return replace(self, parts=tuple(parts))

    def to_json(self) -> dict[str, object]:
        """For records."""
        protocol = None if self.protocol is None else asdict(self.protocol)
        return {"kind": self.kind, "parts": [part.to_json() for part in self.parts], "protocol": protocol}


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


def acquired(session: Session) -> tuple[str, ...]:
    """The kinds of which the session has images, in the order of preference."""
    return tuple(kind for kind in KINDS if session.raw_images(kind))


def read_acquisition(session: Session, kind: str) -> Acquisition:
    """The images of one kind, in order.

    Raises
    ------
    MetadataError
        An image is missing or unreadable, or a value of its sidecars.
    """
    notes: list[str] = []
    images = _one_of_each(
        _magnitudes(session.raw_images(kind)) if kind != "MP2RAGE" else session.raw_images(kind), notes
    )
    for image in images:
        if image.problem:
            raise MetadataError(image.problem, "", image.path)
    readers: Mapping[str, Callable[[Sequence[InputImage], Session], Acquisition]] = {
        "MPM": _multi_echo, "MTS": _single_echo, "VFA": _flip_angles, "IRT1": _inversions,
        "MP2RAGE": _complex_pair, "UNIT1": _combined,
    }  # fmt: skip
    found = readers[kind](images, session)
    return Acquisition(found.kind, found.parts, found.protocol, tuple(notes))


def number(image: InputImage, key: str, *, low: float = 0.0, high: float | None = None) -> float:
    """A value of the sidecars.

    Raises
    ------
    MetadataError
        It is missing, no number, not above ``low``, or above ``high``.
    """
    value = image.metadata.get(key)
    if value is None:
        mend = f'Write "{key}" into the JSON sidecar{_near(image, key)}.'
        raise MetadataError(f"{key} is missing in the sidecars.", mend, image.path)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MetadataError(f"{key} is {value!r}, not a number.", "Correct it in the JSON sidecar.", image.path)
    if not low < value or (high is not None and value > high):
        limits = f"above {low:g}" + (f" and at most {high:g}" if high is not None else "")
        mend = "BIDS has times in seconds and angles in degrees: correct it in the JSON sidecar."
        raise MetadataError(f"{key} is {value:g}; it must be {limits}.", mend, image.path)
    return float(value)


def _near(image: InputImage, key: str) -> str:
    """What the sidecar has in its place: RepetitionTime may be of an excitation or of a whole preparation."""
    if not key.startswith("RepetitionTime") or "RepetitionTime" not in image.metadata:
        return ""
    what = "from one excitation to the next" if key.endswith("Excitation") else "from one preparation to the next"
    return f" (RepetitionTime is there: is it the time {what}?)"


def _angle(image: InputImage, high: float = 179.9) -> float:
    return number(image, "FlipAngle", low=SMALLEST_ANGLE, high=high)


def _contrast(image: InputImage) -> Contrast:
    return Contrast(_angle(image), number(image, "RepetitionTimeExcitation", high=LONGEST_TR))


def _index(image: InputImage, entity: str) -> int | None:
    """The number of an entity, as ``inv-01`` is ``inv-1``; None without."""
    text = image.entities.get(entity, "")
    return int(text) if text.isdecimal() else None


def _agreed(images: Sequence[InputImage], key: str, *, high: float, low: float = 0.0) -> float:
    """A value that all of them share."""
    values = [number(image, key, low=low, high=high) for image in images]
    for image, value in zip(images, values, strict=True):
        if value != values[0]:
            problem = f"{key} is {value:g}, but {values[0]:g} in {images[0].path.name}."
            raise MetadataError(problem, "Images of one measurement share it: correct the sidecar.", image.path)
    return values[0]


def _mt_on(image: InputImage) -> bool:
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


def _magnitudes(images: Iterable[InputImage]) -> list[InputImage]:
    return [image for image in images if image.entities.get("part", "mag") == "mag"]


def _one_of_each(images: Sequence[InputImage], notes: list[str]) -> list[InputImage]:
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


def _same_in_name(images: Sequence[InputImage]) -> None:
    """Images whose names say that they share a flip angle must."""
    named: dict[tuple[str | None, ...], list[InputImage]] = {}
    for image in images:
        if "flip" in image.entities:
            named.setdefault(tuple(image.entities.get(key) for key in ("acq", "flip", "mt")), []).append(image)
    for members in named.values():
        _agreed(members, "FlipAngle", high=179.9, low=SMALLEST_ANGLE)


def _echoes_rise(images: Sequence[InputImage]) -> None:
    """Images in the order of their echo times must be in that of the echo numbers of their names."""
    for before, image in itertools.pairwise(images):
        first, second = _index(before, "echo"), _index(image, "echo")
        if first is not None and second is not None and first > second:
            times = [f"{number(one, 'EchoTime'):g}" for one in (image, before)]
            problem = f"EchoTime is {times[0]}, above {times[1]} in {before.path.name}."
            raise MetadataError(problem, "Correct the sidecar, or echo- of the name.", image.path)


def _groups(images: Sequence[InputImage]) -> dict[tuple[bool, float], list[InputImage]]:
    """Images by MT state and flip angle."""
    _same_in_name(images)
    groups: dict[tuple[bool, float], list[InputImage]] = {}
    for image in images:
        groups.setdefault((_mt_on(image), _contrast(image).flip_angle), []).append(image)
    return groups


def _weightings(images: Sequence[InputImage]) -> list[tuple[str, list[InputImage]]]:
    """PDw, T1w and MTw: without MT pulse the smaller and the larger flip angle, and that with MT pulse."""
    groups = _groups(images)
    off = sorted(angle for mt, angle in groups if not mt)
    on = [angle for mt, angle in groups if mt]
    if len(off) != 2:
        angles = ", ".join(f"{a:g}" for a in off) or "none"
        problem = f"two flip angles without MT pulse are needed (PDw and T1w); FlipAngle has: {angles}."
        raise MetadataError(problem, f"Correct FlipAngle or MTState in the sidecars, or {CHOOSE}.", images[0].path)
    if len(on) > 1:
        problem = f"images with MT pulse have several FlipAngle: {', '.join(f'{a:g}' for a in on)}."
        raise MetadataError(problem, "Correct FlipAngle or MTState in the sidecars.", groups[(True, on[0])][0].path)
    named = [(PDW, groups[(False, off[0])]), (T1W, groups[(False, off[1])])]
    return [*named, *((MTW, groups[(True, angle)]) for angle in on)]


def _multi_echo(images: Sequence[InputImage], session: Session) -> Acquisition:
    del session
    parts = []
    for name, members in _weightings(images):
        timed = sorted(((number(image, "EchoTime", high=LONGEST_TE), image) for image in members), key=lambda p: p[0])
        times = tuple(te for te, _ in timed)
        ordered = tuple(image for _, image in timed)
        for k, te in enumerate(times[1:], start=1):
            if te == times[k - 1]:
                problem = f"EchoTime is {te:g}, as in {ordered[k - 1].path.name} of the same contrast."
                mend = "Name repeated measurements by run-, choose by --bids-filter-file, or correct it."
                raise MetadataError(problem, mend, ordered[k].path)
        _echoes_rise(ordered)
        if len(times) < 2:
            problem = f"the {name} contrast has one echo; at least two are needed for R2*."
            raise MetadataError(problem, "Name single echoes MTS or VFA.", ordered[0].path)
        repetition = _agreed(ordered, "RepetitionTimeExcitation", high=LONGEST_TR)
        parts.append(Part(name, ordered, Contrast(_contrast(ordered[0]).flip_angle, repetition), times))
    return Acquisition("MPM", tuple(parts))


def _single_echo(images: Sequence[InputImage], session: Session) -> Acquisition:
    del session
    parts = []
    for name, members in _weightings(images):
        if len(members) > 1:
            problem = f"the {name} contrast has several images: {', '.join(i.path.name for i in members[1:])}."
            raise MetadataError(problem, f"Name several echoes MPM, or {CHOOSE}.", members[0].path)
        parts.append(Part(name, tuple(members), _contrast(members[0])))
    _same_echo_time([part.images[0] for part in parts])
    return Acquisition("MTS", tuple(parts))


def _same_echo_time(images: Sequence[InputImage]) -> None:
    """Without R2* the signals are compared as they are, so all must have decayed for the same time."""
    timed = [image for image in images if "EchoTime" in image.metadata]
    if timed and len(timed) < len(images):
        without = next(image for image in images if image not in timed)
        problem = f"EchoTime is missing in the sidecars, but stands in those of {timed[0].path.name}."
        raise MetadataError(problem, "Write it into the JSON sidecar.", without.path)
    if timed:
        _agreed(timed, "EchoTime", high=LONGEST_TE)


def _flip_angles(images: Sequence[InputImage], session: Session) -> Acquisition:
    del session
    echoes = {image.entities.get("echo", "") for image in images}
    if len(echoes) > 1:
        first = min(echoes, key=lambda e: (len(e), e))
        images = [image for image in images if image.entities.get("echo", "") == first]
    repetition = _agreed(images, "RepetitionTimeExcitation", high=LONGEST_TR)
    _same_echo_time(images)
    ordered = sorted(images, key=lambda image: _contrast(image).flip_angle)
    angles = [_contrast(image).flip_angle for image in ordered]
    if len(set(angles)) < len(angles) or len(angles) < 2:
        problem = f"at least two different FlipAngle are needed, each once; there are: {', '.join(map(str, angles))}."
        raise MetadataError(problem, "Correct FlipAngle in the sidecars.", ordered[0].path)
    pairs = zip(angles, ordered, strict=True)
    parts = [Part(f"flip{k}", (image,), Contrast(a, repetition)) for k, (a, image) in enumerate(pairs, start=1)]
    return Acquisition("VFA", tuple(parts))


def _inversions(images: Sequence[InputImage], session: Session) -> Acquisition:
    del session
    timed = sorted(
        ((number(image, "InversionTime", high=LONGEST_CYCLE), image) for image in images), key=lambda p: p[0]
    )
    times = tuple(time for time, _ in timed)
    if len(set(times)) < 4:
        problem = f"at least four different InversionTime are needed; there are: {', '.join(f'{t:g}' for t in times)}."
        raise MetadataError(problem, "Add the missing images, or correct the sidecars.", images[0].path)
    return Acquisition("IRT1", (Part("inversions", tuple(image for _, image in timed), None, times),))


def _complex_pair(images: Sequence[InputImage], session: Session) -> Acquisition:
    del session
    by_key: dict[tuple[int | None, str], InputImage] = {}
    for image in sorted(images, key=lambda image: _index(image, "echo") or 0, reverse=True):
        by_key[(_index(image, "inv"), image.entities.get("part", "mag"))] = image  # of several echoes the first
    parts, magnitudes = [], []
    for inversion in (1, 2):
        pair = [by_key.get((inversion, part)) for part in ("mag", "phase")]
        if any(image is None for image in pair):
            problem = f"inv-{inversion} needs an image with part-mag and one with part-phase."
            raise MetadataError(problem, "Without phase, give the UNIT1 image of the scanner.", images[0].path)
        found = tuple(image for image in pair if image is not None)
        parts.append(Part(f"inv{inversion}", found))
        magnitudes.append(found[0])
    return Acquisition("MP2RAGE", tuple(parts), _mp2rage_protocol(magnitudes[0], magnitudes[1]))


def _combined(images: Sequence[InputImage], session: Session) -> Acquisition:
    if len(images) != 1:
        problem = f"several UNIT1 images: {', '.join(image.path.name for image in images[1:])}."
        raise MetadataError(problem, f"For one of them: {CHOOSE}.", images[0].path)
    own = images[0]
    if isinstance(own.metadata.get("InversionTime"), list):
        pair = [_element(own, k) for k in (0, 1)]
    else:
        inversions = {_index(image, "inv"): image for image in reversed(session.raw_images("MP2RAGE"))}
        if not {1, 2} <= set(inversions):
            problem = "InversionTime and FlipAngle of both inversions are missing in the sidecars."
            mend = "Write both as lists of two into the JSON sidecar, or add the MP2RAGE images with theirs."
            raise MetadataError(problem, mend, own.path)
        pair = [inversions[1], inversions[2]]
    return Acquisition("UNIT1", (Part("unit1", (own,)),), _mp2rage_protocol(*pair))


def _element(image: InputImage, k: int) -> InputImage:
    """The image with the k-th element of its lists in place of the lists."""
    metadata = dict(image.metadata)
    for key in ("InversionTime", "FlipAngle"):
        values = metadata.get(key)
        if not isinstance(values, list) or len(values) != 2:
            raise MetadataError(f"{key} is {values!r}, not a list of two.", "Correct the JSON sidecar.", image.path)
        metadata[key] = values[k]
    return InputImage(image.path, image.uri, image.suffix, image.entities, metadata)


def _mp2rage_protocol(first: InputImage, second: InputImage) -> Mp2rage:
    pair = (first, second)
    inversions = [number(image, "InversionTime", high=LONGEST_CYCLE) for image in pair]
    angles = [_angle(image) for image in pair]
    if inversions[0] >= inversions[1]:
        problem = f"InversionTime of inv-2 is {inversions[1]:g}, not above that of inv-1, {inversions[0]:g}."
        raise MetadataError(problem, "Correct the sidecars.", second.path)
    try:
        shots = shots_of(first.metadata.get("NumberShots"))
    except ValueError:
        problem = f"NumberShots is {first.metadata.get('NumberShots')!r}, not a number or a list of two."
        raise MetadataError(
            problem, "Write the excitations of one inversion into the JSON sidecar.", first.path
        ) from None
    protocol = Mp2rage(
        _agreed(pair, "RepetitionTimePreparation", high=LONGEST_CYCLE),
        _agreed(pair, "RepetitionTimeExcitation", high=LONGEST_TR),
        (inversions[0], inversions[1]),
        (angles[0], angles[1]),
        shots,
    )
    if min(protocol.gaps) < 0:
        problem = (
            f"{sum(shots)} NumberShots of {protocol.excitation_time:g} s (RepetitionTimeExcitation) do not fit between "
            f"InversionTime {inversions[0]:g} and {inversions[1]:g} and RepetitionTimePreparation "
            f"{protocol.repetition_time:g}."
        )
        raise MetadataError(problem, "Correct the sidecars.", first.path)
    return protocol


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
    there = [suffix for suffix in FIELDS if _magnitudes(session.raw_images(suffix))]
    if wanted != "auto" and wanted not in there:
        raise MetadataError(f"the session has no {wanted} image.", 'Set [qmri] b1 = "auto" or "none".')
    if not there:
        return None
    suffix = there[0] if wanted == "auto" else wanted
    images = _one_of_each(_magnitudes(session.raw_images(suffix)), [])
    for image in images:
        if image.problem:
            raise MetadataError(image.problem, "", image.path)
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
    images = _one_of_each(_magnitudes(session.raw_images("RB1COR")), [])
    pairs: dict[str, dict[str, InputImage]] = {}
    for image in images:
        if image.problem:
            raise MetadataError(image.problem, "", image.path)
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
    angle = _agreed([short, long], "FlipAngle", high=179.9, low=SMALLEST_ANGLE)
    return Field("TB1AFI", (short, long), (angle,), times)


def _double_angle(images: Sequence[InputImage]) -> Field:
    single, double = _pair(images, "TB1DAM", "FlipAngle")
    angles = _angle(single, 90), _angle(double, 180)
    if abs(angles[1] - 2 * angles[0]) > 1e-6:
        problem = f"FlipAngle is {angles[1]:g}, not the double of {angles[0]:g} in {single.path.name}."
        raise MetadataError(problem, "Correct the JSON sidecar.", double.path)
    return Field("TB1DAM", (single, double), (angles[0],))


def _stimulated_echo(images: Sequence[InputImage]) -> Field:
    by_key: dict[float, dict[int | None, InputImage]] = {}
    for image in images:
        by_key.setdefault(_angle(image, 180), {})[_index(image, "echo")] = image
    ordered = []
    for angle, pair in sorted(by_key.items()):
        if not {1, 2} <= set(pair):
            problem = f"FlipAngle {angle:g} needs echo-1 (spin echo) and echo-2 (stimulated echo)."
            raise MetadataError(problem, "Add the missing image.", next(iter(pair.values())).path)
        ordered += [pair[1], pair[2]]
    mixing = _agreed(ordered, "MixingTime", high=1.0)
    return Field("TB1EPI", tuple(ordered), tuple(sorted(by_key)), None, mixing)


def _turbo_flash(images: Sequence[InputImage]) -> Field:
    maps = [image for image in images if "famp" in image.entities.get("acq", "")]
    if len(maps) != 1:
        problem = f"one TB1TFL image with acq-famp is needed, the flip-angle map; there are {len(maps)}."
        raise MetadataError(problem, "Name the map acq-famp and the anatomical image acq-anat.", images[0].path)
    return Field("TB1TFL", tuple(maps), (_angle(maps[0]),))
