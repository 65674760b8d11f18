"""DBSegment: its thalamus (labels 24 - 27, 30, 31) and its brain mask (any label) (paper, 2.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.methods.programmed import Programmed, Tool, asked_once, threads
from thalbids.programs import DbSegmentSettings
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    import numpy as np

NEAR_WORDS = (
    "Labels of DBSegment in a box of 81 mm around the middle of the thalami, 0 elsewhere; of the whole head where a "
    "label of the thalamus touches the sides of the box."
)
OWN_MEMORY_GB = 5.0
FOLD_GB = 0.3  # of each further fold
PROTOCOL = "DBSegment: thalamus with VPL and VIM (labels 24-27, 30, 31)"


class DBSegment(Programmed):
    """See :class:`thalbids.methods.base.Method`."""

    family = "dbsegment"
    shown, single = "DBSegment", True
    code_url = "https://github.com/luxneuroimage/DBSegment"
    relative_volume = 0.67  # median sensitivity / precision (paper, Table 1): 1.05 : 1.57
    colour, dash, marker = "#B9A6FF", "1.5 2.5", "^"
    envelope = True
    brain_mask = "auto"  # the paper's
    device = "tools.dbsegment"
    tables: Mapping[str, type] = {"tools.dbsegment": DbSegmentSettings}
    images: tuple[str, ...] = ("T1w",)
    protocol = PROTOCOL
    memory_gb = 8.0  # of its own program
    version = 1
    sentence = (
        "The thalamus was segmented with DBSegment [@baniasadi2023dbsegment]; its labels thalamus, VPL and VIM were "
        "merged."
    )
    citations: tuple[str, ...] = ("baniasadi2023dbsegment",)

    def tool(self) -> Tool:
        from thalbids.tools import dbsegment

        enables = "DBSegment's masks; the paper's brain mask"
        return Tool("DBSegment", dbsegment.check, dbsegment.version, "DBSegment", enables, "GPL-3")

    def builds_on(self, settings: MethodSettings) -> tuple[str, ...]:
        return ()

    def minutes(self, settings: MethodSettings) -> float | None:
        """Of one scan on one thread; on a GPU nobody measured."""
        from thalbids.tools import dbsegment

        return None if self.gpu(settings) else dbsegment.minutes(settings.of(DbSegmentSettings))

    def shown_settings(self, settings: MethodSettings) -> dict[str, Any]:
        """For the page."""
        program = settings.of(DbSegmentSettings)
        names = ("mode", "folds", "test_time_augmentation")
        told = {"engine": "thalbids" if self.within(settings) else "upstream"}
        return {"DBSegment": {name: getattr(program, name) for name in names} | told}

    def gpu(self, settings: MethodSettings) -> bool:
        from thalbids.tools.runner import takes_gpu

        return not self.within(settings) and takes_gpu(settings.of(DbSegmentSettings).device)

    def memory(self, settings: MethodSettings) -> float:
        from thalbids.tools import dbsegment

        if not self.within(settings):
            return self.memory_gb
        return OWN_MEMORY_GB + FOLD_GB * (len(dbsegment.folds(settings.of(DbSegmentSettings))) - 1)

    def without_brain(self, settings: MethodSettings) -> MethodSettings:
        """The settings where nobody takes the brain mask from its labels: they are made near the thalami alone."""
        program = settings.of(DbSegmentSettings)
        if not self.within(settings) or program.extent != "auto":
            return settings
        others = tuple(table for table in settings.tables if table is not program)
        return replace(settings, tables=(*others, replace(program, extent="thalami")))

    def within(self, settings: MethodSettings) -> bool:
        from thalbids.tools import dbsegment

        return not dbsegment.upstream(settings.of(DbSegmentSettings))

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        from thalbids.tools import dbsegment

        program = settings.of(DbSegmentSettings)
        return {
            "Software": list(self.software(settings)),
            "Mode": program.mode,
            "Folds": list(dbsegment.folds(program)),
            "TestTimeAugmentation": dbsegment.augmented(program),
            "Models": asked_once(dbsegment.models_digest, program),
            **({"Intensities": "as they are"} if program.mode == "paper" else {}),
            **(_of_own(program, settings.run.precision) if self.within(settings) else {}),
        }

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools import dbsegment

        maps = {}
        for name, request in requests.items():
            if self.within(request.settings):
                labels, metadata = own_labels(request)
                maps[name] = LabelMap(labels, dbsegment.LABELS, {**request.params, **metadata})
                continue
            result = dbsegment.segment(
                request.image, request.workdir, request.settings.of(DbSegmentSettings), threads=threads()
            )
            metadata = {**request.params, "WayBack": result.way_back}
            maps[name] = LabelMap(result.labels, dbsegment.LABELS, metadata)
        return maps, {}

    def brain(self, labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """The brain: everything that has a label."""
        inside: np.ndarray = labels > 0
        return inside

    def segment(self, request: Request) -> Segmentation:
        import numpy as np

        from thalbids.tools import dbsegment

        assert request.labels is not None
        left, right = np.isin(request.labels, dbsegment.LEFT), np.isin(request.labels, dbsegment.RIGHT)
        labels = (10 * left + 49 * right).astype(np.uint8)
        kept = ("Mode", "Folds", "TestTimeAugmentation", "Models", "WayBack", "Extent", "Precision")
        metadata = {"Protocol": PROTOCOL} | {key: request.told[key] for key in kept if key in request.told}
        return Segmentation(labels, request.image.affine, metadata=metadata)


def own_labels(request: Request) -> tuple[np.ndarray, dict[str, Any]]:
    """Labels of a T1w by the network in thalbids (uint8, on its grid), and what is told of them.

    Raises
    ------
    MissingToolError
        The models cannot be used.
    ToolError
        A side of the thalamus is missing, or no voxel is above 0.
    """
    import nibabel as nib

    from thalbids.inference import dbsegment as network
    from thalbids.inference import nnunet
    from thalbids.tools import dbsegment

    program = request.settings.of(DbSegmentSettings)
    dbsegment.check(program).require()
    folds = dbsegment.fold_folders(program)
    net = nnunet.load(
        folds, dbsegment.changed_ns(program), request.settings.run.precision, threads(), dbsegment.augmented(program)
    )
    image = request.image
    prepared = dbsegment.readable(image) if program.mode == "paper" else dbsegment.safe_input(image)
    conformed = network.conform(prepared)
    centre = request.centre if program.extent == "thalami" else None
    sides = (dbsegment.LEFT, dbsegment.RIGHT)
    segmented, everything = network.segment(conformed, net, centre, sides, nnunet.largest_only(folds[0].parent))
    net.rest()
    labels = dbsegment.back(nib.Nifti1Image(segmented, conformed.affine), image)
    told = {"Extent": "head"} if everything else {"Extent": "thalami", "Description": NEAR_WORDS}
    return labels, {"WayBack": "header"} | told


def _of_own(program: DbSegmentSettings, precision: str) -> dict[str, Any]:
    """What the result of the network in thalbids depends on besides."""
    return {"Extent": "thalami" if program.extent == "thalami" else "head", "Precision": precision}
