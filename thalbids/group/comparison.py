"""Every mask of a session, read once: counts against the raters' masks, between the raters, and between the methods.

One :class:`Job` is one session. Jobs do not depend on one another, so they are shared out among processes; results do
not depend on how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from thalbids.errors import ImageError, ThalbidsError
from thalbids.group import manual_doubts
from thalbids.image import overlap, sparse
from thalbids.image.overlap import Counts
from thalbids.image.sparse import SparseMask
from thalbids.image.surface import Surface

METRICS = ("dice", "precision", "sensitivity", "volume_similarity", "hd95_mm", "assd_mm")
ANOTHER_PERSON = 0.1  # a mask whose Dice coefficient with every method is below this is not of this thalamus
CHANGED_VOLUME = 0.05  # a change of volume by resampling above this share is told as a warning
OUTSIDE = 0.01  # and so is a larger share of a mask beyond the field of view


@dataclass(frozen=True)
class SessionMasks:
    """The masks of one session.

    Attributes
    ----------
    participant_id, session_id : ``sub-01``, ``ses-1`` (None where there are no sessions)
    methods : mask file of each method, all on one grid as a rule; the first one readable gives the grid
    raters : mask file of each rater, on any grid
    contained : methods between which containment is counted; without raters no other is read
    """

    participant_id: str
    session_id: str | None
    methods: Mapping[str, Path]
    raters: Mapping[str, Path] = field(default_factory=dict)
    contained: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``sub-01_ses-1``."""
        return self.participant_id + (f"_{self.session_id}" if self.session_id else "")


@dataclass
class Compared:
    """What the masks of one session say; plain numbers and words that travel between processes.

    Attributes
    ----------
    overlap : one row per rater and method (columns of ``group_overlap.tsv``)
    raters : one row per pair of raters
    common : voxels in common of each pair of ``contained`` methods, row by row in the order of ``names``
    notes : what was repaired or resampled; warnings start with ``warning:``
    problems : what could not be used, and why
    """

    participant_id: str
    session_id: str | None
    overlap: list[dict[str, object]] = field(default_factory=list)
    raters: list[dict[str, object]] = field(default_factory=list)
    names: tuple[str, ...] = ()
    common: tuple[tuple[int, ...], ...] = ()
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def compare_all(
    jobs: Sequence[SessionMasks], nprocs: int = 1, another_person: float = ANOTHER_PERSON
) -> list[Compared]:
    """Compare the masks of every job, in the order of the jobs.

    Raises
    ------
    ThalbidsError
        A process was killed.
    """
    limits = [another_person] * len(jobs)
    if nprocs == 1 or len(jobs) < 2:
        return [compare(job, limit) for job, limit in zip(jobs, limits, strict=True)]
    chunk = max(1, min(16, len(jobs) // (4 * nprocs)))
    try:
        with ProcessPoolExecutor(nprocs, mp_context=get_context("spawn")) as pool:
            return list(pool.map(compare, jobs, limits, chunksize=chunk))
    except BrokenProcessPool:
        problem = "a process that compared masks was killed."
        raise ThalbidsError(problem, "Memory may be short: run again with fewer --nprocs.") from None


def compare(job: SessionMasks, another_person: float = ANOTHER_PERSON) -> Compared:
    """Read the masks of one session and compare them."""
    compared = Compared(job.participant_id, job.session_id)
    wanted = list(job.methods) if job.raters else [name for name in job.methods if name in job.contained]
    methods = _read(job, {name: job.methods[name] for name in wanted}, compared)
    raters = as_drawn = _read(job, job.raters, compared)
    reference = next(iter((*methods.values(), *raters.values())), None)
    if reference is None:
        return compared
    volumes = {name: mask.volume_mm3 / 1000 for name, mask in (*methods.items(), *raters.items())}
    methods = {name: _onto(job, name, mask, reference, compared) for name, mask in methods.items()}
    raters = {name: _onto(job, name, mask, reference, compared) for name, mask in raters.items()}
    order = [*methods, *raters]
    common = sparse.pair_counts([*methods.values(), *raters.values()])
    place = {name: i for i, name in enumerate(order)}
    inside = [name for name in methods if name in job.contained]
    compared.names = tuple(inside)
    compared.common = tuple(tuple(int(common[place[a], place[b]]) for b in inside) for a in inside)
    if raters:
        surfaces = {name: Surface.of(mask) for name, mask in (*methods.items(), *raters.items())}
        _against_raters(compared, methods, raters, common, place, surfaces, volumes, another_person)
        _doubt_raters(job, compared, methods, raters, as_drawn, common, place)
        _between_raters(compared, raters, common, place, surfaces, volumes)
    return compared


def metrics(c: Counts, one: Surface, other: Surface) -> dict[str, object]:
    """Counts and every measure of :data:`METRICS`; an empty mask makes all of them NaN."""
    numbers: dict[str, object] = {"tp": c.tp, "fp": c.fp, "fn": c.fn}
    if c.tp + c.fp == 0 or c.tp + c.fn == 0:
        return numbers | dict.fromkeys(METRICS, math.nan)
    distances = one.distances(other)
    return numbers | {
        "dice": overlap.dice(c),
        "precision": overlap.precision(c),
        "sensitivity": overlap.sensitivity(c),
        "volume_similarity": overlap.volume_similarity(c),
        "hd95_mm": distances.hd95_mm,
        "assd_mm": distances.assd_mm,
    }


def _read(job: SessionMasks, paths: Mapping[str, Path], compared: Compared) -> dict[str, SparseMask]:
    """The masks that can be read; the others become problems."""
    masks = {}
    for name, path in paths.items():
        try:
            masks[name] = sparse.load_mask(path)
        except ImageError as error:
            compared.problems.append(f"{job.name}: the mask of {name} ({path.name}) cannot be used: {error.problem}")
            continue
        compared.notes += [f"{job.name}: {name}: {note}" for note in masks[name].notes]
    return masks


def _onto(job: SessionMasks, name: str, mask: SparseMask, reference: SparseMask, compared: Compared) -> SparseMask:
    """The mask on the session's grid, with what that did to it."""
    if mask.same_grid(reference):
        return mask
    moved, outside = sparse.onto(mask, reference.shape, reference.affine)
    change = moved.volume_mm3 / mask.volume_mm3 - 1 if mask.voxels else 0.0
    percent = round(100 * change, 2) + 0.0  # no "-0.00"
    said = (
        f"{job.name}: the mask of {name} ({mask.grid}) was put on the session's grid ({reference.grid}) by its header: "
        f"{mask.volume_mm3 / 1000:.3f} mL became {moved.volume_mm3 / 1000:.3f} mL ({percent:+.2f} %)"
    )
    if outside > 0:
        said += f", {100 * outside:.1f} % of it lies outside the field of view"
    doubtful = abs(change) > CHANGED_VOLUME or outside > OUTSIDE
    compared.notes.append(("warning: " if doubtful else "") + said + ".")
    return moved


def _against_raters(
    compared: Compared, methods: Mapping[str, SparseMask], raters: Mapping[str, SparseMask], common: np.ndarray,
    place: Mapping[str, int], surfaces: Mapping[str, Surface], volumes: Mapping[str, float], another_person: float,
) -> None:  # fmt: skip
    """Rows of raters x methods; a mask that meets none of the methods' is another person's."""
    for rater, reference in raters.items():
        rows: list[dict[str, object]] = []
        for method, mask in methods.items():
            both = int(common[place[rater], place[method]])
            c = Counts(both, mask.voxels - both, reference.voxels - both)
            rows.append(
                {
                    "participant_id": compared.participant_id,
                    "session_id": compared.session_id,
                    "rater": rater,
                    "method": method,
                    **metrics(c, surfaces[rater], surfaces[method]),
                    "volume_ml": volumes[method],
                    "volume_rater_ml": volumes[rater],
                    "status": "ok",
                    "reason": _empty(c),
                    "doubt": "",
                }
            )
        best = _best_dice(rows, math.nan)
        if not reference.voxels and volumes[rater] > 0:
            best = 0.0  # it lies outside the field of view
        if best < another_person:
            met = {0: "lies outside the image", 1: f"does not meet the mask of {next(iter(methods), '')}"}
            meets = met.get(len(rows), f"meets none of the {len(rows)} methods' masks")
            dice = f" (Dice at most {best:.3f})" if rows else ""
            reason = f"the mask of {rater} {meets}{dice}: it is of another person or in another space"
            for row in rows:
                row |= {"status": "excluded", "reason": reason}
            compared.problems.append(f"{_name(compared)}: {reason}.")
        compared.overlap += rows


def _best_dice(rows: Sequence[Mapping[str, object]], none: float) -> float:
    """The largest Dice coefficient of a rater's rows; ``none`` where they have none."""
    return max((float(str(row["dice"])) for row in rows if row["dice"] == row["dice"]), default=none)


def _doubt_raters(
    job: SessionMasks, compared: Compared, methods: Mapping[str, SparseMask], raters: Mapping[str, SparseMask],
    as_drawn: Mapping[str, SparseMask], common: np.ndarray, place: Mapping[str, int],
) -> None:  # fmt: skip
    """Say which of the raters' masks is in doubt; its rows count all the same."""
    for rater, mask in raters.items():
        rows = [row for row in compared.overlap if row["rater"] == rater]
        excluded = any(row["status"] == "excluded" for row in rows)
        order = {name: place[name] for name in methods} | {manual_doubts.RATER: place[rater]}
        shared = {one: {other: int(common[i, j]) for other, j in order.items()} for one, i in order.items()}
        said = [] if excluded else [manual_doubts.contradicted(methods, mask, shared)]
        if excluded or said != [""]:
            said.append(manual_doubts.lost_header(as_drawn[rater], methods, _best_dice(rows, 0.0)))
        said.append(manual_doubts.exchanged_labels(job.raters[rater], as_drawn[rater].affine))
        doubt = "; ".join(filter(None, said))
        for row in rows:
            row["doubt"] = doubt
        if doubt:
            compared.problems.append(f"{job.name}: the mask of {rater} is in doubt: {doubt}.")


def _between_raters(
    compared: Compared, raters: Mapping[str, SparseMask], common: np.ndarray, place: Mapping[str, int],
    surfaces: Mapping[str, Surface], volumes: Mapping[str, float],
) -> None:  # fmt: skip
    """Rows of pairs of raters."""
    excluded = {row["rater"] for row in compared.overlap if row["status"] == "excluded"}
    names = list(raters)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            both = int(common[place[first], place[second]])
            c = Counts(both, raters[second].voxels - both, raters[first].voxels - both)
            out = sorted(str(name) for name in excluded & {first, second})
            compared.raters.append(
                {
                    "participant_id": compared.participant_id,
                    "session_id": compared.session_id,
                    "rater": first,
                    "rater2": second,
                    **metrics(c, surfaces[first], surfaces[second]),
                    "volume_ml": volumes[first],
                    "volume2_ml": volumes[second],
                    "status": "excluded" if out else "ok",
                    "reason": f"the mask of {' and '.join(out)} is of another person" if out else _empty(c),
                }
            )


def _empty(c: Counts) -> str:
    """Why a row has no measures."""
    empty = [what for what, n in (("the reference", c.tp + c.fn), ("the other mask", c.tp + c.fp)) if n == 0]
    return f"empty mask: {' and '.join(empty)}" if empty else ""


def _name(compared: Compared) -> str:
    return compared.participant_id + (f"_{compared.session_id}" if compared.session_id else "")


def problems_of(compared: Iterable[Compared]) -> tuple[list[str], list[str]]:
    """Notes and problems of all sessions, in their order."""
    notes, problems = [], []
    for session in compared:
        notes += session.notes
        problems += session.problems
    return notes, problems
