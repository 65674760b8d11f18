"""From the images of an acquisition to maps on the grid of its first image: reading, moving, field, fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.errors import ImageError, ThalbidsError
from thalbids.image.grids import resample_to, same_grid, zooms
from thalbids.image.io import load_image
from thalbids.inference.parts import largest
from thalbids.qmri.acquisition import Acquisition, Part
from thalbids.qmri.fields import Field, Receive
from thalbids.qmri.models import b1, mp2rage
from thalbids.qmri.models.inversion import fit_inversion
from thalbids.qmri.models.mpm import CHUNK, MTW, PDW, T1W, FitOptions, FittedMaps, Weighted, fit_maps
from thalbids.qmri.models.spoiling import chosen_set
from thalbids.qmri.models.vfa import fit_vfa
from thalbids.settings import Qmri
from thalbids.types import InputImage

MOVABLE = ("MPM", "MTS", "VFA")  # kinds whose parts are measured one after the other
ORDERS = {"linear": 1, "spline": 3}
LEAST_COVERED = 0.5  # share of the head that a transmit field must know
WELL_COVERED = 0.98  # less is told
CITATIONS = {
    "MPM": ("ESTATICS, then R1 from two flip angles", "Weiskopf et al. 2014, doi:10.3389/fnins.2014.00278"),
    "MTS": ("R1 from two flip angles", "Helms et al. 2008, doi:10.1002/mrm.21542"),
    "VFA": ("DESPOT1", "Deoni et al. 2003, doi:10.1002/mrm.10407"),
    "MP2RAGE": ("MP2RAGE look-up table", "Marques et al. 2010, doi:10.1016/j.neuroimage.2009.10.002"),
    "UNIT1": ("MP2RAGE look-up table", "Marques et al. 2010, doi:10.1016/j.neuroimage.2009.10.002"),
    "IRT1": ("inversion recovery of magnitudes, RD-NLS-PR", "Barral et al. 2010, doi:10.1002/mrm.22497"),
}


Fit = Callable[[np.ndarray, np.ndarray | float], np.ndarray]  # of signals (n, voxels) and f_T: R1


@dataclass(frozen=True)
class Options:
    """How maps are computed: the settings of ``[qmri]`` that change values.

    Attributes
    ----------
    form : of the signal, see :mod:`thalbids.qmri.models.flash`
    fit : of the decay: ``ols`` or ``weighted``
    spoiling : name of a set of coefficients, or ``none``
    largest_r1, largest_r2star : in 1/s; higher values are set to it
    mt_residual : C of the correction of MTsat for the transmit field
    vfa_fit : ``linear``, ``weighted`` or ``nonlinear``
    inversion_efficiency : of MP2RAGE
    b1_fwhm : in mm, of the smoothing of the transmit field
    receive_fwhm : in mm, of the smoothing of the receive field
    b1_t1 : in s, for stimulated echoes
    interpolation : ``linear`` or ``spline``, of contrasts that are moved
    """

    form: str = "exact"
    fit: str = "weighted"
    spoiling: str = "none"
    largest_r1: float = 2.0
    largest_r2star: float = 200.0
    mt_residual: float = 0.4
    vfa_fit: str = "nonlinear"
    inversion_efficiency: float = mp2rage.EFFICIENCY
    b1_fwhm: float = 8.0
    receive_fwhm: float = 12.0
    b1_t1: float = b1.T1_OF_STE
    interpolation: str = "spline"

    @classmethod
    def of(cls, settings: Qmri) -> Options:
        """The part of the settings."""
        names = {entry.name for entry in fields(cls)} & {entry.name for entry in fields(settings)}
        values = {name: getattr(settings, name) for name in names}
        return cls(**values, b1_fwhm=settings.b1_smoothing_mm, receive_fwhm=settings.receive_smoothing_mm)

    def to_json(self) -> dict[str, object]:
        """For records."""
        return asdict(self)


@dataclass(frozen=True)
class Maps:
    """What came out, on the grid of ``reference``.

    ``values`` and ``errors`` by BIDS suffix (R1map in 1/s, R2starmap in 1/s, PDmap relative, MTsat in percent units),
    undefined voxels 0; ``transmit`` is f_T on the grid, None without; ``described`` says how, for sidecars.
    """

    reference: nib.Nifti1Image
    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    undefined: np.ndarray
    clamped: np.ndarray
    transmit: np.ndarray | None
    described: Mapping[str, object]
    notes: tuple[str, ...] = ()

    @staticmethod
    def described_as(kind: str) -> dict[str, object]:
        """Algorithm and reference, by the keys of BIDS."""
        algorithm, citation = CITATIONS[kind]
        return {"EstimationAlgorithm": algorithm, "EstimationReference": citation}


def expected(acquisition: Acquisition) -> tuple[str, ...]:
    """The suffixes of the maps that an acquisition gives."""
    if acquisition.kind not in ("MPM", "MTS"):
        return ("R1map",)
    decay = ("R2starmap",) if acquisition.kind == "MPM" else ()
    return ("R1map", "PDmap", *decay, *(("MTsat",) if any(p.name == MTW for p in acquisition.parts) else ()))


def reconstruct(
    acquisition: Acquisition,
    transmit: Field | None = None,
    matrices: Mapping[str, np.ndarray] | None = None,
    options: Options | None = None,
    threads: int = 1,
    receive: Receive | None = None,
) -> Maps:
    """The maps of an acquisition.

    Parameters
    ----------
    acquisition : see `thalbids.qmri.acquisition.read_acquisition`
    transmit : the images of the transmit field; None: nominal flip angles are taken for the true ones
    matrices : by the name of a part, (4, 4) RAS+ mm of the reference to RAS+ mm of the part's images; parts without
        one lie as the scanner's coordinates say
    options : None: `Options` as it stands
    threads : for moving images and the fit; the result does not depend on it
    receive : images of the receive field; each contrast is divided by its own

    Raises
    ------
    ImageError, MetadataError
        An image cannot be read, or its values cannot be what its name says.
    UsageError
        The spoiling correction does not fit the data.
    """
    options = options or Options()
    reference = load_image(acquisition.parts[0].images[0].path)
    field_on_grid, field_note = (None, "") if transmit is None else transmit_on(transmit, reference, options)
    notes = [] if transmit is not None or acquisition.kind == "IRT1" else ["R1 is not corrected for B1+: no map."]
    if transmit is not None and field_on_grid is not None:
        notes += _covered(field_on_grid, reference, transmit)
    reader = _PartReader(
        reference, matrices or {}, ORDERS[options.interpolation], threads, receive, options.receive_fwhm
    )
    fitters = {"MPM": _fit_weighted, "MTS": _fit_weighted, "VFA": _fit_angles, "IRT1": _fit_times}
    fitter = fitters.get(acquisition.kind, _fit_mp2rage)
    fitted = fitter(acquisition, reader, field_on_grid, options)
    described = {
        **Maps.described_as(acquisition.kind),
        **_parameters(acquisition, options),
        "B1Plus": field_note or "no B1+ map: the nominal flip angles are taken for the true ones",
    }
    if receive is not None:
        which = "one for all contrasts" if "" in receive.pairs else "each contrast by its own"
        described["ReceiveField"] = (
            f"divided by the sensitivity of the array relative to the body coil (Papp et al. 2016), {which}, "
            f"smoothed by {options.receive_fwhm:g} mm (FWHM)"
        )
    return Maps(
        reference, fitted.values, fitted.errors, fitted.undefined, fitted.clamped, field_on_grid, described,
        (*acquisition.notes, *notes),
    )  # fmt: skip


def _covered(field: np.ndarray, reference: nib.Nifti1Image, transmit: Field) -> list[str]:
    """What there is to say of the part of the head that the field does not know."""
    head = np.asarray(head_mask(reference).dataobj) > 0
    share = float(np.mean(np.isfinite(field[head]))) if head.any() else 1.0
    if share < LEAST_COVERED:
        problem = f"The {transmit.method} images cover {100 * share:.0f} % of the head."
        mend = 'Check their geometry (were they exported from the same session?), or set [qmri] b1 = "none".'
        raise ImageError(problem, mend, transmit.images[0].path)
    told = f"{transmit.method} covers {100 * share:.0f} % of the head; the rest has no R1."
    return [told] if share < WELL_COVERED else []


def _parameters(acquisition: Acquisition, options: Options) -> dict[str, object]:
    """The options that this kind of acquisition looks at."""
    common: dict[str, object] = {"LargestR1": options.largest_r1}
    if acquisition.kind in ("MPM", "MTS"):
        common |= {"SignalForm": options.form, "SpoilingCorrection": options.spoiling}
        if any(part.name == MTW for part in acquisition.parts):
            common["MTsatResidualB1"] = options.mt_residual
    if acquisition.kind == "MPM":
        common |= {"DecayFit": options.fit, "LargestR2star": options.largest_r2star}
    if acquisition.kind == "VFA":
        common["Fit"] = options.vfa_fit
    if acquisition.kind in ("MP2RAGE", "UNIT1"):
        common["InversionEfficiency"] = options.inversion_efficiency
    if acquisition.kind in MOVABLE:
        common["Interpolation"] = options.interpolation
    return common


@dataclass(frozen=True)
class _PartReader:
    """Images on the reference grid."""

    reference: nib.Nifti1Image
    matrices: Mapping[str, np.ndarray]
    order: int
    threads: int
    receive: Receive | None = None
    receive_fwhm: float = 0.0

    def part(self, part: Part) -> list[np.ndarray]:
        """The images of a part, moved as it says, over the receive field that was measured with them."""
        matrix = self.matrices.get(part.name)
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            images = list(pool.map(lambda image: self.image(image, matrix), part.images))
        if self.receive is None:
            return images
        sensitivity = self.sensitivity(part.name, self.receive)
        return [image / sensitivity for image in images]

    def sensitivity(self, part: str, receive: Receive) -> np.ndarray:
        """The receive field of a part where its images are; NaN where it is not known."""
        array, body = (load_image(image.path) for image in receive.of(part))
        if not same_grid(array, body):
            raise ImageError("The RB1COR images differ in their grids.", "Export them again.", receive.of(part)[0].path)
        ratio = b1.receive_ratio(
            np.asarray(array.dataobj), np.asarray(body.dataobj), self.receive_fwhm, zooms(array.affine)
        )
        matrix = self.matrices.get(part) if part in receive.pairs else None
        return _known_on(nib.Nifti1Image(ratio, array.affine), self.reference, matrix)

    def image(self, image: InputImage, matrix: np.ndarray | None = None) -> np.ndarray:
        loaded = load_image(image.path)
        if matrix is None and same_grid(loaded, self.reference):
            return np.asarray(loaded.dataobj, dtype=np.float32)
        moved = resample_to(loaded, self.reference, self.order, matrix=matrix)
        values = np.asarray(moved.dataobj, dtype=np.float32)
        there = np.asarray(loaded.dataobj) > 0
        if image.entities.get("part", "mag") != "mag" or there.all():
            return values
        # 0 is no signal (NaN of the file too): the spline must not make a small one of it
        signal = nib.Nifti1Image(there.astype(np.uint8), loaded.affine)
        measured = np.asarray(resample_to(signal, self.reference, 0, matrix=matrix).dataobj) > 0
        return np.where(measured, values, np.float32(0))


def _fit_weighted(
    acquisition: Acquisition, reader: _PartReader, transmit: np.ndarray | None, options: Options
) -> FittedMaps:
    weighted = {}
    for part in acquisition.parts:
        assert part.contrast is not None
        weighted[part.name] = Weighted(part.contrast, part.times or (0.0,), reader.part(part))
    spoiling = None
    if options.spoiling != "none":
        pd, t1 = weighted[PDW].contrast, weighted[T1W].contrast
        spoiling = chosen_set(options.spoiling, pd, t1, options.form, has_transmit=transmit is not None)
    chosen = FitOptions(
        options.form, options.fit, spoiling, options.mt_residual, options.largest_r1, options.largest_r2star
    )
    head = np.asarray(head_mask(reader.reference).dataobj) > 0
    return fit_maps(weighted, transmit, chosen, head=head, threads=reader.threads)


def _fit_angles(
    acquisition: Acquisition, reader: _PartReader, transmit: np.ndarray | None, options: Options
) -> FittedMaps:
    contrasts = [part.contrast for part in acquisition.parts if part.contrast is not None]
    angles, repetition = [c.flip_angle for c in contrasts], contrasts[0].repetition_time

    def fit(signals: np.ndarray, field: np.ndarray | float) -> np.ndarray:
        return fit_vfa(signals, angles, repetition, field, options.vfa_fit)[0]

    volumes = [volume for part in acquisition.parts for volume in reader.part(part)]
    return _in_parts(volumes, transmit, fit, options)


def _fit_times(
    acquisition: Acquisition, reader: _PartReader, transmit: np.ndarray | None, options: Options
) -> FittedMaps:
    part = acquisition.parts[0]
    return _in_parts(reader.part(part), None, lambda signals, _: fit_inversion(signals, part.times), options)


def _fit_mp2rage(
    acquisition: Acquisition, reader: _PartReader, transmit: np.ndarray | None, options: Options
) -> FittedMaps:
    assert acquisition.protocol is not None
    protocol = mp2rage.Mp2rage(**{**vars(acquisition.protocol), "efficiency": options.inversion_efficiency})
    first = acquisition.parts[0].images[0]
    try:
        if acquisition.kind == "UNIT1":
            unit1 = mp2rage.scaled_unified(reader.image(first))
        else:
            first_image, second_image = (_complex(part, reader) for part in acquisition.parts)
            unit1 = mp2rage.unified(first_image, second_image)
    except ValueError as error:
        mend = 'Write "Units": "rad" into the sidecar of a phase in radians, or export the images again.'
        raise ImageError(f"{acquisition.kind}: {error}.", mend, first.path) from None
    return _finished(mp2rage.look_up_r1(unit1, protocol, transmit), options)


def _complex(part: Part, reader: _PartReader) -> np.ndarray:
    first, second = part.images
    if first.entities.get("part") == "real":
        return mp2rage.from_parts(*reader.part(part))
    magnitude, phase = reader.part(part)
    return mp2rage.as_complex(magnitude, phase, second.metadata.get("Units"))


def _in_parts(volumes: Sequence[np.ndarray], transmit: np.ndarray | None, fit: Fit, options: Options) -> FittedMaps:
    """R1 by a function of (signals, f_T), some voxels at a time."""
    shape = volumes[0].shape
    flat = [volume.reshape(-1) for volume in volumes]
    field = None if transmit is None else transmit.reshape(-1)
    r1 = np.empty(flat[0].size)
    for start in range(0, r1.size, CHUNK // 4):
        part = slice(start, start + CHUNK // 4)
        r1[part] = fit(np.stack([volume[part] for volume in flat]), 1.0 if field is None else field[part])
    return _finished(r1.reshape(shape), options)


def _finished(r1: np.ndarray, options: Options) -> FittedMaps:
    """R1 with undefined voxels 0 and high ones at the largest value."""
    with np.errstate(invalid="ignore"):
        undefined = ~(np.isfinite(r1) & (r1 > 0))
        clamped = ~undefined & (r1 > options.largest_r1)
        values = np.where(undefined, 0, np.minimum(r1, options.largest_r1)).astype(np.float32)
    return FittedMaps({"R1map": values}, {}, undefined, clamped)


def transmit_on(field: Field, reference: nib.Nifti1Image, options: Options) -> tuple[np.ndarray, str]:
    """F_T on a grid (NaN where it is not known), and how it was got, in words.

    It is computed on its own grid, smoothed there, and interpolated linearly by the scanner's coordinates.
    """
    first = load_image(field.images[0].path)
    images = [np.asarray(load_image(image.path).dataobj, dtype=np.float64) for image in field.images]
    if any(image.shape != images[0].shape for image in images):
        raise ImageError(f"The {field.method} images differ in shape.", "Export them again.", field.images[0].path)
    try:
        field_values, unit = _own_field(field, images, options)
    except ThalbidsError as error:
        raise type(error)(error.problem, error.mend, field.images[0].path) from None
    smoothed = b1.smooth(field_values, options.b1_fwhm, zooms(first.affine))
    on_grid = _known_on(nib.Nifti1Image(smoothed, first.affine), reference)
    how = f"{field.method}: {b1.METHODS[field.method]}{unit}; smoothed by {options.b1_fwhm:g} mm (FWHM)"
    return b1.valid(on_grid), how


def _known_on(image: nib.Nifti1Image, reference: nib.Nifti1Image, matrix: np.ndarray | None = None) -> np.ndarray:
    """A field on another grid by linear interpolation of what is known; NaN where less than half is."""
    values = np.asarray(image.dataobj)
    known = np.isfinite(values)
    total, weight = (
        np.asarray(resample_to(nib.Nifti1Image(v.astype(np.float32), image.affine), reference, matrix=matrix).dataobj)
        for v in (np.where(known, values, 0), known)
    )
    return np.divide(total, weight, out=np.full(total.shape, np.nan, dtype=np.float32), where=weight > 0.5)


def _own_field(field: Field, images: Sequence[np.ndarray], options: Options) -> tuple[np.ndarray, str]:
    if field.method == "TB1map":
        values, unit = b1.factor_from_map(images[0], field.images[0].metadata.get("Units"))
        return values, f", in {unit}" if unit == "percent" else ", as a factor"
    if field.method == "TB1AFI":
        assert field.repetition_times is not None
        return b1.from_actual_flip_angle(images[0], images[1], field.repetition_times, field.flip_angles[0]), ""
    if field.method == "TB1DAM":
        return b1.from_double_angle(images[0], images[1], field.flip_angles[0]), ""
    if field.method == "TB1EPI":
        assert field.mixing_time is not None
        pair = images[0::2], images[1::2]
        return b1.from_stimulated_echo(*pair, field.flip_angles, field.mixing_time, options.b1_t1), ""
    return b1.from_turbo_flash(images[0], field.flip_angles[0]), ""


def head_mask(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The head of an image without brain mask: above Otsu's threshold after smoothing, the largest piece, filled."""
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    smoothed = ndimage.gaussian_filter(data, [3.0 / size for size in zooms(image.affine)])
    inside = largest(smoothed > _otsu(smoothed))
    return nib.Nifti1Image(ndimage.binary_fill_holes(inside).astype(np.uint8), image.affine)


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts a histogram of 256 bins best into two classes (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1 + int(np.nanargmax(between))])
