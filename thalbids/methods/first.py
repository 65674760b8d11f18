"""FSL FIRST on the T1w masked by the brain mask (paper, 2.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thalbids.methods.base import Request, Segmentation
from thalbids.methods.programmed import Programmed, Tool
from thalbids.programs import FslSettings
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    from thalbids.tools.findings import Finding

PROTOCOL = "FIRST: shape model of manual labels (CMA protocol), whole thalamus"


class First(Programmed):
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

    def tool(self) -> Tool:
        from thalbids.tools import first
        from thalbids.tools.findings import FSL_LICENCE

        enables = "FIRST's masks; the paper's envelope of MindGlide"
        return Tool("FIRST", first.check, first.version, "FSL", enables, FSL_LICENCE)

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it, among the parts of FSL."""
        from thalbids.tools.findings import FSL

        return [replace(piece, part=FSL) for piece in super().pieces(settings)]

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        return {"Software": list(self.software(settings))}

    def segment(self, request: Request) -> Segmentation:
        import numpy as np

        from thalbids.image.io import load_labels
        from thalbids.tools import first

        brain = np.asarray(load_labels(request.brain).dataobj)
        result = first.segment(request.image, brain, request.workdir, request.settings.of(FslSettings))
        return Segmentation(result.labels, request.image.affine, metadata={"Protocol": PROTOCOL})
