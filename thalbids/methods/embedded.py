"""The embedded method, SynThal, as the registry knows it: nothing heavy is imported until it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalbids.inference.label_protocol import PROTOCOL
from thalbids.methods.base import Request, Segmentation
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    from thalbids.tools.findings import Finding


@dataclass(frozen=True)
class SynthalSettings:
    """The embedded network.

    Attributes
    ----------
    flip_averaging : average the scan's result with that of its mirror image (twice the time)
    write_probabilities : write the probability image beside each mask
    """

    flip_averaging: bool = True
    write_probabilities: bool = True


class SynThal:
    """See :class:`thalbids.methods.base.Method`."""

    family = "synthal"
    shown = "SynThal"
    relative_volume = 0.9  # three heads with FreeSurfer's results: 0.86, 0.90, 0.95 (docs/qc.md)
    images: tuple[str, ...] = ("T1w", "FLAIR", "R1map", "T2w", "UNIT1")
    dash, marker = "", "v"
    envelope = True
    brain_mask = "embedded"
    tables: Mapping[str, type] = {"synthal": SynthalSettings}
    icv = "Estimate of SynThal on the T1w image, or the reference image where there is none"
    protocol = PROTOCOL
    memory_gb = 1.2
    version = 7  # convolutions after upsampling
    sentence = (
        "The thalamus was segmented with SynThal, a convolutional network trained on synthetic images only, in the "
        "manner of SynthSeg [@billot2023synthseg]."
    )
    citations: tuple[str, ...] = ("billot2023synthseg",)

    def unavailable(self) -> str | None:
        from thalbids.methods.synthal import unavailable

        return unavailable()

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it."""
        from thalbids.methods.synthal import weights_checksum
        from thalbids.tools.findings import EMBEDDED, Finding

        enables = "SynThal: thalamus masks of T1w, FLAIR, R1 and T2w, brain mask, intracranial volume"
        name, problem = "SynThal weights", self.unavailable()
        if problem is not None:
            return [Finding(EMBEDDED, name, False, problem=problem, enables=enables, mend="Install thalbids again.")]
        return [Finding(EMBEDDED, name, True, f"SHA-256 {weights_checksum()[:16]}", enables=enables)]

    def builds_on(self, settings: MethodSettings) -> tuple[str, ...]:
        return ()

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        from thalbids.methods.synthal import weights_checksum

        return {
            "Weights": weights_checksum(),
            "FlipAveraging": settings.of(SynthalSettings).flip_averaging,
            "Precision": settings.run.precision,
        }

    def shown_settings(self, settings: MethodSettings) -> dict[str, Any]:
        """For the page."""
        return {"flip averaging": settings.of(SynthalSettings).flip_averaging}

    def segment(self, request: Request) -> Segmentation:
        from thalbids.methods.synthal import segment

        return segment(request)
