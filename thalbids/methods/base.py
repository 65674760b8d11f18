"""What a segmentation method is: a family name, the images it can read, and one function from an image to labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from thalbids.settings import MethodSettings, Settings

if TYPE_CHECKING:
    import nibabel as nib
    import numpy as np


@dataclass(frozen=True)
class Request:
    """What a method gets to work on. All images lie on the T1w grid, in RAS order.

    Attributes
    ----------
    name : ``T1w``, ``FLAIR`` or ``R1map``; of several images the first that the method names
    image : the image to segment (for R1map scaled to 0-1000 inside the brain mask)
    brain : file of the brain mask; there only for methods that build on it
    centre : world position (mm, RAS+) of the middle of both thalami as the whole-head network sees it on the T1w
    params : what the method's :meth:`Method.params` gave for this run
    workdir : an empty folder of its own, removed afterwards
    path : file of the image
    settings : the method's own tables (how its program is started, device), and the run's
    files : other files of the session that the method reads, by name
    labels : (x, y, z) label map that the method's ``label_maps`` gave for this image; None without that stage
    told : the sidecar of that label map
    masks : thalamus labels (10, 49) by family, of the families that it builds on
    images : every image that it gets, by name; more than one where it reads several
    box : middle (mm) and axes of the box in which SynThal came to rest on this image; None where that is not known
    voxel_size : mm, of the scan before it was brought onto the T1w grid; None where that is not known
    """

    name: str
    image: nib.Nifti1Image
    brain: Path
    centre: tuple[float, float, float]
    params: Mapping[str, Any]
    workdir: Path
    path: Path | None = None
    settings: MethodSettings = field(default_factory=MethodSettings)
    files: Mapping[str, Path] = field(default_factory=dict)
    labels: np.ndarray | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    images: Mapping[str, nib.Nifti1Image] = field(default_factory=dict)
    box: Mapping[str, Any] | None = None
    voxel_size: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Segmentation:
    """What a method gives back, on the grid of the image.

    Attributes
    ----------
    labels : uint8 (x, y, z): 10 left thalamus, 49 right thalamus, 0 elsewhere
    affine : (4, 4) voxel to RAS+ mm
    probability : float32 (x, y, z) of either thalamus, None when the method has none
    metadata : JSON values for the sidecar
    brain : uint8 (x, y, z) brain mask, where the method makes one
    """

    labels: np.ndarray
    affine: np.ndarray
    probability: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    brain: np.ndarray | None = None

    @property
    def voxel_volume(self) -> float:
        """mm3."""
        import numpy as np

        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def volume_mm3(self) -> float:
        """Voxels of both sides times voxel volume."""
        import numpy as np

        return float(np.count_nonzero(self.labels)) * self.voxel_volume

    @property
    def volume_soft_mm3(self) -> float | None:
        """Sum of probabilities times voxel volume; None without probabilities."""
        return None if self.probability is None else float(self.probability.sum(dtype="float64")) * self.voxel_volume


class Method(Protocol):
    """A way to get masks. How it is named and shown, and which of three kinds it is (one image, several images of a
    session, several sessions of a person), are further attributes, those of :class:`thalbids.families.Family`. What it
    may have besides stands in :data:`OPTIONAL`.

    Attributes
    ----------
    family : name in file names and tables
    images : the images that it can segment
    protocol : whose definition of the thalamus its labels follow, for reports
    memory_gb : peak memory of one image
    version : raised when a change of the code changes results
    sentence, citations : for the methods paragraph
    """

    family: str
    images: tuple[str, ...]
    protocol: str
    memory_gb: float
    version: int
    sentence: str
    citations: tuple[str, ...]

    def unavailable(self) -> str | None:
        """Why it cannot run here and how to fix that; None when it can."""

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        """The settings that change its results, as JSON values, and the checksum of its weights."""

    def segment(self, request: Request) -> Segmentation:
        """Segment one image, or several images of a session (``request.images``).

        Raises
        ------
        ThalbidsError
            There is nothing trustworthy to give back.
        """


# What a method may have besides, each a function of the settings; read by :func:`trait`. A method that also has
# ``label_maps(requests) -> ({image: LabelMap}, {image: reason})`` is run once for all its images; its ``segment`` then
# gets the map of one. A method that reads several sessions has ``session_maps(requests) -> ({session: LabelMap},
# {session: reason})`` with one request a session (``sub-01_ses-1``), each on its own T1w grid; it is run once for
# all, and ``segment`` then gets the map of each. A source of brain masks has ``brain(labels, affine)``. ``references``
# is a text of BibTeX: the entries that it cites and the package does not have.
OPTIONAL: Mapping[str, Any] = {
    "blocked": None,  # why it cannot run with these settings; ``unavailable()`` without one
    "builds_on": ("brain",),  # "brain", and families whose mask of the T1w it needs
    "maps_build_on": (),  # families whose mask of the T1w its label maps need (``Request.masks``)
    "without_brain": None,  # the settings where nobody takes the brain mask from its labels; None: the same
    "further": {},  # images that its label maps give besides (``LabelMap.further``): name -> Further
    "memory": None,  # peak memory of one image in GB, where it depends on the settings; ``memory_gb`` without one
    "memory_each": 0.0,  # further GB for each session beyond the first, where it reads several sessions
    "minutes": None,  # what a session takes on one thread, told before a run from half an hour on
    "shown_settings": {},  # settings that can change its results, as the person's page lists them: heading -> value
    "gpu": False,  # whether it computes on a GPU
    "software": (),  # programs that ran: {"Name", "Version", "CodeURL"}, for sidecars and GeneratedBy
}


VISITS = "Visits"  # in the metadata of label maps of several sessions


@dataclass(frozen=True)
class Further:
    """An image that a method's label maps give besides: how its file is named, and what it is.

    Attributes
    ----------
    suffix : ``probseg`` or ``mask``
    label : value of the entity ``label-``
    description : one sentence, for the sidecar
    """

    suffix: str
    label: str
    description: str


@dataclass(frozen=True)
class LabelMap:
    """All labels that a tool gives to one image, on the T1w grid.

    Attributes
    ----------
    labels : int (x, y, z)
    names : label -> name, for the table beside it
    metadata : JSON values for the sidecar; ``Visits``: the sessions that were read together, where some were left out
    further : images (x, y, z) by the names of the method's ``further``; one that is not there is not written
    """

    labels: np.ndarray
    names: Mapping[int, str]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    further: Mapping[str, np.ndarray] = field(default_factory=dict)


def own_settings(method: Method, settings: Settings) -> MethodSettings:
    """The part of the settings that a method gets."""
    return settings.for_method(getattr(method, "tables", {}).values())


def trait(method: Method, name: str, settings: MethodSettings) -> Any:
    """An optional property of a method, or its default."""
    function = getattr(method, name, None)
    if function is not None:
        return function(settings)
    if name == "memory":
        return method.memory_gb
    return method.unavailable() if name == "blocked" else OPTIONAL[name]
