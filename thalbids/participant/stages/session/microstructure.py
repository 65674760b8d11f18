"""What quantitative maps say inside every thalamus mask, and whether the maps look right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.dictionaries import QMRI_MORPH
from thalbids.bids.results.outputs import read_json, write_json, write_table
from thalbids.engine.params import IF_SET, Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.grids import resample_to
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.image.orientation import to_ras
from thalbids.participant.session import PlannedMask, SessionPlan
from thalbids.participant.stages.session import given_maps
from thalbids.participant.stages.session.measures import ending
from thalbids.participant.stages.session.registration import transform_of
from thalbids.participant.stages.session.relaxometry import UNITS
from thalbids.participant.step_io import given, image_of, labels_of, there
from thalbids.qc.quantitative import all_flags

BRIGHT_WHITE = ("T1w", "UNIT1")  # images whose brightest part is white matter
SHOWN = {"MTsat": "p.u."}  # units of the table that BIDS has no word for
STRONGEST_FIELD = 100.0  # T; more is a slip of the sidecar


@dataclass(frozen=True)
class MapsParams(Params):
    """Where the maps (by suffix) and the T1w come from."""

    kind = "maps"
    sources: Mapping[str, str]
    t1w_uri: str


@dataclass(frozen=True)
class ReadMap:
    """A map on the T1w grid: the step that brings it there, its unit, and where maps fitted here were cut off."""

    step: str
    unit: str
    largest: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "unit": self.unit, "largest": self.largest}


@dataclass(frozen=True)
class ReadoutParams(Params):
    """``maps`` by name; ``contrasts``: raw contrasts that were aligned with the first; ``field_strength`` in T, where
    the sidecars say it.
    """

    kind = "microstructure"
    methods: tuple[PlannedMask, ...]
    maps: Mapping[str, ReadMap]
    dictionary: Mapping[str, Any]
    contrasts: tuple[str, ...] = field(default=(), metadata=IF_SET)
    field_strength: float | None = field(default=None, metadata=IF_SET)


def add_steps(plan: SessionPlan) -> None:
    """The other maps on the T1w grid, and the readout of all maps; nothing without a map."""
    maps = {}
    files: dict[str, Path] = {}
    if "R1map" in plan.images:
        largest = plan.settings.qmri.largest_r1 if "R1map" in plan.made else None
        maps["R1map"] = ReadMap(plan.images["R1map"], UNITS["R1map"], largest)
        files["R1map"] = plan.registered("R1map")
        maps |= _fitted(plan)
        files |= {suffix: plan.registered(suffix) for suffix in plan.fitted}
    for name, (step, path) in given_maps.add_steps(plan).items():
        unit = plan.given_maps[name].image.metadata.get("Units")
        maps[name], files[name] = ReadMap(step, UNITS.get(name, "") if unit is None else str(unit)), path
    if not maps:
        return
    plan.maps = files
    inputs = {**files, "brain": plan.brain, **({"T1w": plan.t1w} if plan.reference in BRIGHT_WHITE else {})}
    inputs |= {mask.desc: plan.dseg(mask.desc) for mask in plan.masks if mask.step is not None}
    inputs |= {f"contrast {name}": record for name, record in plan.contrasts.items()}
    plan.add(
        "microstructure",
        read_maps,
        inputs=inputs,
        outputs={"table": plan.readout, "qc": plan.maps_qc},
        params=ReadoutParams(
            methods=tuple(plan.masks),
            maps=maps,
            dictionary=QMRI_MORPH,
            contrasts=tuple(plan.contrasts),
            field_strength=_field_strength(plan),
        ),
        needs=tuple(dict.fromkeys((plan.anatomy, plan.brain_step))),
        after=tuple(dict.fromkeys([*(step.name for step in plan.steps), *(m.step for m in plan.masks if m.step)])),
        memory_gb=plan.memory(1.5),
        version=2,  # plausible values by field strength, white matter, motion between contrasts
    )


def _fitted(plan: SessionPlan) -> dict[str, ReadMap]:
    """The step that brings the maps that were fitted with R1 to the T1w grid."""
    if not plan.fitted:
        return {}
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
    largest = {"R2starmap": plan.settings.qmri.largest_r2star}
    return {suffix: ReadMap(step, SHOWN.get(suffix, UNITS[suffix]), largest.get(suffix)) for suffix in plan.fitted}


def _field_strength(plan: SessionPlan) -> float | None:
    """In T, by the first sidecar of a map or raw image that says it."""
    images = [plan.session.images[name] for name in ("R1map", plan.reference) if name in plan.session.images]
    for image in (images[0], *plan.session.raw, *images):
        value = image.metadata.get("MagneticFieldStrength")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < STRONGEST_FIELD:
            return float(value)
    return None


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
    from thalbids.qmri.readout import white_matter

    brain = np.asarray(load_labels(given(inputs, "brain")).dataobj) > 0
    t1w = there(inputs, "T1w")
    white = np.zeros_like(brain) if t1w is None else white_matter(np.asarray(load_image(t1w).dataobj), brain)
    masks = {mask.desc: ending(mask, upstream) for mask in params.methods}
    labels = {
        name: labels_of(inputs, name) for name, (status, _) in masks.items() if status == "ok" and there(inputs, name)
    }
    rows: list[dict[str, Any]] = []
    summaries: dict[str, Any] = {}
    for name, one in params.maps.items():
        path = there(inputs, name) if upstream[one.step].usable else None
        values = None if path is None else np.asarray(load_image(path).dataobj)
        values_of = []
        for method, (status, reason) in masks.items():
            if values is None:
                status, reason = "missing", upstream[one.step].reason or "the map is not there."
            values_of += map_rows(
                method, name, one.unit, values, labels.get(method), status, reason, params.field_strength
            )
        if values is not None:
            summaries[name] = summary_of(name, one, values, (brain, white), values_of, params.field_strength)
        rows += values_of
    write_table(outputs["table"], rows, tuple(params.dictionary))
    motion = {name: motion_of(inputs, name) for name in params.contrasts}
    flags = all_flags(summaries, motion)
    write_json(outputs["qc"], {"Maps": summaries, "Motion": motion, "Flags": flags})
    return Done({"table": params.dictionary})


def summary_of(
    name: str,
    one: ReadMap,
    values: np.ndarray,
    regions: tuple[np.ndarray, np.ndarray],
    rows: Sequence[Mapping[str, Any]],
    field_strength: float | None,
) -> dict[str, Any]:
    """What the quality control says of a map; ``regions``: brain and white matter, ``rows``: its rows of the table."""
    from thalbids.qmri.plausible import expected
    from thalbids.qmri.readout import brain_summary, summary

    brain, white = regions
    medians = [row["median"] for row in rows if _whole(row) and row.get("median") is not None]
    usual = expected(name, field_strength)
    median = summary(values[white]).median
    return {
        "unit": one.unit,
        **brain_summary(values, brain, one.largest),
        "white_matter": None if median != median else median,
        "thalamus": float(np.median(medians)) if medians else None,
        "expected": None if usual is None else usual.to_json(),
        "field_strength": field_strength,
    }


def _whole(row: Mapping[str, Any]) -> bool:
    return row["status"] == "ok" and row["region"] == "whole" and row["side"] == "both"


def motion_of(inputs: Inputs, name: str) -> dict[str, Any]:
    """How far a contrast was moved onto the first, by the record of its alignment; no numbers where that failed."""
    path = there(inputs, f"contrast {name}")
    told = {} if path is None else read_json(path)
    reason = "" if "ShiftMm" in told else str(told.get("Reason") or "it could not be aligned")
    return {
        "shift_mm": told.get("ShiftMm"),
        "rotation_degrees": told.get("RotationDegrees"),
        "strategy": told.get("Chosen"),
        "reason": reason,
    }


def map_rows(
    method: str,
    name: str,
    unit: str,
    values: np.ndarray | None,
    labels: np.ndarray | None,
    status: str,
    reason: str,
    field_strength: float | None = None,
) -> list[dict[str, Any]]:
    """The rows of one map in one mask: one per region and side; one without numbers where there is nothing to read."""
    from thalbids.qmri.readout import doubts, read_out

    start = {"method": method, "map": name, "units": unit}
    if values is None or labels is None:
        return [{**start, "region": "whole", "side": "both", "status": status, "reason": reason}]
    rows = []
    for (region, side), readout in read_out(values, labels).items():
        numbers = {key: None if value != value else value for key, value in asdict(readout).items()}
        doubt = doubts(name, readout.median, field_strength)
        rows.append(start | {"region": region, "side": side, "status": "ok", "reason": doubt} | numbers)
    return rows
