"""SynthSeg (mri_synthseg of FreeSurfer): labels 10 and 49 of any contrast, run or read."""

from __future__ import annotations

from collections.abc import Mapping

from thalbids.families import Option
from thalbids.methods.base import LabelMap, Request
from thalbids.methods.programmed import Tool, threads
from thalbids.methods.whole_brain.labelled import ICV, Existing, named, one
from thalbids.programs import SynthSegSettings

PROTOCOL = "SynthSeg: labels 10 and 49, whole thalamus (CMA protocol)"
FILES = {"labels": "*synthseg*.[mn][gi][zi]*", "volumes": "*vol*.csv"}


class SynthSeg(Existing):
    """See :class:`thalbids.methods.base.Method`."""

    family, shown = "synthseg", "SynthSeg"
    tables: Mapping[str, type] = {"tools.synthseg": SynthSegSettings}
    envelope = True
    icv = "Total intracranial volume of SynthSeg (its table of volumes), of one scan"
    colour, marker, dash = "#9ED6C8", ">", "7 2 1.5 2"
    code_url = "https://github.com/BBillot/SynthSeg"
    options = (
        Option(
            "--synthseg-dir", "tools.synthseg.results_dir",
            "existing SynthSeg results of the T1w (sub-X_ses-Y/*synthseg*.nii.gz)", "DIR",
        ),
    )  # fmt: skip
    protocol = PROTOCOL
    relative_volume = 1.0  # its training labels are FreeSurfer's
    memory_gb = 10.0
    version = 1
    wanted: Mapping[str, str] = FILES
    sentence = "The thalamus labels of SynthSeg [@billot2023synthseg] were brought to the T1w grid."
    citations: tuple[str, ...] = ("billot2023synthseg",)

    def tool(self) -> Tool:
        from thalbids.tools.whole_brain import others

        check, version = others.check_synthseg, others.synthseg_version
        return Tool(others.SYNTHSEG, check, version, "FreeSurfer", "SynthSeg's masks, computed", "FreeSurfer's licence")

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools.whole_brain import others
        from thalbids.tools.whole_brain.samseg import on_grid

        request = requests["T1w"]
        if "labels" in request.files:
            labels = on_grid(request.files["labels"], request.image, self.shown)
            metadata = {"Software": [{"Name": self.shown}], **self.checked(request, labels)}
            icv = others.synthseg_icv(request.files["volumes"]) if "volumes" in request.files else None
        else:
            program = request.settings.of(SynthSegSettings)
            labels, icv = others.synthseg(request.image, request.workdir, program, threads=threads())
            metadata = dict(request.params)
        if icv is not None:
            metadata[ICV] = icv
        return one(request, named(labels, metadata, self.shown))
