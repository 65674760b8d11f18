"""From the derivatives of a participant to its page: what the steps wrote, read for ``thalbids.reports``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from thalbids import qc
from thalbids.bids.results import names
from thalbids.bids.results.documents import read_alignment
from thalbids.bids.results.norms import Norm
from thalbids.bids.results.outputs import read_json, read_table, sidecar
from thalbids.engine.params import IF_SET, Params
from thalbids.engine.step import Upstream
from thalbids.errors import MetadataError
from thalbids.participant.session import REGISTERED
from thalbids.participant.step_io import image_of
from thalbids.reports import Failure, MaskView, SessionReport, write_report
from thalbids.reports.text import setting

MAP, QUALITY, READOUT = "map ", "map quality", "maps in masks"  # keys of files
PROBABILITY = "probability "
T = TypeVar("T")
Row = dict[str, str | None]


@dataclass(frozen=True)
class ShownMask:
    """A mask on the page: its ``desc-`` label, the column ``image`` of its row, whose definition it follows."""

    desc: str
    image: str
    protocol: str

    def to_json(self) -> dict[str, str]:
        return {"desc": self.desc, "image": self.image, "protocol": self.protocol}


@dataclass(frozen=True)
class PageSession(Params):
    """One session of a page; ``files`` by their keys, relative to the output folder; ``steps``: all of its steps;
    ``norms``: what an earlier group level says of its volumes.
    """

    name: str
    session: str | None
    files: Mapping[str, str]
    methods: tuple[ShownMask, ...]
    steps: tuple[str, ...]
    problem: str
    norms: tuple[Norm, ...] = field(default=(), metadata=IF_SET)


@dataclass(frozen=True)
class PageParams(Params):
    """``change``, ``pairs``: the tables of whole-brain change and of every measure between visits, relative to the
    output folder; ``settings``: those that can change a result.
    """

    kind = "page"
    subject: str
    sessions: tuple[PageSession, ...]
    change: str
    pairs: str
    settings: Mapping[str, Any]
    version: str


def write(page: Path, params: PageParams, upstream: Upstream) -> list[Path]:
    """Write ``sub-X.html`` and its figures; gives the figures."""
    out_dir = page.parent
    (change, pairs), damaged = between_visits(out_dir, params)
    sessions = [
        replace(
            session_report(out_dir, session, upstream),
            brain_change=[row for row in change if row["session_id_followup"] == f"ses-{session.session}"],
        )
        for session in params.sessions
    ]
    if damaged and sessions:
        sessions[-1] = replace(sessions[-1], failures=[*sessions[-1].failures, *damaged])
    provenance = {
        "Versions": versions(out_dir, params),
        "Command": _command(params.settings),
        "Settings": {key: setting(value) for key, value in params.settings.items()},
        "Fingerprints": fingerprints(out_dir, params.sessions),
    }
    return write_report(page, params.subject, sessions, provenance, pairs)


def between_visits(out_dir: Path, params: PageParams) -> tuple[list[list[Row]], list[Failure]]:
    """The rows of whole-brain change and of every measure between visits, and which table cannot be read."""
    tables: list[list[Row]] = []
    damaged = []
    for name in (params.change, params.pairs):
        path, rows = out_dir / name, []
        try:
            rows = read_table(path) if path.exists() else []
            if any("session_id_followup" not in row for row in rows):
                raise MetadataError("no column session_id_followup.", "Run participant again.", path)
        except MetadataError as error:
            rows = []
            damaged.append(Failure("change between visits", f"{path.name} cannot be read: {error.problem}"))
        tables.append(rows)
    return tables, damaged


def _command(settings: Mapping[str, Any]) -> dict[str, str]:
    """What to type for these results, with the settings below; how many processes ran is no part of it."""
    named = [str(name) for name in settings.get("methods", ["auto"])]
    methods = "" if named == ["auto"] else f" --methods {' '.join(named)}"
    return {"these results come from": f"thalbids BIDS_DIR OUTPUT_DIR participant{methods}"}


def session_report(out_dir: Path, session: PageSession, upstream: Upstream) -> SessionReport:
    """What the page shows of one session; a file that cannot be read is missing, and named among the failures."""
    damaged: list[Failure] = []

    def read(what: str, reader: Callable[[Path], T]) -> T | None:
        try:
            return reader(there[what]) if what in there else None
        except MetadataError as error:
            name = (error.path or there[what]).name
            damaged.append(Failure(what, f"{name} cannot be read: {error.problem}"))
            return None

    files = {key: out_dir / name for key, name in session.files.items()}
    there = {key: path for key, path in files.items() if path.exists()}
    volumes = read("volumes", read_table) or []
    without = {row["method"] for row in volumes if row["status"] == "missing"}  # its mask is there and not current
    masks = [
        MaskView(m.desc, names.by_desc(m.desc).label, m.image, there[m.desc], m.protocol)
        for m in session.methods
        if m.desc in there and m.desc not in without
    ]
    results = [upstream[name] for name in session.steps if name in upstream]
    failures = [
        Failure(r.name.removeprefix(f"{session.name} "), r.reason)
        for r in results
        if r.status in ("failed", "lost", "excluded")
    ]
    if session.problem and not failures:
        failures = [Failure("inputs", session.problem)]
    document, icv, readout = read("qc", qc.read), read("icv", read_table), read(READOUT, read_table)
    aligned, maps_qc = read("alignment", read_alignment), read(QUALITY, read_json)
    scaling = (read("scaled R1map", told) or {}).get("Scaling")
    return SessionReport(
        session=session.session,
        t1w=there.get("T1w"),
        brain=there.get("brain"),
        registered={name: there[name] for name in REGISTERED if name in there},
        reference=image_of(session.files["T1w"]),
        masks=masks,
        qc=document,
        volumes=volumes,
        icv=icv or [],
        failures=[*failures, *damaged],
        links=links(session, there),
        scaled=there.get("scaled R1map"),
        scaling=scaling if isinstance(scaling, dict) else {},
        alignment=aligned,
        maps={key.removeprefix(MAP): path for key, path in there.items() if key.startswith(MAP) and key != QUALITY},
        maps_qc=maps_qc,
        readout=readout or [],
        probabilities={
            mask.method: there[PROBABILITY + mask.method] for mask in masks if PROBABILITY + mask.method in there
        },
        norms=session.norms,
    )


def told(image: Path) -> dict[str, Any]:
    """What the sidecar of an image says; nothing where there is none.

    Raises
    ------
    MetadataError
        It cannot be read.
    """
    path = sidecar(image)
    return read_json(path) if path.exists() else {}


def links(session: PageSession, there: Mapping[str, Path]) -> dict[str, str]:
    """Tables and sidecars beside the page, by name."""
    relative = {key: Path(name) for key, name in session.files.items() if key in there}
    out = {f"{key} (table)": relative[key].as_posix() for key in ("volumes", "icv", READOUT) if key in relative}
    out |= {"quality control": relative["qc"].as_posix()} if "qc" in relative else {}
    out |= {"quality control of maps": relative[QUALITY].as_posix()} if QUALITY in relative else {}
    for key, path in relative.items():
        if path.name.endswith(".nii.gz") and key != f"{MAP}R1map":  # that stands there as R1map
            out[f"{_shown(key, path)} (sidecar)"] = sidecar(path).as_posix()
    return out


def _shown(key: str, path: Path) -> str:
    """The name of a result for people: ``T1w`` stands for what takes its place, too."""
    return image_of(path.name) if key == "T1w" else key


def versions(out_dir: Path, params: PageParams) -> dict[str, str]:
    """The versions that made the results, as their records tell; of thalbids, whose records hold what results depend
    on (``0.1``), that of the page, and the other one only where it is another.
    """
    programs: dict[str, str] = {"thalbids": params.version}
    for session in params.sessions:
        programs |= _provenance(out_dir / session.files["qc"]).get("Versions", {})
    results = programs["thalbids"]
    same = f"{params.version}.".startswith(f"{results}.")
    return programs | {"thalbids": params.version if same else f"{params.version}, results by {results}"}


def fingerprints(out_dir: Path, sessions: Sequence[PageSession]) -> dict[str, str]:
    """The fingerprint of every result that the page shows."""
    prints = {}
    for session in sessions:
        for key, name in session.files.items():
            path = out_dir / name
            record = path if path.suffix == ".json" else sidecar(path)
            fingerprint = _provenance(record).get("Fingerprint")
            if fingerprint:
                prints[f"{session.name} {_shown(key, path)}"] = fingerprint
    return prints


def _provenance(record: Path) -> dict[str, Any]:
    """How a result was made; nothing where its record is not there or cannot be read."""
    try:
        provenance = read_json(record).get("Provenance") if record.exists() else None
    except MetadataError:
        return {}
    return provenance if isinstance(provenance, dict) else {}
