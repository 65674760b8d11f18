"""The plan of a run: which steps each session needs, from its images, the methods and the settings."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib

import thalbids
from thalbids.bids.dictionaries import THALAMUS_MORPH
from thalbids.bids.outputs import derivative, sidecar, uri
from thalbids.engine.step import Step
from thalbids.methods.base import Method
from thalbids.participant.stages import alignment, brains, masks, steps
from thalbids.participant.stages.siena import plan_siena
from thalbids.participant.stages.template import plan_template
from thalbids.registration.strategies import configured_for, note_on
from thalbids.settings import Settings
from thalbids.types import Session

REGISTERED = ("FLAIR", "R1map")
MINDGLIDE = ("device", "reorient", "keep_largest")  # settings of a tool that can change its result
DBSEGMENT = ("mode", "folds", "test_time_augmentation")
USUAL_VOXELS = 256**3
BYTES_PER_VOXEL = 60  # what a step takes more for each voxel beyond the usual ones: some arrays of float32 and float64


@dataclass
class SessionPlan:
    """The steps of one session while they are put together; ``masks`` holds one entry per row of the volume table."""

    session: Session
    out_dir: Path
    settings: Settings
    runnable: Collection[str] = ()  # families that are run where there is no result yet
    kept: Collection[str] = ()  # families that are only looked up: an earlier run made their masks
    alone: bool = True  # whether the subject has no other session
    steps: list[Step] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)  # image -> the step that brings it to the T1w grid
    segmentable: dict[str, Path] = field(default_factory=dict)  # image -> the file that methods segment
    missing: list[dict[str, str]] = field(default_factory=list)
    prepared: dict[str, str] = field(default_factory=dict)  # family -> the step that makes its label maps
    origins: dict[str, str] = field(default_factory=dict)  # what is taken -> from where, in words
    brain_step: str = ""

    def relative(self, suffix: str, extension: str = ".nii.gz", **entities: str) -> str:
        return str(derivative(self.session, suffix, extension, **entities))

    def path(self, suffix: str, extension: str = ".nii.gz", **entities: str) -> Path:
        return self.out_dir / self.relative(suffix, extension, **entities)

    def step_name(self, what: str) -> str:
        return f"{self.session.name} {what}"

    def add(self, what: str, function: Any, **arguments: Any) -> str:
        name = self.step_name(what)
        self.steps.append(Step(name, self.session.name, function, **arguments))
        return name

    def uri_of(self, path: Path) -> str:
        """The BIDS URI of one of our own files."""
        return uri(path.relative_to(self.out_dir).as_posix())

    def memory(self, gb: float) -> float:
        """What a step needs on this session's T1w when it needs ``gb`` on one of 256 x 256 x 256 voxels."""
        return gb + BYTES_PER_VOXEL * max(0, self.voxels - USUAL_VOXELS) / 1e9

    @cached_property
    def voxels(self) -> int:
        """Number of voxels of the T1w by its header; 0 when that cannot be read (the step that reads it says so)."""
        try:
            return math.prod(nib.load(self.session.images["T1w"].path).shape[:3])
        except (KeyError, OSError, nib.filebasedimages.ImageFileError):
            return 0

    @property
    def t1w(self) -> Path:
        return self.path("T1w", desc="reoriented")

    @property
    def t1w_uri(self) -> str:
        return uri(self.relative("T1w", desc="reoriented"))

    @property
    def brain(self) -> Path:
        return self.path("mask", desc="brain")

    @property
    def seen_brain(self) -> Path:
        """SynThal's brain mask, against which everything that comes from elsewhere is checked."""
        return self.brain if self.brain_source == "synthal" else self.path("mask", desc="synthalbrain")

    @cached_property
    def brain_source(self) -> str:
        """``synthal``, ``dbsegment``, ``freesurfer`` or ``given``."""
        return brains.source_of(self)

    @property
    def qc(self) -> Path:
        return self.path("qc", ".json", desc="thalamus")

    @property
    def volumes(self) -> Path:
        return self.path("morph", ".tsv", desc="thalamus")

    @property
    def icv(self) -> Path:
        return self.path("morph", ".tsv", desc="icv")


def plan(
    sessions: Sequence[Session],
    out_dir: Path,
    methods: Sequence[Method],
    settings: Settings,
    every: Sequence[Session] | None = None,
    runnable: Collection[str] | None = None,
    kept: Collection[str] = (),
) -> list[Step]:
    """All steps of a run, each after those that it waits for.

    ``every`` holds all sessions of the subjects, also those that were not asked for: a participant's page shows what
    earlier runs made of them. ``runnable`` are the families that are run where there is no result yet (None: all),
    ``kept`` those of earlier runs, which are looked up and not computed.
    """
    planned: list[Step] = []
    asked = {s.name for s in sessions}
    for subject in dict.fromkeys(s.subject for s in sessions):
        named = [s for s in every or sessions if s.subject == subject]
        alone = len(named) == 1
        own = [plan_session(s, out_dir, methods, settings, runnable, kept, alone=alone) for s in named]
        own = [made for made in own if made.session.name in asked or made.qc.exists()]
        if settings.outputs.report:
            alignment.plan_alignments(own, asked)
        for made in own:
            planned += made.steps if made.session.name in asked else []
        change = plan_siena(subject, own, settings, asked)
        planned += change
        if settings.outputs.report:
            planned.append(plan_report(subject, own, settings, asked, change))
    return planned


def plan_session(
    session: Session,
    out_dir: Path,
    methods: Sequence[Method],
    settings: Settings,
    runnable: Collection[str] | None = None,
    kept: Collection[str] = (),
    *,
    alone: bool = True,
) -> SessionPlan:
    """The steps of one session; ``runnable`` and ``kept`` as in :func:`plan`, ``alone``: there is no other session."""
    families = [method.family for method in methods] if runnable is None else runnable
    made = SessionPlan(session, out_dir, settings, families, kept, alone)
    if session.problem is not None or "T1w" not in session.images:
        problem = session.problem or "there is no T1w image."
        params = {"Problem": problem, "Mend": ""}
        made.add("inputs", steps.refuse, inputs={}, outputs={"none": made.qc}, params=params)
        return made
    anatomy(made)
    brains.brain(made, methods)
    for name in REGISTERED:
        register(made, name)
    for method in sorted(methods, key=lambda m: len(masks.families(m, settings))):  # an envelope before what it cuts
        before = len(made.steps)
        masks.segment(made, method)
        masks.ensembles(made, method)
        if method.family in kept:
            made.steps[before:] = [replace(step, look_up=True) for step in made.steps[before:]]
    order = [method.family for method in methods]
    made.masks.sort(key=lambda entry: order.index(entry["family"]))  # stable: rows as the methods were chosen
    made.masks += masks.unplanned(made)
    brains.icv(made)
    measures(made)
    plan_template(made)
    return made


def anatomy(made: SessionPlan) -> None:
    """The step that everything else of the session needs: T1w in order, SynThal's brain mask, where the thalami are."""
    t1w = made.session.images["T1w"]
    params = {
        "Source": t1w.uri,
        "T1wUri": made.t1w_uri,
        "SkullStripped": t1w.metadata.get("SkullStripped"),
        "Precision": made.settings.run.precision,
        "Weights": _weights(),
    }
    made.images["T1w"] = made.brain_step = made.add(
        "anatomy",
        steps.anatomy,
        inputs={"T1w": t1w.path},
        outputs={"T1w": made.t1w, "brain": made.seen_brain},
        params=params,
        memory_gb=made.memory(1.5),
        version=4,  # one box for every field of view; no intracranial volume where the head is cut off
    )
    made.segmentable["T1w"] = made.t1w


def register(made: SessionPlan, name: str) -> None:
    """Bring FLAIR or R1 onto the T1w grid, or note that the session has none."""
    if name not in made.session.images:
        made.missing.append({"item": name, "reason": f"the session has no {name} image"})
        return
    image, settings = made.session.images[name], made.settings.registration
    strategies = configured_for(name, made.settings)
    kind = name
    xfm = {"from_": kind, "to": "T1w", "mode": "image"}
    target = made.path(kind, space="T1w", desc="preproc")
    transform = made.path("xfm", ".txt", **xfm)
    params = {
        "Image": name,
        "Suffix": image.suffix,
        "Source": image.uri,
        "Units": image.metadata.get("Units"),
        "SkullStripped": image.metadata.get("SkullStripped"),
        **{key: image.metadata[key] for key in steps.COPIED if key in image.metadata},
        "T1wUri": made.t1w_uri,
        "TransformUri": uri(made.relative("xfm", ".txt", **xfm)),
        "Strategies": [s.name for s in strategies],
        "StrategiesNote": note_on(name, made.settings),
        "Software": list(dict.fromkeys(s.software for s in strategies)),
        "Cutoffs": {s.name: s.cutoff for s in strategies},
        "Rule": settings.rule,
        "Bins": settings.bins,
        "BrainSource": made.brain_source,
        "Seed": made.settings.run.seed,
    }
    if image.problem:
        params = {"Problem": image.problem, "Mend": ""}
    done = made.add(
        f"register {name}",
        steps.refuse if image.problem else steps.register,
        inputs={"image": None if image.problem else image.path, "T1w": made.t1w, "brain": made.brain},
        outputs={"image": target, "transform": transform},
        params=params,
        needs=tuple(dict.fromkeys((made.images["T1w"], made.brain_step))),
        record=made.path("xfm", ".json", **xfm),
        memory_gb=made.memory(2.0),
        machine=made.settings,
        version=2,  # another rule of what is skull-stripped
    )
    made.images[name], made.segmentable[name] = done, target
    if name == "R1map":
        scale(made, target)


def scale(made: SessionPlan, r1: Path) -> None:
    """Scale the registered R1 map; what methods segment is the scaled map."""
    scaled = made.path("R1map", space="T1w", desc="scaled")
    made.images["R1map scaled"] = made.add(
        "scale R1map",
        steps.scale_r1,
        inputs={"R1map": r1, "brain": made.brain},
        outputs={"image": scaled},
        params={
            "Source": uri(made.relative("R1map", space="T1w", desc="preproc")),
            "BrainUri": uri(made.relative("mask", desc="brain")),
            "BrainSource": made.brain_source,
            "T1wUri": made.t1w_uri,
        },
        needs=tuple(dict.fromkeys((made.images["R1map"], made.brain_step))),
        memory_gb=made.memory(1.0),
    )
    made.segmentable["R1map"] = scaled


def measures(made: SessionPlan) -> None:
    """Volume table and quality control, after everything else of the session and whatever became of it."""
    inputs: dict[str, Path] = {"brain": made.brain, "icv": made.icv}
    for entry in made.masks:
        if entry["step"] is not None:
            dseg = made.path("dseg", seg="thalamus", space="T1w", desc=entry["desc"])
            inputs |= {entry["desc"]: dseg, f"{entry['desc']} sidecar": sidecar(dseg)}
    registered = [name for name in REGISTERED if name in made.images]
    inputs |= {"image T1w": made.t1w, "sidecar T1w": sidecar(made.t1w)}
    for name in registered:
        inputs[f"image {name}"] = made.path(name, space="T1w", desc="preproc")
        inputs[f"xfm{name}"] = made.path("xfm", ".json", from_=name, to="T1w", mode="image")
    params = {
        "Subject": made.session.subject,
        "Session": made.session.session,
        "Methods": made.masks,
        "Columns": list(THALAMUS_MORPH),
        "Dictionary": THALAMUS_MORPH,
        "Registered": registered,
        "Images": {
            name: {"source": made.session.images[name].uri, "step": made.images[name]} for name in ("T1w", *registered)
        },
        "Notes": [*made.session.notes, *(f"{what}: {whence}" for what, whence in made.origins.items())],
        "BrainSource": made.brain_source,
        "Missing": made.missing,
    }
    after = tuple(step.name for step in made.steps)
    made.add(
        "measures", steps.measures, inputs=inputs, outputs={"qc": made.qc, "volumes": made.volumes}, params=params,
        after=after, record=made.qc, memory_gb=made.memory(1.0),
    )  # fmt: skip


def plan_report(
    subject: str, own: Iterable[SessionPlan], settings: Settings, asked: Collection[str], change: Sequence[Step] = ()
) -> Step:
    """The page of one participant, after everything else of all its sessions and the whole-brain change."""
    own = list(own)
    sessions: list[Mapping[str, Any]] = []
    out_dir = own[0].out_dir
    change_table = out_dir / f"sub-{subject}" / "anat" / f"sub-{subject}_desc-siena_morph.tsv"
    inputs: dict[str, Path] = {"whole-brain change": change_table}
    for made in own:
        files = {"qc": made.qc, "volumes": made.volumes, "icv": made.icv, "T1w": made.t1w, "brain": made.brain}
        files |= {name: made.path(name, space="T1w", desc="preproc") for name in REGISTERED if name in made.images}
        if "R1map scaled" in made.images:
            files["scaled R1map"] = made.path("R1map", space="T1w", desc="scaled")
        if made is not own[0]:
            files["alignment"] = alignment.path_of(made)
        for entry in made.masks:
            if entry["step"] is not None:
                files[entry["desc"]] = made.path("dseg", seg="thalamus", space="T1w", desc=entry["desc"])
        inputs |= {f"{made.session.name} {key}": path for key, path in files.items()}
        sessions.append(
            {
                "Name": made.session.name,
                "Session": made.session.session,
                "Files": {key: path.relative_to(out_dir).as_posix() for key, path in files.items()},
                "Methods": [{k: e[k] for k in ("desc", "image", "protocol")} for e in made.masks],
                "Steps": [step.name for step in made.steps],
                "Problem": made.session.problem or "",
            }
        )
    after = tuple(step.name for made in own if made.session.name in asked for step in made.steps)
    after += tuple(step.name for step in change)
    record = out_dir / f"sub-{subject}" / "figures" / f"sub-{subject}_report.json"
    return Step(
        f"sub-{subject} report",
        [made.session.name for made in own if made.session.name in asked][-1],
        steps.report,
        inputs=inputs,
        outputs={"page": out_dir / f"sub-{subject}.html"},
        params={
            "Subject": subject,
            "Sessions": sessions,
            "Change": change_table.relative_to(out_dir).as_posix(),
            "Settings": result_settings(settings),
            "Version": thalbids.__version__,
        },
        after=after,
        record=record,
    )


def result_settings(settings: Settings) -> dict[str, Any]:
    """The settings that can change a result, for the report; how many processes ran is none of them."""
    tools = settings.tools
    return {
        "methods": list(settings.methods.names),
        "extra ensembles": list(settings.methods.extra_ensembles),
        "registration": {name: {s.name: s.cutoff for s in configured_for(name, settings)} for name in REGISTERED},
        "registration rule": settings.registration.rule,
        "mutual information bins": settings.registration.bins,
        "flip averaging": settings.synthal.flip_averaging,
        "brain mask": settings.brain.source,
        "MindGlide": {"envelope": settings.mindglide.envelope, **_named(tools.mindglide, MINDGLIDE)},
        "DBSegment": _named(tools.dbsegment, DBSEGMENT),
        "recon-all": _named(tools.freesurfer, ("hires",)),
        "precision": settings.run.precision,
        "seed": settings.run.seed,
    }


def _named(section: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(section, name) for name in names}


def _weights() -> str:
    from thalbids.methods.synthal import weights_checksum

    return weights_checksum()
