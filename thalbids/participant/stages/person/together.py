"""The masks of methods that read several sessions of a person together: run once for all, one mask in each session."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from thalbids.bids.results.outputs import read_json, sidecar
from thalbids.engine.params import LOCAL, Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import without_folders
from thalbids.image.io import load_image
from thalbids.methods.base import VISITS, Method, Request, own_settings, trait
from thalbids.participant.session import PlannedMask, SessionPlan, SubjectPlan
from thalbids.participant.stages.session import label_maps, masks
from thalbids.participant.step_io import given, labels_of, there, work_folder
from thalbids.settings import MethodSettings

ALL_SESSIONS = "it reads all sessions of a person together, and this run was asked for some of them only"
ONE_SESSION = "it reads several sessions of a person together, and there are not two that it can read"


@dataclass(frozen=True)
class Visit(Params):
    """One of the sessions: the step that each image comes from, and the URIs of what is read."""

    images: Mapping[str, str]
    sources: tuple[str, ...]
    t1w_uri: str


@dataclass(frozen=True)
class SessionMapsParams(Params):
    """``visits`` by their names (``sub-01_ses-1``); ``method``: what the method's own ``params`` gave."""

    kind = "maps of sessions"
    family: str
    visits: Mapping[str, Visit]
    method: Mapping[str, Any]
    settings: MethodSettings = field(default_factory=MethodSettings, metadata=LOCAL)


def add_steps(subject: SubjectPlan, method: Method) -> None:
    """One step for all sessions, and one a session for its mask."""
    planned = [(plan, masks.given_or_missing(plan, method, tuple(method.images))) for plan in subject.usable]
    ready = [plan for plan, mask in planned if mask.step is None and not mask.reason]
    lacking = ALL_SESSIONS if not subject.complete else ONE_SESSION if len(ready) < 2 else ""
    if not lacking:
        _add_maps(subject, method, ready)
    for plan, mask in planned:
        if plan not in ready:
            plan.masks.append(mask)
        elif lacking:
            plan.masks.append(replace(mask, reason=lacking))
        else:
            plan.masks.append(masks.segmented(plan, method, mask, visit=plan.name))
            if mask.kept:
                plan.steps[-1] = replace(plan.steps[-1], look_up=True)


def _add_maps(subject: SubjectPlan, method: Method, plans: list[SessionPlan]) -> None:
    """The step that makes the label maps of all these sessions."""
    family, settings = method.family, own_settings(method, subject.settings)
    inputs: dict[str, Path | None] = {}
    outputs: dict[str, Path] = {}
    visits, after = {}, list[str]()
    for plan in plans:
        read, waited_for = _read(plan, method)
        inputs |= {f"{plan.name} {key}": path for key, path in read.items()}
        after += waited_for
        outputs |= label_maps.map_files(plan, method, method.images[0], plan.name)
        visits[plan.name] = Visit(
            images={name: plan.image_step(name) for name in method.images},
            sources=tuple(plan.uri_of(plan.segmentable[name]) for name in method.images),
            t1w_uri=plan.t1w_uri,
        )
    step = subject.add(
        f"{family} label maps",
        session_maps,
        plans[-1],
        inputs=inputs,
        outputs=outputs,
        params=SessionMapsParams(family, visits, dict(method.params(settings)), settings),
        after=tuple(dict.fromkeys(after)),
        record=label_maps.maps_record(subject.out_dir, subject.name, family),
        memory_gb=_memory(method, settings, plans),
        version=method.version,
        gpu=trait(method, "gpu", settings),
        optional=tuple(outputs),
        look_up=family in plans[-1].kept,
    )
    for plan in plans:
        plan.prepared[family] = step.name


def _memory(method: Method, settings: MethodSettings, plans: list[SessionPlan]) -> float:
    largest = max(plan.memory(trait(method, "memory", settings)) for plan in plans)
    return float(largest + trait(method, "memory_each", settings) * (len(plans) - 1))


def _read(plan: SessionPlan, method: Method) -> tuple[dict[str, Path], list[str]]:
    """What the method reads of a session, and the steps that make it."""
    read = {f"image {name}": plan.segmentable[name] for name in method.images} | {"seen": sidecar(plan.t1w)}
    steps = [plan.anatomy, *(plan.image_step(name) for name in method.images)]
    if "brain" in trait(method, "builds_on", own_settings(method, plan.settings)):
        read["brain"] = plan.brain
        steps.append(plan.brain_step)
    for family in masks.families(method, plan.settings):
        member = masks.member_of(plan, family)
        assert isinstance(member, PlannedMask) and member.step is not None  # given_or_missing saw to it
        read[f"mask {family}"] = plan.dseg(member.desc)
        steps.append(member.step)
    return read, steps


@recorded_as("thalbids.participant.stages.together.session_maps")
def session_maps(inputs: Inputs, outputs: Outputs, params: SessionMapsParams, upstream: Upstream) -> Done:
    """A method on all sessions of a person at once. A session without one of its images costs only its own mask, and
    so does one that fails; the method is then run again in the next run.
    """
    from thalbids.methods.registry import methods

    method: Any = methods()[params.family]
    failed: Mapping[str, str]
    with work_folder(params.settings.run.work_dir) as folder:
        requests = {}
        for name, visit in params.visits.items():
            read = {key.removeprefix(f"{name} "): path for key, path in inputs.items() if key.startswith(f"{name} ")}
            if all(there(read, key) for key in read):
                (folder / name).mkdir()
                requests[name] = _request(read, visit, params, folder / name)
        if len(requests) < 2:
            reason = "fewer than two sessions have what it reads."
            maps, failed = {}, dict.fromkeys(params.visits, reason)
        else:
            maps, failed = method.session_maps(requests)
    reasons = {name: without_folders(reason.replace(f"{folder}{os.sep}", "")) for name, reason in failed.items()}
    sidecars: dict[str, dict[str, Any]] = {"record": {"Failed": reasons, "Software": label_maps.software(maps)}}
    read_together = next((one.metadata[VISITS] for one in maps.values() if VISITS in one.metadata), list(requests))
    for name, labelled in maps.items():
        told = {
            "SpatialReference": params.visits[name].t1w_uri,
            "Sources": [source for visit in read_together for source in params.visits[visit].sources],
            "Manual": False,
            "Description": f"All labels of {params.family} on {len(read_together)} sessions together.",
        } | dict(labelled.metadata)
        affine = requests[name].image.affine
        sidecars |= label_maps.write_map(method, params.settings, labelled, affine, outputs, name, told)
    # a visit that the method left out stays out: the next run would find the same, after hours
    return Done(sidecars, partial=len(requests) > 1 and any(name in read_together for name in failed))


def _request(inputs: Inputs, visit: Visit, params: SessionMapsParams, folder: Path) -> Request:
    images = {name: load_image(given(inputs, f"image {name}")) for name in visit.images}
    first = next(iter(images))
    return Request(
        first,
        images[first],
        inputs.get("brain") or Path("there is no brain mask"),
        tuple(read_json(given(inputs, "seen"))["ThalamiCentreMm"]),
        params.method,
        folder,
        path=given(inputs, f"image {first}"),
        settings=params.settings,
        masks={key.removeprefix("mask "): labels_of(inputs, key) for key in inputs if key.startswith("mask ")},
        images=images,
    )
