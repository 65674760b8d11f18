"""The few records that travel between the layers. Plain data, no behaviour beyond names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from thalbids import families

LEFT_THALAMUS = 10  # FreeSurfer's label numbers, used in every dseg that we write
RIGHT_THALAMUS = 49


# Suffixes of raw quantitative images, from which maps can be computed (BIDS 1.10, appendix "qMRI"), by folder.
RAW_SUFFIXES = {
    "anat": ("MPM", "MTS", "VFA", "IRT1", "MP2RAGE", "UNIT1", "MEGRE", "MESE", "MTR"),
    "fmap": ("TB1map", "TB1AFI", "TB1DAM", "TB1EPI", "TB1TFL", "TB1RFM", "TB1SRGE", "RB1map", "RB1COR"),
}

# The images on whose grid a session can be measured, the preferred one first.
REFERENCES = ("T1w", "UNIT1", "T2w", "FLAIR")

TOOLS = {  # of packages that are no method by themselves: name in GeneratedBy, and where the code is
    "antspyx": ("ANTsPy", "https://github.com/ANTsX/ANTsPy"),
    "scipy": ("SciPy", "https://github.com/scipy/scipy"),
    "FSL": ("FSL", "https://git.fmrib.ox.ac.uk/fsl"),
}


def tool_entry(software: str) -> dict[str, str]:
    """Name and version (``FSL 6.0.7``) as an entry of ``GeneratedBy``.

    Examples
    --------
    >>> tool_entry("FSL 6.0.7")["Version"]
    '6.0.7'
    """
    name, _, version = software.partition(" ")
    urls = {entry.shown: entry.code_url for entry in families.known().values()}
    shown, url = TOOLS.get(name, (name, urls.get(name, "")))
    entry = {"Name": shown, "Version": version, "CodeURL": url}
    return {key: value for key, value in entry.items() if value}


@dataclass(frozen=True)
class InputImage:
    """One raw image of a session, as found in the BIDS dataset.

    Attributes
    ----------
    path : absolute path of the ``.nii`` or ``.nii.gz``
    uri : BIDS URI (``bids:raw:sub-01/anat/sub-01_T1w.nii.gz``), what sidecars show instead of a path
    suffix : ``T1w``, ``UNIT1``, ``FLAIR``, ``R1map``, ``T1map`` or ``T2w``; of raw quantitative images
        one of :data:`RAW_SUFFIXES`
    entities : the entities of the file name besides sub and ses (``{"acq": "mprage", "run": "1"}``)
    metadata : the merged JSON sidecars (empty when there are none)
    problem : why the image cannot be used, found before it is opened (a broken link, an unreadable sidecar)
    """

    path: Path
    uri: str
    suffix: str
    entities: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Session:
    """One subject x session and its images; ``session`` is None where the dataset has no session level.

    ``images`` maps ``T1w``, ``FLAIR``, ``R1map`` (its InputImage may have suffix ``T1map``) and ``T2w`` to what was
    chosen, and ``UNIT1`` where there is no T1w; ``notes`` says in words which choice was made and what is missing;
    ``problem`` is set when the session cannot be processed at all (no image of ``REFERENCES``), and then ``images`` may
    be empty.

    ``raw`` holds every raw quantitative image of the session (each echo, flip angle, inversion, B1 map ...), in the
    order of names and none chosen. A stage takes what it needs by suffix and entities, looks at
    ``problem`` of each, and reads ``EchoTime``, ``FlipAngle`` ... from ``metadata``, where inheritance is applied:

    >>> echo = InputImage(Path("sub-01_echo-2_mt-off_MPM.nii"), "", "MPM", {"echo": "2", "mt": "off"})
    >>> Session("01", None, {}, raw=(echo,)).raw_images("MPM", mt="off")[0].entities["echo"]
    '2'
    """

    subject: str
    session: str | None
    images: Mapping[str, InputImage]
    notes: tuple[str, ...] = ()
    problem: str | None = None
    raw: tuple[InputImage, ...] = ()

    def raw_images(self, *suffixes: str, **entities: str) -> tuple[InputImage, ...]:
        """The raw quantitative images of these suffixes (all, without any) whose names hold these entities."""
        return tuple(
            image
            for image in self.raw
            if (not suffixes or image.suffix in suffixes) and entities.items() <= image.entities.items()
        )

    @cached_property
    def reference(self) -> str:
        """The image on whose grid everything of the session lies: T1w, else UNIT1, else T2w, else FLAIR."""
        usable = (name for name in REFERENCES if name in self.images and not self.images[name].problem)
        return next(usable, REFERENCES[0])

    @cached_property
    def name(self) -> str:
        """``sub-01_ses-2`` or ``sub-01``."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where there is none, and then ``reason`` says why."""

    estimate: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    reason: str = ""
