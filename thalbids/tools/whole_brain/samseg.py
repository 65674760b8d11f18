"""SAMSEG (Puonti et al. 2016): a whole head in 44 structures by a deformable atlas and an intensity model.

PyPI ``samseg`` 0.4a0 or FreeSurfer's ``run_samseg``. Images of one session lie on one grid. Results of earlier runs and
of FreeSurfer 7 and 8 are read by the same functions.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError
from thalbids.image.grids import resample_to, shared, upright
from thalbids.image.io import load_image, load_labels, save_image
from thalbids.image.orientation import is_rotation_and_zooms
from thalbids.programs import SamsegSettings
from thalbids.tools import environments
from thalbids.tools.check import Check, package_version, program_check
from thalbids.tools.runner import Command, Runner, ToolError, runner_of, with_limit

NAME = "SAMSEG"
PROGRAM, LONGITUDINAL = "run_samseg", "run_samseg_long"
LEFT, RIGHT, LESION = 10, 49, 99
SIDES = ("Left-Thalamus", "Right-Thalamus")
IMAGE = "mode01_bias_corrected.mgz"
_MEASURE = re.compile(r"^# Measure ([\w-]+), ([0-9.eE+-]+), mm\^3", re.MULTILINE)
_ROW = re.compile(r"^\s*\d+\s+(\d+)\s+\S+\s+\S+\s+(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class SamsegResults:
    """What SAMSEG found in one session, on the grid of the T1w.

    Attributes
    ----------
    labels : int32 (x, y, z), numbers of FreeSurfer
    names : of the labels, as far as the results tell
    probability : float32 of either thalamus; None where no posteriors were kept
    icv_mm3 : its intracranial volume (sbtiv); None where the results have none
    soft_mm3 : volumes of the thalami (10, 49) from posteriors, as SAMSEG tells them
    """

    labels: np.ndarray
    names: Mapping[int, str]
    probability: np.ndarray | None
    icv_mm3: float | None
    soft_mm3: Mapping[int, float]

    @property
    def lesions(self) -> np.ndarray:
        """uint8 mask of white-matter lesions."""
        return (self.labels == LESION).astype(np.uint8)


def runner(settings: SamsegSettings, program: str = PROGRAM) -> Runner:
    """The runner of SAMSEG; of its other programs the one beside."""
    settings = environments.settled(settings, "samseg-lesion", "samseg")
    command = settings.command
    if command and program != PROGRAM:
        last = Path(command[-1]).with_name(program) if "/" in command[-1] else program
        command = (*command[:-1], str(last))
    return runner_of(replace(settings, command=command))


def check(settings: SamsegSettings, program: str = PROGRAM) -> Check:
    """Tell whether SAMSEG can run here; reading results that exist needs nothing of this."""
    mend = "Make it an environment of its own: thalbids setup samseg"
    checked = program_check(NAME, runner(settings, program), program, mend)
    if not checked.ok or not settings.lesion or _has_tensorflow(settings):
        return checked
    problem = "[tools.samseg] lesion needs TensorFlow in SAMSEG's environment, and it is not there."
    return Check(NAME, problem, "Make one that has it: thalbids setup samseg-lesion", checked.where)


def version(settings: SamsegSettings) -> str | None:
    """``SAMSEG 0.4a0``; None when it cannot be told (FreeSurfer's own)."""
    package = package_version(runner(settings), PROGRAM, "samseg")
    return None if package is None else f"{NAME} {package}"


def separate(settings: SamsegSettings, images: Sequence[str]) -> bool:
    """Whether the pallidum is kept apart from the white matter."""
    if settings.pallidum_separate == "auto":
        return bool({"FLAIR", "T2w"} & set(images))
    return settings.pallidum_separate == "yes"


def options(settings: SamsegSettings, images: Sequence[str], threads: int) -> list[str]:
    """What both programs are told: posteriors of the thalami, and what depends on the images."""
    words = ["--threads", str(threads), "--save-posteriors", *SIDES]
    words += ["--pallidum-separate"] if separate(settings, images) else []
    if settings.lesion:
        # lesions are brighter than grey matter on FLAIR and T2w; elsewhere nothing is asked of them
        words += ["--lesion", "--lesion-mask-pattern", *("1" if i in ("FLAIR", "T2w") else "0" for i in images)]
    return [*words, *settings.options]


def environment(settings: SamsegSettings, threads: int) -> dict[str, str]:
    """Variables that hold TensorFlow, which samples lesions, to the threads of the step: it would take every core."""
    if not settings.lesion:
        return {}
    return {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}


def command(work: Path, images: Sequence[str], settings: SamsegSettings, *, threads: int = 1) -> Command:
    """``run_samseg`` on ``work/IMAGE.nii.gz`` into ``work/out``."""
    files = [work / f"{name}.nii.gz" for name in images]
    out = work / "out"
    return with_limit(
        Command(
            tool=NAME,
            argv=(PROGRAM, "-i", *map(str, files), "-o", str(out), *options(settings, images, threads)),
            cwd=work,
            env=environment(settings, threads),
            reads=tuple(files),
            writes=(out,),
            expects=(out / "seg.mgz", out / "sbtiv.stats", out / "samseg.stats"),
            threads=threads,
        ),
        settings,
    )


def segment(
    images: Mapping[str, nib.Nifti1Image],
    work: Path,
    settings: SamsegSettings,
    *,
    threads: int = 1,
    runs: Runner | None = None,
) -> SamsegResults:
    """Run SAMSEG on the images of a session, the T1w first, all on one grid.

    Parameters
    ----------
    work : a folder for its files; ``out`` in it is emptied
    runs : in place of the settings' runner

    Raises
    ------
    ToolError
        It failed, or a side of the thalamus is missing.
    """
    shutil.rmtree(work / "out", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        write(image, work / f"{name}.nii.gz")
    (runs or runner(settings)).run(command(work, tuple(images), settings, threads=threads))
    return read(work / "out", next(iter(images.values())))


def command_long(
    work: Path, visits: Sequence[str], images: Sequence[str], settings: SamsegSettings, *, threads: int = 1
) -> Command:
    """``run_samseg_long`` on ``work/VISIT/IMAGE.nii.gz`` of all visits, which lie on one grid, into ``work/out``."""
    out = work / "out"
    points: list[str] = []
    for visit in visits:
        points += ["-t", *(str(work / visit / f"{name}.nii.gz") for name in images)]
    folders = [out / f"tp{number:03d}" for number in range(1, len(visits) + 1)]
    call = Command(
        tool=f"{NAME} longitudinal",
        argv=(LONGITUDINAL, *points, "-o", str(out), *options(settings, images, threads)),
        cwd=work,
        env=environment(settings, threads),
        reads=tuple(work / visit for visit in visits),
        writes=(out,),
        expects=tuple(folder / name for folder in folders for name in ("seg.mgz", "samseg.stats")),
        threads=threads,
    )
    return replace(call, timeout_s=60 * settings.timeout_minutes * (len(visits) + 1))  # the base is one more


def segment_long(
    visits: Mapping[str, Mapping[str, nib.Nifti1Image]], matrices: Mapping[str, np.ndarray], work: Path,
    settings: SamsegSettings, *, threads: int = 1, runs: Runner | None = None,
) -> tuple[dict[str, SamsegResults], dict[str, str]]:  # fmt: skip
    """Run SAMSEG on several visits of a person together.

    Every image is resampled once (cubic) onto one grid of 1 mm in the space between the visits, over what all of them
    show there: SAMSEG leaves out what one does not. Labels come back to each T1w by nearest neighbour, posteriors
    linearly.

    Parameters
    ----------
    visits : name -> images of the visit, the T1w first; all visits have the same images
    matrices : name -> (4, 4) RAS+ mm of the space between the visits to that of the visit
    work : a folder for its files

    Returns
    -------
    Results by visit, each on the grid of its T1w, and per visit without one the reason.

    Raises
    ------
    ToolError
        It failed for all.
    """
    shutil.rmtree(work / "out", ignore_errors=True)
    first = next(iter(visits.values()))
    grid = shared([next(iter(images.values())) for images in visits.values()], [matrices[visit] for visit in visits])
    for visit, images in visits.items():
        (work / visit).mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            moved = resample_to(image, grid, order=3, matrix=matrices[visit])
            write(
                nib.Nifti1Image(np.maximum(np.asarray(moved.dataobj), 0), grid.affine), work / visit / f"{name}.nii.gz"
            )
    call = command_long(work, tuple(visits), tuple(first), settings, threads=threads)
    (runs or runner(settings, LONGITUDINAL)).run(call)
    results, failed = {}, {}
    for number, (visit, images) in enumerate(visits.items(), 1):
        reference = next(iter(images.values()))
        try:
            results[visit] = read(work / "out" / f"tp{number:03d}", reference, np.linalg.inv(matrices[visit]))
        except ToolError as error:
            failed[visit] = error.problem
    if not results:
        raise ToolError(
            f"{NAME} longitudinal gave no visit a result: {next(iter(failed.values()))}", path=call.log_file
        )
    return results, failed


def write(image: nib.Nifti1Image, path: Path) -> None:
    """An image as SAMSEG can read it: numbers only, and a geometry that a qform can express."""
    if not is_rotation_and_zooms(image.affine):
        image = resample_to(image, upright(image), order=1)
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32), nan=0, posinf=0, neginf=0)
    save_image(data, image.affine, path)


def read(folder: Path, reference: nib.Nifti1Image, matrix: np.ndarray | None = None) -> SamsegResults:
    """The results in a folder, brought to the grid of a T1w by nearest neighbour (posteriors linearly).

    ``matrix``: (4, 4) RAS+ mm of the T1w to that of the results; identity when absent.

    Raises
    ------
    ToolError
        ``seg.mgz`` is missing or damaged, or a thalamus does not lie in the T1w.
    """
    path = folder / "seg.mgz"
    if not path.is_file():
        raise ToolError(f"{NAME}'s result has no seg.mgz.", "Run it to its end.", folder)
    moved = on_grid(path, reference, NAME, matrix)
    stats = dict(measures(folder))
    soft = {n: stats[key] for n, side in ((LEFT, SIDES[0]), (RIGHT, SIDES[1])) for key in _called(side) if key in stats}
    return SamsegResults(moved, _names(folder), _posterior(folder, reference, matrix), stats.get("Intra-Cranial"), soft)


def on_grid(path: Path, reference: nib.Nifti1Image, tool: str, matrix: np.ndarray | None = None) -> np.ndarray:
    """A label map with FreeSurfer's numbers on the grid of a T1w of the same world; int32, by nearest neighbour.

    Raises
    ------
    ToolError
        It cannot be read, or its thalami (10, 49) do not lie in the T1w.
    """
    try:
        labels = load_labels(path)
    except ImageError as error:
        raise ToolError(f"{tool}'s {path.name} cannot be read: {error.problem}", error.mend, path) from error
    moved = np.asarray(resample_to(labels, reference, order=0, matrix=matrix).dataobj).astype(np.int32)
    for label, side in ((LEFT, "left"), (RIGHT, "right")):
        if not (moved == label).any():
            problem = f"the {side} thalamus (label {label}) of {tool} lies nowhere in the T1w."
            raise ToolError(problem, "Is it a result of this T1w? Both must share scanner coordinates.", path)
    return moved


def measures(folder: Path) -> Mapping[str, float]:
    """Volumes (mm^3) by structure, ``Intra-Cranial`` among them, of ``samseg.stats`` and ``sbtiv.stats``."""
    volumes: dict[str, float] = {}
    for name in ("samseg.stats", "sbtiv.stats"):
        path = folder / name
        if path.is_file():
            told = _MEASURE.findall(path.read_text(encoding="utf-8", errors="replace"))
            volumes |= {key: float(value) for key, value in told}
    return volumes


def _called(side: str) -> tuple[str, str]:
    return side, f"{side}-Proper"  # FreeSurfer 6 and earlier


def _names(folder: Path) -> dict[int, str]:
    path = folder / "samseg.fs.stats"
    if not path.is_file():
        return {}
    told = _ROW.findall(path.read_text(encoding="utf-8", errors="replace"))
    return {int(label): name for label, name in told}


def _posterior(folder: Path, reference: nib.Nifti1Image, matrix: np.ndarray | None) -> np.ndarray | None:
    """Sum of the posteriors of both thalami; None where one of them was not kept."""
    total = np.zeros(reference.shape[:3], dtype=np.float32)
    for side in SIDES:
        places = (folder / "posteriors" / f"{name}.mgz" for name in _called(side))
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            return None
        try:
            total += np.asarray(resample_to(load_image(path), reference, order=1, matrix=matrix).dataobj)
        except ImageError as error:
            raise ToolError(f"{NAME}'s {path.name} cannot be read: {error.problem}", error.mend, path) from error
    return np.clip(total, 0, 1)


def _has_tensorflow(settings: SamsegSettings) -> bool:
    """Whether the Python of SAMSEG's environment has TensorFlow; in a container it is asked there."""
    return package_version(runner(settings), PROGRAM, "tensorflow-cpu") is not None or (
        package_version(runner(settings), PROGRAM, "tensorflow") is not None
    )
