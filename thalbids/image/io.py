"""Read and write images: every doubt about a file is settled here, so that the rest of the package sees plain 3-D
arrays.

A file is read whole (so that the checksum of a ``.gz`` is really checked), recognised by its content and not by its
name, and comes back as a NIfTI image in memory with float32 data and one trustworthy affine.
"""

from __future__ import annotations

import gzip
import io
import logging
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from thalbids.errors import ImageError, OutputError
from thalbids.image.orientation import check_affine, geometry_from_header, is_rotation_and_zooms

MIN_VOXELS = 8  # an image with a shorter axis is a slab, in which no thalamus can be measured
MAX_NONFINITE = 0.5  # above this fraction of NaN and Inf an image is not repaired but refused

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_LEVEL = 3
_NIFTI_HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_SILENT = logging.getLogger("thalbids.image.io.nibabel")  # what nibabel mends is told by our own notes
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def load_image(path: Path | str) -> nib.Nifti1Image:
    """Read an intensity image.

    Parameters
    ----------
    path : a ``.nii``, ``.nii.gz``, ``.mgh`` or ``.mgz`` file of any orientation, byte order and data type

    Returns
    -------
    A 3-D image with float32 data (scaling of the header applied) whose affine maps voxels to RAS+ millimetres; sform
    and qform of its header agree. ``extra["notes"]`` says in words what had to be repaired, ``extra["nonfinite"]``
    counts the NaN and Inf voxels that were set to 0.

    Raises
    ------
    ImageError
        When the file is missing, damaged, not an image of one real-valued volume, has an axis of fewer than 8 voxels,
        is constant, is mostly NaN, or has no usable geometry.
    """
    path = Path(path)
    array, affine, notes = _read(path)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf and is counted as such
        data = np.array(array, dtype=np.float32, order="C")
    bad = ~np.isfinite(data)
    nonfinite = int(bad.sum())
    if nonfinite > MAX_NONFINITE * data.size:
        raise ImageError(
            f"{100 * nonfinite / data.size:.0f} % of the voxels are NaN or infinite.",
            "Set the background to 0 if it was masked with NaN; otherwise export the image again.",
            path,
        )
    if nonfinite:
        data[bad] = 0
        notes = (*notes, f"{nonfinite} NaN or infinite voxels were set to 0")
    if data.min() == data.max():
        raise ImageError(
            f"Every voxel has the value {data.flat[0]:g}.", "Export the image again: it holds no data.", path
        )
    return _image(data, affine, notes, nonfinite)


def load_labels(path: Path | str) -> nib.Nifti1Image:
    """Read a mask or label map, exactly.

    Parameters
    ----------
    path : as in :func:`load_image`

    Returns
    -------
    A 3-D image with int32 data; an empty mask (all 0) is valid. ``extra`` as in :func:`load_image`.

    Raises
    ------
    ImageError
        As in :func:`load_image`, and when a value is not an integer (within 0.001) or does not fit 32 bits.
    """
    path = Path(path)
    array, affine, notes = _read(path)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageError("A label map holds NaN or infinite values.", "Export it again with integer values.", path)
    rounded = array if array.dtype.kind in "biu" else np.rint(array)
    limits = np.iinfo(np.int32)
    if array.dtype.kind == "f" and np.abs(array - rounded).max() > 1e-3:
        raise ImageError(
            "Values are not integers: this is not a mask or label map.", "Give a mask with integer labels.", path
        )
    if float(rounded.min()) < limits.min or float(rounded.max()) > limits.max:
        raise ImageError("A label does not fit into 32 bits.", "Give a mask with smaller labels.", path)
    return _image(rounded.astype(np.int32), affine, notes, 0)


def save_image(
    data: np.ndarray, affine: np.ndarray, path: Path | str, dtype: np.dtype | type | str | None = None
) -> Path:
    """Write a ``.nii.gz`` atomically; the same data always give the same bytes.

    sform (code 1, scanner) holds the affine. The qform is written with code 1 too when it can express the affine
    (rotation and zooms), otherwise with code 0, so that no program reads another geometry. Units are mm.

    Parameters
    ----------
    data : array (x, y, z); bool is written as uint8
    affine : (4, 4) voxel to RAS+ mm
    path : ends in ``.nii.gz``; its folder exists or is made
    dtype : data type on disk; without it bool and integers take the smallest of uint8, int16, int32 and floats take
    float32

    Raises
    ------
    ValueError
        When the values do not fit ``dtype`` (out of range, or fractions into an integer type), or the affine is not
        usable.
    OutputError
        When the file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith(".nii.gz"):
        raise ValueError(f"not a .nii.gz name: {path.name}")
    affine = np.asarray(affine, dtype=np.float64)
    check_affine(affine)
    data = _as_dtype(np.asarray(data), dtype)
    image = nib.Nifti1Image(data, affine)
    _set_geometry(image, affine)
    image.header["descrip"] = b""
    _write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=_GZIP_LEVEL, mtime=0))
    return path


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Array (x, y, z) with scaling applied, affine and notes of a file."""
    raw = _read_bytes(path)
    try:
        header, unchecked = read_header(raw, path)
        shape = _three_dimensions(header.get_data_shape())
        _check_type_and_size(header, len(raw))
        affine, notes = geometry_from_header(unchecked, shape)
        array = np.asarray(header.data_from_fileobj(io.BytesIO(raw))).reshape(shape, order="F")
    except ImageError as error:
        raise ImageError(error.problem, error.mend, path) from error
    except (HeaderDataError, ImageFileError, WrapStructError, OSError, ValueError, KeyError, EOFError) as error:
        raise ImageError(
            f"The header or the data cannot be read ({error}).", "The file is damaged: copy or convert it again.", path
        ) from error
    return array, affine, notes


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ImageError("This is a folder, not an image.", "Name the files in it, such as FOLDER/*.nii.gz.", path)
    if not path.is_file():
        broken = " (a link to a file that is not here)" if path.is_symlink() else ""
        raise ImageError(
            f"The file does not exist{broken}.", "Check the path, or fetch the file (git-annex, DataLad).", path
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}).", "Check its permissions.", path) from error
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, zlib.error, OSError) as error:
        raise ImageError(
            f"The compressed data are cut off or damaged ({error}).", "Copy or convert the file again.", path
        ) from error


def read_header(raw: bytes, path: Path) -> tuple[Any, Any]:
    """The header as nibabel mends it, for the data, and as it is on disk: a zoom of 0 would become 1 without a word."""
    for order in ("little", "big"):
        header_class = _NIFTI_HEADERS.get(int.from_bytes(raw[:4], order))
        if header_class is not None:
            unchecked = header_class.from_fileobj(io.BytesIO(raw), check=False)
            header = unchecked.copy()
            header.check_fix(logger=_SILENT)
            return header, unchecked
    if path.name.endswith((".mgz", ".mgh")) and raw[:4] == b"\x00\x00\x00\x01":
        header = MGHHeader.from_fileobj(io.BytesIO(raw))
        return header, header
    raise ImageError(
        "This is not a NIfTI or MGH image.", "Convert it to .nii.gz (for example with dcm2niix or nibabel)."
    )


def _three_dimensions(shape: Sequence[int]) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in shape)
    volumes = math.prod(shape[3:])
    if volumes != 1:
        raise ImageError(f"The image holds {volumes} volumes, one is needed.", "Extract one volume or average them.")
    if len(shape) < 3 or min(shape[:3]) < MIN_VOXELS:
        size = " x ".join(str(n) for n in shape)
        raise ImageError(
            f"The image is a slab ({size} voxels), at least {MIN_VOXELS} voxels along each axis are needed.",
            "Give a 3-D scan of the head.",
        )
    return shape[0], shape[1], shape[2]


def _check_type_and_size(header: Any, n_bytes: int) -> None:
    dtype = np.dtype(header.get_data_dtype())
    if dtype.names or dtype.kind not in "biuf":
        kind = "colours" if dtype.names else f"values of type {dtype}"
        raise ImageError(f"The image holds {kind}, not real numbers.", "Give a grey-scale magnitude image.")
    expected = int(header.get_data_offset()) + math.prod(map(int, header.get_data_shape())) * dtype.itemsize
    if n_bytes < expected:
        raise ImageError(
            f"The file is cut off: {n_bytes} bytes of {expected} are there.", "Copy or convert the file again."
        )


def _image(data: np.ndarray, affine: np.ndarray, notes: tuple[str, ...], nonfinite: int) -> nib.Nifti1Image:
    image = nib.Nifti1Image(data, affine, extra={"notes": notes, "nonfinite": nonfinite})
    _set_geometry(image, affine)
    return image


def _set_geometry(image: nib.Nifti1Image, affine: np.ndarray) -> None:
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    if is_rotation_and_zooms(affine):
        image.set_qform(affine, code=1)
    else:
        image.set_qform(None, code=0)
        image.header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))


def _as_dtype(data: np.ndarray, dtype: np.dtype | type | str | None) -> np.ndarray:
    if data.ndim != 3:
        raise ValueError(f"3-D data expected, got shape {data.shape}")
    if data.dtype == bool:
        data = data.astype(np.uint8)
    if dtype is None:
        dtype = np.float32 if data.dtype.kind == "f" else _smallest_integer(data)
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if data.dtype.kind == "f" and not (np.isfinite(data).all() and (data == np.rint(data)).all()):
            raise ValueError(f"fractions cannot be written as {dtype}")
        if data.size and (data.min() < limits.min or data.max() > limits.max):
            raise ValueError(f"values {data.min()} to {data.max()} do not fit {dtype}")
    return data.astype(dtype)


def _smallest_integer(data: np.ndarray) -> np.dtype:
    low, high = (int(data.min()), int(data.max())) if data.size else (0, 0)
    for candidate in (np.uint8, np.int16, np.int32):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    raise ValueError(f"values {low} to {high} do not fit 32 bits")


def _write_bytes(path: Path, content: bytes) -> None:
    """Write beside the target, then rename: a kill leaves no half file under the final name."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if path.parent.is_dir() else None
        raise OutputError(
            f"The file cannot be written ({error.strerror}).", "Check that the folder is writable and not full.", path
        ) from error
