"""MindGlide on T1w, FLAIR and scaled R1: its deep grey matter cut by another method's thalamus (paper, 2.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids import families
from thalbids.errors import ImageError
from thalbids.methods.base import LabelMap, Request, Segmentation
from thalbids.methods.programmed import Programmed, Tool, threads
from thalbids.programs import MindGlideSettings
from thalbids.settings import MethodSettings

if TYPE_CHECKING:
    import nibabel as nib
    import numpy as np

    from thalbids.tools.download import Download
    from thalbids.tools.findings import Finding

PROTOCOL = "MindGlide: deep grey matter (label 3) inside the thalamus of the envelope"
NEAR_WORDS = (
    "Labels of MindGlide in a box around the thalamus of {}, 3 mm wider, 0 elsewhere; of the whole head where those in "
    "the box do not hang together."
)
OWN_MEMORY_GB = 2.5
NAMES = {3: "deep grey matter", 19: "ventral diencephalon"}  # the labels that are told apart here


@dataclass(frozen=True)
class EnvelopeSettings:
    """What is made of MindGlide's labels (how it is run: ``[tools.mindglide]``).

    Attributes
    ----------
    envelope : the method whose thalamus MindGlide's deep grey matter is cut with; ``first`` is the paper's
    """

    envelope: str = field(default="first", metadata={"choices": families.envelopes})


class MindGlide(Programmed):
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
    memory_gb = 8.0  # of its own program: 5.4 on 128 x 160 x 96 voxels, as it keeps what a window used
    version = 1
    sentence = (
        "MindGlide [@goebl2025mindglide] was run on each image; its deep grey matter was restricted to the thalamus of "
        "another method."
    )
    citations: tuple[str, ...] = ("goebl2025mindglide",)

    def tool(self) -> Tool:
        from thalbids.tools import mindglide

        enables = "MindGlide's masks of T1w, FLAIR and R1, and their ensembles (with FIRST or another envelope)"
        return Tool("mindglide", mindglide.check, mindglide.version, "MindGlide", enables, "MIT")

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it: the program and its weights."""
        from thalbids.tools import mindglide
        from thalbids.tools.check import program_check
        from thalbids.tools.findings import Finding, of_check

        table = settings.of(MindGlideSettings)
        enables = self.tool().enables
        path = mindglide.checkpoint(table)
        there = path is not None and path.is_file()
        weights = Finding(
            self.shown, "checkpoint", there, where=str(path or ""),
            problem="" if there else f"not at {path or mindglide.fetched_checkpoint().path}.", enables=enables,
            mend="thalbids fetch mindglide", licence="MIT",
        )  # fmt: skip
        if not mindglide.upstream(table):
            usable = mindglide.check(table)
            if there and not usable.ok:
                weights = replace(weights, ok=False, problem=usable.problem, mend=usable.mend)
            engine = Finding(self.shown, "engine", True, mindglide.version(table) or "", enables=enables)
            return [engine, weights]
        program = program_check(self.shown, mindglide.runner(table), mindglide.PROGRAM, "thalbids setup mindglide")
        said = of_check(
            self.shown, "mindglide", program.problem, program.mend, program.where, lambda: mindglide.version(table),
            enables, "MIT",
        )  # fmt: skip
        return [said, weights]

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
        told |= {"engine": "thalbids" if self.within(settings) else "upstream"}
        return {"MindGlide": {"envelope": settings.of(EnvelopeSettings).envelope} | told}

    def gpu(self, settings: MethodSettings) -> bool:
        from thalbids.tools.runner import takes_gpu

        return not self.within(settings) and takes_gpu(settings.of(MindGlideSettings).device)

    def memory(self, settings: MethodSettings) -> float:
        return OWN_MEMORY_GB if self.within(settings) else self.memory_gb

    def maps_build_on(self, settings: MethodSettings) -> tuple[str, ...]:
        return self.builds_on(settings) if self._near(settings) else ()

    def within(self, settings: MethodSettings) -> bool:
        from thalbids.tools import mindglide

        return not mindglide.upstream(settings.of(MindGlideSettings))

    def _near(self, settings: MethodSettings) -> bool:
        """Whether labels are made near the envelope only."""
        return self.within(settings) and settings.of(MindGlideSettings).extent == "envelope"

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
            **({"Extent": program.extent, "Precision": settings.run.precision} if self.within(settings) else {}),
        }

    def label_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools import mindglide

        first = next(iter(requests.values()))
        images = {name: request.image for name, request in requests.items()}
        names = {n: NAMES.get(n, f"MindGlide label {n}") for n in range(1, mindglide.N_LABELS)}
        metadata = {key: value for key, value in first.params.items() if key != "Envelope"}
        if not self.within(first.settings):
            result = mindglide.segment(images, first.workdir, first.settings.of(MindGlideSettings), threads=threads())
            return {name: LabelMap(labels, names, metadata) for name, labels in result.labels.items()}, result.failed
        around = None
        if self._near(first.settings):
            family = first.params["Envelope"]
            around = _around(first.masks[family], first.image.affine, family)
            metadata |= {"Description": NEAR_WORDS.format(family), "Envelope": family}
        labelled, failed = own_labels(images, first.settings, around)
        return {name: LabelMap(labels, names, metadata) for name, labels in labelled.items()}, failed

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
        kept = ("Weights", "Reorient", "KeepLargest", "Extent", "Precision")
        metadata = {"Protocol": PROTOCOL, "Envelope": family} | {k: request.told[k] for k in kept if k in request.told}
        metadata["EnvelopeDependence"] = {"Family": family, **envelope.dependence(grey, outer, request.image.affine)}
        return Segmentation(labels, request.image.affine, metadata=metadata)


def own_labels(
    images: Mapping[str, nib.Nifti1Image], settings: MethodSettings, around: np.ndarray | None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Labels of images by the network in thalbids, and why there are none of the others.

    Parameters
    ----------
    images : by name, on one grid
    around : boolean on that grid, where labels are needed; None: everywhere

    Raises
    ------
    MissingToolError
        The checkpoint cannot be used.
    ImageError
        There are labels of no image.
    """
    from thalbids.inference import mindglide as network
    from thalbids.tools import mindglide

    program = settings.of(MindGlideSettings)
    mindglide.check(program).require()
    path = mindglide.checkpoint(program)
    assert path is not None  # the check saw to it
    net = network.load(path, path.stat().st_mtime_ns, settings.run.precision, threads())
    labelled: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    for name, image in images.items():
        try:
            labels = network.segment(
                image, net, around=around, reorient=program.reorient, keep_largest=program.keep_largest
            )
            if not (labels == mindglide.DEEP_GREY_MATTER).any():
                where = "" if around is None else " near the envelope"
                raise ImageError(f"MindGlide found no deep grey matter (label {mindglide.DEEP_GREY_MATTER}){where}.")
            labelled[name] = labels
        except ImageError as error:
            failed[name] = str(error)
    net.rest()
    if not labelled:
        raise ImageError(f"MindGlide segmented none of {len(images)} images: {next(iter(failed.values()))}")
    return labelled, failed


def _around(outer: np.ndarray, affine: np.ndarray, family: str) -> np.ndarray:
    from thalbids.methods import envelope

    if not outer.any():
        raise ImageError(f"the thalamus of {family} is empty, so that nothing can be cut with it.")
    return envelope.near(outer > 0, affine)


@cache
def _checksum(path: Path, changed_ns: int) -> str:
    """SHA-256 of the weights, read once a process unless they change (``changed_ns``)."""
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
