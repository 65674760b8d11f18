"""Volume table and quality control of a session, from whatever came out of the steps before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.dictionaries import THALAMUS_COLUMNS, THALAMUS_MORPH
from thalbids.bids.results.outputs import read_json, read_table, sidecar, write_table
from thalbids.engine.params import IF_SET, Params
from thalbids.engine.step import Done, Inputs, Outputs, Step, Upstream, recorded_as
from thalbids.image.grids import zooms
from thalbids.image.io import load_image, load_labels
from thalbids.participant.session import PlannedMask, SessionPlan
from thalbids.participant.stages.session.masks import STALE
from thalbids.participant.stages.session.registration import record_of
from thalbids.participant.step_io import ASYMMETRY, OF_SCAN, SCANNED, given, of_both, there
from thalbids.qc.rules import DISTRUST
from thalbids.raters import effect
from thalbids.raters.ratings import RatersVerdict

DIAGNOSTICS = {  # in rules and tables: in sidecars
    "flip_dice": "FlipDice", "confidence": "Confidence", "in_view": "InView", "expected_dice": "ExpectedDice",
    "volume_low_mm3": "VolumeLowMm3", "volume_high_mm3": "VolumeHighMm3",
}  # fmt: skip


@dataclass(frozen=True)
class ImageSource:
    """Where an image came from, the step that brings it to the T1w grid, and how it was acquired."""

    source: str
    step: str
    acquisition: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "step": self.step, "acquisition": dict(self.acquisition)}


@dataclass(frozen=True)
class VisitAcquisition:
    """What another visit's quality control needs of a visit: its label, how each image was acquired, and which inputs
    hold the sidecars of its reference image and of its masks.
    """

    session: str
    acquisition: Mapping[str, Mapping[str, Any]]
    sidecar: str
    masks: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "session": self.session,
            "acquisition": {image: dict(facts) for image, facts in self.acquisition.items()},
            "sidecar": self.sidecar,
            "masks": dict(self.masks),
        }


@dataclass(frozen=True)
class MeasuresParams(Params):
    """``methods``: the rows of the volume table; ``images``: the reference first; ``registered``: images that were
    registered; ``missing``: what the session lacks, with the reason; ``rated``: what raters failed, by mask: SHA-256
    and reason; ``visits``: this visit, then the person's others.
    """

    kind = "measures"
    subject: str
    session: str | None
    methods: tuple[PlannedMask, ...]
    columns: tuple[str, ...]
    dictionary: Mapping[str, Any]
    registered: tuple[str, ...]
    images: Mapping[str, ImageSource]
    notes: tuple[str, ...]
    brain_source: str
    missing: tuple[Mapping[str, str], ...]
    rated: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict, metadata=IF_SET)
    visits: tuple[VisitAcquisition, ...] = field(default=(), metadata=IF_SET)
    maps: bool = field(
        default=False, metadata=IF_SET
    )  # whether there are quantitative maps, which have a QC of their own


def add_steps(plan: SessionPlan) -> None:
    """One step, after everything else of the session and whatever became of it."""
    inputs: dict[str, Path] = {"brain": plan.brain, "icv": plan.icv}
    for mask in plan.masks:
        if mask.step is not None:
            dseg = plan.dseg(mask.desc)
            inputs |= {mask.desc: dseg, f"{mask.desc} sidecar": sidecar(dseg)}
    registered = plan.others
    inputs |= {f"image {plan.reference}": plan.t1w, f"sidecar {plan.reference}": sidecar(plan.t1w)}
    for name in registered:
        image = plan.registered(name)
        inputs |= {f"image {name}": image, f"sidecar {name}": sidecar(image), f"xfm{name}": record_of(plan, name)}
    inputs |= {"maps": plan.maps_qc} if plan.maps else {}
    plan.add(
        "measures",
        measures,
        inputs=inputs,
        outputs={"qc": plan.qc, "volumes": plan.volumes},
        params=MeasuresParams(
            subject=plan.session.subject,
            session=plan.session.session,
            methods=tuple(plan.masks),
            columns=tuple(THALAMUS_MORPH),
            dictionary=THALAMUS_MORPH,
            registered=registered,
            images={
                name: ImageSource(plan.session.images[name].uri, plan.images[name], plan.acquired(name))
                for name in (plan.reference, *registered)
            },
            notes=(*plan.session.notes, *(f"{what}: {whence}" for what, whence in plan.origins.items())),
            brain_source=plan.brain_source,
            missing=tuple(plan.missing),
            maps=bool(plan.maps),
        ),
        after=tuple(
            dict.fromkeys([*(step.name for step in plan.steps), *(root for mask in plan.masks for root in mask.roots)])
        ),
        record=plan.qc,
        memory_gb=plan.memory(1.0),
        version=14,  # share of filled voxels; voxel sizes; smoothness; no interval beside a fault of the scan
    )


def rated(step: Step, verdicts: Sequence[RatersVerdict]) -> Step:
    """The step with the masks that raters failed; a step without keeps its fingerprint."""
    assert isinstance(step.params, MeasuresParams)
    failed = effect.failed(verdicts)
    return replace(step, params=replace(step.params, rated=failed)) if failed else step


@recorded_as("thalbids.pipeline.steps.measures")
def measures(inputs: Inputs, outputs: Outputs, params: MeasuresParams, upstream: Upstream) -> Done:
    """The volume table and the QC document."""
    from thalbids import qc

    brain = None if there(inputs, "brain") is None else load_labels(given(inputs, "brain"))
    reference = next(iter(params.images))
    shown, told = f"image {reference}", there(inputs, f"sidecar {reference}")
    grid = brain if brain is not None or not there(inputs, shown) else load_image(given(inputs, shown))
    affine = None if grid is None else np.asarray(grid.affine)
    seen = {} if told is None else read_json(told)
    masks = {mask.desc: mask_input(mask, inputs, upstream) for mask in params.methods}
    masks, stale = effect.failed_masks(masks, affine, params.rated)
    icv_path = there(inputs, "icv")
    volumes = [] if icv_path is None else read_table(icv_path)
    icv = [
        {"source": row["source"], "icv_mm3": None if row["icv_mm3"] is None else float(row["icv_mm3"])}
        for row in volumes
    ]
    notes = [*params.notes, *stale, *(f"ICV by {row['source']}: {row['note']}" for row in volumes if row["note"])]
    document = qc.build(
        subject=params.subject,
        session=params.session,
        affine=affine,
        masks=masks,
        brain=None if brain is None else np.asarray(brain.dataobj),
        images=image_entries(params, inputs, upstream),
        registrations=[registration_entry(name, inputs, upstream, params) for name in params.registered],
        brain_source=params.brain_source,
        head=seen.get("ThalamiSeen"),
        stripped=bool(seen.get("SkullStripped")),
        reference=reference,
        icv=icv,
        notes=notes,
        missing=list(params.missing),
        visits=visits_of(params.visits, inputs),
        maps=read_json(given(inputs, "maps")) if params.maps and there(inputs, "maps") else None,
    )
    rows = [{**row, "reference": reference} for row in volume_rows(params.methods, document["Masks"])]
    write_table(outputs["volumes"], rows, params.columns)
    qc.write(outputs["qc"], document)
    return Done({"volumes": params.dictionary})


def mask_input(mask: PlannedMask, inputs: Inputs, upstream: Upstream) -> Any:
    """What the quality control gets to know of one mask."""
    from thalbids.qc import MaskInput

    status, reason = ending(mask, upstream)
    path = there(inputs, mask.desc) if status == "ok" else None
    if path is None:
        return MaskInput(None, mask.family, mask.images, status, reason)
    image = load_labels(path)
    labels, affine = np.asarray(image.dataobj).astype(np.uint8), image.affine
    seen = there(inputs, f"image {mask.images[0]}") if len(mask.images) == 1 else None
    told = read_json(sidecar(path))
    scan = there(inputs, f"sidecar {mask.images[0]}") if len(mask.images) == 1 else None
    diagnostics = {name: told[key] for name, key in DIAGNOSTICS.items() if key in told}
    diagnostics |= _of_scan(read_json(scan) if scan is not None else {}, affine)
    data = None if seen is None else np.asarray(load_image(seen).dataobj)
    diagnostics |= {} if data is None else of_both(data, labels)
    return MaskInput(
        labels,
        mask.family,
        mask.images,
        status,
        reason,
        told.get("SoftVolumeMm3"),
        None if data is None else data != 0,
        diagnostics,
        told.get("EnvelopeDependence"),
        mask.builds_on,
    )


def _of_scan(told: Mapping[str, Any], affine: np.ndarray) -> dict[str, float]:
    """What rules ask of a scan, by the sidecar of the image that a mask was made from; ``affine`` is the mask's."""
    known = {name: told[key] for name, key in OF_SCAN.items() if told.get(key) is not None}
    return known | {"scan_voxel_mm3": math.prod(told.get(SCANNED) or zooms(affine))}


def volume_rows(planned: Sequence[PlannedMask], masks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the volume table. A mask that is not trusted, or is built on one, is excluded and keeps its numbers."""
    rows = []
    for one in planned:
        mask = masks[one.desc]
        row = {"method": one.desc, "image": one.image, "status": mask["status"], "reason": mask["reason"]}
        row |= {key: value for key, value in (mask["measures"] or {}).items() if key in THALAMUS_COLUMNS}
        doubtful = [name for name in (one.desc, *one.members) if distrusted(masks[name])]
        if mask["status"] == "ok" and doubtful:
            row["status"] = "excluded"
            flags = [(name, flag) for name in doubtful for flag in masks[name]["flags"]]
            flags.sort(key=lambda item: item[1]["severity"] != DISTRUST)  # what condemns it first
            reasons = [f"{name}: {flag['reason']}" for name, flag in flags]
            row["reason"] = "; ".join(reasons)
        rows.append(row)
    return rows


def distrusted(mask: Mapping[str, Any]) -> bool:
    """Whether the rules say that a mask that was made cannot be used."""
    return mask["status"] == "ok" and not mask["trusted"]


def ending(mask: PlannedMask, upstream: Upstream) -> tuple[str, str]:
    """Status and reason of a mask for tables: ok, missing, failed or excluded."""
    if mask.step is None:
        return "missing", mask.reason
    result = upstream[mask.step]
    if result.status == "blocked" and mask.kept:
        return "missing", STALE
    if result.status == "blocked":
        return ending_of_blocked(mask, upstream), result.reason
    return {"lost": "failed", "cached": "ok"}.get(result.status, result.status), result.reason


def ending_of_blocked(mask: PlannedMask, upstream: Upstream) -> str:
    """A mask that waits for an excluded image is excluded itself, one that waits for a failed step has failed."""
    roots = [upstream[name].status for name in mask.roots if name in upstream]
    return "failed" if any(status in ("failed", "lost") for status in roots) else "excluded"


def image_entries(params: MeasuresParams, inputs: Inputs, upstream: Upstream) -> dict[str, dict[str, Any]]:
    """Per image of the session: where it came from and how it ended."""
    entries = {}
    for name, image in params.images.items():
        result = upstream[image.step]
        status = {"lost": "failed", "cached": "ok", "blocked": "failed"}.get(result.status, result.status)
        told = there(inputs, f"xfm{name}" if name in params.registered else f"sidecar {name}")
        notes = read_json(told).get("Notes", []) if told is not None else []
        entries[name] = {"source": image.source, "status": status, "reason": result.reason, "notes": notes}
        if image.acquisition:
            entries[name]["acquisition"] = dict(image.acquisition)
    return entries


def visits_of(visits: Sequence[VisitAcquisition], inputs: Inputs) -> list[dict[str, Any]]:
    """What the quality control compares: this visit, then the person's others whose T1w was made."""
    told = {visit.session: there(inputs, visit.sidecar) for visit in visits}
    if not visits or told[visits[0].session] is None:
        return []
    others = []
    for visit in visits:
        path = told[visit.session]
        if path is not None:
            known = read_json(path)
            others.append(
                {
                    "session": visit.session,
                    "acquisition": visit.acquisition,
                    "icv_mm3": known.get("IntracranialVolumeMm3"),
                    "stripped": bool(known.get("SkullStripped")),
                    "asymmetry": _asymmetries(visit, inputs),
                }
            )
    return others


def _asymmetries(visit: VisitAcquisition, inputs: Inputs) -> dict[str, float]:
    """The asymmetry index of each mask of another visit that is there."""
    told = {name: path for name, key in visit.masks.items() if (path := there(inputs, key)) is not None}
    indices = {name: read_json(path).get(ASYMMETRY) for name, path in told.items()}
    return {name: float(value) for name, value in indices.items() if value is not None}


def registration_entry(name: str, inputs: Inputs, upstream: Upstream, params: MeasuresParams) -> dict[str, Any]:
    """One registration for the QC document, also when it failed before there was a metric."""
    record = there(inputs, f"xfm{name}")
    if record is None:
        reason = upstream[params.images[name].step].reason
        return {"image": name, "chosen": None, "reason": reason, "excluded": True, "attempts": []}
    content = read_json(record)
    return {
        "image": name,
        "chosen": content["Chosen"],
        "reason": content["Reason"],
        "excluded": content["Chosen"] is None,
        "attempts": content["Attempts"],
    }
