"""A head of known R1, R2*, proton density and MT saturation, and the images that a scanner would make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.files import write_json
from thalbids.image.grids import resample_to
from thalbids.image.io import save_image
from thalbids.qmri.models.flash import Weighting, ernst

PAPER_TIMES = tuple(0.00246 * k for k in range(1, 7))  # s (paper, 2.4: six echoes from 2.46 to 14.78 ms)
PAPER_PROTOCOL: Mapping[str, Weighting] = {  # paper, 2.4: repetition times; flip angles as in Cooper et al. 2020
    "PDw": Weighting(4.0, 0.018),
    "T1w": Weighting(25.0, 0.018),
    "MTw": Weighting(5.0, 0.037),
}


@dataclass(frozen=True)
class Tissue:
    """R1 and R2* in 1/s, proton density in percent of water, share of the magnetisation that an MT pulse takes."""

    r1: float
    r2star: float
    density: float
    saturation: float


TISSUES: Mapping[str, Tissue] = {  # 3 T (Weiskopf et al. 2013)
    "fluid": Tissue(0.25, 2.0, 100.0, 0.0),
    "grey": Tissue(0.65, 16.0, 81.0, 0.008),
    "white": Tissue(1.0, 21.0, 69.0, 0.017),
    "thalamus": Tissue(0.82, 22.0, 76.0, 0.012),
    "scalp": Tissue(1.5, 30.0, 60.0, 0.005),
}
FLIP_ENTITIES = {"PDw": ("1", "off"), "T1w": ("2", "off"), "MTw": ("1", "on")}  # flip- and mt- of the names
FIELD_ZOOM = 4.0  # mm, of the map of the transmit field (paper, 2.4)
SCALE = 10.0  # of the images, so that they can be stored as they are
LABELS = ("air", "scalp", "fluid", "grey", "white", "thalamus")  # of `head`


@dataclass(frozen=True)
class Properties:
    """Volumes of one shape: R1, R2* (1/s), proton density (percent) and saturation."""

    r1: np.ndarray
    r2star: np.ndarray
    density: np.ndarray
    saturation: np.ndarray


def head(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """A label map (uint8, indices of `LABELS`) of nested ellipsoids around the origin of the world, in mm."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    x = index @ affine[:3, :3].T + affine[:3, 3]

    def within(centre: Sequence[float], radii: Sequence[float]) -> np.ndarray:
        return (((x - centre) / radii) ** 2).sum(axis=-1) < 1

    labels = np.zeros(shape, dtype=np.uint8)
    folds = 3 * np.sin(x[..., 0] / 5) * np.sin(x[..., 1] / 6) * np.sin(x[..., 2] / 5)
    labels[within((0, 0, 0), (82, 100, 88))] = LABELS.index("scalp")
    labels[within((0, 0, 0), (72, 90, 78))] = LABELS.index("fluid")
    labels[within((0, 0, 0), (68, 86, 74))] = LABELS.index("grey")
    radii = np.array([58.0, 76.0, 64.0]) + folds[..., None]
    labels[((x / radii) ** 2).sum(axis=-1) < 1] = LABELS.index("white")
    for side in (-1, 1):
        labels[within((side * 12, 5, 12), (6, 30, 9))] = LABELS.index("fluid")
        labels[within((side * 12, -12, -3), (9, 15, 10))] = LABELS.index("thalamus")
    return labels


def properties_of(labels: np.ndarray) -> Properties:
    """The properties of a label map; air has none."""
    tissues = [Tissue(0.0, 0.0, 0.0, 0.0), *(TISSUES[name] for name in LABELS[1:])]
    return Properties(*(
        np.array([getattr(t, name) for t in tissues], dtype=np.float32)[labels]
        for name in ("r1", "r2star", "density", "saturation")
    ))  # fmt: skip


def mixed(shares: Mapping[str, np.ndarray]) -> Properties:
    """The properties of a mixture: the mean of the tissues' by their shares, 0 where there is none."""
    return Properties(*(
        np.sum([share * np.float32(getattr(TISSUES[tissue], name)) for tissue, share in shares.items()], axis=0)
        for name in ("r1", "r2star", "density", "saturation")
    ))  # fmt: skip


def transmit_field(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """F_T that is high in the middle of the head and low at its edge, as at 3 T."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    x = index @ affine[:3, :3].T + affine[:3, 3]
    field: np.ndarray = 1.12 - 0.32 * ((x / (90, 110, 100)) ** 2).sum(axis=-1) + 0.0006 * x[..., 0]
    return np.clip(field, 0.5, 1.3).astype(np.float32)


def echoes(
    head_there: Properties,
    contrast: Weighting,
    echo_times: Sequence[float],
    transmit: np.ndarray | float = 1.0,
    *,
    mt: bool = False,
    noise: float = 0.0,
    ringing: float = 1.0,
    seed: Sequence[int] = (0,),
) -> list[np.ndarray]:
    """Magnitude images of one contrast, float32.

    Parameters
    ----------
    head_there : the head as it lies during this contrast
    contrast, echo_times : the protocol
    transmit : f_T
    mt : whether an MT pulse is played; its saturation grows with the square of f_T
    noise : standard deviation of real and imaginary part, where the density is in percent
    ringing : share of the frequencies of the first two axes that are measured; below 1 edges ring
    seed : of the noise
    """
    angle = np.deg2rad(contrast.flip_angle) * np.asarray(transmit)
    saturation = head_there.saturation * np.square(transmit) if mt else 0.0
    r1 = np.maximum(head_there.r1, 1e-3)  # air has no signal, by its density
    start = ernst(head_there.density, r1, angle, contrast.repetition_time, saturation)
    rng = np.random.default_rng(list(seed))
    images = []
    for time in echo_times:
        image = truncated(start * np.exp(-time * head_there.r2star), ringing)
        real, imaginary = (noise * rng.standard_normal(image.shape) for _ in range(2))
        images.append(np.hypot(image + real, imaginary).astype(np.float32))
    return images


def truncated(image: np.ndarray, share: float) -> np.ndarray:
    """The image without its highest frequencies along the first two axes."""
    if share >= 1:
        return image
    spectrum = np.fft.fftn(image, axes=(0, 1))
    for axis in (0, 1):
        frequency = np.abs(np.fft.fftfreq(image.shape[axis])) > share / 2
        spectrum[(slice(None),) * axis + (frequency,)] = 0
    return np.real(np.fft.ifftn(spectrum, axes=(0, 1)))


@dataclass(frozen=True)
class Scanner:
    """How a phantom is measured: protocol, noise (as in `echoes`), ringing, and the seed of the noise."""

    protocol: Mapping[str, Weighting]
    echo_times: Sequence[float] = PAPER_TIMES
    noise: float = 0.02
    ringing: float = 1.0
    seed: tuple[int, ...] = (0,)


def write_mpm(
    folder: Path, stem: str, head_during: Callable[[str], Properties], affine: np.ndarray, scanner: Scanner
) -> list[Path]:
    """Multi-parameter mapping of a head and its B1+ map as BIDS files.

    Parameters
    ----------
    folder : of the session, gets ``anat`` and ``fmap``
    stem : ``sub-01_ses-1``
    head_during : the head as it lies during ``PDw``, ``T1w`` and ``MTw``, on the grid of ``affine``
    affine : voxels to RAS+ mm

    Returns
    -------
    The images.
    """
    written = []
    shape = (0, 0, 0)
    for number, (name, contrast) in enumerate(scanner.protocol.items()):
        there = head_during(name)
        shape = there.r1.shape
        flip, mt = FLIP_ENTITIES[name]
        images = echoes(
            there, contrast, scanner.echo_times, transmit_field(shape, affine), mt=mt == "on", noise=scanner.noise,
            ringing=scanner.ringing, seed=(*scanner.seed, number),
        )  # fmt: skip
        for k, (time, image) in enumerate(zip(scanner.echo_times, images, strict=True), start=1):
            path = folder / "anat" / f"{stem}_acq-{name}_echo-{k}_flip-{flip}_mt-{mt}_MPM.nii.gz"
            save_image(SCALE * image, affine, path)
            write_json(path.with_name(path.name.replace(".nii.gz", ".json")), {
                "FlipAngle": contrast.flip_angle,
                "RepetitionTimeExcitation": contrast.repetition_time,
                "EchoTime": time,
                "MTState": mt == "on",
            })  # fmt: skip
            written.append(path)
    return [*written, _write_field(folder / "fmap", stem, shape, affine)]


def _write_field(folder: Path, stem: str, shape: tuple[int, ...], affine: np.ndarray) -> Path:
    """The transmit field in percent on a coarse grid over the same box."""
    step = FIELD_ZOOM / np.linalg.norm(affine[:3, :3], axis=0)
    coarse = tuple(int(np.ceil(n / s)) for n, s in zip(shape, step, strict=True))
    grid = affine @ np.diag([*step, 1.0])
    path = folder / f"{stem}_TB1map.nii.gz"
    save_image(100 * transmit_field((coarse[0], coarse[1], coarse[2]), grid), grid, path)
    write_json(path.with_name(f"{stem}_TB1map.json"), {"Units": "percent"})
    return path


def moved(still: Properties, affine: np.ndarray, matrix: np.ndarray) -> Properties:
    """The head after a rigid motion: ``matrix`` (4, 4) RAS+ mm, from where a point of the head was to where it is."""
    grid = nib.Nifti1Image(np.zeros(still.r1.shape, dtype=np.uint8), affine)
    back = np.linalg.inv(matrix)
    return Properties(*(
        np.asarray(resample_to(nib.Nifti1Image(volume, affine), grid, matrix=back).dataobj)
        for volume in (still.r1, still.r2star, still.density, still.saturation)
    ))  # fmt: skip
