"""From a T1w image to a template: which template, affine or SyN by ANTs, and whether it worked.

Nothing is downloaded here: a template of TemplateFlow is taken from its folder on this machine, any other from a file.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from thalbids.errors import MissingToolError, RegistrationError, UsageError
from thalbids.image.grids import same_grid
from thalbids.image.io import load_image, load_labels
from thalbids.image.overlap import counts, dice
from thalbids.registration.ants_rigid import ants_job, reduced, run_ants
from thalbids.registration.transforms import from_centred, ras_from_lps, write_itk
from thalbids.tools import templates

if TYPE_CHECKING:  # takes as long to import as NumPy, and a run where nothing is to be done needs none of it
    import SimpleITK as sitk

KINDS = ("affine", "syn")
EXTENSION = {"affine": ".txt", "syn": ".h5"}
MIN_DICE = 0.85  # of the brains in template space; real and demo heads reach 0.93 and more, a failed start 0.6
WORKING_ZOOM_MM = 2.0

_IMAGE = re.compile(r"\.(nii|mgh|mgz|hdr|img)(\.gz)?$", re.IGNORECASE)
_NAME = re.compile(r"[0-9A-Za-z]+")
_STRIPPED = 0.4  # a head fills more than this share of a field of view with non-zero voxels, a brain does not
_RAS_LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class TemplateFiles:
    """A template's files.

    Attributes
    ----------
    name : what the ``to-`` entity says, letters and digits
    image : T1w template
    brain : its brain mask; None when there is none
    """

    name: str
    image: Path
    brain: Path | None = None


def find_template(wanted: str) -> TemplateFiles:
    """The template of a name of TemplateFlow (``MNI152NLin2009cAsym``), of a file, or of ``NAME=FILE``.

    Raises
    ------
    MissingToolError
        A template of TemplateFlow is not on this machine; the message has the command that fetches it.
    UsageError
        The file is not there, or gives no name for the ``to-`` entity.
    """
    name, equals, path = wanted.rpartition("=")
    looks_like_file = bool(equals) or "/" in wanted or _IMAGE.search(wanted) is not None
    if looks_like_file:
        return _of_file(Path(path).expanduser(), name.strip())
    files = templates.local(wanted)
    if not files:
        problem = f"the template {wanted} is not on this machine."
        raise MissingToolError(problem, f"Fetch it: thalbids fetch template:{wanted}", templates.folder(wanted))
    return TemplateFiles(wanted, *files)


def estimate(
    t1w: nib.Nifti1Image, brain: nib.Nifti1Image, template: TemplateFiles, kind: str, output: Path, seed: int = 1
) -> dict[str, object]:
    """Register a T1w image to a template and write the transform.

    Both images are cut to their brains where the template's brain is known, and averaged to about 2 mm. The transform
    is ITK's: it maps points of the template to points of the T1w, and so resamples the T1w into the template.

    Parameters
    ----------
    t1w, brain : image and mask on one grid
    kind : one of KINDS
    output : ``.txt`` for affine, ``.h5`` (linear part and displacement field) for SyN

    Returns
    -------
    dict
        ``BrainDice`` (agreement of the brains in template space; None when the template's is not known) and the
        ``TemplateGrid`` (shape and affine).

    Raises
    ------
    RegistrationError
        ANTs found nothing, or the brains do not meet.
    """
    if not same_grid(t1w, brain):
        raise ValueError("the brain mask is not on the grid of the T1w image")
    fixed, fixed_brain = _template_images(template)
    moving = t1w
    if fixed_brain is not None:
        moving = nib.Nifti1Image(np.where(np.asarray(brain.dataobj) > 0, np.asarray(t1w.dataobj), 0), t1w.affine)
    images = {"fixed": reduced(fixed, WORKING_ZOOM_MM), "moving": reduced(moving, WORKING_ZOOM_MM)}
    if kind == "syn":
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".tmp-") as folder:
            written = Path(folder) / "composite.h5"
            run_ants(ants_job(images, seed, kind, written))
            written.replace(output)
    else:
        answer = run_ants(ants_job(images, seed, kind))
        matrix = ras_from_lps(from_centred(np.array(answer["parameters"]), np.array(answer["centre"])))
        if not np.isfinite(matrix).all():
            raise RegistrationError("ANTs returned a transform that is not finite.")
        write_itk(matrix, output)
    agreement = None
    if fixed_brain is not None:
        agreement = _brain_dice(images["fixed"], fixed_brain, brain, output)
        if agreement < MIN_DICE:
            output.unlink()
            reason = f"the brains do not meet in template space (Dice {agreement:.2f}, at least {MIN_DICE} is needed)."
            raise RegistrationError(reason)
    grid = {"Shape": [int(n) for n in fixed.shape], "Affine": [[float(v) for v in row] for row in fixed.affine]}
    return {"BrainDice": agreement, "TemplateGrid": grid}


def read_transform(path: Path) -> sitk.Transform:
    """An ITK transform of any kind, affine text or composite HDF5."""
    import SimpleITK as sitk

    return sitk.ReadTransform(str(path))


def map_points(transform: sitk.Transform, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Where a transform sends the voxel centres of a grid.

    Parameters
    ----------
    transform : from the grid's world to another, in ITK's LPS
    shape, affine : the grid, RAS+ mm; its axes perpendicular

    Returns
    -------
    (n, 3) RAS+ mm, in C order of the grid.
    """
    import SimpleITK as sitk

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = _RAS_LPS[:, None] * affine[:3, :3] / spacing
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, [int(n) for n in shape], (_RAS_LPS * affine[:3, 3]).tolist(),
        spacing.tolist(), direction.ravel().tolist(),
    )  # fmt: skip
    moved = sitk.GetArrayFromImage(field).transpose(2, 1, 0, 3).reshape(-1, 3) * _RAS_LPS
    index = np.indices(shape).reshape(3, -1)
    start: np.ndarray = (affine[:3, :3] @ index + affine[:3, 3:]).T
    return start + moved


def _of_file(path: Path, name: str) -> TemplateFiles:
    if not path.is_file():
        raise UsageError("the template is not there.", "Check the path given to --template.", path)
    match = re.search(r"tpl-([0-9A-Za-z]+)", path.name)
    if not name:
        name = match[1] if match else re.sub(r"[^0-9A-Za-z]", "", path.name.split(".")[0])
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a template.", "Give letters and digits: --template NAME=FILE.", path)
    brain = path.with_name(re.sub(r"_[0-9A-Za-z]+\.nii(\.gz)?$", "_desc-brain_mask.nii.gz", path.name))
    return TemplateFiles(name, path.absolute(), brain.absolute() if brain != path and _there(brain) else None)


def _there(path: Path) -> bool:
    """Whether a file is there and not the empty placeholder of TemplateFlow."""
    return path.is_file() and path.stat().st_size > 0


def _template_images(template: TemplateFiles) -> tuple[nib.Nifti1Image, np.ndarray | None]:
    """The template, cut to its brain where that is known (a mask, or a template that is brain-extracted)."""
    image = load_image(template.image)
    data = np.asarray(image.dataobj)
    if template.brain is not None:
        mask = load_labels(template.brain)
        if not same_grid(image, mask):
            raise UsageError(
                "the brain mask of the template is on another grid.", "Give a matching one.", template.brain
            )
        brain = np.asarray(mask.dataobj) > 0
        return nib.Nifti1Image(np.where(brain, data, 0), image.affine), brain
    if np.mean(data != 0) > _STRIPPED:
        return image, None
    return image, data != 0


def _brain_dice(fixed: nib.Nifti1Image, fixed_brain: np.ndarray, brain: nib.Nifti1Image, transform: Path) -> float:
    """Dice coefficient of the two brains, at the voxels of the averaged template."""
    shape = tuple(int(n) for n in fixed.shape)
    points = map_points(read_transform(transform), (shape[0], shape[1], shape[2]), fixed.affine)
    inverse = np.linalg.inv(brain.affine)
    index = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    inside = ((index >= 0) & (index < brain.shape)).all(axis=1)
    arrived = np.zeros(len(index), dtype=bool)
    arrived[inside] = np.asarray(brain.dataobj)[tuple(index[inside].T)] > 0
    return dice(counts(np.asarray(fixed.dataobj).ravel() > 0, arrived))
