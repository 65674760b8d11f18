"""The step that brings a session's T1w to a template, where that is asked for (``--template``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.image.io import load_image, load_labels
from thalbids.participant.session import SessionPlan
from thalbids.participant.step_io import given, image_of
from thalbids.registration.template import EXTENSION, TemplateFiles, find_template
from thalbids.types import tool_entry

MEMORY_GB = {"affine": 1.5, "syn": 3.0}


@dataclass(frozen=True)
class TemplateParams(Params):
    """``transform``: ``affine`` or ``syn``."""

    kind = "template"
    template: str
    transform: str
    seed: int
    sources: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As every record, but results have known the transform as ``Kind`` from the beginning."""
        recorded = super().to_json()
        return {"Kind": recorded.pop("Transform"), **recorded}


def add_steps(plan: SessionPlan) -> None:
    """One step when a template is asked for; a missing template stops the run before it starts."""
    settings = plan.settings.template
    if not settings.name:
        return
    template = find_template(settings.name)
    entities = {"from_": plan.reference, "to": template.name, "mode": "image"}
    plan.add(
        f"to {template.name}",
        to_template,
        inputs={"T1w": plan.t1w, "brain": plan.brain, "template": template.image, "template brain": template.brain},
        outputs={"transform": plan.path("xfm", EXTENSION[settings.transform], **entities)},
        params=TemplateParams(
            template=template.name,
            transform=settings.transform,
            seed=plan.settings.run.seed,
            sources=(plan.t1w_uri, plan.uri_of(plan.brain)),
        ),
        needs=tuple(dict.fromkeys((plan.anatomy, plan.brain_step))),
        record=plan.path("xfm", ".json", **entities),
        memory_gb=plan.memory(MEMORY_GB[settings.transform]),
    )


@recorded_as("thalbids.pipeline.template.to_template")
def to_template(inputs: Inputs, outputs: Outputs, params: TemplateParams, upstream: Upstream) -> Done:
    """Register the T1w to the template; excluded where that fails."""
    from thalbids.errors import RegistrationError
    from thalbids.registration.ants_rigid import ants_version
    from thalbids.registration.template import estimate

    t1w, brain = given(inputs, "T1w"), given(inputs, "brain")
    template = TemplateFiles(params.template, given(inputs, "template"), inputs["template brain"])
    image = image_of(params.sources[0])
    record: dict[str, Any] = {
        "Sources": list(params.sources),
        "Template": template.name,
        "Transform": params.transform,
        "Software": [tool_entry(ants_version())],
        "Description": f"Maps points of {template.name} to points of the {image} (ITK convention: LPS, "
        "fixed to moving): "
        f"with it images of the {image} are resampled into the template.",
    }
    try:
        transform = estimate(
            load_image(t1w), load_labels(brain), template, params.transform, outputs["transform"], params.seed
        )
    except RegistrationError as error:
        return Done({"record": record}, "excluded", error.problem)
    return Done({"transform": record | transform})
