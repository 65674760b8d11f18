"""PyTorch checkpoints read without PyTorch, and without running what they hold.

``torch.save`` writes a zip file: ``data.pkl``, a pickle of the structure, and one stored file for the numbers of each
tensor. A pickle can name any function to be called. Here only the few that build a table of tensors, and arrays of
numpy, are known, and each stands for a function of this module: nothing of the file's choice is imported or called.
Only the instructions that such files need are carried out, keys are text or numbers, and sizes have limits: a small
file cannot ask for much memory or time.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.errors import MissingToolError

DTYPES: Mapping[str, str] = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
NUMBERS = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1")
MOST_BYTES = 2**24  # of a pickle; those of nnU-Net and MindGlide have less than one
MOST_AXES = 8
_AGAIN = "Fetch it again, or copy it again from where it is whole."


def _refused(self: object, state: object) -> None:
    """A pickle may set what it has built: not here, where it was checked as it was built."""
    raise pickle.UnpicklingError("it changes what it has built")


class _Table(dict[Any, Any]):
    """An ``OrderedDict``, as ``Module.state_dict()`` gives it: with versions of its modules as an attribute."""

    def __init__(self) -> None:
        """Empty: its entries come afterwards, where their keys are looked at."""
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Leave that attribute out: nothing of it is needed."""


@dataclass(frozen=True)
class _Storage:
    """The numbers of one or several tensors."""

    key: str
    dtype: str
    size: int
    __setstate__ = _refused


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's numbers lie: in storage ``key`` from ``offset`` on, one after the other if ``packed``."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    packed: bool
    __setstate__ = _refused


class _Kind:
    """A ``numpy.dtype`` of plain numbers."""

    def __init__(self, text: Any, *further: Any):
        if text not in NUMBERS:
            raise pickle.UnpicklingError("it holds something else than numbers")
        self.dtype = np.dtype(f"<{text}")

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class Array:
    """A ``numpy.ndarray``: ``values``, once the pickle has set them."""

    def __init__(self, *further: Any):
        self.values = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, raw = state
        if not 0 <= len(shape) <= MOST_AXES or not all(shape):
            raise pickle.UnpicklingError("an array has no numbers")
        flat = np.frombuffer(raw, kind.dtype)
        self.values = flat.reshape(tuple(shape), order="F" if by_columns else "C")


def read(path: Path, inside: str = "") -> dict[str, np.ndarray]:
    """The tensors of a checkpoint that holds a table of tensors (a ``state_dict``), by name; those that share their
    numbers share them here too. ``inside``: the entry of the checkpoint that is the table, where it holds more.

    Raises
    ------
    MissingToolError
        As :func:`layout`, or the numbers are damaged (their checksum in the zip file).
    """
    table, archive = _opened(path, inside)
    storages: dict[str, np.ndarray] = {}
    with archive:
        for name, tensor in table.items():
            if tensor.storage.key not in storages:
                storages[tensor.storage.key] = _numbers(archive, tensor.storage, path, name)
    return {
        name: storages[tensor.storage.key][tensor.offset : tensor.offset + _size(tensor.shape)].reshape(tensor.shape)
        for name, tensor in table.items()
    }


def layout(path: Path, inside: str = "") -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors, without reading their numbers; ``inside`` as that of :func:`read`.

    Raises
    ------
    MissingToolError
        The file is missing, damaged, no checkpoint of PyTorch 1.6 or later, or holds something else than tensors.
    """
    table, archive = _opened(path, inside)
    archive.close()
    return {name: tensor.shape for name, tensor in table.items()}


def plain(path: Path) -> Any:
    """What a pickle file of plain values holds (numbers, text, lists, tables); arrays of numpy as :class:`Array`.

    Raises
    ------
    MissingToolError
        The file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise MissingToolError("the file is not there.", _AGAIN, path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise pickle.UnpicklingError("it is too large")
        return _Plain(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise MissingToolError(f"the file cannot be read ({error}).", _AGAIN, path) from error


def _opened(path: Path, inside: str) -> tuple[dict[str, Tensor], zipfile.ZipFile]:
    if not path.is_file():
        raise MissingToolError("the checkpoint is not there.", "Fetch it, or name the file that is.", path)
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged zip file raises many things
        raise MissingToolError(f"the checkpoint cannot be read ({error}).", _AGAIN, path) from error
    try:
        index = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if index is None:
            raise MissingToolError("this is no checkpoint of PyTorch (it has no data.pkl).", _AGAIN, path)
        if archive.getinfo(index).file_size > MOST_BYTES:
            raise pickle.UnpicklingError("its data.pkl is too large")
        table = _CheckpointReader(io.BytesIO(_content(archive, index, path))).load()
    except MissingToolError:
        archive.close()
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        archive.close()
        raise MissingToolError(f"the checkpoint cannot be read ({error}).", _AGAIN, path) from error
    if inside and isinstance(table, dict):
        table = table.get(inside)
    pairs = table.items() if isinstance(table, dict) else ()
    if not pairs or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in pairs):
        archive.close()
        mend = "Name a file that holds the weights alone (a state_dict)."
        raise MissingToolError("the checkpoint holds something else than a table of tensors.", mend, path)
    if not all(tensor.packed for _, tensor in pairs):
        archive.close()
        raise MissingToolError("a tensor of the checkpoint is not stored in the order of its axes.", _AGAIN, path)
    return dict(table), archive


def _content(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """One file of the archive; PyTorch stores them as they are, so that none is larger than the archive."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > path.stat().st_size:
        raise MissingToolError(f"the checkpoint is compressed ({name}), which PyTorch never does.", _AGAIN, path)
    return archive.read(name)


def _numbers(archive: zipfile.ZipFile, storage: _Storage, path: Path, name: str) -> np.ndarray:
    root = archive.namelist()[0].partition("/")[0]
    try:
        raw = _content(archive, f"{root}/data/{storage.key}", path)
        order = f"{root}/byteorder"
        swapped = order in archive.namelist() and _content(archive, order, path) == b"big"
        numbers = np.frombuffer(raw, np.dtype(f"{'>' if swapped else '<'}{storage.dtype}"))
    except MissingToolError:
        raise
    except Exception as error:  # as above
        raise MissingToolError(f"the numbers of {name} are damaged ({error}).", _AGAIN, path) from error
    if len(numbers) != storage.size:
        problem = f"of the numbers of {name} {len(numbers)} of {storage.size} are there."
        raise MissingToolError(problem, _AGAIN, path)
    return numbers


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _tensor(storage: _Storage, offset: int, size: Any, stride: Any, *further: Any) -> Tensor:
    shape = tuple(int(n) for n in size)
    packed = tuple(_size(shape[axis + 1 :]) for axis in range(len(shape)))
    ordered = all(n == 1 or step == one for n, step, one in zip(shape, stride, packed, strict=True))
    if len(shape) > MOST_AXES or max(shape, default=0) > storage.size:
        raise pickle.UnpicklingError("a tensor reaches beyond its numbers")
    if offset < 0 or min(shape, default=1) < 0 or offset + _size(shape) > storage.size:
        raise pickle.UnpicklingError("a tensor reaches beyond its numbers")
    return Tensor(storage, int(offset), shape, ordered)


def _parameter(data: Tensor, *further: Any) -> Tensor:
    return data


def _number(kind: _Kind, raw: bytes) -> Any:
    return np.frombuffer(raw, kind.dtype, 1)[0].item()


def _bytes(text: str, coding: str) -> bytes:
    """How older pickles hold bytes."""
    if coding != "latin1":
        raise pickle.UnpicklingError("it holds bytes in an unknown coding")
    return text.encode("latin1")


class _Instructions(dict[int, Callable[[Any], None]]):
    """What a pickle may ask for, by the number of the instruction."""

    def __missing__(self, number: int) -> Callable[[Any], None]:
        raise pickle.UnpicklingError(f"its instruction {number} is none that plain data need")


# of all instructions those that sets, numbers of the reader's registry, buffers and classes would need are left out
_NAMES = (
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS "
    "EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL "
    "STACK_GLOBAL REDUCE BUILD BINPERSID"
)
_ALL: Any = pickle._Unpickler.dispatch
_USUAL = {number: _ALL[number] for number in (getattr(pickle, name)[0] for name in _NAMES.split())}


class _Plain(pickle._Unpickler):
    """Knows the names below and no other. That of the two readers of Python which is written in Python: what it does
    for an instruction can be limited, and it keeps what is to be used again in a table that grows with the file.
    """

    known: Mapping[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): _Table,
        ("_codecs", "encode"): _bytes,
        ("numpy", "dtype"): _Kind,
        ("numpy", "ndarray"): Array,
        **{
            (f"numpy.{core}.multiarray", name): function
            for core in ("core", "_core")
            for name, function in (("scalar", _number), ("_reconstruct", Array))
        },
    }
    dispatch = _Instructions(_USUAL)
    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no plain data need")
        return self.known[module, name]

    def _keys(self, keys: Sequence[Any]) -> None:
        """Keys that are text or numbers: others could take for ever to tell apart."""
        if not all(isinstance(key, str | int | float | bool | None) for key in keys):
            raise pickle.UnpicklingError("a key is neither text nor a number")

    def load_build(self) -> None:
        """Only what was made here may be given its contents."""
        if not isinstance(self.stack[-2], _Table | _Kind | Array | _Storage | Tensor):
            raise pickle.UnpicklingError("it changes what it has built")
        _USUAL[pickle.BUILD[0]](self)

    def load_dict(self) -> None:
        """A table of what was put since the last mark."""
        self._keys(self.stack[::2])
        _USUAL[pickle.DICT[0]](self)

    def load_setitem(self) -> None:
        """One entry of a table."""
        self._keys(self.stack[-2:-1])
        _USUAL[pickle.SETITEM[0]](self)

    def load_setitems(self) -> None:
        """Entries of a table."""
        self._keys(self.stack[::2])
        _USUAL[pickle.SETITEMS[0]](self)

    dispatch |= {
        pickle.BUILD[0]: load_build,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


class _CheckpointReader(_Plain):
    """Knows tensors besides."""

    known: Mapping[tuple[str, str], Callable[..., Any]] = {
        **_Plain.known,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size = pid
        if kind != "storage" or dtype not in DTYPES.values() or not isinstance(key, str):
            raise pickle.UnpicklingError("it holds something else than tensors")
        return _Storage(key, dtype, int(size))
