"""DBSegment 0.2.2 (Baniasadi et al. 2023; paper, 2.6.2): deep nuclei, thalamus and a brain mask of a T1w.

thalbids computes it itself (:mod:`thalbids.inference.dbsegment`), or its own program does. The input of that is a
private copy with one geometry in sform and qform, in whole numbers from 0 to 255: the tool conforms it in 8 bits, whose
steps a few bright voxels would make coarse, replaces the sform by the qform whatever its code, writes into its input
folder, and skips an image with NaN without a word. Its result in conformed space shares the world with the scan and
comes back by the header. The mode ``paper`` leaves the intensities as they are, as the study did, and keeps the tool's
own way back, a registration that is not the same twice.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError, MissingToolError
from thalbids.image.grids import resample_to, same_grid, upright
from thalbids.image.io import load_labels, save_image
from thalbids.image.orientation import is_rotation_and_zooms
from thalbids.inference import nnunet
from thalbids.inference.dbsegment import N_LABELS, UPSTREAM, VERSION
from thalbids.programs import DbSegmentSettings
from thalbids.tools import environments
from thalbids.tools.check import Check, package_version, processor_only, program_check
from thalbids.tools.runner import Command, Finished, Runner, ToolError, runner_of, said, takes_gpu, with_limit

NAME = "DBSegment"
PROGRAM = "DBSegment"
LABELS: Mapping[int, str] = MappingProxyType(
    {
        1: "other brain", 2: "caudate L", 3: "caudate R", 4: "GPe L", 5: "GPe R", 6: "GPi L", 7: "GPi R",
        8: "habenula L", 9: "habenula R", 10: "internal capsule L", 11: "internal capsule R", 12: "accumbens L",
        13: "accumbens R", 14: "putamen L", 15: "putamen R", 16: "red nucleus L", 17: "red nucleus R", 18: "SNc L",
        19: "SNc R", 20: "SNr L", 21: "SNr R", 22: "STN L", 23: "STN R", 24: "thalamus L", 25: "thalamus R",
        26: "VPL L", 27: "VPL R", 28: "ventricle L", 29: "ventricle R", 30: "VIM L", 31: "VIM R",
    }
)  # fmt: skip
LEFT, RIGHT = (24, 26, 30), (25, 27, 31)
SHIPPED_FOLDS = (4, 6)
PAPER_FOLDS = (0, 1, 2, 3, 4)
MINUTES_A_PASS = 5.25  # one fold, one mirroring, one thread: 3 - 4 h for the 40 passes of the mode paper
LEAST_LIMIT_MINUTES = 120.0
UPPER_PERCENT = 99.9  # of the positive intensities; becomes 255
_PROBE = 1 << 20  # bytes
_MODEL = "model/nnUNet/3d_fullres/Task054_Mri/nnUNetTrainerV2__nnUNetPlansv2.1"
_DEFAULT_MODELS = Path("/usr/local/share")  # of the tool itself
_ADDRESS = "https://webdav-r3lab.uni.lu/public/deep_brain_seg"
_STEM = "T1w"


@dataclass(frozen=True)
class DbSegmentation:
    """Result of DBSegment.

    Attributes
    ----------
    labels : uint8 array on the grid of the T1w, numbers as in ``LABELS``
    finished : the call
    folds, test_time_augmentation : what the network did
    way_back : ``header`` or ``ants``: how the labels came onto the T1w grid
    """

    labels: np.ndarray
    finished: Finished
    folds: tuple[int, ...]
    test_time_augmentation: bool
    way_back: str

    @property
    def thalamus(self) -> np.ndarray:
        """uint8 array: 10 left, 49 right."""
        sides = 10 * np.isin(self.labels, LEFT) + 49 * np.isin(self.labels, RIGHT)
        return sides.astype(np.uint8)

    @property
    def brain(self) -> np.ndarray:
        """uint8 array: 1 in the brain (any label)."""
        return (self.labels > 0).astype(np.uint8)


def folds(settings: DbSegmentSettings) -> tuple[int, ...]:
    """The folds of the settings, or those of the mode."""
    return settings.folds or (PAPER_FOLDS if settings.mode == "paper" else SHIPPED_FOLDS)


def augmented(settings: DbSegmentSettings) -> bool:
    """Test-time augmentation of the settings, or that of the mode."""
    asked = settings.test_time_augmentation
    return settings.mode == "paper" if asked is None else asked


def passes(settings: DbSegmentSettings) -> int:
    """How often the network looks at the scan: once a fold, with test-time augmentation in eight mirrorings."""
    return len(folds(settings)) * (8 if augmented(settings) else 1)


def minutes(settings: DbSegmentSettings) -> float:
    """What one scan takes on one thread of a processor, by its passes."""
    return passes(settings) * MINUTES_A_PASS


def limit_minutes(settings: DbSegmentSettings) -> float:
    """The time limit: that of the settings, or three times what one thread takes."""
    return settings.timeout_minutes or max(LEAST_LIMIT_MINUTES, 3 * minutes(settings))


def runner(settings: DbSegmentSettings) -> Runner:
    """The runner of DBSegment."""
    return runner_of(environments.settled(settings, "dbsegment"))


def upstream(settings: DbSegmentSettings) -> bool:
    """Whether DBSegment's own program computes, and not thalbids itself."""
    if settings.engine != "auto":
        return settings.engine == "upstream"
    if settings.mode == "paper" or settings.command or settings.runner != "local" or settings.device == "cuda":
        return True
    if not takes_gpu(settings.device) and own_check(settings).ok:
        return False
    return program_check(NAME, runner(settings), PROGRAM, "").ok


def check(settings: DbSegmentSettings) -> Check:
    """Tell whether DBSegment can run here, without a download."""
    if not upstream(settings):
        return own_check(settings)
    mend = "Make it an environment of its own: thalbids setup dbsegment"
    program = program_check(NAME, runner(settings), PROGRAM, mend)
    if not program.ok:
        return program
    if settings.runner != "local" and settings.models is None:
        return program  # the image may hold the models; without network it cannot fetch them
    return _gone(settings, program.where) or program


def own_check(settings: DbSegmentSettings) -> Check:
    """Tell whether thalbids itself can compute with the models."""
    return _gone(settings, "") or _own_check(settings, changed_ns(settings))


def _gone(settings: DbSegmentSettings, where: str) -> Check | None:
    """What is wrong where folds are not here; None where they are."""
    folder = model_folder(settings)
    gone = [path.name.removeprefix("fold_") for path in fold_folders(settings) if not path.is_dir()]
    if not gone:
        return None
    many = "model of the fold" if len(gone) == 1 else "models of the folds"
    verb = "is" if len(gone) == 1 else "are"
    problem = f"the {many} {', '.join(gone)} {verb} not in {folder}."
    mend = (
        f"Unpack {_ADDRESS}/{folder.name}.zip there, so that it holds {_MODEL}/fold_{gone[0]}, and name the folder "
        "above it: [tools.dbsegment] models = ..."
    )
    return Check(NAME, problem, mend, where)


@cache
def _own_check(settings: DbSegmentSettings, changed: tuple[int, ...]) -> Check:
    """Whether thalbids itself can compute with these models; read once a process unless they change."""
    if takes_gpu(settings.device):
        return processor_only(NAME, "tools.dbsegment")
    try:
        nnunet.largest_only(fold_folders(settings)[0].parent)
        for fold in fold_folders(settings):
            classes = nnunet.check_layout(fold).classes
            if classes != N_LABELS:
                problem = f"this network knows {classes} labels with the background, DBSegment's {N_LABELS}."
                raise MissingToolError(problem, "Name the folder of DBSegment's own models.", fold)
    except MissingToolError as error:
        return Check(NAME, f"{error.path}: {error.problem}", error.mend)
    return Check(NAME, where=str(model_folder(settings)))


def fold_folders(settings: DbSegmentSettings) -> tuple[Path, ...]:
    """The folders of the folds."""
    return tuple(model_folder(settings) / _MODEL / f"fold_{fold}" for fold in folds(settings))


def changed_ns(settings: DbSegmentSettings) -> tuple[int, ...]:
    """When the weights and plans of the folds, and what follows prediction, changed last; 0 where there is none."""
    names = (nnunet.WEIGHTS, f"{nnunet.WEIGHTS}.pkl")
    files = [folder / name for folder in fold_folders(settings) for name in names]
    files.append(model_folder(settings) / _MODEL / nnunet.AFTERWARDS)
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in files)


def model_folder(settings: DbSegmentSettings) -> Path:
    """Where the tool looks for the folds: with ``-f`` always in the set of seven, without in that of 4 and 6."""
    root = settings.models or _DEFAULT_MODELS
    small, large = (root / f"deep_brain_seg_model_{count}f" for count in (2, 7))
    if folds(settings) != SHIPPED_FOLDS:
        return large
    return large if large.is_dir() and not small.is_dir() else small


def models_digest(settings: DbSegmentSettings) -> str | None:
    """SHA-256 that tells the models of the folds used from others; None where they are not here (in a container).

    Of each file the name, the size, and a megabyte from its start, middle and end: they have gigabytes, and another
    training changes every weight.
    """
    root = model_folder(settings) / _MODEL
    files = [path for fold in folds(settings) for path in sorted((root / f"fold_{fold}").glob("*")) if path.is_file()]
    if not files:
        return None
    checksum = hashlib.sha256()
    further = [path for path in (root / nnunet.AFTERWARDS,) if path.is_file()]
    for path in [*sorted(root.glob("*.pkl")), *further, *files]:
        size = path.stat().st_size
        checksum.update(f"{path.relative_to(root).as_posix()} {size}\n".encode())
        with path.open("rb") as stream:
            for start in sorted({max(0, min(at, size - _PROBE)) for at in (0, size // 2, size)}):
                stream.seek(start)
                checksum.update(stream.read(_PROBE))
    return checksum.hexdigest()


def version(settings: DbSegmentSettings) -> str | None:
    """``DBSegment 0.2.2``, and whose engine computes where that is not its own; None when it cannot be told."""
    if not upstream(settings):
        return f"{NAME} {UPSTREAM}, engine of thalbids {VERSION}"
    package = package_version(runner(settings), PROGRAM, "DBSegment")
    return None if package is None else f"{NAME} {package}"


def command(work: Path, settings: DbSegmentSettings, *, threads: int = 1) -> Command:
    """``DBSegment`` from ``work/in`` to ``work/out``. It takes any GPU that it sees."""
    gpu = takes_gpu(settings.device)
    source, result = work / "in", work / "out"
    argv = [PROGRAM, "-i", str(source), "-o", str(result)]
    if settings.models is not None:
        argv += ["-mp", str(settings.models)]
    if model_folder(settings).name.endswith("7f"):
        argv += ["-f", *map(str, folds(settings))]
    argv += ["--disable_tta", "False"] if augmented(settings) else []
    argv += ["--num_threads_preprocessing", "1", "--num_threads_nifti_save", "1"]  # processes; there is one scan
    wanted = result / f"{_STEM}.nii.gz" if settings.mode == "paper" else result / "preprocessed_v3" / f"{_STEM}.nii.gz"
    return with_limit(
        Command(
            tool=NAME,
            argv=tuple(argv),
            cwd=work,
            env={} if gpu else {"CUDA_VISIBLE_DEVICES": ""},
            reads=() if settings.models is None else (settings.models,),
            writes=(source, result),
            expects=(wanted,),
            threads=threads,
            gpu=gpu,
        ),
        replace(settings, timeout_minutes=limit_minutes(settings)),
    )


def segment(
    t1: nib.Nifti1Image, work: Path, settings: DbSegmentSettings, *, threads: int = 1, runs: Runner | None = None
) -> DbSegmentation:
    """Run DBSegment on a T1w of the whole head.

    Parameters
    ----------
    work : a folder for its files; ``in`` and ``out`` in it are emptied
    runs : in place of the settings' runner

    Raises
    ------
    ToolError
        It failed, skipped the image, or a side of the thalamus is missing.
    """
    for name in ("in", "out"):
        shutil.rmtree(work / name, ignore_errors=True)
        (work / name).mkdir(parents=True)
    paper = settings.mode == "paper"
    prepared = readable(t1) if paper else safe_input(t1)
    kind = np.float32 if paper else np.uint8
    save_image(np.asarray(prepared.dataobj), prepared.affine, work / "in" / f"{_STEM}.nii.gz", dtype=kind)
    call = command(work, settings, threads=threads)
    finished = (runs or runner(settings)).run(call)
    labels = _read(call.expects[0], finished.log)
    if paper:
        if not same_grid(labels, prepared):
            raise ToolError(
                f"{NAME} wrote a native result on another grid than that of its input.", path=call.expects[0]
            )
    else:
        _check_conformed(labels, work / "in" / "preprocessed_v3" / f"{_STEM}_0000.nii.gz", call.expects[0])
    on_scan = back(labels, t1, f" {said(finished.log)}", call.expects[0])
    return DbSegmentation(on_scan, finished, folds(settings), augmented(settings), "ants" if paper else "header")


def back(labels: nib.Nifti1Image, t1: nib.Nifti1Image, more: str = "", path: Path | None = None) -> np.ndarray:
    """Labels (uint8) on the grid of the T1w, by the headers, nearest neighbour.

    Raises
    ------
    ToolError
        A side of the thalamus is missing; ``more`` and ``path`` are told with it.
    """
    on_scan = np.asarray(resample_to(labels, t1, order=0).dataobj).astype(np.uint8)
    for side, numbers in (("left", LEFT), ("right", RIGHT)):
        if not np.isin(on_scan, numbers).any():
            raise ToolError(f"{NAME} found no {side} thalamus.{more}", path=path)
    return on_scan


def safe_input(t1: nib.Nifti1Image) -> nib.Nifti1Image:
    """The scan as the tool can take it: 0 to 255 in whole numbers, a geometry that a qform can express.

    0 stays 0, what is below becomes 0, the percentile 99.9 of the positive intensities and all above become 255. A
    sheared grid is resampled linearly to 1 mm along the world's axes over the same box.
    """
    t1 = readable(t1)
    data = np.asarray(t1.dataobj)
    top = float(np.percentile(data[data > 0], UPPER_PERCENT))
    scaled = np.rint(np.clip(data / top, 0, 1) * 255).astype(np.uint8)
    return nib.Nifti1Image(scaled, t1.affine)


def readable(t1: nib.Nifti1Image) -> nib.Nifti1Image:
    """The scan with its own intensities (float32), without NaN, on a grid that a qform can express."""
    if not is_rotation_and_zooms(t1.affine):
        t1 = resample_to(t1, upright(t1), order=1)
    data = np.nan_to_num(np.asarray(t1.dataobj, dtype=np.float32), nan=0, posinf=0, neginf=0)
    if not (data > 0).any():
        raise ToolError(f"{NAME} cannot take this image: no voxel is above 0.")
    return nib.Nifti1Image(data, t1.affine)


def _read(path: Path, log: Path) -> nib.Nifti1Image:
    try:
        labels = load_labels(path)
    except ImageError as error:
        raise ToolError(f"{NAME} wrote an image that cannot be read: {error.problem} {said(log)}", path=path) from error
    unknown = sorted(set(np.unique(np.asarray(labels.dataobj)).tolist()) - {0, *LABELS})
    if unknown:
        raise ToolError(f"{NAME} wrote labels that it does not have: {unknown[:5]}.", path=path)
    return labels


def _check_conformed(labels: nib.Nifti1Image, conformed: Path, path: Path) -> None:
    """The result must lie where the tool's own conformed input lies."""
    if not conformed.is_file():
        return
    if not same_grid(labels, nib.load(conformed)):
        raise ToolError(f"{NAME} wrote a conformed result on another grid than that of its conformed input.", path=path)
