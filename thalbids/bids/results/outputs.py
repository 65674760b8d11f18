"""Name and write the derivative dataset (file names: ``docs/outputs.md``)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from thalbids.bids.dataset.inputs import raw_description
from thalbids.bids.results import names
from thalbids.bids.results.dictionaries import DESCRIPTIONS, ITK_SNAP_LABELS
from thalbids.errors import MetadataError, OutputError, UsageError
from thalbids.files import read_json, read_table, write_json, write_table, write_text
from thalbids.types import Session

__all__ = [
    "BIDS_VERSION",
    "check_output",
    "derivative",
    "open_dataset",
    "read_json",
    "read_table",
    "sidecar",
    "uri",
    "write_json",
    "write_table",
    "write_text",
]

BIDS_VERSION = "1.11.1"
PIPELINE = "thalbids"
UNFINISHED = "group_unfinished.txt"  # is there while a group run is at work, and after one that was killed

# The order of BIDS (schema 1.11.1); from, to and mode stand where BEP014 puts them.
ORDER = (
    "sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "flip", "inv", "mt", "part", "proc", "hemi",
    "space", "from", "to", "mode", "chunk", "seg", "res", "den", "label", "model", "param", "desc",
)  # fmt: skip

RANK = {key: rank for rank, key in enumerate(ORDER)}

# figures without a slash: the validator does not accept "figures/" for a folder below the root
IGNORED = (
    "*.html",
    "logs/",
    "figures",
    "itksnap_labels.txt",
    "group_*",
    "*_xfm.*",
    "*_qc.json",
    "*_morph.*",
    "*_dwimap.*",
    "*_cbf.*",
    "*_T1rho.*",
)

_EXTENSIONS = (".nii.gz", ".nii", ".tsv", ".txt", ".h5", ".json", ".svg", ".html")
_LABEL = re.compile(r"[0-9A-Za-z+]+")
_DESC = re.compile(r"[0-9A-Za-z]+")
PathT = TypeVar("PathT", Path, PurePosixPath)


def derivative(session: Session, suffix: str, extension: str = ".nii.gz", **entities: str) -> str:
    """Where a result of this session goes, relative to the derivative dataset.

    The name carries the entities of the session's reference image, its T1w (acq, run, ...), so that everything
    computed from it sorts together; a keyword may end in an underscore where Python reserves the word
    (``from_="FLAIR"``).

    Raises
    ------
    ValueError
        An entity that is not in ``ORDER`` or has an impossible value (a mistake of the caller).

    Examples
    --------
    >>> from thalbids.types import Session
    >>> derivative(Session("01", "2", {}), "mask", label="thalamus", desc="synthalT1w", space="T1w")
    'sub-01/ses-2/anat/sub-01_ses-2_space-T1w_label-thalamus_desc-synthalT1w_mask.nii.gz'
    """
    source = session.images[session.reference].entities if session.reference in session.images else {}
    labels = _stem(session.subject, session.session)
    ending = _ending(tuple(source.items()), tuple(entities.items()))
    return f"{labels.replace('_', '/')}/anat/{labels}{ending}_{suffix}{extension}"


def sidecar(path: PathT) -> PathT:
    """The JSON that describes this file: the same name with the extension ``.json``.

    Raises
    ------
    ValueError
        The extension is none that we write.
    """
    for extension in _EXTENSIONS:
        if path.name.endswith(extension):
            return path.with_name(path.name.removesuffix(extension) + ".json")
    raise ValueError(f"no known extension: {path}")


def uri(relative: PurePosixPath | str) -> str:
    """The BIDS URI of one of our own derivatives (``bids::sub-01/...``)."""
    text = str(relative)
    if text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f"not relative to the dataset: {text}")
    return f"bids::{text}"


def open_dataset(
    out_dir: Path | str,
    bids_dir: Path | str,
    generated_by: Sequence[Mapping[str, Any]],
    *,
    families: Iterable[str] = (),
    validate: bool = True,
    links: Mapping[str, Path] | None = None,
) -> Path:
    """Make or refresh the files at the root of the derivative dataset.

    Writes ``dataset_description.json``, ``.bidsignore``, ``descriptions.tsv`` and ``.json``, and the
    label descriptions for ITK-SNAP; leaves those alone whose
    content would not change.

    Parameters
    ----------
    generated_by : thalbids first (``{"Name": "thalbids", "Version": ..., "CodeURL": ...}``), then each tool that runs.
        Tools of an earlier run into the same folder stay listed.
    families : the families of methods added by others, for the register of descriptions
    validate : as for `thalbids.bids.dataset.inputs.find_sessions`
    links : further datasets that BIDS URIs of sidecars lead to, by name

    Returns
    -------
    Path
        The absolute path of ``out_dir``.

    Raises
    ------
    UsageError
        ``out_dir`` is the raw dataset, lies in one of its subjects, or holds another dataset.
    OutputError
        The folder cannot be written.
    """
    if not generated_by or generated_by[0].get("Name") != PIPELINE:
        raise ValueError("generated_by must start with thalbids")
    root, raw = (Path(os.path.abspath(folder)) for folder in (out_dir, bids_dir))  # noqa: PTH100 (links are kept)
    _check_place(root, raw)
    earlier = _earlier(root)
    raw_content, _ = raw_description(raw, validate=validate)
    description = _description(root, raw, raw_content, _tools(generated_by, earlier))
    others = {name: _link(root, Path(os.path.abspath(path)), name) for name, path in (links or {}).items()}  # noqa: PTH100
    description["DatasetLinks"] |= {**earlier.get("DatasetLinks", {}), **others, **description["DatasetLinks"]}
    write_json(root / "dataset_description.json", description, sort_keys=False)
    write_text(root / ".bidsignore", "\n".join(IGNORED) + "\n")
    rows = [{"desc_id": f"desc-{key}", "description": text} for key, text in names.register(families).items()]
    write_table(root / "descriptions.tsv", rows, tuple(DESCRIPTIONS))
    write_json(root / "descriptions.json", DESCRIPTIONS, sort_keys=False)
    write_text(root / "itksnap_labels.txt", ITK_SNAP_LABELS)
    return root


def check_output(out_dir: Path | str, bids_dir: Path | str) -> None:
    """Refuse an output folder that cannot be ours; reads only.

    Raises
    ------
    UsageError
        ``out_dir`` is the raw dataset, lies in one of its subjects, is a file, or holds another dataset; or
        ``bids_dir`` is an output folder of ours.
    """
    root, raw = (Path(os.path.abspath(folder)) for folder in (out_dir, bids_dir))  # noqa: PTH100 (links are kept)
    _check_raw(raw)
    _check_place(root, raw)
    _earlier(root)


def description_in(raw: Path, readme: str) -> dict[str, Any]:
    """The ``dataset_description.json`` of a demo, which is written last; {} where the demo is not complete.

    Raises
    ------
    UsageError
        The folder holds something else: its README is not ``readme``.
    OutputError
        It is no folder.
    """
    if not raw.exists():
        return {}
    if not raw.is_dir():
        raise OutputError("this is not a folder.", "Name a new folder for the demo.", raw)
    names = {path.name for path in raw.iterdir()}
    if names and ("README" not in names or (raw / "README").read_text(encoding="utf-8", errors="replace") != readme):
        raise UsageError("this folder holds something other than this demo.", "Name a new folder for it.", raw)
    return read_json(raw / "dataset_description.json") if "dataset_description.json" in names else {}


@lru_cache(maxsize=100)
def _stem(subject: str, session: str | None) -> str:
    """How the names of a session's files begin."""
    return _joined({"sub": subject, **({"ses": session} if session else {})})[1:]


@lru_cache(maxsize=5000)
def _ending(source: tuple[tuple[str, str], ...], further: tuple[tuple[str, str], ...]) -> str:
    """What follows the labels in a file name: the same in many sessions."""
    entities = {**dict(source), **{key.removesuffix("_"): value for key, value in further}}
    return _joined({key: value for key, value in entities.items() if key not in ("sub", "ses")})


def _joined(entities: Mapping[str, str]) -> str:
    """The entities of a file name in the order of BIDS, each after an underscore."""
    for key, value in entities.items():
        if key not in RANK or not (_DESC if key == "desc" else _LABEL).fullmatch(str(value)):
            raise ValueError(f"no BIDS entity: {key}-{value}")
    return "".join([f"_{key}-{entities[key]}" for key in sorted(entities, key=RANK.__getitem__)])


def _check_raw(raw: Path) -> None:
    """Refuse results of ours in place of the dataset that they come from, which is named where it is there."""
    try:
        description = read_json(raw / "dataset_description.json")
    except MetadataError:
        return  # who reads the dataset says so
    if not _is_ours(description):
        return
    links = description.get("DatasetLinks")
    link = links.get("raw") if isinstance(links, dict) else None
    source = Path(os.path.normpath(raw / unquote(link))) if isinstance(link, str) else raw
    there = f" ({source})" if source != raw and os.path.isdir(source) else ""  # noqa: PTH112 (a closed folder raises)
    mend = f"Give the dataset that holds the scans{there}; the output folder comes second."
    raise UsageError("BIDS_DIR is an output folder of thalbids.", mend, raw)


def _is_ours(description: Mapping[str, Any]) -> bool:
    """Whether a dataset was made by thalbids, by its description."""
    generated_by = description.get("GeneratedBy")
    tools = generated_by if isinstance(generated_by, list) else []
    return any(isinstance(tool, dict) and tool.get("Name") == PIPELINE for tool in tools[:1])


def _check_place(root: Path, raw: Path) -> None:
    """Refuse a folder where our files would mix with raw data or with those of the system."""
    if root == root.parent:
        mend = "Name a folder in it. Is a variable of your command line empty?"
        raise UsageError("the output folder is the root of the file system.", mend, root)
    real_root, real_raw = Path(os.path.realpath(root)), Path(os.path.realpath(raw))
    if real_root == real_raw:
        mend = f"Choose another one, for instance {raw / 'derivatives' / PIPELINE}."
        raise UsageError("the output folder is the BIDS dataset itself.", mend, root)
    if real_root.is_relative_to(real_raw) and real_root.relative_to(real_raw).parts[0].startswith("sub-"):
        mend = f"Choose another one, for instance {raw / 'derivatives' / PIPELINE}."
        raise UsageError("the output folder lies among the raw data of a subject.", mend, root)
    if os.path.isfile(root):  # noqa: PTH113 (Path.is_file raises where a folder above may not be read)
        raise UsageError("the output folder is a file.", "Choose another one.", root)


def _earlier(root: Path) -> dict[str, Any]:
    """The description of an earlier run into this folder; {} when there was none."""
    path = root / "dataset_description.json"
    if not os.path.lexists(path):
        return {}
    try:
        description = read_json(path)
    except MetadataError as error:
        mend = f"{error.mend} Or choose another output folder."
        raise UsageError(f"the output folder's description is unusable: {error.problem}", mend, path) from None
    if not _is_ours(description):
        name = description.get("Name", "without a name")
        problem = f"the output folder holds another dataset ({name}), not results of thalbids."
        raise UsageError(problem, "Choose another output folder, an empty one.", root)
    return description


def _tools(generated_by: Sequence[Mapping[str, Any]], earlier: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tools of this run, then those that only an earlier run used."""
    now = {tool.get("Name") for tool in generated_by}
    before = [tool for tool in earlier.get("GeneratedBy", []) if isinstance(tool, dict) and tool.get("Name") not in now]
    return [*generated_by, *before]


def _description(
    root: Path, raw: Path, raw_content: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of ``dataset_description.json``."""
    link = _link(root, raw)
    source: dict[str, str] = {"URL": link}
    if isinstance(raw_content.get("DatasetDOI"), str):
        source["DOI"] = raw_content["DatasetDOI"]
    description: dict[str, Any] = {
        "Name": "thalbids: thalamus segmentation and volumes",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": list(tools),
        "SourceDatasets": [source],
        "DatasetLinks": {"raw": link},
    }
    if isinstance(raw_content.get("License"), str) and raw_content["License"].strip():
        description["License"] = raw_content["License"]  # the derivatives show the participants' heads: the same terms
    return description


def _link(root: Path, raw: Path, name: str = "raw") -> str:
    """Where the raw dataset (or another, by name) is, relative to ours, without showing a home folder or a machine.

    A relative path where the two lie near each other; else ``sourcedata/NAME``, the place where BIDS suggests that a
    derivative dataset links its source, for the user to put a link there.
    """
    relative = PurePosixPath(os.path.relpath(raw, root).replace(os.sep, "/"))
    common = Path(os.path.commonpath([raw, root]))
    named = [part for part in relative.parts if part != ".."]
    near = len(named) <= 1 or len(common.parts) >= 3
    return quote(str(relative)) if near else f"sourcedata/{name}"
