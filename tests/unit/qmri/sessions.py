"""Sessions of raw images that have sidecars and no content."""

from __future__ import annotations

from pathlib import Path

from thalbids.types import InputImage, Session


def image(suffix: str, metadata: dict | None = None, **entities: str) -> InputImage:
    name = "_".join(["sub-01", *(f"{k}-{v}" for k, v in entities.items()), suffix])
    return InputImage(Path(f"{name}.nii.gz"), f"bids:raw:{name}", suffix, entities, metadata or {})


def session(*images: InputImage) -> Session:
    return Session("01", None, {}, raw=images)


def mpm(**changes: dict) -> list[InputImage]:
    """Three contrasts of three echoes; ``changes`` by name (``T1w2``: the second T1w echo) over the sidecar."""
    made = []
    for name, flip, mt, angle, tr in (
        ("PDw", "1", "off", 4, 0.018), ("T1w", "2", "off", 25, 0.018), ("MTw", "1", "on", 5, 0.037),
    ):  # fmt: skip
        for echo in (1, 2, 3):
            metadata = {
                "FlipAngle": angle, "RepetitionTimeExcitation": tr, "EchoTime": 0.00246 * echo, "MTState": mt == "on",
            } | changes.get(f"{name}{echo}", {})  # fmt: skip
            metadata = {k: v for k, v in metadata.items() if v is not None}
            made.append(image("MPM", metadata, acq=name, echo=str(echo), flip=flip, mt=mt))
    return made


MP2RAGE = {"RepetitionTimePreparation": 5.5, "RepetitionTimeExcitation": 0.0062, "NumberShots": 159}


def mp2rage(**changes: object) -> list[InputImage]:
    return [
        image("MP2RAGE", MP2RAGE | {"InversionTime": ti, "FlipAngle": a} | changes, inv=inv, part=part)
        for inv, ti, a in (("1", 0.8, 5), ("2", 2.7, 7)) for part in ("mag", "phase")
    ]  # fmt: skip
