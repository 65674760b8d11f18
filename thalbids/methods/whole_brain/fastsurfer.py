"""FastSurfer's segmentation (aparc.DKTatlas+aseg.deep.mgz): of results that exist, or run without surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thalbids.families import Option
from thalbids.methods.base import LabelMap, Request
from thalbids.methods.tools import asked_once, problem_of, software, told
from thalbids.methods.whole_brain.labelled import Existing, named, one
from thalbids.settings import Settings

if TYPE_CHECKING:
    from thalbids.tools.findings import Finding

PROTOCOL = "FastSurfer: labels 10 and 49, whole thalamus (learnt from FreeSurfer's aseg)"
FILES = {"labels": "mri/aparc.DKTatlas+aseg.deep.mgz", "image": "mri/orig.mgz", "version": "scripts/*version*.txt"}


class FastSurfer(Existing):
    """See :class:`thalbids.methods.base.Method`."""

    family, table, shown = "fastsurfer", "fastsurfer", "FastSurfer"
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

    def blocked(self, settings: Settings) -> str | None:
        from thalbids.tools.whole_brain import others

        return problem_of(others.check_fastsurfer(settings.tools.fastsurfer))

    def pieces(self, settings: Settings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it."""
        from thalbids.tools.findings import of_check
        from thalbids.tools.whole_brain import others

        own = settings.tools.fastsurfer
        checked = others.check_fastsurfer(own)
        return [
            of_check(self.shown, others.FASTSURFER, checked.problem, checked.mend, checked.where,
                     lambda: others.fastsurfer_version(own), "FastSurfer's masks, computed", "Apache-2.0"),
        ]  # fmt: skip

    def software(self, settings: Settings) -> tuple[dict[str, Any], ...]:
        from thalbids.tools.check import container_name
        from thalbids.tools.whole_brain import others

        said = asked_once(others.fastsurfer_version, settings.tools.fastsurfer)
        return software(said, "FastSurfer", container_name(settings.tools.fastsurfer))

    def params(self, settings: Settings) -> Mapping[str, Any]:
        return {"Software": list(self.software(settings)), "Options": told(settings.tools.fastsurfer.options)}

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools.whole_brain import others
        from thalbids.tools.whole_brain.samseg import on_grid

        request = requests["T1w"]
        if "labels" in request.files:
            labels = on_grid(request.files["labels"], request.image, self.shown)
            checked = self.checked(request, labels)
            return one(request, named(labels, {"Software": [{"Name": self.shown}], **checked}, self.shown))
        own = request.settings.tools.fastsurfer
        labels = others.fastsurfer(request.image, request.workdir, own, threads=self.threads())
        return one(request, named(labels, dict(request.params), self.shown))
