"""Programs that label a whole brain: run once for all images of a session, or their results where they exist."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thalbids import families
from thalbids.bids.results import names
from thalbids.bids.results.outputs import read_json, sidecar, write_table
from thalbids.engine.params import LOCAL, Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import without_folders
from thalbids.image.io import load_image, save_image
from thalbids.methods.base import LabelMap, Method, Request, own_settings, trait
from thalbids.participant.session import PlannedMask, SessionPlan
from thalbids.participant.step_io import given, labels_of, there, work_folder
from thalbids.settings import MethodSettings

LABEL_COLUMNS = ("index", "name")


@dataclass(frozen=True)
class LabelMapsParams(Params):
    """``images``: the step that each image comes from; ``sources``: the URIs of what each label map is made from;
    ``method``: what the method's own ``params`` gave.
    """

    kind = "label maps"
    family: str
    images: Mapping[str, str]
    sources: Mapping[str, tuple[str, ...]]
    t1w_uri: str
    method: Mapping[str, Any]
    settings: MethodSettings = field(default_factory=MethodSettings, metadata=LOCAL)


@dataclass(frozen=True)
class ToolRunParams(Params):
    """``method``: what the method's ``run_params`` gave."""

    kind = "tool run"
    family: str
    method: Mapping[str, Any]
    settings: MethodSettings = field(default_factory=MethodSettings, metadata=LOCAL)


def has_results(plan: SessionPlan, method: Method) -> bool:
    """Whether the tool's own results exist for this session (FreeSurfer's subjects directory).

    Raises
    ------
    ThalbidsError
        They exist and cannot be used.
    """
    find = getattr(method, "results", None)
    return find is not None and find(plan.once(own_settings, method), plan.session, alone=plan.alone) is not None


def label_map(plan: SessionPlan, family: str, image: str, extension: str = ".nii.gz") -> Path:
    """Where the full label map of a tool goes."""
    return plan.path("dseg", extension, space=plan.reference, seg=family, desc=image)


def map_files(plan: SessionPlan, method: Method, image: str, key: str = "") -> dict[str, Path]:
    """Where a label map, its table, and what the method gives besides go, by the names of outputs (``key``: the
    image's name without one).
    """
    key = key or image
    files = {key: label_map(plan, method.family, image), f"{key} table": label_map(plan, method.family, image, ".tsv")}
    desc = names.desc(method.family, image)
    for name, what in trait(method, "further", own_settings(method, plan.settings)).items():
        files[f"{key} {name}"] = plan.path(what.suffix, space=plan.reference, label=what.label, desc=desc)
    return files


def maps_record(out_dir: Path, name: str, family: str) -> Path:
    """The record of the step that makes label maps of a session or person, beside no image: any may be missing."""
    return out_dir / "logs" / "label_maps" / f"{name}_{family}.json"


def add_label_maps(
    plan: SessionPlan, method: Method, images: list[str], masks: Mapping[str, PlannedMask] | None = None
) -> str:
    """The step that runs a tool once for these images of a session; planned once. ``masks``: those that it builds on,
    by family.
    """
    family, settings = method.family, own_settings(method, plan.settings)
    if family in plan.prepared:
        return plan.prepared[family]
    if plan.brain_source != family:
        settings = trait(method, "without_brain", settings) or settings
    files, sources, before = _tool_files(plan, method)
    outputs: dict[str, Path] = {}
    for name in images if families.of(family).reads == families.ONE_IMAGE else images[:1]:
        outputs |= map_files(plan, method, name)
    builds_on_brain = "brain" in trait(method, "builds_on", settings)
    inputs: dict[str, Path | None] = {name: plan.segmentable[name] for name in images}
    inputs |= {"seen": sidecar(plan.t1w), "brain": plan.brain if builds_on_brain else plan.seen_brain}
    inputs |= {f"file {key}": path for key, path in files.items()}
    for one, mask in (masks or {}).items():
        assert mask.step is not None  # no label map is planned without what it builds on
        inputs[f"mask {one}"] = plan.dseg(mask.desc)
        sources, before = [*sources, plan.uri_of(plan.dseg(mask.desc))], (*before, mask.step)
    plan.prepared[family] = plan.add(
        f"{family} label maps",
        label_maps,
        inputs=inputs,
        outputs=outputs,
        params=LabelMapsParams(
            family=family,
            images={name: plan.image_step(name) for name in images},
            sources={name: (plan.uri_of(plan.segmentable[name]), *sources) for name in images},
            t1w_uri=plan.t1w_uri,
            method=dict(method.params(settings)),
            settings=settings,
        ),
        needs=tuple(dict.fromkeys((plan.anatomy, *([plan.brain_step] if builds_on_brain else []), *before))),
        after=tuple(dict.fromkeys(plan.image_step(name) for name in images if name != plan.reference)),
        record=maps_record(plan.out_dir, plan.name, family),
        memory_gb=plan.memory(trait(method, "memory", settings)),
        version=method.version,
        gpu=trait(method, "gpu", settings),
        optional=tuple(outputs),
    )
    return plan.prepared[family]


def _tool_files(plan: SessionPlan, method: Any) -> tuple[Mapping[str, Path | None], list[str], tuple[str, ...]]:
    """The files that a tool's own results consist of, where they are, and the step that makes them if they are not."""
    if not hasattr(method, "results"):
        return {}, [], ()
    settings = own_settings(method, plan.settings)
    folder = method.results(settings, plan.session, alone=plan.alone)
    if folder is not None:
        where = f"bids:{method.family}:{folder.relative_to(method.results_root(settings)).as_posix()}"
        plan.origins[method.family] = f"existing results, {where}"
        return method.files(folder), [where], ()
    if not hasattr(method, "run"):
        return {}, [], ()
    folder = plan.out_dir / "sourcedata" / method.family / plan.name
    t2w = plan.session.images.get("T2w")
    outputs = method.made_files(folder)
    step = plan.add(
        f"{method.family} run",
        run_tool,
        inputs={"T1w": plan.session.images["T1w"].path, "T2w": None if t2w is None or t2w.problem else t2w.path},
        outputs=outputs,
        params=ToolRunParams(method.family, dict(method.run_params(settings)), settings),
        needs=(plan.anatomy,),  # a session without a head is not worth hours
        record=folder.with_name(f"{plan.name}.json"),
        memory_gb=plan.memory(method.run_memory(settings)),
    )
    return outputs, [plan.uri_of(folder)], (step,)


@recorded_as("thalbids.pipeline.mask_steps.label_maps")
def label_maps(inputs: Inputs, outputs: Outputs, params: LabelMapsParams, upstream: Upstream) -> Done:
    """A tool on all images of a session at once: its full label maps. An image that is not there costs only its
    own, and so does one that fails; the tool is then run again in the next run.
    """
    from thalbids.methods.registry import methods

    method: Any = methods()[params.family]
    centre = tuple(read_json(given(inputs, "seen"))["ThalamiCentreMm"])
    files = {key.removeprefix("file "): path for key, path in inputs.items() if key.startswith("file ") and path}
    masks = {key.removeprefix("mask "): labels_of(inputs, key) for key in inputs if key.startswith("mask ")}
    usable = [n for n, step in params.images.items() if upstream[step].usable and there(inputs, n) is not None]
    with work_folder(params.settings.run.work_dir) as folder:
        requests = {}
        for name in usable:
            (folder / name).mkdir()
            requests[name] = Request(
                name, load_image(given(inputs, name)), given(inputs, "brain"), centre, params.method, folder / name,
                path=given(inputs, name), settings=params.settings, files=files, masks=masks,
            )  # fmt: skip
        maps, failed = method.label_maps(requests) if requests else ({}, {})
    reasons = {name: without_folders(reason.replace(f"{folder}{os.sep}", "")) for name, reason in failed.items()}
    sidecars: dict[str, dict[str, Any]] = {"record": {"Failed": reasons, "Software": software(maps)}}
    for name, labelled in maps.items():
        common = {"SpatialReference": params.t1w_uri, "Sources": list(params.sources[name]), "Manual": False}
        told = common | {"Description": f"All labels of {params.family} on the {name}."} | dict(labelled.metadata)
        sidecars |= write_map(method, params.settings, labelled, requests[name].image.affine, outputs, name, told)
    return Done(sidecars, partial=bool(failed))


def write_map(
    method: Method, settings: MethodSettings, labelled: LabelMap, affine: np.ndarray, outputs: Outputs, key: str,
    told: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """A label map with its table, and the images that the method gives besides; gives their sidecars."""
    save_image(labelled.labels, affine, outputs[key])
    rows = [{"index": index, "name": label} for index, label in sorted(labelled.names.items())]
    write_table(outputs[f"{key} table"], rows, LABEL_COLUMNS)
    sidecars = {key: dict(told)}
    for name, what in trait(method, "further", settings).items():
        if name in labelled.further:
            kind = np.float32 if what.suffix == "probseg" else np.uint8
            save_image(labelled.further[name], affine, outputs[f"{key} {name}"], dtype=kind)
            sidecars[f"{key} {name}"] = dict(told) | {"Description": what.description, "Type": "ROI"}
    return sidecars


def software(told: Mapping[str, Any]) -> list[Any]:
    """The programs that made label maps."""
    return next((list(labelled.metadata.get("Software", ())) for labelled in told.values()), [])


@recorded_as("thalbids.pipeline.mask_steps.run_tool")
def run_tool(inputs: Inputs, outputs: Outputs, params: ToolRunParams, upstream: Upstream) -> Done:
    """A tool that keeps a folder of results of its own (FreeSurfer's recon-all), on the raw images."""
    from thalbids.methods.registry import methods

    method: Any = methods()[params.family]
    folder = next(iter(outputs.values())).parents[1]
    method.run(given(inputs, "T1w"), inputs["T2w"], folder, params.settings)
    return Done({"record": dict(params.method)})
