"""MindGlide on T1w, FLAIR and scaled R1: its deep grey matter cut by another method's thalamus (paper, 2.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids import families
from thalbids.errors import ImageError
from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.methods.tools import asked_once, problem_of, software, threads
from thalbids.programs import MindGlideSettings
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    from thalbids.tools.download import Download
    from thalbids.tools.findings import Finding

PROTOCOL = "MindGlide: deep grey matter (label 3) inside the thalamus of the envelope"
NAMES = {3: "deep grey matter", 19: "ventral diencephalon"}  # the labels that are told apart here


@dataclass(frozen=True)
class EnvelopeSettings:
    """What is made of MindGlide's labels (how it is run: ``[tools.mindglide]``).

    Attributes
    ----------
    envelope : the method whose thalamus MindGlide's deep grey matter is cut with; ``first`` is the paper's
    """

    envelope: str = field(default="first", metadata={"choices": families.envelopes})


class MindGlide:
    """See :class:`thalbids.methods.base.Method`."""

    family = "mindglide"
    shown = "MindGlide"
    code_url = "https://github.com/MS-PINPOINT/mindGlide"
    relative_volume = 0.72  # median sensitivity / precision (paper, Table 1), T1w: 1.12 : 1.57
    dash, marker = "5 2.5", "o"
    cut_with = "first"  # the paper's envelope (2.6.2)
    cut_words = "its deep grey matter inside the thalamus of {}"
    device = "tools.mindglide"
    tables: Mapping[str, type] = {"tools.mindglide": MindGlideSettings, "mindglide": EnvelopeSettings}
    download = "weights of MindGlide (123 MB, MIT)"
    images: tuple[str, ...] = ("T1w", "FLAIR", "R1map")
    protocol = PROTOCOL
    memory_gb = 8.0  # 5.4 on 128 x 160 x 96 voxels, as it keeps what a window used
    version = 1
    sentence = (
        "MindGlide [@goebl2025mindglide] was run on each image; its deep grey matter was restricted to the thalamus of "
        "another method."
    )
    citations: tuple[str, ...] = ("goebl2025mindglide",)

    def unavailable(self) -> str | None:
        return self.blocked(MethodSettings())

    def blocked(self, settings: MethodSettings) -> str | None:
        from thalbids.tools import mindglide

        return problem_of(mindglide.check(settings.of(MindGlideSettings)))

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it: the program and its weights."""
        from thalbids.tools import mindglide
        from thalbids.tools.check import program_check
        from thalbids.tools.findings import Finding, of_check

        own = settings.of(MindGlideSettings)
        enables = "MindGlide's masks of T1w, FLAIR and R1, and their ensembles (with FIRST or another envelope)"
        program = program_check(self.shown, mindglide.runner(own), mindglide.PROGRAM, "thalbids setup mindglide")
        path = mindglide.checkpoint(own)
        there = path is not None and path.is_file()
        return [
            of_check(self.shown, "mindglide", program.problem, program.mend, program.where,
                     lambda: mindglide.version(own), enables, "MIT"),
            Finding(self.shown, "checkpoint", there, where=str(path or ""),
                    problem="" if there else f"not at {path or mindglide.fetched_checkpoint().path}.", enables=enables,
                    mend="thalbids fetch mindglide", licence="MIT"),
        ]  # fmt: skip

    def downloads(self) -> tuple[Download, ...]:
        """What ``thalbids fetch mindglide`` brings."""
        from thalbids.tools.mindglide import fetched_checkpoint

        return (fetched_checkpoint(),)

    def builds_on(self, settings: MethodSettings) -> tuple[str, ...]:
        return (settings.of(EnvelopeSettings).envelope,)

    def shown_settings(self, settings: MethodSettings) -> dict[str, Any]:
        """For the page."""
        program = settings.of(MindGlideSettings)
        told = {"device": program.device, "reorient": program.reorient, "keep_largest": program.keep_largest}
        return {"MindGlide": {"envelope": settings.of(EnvelopeSettings).envelope} | told}

    def gpu(self, settings: MethodSettings) -> bool:
        from thalbids.tools.runner import takes_gpu

        return takes_gpu(settings.of(MindGlideSettings).device)

    def software(self, settings: MethodSettings) -> tuple[dict[str, Any], ...]:
        from thalbids.tools import mindglide
        from thalbids.tools.check import container_name

        said = asked_once(mindglide.version, settings.of(MindGlideSettings))
        return software(said, "MindGlide", container_name(settings.of(MindGlideSettings)))

    def params(self, settings: MethodSettings) -> Mapping[str, Any]:
        from thalbids.tools import mindglide

        program = settings.of(MindGlideSettings)
        weights = mindglide.checkpoint(program)
        return {
            "Software": list(self.software(settings)),
            "Weights": None
            if weights is None or not weights.is_file()
            else _checksum(weights, weights.stat().st_mtime_ns),
            "Reorient": program.reorient,
            "KeepLargest": program.keep_largest,
            "Envelope": settings.of(EnvelopeSettings).envelope,
            **({"Device": "cuda"} if self.gpu(settings) else {}),  # may give slightly other masks
        }

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools import mindglide

        first = next(iter(requests.values()))
        images = {name: request.image for name, request in requests.items()}
        result = mindglide.segment(images, first.workdir, first.settings.of(MindGlideSettings), threads=threads())
        names = {n: NAMES.get(n, f"MindGlide label {n}") for n in range(1, mindglide.N_LABELS)}
        metadata = {key: value for key, value in first.params.items() if key != "Envelope"}
        return {name: LabelMap(labels, names, metadata) for name, labels in result.labels.items()}, result.failed

    def segment(self, request: Request) -> Segmentation:
        from thalbids.methods import envelope
        from thalbids.tools import mindglide

        assert request.labels is not None
        family = request.params["Envelope"]
        outer, grey = request.masks[family], request.labels == mindglide.DEEP_GREY_MATTER
        labels = envelope.cut(grey, outer)
        if not labels.any():
            raise ImageError(
                f"no deep grey matter of MindGlide lies in the thalamus of {family}.",
                "Look at both label maps: one of the two is misplaced.",
            )
        kept = ("Weights", "Reorient", "KeepLargest")
        metadata = {"Protocol": PROTOCOL, "Envelope": family} | {k: request.told[k] for k in kept if k in request.told}
        metadata["EnvelopeDependence"] = {"Family": family, **envelope.dependence(grey, outer, request.image.affine)}
        return Segmentation(labels, request.image.affine, metadata=metadata)


@cache
def _checksum(path: Path, changed_ns: int) -> str:
    """SHA-256 of the weights, read once a process unless they change (``changed_ns``)."""
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
