"""Change between two visits by registration, one step for each pair: what moved at the border of each method's thalami.

The mask of a method on the reference image says where; the images of both visits say by how much
(:mod:`thalbids.longitudinal.affine`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results.outputs import read_json, write_json
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import ThalbidsError
from thalbids.image.io import load_image
from thalbids.longitudinal import affine
from thalbids.longitudinal.space import mean_space
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.stages.person import alignment
from thalbids.participant.step_io import given, labels_of, there

APART = "the images of the two visits could not be brought together"


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
    begin = subject.usable[0]
    for when, plan in (("first", first), ("later", later)):
        inputs |= {f"{when} image": plan.t1w} | {f"{when} {desc}": plan.dseg(desc) for desc in methods}
        inputs |= {} if plan is begin else {f"{when} alignment": alignment.path_of(plan, begin)}
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
        after=tuple(step.name for plan in subject.own for step in plan.steps),
        record=record,
    )
    return step.name


def _masks(plan: SessionPlan) -> list[str]:
    """The masks that were made from the reference image alone."""
    return [mask.desc for mask in plan.masks if mask.step is not None and mask.image == plan.reference]


@recorded_as("thalbids.participant.registered")
def registered(inputs: Inputs, outputs: Outputs, params: RegisteredParams, upstream: Upstream) -> Done:
    """The change of a pair with the mask of every method; one that fails costs only its own."""
    matrices = [_from_first(inputs, when) for when in ("first", "later")]
    found: dict[str, dict[str, Any]] = {}
    if matrices[0] is None or matrices[1] is None:
        found = {desc: {"Reason": APART} for desc in params.methods}
    else:
        spaces = mean_space({(0, 1): matrices[1] @ np.linalg.inv(matrices[0])}, 2)
        images = [load_image(given(inputs, f"{when} image")) for when in ("first", "later")]
        for desc in params.methods:
            keys = [f"{when} {desc}" for when in ("first", "later")]
            if not all(there(inputs, key) for key in keys):
                found[desc] = {"Reason": "a visit has no mask"}
                continue
            labels = [labels_of(inputs, key) for key in keys]
            seen = [affine.Seen(*one) for one in zip(images, labels, spaces, strict=True)]
            try:
                change = affine.measure(*seen)
            except ThalbidsError as error:
                found[desc] = {"Reason": error.problem}
            else:
                found[desc] = {"LogBoth": change.both, "LogLeft": change.left, "LogRight": change.right}
    told = "Logarithm of the later over the earlier volume, by registration at the border of each mask."
    write_json(outputs["qc"], {"Description": told, "Changes": found} | params.to_json())
    return Done()


def _from_first(inputs: Inputs, when: str) -> np.ndarray | None:
    """RAS+ mm of the person's first image to that of a visit; None where they could not be brought together."""
    if f"{when} alignment" not in inputs:
        return np.eye(4)
    path = there(inputs, f"{when} alignment")
    matrix = None if path is None else read_json(path)["Matrix"]
    return None if matrix is None else np.asarray(matrix, np.float64)
