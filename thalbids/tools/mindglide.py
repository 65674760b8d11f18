"""MindGlide (Goebl et al. 2025; paper, 2.6.2): 20 labels of any contrast; 3 is the deep grey matter.

All images of a session lie in one folder, so that one process loads the model once. A scan that fails does not take the
others along. The checkpoint is always named, or the tool would fetch one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError, MissingToolError
from thalbids.image.grids import same_grid
from thalbids.image.io import load_labels, save_image
from thalbids.inference.mindglide import UPSTREAM, VERSION, check_layout
from thalbids.programs import MindGlideSettings
from thalbids.tools import environments
from thalbids.tools.check import Check, processor_only, program_check, said_version
from thalbids.tools.download import Download
from thalbids.tools.runner import Command, Finished, Runner, ToolError, runner_of, said, takes_gpu, with_limit
from thalbids.tools.weights import cache_folder, here

NAME = "MindGlide"
PROGRAM = "mindglide"
DEEP_GREY_MATTER = 3
N_LABELS = 20
# glibc gives large blocks back to the system and asks for them anew in every window of the network; kept, a window
# takes less time and the process more memory (docs/tools.md)
ALLOCATOR: Mapping[str, str] = MappingProxyType({"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1099511627776"})


@dataclass(frozen=True)
class MindGlides:
    """Result of MindGlide.

    Attributes
    ----------
    labels : per image a uint8 array on its grid, numbers 0 to 19
    failed : per image without a result the reason
    finished : the call; None when it ended with an error after some results
    """

    labels: Mapping[str, np.ndarray]
    failed: Mapping[str, str]
    finished: Finished | None


def runner(settings: MindGlideSettings) -> Runner:
    """The runner of MindGlide."""
    return runner_of(environments.settled(settings, "mindglide"))


def upstream(settings: MindGlideSettings) -> bool:
    """Whether MindGlide's own program computes, and not thalbids itself."""
    if settings.engine != "auto":
        return settings.engine == "upstream"
    if settings.command or settings.runner != "local" or settings.device == "cuda":
        return True
    return takes_gpu(settings.device) and program_check(NAME, runner(settings), PROGRAM, "").ok  # "auto"


def check(settings: MindGlideSettings) -> Check:
    """Tell whether MindGlide can run here, without a download."""
    mend = "Make it an environment of its own: thalbids setup mindglide"
    program = program_check(NAME, runner(settings), PROGRAM, mend) if upstream(settings) else Check(NAME)
    if not program.ok:
        return program
    path = checkpoint(settings)
    if path is None or not path.is_file():
        gone = "no checkpoint is here." if path is None else f"the checkpoint {path} is not there."
        return Check(NAME, gone, "Fetch it: thalbids fetch mindglide", program.where)
    return program if upstream(settings) else _own_check(settings, path, path.stat().st_mtime_ns)


@cache
def _own_check(settings: MindGlideSettings, path: Path, changed_ns: int) -> Check:
    """Whether thalbids itself can compute with a checkpoint; read once a process unless it changes (``changed_ns``)."""
    if takes_gpu(settings.device):
        return processor_only(NAME, "tools.mindglide")
    try:
        check_layout(path)
    except MissingToolError as error:
        return Check(NAME, f"{path}: {error.problem}", error.mend)
    return Check(NAME, where=str(path))


def checkpoint(settings: MindGlideSettings) -> Path | None:
    """The weights: of the settings, of the variable MODEL_PATH, or what ``thalbids fetch`` brought."""
    if settings.checkpoint is not None:
        return settings.checkpoint
    named = os.environ.get("MODEL_PATH")
    if named:
        return Path(named).absolute()
    fetched = fetched_checkpoint()
    return fetched.path if here(fetched) else None


def fetched_checkpoint() -> Download:
    """MindGlide's checkpoint, the one of its versions 1.0 to 1.3.

    Size and checksum are those of the LFS pointer in the repository MS-PINPOINT/mindGlide (commit f5ad869).
    """
    name = "_20240404_conjurer_trained_dice_7733.pt"
    revision = "a1969821c0a4a37ae54f649a9a0c6fd1b8a48e26"
    return Download(
        url=f"https://huggingface.co/MS-PINPOINT/mindglide/resolve/{revision}/{name}",
        path=cache_folder() / "weights" / "mindglide" / f"881e30ef{name}",
        size=123158460,
        sha256="881e30efd9444a25ee70c01d795dd9fb21ac750a48f1ba8070fcd79fb75e76ca",
        licence="MIT",
    )


def version(settings: MindGlideSettings) -> str | None:
    """``MindGlide 1.3.0``, and whose engine computes where that is not its own; None when it cannot be told."""
    if not upstream(settings):
        return f"{NAME} {UPSTREAM}, engine of thalbids {VERSION}"
    text = said_version(runner(settings), (PROGRAM, "--version")) or ""
    match = re.search(r"mindglide (\d\S*)", text)
    return f"{NAME} {match[1]}" if match else None


def command(work: Path, settings: MindGlideSettings, *, threads: int = 1) -> Command:
    """``mindglide`` from the folder ``work/in`` to ``work/out``."""
    model = checkpoint(settings)
    if model is None:
        check(settings).require()
        raise AssertionError("a check without a checkpoint passed")
    argv = [PROGRAM, "-i", str(work / "in"), "-o", str(work / "out"), "--model-path", str(model)]
    argv += ["--device", settings.device]
    argv += [] if settings.reorient else ["--no-reorient"]
    argv += [] if settings.keep_largest else ["--no-klc"]
    return with_limit(
        Command(
            tool=NAME,
            argv=tuple(argv),
            cwd=work,
            env={"HF_HUB_OFFLINE": "1", **ALLOCATOR},
            reads=(model,),
            writes=(work / "in", work / "out"),
            threads=threads,
            gpu=takes_gpu(settings.device),
        ),
        settings,
    )


def segment(
    images: Mapping[str, nib.Nifti1Image], work: Path, settings: MindGlideSettings, *, threads: int = 1,
    runs: Runner | None = None,
) -> MindGlides:  # fmt: skip
    """Run MindGlide on several images of a session at once.

    Parameters
    ----------
    images : 3-D images by name (``T1w``, ``FLAIR``, ``R1map``)
    work : a folder for its files; ``in`` and ``out`` in it are emptied
    runs : in place of the settings' runner

    Raises
    ------
    ToolError
        There is no result at all; with some, the others are in ``failed``.
    """
    for name in ("in", "out"):
        shutil.rmtree(work / name, ignore_errors=True)
        (work / name).mkdir(parents=True)
    for name, image in images.items():
        data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32), nan=0, posinf=0, neginf=0)
        save_image(data, image.affine, work / "in" / f"{name}.nii.gz")
    call = command(work, settings, threads=threads)
    finished, trouble = None, ""
    try:
        finished = (runs or runner(settings)).run(call)
    except ToolError as error:
        trouble = error.problem
        if not any((work / "out").glob("*_seg.nii.gz")):
            raise
    labels: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    reasons = _reasons(call.log_file)
    for name, image in images.items():
        try:
            labels[name] = read(work / "out" / f"{name}_seg.nii.gz", image)
        except ToolError as error:
            failed[name] = reasons.get(f"{name}.nii.gz") or trouble or error.problem
    if not labels:
        first = next(iter(failed.values()))
        raise ToolError(
            f"{NAME} segmented none of {len(images)} images: {first} {said(call.log_file)}", path=call.log_file
        )
    return MindGlides(labels, failed, finished)


def read(path: Path, reference: nib.Nifti1Image) -> np.ndarray:
    """Labels (uint8, 0 to 19) on the grid of ``reference``.

    Raises
    ------
    ToolError
        The file is missing, damaged, on another grid, has other labels, or no deep grey matter.
    """
    if not path.is_file():
        raise ToolError(f"{NAME} did not write {path.name}.", path=path)
    try:
        image = load_labels(path)
    except ImageError as error:
        raise ToolError(f"{NAME} wrote an image that cannot be read: {error.problem}", path=path) from error
    if not same_grid(image, reference):
        raise ToolError(f"{NAME} wrote an image on another grid than that of its input.", path=path)
    labels = np.asarray(image.dataobj)
    if labels.min() < 0 or labels.max() >= N_LABELS:
        raise ToolError(f"{NAME} wrote labels that it does not have ({labels.min()} to {labels.max()}).", path=path)
    if not (labels == DEEP_GREY_MATTER).any():
        raise ToolError(f"{NAME} found no deep grey matter (label {DEEP_GREY_MATTER}).", path=path)
    return labels.astype(np.uint8)


def _reasons(log: Path) -> dict[str, str]:
    """What it said about the single scans that it skipped."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pattern = r"(?:Error processing scan|skipping unreadable NIfTI file): (\S.*)\nReason: (.*)"
    return {Path(matches[1].strip()).name: matches[2].strip()[:300] for matches in re.finditer(pattern, text)}
