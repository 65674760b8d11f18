"""What is planned for one session and for one person, while it is put together. The stages fill these records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from thalbids import families
from thalbids.bids.dataset.acquisition_facts import Acquisition
from thalbids.bids.dataset.given_maps import GivenMap
from thalbids.bids.results.norms import Norm
from thalbids.bids.results.outputs import derivative, uri
from thalbids.engine.step import Step, in_order
from thalbids.settings import Settings
from thalbids.types import Session

REGISTERED = ("FLAIR", "R1map", "T2w")  # to the reference image, in the order of pages and tables
T = TypeVar("T")
USUAL_VOXELS = 256**3
BYTES_PER_VOXEL = 60  # what a step takes more for each voxel beyond the usual ones: some arrays of float32 and float64


class Shared:
    """What follows from the settings alone, and so is the same in every session of a run: worked out once."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def of(self, settings: Settings, function: Callable[..., T], *arguments: Any) -> T:
        """``function(*arguments, settings)``."""
        key = function, arguments
        try:
            hash(key)
        except TypeError:  # a plug-in may be of a class whose objects have no hash
            return function(*arguments, settings)
        if key not in self._known:
            self._known[key] = function(*arguments, settings)
        known: T = self._known[key]
        return known


@dataclass(frozen=True)
class PlannedMask:
    """One row of the volume table: a mask that a step makes, or that is missing.

    Attributes
    ----------
    desc : the ``desc-`` label
    family, images : which method, and the images that the mask is made from
    image : the table's column ``image``
    protocol : whose definition of the thalamus it follows
    step : the step that makes it; None where it is missing
    roots : steps that decide whether a mask that could not be made counts as failed or as excluded
    reason : why it is missing
    builds_on : families whose mask it needs
    members : labels of the masks that an ensemble is made from
    kept : only looked up, as an earlier run made it
    """

    desc: str
    family: str
    images: tuple[str, ...]
    image: str
    protocol: str = ""
    step: str | None = None
    roots: tuple[str, ...] = ()
    reason: str = ""
    builds_on: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    kept: bool = False

    def to_json(self) -> dict[str, Any]:
        """For parameters of steps; what only some masks have is left out for the others."""
        told: dict[str, Any] = {
            "desc": self.desc,
            "family": self.family,
            "images": list(self.images),
            "image": self.image,
            "protocol": self.protocol,
            "step": self.step,
            "roots": list(self.roots),
            "reason": self.reason,
            "builds_on": list(self.builds_on),
        }
        if self.members:
            told["members"] = list(self.members)
        return told | ({"kept": True} if self.kept else {})


@dataclass
class SessionPlan:
    """The steps of one session while they are put together.

    Attributes
    ----------
    session, out_dir, settings : what was found, where results go, how
    brain_source : whose brain mask it gets: that of a family, or ``given``
    runnable : families that are run where there is no result yet
    kept : families that are only looked up: an earlier run made their masks
    alone : whether the person has no other session
    steps : in the order in which they were planned
    masks : one entry for each row of the volume table
    images : image -> the step that brings it to the T1w grid
    segmentable : image -> the file that methods segment
    missing : images that the session lacks, with the reason
    prepared : family -> the step that makes its label maps
    origins : what is taken from elsewhere -> from where, in words
    brain_step : the step that makes the brain mask
    made : raw image that a step of ours makes (R1map) -> the step
    fitted : other maps that are made with R1 (R2starmap, MTsat, PDmap), in its space -> the file
    contrasts : raw contrasts that are aligned with the first one -> the record of their alignment
    given_maps : other maps that the user has, by name
    maps : quantitative maps on the T1w grid that are read out, by name
    shared : what all sessions of the run have in common; asked with :meth:`once`
    """

    session: Session
    out_dir: Path
    settings: Settings
    brain_source: str = field(default_factory=families.embedded)
    runnable: Collection[str] = ()
    kept: Collection[str] = ()
    alone: bool = True
    steps: list[Step] = field(default_factory=list)
    masks: list[PlannedMask] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    segmentable: dict[str, Path] = field(default_factory=dict)
    missing: list[dict[str, str]] = field(default_factory=list)
    prepared: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    brain_step: str = ""
    made: dict[str, str] = field(default_factory=dict)
    fitted: dict[str, Path] = field(default_factory=dict)
    contrasts: dict[str, Path] = field(default_factory=dict)
    given_maps: dict[str, GivenMap] = field(default_factory=dict)
    maps: dict[str, Path] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared, repr=False, compare=False)
    _paths: dict[Any, Path] = field(default_factory=dict, init=False, repr=False, compare=False)
    _acquired: dict[str, Mapping[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """``sub-01_ses-2`` or ``sub-01``."""
        return self.session.name

    @property
    def usable(self) -> bool:
        """Whether there is an image to measure on."""
        return self.session.problem is None and self.reference in self.session.images

    @property
    def reference(self) -> str:
        """The image on whose grid everything lies: T1w where there is one."""
        return self.session.reference

    @property
    def others(self) -> tuple[str, ...]:
        """The images of the session that are registered to the reference."""
        return tuple(name for name in REGISTERED if name in self.session.images and name != self.reference)

    @property
    def anatomy(self) -> str:
        """The step that makes the reference image."""
        return self.images[self.reference]

    def relative(self, suffix: str, extension: str = ".nii.gz", **entities: str) -> str:
        return derivative(self.session, suffix, extension, **entities)

    def path(self, suffix: str, extension: str = ".nii.gz", **entities: str) -> Path:
        """Where a result goes; asked for so often that each is put together once."""
        key = suffix, extension, *entities.items()
        if key not in self._paths:
            name = self.relative(suffix, extension, **entities).rpartition("/")[2]
            self._paths[key] = self.folder / name  # twice as fast as to take the whole path apart again
        return self._paths[key]

    @cached_property
    def folder(self) -> Path:
        """Where the results of the session lie."""
        return (self.out_dir / self.relative("mask")).parent

    def acquired(self, image: str) -> Mapping[str, Any]:
        """How an image was acquired; {} for a map that this run makes, which has no header yet."""
        if image not in self._acquired:
            self._acquired[image] = {} if image in self.made else Acquisition(self.session.images[image])
        return self._acquired[image]

    def once(self, function: Callable[..., T], *arguments: Any) -> T:
        """``function(*arguments, settings)``, the same in every session."""
        return self.shared.of(self.settings, function, *arguments)

    def step_name(self, what: str) -> str:
        return f"{self.name} {what}"

    def add(self, what: str, function: Any, **arguments: Any) -> str:
        """Add a step; gives its name."""
        name = self.step_name(what)
        self.steps.append(Step(name, self.name, function, **arguments))
        return name

    def uri_of(self, path: Path) -> str:
        """The BIDS URI of one of our own files."""
        return uri(below(self.out_dir, path))

    def memory(self, gb: float) -> float:
        """What a step needs on this session's T1w when it needs ``gb`` on one of 256 x 256 x 256 voxels."""
        return gb + BYTES_PER_VOXEL * max(0, self.voxels - USUAL_VOXELS) / 1e9

    @cached_property
    def voxels(self) -> int:
        """Voxels of the reference by its header; 0 when that cannot be read (the step that reads it says so)."""
        acquired = self.acquired(self.reference) if self.usable else {}
        return acquired.voxels if isinstance(acquired, Acquisition) else 0

    @property
    def t1w(self) -> Path:
        """The reference image, reoriented: the T1w, or what takes its place."""
        return self.path(self.reference, desc="reoriented")

    @property
    def t1w_uri(self) -> str:
        return uri(self.relative(self.reference, desc="reoriented"))

    @property
    def brain(self) -> Path:
        return self.path("mask", desc="brain")

    @property
    def seen_brain(self) -> Path:
        """The embedded method's brain mask, against which everything that comes from elsewhere is checked."""
        embedded = families.embedded()
        return self.brain if self.brain_source == embedded else self.path("mask", desc=f"{embedded}brain")

    def image_step(self, image: str) -> str:
        """The step that writes what methods segment of an image."""
        return self.images.get(f"{image} scaled", self.images[image])

    def registered(self, image: str) -> Path:
        """FLAIR, R1 or T2w on the reference's grid."""
        return self.path(image, space=self.reference, desc="preproc")

    def dseg(self, desc: str) -> Path:
        """Left and right thalamus of the mask with this ``desc-`` label."""
        return self.path("dseg", seg="thalamus", space=self.reference, desc=desc)

    @property
    def qc(self) -> Path:
        return self.path("qc", ".json", desc="thalamus")

    @property
    def maps_qc(self) -> Path:
        """Quality control of the quantitative maps."""
        return self.path("qc", ".json", desc="qmri")

    @property
    def readout(self) -> Path:
        """Quantitative maps inside the masks."""
        return self.path("morph", ".tsv", desc="thalamusqmri")

    @property
    def volumes(self) -> Path:
        return self.path("morph", ".tsv", desc="thalamus")

    @property
    def icv(self) -> Path:
        return self.path("morph", ".tsv", desc="icv")


@dataclass
class SubjectPlan:
    """One person: the sessions, the steps that look at several of them, and the page.

    A stage that compares visits takes this record, looks at :meth:`pairs` or at :attr:`usable`, and calls :meth:`add`.
    Files of a session that this run was not asked for are there from an earlier run: a step may read them and must not
    wait for them (:meth:`needs` gives the steps to wait for).

    Attributes
    ----------
    subject, out_dir, settings : who, where results go, how
    sessions : in the order of the dataset; those that were asked for, and those that earlier runs have results of
    asked : names of the sessions that this run was asked for
    complete : whether this run was asked for all sessions of the person
    steps : steps that belong to no single session, in the order in which they were planned
    years : of each session that has a date, since the first of them
    norms : what an earlier group level says of a session's volumes, by the session's name
    shared : what all people of the run have in common
    """

    subject: str
    out_dir: Path
    settings: Settings
    sessions: list[SessionPlan]
    asked: Collection[str]
    complete: bool = True
    steps: list[Step] = field(default_factory=list)
    years: Mapping[str, float] = field(default_factory=dict)
    norms: Mapping[str, tuple[Norm, ...]] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    @property
    def name(self) -> str:
        """``sub-01``."""
        return f"sub-{self.subject}"

    @property
    def usable(self) -> list[SessionPlan]:
        """The sessions that have an image to measure on."""
        return [plan for plan in self.sessions if plan.usable]

    @property
    def first(self) -> SessionPlan | None:
        """The session that later ones are aligned with: the first one whose reference image this run makes or finds."""
        return next((plan for plan in self.usable if plan.name in self.asked or plan.t1w.exists()), None)

    @property
    def own(self) -> list[SessionPlan]:
        """The sessions that this run was asked for."""
        return [plan for plan in self.sessions if plan.name in self.asked]

    def pairs(self, which: str) -> list[tuple[SessionPlan, SessionPlan]]:
        """Earlier and later session of each pair: ``first-last``, ``consecutive`` or ``both``."""
        labelled = {str(plan.session.session): plan for plan in self.usable if plan.session.session is not None}
        return [(labelled[first], labelled[second]) for first, second in pairs_of(list(labelled), which)]

    def needs(self, *plans: SessionPlan) -> tuple[str, ...]:
        """The steps that make the reference image of these sessions in this run."""
        return tuple(plan.anatomy for plan in plans if plan.name in self.asked)

    def file(self, name: str) -> Path:
        """A file of the person and of no session: ``sub-01/anat/sub-01_NAME``."""
        return self.out_dir / self.name / "anat" / f"{self.name}_{name}"

    def add(self, what: str, function: Any, session: SessionPlan, **arguments: Any) -> Step:
        """Add a step that belongs to no single session; it runs among those of ``session``, by rights the last one."""
        step = Step(f"{self.name} {what}", session.name, function, **arguments)
        self.steps.append(step)
        return step

    @property
    def all_steps(self) -> list[Step]:
        """Everything that this run does for the person, each step after those that it waits for."""
        return in_order([*itertools.chain.from_iterable(plan.steps for plan in self.own), *self.steps])


def pairs_of(sessions: list[str], which: str) -> list[tuple[str, str]]:
    """Pairs of session labels, in the order of the sessions.

    Examples
    --------
    >>> pairs_of(["1", "2", "3"], "first-last")
    [('1', '3')]
    >>> pairs_of(["1", "2", "3"], "both")
    [('1', '3'), ('1', '2'), ('2', '3')]
    """
    if len(sessions) < 2:
        return []
    pairs = [(sessions[0], sessions[-1])] if which in ("first-last", "both") else []
    if which in ("consecutive", "both"):
        pairs += list(itertools.pairwise(sessions))
    return list(dict.fromkeys(pairs))


def below(folder: Path, path: Path) -> str:
    """One of our files as seen from the output folder."""
    return str(path).removeprefix(f"{folder}/")


def files_of(plan: SessionPlan, desc: str) -> Mapping[str, Path]:
    """Where a mask, its left/right labels and their table go."""
    space = {"space": plan.reference, "desc": desc}
    return {
        "mask": plan.path("mask", label="thalamus", **space),
        "dseg": plan.dseg(desc),
        "table": plan.path("dseg", ".tsv", seg="thalamus", **space),
    }
