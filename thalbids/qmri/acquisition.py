"""What was measured: raw quantitative images put in order, with their protocol from the sidecars.

Which images are used is decided in `thalbids.qmri.images`, values are read in `thalbids.qmri.protocol`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from thalbids.errors import MetadataError
from thalbids.qmri.images import CHOOSE, magnitudes, numbered, one_of_each, readable
from thalbids.qmri.models.flash import Weighting
from thalbids.qmri.models.mp2rage import Mp2rage
from thalbids.qmri.models.mpm import MTW, PDW, T1W
from thalbids.qmri.mp2rage_protocol import read_mp2rage
from thalbids.qmri.protocol import (
    LONGEST_CYCLE,
    LONGEST_TE,
    LONGEST_TR,
    SMALLEST_ANGLE,
    agreed,
    contrast_of,
    mt_on,
    number,
)
from thalbids.types import InputImage, Session

KINDS = ("MPM", "MP2RAGE", "UNIT1", "VFA", "MTS", "IRT1")  # the order of preference


@dataclass(frozen=True)
class Part:
    """Images that share a flip angle and a repetition time, or an inversion time."""

    name: str
    images: tuple[InputImage, ...]
    contrast: Weighting | None = None
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
        magnitude and phase, or real and imaginary part; UNIT1: one; IRT1: one with all times
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
    images = one_of_each(magnitudes(session.raw_images(kind)) if kind != "MP2RAGE" else session.raw_images(kind), notes)
    readable(images)
    readers: Mapping[str, Callable[[Sequence[InputImage], Session], Acquisition]] = {
        "MPM": _multi_echo, "MTS": _single_echo, "VFA": _flip_angles, "IRT1": _inversions,
        "MP2RAGE": _complex_pair, "UNIT1": _combined,
    }  # fmt: skip
    acquisition = readers[kind](images, session)
    return Acquisition(acquisition.kind, acquisition.parts, acquisition.protocol, tuple(notes))


def _same_in_name(images: Sequence[InputImage]) -> None:
    """Images whose names say that they share a flip angle must."""
    named: dict[tuple[str | None, ...], list[InputImage]] = {}
    for image in images:
        if "flip" in image.entities:
            named.setdefault(tuple(image.entities.get(key) for key in ("acq", "flip", "mt")), []).append(image)
    for members in named.values():
        agreed(members, "FlipAngle", high=179.9, low=SMALLEST_ANGLE)


def _echoes_rise(images: Sequence[InputImage]) -> None:
    """Images in the order of their echo times must be in that of the echo numbers of their names."""
    for before, image in itertools.pairwise(images):
        first, second = numbered(before, "echo"), numbered(image, "echo")
        if first is not None and second is not None and first > second:
            times = [f"{number(one, 'EchoTime'):g}" for one in (image, before)]
            problem = f"EchoTime is {times[0]}, above {times[1]} in {before.path.name}."
            raise MetadataError(problem, "Correct the sidecar, or echo- of the name.", image.path)


def _groups(images: Sequence[InputImage]) -> dict[tuple[bool, float], list[InputImage]]:
    """Images by MT state and flip angle."""
    _same_in_name(images)
    groups: dict[tuple[bool, float], list[InputImage]] = {}
    for image in images:
        groups.setdefault((mt_on(image), contrast_of(image).flip_angle), []).append(image)
    return groups


def _weightings(images: Sequence[InputImage]) -> list[tuple[str, list[InputImage]]]:
    """PDw, T1w and MTw: without MT pulse the smaller and the larger flip angle, and that with MT pulse."""
    groups = _groups(images)
    off = sorted(angle for mt, angle in groups if not mt)
    on = [angle for mt, angle in groups if mt]
    if len(off) != 2:
        angles = ", ".join(f"{a:g}" for a in off) or "none"
        wrong = groups[(False, off[0])][0] if off else images[0]
        problem = f"two flip angles without MT pulse are needed (PDw and T1w); FlipAngle has: {angles}."
        raise MetadataError(problem, f"Correct FlipAngle or MTState in the sidecars, or {CHOOSE}.", wrong.path)
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
        repetition = agreed(ordered, "RepetitionTimeExcitation", high=LONGEST_TR)
        parts.append(Part(name, ordered, Weighting(contrast_of(ordered[0]).flip_angle, repetition), times))
    return Acquisition("MPM", tuple(parts))


def _single_echo(images: Sequence[InputImage], session: Session) -> Acquisition:
    del session
    parts = []
    for name, members in _weightings(images):
        if len(members) > 1:
            problem = f"the {name} contrast has several images: {', '.join(i.path.name for i in members[1:])}."
            raise MetadataError(problem, f"Name several echoes MPM, or {CHOOSE}.", members[0].path)
        parts.append(Part(name, tuple(members), contrast_of(members[0])))
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
        agreed(timed, "EchoTime", high=LONGEST_TE)


def _flip_angles(images: Sequence[InputImage], session: Session) -> Acquisition:
    del session
    echoes = {image.entities.get("echo", "") for image in images}
    if len(echoes) > 1:
        first = min(echoes, key=lambda e: (len(e), e))
        images = [image for image in images if image.entities.get("echo", "") == first]
    repetition = agreed(images, "RepetitionTimeExcitation", high=LONGEST_TR)
    _same_echo_time(images)
    ordered = sorted(images, key=lambda image: contrast_of(image).flip_angle)
    angles = [contrast_of(image).flip_angle for image in ordered]
    if len(set(angles)) < len(angles) or len(angles) < 2:
        problem = f"at least two different FlipAngle are needed, each once; there are: {', '.join(map(str, angles))}."
        raise MetadataError(problem, "Correct FlipAngle in the sidecars.", ordered[0].path)
    pairs = zip(angles, ordered, strict=True)
    parts = [Part(f"flip{k}", (image,), Weighting(a, repetition)) for k, (a, image) in enumerate(pairs, start=1)]
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
    """Both inversions, each as magnitude and phase or, where there are none, as real and imaginary part."""
    del session
    by_key: dict[tuple[int | None, str], InputImage] = {}
    for image in sorted(images, key=lambda image: numbered(image, "echo") or 0, reverse=True):
        by_key[(numbered(image, "inv"), image.entities.get("part", "mag"))] = image  # of several echoes the first
    parts = []
    for inversion in (1, 2):
        pairs = [[by_key.get((inversion, name)) for name in names] for names in (("mag", "phase"), ("real", "imag"))]
        pair_found = next((tuple(image for image in pair if image) for pair in pairs if all(pair)), None)
        if pair_found is None:
            problem = (
                f"inv-{inversion} needs an image with part-mag and one with part-phase, or part-real and part-imag."
            )
            raise MetadataError(problem, "Without phase, give the UNIT1 image of the scanner.", images[0].path)
        parts.append(Part(f"inv{inversion}", pair_found))
    return Acquisition("MP2RAGE", tuple(parts), read_mp2rage(parts[0].images[0], parts[1].images[0]))


def _combined(images: Sequence[InputImage], session: Session) -> Acquisition:
    if len(images) != 1:
        problem = f"several UNIT1 images: {', '.join(image.path.name for image in images[1:])}."
        raise MetadataError(problem, f"For one of them: {CHOOSE}.", images[0].path)
    first = images[0]
    if isinstance(first.metadata.get("InversionTime"), list):
        protocol = read_mp2rage(first, first)
    else:
        inversions = {numbered(image, "inv"): image for image in reversed(session.raw_images("MP2RAGE"))}
        if not {1, 2} <= set(inversions):
            problem = "InversionTime and FlipAngle of both inversions are missing in the sidecars."
            mend = "Write both as lists of two into the JSON sidecar, or add the MP2RAGE images with theirs."
            raise MetadataError(problem, mend, first.path)
        protocol = read_mp2rage(inversions[1], inversions[2])
    return Acquisition("UNIT1", (Part("unit1", (first,)),), protocol)
