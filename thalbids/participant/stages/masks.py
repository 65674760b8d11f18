"""The steps that make a session's thalamus masks: from a tool, from results that exist, and ensembles of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids import families as known
from thalbids.bids import existing, names
from thalbids.bids.outputs import derivative, sidecar
from thalbids.errors import ThalbidsError
from thalbids.methods.base import Method, trait
from thalbids.participant.stages import mask_steps, steps
from thalbids.settings import Settings
from thalbids.types import Session

if TYPE_CHECKING:
    from thalbids.participant.plan import SessionPlan

Entry = dict[str, Any]


def families_in(out_dir: Path, sessions: Iterable[Session]) -> set[str]:
    """The families whose thalamus masks these sessions have in the output folder, from whichever run."""
    return {label.family for session in sessions for label in _found(out_dir, session)}


def unplanned(made: SessionPlan) -> list[Entry]:
    """Rows for masks in the output folder that this run does not plan, so that no mask is without a row."""
    planned = {entry["desc"] for entry in made.masks}
    return [
        {
            "desc": label.desc, "family": label.family, "images": list(label.images), "image": label.image,
            "protocol": "", "step": None, "roots": [], "reason": steps.STALE, "builds_on": [],
        }
        for label in _found(made.out_dir, made.session)
        if label.desc not in planned
    ]  # fmt: skip


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


def segment(made: SessionPlan, method: Method) -> None:
    """One mask per image: one that is given, else one that is made where the method runs and the image is there."""
    wanted = {name: _entry(made, method, name) for name in method.images}
    to_run = []
    for name, entry in wanted.items():
        made.masks.append(entry)
        try:
            if not _given(made, entry) and _can_run(made, method, entry):
                to_run.append(name)
        except ThalbidsError as error:  # what exists cannot be used: this mask fails, the session goes on
            _refuse(made, entry, error)
    if to_run and hasattr(method, "label_maps"):
        label_maps(made, method, to_run)
    for name in to_run:
        _segment(made, method, name, wanted[name])


def _entry(made: SessionPlan, method: Method, name: str) -> Entry:
    label = label_of(method, name, made.settings)
    return {
        "desc": label.desc, "family": method.family, "images": [name], "image": label.image,
        "protocol": method.protocol, "step": None, "roots": [], "reason": "",
        "builds_on": list(families(method, made.settings)), **_kept(made, method),
    }  # fmt: skip


def _kept(made: SessionPlan, method: Method) -> Entry:
    """The mark of a mask that is only looked up; others have none, so that what they lead to does not change."""
    return {"kept": True} if method.family in made.kept else {}


def given_results(settings: Settings, family: str, desc: str) -> dict[str, Path]:
    """The ``--derivatives`` that may hold a mask of this name: by its own name first, then by its family."""
    given = settings.inputs.derivatives
    names_of = {key.lower(): key for key in given}
    found = [names_of[name] for name in (desc.lower(), family.lower()) if name in names_of]
    return {key: given[key] for key in dict.fromkeys(found)}


def _given(made: SessionPlan, entry: Entry) -> bool:
    """Plan the step that takes a mask that exists; False when there is none for this session."""
    desc, several = entry["desc"], not known.of(entry["family"]).single
    for key, root in given_results(made.settings, entry["family"], desc).items():
        found = existing.thalamus_mask(key, root, made.session, desc=desc, exact=several and key != desc)
        if found is not None:
            entry["step"] = _take(made, entry, found)
            entry["roots"] = [made.images["T1w"]]
            made.origins[desc] = f"given, {found.uri}"
            return True
    return False


def _refuse(made: SessionPlan, entry: Entry, error: ThalbidsError) -> None:
    entry["step"] = made.add(
        entry["desc"], steps.refuse, inputs={}, outputs=mask_outputs(made, entry["desc"]),
        params={"Problem": error.problem, "Mend": error.mend}, needs=(made.images["T1w"],),
    )  # fmt: skip
    entry["roots"] = [made.images["T1w"]]


def _take(made: SessionPlan, entry: Entry, found: existing.Existing) -> str:
    told = sidecar(found.path)
    return made.add(
        entry["desc"],
        mask_steps.given_mask,
        inputs={
            "mask": found.path, "told": told if told.exists() else None, "raw": made.session.images["T1w"].path,
            "T1w": made.t1w, "seen": sidecar(made.t1w), "brain": made.seen_brain,
        },
        outputs=mask_outputs(made, entry["desc"]),
        params={
            "Desc": entry["desc"], "Source": found.uri, "Labelled": found.labelled, "T1wUri": made.t1w_uri,
            "Protocol": entry["protocol"],
        },
        needs=(made.images["T1w"],),
        memory_gb=made.memory(1.0),
    )  # fmt: skip


def _can_run(made: SessionPlan, method: Method, entry: Entry) -> bool:
    """Whether the method runs on this image here; otherwise the entry says why not."""
    name = entry["images"][0]
    made_already = has_results(made, method)  # asked in any case: results that cannot be used are refused, not replaced
    lacking = [e for f in families(method, made.settings) if (e := _member(made, f)) is None or e["step"] is None]
    if name not in made.segmentable and not made_already:
        entry["reason"] = f"the session has no {name} image"
    elif method.family not in made.runnable and not made_already:
        entry["reason"] = f"there is no result of {method.family} for this session, and it is not run here"
    elif lacking:
        family = families(method, made.settings)[0]
        reason = lacking[0]["reason"] if lacking[0] else "it is not among the methods of this run"
        entry["reason"] = f"it needs the mask of {family} as its envelope: {reason}"
    return not entry["reason"]


def has_results(made: SessionPlan, method: Method) -> bool:
    """Whether the tool's own results exist for this session (FreeSurfer's subjects directory).

    Raises
    ------
    ThalbidsError
        They exist and cannot be used.
    """
    find = getattr(method, "results", None)
    return find is not None and find(made.settings, made.session, alone=made.alone) is not None


def _member(made: SessionPlan, family: str) -> Entry | None:
    """The entry of a family's mask of the T1w."""
    return next((e for e in made.masks if e["family"] == family and e["images"] == ["T1w"]), None)


def label_map(made: SessionPlan, family: str, image: str, extension: str = ".nii.gz") -> Path:
    """Where the full label map of a tool goes."""
    return made.path("dseg", extension, space="T1w", seg=family, desc=image)


def maps_record(made: SessionPlan, family: str) -> Path:
    """The record of the step that makes label maps, beside no image: any of them may be missing."""
    return made.out_dir / "logs" / "label_maps" / f"{made.session.name}_{family}.json"


def label_maps(made: SessionPlan, method: Method, images: list[str]) -> str:
    """The step that runs a tool once for these images of a session; planned once."""
    family, settings = method.family, made.settings
    if family in made.prepared:
        return made.prepared[family]
    files, sources, before = tool_files(made, method)
    outputs: dict[str, Path] = {}
    for name in images:
        outputs[name] = label_map(made, family, name)
        outputs[f"{name} table"] = label_map(made, family, name, ".tsv")
    builds_on_brain = "brain" in trait(method, "builds_on", settings)
    inputs: dict[str, Path | None] = {name: made.segmentable[name] for name in images}
    inputs |= {"seen": sidecar(made.t1w), "brain": made.brain if builds_on_brain else made.seen_brain}
    inputs |= {f"file {key}": path for key, path in files.items()}
    others = tuple(dict.fromkeys(_image_step(made, name) for name in images if name != "T1w"))
    made.prepared[family] = made.add(
        f"{family} label maps",
        mask_steps.label_maps,
        inputs=inputs,
        outputs=outputs,
        params={
            "Family": family,
            "Images": {name: _image_step(made, name) for name in images},
            "Sources": {name: [made.uri_of(made.segmentable[name]), *sources] for name in images},
            "T1wUri": made.t1w_uri,
            "Method": dict(method.params(settings)),
        },
        needs=tuple(dict.fromkeys((made.images["T1w"], *([made.brain_step] if builds_on_brain else []), *before))),
        after=others,
        record=maps_record(made, family),
        memory_gb=made.memory(method.memory_gb),
        version=method.version,
        gpu=trait(method, "gpu", settings),
        optional=tuple(outputs),
        machine=settings,
    )
    return made.prepared[family]


def tool_files(made: SessionPlan, method: Any) -> tuple[Mapping[str, Path | None], list[str], tuple[str, ...]]:
    """The files that a tool's own results consist of, where they are, and the step that makes them if they are not."""
    if not hasattr(method, "results"):
        return {}, [], ()
    folder = method.results(made.settings, made.session, alone=made.alone)
    if folder is not None:
        where = _result_uri(made, folder)
        made.origins[method.family] = f"existing results, {where}"
        return method.files(folder), [where], ()
    folder = made.out_dir / "sourcedata" / method.family / made.session.name
    t2w = made.session.images.get("T2w")
    outputs = method.made_files(folder)
    step = made.add(
        f"{method.family} run",
        mask_steps.run_tool,
        inputs={"T1w": made.session.images["T1w"].path, "T2w": None if t2w is None or t2w.problem else t2w.path},
        outputs=outputs,
        params={"Family": method.family, "Method": dict(method.run_params(made.settings))},
        needs=(made.images["T1w"],),  # a session without a head is not worth hours
        record=folder.with_name(f"{made.session.name}.json"),
        memory_gb=made.memory(method.run_memory_gb),
        machine=made.settings,
    )
    return outputs, [made.uri_of(folder)], (step,)


def _result_uri(made: SessionPlan, folder: Path) -> str:
    root = made.settings.tools.freesurfer.subjects_dir
    assert root is not None
    return f"bids:freesurfer:{folder.relative_to(root).as_posix()}"


def _image_step(made: SessionPlan, name: str) -> str:
    """The step that writes what methods segment of an image."""
    return made.images.get(f"{name} scaled", made.images[name])


def _segment(made: SessionPlan, method: Method, name: str, entry: Entry) -> None:
    """The mask of one image."""
    path, settings, desc = made.segmentable[name], made.settings, entry["desc"]
    outputs = mask_outputs(made, desc)
    if settings.synthal.write_probabilities and not hasattr(method, "label_maps"):
        outputs["probability"] = made.path("probseg", space="T1w", label="thalamus", desc=desc)
    needs, roots = [made.images["T1w"], _image_step(made, name)], [made.images["T1w"], made.images[name]]
    inputs: dict[str, Path | None] = {"image": path, "seen": sidecar(made.t1w)}
    if "brain" in trait(method, "builds_on", settings):
        inputs["brain"] = made.brain
        needs.append(made.brain_step)
    if method.family in made.prepared:
        labels = label_map(made, method.family, name)
        inputs |= {"labels": labels, "labels sidecar": sidecar(labels), "maps": maps_record(made, method.family)}
        needs.append(made.prepared[method.family])
    others = [made.brain] if "brain" in inputs else []
    for family in families(method, settings):
        member = _member(made, family)
        assert member is not None  # _can_run saw to it
        others.append(mask_outputs(made, member["desc"])["dseg"])
        inputs[f"mask {family}"] = others[-1]
        needs.append(member["step"])
        roots += member["roots"]
    entry["step"] = made.add(
        desc,
        steps.segment,
        inputs=inputs,
        outputs=outputs,
        params={
            "Family": method.family,
            "Image": name,
            "Desc": desc,
            "Sources": [made.uri_of(inputs.get("labels") or path), *map(made.uri_of, others)],
            "T1wUri": made.t1w_uri,
            "Method": dict(method.params(settings)),
        },
        needs=tuple(dict.fromkeys(needs)),
        memory_gb=made.memory(1.0 if method.family in made.prepared else method.memory_gb),
        version=method.version,
        gpu=trait(method, "gpu", settings) and method.family not in made.prepared,
        optional=("probability",),
        machine=settings,
    )
    entry["roots"] = list(dict.fromkeys([*roots, *needs]))


def mask_outputs(made: SessionPlan, desc: str) -> dict[str, Path]:
    """Where a mask, its left/right labels and their table go."""
    space = {"space": "T1w", "desc": desc}
    return {
        "mask": made.path("mask", label="thalamus", **space),
        "dseg": made.path("dseg", seg="thalamus", **space),
        "table": made.path("dseg", ".tsv", seg="thalamus", **space),
    }


def ensembles(made: SessionPlan, method: Method) -> None:
    """The paper's four ensembles, and those beyond it that were asked for, of a method with several images."""
    if len(method.images) < 2:
        return
    own = {e["images"][0]: e for e in made.masks if e["family"] == method.family and len(e["images"]) == 1}
    for images in names.ENSEMBLES:
        for rule in ("mean", *made.settings.methods.extra_ensembles):
            if rule != "staple" or len(images) > 2:
                _ensemble(made, method, images, rule, own)


def _ensemble(made: SessionPlan, method: Method, images: tuple[str, ...], rule: str, own: Mapping[str, Entry]) -> None:
    label = label_of(method, images, made.settings, rule)
    entry = {
        "desc": label.desc, "family": method.family, "images": list(images), "image": "ensemble",
        "protocol": method.protocol, "members": [label_of(method, i, made.settings).desc for i in images],
        "step": None, "roots": [], "reason": "", "builds_on": list(families(method, made.settings)),
        **_kept(made, method),
    }  # fmt: skip
    made.masks.append(entry)
    lacking = [i for i in images if i not in own or own[i]["step"] is None]
    if lacking:
        entry["reason"] = own[lacking[0]]["reason"] if lacking[0] in own else f"there is no mask of {lacking[0]}"
        if all(own[i]["reason"] == f"the session has no {i} image" for i in lacking if i in own):
            entry["reason"] = f"the session has no {' and no '.join(lacking)} image"
        return
    dsegs = {i: made.path("dseg", seg="thalamus", space="T1w", desc=own[i]["desc"]) for i in images}
    entry["step"] = made.add(
        label.desc,
        steps.ensemble,
        inputs=dsegs,
        outputs=mask_outputs(made, label.desc),
        params={
            "Members": list(images),
            "Rule": rule,
            "Desc": label.desc,
            "Sources": [made.uri_of(p) for p in dsegs.values()],
            "T1wUri": made.t1w_uri,
        },
        needs=tuple(own[i]["step"] for i in images),
        memory_gb=made.memory(1.0),
    )
    roots = [root for i in images for root in (*own[i]["roots"], own[i]["step"])]
    entry["roots"] = list(dict.fromkeys(roots))
