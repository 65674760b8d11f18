"""FreeSurfer (Fischl et al. 2002; paper, 2.6.2): run ``recon-all``, or read results that exist, of versions 5 to 8."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from thalbids.errors import ImageError
from thalbids.image.grids import resample_to
from thalbids.image.io import load_labels
from thalbids.programs import FreeSurferSettings
from thalbids.tools.check import Check, program_check, said_version
from thalbids.tools.runner import Command, Finished, Runner, ToolError, runner_of, said, with_limit

NAME = "FreeSurfer"
PROGRAM = "recon-all"
LEFT, RIGHT = 10, 49
_ETIV = re.compile(
    r"^# Measure (?:EstimatedTotalIntraCranialVol|IntraCranialVol), (?:eTIV|ICV), .*?, ([0-9.eE+]+), mm\^3"
)
_NUMBER = re.compile(r"(?:freesurfer|-v|stable-pub-|[-_])[-_v]*(\d+\.\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Structure:
    """A row of ``aseg.stats``.

    Attributes
    ----------
    voxels : voxel count
    volume_mm3 : FreeSurfer's volume, corrected for partial volume
    """

    voxels: int
    volume_mm3: float


@dataclass(frozen=True)
class Stats:
    """What is read of ``aseg.stats``.

    Attributes
    ----------
    etiv_mm3 : estimated total intracranial volume; None when the file has none
    structures : thalami by label (10, 49), whatever their names (``Left-Thalamus-Proper``, ``Left-Thalamus``)
    version : FreeSurfer's version by the header; "" when it cannot be told
    """

    etiv_mm3: float | None
    structures: Mapping[int, Structure]
    version: str


@dataclass(frozen=True)
class ReconAllResults:
    """Results of one session.

    Attributes
    ----------
    folder : the subject's folder
    aseg : ``mri/aseg.mgz``
    stats : numbers of ``stats/aseg.stats``; None when the file is not there
    version : FreeSurfer's version; "" when it cannot be told
    matrix : (4, 4) RAS+ mm of the session's T1w to RAS+ mm of ``aseg``; the identity but for longitudinal results,
        which lie in the space of the base
    """

    folder: Path
    aseg: Path
    stats: Stats | None
    version: str
    matrix: np.ndarray

    def on(self, reference: nib.Nifti1Image) -> np.ndarray:
        """``aseg`` on another grid of the same world, by nearest neighbour; int32.

        Raises
        ------
        ToolError
            The image cannot be read, or its thalami do not lie in the reference.
        """
        labels = load_aseg(self.aseg)
        moved = np.asarray(resample_to(labels, reference, order=0, matrix=self.matrix).dataobj)
        for label, side in ((LEFT, "left"), (RIGHT, "right")):
            if not (moved == label).any():
                problem = f"the {side} thalamus (label {label}) of FreeSurfer lies nowhere in the T1w."
                raise ToolError(problem, "Is it a result of this T1w? Both must share scanner coordinates.", self.aseg)
        return moved


def load_aseg(path: Path) -> nib.Nifti1Image:
    """``aseg.mgz`` as a label image.

    Raises
    ------
    ToolError
        It cannot be read.
    """
    try:
        return load_labels(path)
    except ImageError as error:
        raise ToolError(f"{NAME}'s aseg cannot be read: {error.problem}", error.mend, path) from error


def find(subjects_dir: Path, subject: str, session: str | None, *, only_session: bool = True) -> Path | None:
    """The folder of a session in a subjects directory; None when there is none.

    ``sub-X_ses-Y``, then ``sub-X`` (only when X has no other session: it could be of any, and in the longitudinal
    stream it is the template of all).

    Parameters
    ----------
    subject, session : labels without ``sub-`` and ``ses-``
    only_session : the subject has no other session

    Raises
    ------
    ToolError
        A FreeSurfer that runs now (``IsRunning``) writes into it, or recon-all ended with an error in it.
    """
    names = [f"sub-{subject}_ses-{session}"] if session else []
    names += [f"sub-{subject}"] if only_session or not session else []
    return _first_whole([subjects_dir / name for name in names])


def find_long(subjects_dir: Path, subject: str, session: str | None) -> Path | None:
    """The folder of a session of the longitudinal stream (``sub-X_ses-Y.long.BASE``); None when there is none.

    The base may have any name; of several, the first by name is taken.

    Raises
    ------
    ToolError
        As in :func:`find`.
    """
    name = f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"
    return _first_whole(sorted(subjects_dir.glob(f"{name}.long.*")) if subjects_dir.is_dir() else [])


def _first_whole(places: Sequence[Path]) -> Path | None:
    for place in places:
        if place.is_dir() and not (place / "base-tps").exists():
            _check_whole(place)
            return place
    return None


def read(folder: Path) -> ReconAllResults:
    """Read the results of one session.

    Raises
    ------
    ToolError
        ``aseg.mgz`` is missing, ``aseg.stats`` cannot be understood, or the transform of a longitudinal result is not
        there.
    """
    aseg = folder / "mri" / "aseg.mgz"
    if not aseg.is_file():
        raise ToolError(f"{NAME}'s result has no mri/aseg.mgz.", "Run recon-all to its end.", folder)
    path = folder / "stats" / "aseg.stats"
    stats = read_stats(path) if path.is_file() else None
    version = _stamped(folder) or (stats.version if stats else "")
    return ReconAllResults(folder, aseg, stats, version, _from_session(folder))


def read_stats(path: Path) -> Stats:
    """Read ``aseg.stats`` of FreeSurfer 5 to 8; rows by number, as their names have changed.

    Raises
    ------
    ToolError
        It has no row for a thalamus, or another table than expected.
    """
    etiv: float | None = None
    columns: list[str] = []
    structures: dict[int, Structure] = {}
    header: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#"):
            header.append(line)
            match = _ETIV.match(line)
            etiv = float(match[1]) if match else etiv
            columns = line.split()[2:] if line.startswith("# ColHeaders") else columns
            continue
        cells = line.split()
        if len(cells) < 4:
            continue
        try:
            row = dict(zip(columns, cells, strict=False))
            label = int(row["SegId"])
            if label in (LEFT, RIGHT):
                structures[label] = Structure(round(float(row["NVoxels"])), float(row["Volume_mm3"]))
        except (KeyError, ValueError):
            raise ToolError(
                f"{NAME}'s aseg.stats cannot be understood (line {line.strip()[:60]!r}).", path=path
            ) from None
    gone = [str(label) for label in (LEFT, RIGHT) if label not in structures]
    if gone:
        raise ToolError(f"{NAME}'s aseg.stats has no row with SegId {' and '.join(gone)}.", path=path)
    return Stats(etiv, structures, _version_of_header(header))


def runner(settings: FreeSurferSettings) -> Runner:
    """The runner of recon-all."""
    return runner_of(settings)


def check(settings: FreeSurferSettings) -> Check:
    """Tell whether recon-all can run here; reading existing results needs nothing of this."""
    mend = "Install FreeSurfer and set FREESURFER_HOME, or give existing results: --fs-subjects-dir."
    program = program_check(NAME, runner(settings), PROGRAM, mend)
    if not program.ok:
        return program
    if settings.runner == "local" and not settings.command and not os.environ.get("FREESURFER_HOME"):
        return Check(
            NAME, "FREESURFER_HOME is not set.", "Source FreeSurfer's SetUpFreeSurfer.sh first.", program.where
        )
    if license_file(settings) is None:
        mend = (
            "Get one, free of charge, at https://surfer.nmr.mgh.harvard.edu/registration.html; then --fs-license-file."
        )
        return Check(NAME, "its licence file is not there.", mend, program.where)
    return program


def license_file(settings: FreeSurferSettings) -> Path | None:
    """The licence: of the settings, of the variable FS_LICENSE, or in FREESURFER_HOME."""
    named = [settings.license_file, *(Path(p) for p in [os.environ.get("FS_LICENSE")] if p)]
    home = os.environ.get("FREESURFER_HOME")
    if home and settings.runner == "local":
        named += [Path(home) / "license.txt", Path(home) / ".license"]
    return next((path.absolute() for path in named if path is not None and path.is_file()), None)


def version(settings: FreeSurferSettings) -> str | None:
    """``FreeSurfer 7.4.1``; None when it cannot be told."""
    text = said_version(runner(settings), (PROGRAM, "-version"))
    number = version_number(text or "")
    return f"{NAME} {number}" if number else None


def command(
    t1: Path, t2: Path | None, subjects_dir: Path, name: str, settings: FreeSurferSettings, *, threads: int = 1
) -> Command:
    """``recon-all -all`` on a T1w, with a T2w for the pial surface when there is one."""
    argv = [PROGRAM, "-all", "-s", name, "-sd", str(subjects_dir), "-i", str(t1)]
    argv += ["-T2", str(t2), "-T2pial"] if t2 is not None else []
    argv += ["-hires"] if settings.hires else []
    argv += ["-openmp", str(threads)] if threads > 1 else []
    licence = license_file(settings)
    folder = subjects_dir / name
    # FreeSurfer 8 stops without it ("cannot use ML routines"); earlier versions do not read it
    env = {"SUBJECTS_DIR": str(subjects_dir), "FS_ALLOW_DEEP": "1"}
    return with_limit(
        Command(
            tool=NAME,
            argv=(*argv, *settings.options),
            cwd=subjects_dir,
            env=env | ({"FS_LICENSE": str(licence)} if licence else {}),
            reads=tuple(path for path in (t1, t2, licence) if path is not None),
            writes=(subjects_dir,),
            expects=(folder / "mri" / "aseg.mgz", folder / "stats" / "aseg.stats"),
            threads=threads,
            log=subjects_dir / f"{name}.recon-all.log",
        ),
        settings,
    )


def run(
    t1: Path, t2: Path | None, subjects_dir: Path, name: str, settings: FreeSurferSettings, *, threads: int = 1,
    runs: Runner | None = None,
) -> tuple[ReconAllResults, Finished]:  # fmt: skip
    """Run recon-all into ``subjects_dir/name``, which must not exist.

    Raises
    ------
    ToolError
        It failed, the folder exists, or a path has a space, which breaks recon-all.
    """
    folder = subjects_dir / name
    check_paths((subjects_dir, t1, t2))
    if folder.exists():
        raise ToolError(f"{NAME}'s folder {name} is there already.", "Use it, or take it away first.", folder)
    call = command(t1, t2, subjects_dir, name, settings, threads=threads)
    finished = (runs or runner(settings)).run(call)
    _check_whole(folder)
    log = folder / "scripts" / "recon-all.log"
    if log.is_file() and "finished without error" not in log.read_text(encoding="utf-8", errors="replace")[-4000:]:
        raise ToolError(f"{NAME} did not finish. {said(log)}", path=log)
    return read(folder), finished


def check_paths(paths: Iterable[Path | None]) -> None:
    """Refuse paths that recon-all, a tcsh script, cannot work with.

    Raises
    ------
    ToolError
        There is a space in one.
    """
    for path in paths:
        if path is not None and any(character.isspace() for character in str(path)):
            problem = "recon-all cannot work with a space in a path."
            raise ToolError(problem, "Take a BIDS_DIR and an OUT_DIR without spaces.", path)


def version_number(text: str) -> str:
    """``7.4.1`` of ``freesurfer-linux-centos8_x86_64-7.4.1-20230614-7eb8460``, ``dev-20230101`` of a development build,
    ``5`` of ``stable5``; "" when there is none.
    """
    numbers = [number for number in _NUMBER.findall(text) if 4 <= int(number.split(".")[0]) <= 20]
    if numbers:
        return numbers[0]
    other = re.search(r"-(dev-\d{8}|dev|stable(?=(\d+)))", text)
    return "" if other is None else other[2] or other[1]


def _check_whole(folder: Path) -> None:
    scripts = folder / "scripts"
    if any(scripts.glob("IsRunning*")):
        mend = "Wait for it; if nothing runs any more, delete the file scripts/IsRunning*."
        raise ToolError(f"recon-all is at work on {folder.name} (scripts/IsRunning*).", mend, folder)
    if (scripts / "recon-all.error").exists():
        log = scripts / "recon-all.log"
        raise ToolError(f"recon-all ended with an error in {folder.name}. {said(log)}", path=log)


def _stamped(folder: Path) -> str:
    for name in ("scripts/build-stamp.txt", "scripts/lastest-fs-version.txt"):
        path = folder / name
        if path.is_file():
            return version_number(path.read_text(encoding="utf-8", errors="replace"))
    return ""


def _version_of_header(header: list[str]) -> str:
    """The number that FreeSurfer 7 and 8 write; of 5 and 6, which write CVS revisions, what the date allows."""
    for line in header:
        if line.startswith(("# cvs_version", "# BuildStamp", "# generating_version")):
            said_so = line.split(maxsplit=2)[-1]
            if re.match(r"\d+\.\d+", said_so):
                return re.split(r"[-\s]", said_so)[0]
            if number := version_number(said_so):
                return number
            dated = re.search(r" (20\d\d)/", said_so)
            if dated:
                return "5" if int(dated[1]) <= 2013 else "6"
    return ""


def image_of(folder: Path) -> Path | None:
    """FreeSurfer's image of the head in the space of ``aseg``, the least processed that there is."""
    places = (folder / "mri" / name for name in ("orig.mgz", "nu.mgz", "T1.mgz"))
    return next((path for path in places if path.is_file()), None)


def transform_of(folder: Path) -> Path | None:
    """The transform of a longitudinal result from the session to the base; None of others, and where it is missing."""
    session, _, base = folder.name.partition(".long.")
    places = (folder.parent / base / "mri" / "transforms", folder / "mri" / "transforms") if base else ()
    return next((path for place in places if (path := place / f"{session}_to_{base}.lta").is_file()), None)


def _from_session(folder: Path) -> np.ndarray:
    """RAS of the session to RAS of the folder's images; longitudinal results lie in the space of their base."""
    session, long, base = folder.name.partition(".long.")
    if not long:
        return np.eye(4)
    path = transform_of(folder)
    if path is not None:
        return read_lta(path)
    name = f"{session}_to_{base}.lta"
    problem = f"the transform {name} of the longitudinal result is not there."
    raise ToolError(problem, f"Keep the base {base} beside {folder.name}.", folder)


def read_lta(path: Path) -> np.ndarray:
    """(4, 4) RAS+ mm of the source to RAS+ mm of the destination, of a FreeSurfer LTA file with one linear transform.

    Types 0 (voxel to voxel) and 1 (RAS to RAS) are known; vox2ras of both volumes follows from the direction cosines,
    the voxel size and the centre c_ras, which is the voxel at half the size.

    Raises
    ------
    ToolError
        The file cannot be understood.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        kind = int(_field(text, "type")[0])
        after = text[text.index("1 4 4") + 5 :].split()
        matrix = np.array([float(word) for word in after[:16]]).reshape(4, 4)
        source, destination = (_vox2ras(text, part) for part in ("src volume info", "dst volume info"))
    except (ValueError, IndexError, TypeError):
        raise ToolError("the transform cannot be understood.", "Is it an LTA file of FreeSurfer?", path) from None
    if kind == 1:
        return matrix
    if kind == 0:
        return np.asarray(destination @ matrix @ np.linalg.inv(source))
    raise ToolError(f"a transform of type {kind} is not known.", "Types 0 and 1 are.", path)


def _vox2ras(text: str, part: str) -> np.ndarray:
    block = text[text.index(part) :].removeprefix(part)
    block = block.split("dst volume info")[0]
    size = np.array([float(word) for word in _field(block, "volume")[:3]])
    zooms = np.array([float(word) for word in _field(block, "voxelsize")[:3]])
    axes = np.array([[float(word) for word in _field(block, key)[:3]] for key in ("xras", "yras", "zras")]).T
    centre = np.array([float(word) for word in _field(block, "cras")[:3]])
    affine = np.eye(4)
    affine[:3, :3] = axes * zooms
    affine[:3, 3] = centre - affine[:3, :3] @ (size / 2)
    return affine


def _field(text: str, key: str) -> list[str]:
    match = re.search(rf"^{key}\s*=\s*(.*?)(?:\s*#.*)?$", text, re.MULTILINE)
    if match is None:
        raise ValueError(key)
    return match[1].split()
