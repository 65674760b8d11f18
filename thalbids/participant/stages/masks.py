"""The steps that make a session's thalamus masks: from a tool, from results that exist, and ensembles of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from thalbids import families as known
from thalbids.bids import existing, names
from thalbids.bids.outputs import derivative, sidecar
from thalbids.errors import ThalbidsError
from thalbids.methods.base import Method, trait
from thalbids.participant.session import PlannedMask, SessionPlan, files_of
from thalbids.participant.stages import mask_steps, steps
from thalbids.settings import Settings
from thalbids.types import Session


def families_in(out_dir: Path, sessions: Iterable[Session]) -> set[str]:
    """The families whose thalamus masks these sessions have in the output folder, from whichever run."""
    return {label.family for session in sessions for label in _found(out_dir, session)}


def unplanned(plan: SessionPlan) -> list[PlannedMask]:
    """Rows for masks in the output folder that this run does not plan, so that no mask is without a row."""
    planned = {mask.desc for mask in plan.masks}
    return [
        PlannedMask(kind.desc, kind.family, kind.images, kind.image, reason=steps.STALE)
        for kind in _found(plan.out_dir, plan.session)
        if kind.desc not in planned
    ]


def _found(out_dir: Path, session: Session) -> list[names.MaskKind]:
    """The methods whose masks of this T1w are in the output folder, in the order of their names."""
    labels = []
    pattern = out_dir / derivative(session, "mask", space="T1w", label="thalamus", desc="0")
    start, end = pattern.name.split("_desc-0_")
    for path in sorted(pattern.parent.glob(f"{start}_desc-*_{end}")):
        with suppress(KeyError):  # of somebody else's method
            labels.append(names.by_desc(path.name.removeprefix(f"{start}_desc-").removesuffix(f"_{end}")))
    return labels


def families(method: Method, settings: Settings) -> tuple[str, ...]:
    """The families whose mask a method needs, without the brain."""
    return tuple(name for name in trait(method, "builds_on", settings) if name != "brain")


def label_of(method: Method, images: tuple[str, ...] | str, settings: Settings, rule: str = "mean") -> names.MaskKind:
    """The name of a method's mask, which shows an envelope other than the paper's."""
    envelope = settings.mindglide.envelope if known.of(method.family).cut_with else ""
    return names.method(method.family, images, rule, envelope)


def segment(plan: SessionPlan, method: Method) -> None:
    """One mask per image: one that is given, else one that is plan where the method runs and the image is there."""
    masks = {name: _blank(plan, method, (name,)) for name in method.images}
    to_run = []
    for name, mask in masks.items():
        try:
            taken = _given(plan, mask)
            reason = "" if taken else _cannot_run(plan, method, mask)
            masks[name] = taken or replace(mask, reason=reason)
            to_run += [] if taken or reason else [name]
        except ThalbidsError as error:  # what exists cannot be used: this mask fails, the session goes on
            masks[name] = _refused(plan, mask, error)
    if to_run and hasattr(method, "label_maps"):
        label_maps(plan, method, to_run)
    for name in to_run:
        masks[name] = _segmented(plan, method, name, masks[name])
    plan.masks += masks.values()


def _blank(plan: SessionPlan, method: Method, images: tuple[str, ...], rule: str = "mean") -> PlannedMask:
    """The row of a mask of which nothing is planned yet."""
    kind = label_of(method, images, plan.settings, rule)
    return PlannedMask(
        kind.desc,
        method.family,
        images,
        kind.image,
        method.protocol,
        builds_on=families(method, plan.settings),
        kept=method.family in plan.kept,
    )


def given_results(settings: Settings, family: str, desc: str) -> dict[str, Path]:
    """The ``--derivatives`` that may hold a mask of this name: by its own name first, then by its family."""
    given = settings.inputs.derivatives
    names_of = {key.lower(): key for key in given}
    found = [names_of[name] for name in (desc.lower(), family.lower()) if name in names_of]
    return {key: given[key] for key in dict.fromkeys(found)}


def _given(plan: SessionPlan, mask: PlannedMask) -> PlannedMask | None:
    """The mask with the step that takes one that exists; None when there is none for this session."""
    several = not known.of(mask.family).single
    for key, root in given_results(plan.settings, mask.family, mask.desc).items():
        exact = several and key != mask.desc
        existent = existing.thalamus_mask(key, root, plan.session, desc=mask.desc, exact=exact)
        if existent is not None:
            plan.origins[mask.desc] = f"given, {existent.uri}"
            return replace(mask, step=_take(plan, mask, existent), roots=(plan.images["T1w"],))
    return None


def _refused(plan: SessionPlan, mask: PlannedMask, error: ThalbidsError) -> PlannedMask:
    """The mask with the step that says why it cannot be had."""
    step = plan.add(
        mask.desc, steps.refuse, inputs={}, outputs=files_of(plan, mask.desc),
        params={"Problem": error.problem, "Mend": error.mend}, needs=(plan.images["T1w"],),
    )  # fmt: skip
    return replace(mask, step=step, roots=(plan.images["T1w"],))


def _take(plan: SessionPlan, mask: PlannedMask, existent: existing.Existing) -> str:
    told = sidecar(existent.path)
    return plan.add(
        mask.desc,
        mask_steps.given_mask,
        inputs={
            "mask": existent.path, "told": told if told.exists() else None, "raw": plan.session.images["T1w"].path,
            "T1w": plan.t1w, "seen": sidecar(plan.t1w), "brain": plan.seen_brain,
        },
        outputs=files_of(plan, mask.desc),
        params={
            "Desc": mask.desc, "Source": existent.uri, "Labelled": existent.labelled, "T1wUri": plan.t1w_uri,
            "Protocol": mask.protocol,
        },
        needs=(plan.images["T1w"],),
        memory_gb=plan.memory(1.0),
    )  # fmt: skip


def _cannot_run(plan: SessionPlan, method: Method, mask: PlannedMask) -> str:
    """Why the method does not run on this image here; "" when it does."""
    name = mask.images[0]
    made_already = has_results(plan, method)  # asked in any case: results that cannot be used are refused, not replaced
    if name not in plan.segmentable and not made_already:
        return f"the session has no {name} image"
    if method.family not in plan.runnable and not made_already:
        return f"there is no result of {method.family} for this session, and it is not run here"
    for family in families(method, plan.settings):
        member = _member(plan, family)
        if member is None or member.step is None:
            reason = member.reason if member else "it is not among the methods of this run"
            return f"it needs the mask of {families(method, plan.settings)[0]} as its envelope: {reason}"
    return ""


def has_results(plan: SessionPlan, method: Method) -> bool:
    """Whether the tool's own results exist for this session (FreeSurfer's subjects directory).

    Raises
    ------
    ThalbidsError
        They exist and cannot be used.
    """
    find = getattr(method, "results", None)
    return find is not None and find(plan.settings, plan.session, alone=plan.alone) is not None


def _member(plan: SessionPlan, family: str) -> PlannedMask | None:
    """A family's mask of the T1w."""
    return next((mask for mask in plan.masks if mask.family == family and mask.images == ("T1w",)), None)


def label_map(plan: SessionPlan, family: str, image: str, extension: str = ".nii.gz") -> Path:
    """Where the full label map of a tool goes."""
    return plan.path("dseg", extension, space="T1w", seg=family, desc=image)


def maps_record(plan: SessionPlan, family: str) -> Path:
    """The record of the step that makes label maps, beside no image: any of them may be missing."""
    return plan.out_dir / "logs" / "label_maps" / f"{plan.name}_{family}.json"


def label_maps(plan: SessionPlan, method: Method, images: list[str]) -> str:
    """The step that runs a tool once for these images of a session; planned once."""
    family, settings = method.family, plan.settings
    if family in plan.prepared:
        return plan.prepared[family]
    files, sources, before = tool_files(plan, method)
    outputs: dict[str, Path] = {}
    for name in images:
        outputs[name] = label_map(plan, family, name)
        outputs[f"{name} table"] = label_map(plan, family, name, ".tsv")
    builds_on_brain = "brain" in trait(method, "builds_on", settings)
    inputs: dict[str, Path | None] = {name: plan.segmentable[name] for name in images}
    inputs |= {"seen": sidecar(plan.t1w), "brain": plan.brain if builds_on_brain else plan.seen_brain}
    inputs |= {f"file {key}": path for key, path in files.items()}
    others = tuple(dict.fromkeys(_image_step(plan, name) for name in images if name != "T1w"))
    plan.prepared[family] = plan.add(
        f"{family} label maps",
        mask_steps.label_maps,
        inputs=inputs,
        outputs=outputs,
        params={
            "Family": family,
            "Images": {name: _image_step(plan, name) for name in images},
            "Sources": {name: [plan.uri_of(plan.segmentable[name]), *sources] for name in images},
            "T1wUri": plan.t1w_uri,
            "Method": dict(method.params(settings)),
        },
        needs=tuple(dict.fromkeys((plan.images["T1w"], *([plan.brain_step] if builds_on_brain else []), *before))),
        after=others,
        record=maps_record(plan, family),
        memory_gb=plan.memory(method.memory_gb),
        version=method.version,
        gpu=trait(method, "gpu", settings),
        optional=tuple(outputs),
        machine=settings,
    )
    return plan.prepared[family]


def tool_files(plan: SessionPlan, method: Any) -> tuple[Mapping[str, Path | None], list[str], tuple[str, ...]]:
    """The files that a tool's own results consist of, where they are, and the step that makes them if they are not."""
    if not hasattr(method, "results"):
        return {}, [], ()
    folder = method.results(plan.settings, plan.session, alone=plan.alone)
    if folder is not None:
        where = _result_uri(plan, folder)
        plan.origins[method.family] = f"existing results, {where}"
        return method.files(folder), [where], ()
    folder = plan.out_dir / "sourcedata" / method.family / plan.name
    t2w = plan.session.images.get("T2w")
    outputs = method.made_files(folder)
    step = plan.add(
        f"{method.family} run",
        mask_steps.run_tool,
        inputs={"T1w": plan.session.images["T1w"].path, "T2w": None if t2w is None or t2w.problem else t2w.path},
        outputs=outputs,
        params={"Family": method.family, "Method": dict(method.run_params(plan.settings))},
        needs=(plan.images["T1w"],),  # a session without a head is not worth hours
        record=folder.with_name(f"{plan.name}.json"),
        memory_gb=plan.memory(method.run_memory_gb),
        machine=plan.settings,
    )
    return outputs, [plan.uri_of(folder)], (step,)


def _result_uri(plan: SessionPlan, folder: Path) -> str:
    root = plan.settings.tools.freesurfer.subjects_dir
    assert root is not None
    return f"bids:freesurfer:{folder.relative_to(root).as_posix()}"


def _image_step(plan: SessionPlan, name: str) -> str:
    """The step that writes what methods segment of an image."""
    return plan.images.get(f"{name} scaled", plan.images[name])


def _segmented(plan: SessionPlan, method: Method, name: str, mask: PlannedMask) -> PlannedMask:
    """The mask of one image with the step that makes it."""
    path, settings, desc = plan.segmentable[name], plan.settings, mask.desc
    outputs = dict(files_of(plan, desc))
    if settings.synthal.write_probabilities and not hasattr(method, "label_maps"):
        outputs["probability"] = plan.path("probseg", space="T1w", label="thalamus", desc=desc)
    needs, roots = [plan.images["T1w"], _image_step(plan, name)], [plan.images["T1w"], plan.images[name]]
    inputs: dict[str, Path | None] = {"image": path, "seen": sidecar(plan.t1w)}
    if "brain" in trait(method, "builds_on", settings):
        inputs["brain"] = plan.brain
        needs.append(plan.brain_step)
    if method.family in plan.prepared:
        labels = label_map(plan, method.family, name)
        inputs |= {"labels": labels, "labels sidecar": sidecar(labels), "maps": maps_record(plan, method.family)}
        needs.append(plan.prepared[method.family])
    others = [plan.brain] if "brain" in inputs else []
    for family in families(method, settings):
        member = _member(plan, family)
        assert member is not None and member.step is not None  # _cannot_run saw to it
        others.append(plan.dseg(member.desc))
        inputs[f"mask {family}"] = others[-1]
        needs.append(member.step)
        roots += member.roots
    step = plan.add(
        desc,
        steps.segment,
        inputs=inputs,
        outputs=outputs,
        params={
            "Family": method.family,
            "Image": name,
            "Desc": desc,
            "Sources": [plan.uri_of(inputs.get("labels") or path), *map(plan.uri_of, others)],
            "T1wUri": plan.t1w_uri,
            "Method": dict(method.params(settings)),
        },
        needs=tuple(dict.fromkeys(needs)),
        memory_gb=plan.memory(1.0 if method.family in plan.prepared else method.memory_gb),
        version=method.version,
        gpu=trait(method, "gpu", settings) and method.family not in plan.prepared,
        optional=("probability",),
        machine=settings,
    )
    return replace(mask, step=step, roots=tuple(dict.fromkeys([*roots, *needs])))


def ensembles(plan: SessionPlan, method: Method) -> None:
    """The paper's four ensembles, and those beyond it that were asked for, of a method with several images."""
    if len(method.images) < 2:
        return
    members = {mask.images[0]: mask for mask in plan.masks if mask.family == method.family and len(mask.images) == 1}
    for images in (images for images in names.ENSEMBLES if members.keys() >= set(images)):
        for rule in ("mean", *plan.settings.methods.extra_ensembles):
            if rule != "staple" or len(images) > 2:
                plan.masks.append(_ensemble(plan, _blank(plan, method, images, rule), rule, members))


def _ensemble(plan: SessionPlan, mask: PlannedMask, rule: str, members: Mapping[str, PlannedMask]) -> PlannedMask:
    """The ensemble with the step that makes it, or with the reason why it is missing."""
    images = mask.images
    mask = replace(mask, members=tuple(members[image].desc for image in images))
    lacking = [members[image] for image in images if members[image].step is None]
    if lacking:
        reason = lacking[0].reason
        if all(member.reason == f"the session has no {member.images[0]} image" for member in lacking):
            reason = f"the session has no {' and no '.join(member.images[0] for member in lacking)} image"
        return replace(mask, reason=reason)
    dsegs = {image: plan.dseg(members[image].desc) for image in images}
    step = plan.add(
        mask.desc,
        steps.ensemble,
        inputs=dsegs,
        outputs=files_of(plan, mask.desc),
        params={
            "Members": list(images),
            "Rule": rule,
            "Desc": mask.desc,
            "Sources": [plan.uri_of(path) for path in dsegs.values()],
            "T1wUri": plan.t1w_uri,
        },
        needs=tuple(step for image in images if (step := members[image].step)),
        memory_gb=plan.memory(1.0),
    )
    roots = [root for image in images for root in (*members[image].roots, members[image].step) if root]
    return replace(mask, step=step, roots=tuple(dict.fromkeys(roots)))
