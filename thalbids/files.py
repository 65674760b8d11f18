"""Read and write the JSON and TSV files of a BIDS dataset.

Reading tolerates what editors on other systems leave behind (a byte order mark, CRLF line ends). Writing is atomic (a
temporary name in the same folder, then a rename) and deterministic (the same content gives the same bytes).
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from thalbids.errors import MetadataError, OutputError

MAX_TEXT_BYTES = 2**27
MISSING = "n/a"  # how BIDS writes a missing value in a table

NOT_KNOWN = ("", MISSING, "na", "nan", "none", "null")  # and how people write one, in any case
_SHEET_ERROR = re.compile(r"#(?:n/a|n/d|nv|[^\s#]+[!?])|#{2,}|err:\d{3}", re.IGNORECASE)  # in any language
_SPREADSHEET = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # xlsx and ods, xls
_QUOTE = re.compile(r'\\"|""')  # a quote inside a cell of R, by write.table or write.csv
_MEND_WRITE = {
    errno.ENOSPC: "The disk is full: free some space, then start the same command again.",
    errno.EDQUOT: "Your disk quota is used up: free some space, then start the same command again.",
    errno.EACCES: "You may not write there: choose another output folder or ask for the right to write.",
    errno.EPERM: "You may not write there: choose another output folder or ask for the right to write.",
    errno.EROFS: "The file system is read-only: choose another output folder.",
}


def names_in(folder: Path) -> list[str]:
    """The names in a folder, in no order; none where it is not there or may not be read."""
    try:
        return os.listdir(folder)  # noqa: PTH208 (names only; Path objects cost ten times as much)
    except OSError:
        return []


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    MetadataError
        The file is missing, unreadable, not UTF-8, not JSON (the message names line and column), or not an object.
    """
    text = read_text(path)
    if not text.strip():
        raise MetadataError("the JSON file is empty.", "Fill it, or delete it if nothing is known.", path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MetadataError(f"not valid JSON at {where}: {error.msg}.", "Correct it in a text editor.", path) from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        what = "a number is too long" if isinstance(error, ValueError) else "it is nested too deeply"
        raise MetadataError(f"the JSON cannot be read: {what}.", "Correct it in a text editor.", path) from None
    if not isinstance(content, dict):
        mend = 'It must start with "{" and hold keys and values.'
        raise MetadataError("the JSON file does not hold an object.", mend, path)
    return content


def write_json(path: Path | str, content: Mapping[str, Any], *, sort_keys: bool = True) -> None:
    """Write a JSON object: UTF-8, indented by two, NaN and infinities as ``null``, a newline at the end.

    ``sort_keys=False`` keeps the order given, for objects whose order helps the reader (data dictionaries).
    """
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False, sort_keys=sort_keys)
    write_text(path, text + "\n")


def read_table(path: Path | str) -> list[dict[str, str | None]]:
    """Read a TSV file with one header row; cells stay text, ``n/a`` and empty cells become None.

    Raises
    ------
    MetadataError
        The file is missing, unreadable or not UTF-8, has no header, repeats a column, or has a row of another length.
    """
    columns, lines = read_lines(path)
    return [
        {name: None if cell in ("", MISSING) else cell for name, cell in zip(columns, cells, strict=True)}
        for _, cells in lines
    ]


def read_header(path: Path | str) -> list[str]:
    """The column names of a table as they stand, also where one stands twice or is empty.

    Raises
    ------
    MetadataError
        The file is missing, unreadable or not UTF-8, or has no header.
    """
    return _header(read_text(path).split("\n", 1)[0], path)


def _header(line: str, path: Path | str) -> list[str]:
    columns = _cells(line, quoted=_is_quoted(line))
    if not any(columns):
        raise MetadataError("the table has no header.", "Its first row must hold the column names.", path)
    return columns


def _is_quoted(header: str) -> bool:
    """Whether a table has its cells in quotes, as R writes them: every column name is."""
    return all(map(_in_quotes, _cells(header)))


def _in_quotes(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _cells(line: str, *, quoted: bool = False) -> list[str]:
    """The cells of a row without outer blanks, and where the table is ``quoted`` without the quotes around text."""
    cells = [cell.strip() for cell in line.split("\t")]
    return [_QUOTE.sub('"', cell[1:-1]).strip() if _in_quotes(cell) else cell for cell in cells] if quoted else cells


def read_lines(path: Path | str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names, and the number of each row in the file (the header is 1) with its cells, without outer blanks.

    Columns without name and value, which spreadsheets leave behind, are left out; in the first one, without a name, may
    stand the names of rows that R and pandas write.

    Raises
    ------
    MetadataError
        As for `read_table`, and where another column has values and no name.
    """
    first, *lines = read_text(path).split("\n")
    columns, quoted = _header(first, path), _is_quoted(first)
    twice = sorted(name for name, times in Counter(filter(None, columns)).items() if times > 1)
    if twice:
        raise MetadataError(f"column {twice[0]!r} is there twice.", "Rename or delete one of them.", path)
    rows = _rows(lines, columns, path, quoted=quoted)
    return (columns, rows) if all(columns) else _without_nameless(columns, rows, path)


def _rows(
    lines: Sequence[str], columns: Sequence[str], path: Path | str, *, quoted: bool
) -> list[tuple[int, list[str]]]:
    """The rows below a header."""
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = _cells(line, quoted=quoted)
        if not any(columns[len(cells) :]):  # an editor took the tabs at the end away
            cells += [""] * (len(columns) - len(cells))
        while len(cells) > len(columns) and not cells[-1]:  # or left them behind
            cells.pop()
        if len(cells) != len(columns):
            problem = f"row {number} has {len(cells)} cells, the header has {len(columns)}."
            names = " R writes names of rows beside them unless row.names = FALSE." if quoted else ""
            raise MetadataError(problem, f"Separate the cells by single tabs.{names}", path)
        rows.append((number, cells))
    return rows


def _without_nameless(
    columns: list[str], rows: list[tuple[int, list[str]]], path: Path | str
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A table without the columns that have no name; one with values is refused, but for names of rows in the first."""
    for at, name in enumerate(columns):
        filled = [number for number, cells in rows if at and not name and _has_value(cells[at])]
        if filled:
            mend = f"Give it a name, or delete it: row {filled[0]} has a value there."
            raise MetadataError(f"column {at + 1} has no name.", mend, path)
    named = [at for at, name in enumerate(columns) if name]
    return [columns[at] for at in named], [(number, [cells[at] for at in named]) for number, cells in rows]


def _has_value(cell: str) -> bool:
    return cell.casefold() not in NOT_KNOWN and not is_sheet_error(cell)


def is_sheet_error(text: str) -> bool:
    """Whether a cell holds what a spreadsheet shows in place of a value that it could not compute.

    Examples
    --------
    >>> [text for text in ("#N/A", "#DIV/0!", "#WERT!", "#NAME?", "Err:502", "###", "#1", "3!") if is_sheet_error(text)]
    ['#N/A', '#DIV/0!', '#WERT!', '#NAME?', 'Err:502', '###']
    """
    return text[:1] in "#eE" and _SHEET_ERROR.fullmatch(text.strip()) is not None


def write_table(path: Path | str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as TSV with these columns: full precision, ``n/a`` for None, NaN, "" and absent keys.

    White space inside a text becomes one space, as a tab or a line end would break the table.

    Raises
    ------
    ValueError
        A row has a key that is not a column (a mistake of the caller, which would lose a number silently).
    """
    lines = ["\t".join(columns)]
    for row in rows:
        unknown = sorted(set(row) - set(columns))
        if unknown:
            raise ValueError(f"row has keys that are no columns: {', '.join(unknown)}")
        lines.append("\t".join(_cell(row.get(name)) for name in columns))
    write_text(path, "\n".join(lines) + "\n")


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically; a file that already holds this text is left alone (also its date).

    Raises
    ------
    OutputError
        The folder cannot be written (full, read-only, no permission).
    """
    write_bytes(path, text.encode("utf-8", "replace"))  # JSON may hold halves of characters


def write_bytes(path: Path | str, data: bytes) -> None:
    """The same of a file of bytes.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        mend = _MEND_WRITE.get(error.errno or 0, "Check the output folder.")
        raise OutputError(f"cannot be written ({error.strerror or error}).", mend, path) from None


def read_text(path: Path | str) -> str:
    """The text of a file, without byte order mark, every line end as a newline.

    Raises
    ------
    MetadataError
        The file is missing, unreadable, too large or not UTF-8.
    """
    try:
        about = os.stat(path)  # noqa: PTH116 (Path objects take half of the time of a small file)
        if not stat.S_ISREG(about.st_mode):
            raise MetadataError("this is not a file but a folder, device or pipe.", "Put the file there.", path)
        if about.st_size > MAX_TEXT_BYTES:
            problem = f"the file is larger than {MAX_TEXT_BYTES / 1e6:.0f} MB."
            raise MetadataError(problem, "No JSON or TSV file of a dataset is: is it the right one?", path)
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read()
    except FileNotFoundError:
        raise MetadataError("the file is not there.", "Check its name.", path) from None
    except OSError as error:
        raise MetadataError(f"cannot be read ({error.strerror or error}).", "Check its permissions.", path) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise MetadataError("not UTF-8 text but UTF-16 or UTF-32.", "Save it again with the encoding UTF-8.", path)
    if data.startswith(_SPREADSHEET):
        mend = "Save it from there as text, with tabs between the cells and the encoding UTF-8."
        raise MetadataError("not UTF-8 text but a file of a spreadsheet program.", mend, path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text (byte {error.start})."
        raise MetadataError(problem, "Save it again with the encoding UTF-8.", path) from None
    if 3 * text.count("\0") > len(text):  # of UTF-16 without its mark, every second byte of most languages
        raise MetadataError("not UTF-8 text but UTF-16 or no text.", "Save it again with the encoding UTF-8.", path)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _plain(value: Any) -> Any:
    """The value in JSON's own types (from numpy's, tuples and sets too); a number that is not finite becomes None."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars, np.bool_ included
        return _plain(value.tolist())
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def _cell(value: Any) -> str:
    """One cell of a table."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return " ".join(value.split()) or MISSING
    raise TypeError(f"{type(value).__name__} cannot be a table cell: {value!r}")
