"""DBSegment: its thalamus (labels 24 - 27, 30, 31) and its brain mask (any label) (paper, 2.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.methods.tools import Programmed, Tool, asked_once, threads
from thalbids.programs import DbSegmentSettings
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    import numpy as np


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
    memory_gb = 8.0
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
        return {"DBSegment": {name: getattr(program, name) for name in names}}

    def gpu(self, settings: MethodSettings) -> bool:
        from thalbids.tools.runner import takes_gpu

        return takes_gpu(settings.of(DbSegmentSettings).device)

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
        }

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools import dbsegment

        maps = {}
        for name, request in requests.items():
            result = dbsegment.segment(
                request.image, request.workdir, request.settings.of(DbSegmentSettings), threads=threads()
            )
            metadata = {**request.params, "WayBack": result.way_back}
            if result.above_255:
                metadata["IntensitiesAbove255"] = result.above_255
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
        kept = ("Mode", "Folds", "TestTimeAugmentation", "Models", "WayBack", "IntensitiesAbove255")
        metadata = {"Protocol": PROTOCOL} | {key: request.told[key] for key in kept if key in request.told}
        return Segmentation(labels, request.image.affine, metadata=metadata)
