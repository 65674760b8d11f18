"""SynThal on all T1w of a person together, for change: every visit seen in the same way, with more looks than one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.methods.embedded import SynThal
from thalbids.settings import Settings

TOLD = ("Protocol", "SoftVolumeMm3", "FlipDice", "Confidence", "InView", "BoxSettled")


class SynThalLong(SynThal):
    """See :class:`thalbids.methods.base.Method`."""

    family = "synthallong"
    shown = "SynThal longitudinal"
    images: tuple[str, ...] = ("T1w",)
    reads = "sessions"
    marker = "^"
    envelope = False
    brain_mask = "none"
    icv = ""
    memory_gb = 1.5
    version = 1
    sentence = (
        "For change, SynThal was run on all T1w images of a person together: each without its noise, at the resolution "
        "of the coarsest, in the same boxes about the thalami, averaged over eight looks."
    )

    def pieces(self, settings: Settings) -> list[Any]:
        return []  # nothing that SynThal does not tell

    def params(self, settings: Settings) -> Mapping[str, Any]:
        return {name: value for name, value in super().params(settings).items() if name != "FlipAveraging"}

    def session_maps(self, requests: Mapping[str, Request]) -> tuple[dict[str, LabelMap], dict[str, str]]:
        from thalbids.methods.synthal import see_sessions

        return see_sessions(requests)

    def segment(self, request: Request) -> Segmentation:
        import numpy as np

        assert request.labels is not None  # session_maps made it
        told = {name: request.told[name] for name in TOLD if name in request.told}
        return Segmentation(request.labels.astype(np.uint8), request.image.affine, metadata=told)
