"""What quantitative maps say inside every thalamus mask, and whether the maps look right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.dictionaries import QMRI_MORPH
from thalbids.bids.results.outputs import write_json, write_table
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.grids import resample_to
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.image.orientation import to_ras
from thalbids.participant.session import PlannedMask, SessionPlan
from thalbids.participant.stages.session.measures import ending
from thalbids.participant.stages.session.registration import transform_of
from thalbids.participant.stages.session.relaxometry import UNITS
from thalbids.participant.step_io import given, image_of, labels_of, there


@dataclass(frozen=True)
class MapsParams(Params):
    """Where the maps (by suffix) and the T1w come from."""

    kind = "maps"
    sources: Mapping[str, str]
    t1w_uri: str


@dataclass(frozen=True)
class ReadoutParams(Params):
    """``maps``: suffix -> the step that brings it to the T1w grid; ``largest``: where maps fitted here were cut off."""

    kind = "microstructure"
    methods: tuple[PlannedMask, ...]
    maps: Mapping[str, str]
    largest: Mapping[str, float]
    dictionary: Mapping[str, Any]


def add_steps(plan: SessionPlan) -> None:
    """The other fitted maps on the T1w grid, and the readout of all maps; nothing without an R1 map."""
    if "R1map" not in plan.images:
        return
    maps = {"R1map": plan.images["R1map"]}
    if plan.fitted:
        step = plan.add(
            "register maps",
            resample_maps,
            inputs={**plan.fitted, "T1w": plan.t1w, "transform": transform_of(plan, "R1map")},
            outputs={suffix: plan.registered(suffix) for suffix in plan.fitted},
            params=MapsParams(
                sources={suffix: plan.uri_of(path) for suffix, path in plan.fitted.items()}, t1w_uri=plan.t1w_uri
            ),
            needs=(plan.made["R1map"], plan.images["R1map"]),
            memory_gb=plan.memory(1.5),
            optional=tuple(plan.fitted),
        )
        maps |= dict.fromkeys(plan.fitted, step)
    inputs: dict[str, Path] = {suffix: plan.registered(suffix) for suffix in maps} | {"brain": plan.brain}
    inputs |= {mask.desc: plan.dseg(mask.desc) for mask in plan.masks if mask.step is not None}
    qmri = plan.settings.qmri
    plan.add(
        "microstructure",
        read_maps,
        inputs=inputs,
        outputs={"table": table_of(plan), "qc": qc_of(plan)},
        params=ReadoutParams(
            methods=tuple(plan.masks),
            maps=maps,
            largest={"R1map": qmri.largest_r1, "R2starmap": qmri.largest_r2star} if "R1map" in plan.made else {},
            dictionary=QMRI_MORPH,
        ),
        needs=tuple(dict.fromkeys((plan.images["R1map"], plan.brain_step))),
        after=tuple(dict.fromkeys([*(step.name for step in plan.steps), *(m.step for m in plan.masks if m.step)])),
        memory_gb=plan.memory(1.5),
    )


def table_of(plan: SessionPlan) -> Path:
    """Where the readout of a session lies."""
    return plan.path("morph", ".tsv", desc="thalamusqmri")


def qc_of(plan: SessionPlan) -> Path:
    """Where the quality control of the maps lies."""
    return plan.path("qc", ".json", desc="qmri")


@recorded_as("thalbids.qmri.resample_maps")
def resample_maps(inputs: Inputs, outputs: Outputs, params: MapsParams, upstream: Upstream) -> Done:
    """Maps in the space of R1, by the transform of R1 and linear interpolation, on the T1w grid."""
    from thalbids.registration.transforms import read_itk

    t1w = load_image(given(inputs, "T1w"))
    matrix = read_itk(given(inputs, "transform"))
    sidecars = {}
    for suffix, source in params.sources.items():
        path = there(inputs, suffix)
        if path is None:  # MTsat, where its contrast could not be aligned
            continue
        moving, _ = to_ras(load_image(path))
        image = resample_to(moving, t1w, matrix=matrix)
        save_image(np.asarray(image.dataobj), t1w.affine, outputs[suffix], dtype=np.float32)
        sidecars[suffix] = {
            "Units": UNITS[suffix],
            "Sources": [source, params.t1w_uri],
            "SpatialReference": params.t1w_uri,
            "SkullStripped": False,
            "Description": f"{suffix} on the grid of the {image_of(params.t1w_uri)}, by the transform of the R1 map "
            "and linear interpolation.",
        }
    return Done(sidecars)


@recorded_as("thalbids.qmri.read_maps")
def read_maps(inputs: Inputs, outputs: Outputs, params: ReadoutParams, upstream: Upstream) -> Done:
    """The table of the readout and the QC document of the maps."""
    from thalbids.qmri.readout import brain_summary

    brain = np.asarray(load_labels(given(inputs, "brain")).dataobj) > 0
    masks = {mask.desc: ending(mask, upstream) for mask in params.methods}
    labels = {
        name: labels_of(inputs, name) for name, (status, _) in masks.items() if status == "ok" and there(inputs, name)
    }
    rows: list[dict[str, Any]] = []
    summaries: dict[str, Any] = {}
    for suffix, step in params.maps.items():
        path = there(inputs, suffix) if upstream[step].usable else None
        values = None if path is None else np.asarray(load_image(path).dataobj)
        if values is not None:
            summaries[suffix] = brain_summary(values, brain, params.largest.get(suffix))
        for name, (status, reason) in masks.items():
            if values is None:
                status, reason = "missing", upstream[step].reason or "the map is not there."
            rows += map_rows(name, suffix, values, labels.get(name), status, reason)
    write_table(outputs["table"], rows, tuple(params.dictionary))
    flags = list(dict.fromkeys(row["reason"] for row in rows if row["status"] == "ok" and row["reason"]))
    write_json(outputs["qc"], {"Maps": summaries, "Flags": flags})
    return Done({"table": params.dictionary})


def map_rows(
    method: str, suffix: str, values: np.ndarray | None, labels: np.ndarray | None, status: str, reason: str
) -> list[dict[str, Any]]:
    """The rows of one map in one mask: one per region and side; one without numbers where there is nothing to read."""
    from thalbids.qmri.readout import doubts, read_out

    start = {"method": method, "map": suffix, "units": {"MTsat": "p.u."}.get(suffix, UNITS[suffix])}
    if values is None or labels is None:
        return [{**start, "region": "whole", "side": "both", "status": status, "reason": reason}]
    rows = []
    for (region, side), found in read_out(values, labels).items():
        numbers = {key: None if value != value else value for key, value in asdict(found).items()}
        rows.append(
            start | {"region": region, "side": side, "status": "ok", "reason": doubts(suffix, found.median)} | numbers
        )
    return rows
