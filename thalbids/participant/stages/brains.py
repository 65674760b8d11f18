"""The steps for a session's brain mask and intracranial volumes, and where the two come from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from thalbids import families
from thalbids.bids import existing
from thalbids.bids.dictionaries import ICV_MORPH
from thalbids.bids.outputs import sidecar
from thalbids.errors import MetadataError, ThalbidsError
from thalbids.methods.base import Method
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages import mask_steps, masks, steps
from thalbids.settings import Settings
from thalbids.types import Session

GIVEN_BRAIN, GIVEN_ICV = "brain", "icv"  # names in --derivatives


def source_of(session: Session, settings: Settings, able: Collection[str]) -> str:
    """Whose brain mask a session gets: that of a family, or ``given``.

    ``auto`` takes a given one, else that of the first family among ``able`` (those that this run computes) whose brain
    mask is good enough, else the embedded one.
    """
    source = settings.brain.source
    if source != "auto":
        return source
    if GIVEN_BRAIN in settings.inputs.derivatives and _given(session, settings) is not None:
        return "given"
    return next((family for family in families.with_brain_mask("auto") if family in able), families.embedded())


def _given(session: Session, settings: Settings) -> existing.Existing | str | None:
    """The given brain mask, why it cannot be taken, or None."""
    try:
        return existing.brain_mask(GIVEN_BRAIN, settings.inputs.derivatives[GIVEN_BRAIN], session)
    except MetadataError as error:
        return f"{error.problem} {error.mend}"


def brain(plan: SessionPlan, methods: Sequence[Method]) -> None:
    """The step that makes the brain mask when it is not SynThal's."""
    source = plan.brain_source
    embedded = families.of(families.embedded())
    plan.origins["brain mask"] = embedded.label if source == embedded.family else source
    if source == embedded.family:
        return
    inputs: dict[str, Path | None] = {"T1w": plan.t1w, "seen": plan.seen_brain}
    needs, params = [plan.images["T1w"]], {"Source": source, "T1wUri": plan.t1w_uri, "Sources": [plan.t1w_uri]}
    if source == "given":
        found = _given(plan.session, plan.settings)
        if not isinstance(found, existing.Existing):
            _refuse(plan, found or f"there is no brain mask for {plan.name} in the given results.")
            return
        inputs |= {"mask": found.path, "raw": plan.session.images["T1w"].path}
        params["Sources"] = [found.uri]
        plan.origins["brain mask"] = f"given, {found.uri}"
    else:
        method = next((m for m in methods if m.family == source), None)
        try:
            there = method is not None and (masks.has_results(plan, method) or source in plan.runnable)
        except ThalbidsError as error:
            _refuse(plan, error.problem)
            return
        if method is None or not there:
            _refuse(plan, f"there is no result of {source} for {plan.name} to take the brain mask from.")
            return
        needs.append(masks.label_maps(plan, method, ["T1w"]))
        labels = masks.label_map(plan, source, "T1w")
        inputs["labels"], params["Sources"] = labels, [plan.uri_of(labels)]
    plan.brain_step = plan.add(
        "brain", mask_steps.brain, inputs=inputs, outputs={"brain": plan.brain}, params=params, needs=tuple(needs),
        memory_gb=plan.memory(1.0),
    )  # fmt: skip


def _refuse(plan: SessionPlan, problem: str) -> None:
    params = {"Problem": problem, "Mend": "Give one, or choose another [brain] source."}
    plan.brain_step = plan.add(
        "brain", steps.refuse, inputs={}, outputs={"brain": plan.brain}, params=params, needs=(plan.images["T1w"],)
    )


def _given_stats(plan: SessionPlan) -> Path | None:
    """``aseg.stats`` of the session beside given masks of FreeSurfer, or in the subjects directory."""
    from thalbids.tools import freesurfer

    settings, session = plan.settings, plan.session
    for place in (settings.inputs.derivatives.get("freesurfer"), settings.tools.freesurfer.subjects_dir):
        if place is not None:
            with suppress(ThalbidsError):  # it is being written, or ended with an error
                folder = freesurfer.find(place, session.subject, session.session, only_session=plan.alone)
                if folder is not None and (folder / "stats" / "aseg.stats").is_file():
                    return folder / "stats" / "aseg.stats"
    return None


def icv(plan: SessionPlan) -> None:
    """The table of intracranial volumes: given, FreeSurfer's eTIV, SynThal's, as far as they are there."""
    inputs: dict[str, Path | None] = {"synthal": sidecar(plan.t1w)}
    after: list[str] = []
    if "freesurfer" in plan.prepared:
        inputs["freesurfer"] = sidecar(masks.label_map(plan, "freesurfer", "T1w"))
        after.append(plan.prepared["freesurfer"])
    elif (stats := _given_stats(plan)) is not None:
        inputs["aseg.stats"] = stats
    if GIVEN_ICV in plan.settings.inputs.derivatives:
        inputs["given"] = plan.settings.inputs.derivatives[GIVEN_ICV]
    params: dict[str, Any] = {
        "Subject": plan.session.subject, "Session": plan.session.session, "Dictionary": ICV_MORPH,
    }  # fmt: skip
    plan.add(
        "icv", mask_steps.icv, inputs=inputs, outputs={"icv": plan.icv}, params=params, needs=(plan.images["T1w"],),
        after=tuple(after), memory_gb=0.5,
    )  # fmt: skip
