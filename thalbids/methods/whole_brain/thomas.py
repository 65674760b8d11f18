"""HIPS-THOMAS: the whole thalamus and its nuclei by several atlases, of results that exist or run."""

from __future__ import annotations

from collections.abc import Mapping

from thalbids.families import Option
from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.methods.programmed import Tool
from thalbids.methods.whole_brain.labelled import OWN, Existing, one
from thalbids.programs import ThomasSettings

PROTOCOL = "THOMAS: whole thalamus and nuclei (Krauth-Morel atlas)"


class Thomas(Existing):
    """See :class:`thalbids.methods.base.Method`. Its label map: 100 and 200 + n for the left and right nuclei as
    THOMAS numbers them, 10 and 49 for what belongs to none of them.
    """

    family, shown = "thomas", "HIPS-THOMAS"
    tables: Mapping[str, type] = {"tools.thomas": ThomasSettings}
    single, envelope = True, True
    colour, marker, dash = "#D6A6E8", "d", "1.5 2.5"
    code_url = "https://github.com/thalamicseg/hipsthomasdocker"
    options = (
        Option(
            "--thomas-dir", "tools.thomas.results_dir",
            "existing HIPS-THOMAS results (sub-X_ses-Y or sub-X with left and right in it)", "DIR",
        ),
    )  # fmt: skip
    protocol = PROTOCOL
    memory_gb = 6.0
    version = 2
    wanted: Mapping[str, str] = {"labels": "left/1-THALAMUS.nii.gz", "right": "right/1-THALAMUS.nii.gz"}
    finished = ("right/1-THALAMUS.nii.gz",)
    only_by_name = "HIPS-THOMAS takes half an hour a session and runs only when --methods names thomas."
    sentence = "The thalamus and its nuclei were segmented with HIPS-THOMAS [@su2019thomas]."
    citations: tuple[str, ...] = ("su2019thomas",)

    def tool(self) -> Tool:
        from thalbids.tools.whole_brain import thomas

        computed = "HIPS-THOMAS's whole thalamus and nuclei, computed"
        return Tool(thomas.PROGRAM, thomas.check, None, "HIPS-THOMAS", computed, "look at its repository")

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools.whole_brain import thomas

        request = requests["T1w"]
        if "labels" in request.files:
            folder = request.files["labels"].parent.parent
            labels, names = thomas.read(folder, request.image)
            whole = thomas.thalami(labels)
            metadata = {"Software": [{"Name": self.shown}], **self.checked(request, whole)}
        else:
            labels, names = thomas.segment(request.image, request.workdir, request.settings.of(ThomasSettings))
            metadata = dict(request.params)
        return one(request, LabelMap(labels, names, metadata))

    def segment(self, request: Request) -> Segmentation:
        """The whole thalami: what THOMAS calls so, its nuclei included."""
        from thalbids.tools.whole_brain import thomas

        assert request.labels is not None
        metadata = {"Protocol": self.protocol} | {key: request.told[key] for key in OWN if key in request.told}
        return Segmentation(thomas.thalami(request.labels), request.image.affine, metadata=metadata)
