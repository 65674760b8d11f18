"""The steps for a session's brain mask and intracranial volumes, and where the two come from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.bids import existing
from thalbids.bids.dictionaries import ICV_MORPH
from thalbids.bids.outputs import sidecar
from thalbids.errors import MetadataError, ThalbidsError
from thalbids.methods.base import Method
from thalbids.participant.stages import mask_steps, masks, steps

if TYPE_CHECKING:
    from thalbids.participant.plan import SessionPlan

GIVEN_BRAIN, GIVEN_ICV = "brain", "icv"  # names in --derivatives


def source_of(made: SessionPlan) -> str:
    """Whose brain mask a session gets; ``auto`` takes a given one, else DBSegment's where it runs, else SynThal's."""
    source = made.settings.brain.source
    if source != "auto":
        return source
    if GIVEN_BRAIN in made.settings.inputs.derivatives and _given(made) is not None:
        return "given"
    return "dbsegment" if "dbsegment" in set(made.runnable) - set(made.kept) else "synthal"


def _given(made: SessionPlan) -> existing.Existing | str | None:
    """The given brain mask, why it cannot be taken, or None."""
    try:
        return existing.brain_mask(GIVEN_BRAIN, made.settings.inputs.derivatives[GIVEN_BRAIN], made.session)
    except MetadataError as error:
        return f"{error.problem} {error.mend}"


def brain(made: SessionPlan, methods: Sequence[Method]) -> None:
    """The step that makes the brain mask when it is not SynThal's."""
    source = made.brain_source
    made.origins["brain mask"] = {"given": "given", "synthal": "SynThal"}.get(source, source)
    if source == "synthal":
        return
    inputs: dict[str, Path | None] = {"T1w": made.t1w, "seen": made.seen_brain}
    needs, params = [made.images["T1w"]], {"Source": source, "T1wUri": made.t1w_uri, "Sources": [made.t1w_uri]}
    if source == "given":
        found = _given(made)
        if not isinstance(found, existing.Existing):
            _refuse(made, found or f"there is no brain mask for {made.session.name} in the given results.")
            return
        inputs |= {"mask": found.path, "raw": made.session.images["T1w"].path}
        params["Sources"] = [found.uri]
        made.origins["brain mask"] = f"given, {found.uri}"
    else:
        method = next((m for m in methods if m.family == source), None)
        try:
            there = method is not None and (masks.has_results(made, method) or source in made.runnable)
        except ThalbidsError as error:
            _refuse(made, error.problem)
            return
        if method is None or not there:
            _refuse(made, f"there is no result of {source} for {made.session.name} to take the brain mask from.")
            return
        needs.append(masks.label_maps(made, method, ["T1w"]))
        labels = masks.label_map(made, source, "T1w")
        inputs["labels"], params["Sources"] = labels, [made.uri_of(labels)]
    made.brain_step = made.add(
        "brain", mask_steps.brain, inputs=inputs, outputs={"brain": made.brain}, params=params, needs=tuple(needs),
        memory_gb=made.memory(1.0),
    )  # fmt: skip


def _refuse(made: SessionPlan, problem: str) -> None:
    params = {"Problem": problem, "Mend": "Give one, or choose another [brain] source."}
    made.brain_step = made.add(
        "brain", steps.refuse, inputs={}, outputs={"brain": made.brain}, params=params, needs=(made.images["T1w"],)
    )


def _given_stats(made: SessionPlan) -> Path | None:
    """``aseg.stats`` of the session beside given masks of FreeSurfer, or in the subjects directory."""
    from thalbids.tools import freesurfer

    settings, session = made.settings, made.session
    for place in (settings.inputs.derivatives.get("freesurfer"), settings.tools.freesurfer.subjects_dir):
        if place is not None:
            with suppress(ThalbidsError):  # it is being written, or ended with an error
                folder = freesurfer.find(place, session.subject, session.session, only_session=made.alone)
                if folder is not None and (folder / "stats" / "aseg.stats").is_file():
                    return folder / "stats" / "aseg.stats"
    return None


def icv(made: SessionPlan) -> None:
    """The table of intracranial volumes: given, FreeSurfer's eTIV, SynThal's, as far as they are there."""
    inputs: dict[str, Path | None] = {"synthal": sidecar(made.t1w)}
    after: list[str] = []
    if "freesurfer" in made.prepared:
        inputs["freesurfer"] = sidecar(masks.label_map(made, "freesurfer", "T1w"))
        after.append(made.prepared["freesurfer"])
    elif (stats := _given_stats(made)) is not None:
        inputs["aseg.stats"] = stats
    if GIVEN_ICV in made.settings.inputs.derivatives:
        inputs["given"] = made.settings.inputs.derivatives[GIVEN_ICV]
    params: dict[str, Any] = {
        "Subject": made.session.subject, "Session": made.session.session, "Dictionary": ICV_MORPH,
    }  # fmt: skip
    made.add(
        "icv", mask_steps.icv, inputs=inputs, outputs={"icv": made.icv}, params=params, needs=(made.images["T1w"],),
        after=tuple(after), memory_gb=0.5,
    )  # fmt: skip
