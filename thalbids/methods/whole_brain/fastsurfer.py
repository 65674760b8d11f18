"""FastSurfer's segmentation (aparc.DKTatlas+aseg.deep.mgz): of results that exist, or run without surfaces."""

from __future__ import annotations

from collections.abc import Mapping

from thalbids.families import Option
from thalbids.methods.base import LabelMap, Request
from thalbids.methods.programmed import Tool, threads
from thalbids.methods.whole_brain.labelled import Existing, named, one
from thalbids.programs import FastSurferSettings

PROTOCOL = "FastSurfer: labels 10 and 49, whole thalamus (learnt from FreeSurfer's aseg)"
FILES = {"labels": "mri/aparc.DKTatlas+aseg.deep.mgz", "image": "mri/orig.mgz", "version": "scripts/*version*.txt"}


class FastSurfer(Existing):
    """See :class:`thalbids.methods.base.Method`."""

    family, shown = "fastsurfer", "FastSurfer"
    tables: Mapping[str, type] = {"tools.fastsurfer": FastSurferSettings}
    single, envelope = True, True
    colour, marker, dash = "#7FB7E8", "<", "1.5 2.5"
    code_url = "https://github.com/Deep-MI/FastSurfer"
    options = (
        Option(
            "--fastsurfer-dir", "tools.fastsurfer.results_dir",
            "existing FastSurfer results (sub-X_ses-Y or sub-X); the segmentation alone is enough", "DIR",
        ),
    )  # fmt: skip
    protocol = PROTOCOL
    relative_volume = 1.0  # it learnt FreeSurfer's labels
    memory_gb = 10.0
    version = 1
    wanted: Mapping[str, str] = FILES
    sentence = "The thalamus labels of FastSurfer [@henschel2020fastsurfer] were brought to the T1w grid."
    citations: tuple[str, ...] = ("henschel2020fastsurfer",)

    def tool(self) -> Tool:
        from thalbids.tools.whole_brain import others

        check, version = others.check_fastsurfer, others.fastsurfer_version
        return Tool(others.FASTSURFER, check, version, "FastSurfer", "FastSurfer's masks, computed", "Apache-2.0")

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools.whole_brain import others
        from thalbids.tools.whole_brain.samseg import on_grid

        request = requests["T1w"]
        if "labels" in request.files:
            labels = on_grid(request.files["labels"], request.image, self.shown)
            checked = self.checked(request, labels)
            return one(request, named(labels, {"Software": [{"Name": self.shown}], **checked}, self.shown))
        program = request.settings.of(FastSurferSettings)
        labels = others.fastsurfer(request.image, request.workdir, program, threads=threads())
        return one(request, named(labels, dict(request.params), self.shown))
