"""FSL FIRST on the T1w masked by the brain mask (paper, 2.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from thalbids.image.io import load_labels
from thalbids.methods.base import Request, Segmentation
from thalbids.methods.tools import asked_once, problem_of, software
from thalbids.settings import Settings

PROTOCOL = "FIRST: shape model of manual labels (CMA protocol), whole thalamus"


class First:
    """See :class:`thalbids.methods.base.Method`."""

    family = "first"
    images: tuple[str, ...] = ("T1w",)
    protocol = PROTOCOL
    memory_gb = 2.0
    version = 1
    sentence = (
        "Left and right thalamus were segmented with FSL FIRST [@patenaude2011first] on the T1w image masked by the "
        "brain mask."
    )
    citations: tuple[str, ...] = ("patenaude2011first",)

    def unavailable(self) -> str | None:
        return self.blocked(Settings())

    def blocked(self, settings: Settings) -> str | None:
        from thalbids.tools import first

        return problem_of(first.check(settings.tools.fsl))

    def software(self, settings: Settings) -> tuple[dict[str, Any], ...]:
        from thalbids.tools import first
        from thalbids.tools.check import container_name

        said = asked_once(first.version, settings.tools.fsl)
        return software(said, "FSL", container_name(settings.tools.fsl))

    def params(self, settings: Settings) -> Mapping[str, Any]:
        return {"Software": list(self.software(settings))}

    def segment(self, request: Request) -> Segmentation:
        from thalbids.tools import first

        brain = np.asarray(load_labels(request.brain).dataobj)
        found = first.segment(request.image, brain, request.workdir, request.settings.tools.fsl)
        return Segmentation(found.labels, request.image.affine, metadata={"Protocol": PROTOCOL})
