"""What methods share whose label map has FreeSurfer's numbers, 10 and 49 for the thalami, and whose results may exist.

A method is one file: it names its table in the settings, its files, and what runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.files import read_json
from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.methods.programmed import Programmed, told
from thalbids.settings import MethodSettings
from thalbids.types import Session

if TYPE_CHECKING:
    import numpy as np


ICV = "IntracranialVolumeMm3"  # in the sidecar of a label map
OWN = (ICV, "SoftVolumeMm3", "StatsNVoxels", "StatsVolumeMm3", "InBrainFraction", "CorrelationWithT1w", "GivenResults")


class Labelled(Programmed):
    """Part of :class:`thalbids.methods.base.Method`; ``protocol`` is the class's own."""

    protocol = ""
    images: tuple[str, ...] = ("T1w",)

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        return {"Software": list(self.software(settings)), "Options": told(self.own(settings).options)}

    def builds_on(self, settings: MethodSettings) -> tuple[str, ...]:
        return ()

    def segment(self, request: Request) -> Segmentation:
        """Labels 10 and 49 of the label map."""
        import numpy as np

        assert request.labels is not None
        labels = np.where(np.isin(request.labels, (10, 49)), request.labels, 0).astype(np.uint8)
        metadata = {"Protocol": self.protocol} | {key: request.told[key] for key in OWN if key in request.told}
        return Segmentation(labels, request.image.affine, metadata=metadata)


class Existing(Labelled):
    """A method whose results may exist, one folder a session below ``results_dir`` of its table.

    Attributes
    ----------
    wanted : name of what is read in a folder -> the file, the label map (``labels``) among them; patterns are allowed
    finished : files without which a folder's results were not written to their end
    """

    wanted: Mapping[str, str] = {}
    finished: tuple[str, ...] = ()

    def results_root(self, settings: MethodSettings) -> Path | None:
        """The folder of existing results."""
        return self.own(settings).results_dir

    def results_given(self, settings: MethodSettings) -> bool:
        """Whether a folder of existing results is named."""
        return self.results_root(settings) is not None

    def results(self, settings: MethodSettings, session: Session, *, alone: bool) -> Path | None:
        """The folder of a session's existing results; raises ToolError when it is there and cannot be used."""
        from thalbids.tools.runner import ToolError
        from thalbids.tools.whole_brain.results import folder_of

        root = self.results_root(settings)
        folder = None if root is None else folder_of(root, session.subject, session.session, only_session=alone)
        if folder is None:
            return None
        gone = [name for name in (self.wanted["labels"], *self.finished) if not _first(folder, name)]
        if gone:
            problem = f"{self.shown}'s result has no {' and no '.join(gone)}."
            raise ToolError(problem, f"Let {self.shown} run to its end, or take the folder away.", folder)
        return folder

    def files(self, folder: Path) -> dict[str, Path | None]:
        """What is read of a session's folder."""
        paths = {key: _first(folder, name) for key, name in self.wanted.items()}
        return {key: path for key, path in paths.items() if path is not None}

    def icv_mm3(self, path: Path) -> float | None:
        """The intracranial volume by the sidecar of a label map; None when it has none."""
        volume: float | None = read_json(path).get(ICV)
        return volume

    def icv_file(
        self, settings: MethodSettings, session: Session, *, alone: bool, given: Path | None = None
    ) -> Path | None:
        """None: it is read with the label map, or not at all."""
        return None

    def checked(self, request: Request, labels: np.ndarray) -> dict[str, Any]:
        """That given results are of this T1w; for the sidecar."""
        import numpy as np

        from thalbids.image.io import load_labels
        from thalbids.methods.given import check_in_brain, check_same_scan

        seen = np.asarray(load_labels(request.brain).dataobj)
        thalami = np.isin(labels, (10, 49))
        inside = check_in_brain(thalami, seen, request.files["labels"])
        alike = check_same_scan(request.image, request.files.get("image"), seen, self.shown)
        return {"GivenResults": True, "InBrainFraction": inside} | alike


def one(request: Request, labelled: LabelMap) -> tuple[dict[str, LabelMap], dict[str, str]]:
    """The label map of a single image, as ``label_maps`` gives it."""
    return {request.name: labelled}, {}


def named(labels: np.ndarray, metadata: Mapping[str, Any], tool: str) -> LabelMap:
    """A label map whose numbers are FreeSurfer's."""
    import numpy as np

    names = {int(n): f"{tool} label {n}" for n in np.unique(labels) if n}
    return LabelMap(labels, names | {10: "Left-Thalamus", 49: "Right-Thalamus"}, metadata)


def _first(folder: Path, name: str) -> Path | None:
    """The first file of this name or pattern."""
    return next((path for path in sorted(folder.glob(name)) if path.is_file()), None)
