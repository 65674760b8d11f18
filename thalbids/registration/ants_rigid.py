"""Rigid registration by ANTs (Tustison 2021; paper, 2.5.2, third strategy) through its Python wheel ``antspyx``.

ANTs runs in a process of its own with one thread. With two threads the same call gives another result each time (the
sum of the threads' histograms depends on their order), and the number of threads can no longer be set once ITK has run
in a process. That process also keeps its memory, and its crash, to itself.
"""

from __future__ import annotations

import functools
import io
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import MissingToolError, RegistrationError
from thalbids.image.grids import zooms
from thalbids.registration.transforms import from_centred, nearest_rigid, ras_from_lps
from thalbids.scratch import scratch

WORKING_ZOOM_MM = 2.0
CLIP_PERCENT = (0.5, 99.5)
_WORKER = Path(__file__).with_name("_ants_process.py")
_TIMEOUT_S = 1800
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class AntsRigid:
    """Six degrees of freedom, Mattes mutual information, multi-resolution (8, 4 and 2 mm).

    Both images are averaged over blocks of voxels to about 2 mm first (2 x 2 x 2 voxels of a 1 mm scan, 2 x 2 x 1 of
    one with thick slices): a fifth to a seventh of the processor time, and 0.03 mm (1 mm scans) or 0.3 mm (0.9 x 0.9 x
    3 mm) from the result without it (docs/registration.md). Intensities are clipped at the percentiles 0.5 and 99.5, or
    a few bright voxels would squeeze the rest into one of the 32 bins.

    Attributes
    ----------
    name, group, interpolation, cutoff : see :class:`~thalbids.registration.strategies.Strategy`
    start : ``identity`` trusts the scanner's coordinates, as the paper does; ``centre`` brings the centres of mass
    together first,
        for images without common coordinates
    working_zoom : voxel size (mm) to which both images are averaged
    levels : ``2 mm`` as told above; ``default``: ANTs' own for rigid registration, on the images as they are (shrink
        factors 6, 4, 2, 1), which is what the paper names, and takes minutes
    """

    name: str = "ants"
    group: str = "ants"
    interpolation: str = "linear"
    cutoff: float = 0.25  # paper: 0.30; with our definition of the metric a right pair has 0.296 (docs/registration.md)
    start: str = "identity"
    working_zoom: float = WORKING_ZOOM_MM
    levels: str = "2 mm"

    @property
    def software(self) -> str:
        """Name and version of the wheel."""
        return ants_version()

    def estimate(
        self, fixed: nib.Nifti1Image, moving: nib.Nifti1Image, mask: nib.Nifti1Image | None, seed: int
    ) -> np.ndarray:
        """See :class:`~thalbids.registration.strategies.Strategy`; the whole images count, the mask is not used."""
        del mask
        small = {"fixed": fixed, "moving": moving}
        if self.levels != "default":
            small = {role: reduced(image, self.working_zoom) for role, image in small.items()}
        start = np.eye(4)
        if self.start == "centre":
            start[:3, 3] = centre_of_mass(small["moving"]) - centre_of_mass(small["fixed"])
        # the start is applied to the moving image's coordinates, ANTs itself always starts at identity
        small["moving"] = nib.Nifti1Image(
            small["moving"].get_fdata(dtype=np.float32), np.linalg.inv(start) @ small["moving"].affine
        )
        answer = run_ants(ants_job(small, seed, "rigid default" if self.levels == "default" else "rigid"))
        transform = from_centred(np.array(answer["parameters"]), np.array(answer["centre"]))
        if not np.isfinite(transform).all():
            raise RegistrationError("ANTs returned a transform that is not finite.")
        return start @ nearest_rigid(ras_from_lps(transform))


@functools.cache
def ants_version() -> str:
    """Name and version of the wheel; MissingToolError when it is not installed."""
    try:
        return f"antspyx {metadata.version('antspyx')}"
    except metadata.PackageNotFoundError as error:
        raise MissingToolError(
            "The Python package antspyx is not installed.", "Install it: pip install antspyx."
        ) from error


def block_mean(img: nib.Nifti1Image, zoom: float) -> nib.Nifti1Image:
    """Average blocks of whole voxels so that voxels are about ``zoom`` mm along each axis; axes that are coarser stay.

    The affine follows exactly; voxels at the upper ends that fill no block are left out. float32.
    """
    size = [max(1, int(np.floor(zoom / edge + 0.25))) for edge in zooms(img.affine)]
    size = [min(s, n) for s, n in zip(size, img.shape, strict=True)]
    blocks = [n // s for n, s in zip(img.shape, size, strict=True)]
    data = img.get_fdata(dtype=np.float32)[tuple(slice(n * s) for n, s in zip(blocks, size, strict=True))]
    for axis, s in enumerate(size):  # an axis at a time: a quarter of the time of a mean over all three
        layers = [data[(slice(None),) * axis + (slice(k, None, s),)] for k in range(s)]
        data = layers[0] if s == 1 else sum(layers[1:], layers[0].astype(np.float64))
    data = data / math.prod(size)
    affine = img.affine @ np.diag([*size, 1.0])
    affine[:3, 3] = (img.affine @ [*((s - 1) / 2 for s in size), 1.0])[:3]
    return nib.Nifti1Image(data.astype(np.float32), affine)


def reduced(img: nib.Nifti1Image, zoom: float) -> nib.Nifti1Image:
    """Averaged over blocks, and clipped; 0 stays 0, as around a brain-extracted image."""
    small = block_mean(img, zoom)
    data = small.get_fdata(dtype=np.float32)
    empty = data == 0
    low, high = np.percentile(data if empty.all() else data[~empty], CLIP_PERCENT)
    clipped = np.clip(data, np.float32(low), np.float32(high))
    clipped[empty] = 0
    return nib.Nifti1Image(clipped, small.affine)


def centre_of_mass(img: nib.Nifti1Image) -> np.ndarray:
    """RAS+ mm of the centre of the intensities above 0."""
    weight = np.maximum(img.get_fdata(dtype=np.float32), 0).astype(np.float64)
    total = weight.sum()
    if total <= 0:
        raise RegistrationError("An image has no positive intensity.")
    index = [
        float((weight.sum(axis=tuple(a for a in range(3) if a != axis)) * np.arange(n)).sum() / total)
        for axis, n in enumerate(weight.shape)
    ]
    return np.asarray((img.affine @ [*index, 1.0])[:3])


def ants_job(images: dict[str, nib.Nifti1Image], seed: int, kind: str = "rigid", output: Path | None = None) -> bytes:
    """Everything the process needs, as the bytes of an ``.npz``: ``fixed`` and ``moving`` image, and what to do."""
    content: dict[str, np.ndarray] = {
        "seed": np.array(seed), "kind": np.array(kind), "output": np.array(str(output or "")),
    }  # fmt: skip
    for role, img in images.items():
        lps = _RAS_TO_LPS @ img.affine
        spacing = np.array(zooms(img.affine))
        content[role] = img.get_fdata(dtype=np.float32)
        content[f"{role}_origin"] = lps[:3, 3]
        content[f"{role}_spacing"] = spacing
        content[f"{role}_direction"] = lps[:3, :3] / spacing
    buffer = io.BytesIO()
    np.savez(buffer, **content)  # type: ignore[arg-type]
    return buffer.getvalue()


def run_ants(job: bytes) -> dict[str, list[float]]:
    """Run ANTs in a process of its own, with one thread, so that the result is always the same.

    Raises
    ------
    RegistrationError
        ANTs failed, was killed or took too long.
    MissingToolError
        antspyx is not installed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "ANTS_RANDOM_SEED"}
    environment |= {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        with scratch("ants") as folder:
            done = subprocess.run(
                [sys.executable, "-P", str(_WORKER)],
                input=job,
                capture_output=True,
                env=environment | {"TMPDIR": str(folder)},
                timeout=_TIMEOUT_S,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise RegistrationError(f"ANTs was stopped after {_TIMEOUT_S / 60:.0f} minutes.") from error
    lines = done.stdout.decode(errors="replace").splitlines()
    said = [line.strip() for line in (*lines, *done.stderr.decode(errors="replace").splitlines()) if line.strip()]
    if done.returncode == 0 and lines and lines[-1].startswith("{"):
        answer: dict[str, list[float]] = json.loads(lines[-1])
        return answer
    if any("No module named 'ants'" in line for line in said):
        raise MissingToolError("The Python package antspyx is not installed.", "Install it: pip install antspyx.")
    how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else "failed"
    raise RegistrationError(f"ANTs {how}: {_cause(said)}")


def _cause(said: list[str]) -> str:
    """The line of ITK's or Python's complaint that says why."""
    telling = [line for line in said if "rror" in line or "xception" in line or "outside" in line]
    return (telling or said or ["it said nothing"])[-1][:300]
