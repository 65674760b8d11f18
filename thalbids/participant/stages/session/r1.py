"""The registered R1 map scaled to 0-1000 inside the brain mask (paper, 2.5.2): what methods segment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from thalbids.bids.results.outputs import read_json, sidecar
from thalbids.engine.params import IF_SET, Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.io import load_image, load_labels, save_intensities
from thalbids.participant.session import SessionPlan
from thalbids.participant.step_io import SCANNED, given


@dataclass(frozen=True)
class ScalingParams(Params):
    """Where the map, the brain mask and the T1w are; ``zero`` where another value than 0 becomes 0."""

    kind = "scaling"
    source: str
    brain_uri: str
    brain_source: str
    t1w_uri: str
    zero: str = field(default="", metadata=IF_SET)


def add_steps(plan: SessionPlan) -> None:
    """Scale the registered R1 map, where there is one."""
    if "R1map" not in plan.images:
        return
    scaled = plan.path("R1map", space=plan.reference, desc="scaled")
    plan.images["R1map scaled"] = plan.add(
        "scale R1map",
        scale_r1,
        inputs={"R1map": plan.registered("R1map"), "brain": plan.brain},
        outputs={"image": scaled},
        params=ScalingParams(
            source=plan.uri_of(plan.registered("R1map")),
            brain_uri=plan.uri_of(plan.brain),
            brain_source=plan.brain_source,
            t1w_uri=plan.t1w_uri,
            zero="" if plan.settings.registration.r1_zero == "zero" else plan.settings.registration.r1_zero,
        ),
        needs=tuple(dict.fromkeys((plan.images["R1map"], plan.brain_step))),
        memory_gb=plan.memory(1.0),
        version=3,  # written as 16-bit integers
    )
    plan.segmentable["R1map"] = scaled


@recorded_as("thalbids.pipeline.steps.scale_r1")
def scale_r1(inputs: Inputs, outputs: Outputs, params: ScalingParams, upstream: Upstream) -> Done:
    """Registered R1 to 0-1000 inside the brain mask."""
    from thalbids.image.r1_scaling import scale_r1 as scale

    r1 = load_image(given(inputs, "R1map"))
    brain = np.asarray(load_labels(given(inputs, "brain")).dataobj) > 0
    scaled, parameters = scale(np.asarray(r1.dataobj), brain, from_smallest=params.zero == "smallest")
    save_intensities(scaled, r1.affine, outputs["image"])
    return Done(
        {
            "image": {
                "Sources": [params.source, params.brain_uri],
                "SpatialReference": params.t1w_uri,
                "SkullStripped": True,
                "Units": "arbitrary",
                "Description": "R1 in the brain mask: negative to 0, clipped at the 99th percentile, scaled to 0-1000.",
                "Scaling": parameters,
                "BrainSource": params.brain_source,
                **{key: value for key, value in read_json(sidecar(given(inputs, "R1map"))).items() if key == SCANNED},
            }
        }
    )
