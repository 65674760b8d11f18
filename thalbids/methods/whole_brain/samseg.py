"""SAMSEG on the T1w: the thalamus of a whole-head segmentation by atlas and intensity model, and its other results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thalbids.families import Option
from thalbids.methods.base import Further, LabelMap, Request
from thalbids.methods.programmed import Tool, threads, told
from thalbids.methods.whole_brain.labelled import ICV, Existing, Labelled, one
from thalbids.programs import SamsegSettings
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    from thalbids.tools.findings import Finding
    from thalbids.tools.whole_brain.samseg import SamsegResults

FILES = {"labels": "seg.mgz", "image": "mode01_bias_corrected.mgz", "several": "mode02_bias_corrected.mgz"}
PROTOCOL = "SAMSEG: labels 10 and 49, whole thalamus (CMA protocol)"


class Samsegs(Labelled):
    """What every way to run SAMSEG shares."""

    shown = "SAMSEG"
    tables: Mapping[str, type] = {"tools.samseg": SamsegSettings}
    code_url = "https://github.com/freesurfer/samseg"
    protocol = PROTOCOL
    # with FreeSurfer's results 0.72 and 0.73; a patient by way of SynThal 0.72 - 0.76 (docs/tools.md)
    relative_volume = 0.75
    memory_gb = 5.5
    version = 1
    program = "run_samseg"
    sentence = "The thalamus labels of SAMSEG [@puonti2016samseg] were taken."
    citations: tuple[str, ...] = ("puonti2016samseg",)

    def tool(self) -> Tool:
        from thalbids.tools.whole_brain import samseg

        computed = "SAMSEG's masks, posteriors, intracranial volume and whole label map (10 - 15 min an image)"
        return Tool(
            self.program, lambda table: samseg.check(table, self.program), samseg.version, "SAMSEG", computed, "MIT"
        )

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it: nothing, the method on the T1w tells of the program."""
        return []

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        from thalbids.tools.whole_brain import samseg

        program = settings.of(SamsegSettings)
        return {
            "Software": list(self.software(settings)),
            "PallidumSeparate": samseg.separate(program, self.images),
            "Lesion": program.lesion,
            "Options": told(program.options),
        }

    def further(self, settings: MethodSettings) -> Mapping[str, Further]:
        lesions = {"lesions": Further("mask", "lesion", "White-matter lesions by SAMSEG (label 99).")}
        posterior = {"probability": Further("probseg", "thalamus", "Posterior of either thalamus by SAMSEG.")}
        return posterior | (lesions if settings.of(SamsegSettings).lesion else {})

    def computed(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        """SAMSEG on the images of a session, the T1w first."""
        from thalbids.tools.whole_brain import samseg

        request = requests["T1w"]
        images = {name: requests[name].image for name in self.images}
        results = samseg.segment(images, request.workdir, request.settings.of(SamsegSettings), threads=threads())
        return one(request, labelled(results, request, dict(request.params)))


class Samseg(Samsegs, Existing):
    """See :class:`thalbids.methods.base.Method`."""

    family = "samseg"
    colour, marker, dash = "#F28E5C", "h", "7 2 1.5 2"
    envelope = True
    icv = "Intracranial volume of SAMSEG (sbtiv): the sum of the structures inside the skull"
    options = (
        Option(
            "--samseg-dir", "tools.samseg.results_dir",
            "existing SAMSEG results of the T1w (sub-X_ses-Y or sub-X)", "DIR",
        ),
    )  # fmt: skip
    wanted: Mapping[str, str] = FILES
    finished = ("samseg.stats",)

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it."""
        return Labelled.pieces(self, settings)

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.errors import ImageError
        from thalbids.tools.whole_brain import samseg

        request = requests["T1w"]
        if "labels" not in request.files:
            return self.computed(requests)
        if "several" in request.files:
            problem = "these SAMSEG results were made of several images together, not of the T1w alone."
            raise ImageError(problem, "Give the masks instead: --derivatives samsegT1withFLAIR=PATH.")
        results = samseg.read(request.files["labels"].parent, request.image)
        checked = self.checked(request, results.labels)
        return one(request, labelled(results, request, {"Software": [{"Name": "SAMSEG"}], **checked}))


def labelled(results: SamsegResults, request: Request, metadata: Mapping[str, Any]) -> LabelMap:
    """What SAMSEG found, as a label map with its further images."""
    import numpy as np

    from thalbids.image.volumes import soft_volume_mm3

    told = dict(metadata)
    if results.icv_mm3 is not None:
        told[ICV] = results.icv_mm3
    if results.soft_mm3:
        told["StatsVolumeMm3"] = {str(label): volume for label, volume in results.soft_mm3.items()}
    further: dict[str, Any] = {"lesions": results.lesions}
    if results.probability is not None:
        further["probability"] = results.probability
        told["SoftVolumeMm3"] = soft_volume_mm3(results.probability, request.image.affine)
    names = {int(n): results.names.get(int(n), f"FreeSurfer label {n}") for n in np.unique(results.labels) if n}
    return LabelMap(results.labels, names, told, further)
