"""SAMSEG on several images of a session together: one segmentation that all of them agree with."""

from __future__ import annotations

from collections.abc import Mapping

from thalbids.methods.base import LabelMap, Request
from thalbids.methods.whole_brain.samseg import Samsegs


class Together(Samsegs):
    """See :class:`thalbids.methods.base.Method`. R1 is that of the brain: what it does not show is not segmented."""

    reads = "images"
    only_by_name = "SAMSEG on several images takes 10 to 15 min each and runs only when --methods names it."
    memory_gb = 6.5
    sentence = (
        "SAMSEG [@puonti2016samseg] was run on several images of a session together; its thalamus labels were taken."
    )

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        gone = [name for name in self.images if name not in requests]
        if gone:
            return {}, {"T1w": f"there is no {' and no '.join(gone)} on the grid of the T1w."}
        return self.computed(requests)


class WithFlair(Together):
    """T1w and FLAIR."""

    family, shown, images = "samsegT1withFLAIR", "SAMSEG T1w with FLAIR", ("T1w", "FLAIR")
    colour, marker = "#D9713C", "H"


class WithR1(Together):
    """T1w and R1."""

    family, shown, images = "samsegT1withR1", "SAMSEG T1w with R1", ("T1w", "R1map")
    colour, marker = "#C98A2E", "p"


class WithFlairAndR1(Together):
    """T1w, FLAIR and R1."""

    family, shown, images = "samsegT1withFLAIRandR1", "SAMSEG T1w with FLAIR and R1", ("T1w", "FLAIR", "R1map")
    colour, marker = "#A8703C", "8"


class WithT2(Together):
    """T1w and T2w."""

    family, shown, images = "samsegT1withT2", "SAMSEG T1w with T2w", ("T1w", "T2w")
    colour, marker = "#E0A36B", "P"
