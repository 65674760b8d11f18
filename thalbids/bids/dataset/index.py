"""Which anatomical files does the dataset have: by its folders, or by a pybids database (the only user of pybids).

The folders of the asked subjects are listed here, because reading a dataset took 4.6 times as long by pybids, and all
that is asked of it is a list of paths (docs/performance.md). Subject, session and entities are read from the path
inside the dataset by `thalbids.bids.dataset.sidecars.parse`, as pybids matches its patterns against the absolute path,
where a folder above the dataset may be called ``sub-...``.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from thalbids.errors import MetadataError, OutputError, UsageError
from thalbids.files import names_in

LOG = logging.getLogger(__name__)

LABEL = r"[0-9A-Za-z+]+"
ENTITY = rf"[a-z]+-{LABEL}"
SUFFIXES = ("T1w", "UNIT1", "FLAIR", "R1map", "T1map", "T2w")
_DATABASE = "layout_index.sqlite"
_SESSION = re.compile(rf"ses-{LABEL}")
_IMAGE = re.compile(rf"(?:{ENTITY}_)+(?:{'|'.join(SUFFIXES)})\.nii(?:\.gz)?")


def index_anat(
    root: Path, subjects: Sequence[str], database_dir: Path | str | None = None, closed: Sequence[str] = ()
) -> list[Path]:
    """Paths (under ``root``) of these subjects' images in ``anat`` folders whose suffix is one of ours.

    With ``database_dir`` the pybids index of the whole dataset is read from there; it is made when there is none.
    ``closed`` are folders that may not be read, which end pybids (paths inside the dataset that start with a slash).

    Raises
    ------
    UsageError
        The database cannot be read, or belongs to another dataset.
    OutputError
        The database cannot be written.
    MetadataError
        pybids cannot index the dataset for its database.
    """
    if not database_dir:
        return [path for subject in subjects for path in _listed(root / f"sub-{subject}")]
    labels = "|".join(re.escape(label) for label in subjects)
    wanted = re.compile(_image_pattern(labels))
    inside = _from_database(root, Path(database_dir), closed)
    return [root / path[1:] for path in inside if wanted.fullmatch(path)]


def _listed(subject: Path) -> Iterator[Path]:
    """Images of ours in ``anat`` of a subject and of its sessions; a folder that cannot be read has none."""
    sessions = [name for name in names_in(subject) if _SESSION.fullmatch(name)]
    for folder in (subject, *(subject / session for session in sessions)):
        anat = folder / "anat"
        images = (anat / name for name in names_in(anat) if _IMAGE.fullmatch(name))
        yield from (path for path in images if not os.path.isdir(path))  # noqa: PTH112 (raises without permission)


def _image_pattern(labels: str) -> str:
    """Our images, as a path inside the dataset that starts with a slash."""
    return rf"/sub-(?:{labels})(?:/ses-{LABEL})?/anat/{_IMAGE.pattern}"


def _restriction(labels: str, closed: Sequence[str] = ()) -> re.Pattern[str]:
    """What pybids must not look at: all but our images and the folders on the way to them that may be read."""
    folders = rf"/sub-(?:{labels})(?:/ses-{LABEL})?(?:/anat)?"
    shut = "".join(f"|{re.escape(folder)}(?:/|$)" for folder in closed)
    return re.compile(rf"^(?:(?!(?:{folders}|{_image_pattern(labels)})$){shut})")


def _pybids(root: Path, ignore: re.Pattern[str], database: Path) -> list[str]:
    """Files that pybids reads from the database, which it makes, as paths that start with a slash (the dataset)."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about dataset_description.json, which we check ourselves
            # no config_filename: a layout_config.json in the dataset would be obeyed, and ends pybids when damaged
            indexer = BIDSLayoutIndexer(
                validate=False, index_metadata=False, ignore=[ignore], config_filename=".no-layout-config"
            )
            layout = BIDSLayout(str(root), validate=False, indexer=indexer, database_path=database)
        paths = _inside(layout.root, (str(path) for path in layout.get_files()))
        engine = layout.session.get_bind()
        layout.session.close()
        engine.dispose()  # else the database stays open
    except Exception as error:  # pybids', SQLAlchemy's and sqlite3's errors have no common ancestor
        problem = f"pybids cannot index the dataset ({type(error).__name__}: {error})."
        raise MetadataError(problem, "Check it with the BIDS validator.", root) from error
    if os.path.realpath(layout.root) != os.path.realpath(root):
        raise UsageError("the pybids database belongs to another dataset.", "Use another folder.", database)
    return paths


def _inside(root: str, paths: Iterable[str]) -> list[str]:
    start = os.path.abspath(root)  # noqa: PTH100 (resolve() would follow links)
    return [path.removeprefix(start).replace(os.sep, "/") for path in paths if path.startswith(start + os.sep)]


def _from_database(root: Path, folder: Path, closed: Sequence[str] = ()) -> list[str]:
    """The files by the database in this folder, which is made when it is not there."""
    every = _restriction(LABEL, closed)
    if not (folder / _DATABASE).exists():
        _make_database(root, folder, every)
    try:
        paths = _pybids(root, every, folder)
    except MetadataError as error:
        mend = "Delete it to have it made again, or use another folder."
        raise UsageError("the pybids database cannot be read.", mend, folder) from error
    there = [path for path in paths if os.path.lexists(root / path[1:])]
    if len(there) < len(paths):
        missing = len(paths) - len(there)
        LOG.warning("%s: out of date, %d of its files are no longer in the dataset; delete it.", folder, missing)
    return there


def _make_database(root: Path, folder: Path, ignore: re.Pattern[str]) -> None:
    """Index every subject into a temporary folder, then move the file: jobs started together never see half of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as temporary:
            _pybids(root, ignore, Path(temporary))
            (Path(temporary) / _DATABASE).replace(folder / _DATABASE)
    except OSError as error:
        problem = f"the pybids database cannot be written ({error.strerror or error})."
        raise OutputError(problem, "Use another folder with --bids-database-dir.", folder) from None
