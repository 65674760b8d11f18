"""Change between two visits by registration, one step for each pair: what moved at the border of each method's thalami.

The mask of a method on the reference image says where; the images of both visits say by how much
(:mod:`thalbids.longitudinal.affine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.documents import read_alignment
from thalbids.bids.results.outputs import write_json
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import MetadataError, ThalbidsError
from thalbids.image.io import load_image
from thalbids.longitudinal import affine
from thalbids.longitudinal.space import mean_space
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.stages.person import alignment
from thalbids.participant.step_io import given, labels_of, there

RUN_APART = "sessions that were run apart: run participant again without --session-label"
DECIMALS = 9  # of what is recorded: further digits depend on the processor


@dataclass(frozen=True)
class RegisteredParams(Params):
    """``pair``: ``ses-`` labels, the earlier first; ``methods``: ``desc-`` labels of masks that both visits have."""

    kind = "registered change"
    pair: tuple[str, str]
    methods: tuple[str, ...]
    sources: tuple[str, ...]


def path_of(subject: SubjectPlan, first: str, later: str) -> Path:
    """Where the change of a pair (labels) is recorded."""
    return subject.file(f"from-{first}_to-{later}_desc-change_qc.json")


def add_step(subject: SubjectPlan, first: SessionPlan, later: SessionPlan) -> str | None:
    """The step of a pair; None where there is nothing to compare."""
    methods = [desc for desc in _masks(first) if desc in _masks(later)]
    if first.reference != later.reference or not methods:
        return None
    inputs: dict[str, Path | None] = {}
    begin = subject.first
    for when, plan in (("first", first), ("later", later)):
        inputs |= {f"{when} image": plan.t1w} | {f"{when} {desc}": plan.dseg(desc) for desc in methods}
        inputs |= {} if begin is None or plan is begin else {f"{when} alignment": alignment.path_of(plan, begin)}
    labels = str(first.session.session), str(later.session.session)
    record = path_of(subject, *labels)
    step = subject.add(
        f"change ses-{labels[0]} to ses-{labels[1]}",
        registered,
        subject.own[-1],
        inputs=inputs,
        outputs={"qc": record},
        params=RegisteredParams(
            (f"ses-{labels[0]}", f"ses-{labels[1]}"), tuple(methods), (first.t1w_uri, later.t1w_uri)
        ),
        after=_waits(subject, (first, later), methods),
        record=record,
        version=8,  # the space between the visits does not depend on where the registration ended
    )
    return step.name


def _waits(subject: SubjectPlan, pair: tuple[SessionPlan, SessionPlan], methods: Sequence[str]) -> tuple[str, ...]:
    """The steps of this run that make what is read of a pair: images, alignments, masks."""
    planned = {step.name for plan in subject.own for step in plan.steps}
    wanted = [name for plan in pair for name in (plan.anatomy, alignment.step_of(plan))]
    wanted += [str(mask.step) for plan in pair for mask in plan.masks if mask.desc in methods]
    return tuple(name for name in dict.fromkeys(wanted) if name in planned)


def _masks(plan: SessionPlan) -> list[str]:
    """The masks that were made from the reference image alone."""
    return [mask.desc for mask in plan.masks if mask.step is not None and mask.image == plan.reference]


@recorded_as("thalbids.participant.registered")
def registered(inputs: Inputs, outputs: Outputs, params: RegisteredParams, upstream: Upstream) -> Done:
    """The change of a pair with the mask of every method; one that fails costs only its own."""
    between = _between(inputs, params.pair, upstream)
    changes: dict[str, dict[str, Any]] = {}
    if not isinstance(between, np.ndarray):
        changes = {desc: dict(between) for desc in params.methods}
    else:
        spaces = mean_space({(0, 1): between}, 2)
        images = [load_image(given(inputs, f"{when} image")) for when in ("first", "later")]
        for desc in params.methods:
            keys = [f"{when} {desc}" for when in ("first", "later")]
            if not all(there(inputs, key) for key in keys):
                changes[desc] = {"Reason": "a visit has no mask"}
                continue
            labels = [labels_of(inputs, key) for key in keys]
            seen = [affine.LabelledVisit(*one) for one in zip(images, labels, spaces, strict=True)]
            try:
                change = affine.measure(*seen)
            except ThalbidsError as error:
                changes[desc] = {"Reason": error.problem}
            else:
                numbers = {"LogBoth": change.both, "LogLeft": change.left, "LogRight": change.right}
                numbers |= {"OddShare": change.odd, "NoiseSd": change.noise}
                changes[desc] = {name: round(number, DECIMALS) for name, number in numbers.items()}
    told = (
        "Logarithm of the later over the earlier volume, by registration at the border of each mask; OddShare: share "
        "of the border where the two differ by more than a movement explains; NoiseSd: SD of LogBoth as least squares "
        "tell, too small by a constant factor."
    )
    write_json(outputs["qc"], {"Description": told, "Changes": changes} | params.to_json())
    return Done()


def _between(inputs: Inputs, pair: tuple[str, str], upstream: Upstream) -> np.ndarray | dict[str, str]:
    """RAS+ mm of the first visit's image to that of the later one, or status and reason of a pair that has none.

    An alignment counts for the session that its record names, whichever was the person's first when it was made.
    """
    places: list[dict[str, np.ndarray]] = []  # session -> its points to those of the visit
    lacking = []
    for when, session in zip(("first", "later"), pair, strict=True):
        places.append({session: np.eye(4)})
        if f"{when} alignment" not in inputs:
            continue
        path = there(inputs, f"{when} alignment")
        if path is None:
            ends = (end.reason for name, end in upstream.items() if name.endswith(f"_{session} {alignment.STEP}"))
            why = next(filter(None, ends), "")
            told = f"{session}: no alignment with the person's first visit was made ({why or RUN_APART})"
            lacking.append(("missing", told))
            continue
        try:
            record = read_alignment(path)
        except MetadataError as error:
            lacking.append(("missing", f"{session}: its alignment cannot be read: {error.problem}"))
            continue
        if record["Chosen"] is None:
            lacking.append(
                ("failed", f"{session}: the registration with ses-{record['First']} failed ({record['Reason']})")
            )
            continue
        places[-1][f"ses-{record['First']}"] = np.asarray(record["Matrix"], np.float64)
        lacking.append(("missing", f"{session}: its alignment is with ses-{record['First']}"))
    common = next((session for session in places[0] if session in places[1]), None)
    if common is None:
        status = "failed" if any(what == "failed" for what, _ in lacking) else "missing"
        decisive = [
            told for what, told in lacking if what == status
        ]  # one that failed is why the other has none to meet
        reason = "; ".join(["the visits are not aligned with each other", *decisive])
        return {"Status": status, "Reason": reason}
    return np.asarray(places[1][common] @ np.linalg.inv(places[0][common]))
