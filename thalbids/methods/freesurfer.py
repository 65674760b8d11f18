"""FreeSurfer's whole thalamus (aseg labels 10 and 49): of results that exist, or of recon-all (paper, 2.6.2)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.errors import ThalbidsError
from thalbids.families import Option
from thalbids.files import read_json
from thalbids.methods.base import LabelMap, Request
from thalbids.methods.programmed import Tool, asked_once, software, threads, told
from thalbids.methods.whole_brain.labelled import Labelled, named, one
from thalbids.programs import FreeSurferSettings
from thalbids.settings import MethodSettings
from thalbids.types import Session

if TYPE_CHECKING:
    import numpy as np

    from thalbids.tools.findings import Finding

STATS = "aseg.stats"  # holds eTIV
CLOSING_MM = 5.0
RUN_MEMORY_GB = 10.0
RUN_MEMORY_8_GB = (
    24.0  # by its own documentation, as quoted in bids-apps/freesurfer, pull request 92; not measured here
)
PROTOCOL = "FreeSurfer: aseg labels 10 and 49, whole thalamus (CMA protocol)"


class FreeSurferResults(Labelled):
    """What is read of the folder of a subject, of either stream."""

    family = "freesurfer"
    tables: Mapping[str, type] = {"tools.freesurfer": FreeSurferSettings}
    shown, single = "FreeSurfer", True
    code_url = "https://github.com/freesurfer/freesurfer"
    relative_volume = 1.0  # by definition
    colour, dash, marker = "#FF9EB5", "1.5 2.5", "s"
    envelope = True
    brain_mask = "asked"
    icv = "Estimated total intracranial volume (eTIV) of FreeSurfer's aseg.stats"
    in_models = False  # as in the paper (3.4)
    images: tuple[str, ...] = ("T1w",)
    protocol = PROTOCOL
    memory_gb = 2.0
    version = 1
    sentence = (
        "The thalamus labels of FreeSurfer's aseg [@fischl2002freesurfer] were brought to the T1w grid by nearest "
        "neighbour."
    )
    citations: tuple[str, ...] = ("fischl2002freesurfer",)

    def icv_mm3(self, path: Path) -> float | None:
        """The intracranial volume by ``aseg.stats``, or by the sidecar of a label map; None when it has none."""
        from thalbids.tools.freesurfer import read_stats

        if path.suffix == ".json":
            return read_json(path).get("EstimatedTotalIntraCranialVolMm3")
        return read_stats(path).etiv_mm3

    def shown_settings(self, settings: MethodSettings) -> dict[str, Any]:
        """For the page."""
        return {"recon-all": {"hires": settings.of(FreeSurferSettings).hires}}

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        return {}

    def files(self, folder: Path) -> dict[str, Path | None]:
        """What is read of a session's folder; None for what is not there."""
        from thalbids.tools import freesurfer

        files = {key: path if path.is_file() else None for key, path in self.made_files(folder).items()}
        more = {"transform": freesurfer.transform_of(folder), "image": freesurfer.image_of(folder)}
        return files | {key: path for key, path in more.items() if path is not None}

    def made_files(self, folder: Path) -> dict[str, Path]:
        """What recon-all leaves that is read."""
        return {"aseg": folder / "mri" / "aseg.mgz", "stats": folder / "stats" / "aseg.stats"}

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        import numpy as np

        from thalbids.image.io import load_labels
        from thalbids.methods.given import check_in_brain, check_same_scan
        from thalbids.tools import freesurfer
        from thalbids.tools.runner import ToolError

        request = requests["T1w"]
        if "aseg" not in request.files:
            raise ToolError("FreeSurfer's result has no mri/aseg.mgz.", "Run recon-all to its end.")
        results = freesurfer.read(request.files["aseg"].parent.parent)
        labels = results.on(request.image)
        seen = np.asarray(load_labels(request.brain).dataobj)
        inside = check_in_brain(labels, seen, results.aseg)
        alike = check_same_scan(request.image, request.files.get("image"), seen, "FreeSurfer", results.matrix)
        metadata: dict[str, Any] = alike | {
            "InBrainFraction": inside,
            "Software": list(software(results.version, "FreeSurfer")),
        }
        if results.stats is not None:
            metadata |= {
                "EstimatedTotalIntraCranialVolMm3": results.stats.etiv_mm3,
                "StatsNVoxels": {str(n): s.voxels for n, s in results.stats.structures.items()},
                "StatsVolumeMm3": {str(n): s.volume_mm3 for n, s in results.stats.structures.items()},
            }
        return one(request, named(labels, metadata, "FreeSurfer"))

    def brain(self, labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Everything that has a label in the aseg, with the fluid between: closed by 5 mm, holes filled."""
        import numpy as np
        from scipy import ndimage

        from thalbids.image.grids import zooms

        sizes = zooms(affine)
        edge = int(np.ceil(CLOSING_MM / min(sizes))) + 1
        grown = ndimage.distance_transform_edt(np.pad(labels == 0, edge, constant_values=True), sizes) <= CLOSING_MM
        closed = ndimage.binary_fill_holes(ndimage.distance_transform_edt(grown, sizes) > CLOSING_MM)
        core = (slice(edge, -edge),) * 3
        inside: np.ndarray = closed[core] | (labels > 0)
        return inside


class FreeSurfer(FreeSurferResults):
    """See :class:`thalbids.methods.base.Method`. Its label maps are made of the files of a subject's folder."""

    options = (
        Option(
            "--fs-subjects-dir", "tools.freesurfer.subjects_dir",
            "existing FreeSurfer results (sub-X_ses-Y, sub-X, or longitudinal)", "DIR",
        ),
        Option(
            "--fs-license-file", "tools.freesurfer.license_file",
            "FreeSurfer's licence; needed only when recon-all runs",
        ),
    )  # fmt: skip
    only_by_name = "recon-all takes hours and runs only when --methods names freesurfer."

    def tool(self) -> Tool:
        from thalbids.tools import freesurfer

        enables = "FreeSurfer's masks and eTIV, computed (hours for each session)"
        return Tool("recon-all", freesurfer.check, freesurfer.version, "FreeSurfer", enables, "")

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it: the program, its licence, results that exist."""
        from thalbids.tools import freesurfer
        from thalbids.tools.findings import Finding

        program = settings.of(FreeSurferSettings)
        licence = freesurfer.license_file(program)
        where = str(program.subjects_dir) if program.subjects_dir else ""
        there = program.subjects_dir is not None and program.subjects_dir.is_dir()
        text = "not given." if program.subjects_dir is None else "the folder is not there."
        return [
            *super().pieces(settings),
            Finding(self.shown, "licence", licence is not None, where=str(licence or ""),
                    problem="" if licence else "no licence file.",
                    enables="recon-all; not needed to read existing results",
                    mend="Register, free of charge: https://surfer.nmr.mgh.harvard.edu/registration.html; "
                    "then --fs-license-file."),
            Finding(self.shown, "existing results", there, where=where, problem="" if there else text,
                    enables="FreeSurfer's masks and eTIV, read from results that you have",
                    mend="Give them: --fs-subjects-dir DIR"),
        ]  # fmt: skip

    def icv_file(
        self, settings: MethodSettings, session: Session, *, alone: bool, given: Path | None = None
    ) -> Path | None:
        """``aseg.stats`` of a session beside masks of FreeSurfer that are ``given``, or in the subjects directory."""
        from thalbids.tools import freesurfer

        for place in (given, settings.of(FreeSurferSettings).subjects_dir):
            if place is not None:
                with suppress(ThalbidsError):  # it is being written, or ended with an error
                    folder = freesurfer.find(place, session.subject, session.session, only_session=alone)
                    if folder is not None and (folder / "stats" / STATS).is_file():
                        return folder / "stats" / STATS
        return None

    def results_given(self, settings: MethodSettings) -> bool:
        """Whether a folder of existing results is named."""
        return settings.of(FreeSurferSettings).subjects_dir is not None

    def results_root(self, settings: MethodSettings) -> Path | None:
        """The folder of existing results."""
        return settings.of(FreeSurferSettings).subjects_dir

    def results(self, settings: MethodSettings, session: Session, *, alone: bool) -> Path | None:
        """The folder of a session's existing results; raises ToolError when it cannot be used."""
        from thalbids.tools import freesurfer

        place = settings.of(FreeSurferSettings).subjects_dir
        if place is None:
            return None
        return freesurfer.find(place, session.subject, session.session, only_session=alone)

    def run_params(self, settings: MethodSettings) -> Mapping[str, Any]:
        """What the result of recon-all depends on."""
        program = settings.of(FreeSurferSettings)
        return {"Software": list(self.software(settings)), "Hires": program.hires, "Options": told(program.options)}

    def check_paths(self, paths: Iterable[Path]) -> None:
        """Refuse before a run what recon-all cannot work with."""
        from thalbids.tools import freesurfer

        freesurfer.check_paths(paths)

    def run_memory(self, settings: MethodSettings) -> float:
        """GB that recon-all takes: from version 8 on it computes networks on the whole head."""
        from thalbids.tools import freesurfer

        said = asked_once(freesurfer.version, settings.of(FreeSurferSettings)) or ""
        number = said.removeprefix(freesurfer.NAME).strip().partition(".")[0]
        return RUN_MEMORY_GB if not number or (number.isdigit() and int(number) < 8) else RUN_MEMORY_8_GB

    def run(self, t1w: Path, t2w: Path | None, folder: Path, settings: MethodSettings) -> None:
        """recon-all on the raw T1w (and T2w) into ``folder``; what an earlier run left there is removed first."""
        from thalbids.tools import freesurfer

        if folder.exists():
            shutil.rmtree(folder)
        freesurfer.run(t1w, t2w, folder.parent, folder.name, settings.of(FreeSurferSettings), threads=threads())
