"""Read and write images: every doubt about a file is settled here, so that the rest of the package sees plain 3-D
arrays.

A file is read whole (so that the checksum of a ``.gz`` is really checked), recognised by its content and not by its
name, and comes back as a NIfTI image in memory with float32 data and one trustworthy affine.
"""

from __future__ import annotations

import io
import itertools
import logging
import math
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from thalbids.errors import ImageError, OutputError
from thalbids.image.content import fill_gaps
from thalbids.image.orientation import check_affine, geometry_from_header, is_rotation_and_zooms

MIN_VOXELS = 8  # an image with a shorter axis is a slab, in which no thalamus can be measured
MAX_NAN = 0.97  # above this fraction of NaN an image is refused: a brain fills more, where NaN is what is outside of it
MAX_INFINITE = 0.5  # and above this one of Inf, which no program writes for outside

MAX_VOXELS = 2**29  # a whole head at 0.25 mm has 5.0e8; a header that speaks of more must not fill the memory
MAX_BYTES = 2**31  # of data in the file: that head as float32

_TOO_LARGE = (
    "Where the image is smaller than that, its header is damaged: copy or convert it again. Otherwise resample it to "
    "voxels of 0.5 mm or more."
)
_PAIR = (".hdr", ".img", ".hdr.gz", ".img.gz")
_PAIR_MEND = (
    "Convert it to .nii.gz (for example with mri_convert, fslchfiletype NIFTI_GZ or nibabel's nib-convert); Analyze "
    "does not say where left is: check that in the result."
)
_FIRST_BYTES, _HEAD_BYTES = 2**12, 2**16  # what is read for a header, and where that does not hold it whole
MORE_BYTES = 2**24  # what may follow the data: the tags of MGH files
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK_GZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # SAM specification, 4.1.2
_FINE = 8000  # steps that 16 bits must leave the bright parts of an image: a tenth or less of its noise
_GZIP_LEVEL = 3
_BLOCK = 16  # voxels along x and z that are copied at once
_LONGEST_HEADER = 540  # of NIfTI-2
_PIECES = 2**8, 2**20  # bytes given to zlib at once, from the first piece of a member to later ones
_NIFTI_HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_REAL = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}  # codes of NIfTI: bits
_ZEROS = re.compile(rb"\0*")
DAMAGE = (  # what nibabel, zlib and numpy raise on a damaged file
    HeaderDataError, ImageFileError, WrapStructError, OSError, ValueError, KeyError, OverflowError, EOFError,
    zlib.error,
)  # fmt: skip
_SILENT = logging.getLogger("thalbids.image.io.nibabel")  # what nibabel repairs is told by our own notes
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def load_image(path: Path | str, *, fill: bool = False) -> nib.Nifti1Image:
    """Read an intensity image.

    Parameters
    ----------
    path : a ``.nii``, ``.nii.gz``, ``.mgh`` or ``.mgz`` file of any orientation, byte order and data type
    fill : scattered NaN and Inf voxels get the mean of their neighbours (:func:`thalbids.image.content.fill_gaps`); not
        for maps whose voxels without a value must stay without

    Returns
    -------
    A 3-D image with float32 data (scaling of the header applied) whose affine maps voxels to RAS+ millimetres; sform
    and qform of its header agree. ``extra["notes"]`` says in words what had to be repaired, ``extra["nonfinite"]``
    counts the NaN and Inf voxels, ``extra["filled"]`` holds where they were filled (bool; absent: nowhere); the others
    are 0.

    Raises
    ------
    ImageError
        When the file is missing, damaged, not an image of one real-valued volume, has an axis of fewer than 8 voxels,
        is constant, is nearly all NaN, or has no usable geometry.
    """
    path = Path(path)
    array, affine, notes = _read(path)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf and is counted as such
        data = _reordered(array, np.empty(array.shape, np.float32))
    bad = ~np.isfinite(data)
    nonfinite = int(bad.sum())
    if nonfinite > MAX_NAN * data.size or np.isinf(data).sum() > MAX_INFINITE * data.size:
        raise ImageError(
            f"{100 * nonfinite / data.size:.0f} % of the voxels are NaN or infinite.",
            "Export the image again.",
            path,
        )
    filled = None
    if nonfinite:
        data[bad] = 0
        filled = _filled(data, bad) if fill else None
        notes = (*notes, _said_of(nonfinite, filled))
    if data.min() == data.max():
        raise ImageError(
            f"Every voxel has the value {data.flat[0]:g}.", "Export the image again: it holds no data.", path
        )
    return _image(data, affine, notes, nonfinite, filled)


def _filled(data: np.ndarray, bad: np.ndarray) -> np.ndarray | None:
    """Fill the gaps of an image; where that was, None if nowhere."""
    gaps = fill_gaps(data, bad)
    if not gaps.size:
        return None
    filled = np.zeros(data.shape, bool)
    filled.reshape(-1)[gaps] = True
    return filled


def _said_of(nonfinite: int, filled: np.ndarray | None) -> str:
    """What became of the voxels without a value."""
    n = 0 if filled is None else int(np.count_nonzero(filled))
    if not n:
        return f"{nonfinite} NaN or infinite voxels were set to 0"
    rest = f", {nonfinite - n} were set to 0" if nonfinite > n else ""
    return f"{n} NaN or infinite voxels were filled with the mean of their neighbours{rest}"


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


def header_voxels(path: Path) -> int:
    """Number of voxels of a volume by its header; 0 when that cannot be read."""
    try:
        return math.prod(shape_and_affine(path)[0])
    except ImageError:
        return 0


def shape_and_affine(path: Path) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine by the header, of an image that :func:`load_image` refuses neither for them nor for its length.

    Raises
    ------
    ImageError
        The header cannot be read, or speaks of no single volume of real numbers or of no usable geometry; the file ends
        before the data do.
    """
    try:
        if not path.is_file():
            raise ImageError("This is not a file.", "Put the image itself there.")
        with path.open("rb") as file:
            start = file.read(_FIRST_BYTES)
            head = _inflated_head(start)
            if len(head) < _LONGEST_HEADER:
                start += file.read(_HEAD_BYTES)
                head = _inflated_head(start)
            header, unchecked = read_header(head, path)
            end = data_end(header)  # colours, complex numbers, too many voxels are refused
            shape = _three_dimensions(header.get_data_shape())
            affine = geometry_from_header(unchecked, shape)[0]
            if not _ends_whole(file, end, zipped=start.startswith(_GZIP_MAGIC)):
                _read(path)
        return shape, affine
    except ImageError as error:
        raise ImageError(error.problem, error.mend, path) from error
    except DAMAGE as error:
        raise _damaged("The header cannot be read", error, path) from error


def _ends_whole(file: BinaryIO, end: int, *, zipped: bool) -> bool:
    """Whether the length of a file, or that which the last bytes of a gzip file tell, fits data of `end` bytes.

    A block gzip file ends with a block of its own. Other sound files of several members, and those with bytes behind
    the compressed data, do not: only reading tells of them.
    """
    length = file.seek(0, os.SEEK_END)
    if zipped:
        file.seek(max(0, length - len(_BLOCK_GZIP_END)))
        last = file.read()
        if last == _BLOCK_GZIP_END:
            return True
        length = int.from_bytes(last[-4:], "little")
        return end <= length <= end + MORE_BYTES
    return length >= end


def _damaged(what: str, error: Exception, path: Path) -> ImageError:
    """What to do about a file that cannot be read."""
    may_not = isinstance(error, PermissionError)
    mend = "Ask for the right to read it." if may_not else "The file is damaged: copy or convert it again."
    return ImageError(f"{what} ({error}).", mend, path)


def _inflated_head(start: bytes) -> bytes:
    """The first bytes of a file; of a gzip file as many as the longest header has, of as many members as hold them."""
    if not start.startswith(_GZIP_MAGIC):
        return start
    head, at, view = b"", 0, memoryview(start)
    while len(head) < _LONGEST_HEADER and start.startswith(_GZIP_MAGIC, at):
        inflate, size = zlib.decompressobj(wbits=31), _PIECES[0]
        while not inflate.eof and len(head) < _LONGEST_HEADER:
            piece = view[at : at + size]
            if not piece:
                return head
            head += inflate.decompress(piece, _LONGEST_HEADER - len(head))
            at += len(piece) - len(inflate.unconsumed_tail) - len(inflate.unused_data)
            size = min(2 * size, _PIECES[1])
    return head


def save_image(
    data: np.ndarray,
    affine: np.ndarray,
    path: Path | str,
    dtype: np.dtype | type | str | None = None,
    *,
    slope: float = 1.0,
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
    slope : what readers multiply the data by (``scl_slope``)

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
    stored = _as_dtype(np.asarray(data), dtype)
    if not stored.flags.f_contiguous:
        stored = _reordered(stored, np.empty(stored.shape, stored.dtype, order="F"))
    image = nib.Nifti1Image(stored, affine)
    _set_geometry(image, affine)
    image.header["descrip"] = b""
    image.header.set_slope_inter(slope, 0.0)  # with a slope set, nibabel writes the data as they are
    image.update_header()
    _write_bytes(path, _deflated(image.header, stored))
    return path


def _deflated(header: nib.Nifti1Header, stored: np.ndarray) -> bytes:
    """A ``.nii.gz`` of an array that is in the order of the file, which is not copied."""
    head, deflate = io.BytesIO(), zlib.compressobj(_GZIP_LEVEL, wbits=31)
    header.write_to(head)
    return deflate.compress(head.getvalue()) + deflate.compress(stored.T.data) + deflate.flush()


def _reordered(data: np.ndarray, out: np.ndarray) -> np.ndarray:
    """An image (x, y, z) copied into an array of another order, block by block: half the time of numpy's way, which
    leaves the processor's cache with every voxel.
    """
    for x, z in itertools.product(*(range(0, data.shape[axis], _BLOCK) for axis in (0, 2))):
        block = slice(x, x + _BLOCK), slice(None), slice(z, z + _BLOCK)
        out[block] = data[block]
    return out


def save_intensities(data: np.ndarray, affine: np.ndarray, path: Path | str) -> Path:
    """Write an image as 16-bit integers and a slope, as `save_image` does: 44 % less than float32 of a registered scan.

    There is no intercept, so 0 stays 0. No value changes by more than half a step, which is the largest magnitude
    divided by 65535 (by 32767 where there are negative values). An image stays float32 where that is more than a
    `_FINE`-th of its bright parts, because of single voxels that are much brighter, or where values are not finite.
    """
    steps, slope = _in_steps(data)
    return save_image(steps, affine, path, dtype=steps.dtype, slope=1.0 if slope is None else slope)


def as_stored(data: np.ndarray) -> np.ndarray:
    """The values (float32) that are read from what :func:`save_intensities` writes."""
    steps, slope = _in_steps(data)
    return steps if slope is None else (steps * np.float64(slope)).astype(np.float32)


def _in_steps(data: np.ndarray) -> tuple[np.ndarray, float | None]:
    """The steps of 16 bits and their size; float32 and None where an image stays as it is."""
    data = np.asarray(data, dtype=np.float32)
    low, high = (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
    kind = np.dtype(np.uint16 if low >= 0 else np.int16)
    slope = np.float32(max(-low, high) / np.iinfo(kind).max)
    bright = np.percentile(np.abs(data[data != 0]), 98) if (data != 0).any() else 0.0
    if not np.isfinite(slope) or slope < np.finfo(np.float32).tiny or slope * _FINE > bright:
        return data, None
    steps = np.rint(data / np.float64(slope)).clip(np.iinfo(kind).min, np.iinfo(kind).max)
    return steps.astype(kind), float(slope)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Array (x, y, z) with scaling applied, affine and notes of a file."""
    try:
        raw, header, unchecked, rest, plain = _read_bytes(path)
        shape = _three_dimensions(header.get_data_shape())
        expected = data_end(header)
        if len(raw) < expected:
            problem = f"The file is cut off: {len(raw)} bytes of {expected} are there."
            raise ImageError(problem, "Copy or convert the file again.")
        affine, notes = geometry_from_header(unchecked, shape)
        notes += tuple(_remains(unchecked, header, len(raw) - expected, rest, plain=plain))
        array = np.asarray(header.data_from_fileobj(io.BytesIO(raw))).reshape(shape, order="F")
    except ImageError as error:
        raise ImageError(error.problem, error.mend, path) from error
    except (zlib.error, EOFError) as error:
        raise ImageError(
            f"The compressed data are cut off or damaged ({error}).", "Copy or convert the file again.", path
        ) from error
    except DAMAGE as error:
        raise _damaged("The header or the data cannot be read", error, path) from error
    return array, affine, notes


def _remains(unchecked: Any, header: Any, more: int, rest: int, *, plain: bool) -> Iterator[str]:
    """Notes about where the data begin, and about bytes that belong to nothing; ``plain``: of an uncompressed file."""
    if isinstance(unchecked, nib.Nifti1Header):  # an MGH file may have tags after its data
        begin = int(header.get_data_offset())
        if int(unchecked["vox_offset"]) != begin:
            yield f"the header has the data begin at byte {float(unchecked['vox_offset']):g}: read from byte {begin}"
        if more > 0 or (plain and rest):
            yield f"{more + plain * rest} bytes after the data that the header speaks of were not read"
    if rest and not plain:
        yield f"{rest} bytes after the end of the compressed data were not read"


def _read_bytes(path: Path) -> tuple[bytes, Any, Any, int, bool]:
    """The content of a file, inflated, its header as by :func:`read_header`, and how many bytes of the file follow its
    gzip data, or what was read of it; whether it is not compressed.

    The header is read first, and no more than it speaks of after it: a small file can inflate to anything.
    """
    if path.is_dir():
        raise ImageError("This is a folder, not an image.", "Name the files in it, such as FOLDER/*.nii.gz.")
    if path.exists() and not path.is_file():
        raise ImageError("This is not a file but a device or a pipe.", "Put the image itself there.")
    if not path.is_file():
        broken = " (a link to a file that is not here)" if path.is_symlink() else ""
        raise ImageError(f"The file does not exist{broken}.", "Check the path, or fetch the file (git-annex, DataLad).")
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD_BYTES)
            zipped = start.startswith(_GZIP_MAGIC)
            head = _inflated_head(start)
            if zipped and len(head) < _LONGEST_HEADER:  # empty members come first
                start += file.read(MORE_BYTES)
                head = _inflated_head(start)
            header, unchecked = read_header(head, path)
            most = data_end(header) + MORE_BYTES
            raw = start + file.read(most)
            unread = os.fstat(file.fileno()).st_size - len(raw)
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}).", "Check its permissions.") from error
    if not zipped:
        return raw, header, unchecked, unread, True
    content, rest = inflated(raw, most)
    return content, header, unchecked, rest + unread if rest else 0, False


def inflated(raw: bytes, most: int) -> tuple[bytes, int]:
    """The content of a gzip file of one or several members, whose checksums are checked, and how many bytes follow
    that are neither a member nor zeros.

    Raises
    ------
    ImageError
        It is more than ``most`` bytes.
    zlib.error, EOFError
        It is damaged, or cut off.
    """
    parts: list[bytes] = []
    view, at = memoryview(raw), 0
    while raw.startswith(_GZIP_MAGIC, at):
        inflate, size = zlib.decompressobj(wbits=31), _PIECES[0]
        while not inflate.eof:  # in pieces: what zlib does not use of a piece it copies, once for every member
            piece = view[at : at + size]
            if not piece and not inflate.unconsumed_tail:
                raise EOFError("the end is missing")
            parts.append(inflate.decompress(piece, most + 1))
            at += len(piece) - len(inflate.unconsumed_tail) - len(inflate.unused_data)
            most -= len(parts[-1])
            if most < 0:
                raise ImageError("The file holds more than its header speaks of.", "Convert the image again.")
            size = min(2 * size, _PIECES[1])
        if not parts[-1]:
            parts.pop()
        zeros = _ZEROS.match(raw, at)
        at = zeros.end() if zeros is not None else at
    return (parts[0] if len(parts) == 1 else b"".join(parts)), len(raw) - at


def read_header(raw: bytes, path: Path) -> tuple[Any, Any]:
    """The header as nibabel repairs it, for the data, and as it is on disk: a zoom of 0 would become 1 silently."""
    in_pair = path.name.lower().endswith(_PAIR)
    for order in ("little", "big"):
        length = int.from_bytes(raw[:4], order)
        header_class = _NIFTI_HEADERS.get(length)
        if header_class is not None:
            if len(raw) < length:
                raise ImageError("The header cannot be read: the file ends in it.", "Copy or convert the file again.")
            unchecked = header_class(raw[:length], check=False)  # not the extensions: nobody needs them
            if in_pair and unchecked["magic"] != header_class.single_magic:
                break
            if _sound(unchecked, length):
                return unchecked, unchecked
            header = unchecked.copy()
            header.check_fix(logger=_SILENT)
            if 0 <= header["vox_offset"] < length + 4:  # the header itself would be taken for voxels
                header["vox_offset"] = length + 4
            return header, unchecked
    if path.name.endswith((".mgz", ".mgh")) and raw[:4] == b"\x00\x00\x00\x01":
        if raw[28:30] == b"\0\0":  # nibabel would make voxels of 1 mm and axes of its own
            problem = "The header says that it holds no geometry (goodRASFlag 0)."
            raise ImageError(problem, "Convert the image again from its source.")
        header = MGHHeader.from_fileobj(io.BytesIO(raw))
        return header, header
    if not raw:
        raise ImageError("The file is empty.", "Copy or convert it again.")
    if raw.startswith(_GZIP_MAGIC):
        raise ImageError("The file is compressed twice.", "Decompress it once (gunzip), or convert it again.")
    if in_pair:
        raise ImageError("This is a file of a NIfTI pair or of Analyze 7.5 (.hdr, .img).", _PAIR_MEND)
    raise ImageError(
        "This is not a NIfTI or MGH image.", "Convert it to .nii.gz (for example with dcm2niix or nibabel)."
    )


def _sound(header: Any, length: int) -> bool:
    """Whether nibabel, whose checks take four times as long as reading, has nothing to repair or to refuse."""
    kind, pixdim, offset = int(header["datatype"]), header["pixdim"], float(header["vox_offset"])
    return (
        header["sizeof_hdr"] == length
        and kind in _REAL
        and header["bitpix"] == _REAL[kind]
        and pixdim[0] in (-1, 1)
        and min(pixdim[1:4].tolist()) > 0
        and header["magic"] == header.single_magic
        and (length == 348 or header["eol_check"].tolist() == [13, 10, 26, 10])
        and length + 4 <= offset < math.inf
        and offset % 16 == 0
        and 0 <= header["qform_code"] <= 4
        and 0 <= header["sform_code"] <= 4
    )


def _three_dimensions(shape: Sequence[int]) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in shape)
    size = " x ".join(str(n) for n in shape)
    if min(shape, default=0) <= 0:
        raise ImageError(f"The header is damaged: it speaks of {size} voxels.", "Copy or convert the image again.")
    volumes = math.prod(shape[3:])
    if volumes != 1:
        raise ImageError(f"The image holds {volumes} volumes, one is needed.", "Extract one volume or average them.")
    if len(shape) < 3 or min(shape[:3]) < MIN_VOXELS:
        raise ImageError(
            f"The image is a slab ({size} voxels), at least {MIN_VOXELS} voxels along each axis are needed.",
            "Give a 3-D scan of the head.",
        )
    return shape[0], shape[1], shape[2]


def data_end(header: Any) -> int:
    """Where the data end in the file, in bytes, of an image that may be read into memory."""
    dtype, shape = np.dtype(header.get_data_dtype()), _three_dimensions(header.get_data_shape())
    if dtype.names or dtype.kind not in "biuf":
        kind = "colours" if dtype.names else f"values of type {dtype}"
        raise ImageError(f"The image holds {kind}, not real numbers.", "Give a grey-scale magnitude image.")
    if math.prod(shape) > MAX_VOXELS:
        size = " x ".join(str(n) for n in shape)
        mend = f"At most {MAX_VOXELS:.1e} can be read. {_TOO_LARGE}"
        raise ImageError(f"The image has {size} voxels by its header.", mend)
    offset = int(header.get_data_offset())
    if not 0 <= offset <= MORE_BYTES:
        raise ImageError(f"The data begin at byte {offset} by the header.", "Copy or convert the file again.")
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        mend = f"At most {MAX_BYTES:.1e} can be read. {_TOO_LARGE}"
        raise ImageError(f"The image has {size} bytes of data by its header.", mend)
    return offset + size


def _image(
    data: np.ndarray, affine: np.ndarray, notes: tuple[str, ...], nonfinite: int, filled: np.ndarray | None = None
) -> nib.Nifti1Image:
    extra = {"notes": notes, "nonfinite": nonfinite} | ({} if filled is None else {"filled": filled})
    image = nib.Nifti1Image(data, affine, extra=extra)
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
    return data.astype(dtype, copy=False)


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
