"""FSL FIRST on the T1w masked by the brain mask (paper, 2.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thalbids.methods.base import Request, Segmentation
from thalbids.methods.tools import asked_once, problem_of, software
from thalbids.programs import FslSettings
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    from thalbids.tools.findings import Finding

PROTOCOL = "FIRST: shape model of manual labels (CMA protocol), whole thalamus"


class First:
    """See :class:`thalbids.methods.base.Method`."""

    family = "first"
    tables: Mapping[str, type] = {"tools.fsl": FslSettings}
    shown, single = "FSL FIRST", True
    relative_volume = (
        0.99  # median sensitivity / precision against one set of manual masks (paper, Table 1): 1.55 : 1.57
    )
    colour, dash, marker = "#B8E04A", "1.5 2.5", "D"
    envelope = True  # the paper's
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
        return self.blocked(MethodSettings())

    def blocked(self, settings: MethodSettings) -> str | None:
        from thalbids.tools import first

        return problem_of(first.check(settings.of(FslSettings)))

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it."""
        from thalbids.tools import first
        from thalbids.tools.findings import FSL, FSL_LICENCE, of_check, without_us

        checked = first.check(settings.of(FslSettings))
        return [
            of_check(FSL, "FIRST", checked.problem, without_us(checked.mend), checked.where,
                     lambda: first.version(settings.of(FslSettings)),
                     "FIRST's masks; the paper's envelope of MindGlide", FSL_LICENCE),
        ]  # fmt: skip

    def software(self, settings: MethodSettings) -> tuple[dict[str, Any], ...]:
        from thalbids.tools import first
        from thalbids.tools.check import container_name

        said = asked_once(first.version, settings.of(FslSettings))
        return software(said, "FSL", container_name(settings.of(FslSettings)))

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        return {"Software": list(self.software(settings))}

    def segment(self, request: Request) -> Segmentation:
        import numpy as np

        from thalbids.image.io import load_labels
        from thalbids.tools import first

        brain = np.asarray(load_labels(request.brain).dataobj)
        result = first.segment(request.image, brain, request.workdir, request.settings.of(FslSettings))
        return Segmentation(result.labels, request.image.affine, metadata={"Protocol": PROTOCOL})
