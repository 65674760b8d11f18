"""What is computed from what: the steps of a session as plain functions from files to files.

Each takes ``(inputs, outputs, params, upstream)`` and returns a :class:`~thalbids.engine.step.Done` with the metadata
of the sidecars; the engine writes those, with the fingerprint. ``thalbids.participant.plan`` puts the steps together.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from thalbids.bids import names
from thalbids.bids.dictionaries import LABEL_TABLE, LABEL_TABLE_COLUMNS, THALAMUS_COLUMNS
from thalbids.bids.outputs import read_json, read_table, sidecar, write_table
from thalbids.engine.step import Done, StepResult, recorded_as
from thalbids.errors import ImageError, ThalbidsError
from thalbids.image.grids import zooms
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.image.orientation import to_ras
from thalbids.methods.base import Request, trait
from thalbids.raters import effect
from thalbids.settings import Settings

Inputs = Mapping[str, Path | None]
Outputs = Mapping[str, Path]
Params = Mapping[str, Any]
Upstream = Mapping[str, StepResult]

STALE = "its mask in this folder is of an earlier run and not current, or this run cannot tell"
UP_TO_SKULL = "Brain with its fluid up to the inner skull, by SynThal's whole-head network."
CUT_OFF = "The field of view ends inside the skull: brain mask and intracranial volume are not whole."
COPIED = ("EstimationAlgorithm", "EstimationReference")  # fields of a raw map's sidecar that ours repeats
LEFT_BY_STRIPPING = "What the skull-stripping of the scan left, with what that encloses."
DIAGNOSTICS = {
    "flip_dice": "FlipDice",
    "confidence": "Confidence",
    "in_view": "InView",
}  # as rules and sidecars call them


def given(inputs: Inputs, key: str) -> Path:
    """An input that the plan has made sure of."""
    path = inputs[key]
    if path is None:
        raise ValueError(f"the plan gave no {key}")
    return path


@recorded_as("thalbids.pipeline.steps.refuse")
def refuse(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """The only step of a session that cannot be processed: says why."""
    raise ImageError(params["Problem"], params["Mend"])


@recorded_as("thalbids.pipeline.steps.anatomy")
def anatomy(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """T1w in RAS order without resampling, brain mask, intracranial volume and where the thalami are."""
    from thalbids.methods.synthal import head_of

    raw = load_image(given(inputs, "T1w"))
    notes = list(raw.extra.get("notes", ()))
    t1w, orientation = to_ras(raw)
    try:
        head = head_of(t1w, params["Precision"])
    except ImageError as error:
        raise ImageError(error.problem, error.mend, given(inputs, "T1w")) from None
    assert head.centre is not None
    data = np.asarray(t1w.dataobj)
    stripped = params["SkullStripped"]
    if not isinstance(stripped, bool):
        stripped = head.stripped
    described = LEFT_BY_STRIPPING if head.stripped else UP_TO_SKULL
    if head.cut_off:
        notes.append(CUT_OFF)
        described = f"{described} {CUT_OFF}"
    save_image(data, t1w.affine, outputs["T1w"])
    save_image(head.brain, t1w.affine, outputs["brain"], dtype=np.uint8)
    grid = {"Sources": [params["Source"]], "SpatialReference": params["T1wUri"]}
    return Done(
        {
            "T1w": grid
            | {
                "SkullStripped": bool(stripped),
                "Description": "T1w image, axes permuted and flipped to right, anterior, superior; not resampled.",
                "Orientation": orientation.to_json(),
                "ThalamiCentreMm": [float(v) for v in head.centre],
                "ThalamiSeen": head.places,
                "IntracranialVolumeMm3": None if head.cut_off else head.icv_mm3,
                "SkullCutOffMm2": head.cut_mm2,
                "HeadTiltDegrees": head.tilt,
                "Notes": notes,
            },
            "brain": grid
            | {
                "Type": "Brain",
                "Manual": False,
                "Sources": [params["T1wUri"]],
                "Description": described,
                "BrainSource": "synthal",
            },
        }
    )


def looks_stripped(data: np.ndarray, brain: np.ndarray, sizes: Sequence[float]) -> bool:
    """Whether the shell around the brain mask where the scalp should be is nearly empty.

    ``data`` and ``brain`` (x, y, z) share a grid of voxels of ``sizes`` mm. The mask holds a margin around the brain.
    """
    from scipy import ndimage

    from thalbids.inference.head import BRAIN_MARGIN_MM, empty_shell

    coarse = (slice(None, None, 2),) * 3
    away = ndimage.distance_transform_edt(brain[coarse] == 0, [2 * size for size in sizes])
    return empty_shell(data[coarse] != 0, away + BRAIN_MARGIN_MM)


@recorded_as("thalbids.pipeline.steps.register")
def register(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """FLAIR, or R1 from R1map or T1map, onto the T1w grid: every strategy, the metric gate, the choice."""
    from thalbids.registration import gate, transforms
    from thalbids.registration.strategies import configured

    path = given(inputs, "image")
    moving = load_image(path)
    notes = list(moving.extra.get("notes", ()))
    converted: dict[str, Any] = {}
    if params["Image"] == "R1map":
        moving, converted = as_r1(moving, params, path)
    moving, _ = to_ras(moving)
    fixed = load_image(given(inputs, "T1w"))
    brain = load_labels(given(inputs, "brain"))
    strategies = configured(params["Strategies"], params["Cutoffs"], program=params["Machine"].tools.fsl)
    seen_by = effect.Registrations(params.get("Rejected", ()), fixed.affine)
    outcome = gate.register(
        moving, fixed, brain, strategies, bins=params["Bins"], seed=params["Seed"], rule=params["Rule"],
        minimum=0.0 if params["Image"] == "R1map" else None, review=seen_by.review,
    )  # fmt: skip
    notes += seen_by.stale()
    if params["StrategiesNote"]:
        notes.append(params["StrategiesNote"])
    record = {
        "Image": params["Image"],
        "Sources": [params["Source"], params["T1wUri"]],
        "Chosen": outcome.chosen,
        "Reason": outcome.reason,
        "Strategies": params["Strategies"],
        "Rule": params["Rule"],
        "BrainSource": params["BrainSource"],
        "Attempts": [attempt.to_json() for attempt in outcome.attempts],
        "Warnings": list(outcome.warnings),
        **({"FailedByRater": seen_by.applied} if seen_by.applied else {}),
        "Software": outcome.software,
        "Description": "Maps points of the T1w to points of the image (ITK convention: LPS, fixed to moving).",
        "Notes": notes,
    }
    if outcome.image is None or outcome.matrix is None:
        return Done({"record": record}, "excluded", outcome.reason)
    transforms.write_itk(outcome.matrix, outputs["transform"])
    save_image(np.asarray(outcome.image.dataobj), fixed.affine, outputs["image"])
    stripped = params["SkullStripped"]
    if not isinstance(stripped, bool):
        stripped = looks_stripped(np.asarray(outcome.image.dataobj), np.asarray(brain.dataobj), zooms(fixed.affine))
    metadata = {
        "Units": "arbitrary",
        "Sources": [params["Source"], params["T1wUri"]],
        "SpatialReference": params["T1wUri"],
        "SkullStripped": bool(stripped),
        "Description": f"{params['Image']} registered to the T1w ({outcome.chosen}) and resampled once to its grid.",
        "Transform": params["TransformUri"],
        "Notes": notes,
        **{key: params[key] for key in COPIED if key in params},
    } | converted
    return Done({"image": metadata, "transform": record})


def as_r1(image: nib.Nifti1Image, params: Params, path: Path) -> tuple[nib.Nifti1Image, dict[str, Any]]:
    """R1 in 1/s from an R1map or a T1map, its unit checked."""
    from thalbids.qmri.relaxation import r1_from_map

    try:
        r1, how = r1_from_map(np.asarray(image.dataobj), params["Suffix"], params["Units"])
    except ThalbidsError as error:
        raise ImageError(error.problem, error.mend, path) from None
    return nib.Nifti1Image(r1, image.affine), {"Units": "1/s", "Conversion": how}


@recorded_as("thalbids.pipeline.steps.scale_r1")
def scale_r1(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """Registered R1 to 0-1000 inside the brain mask (paper, 2.5.2)."""
    from thalbids.image.intensity import scale_r1 as scale

    r1 = load_image(given(inputs, "R1map"))
    brain = np.asarray(load_labels(given(inputs, "brain")).dataobj) > 0
    scaled, parameters = scale(np.asarray(r1.dataobj), brain)
    save_image(scaled, r1.affine, outputs["image"])
    return Done(
        {
            "image": {
                "Sources": [params["Source"], params["BrainUri"]],
                "SpatialReference": params["T1wUri"],
                "SkullStripped": True,
                "Units": "arbitrary",
                "Description": "R1 in the brain mask: negative to 0, clipped at the 99th percentile, scaled to 0-1000.",
                "Scaling": parameters,
                "BrainSource": params["BrainSource"],
            }
        }
    )


@recorded_as("thalbids.pipeline.steps.segment")
def segment(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """One method on one image."""
    from thalbids.methods.registry import methods

    method = methods()[params["Family"]]
    image = load_image(given(inputs, "image"))
    labels = there(inputs, "labels")
    if "labels" in inputs and labels is None:
        why = read_json(given(inputs, "maps")).get("Failed", {}).get(params["Image"], "it gave no labels.")
        raise ImageError(f"{params['Family']} on the {params['Image']}: {why}")
    told = read_json(given(inputs, "labels sidecar")) if labels is not None else {}
    with work_folder(params["Machine"]) as workdir:
        request = Request(
            params["Image"],
            image,
            inputs.get("brain") or Path("there is no brain mask"),
            tuple(read_json(given(inputs, "seen"))["ThalamiCentreMm"]),
            params["Method"],
            workdir,
            path=given(inputs, "image"),
            settings=params["Machine"],
            labels=None if labels is None else np.asarray(load_labels(labels).dataobj),
            told=told,
            masks={key.removeprefix("mask "): labels_of(inputs, key) for key in inputs if key.startswith("mask ")},
        )
        try:
            found = method.segment(request)
        except ImageError as error:
            raise ImageError(error.problem, error.mend, error.path or given(inputs, "image")) from None
    common = {
        "SpatialReference": params["T1wUri"],
        "Sources": params["Sources"],
        "Manual": False,
        "Description": names.by_desc(params["Desc"]).description,
        "Software": told.get("Software", list(trait(method, "software", params["Machine"]))),
    } | dict(found.metadata)
    sidecars = write_masks(found.labels, image.affine, outputs, common)
    if "probability" in outputs and found.probability is not None:
        save_image(found.probability, image.affine, outputs["probability"], dtype=np.float32)
        sidecars["probability"] = common | {"Type": "ROI"}
    return Done(sidecars)


def labels_of(inputs: Inputs, key: str) -> np.ndarray:
    """A mask among the inputs, as an array."""
    return np.asarray(load_labels(given(inputs, key)).dataobj).astype(np.uint8)


@contextmanager
def work_folder(settings: Settings) -> Iterator[Path]:
    """An empty folder that is removed afterwards; errors that leave it do not name it, as it differs in every run."""
    if settings.run.work_dir is not None:
        settings.run.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="thalbids-", dir=settings.run.work_dir) as name:
        folder = Path(name)
        try:
            yield folder
        except ThalbidsError as error:
            own = error.path is not None and error.path.is_relative_to(folder)
            problem, mend = (text.replace(f"{folder}{os.sep}", "") for text in (error.problem, error.mend))
            raise type(error)(problem, mend, None if own else error.path) from None


def write_masks(
    labels: np.ndarray, affine: np.ndarray, outputs: Outputs, common: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """Left/right labels with their table, and the binary mask; gives their sidecars."""
    save_image(labels, affine, outputs["dseg"], dtype=np.uint8)
    write_table(outputs["table"], LABEL_TABLE, LABEL_TABLE_COLUMNS)
    save_image((labels != 0).astype(np.uint8), affine, outputs["mask"], dtype=np.uint8)
    return {"mask": {**common, "Type": "ROI"}, "dseg": dict(common)}


@recorded_as("thalbids.pipeline.steps.ensemble")
def ensemble(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """Several masks of one family fused into one."""
    from thalbids.methods.ensembles import THRESHOLD, fuse

    members = [load_labels(given(inputs, image)) for image in params["Members"]]
    labels = fuse([np.asarray(m.dataobj) for m in members], params["Rule"])
    common: dict[str, Any] = {
        "SpatialReference": params["T1wUri"],
        "Sources": params["Sources"],
        "Manual": False,
        "Description": names.by_desc(params["Desc"]).description,
        "EnsembleRule": params["Rule"],
        "EnsembleMembers": params["Members"],
    }
    if params["Rule"] != "intersection":
        common["EnsembleThreshold"] = THRESHOLD
    return Done(write_masks(labels, members[0].affine, outputs, common))


@recorded_as("thalbids.pipeline.steps.measures")
def measures(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """The volume table and the QC document of a session, from whatever came out of the steps before."""
    from thalbids import qc

    brain = None if there(inputs, "brain") is None else load_labels(given(inputs, "brain"))
    affine = None if brain is None else np.asarray(brain.affine)
    masks = {entry["desc"]: mask_input(entry, inputs, upstream) for entry in params["Methods"]}
    masks, stale = effect.failed_masks(masks, affine, params.get("Rated", {}))
    icv_path = there(inputs, "icv")
    volumes = [] if icv_path is None else read_table(icv_path)
    icv = [
        {"source": row["source"], "icv_mm3": None if row["icv_mm3"] is None else float(row["icv_mm3"])}
        for row in volumes
    ]
    notes = [*params["Notes"], *stale, *(f"ICV by {row['source']}: {row['note']}" for row in volumes if row["note"])]
    document = qc.build(
        subject=params["Subject"],
        session=params["Session"],
        affine=affine,
        masks=masks,
        brain=None if brain is None else np.asarray(brain.dataobj),
        images=image_entries(params, inputs, upstream),
        registrations=[
            registration_entry(name, there(inputs, f"xfm{name}"), upstream, params) for name in params["Registered"]
        ],
        brain_source=params["BrainSource"],
        head=read_json(given(inputs, "sidecar T1w")).get("ThalamiSeen") if there(inputs, "sidecar T1w") else None,
        icv=icv,
        notes=notes,
        missing=params["Missing"],
    )
    write_table(outputs["volumes"], volume_rows(params["Methods"], document["Masks"]), params["Columns"])
    qc.write(outputs["qc"], document)
    return Done({"volumes": params["Dictionary"]})


def there(inputs: Inputs, key: str) -> Path | None:
    """An input that may be missing."""
    path = inputs.get(key)
    return path if path is not None and path.exists() else None


def mask_input(entry: Mapping[str, Any], inputs: Inputs, upstream: Upstream) -> Any:
    """What the quality control gets to know of one mask."""
    from thalbids.qc import MaskInput

    status, reason = ending(entry, upstream)
    path = there(inputs, entry["desc"]) if status == "ok" else None
    if path is None:
        return MaskInput(None, entry["family"], tuple(entry["images"]), status, reason)
    labels = np.asarray(load_labels(path).dataobj).astype(np.uint8)
    seen = there(inputs, f"image {entry['images'][0]}") if len(entry["images"]) == 1 else None
    image = None if seen is None else np.asarray(load_image(seen).dataobj) != 0
    told = read_json(sidecar(path))
    own = {name: told[key] for name, key in DIAGNOSTICS.items() if key in told}
    soft = told.get("SoftVolumeMm3")
    return MaskInput(
        labels,
        entry["family"],
        tuple(entry["images"]),
        status,
        reason,
        soft,
        image,
        own,
        told.get("EnvelopeDependence"),
        tuple(entry.get("builds_on", ())),
    )


def volume_rows(methods: Sequence[Mapping[str, Any]], masks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the volume table. A mask that is not trusted, or is built on one, is excluded and keeps its numbers."""
    rows = []
    for entry in methods:
        mask = masks[entry["desc"]]
        row = {"method": entry["desc"], "image": entry["image"], "status": mask["status"], "reason": mask["reason"]}
        row |= {key: value for key, value in (mask["measures"] or {}).items() if key in THALAMUS_COLUMNS}
        doubtful = [name for name in (entry["desc"], *entry.get("members", ())) if distrusted(masks[name])]
        if mask["status"] == "ok" and doubtful:
            row["status"] = "excluded"
            reasons = [f"{name}: {flag['reason']}" for name in doubtful for flag in masks[name]["flags"]]
            row["reason"] = "; ".join(reasons)
        rows.append(row)
    return rows


def distrusted(mask: Mapping[str, Any]) -> bool:
    """Whether the rules say that a mask that was made cannot be used."""
    return mask["status"] == "ok" and not mask["trusted"]


def ending(entry: Mapping[str, Any], upstream: Upstream) -> tuple[str, str]:
    """Status and reason of a mask for tables: ok, missing, failed or excluded."""
    if entry["step"] is None:
        return "missing", entry["reason"]
    result = upstream[entry["step"]]
    if result.status == "blocked" and entry.get("kept"):
        return "missing", STALE
    if result.status == "blocked":
        return entry_of_blocked(entry, upstream), result.reason
    return {"lost": "failed", "cached": "ok"}.get(result.status, result.status), result.reason


def entry_of_blocked(entry: Mapping[str, Any], upstream: Upstream) -> str:
    """A mask that waits for an excluded image is excluded itself, one that waits for a failed step has failed."""
    roots = [upstream[name].status for name in entry["roots"] if name in upstream]
    return "failed" if any(status in ("failed", "lost") for status in roots) else "excluded"


def image_entries(params: Params, inputs: Inputs, upstream: Upstream) -> dict[str, dict[str, Any]]:
    """Per image of the session: where it came from and how it ended."""
    out = {}
    for name, entry in params["Images"].items():
        result = upstream[entry["step"]]
        status = {"lost": "failed", "cached": "ok", "blocked": "failed"}.get(result.status, result.status)
        told = there(inputs, "sidecar T1w" if name == "T1w" else f"xfm{name}")
        notes = read_json(told).get("Notes", []) if told is not None else []
        out[name] = {"source": entry["source"], "status": status, "reason": result.reason, "notes": notes}
    return out


def registration_entry(name: str, record: Path | None, upstream: Upstream, params: Params) -> dict[str, Any]:
    """One registration for the QC document, also when it failed before there was a metric."""
    result = upstream[params["Images"][name]["step"]]
    if record is None:
        return {"image": name, "chosen": None, "reason": result.reason, "excluded": True, "attempts": []}
    content = read_json(record)
    return {
        "image": name,
        "chosen": content["Chosen"],
        "reason": content["Reason"],
        "excluded": content["Chosen"] is None,
        "attempts": content["Attempts"],
    }


@recorded_as("thalbids.pipeline.steps.report")
def report(inputs: Inputs, outputs: Outputs, params: Params, upstream: Upstream) -> Done:
    """The page of one participant."""
    from thalbids.engine.lock import shared_files
    from thalbids.participant.reporting import write

    out_dir = outputs["page"].parent
    with shared_files(
        out_dir, f"sub-{params['Subject']}"
    ):  # jobs on different sessions of one person write the same page
        for old in (out_dir / f"sub-{params['Subject']}" / "figures").glob("sub-*_thalamus.svg"):
            old.unlink()
        figures = write(outputs["page"], params, upstream)
    shown = [{"Session": session["Session"], "Problem": session["Problem"]} for session in params["Sessions"]]
    written = sorted(path.name for path in figures if path != outputs["page"])
    return Done({"record": {"Figures": written, "Sessions": shown}})
