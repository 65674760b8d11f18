"""The table of change of one person: every pair of visits by every method, whatever became of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from thalbids.bids.results.derivatives import number
from thalbids.bids.results.dictionaries import CHANGE_COLUMNS, CHANGE_MORPH
from thalbids.bids.results.documents import read_alignment, read_document
from thalbids.bids.results.outputs import read_json, read_table, write_table
from thalbids.engine.params import Params
from thalbids.engine.step import Done, Inputs, Outputs, Upstream, recorded_as
from thalbids.errors import MetadataError
from thalbids.longitudinal.difference import Z95, difference, interval, pairs_of
from thalbids.longitudinal.series import Gap, consistent, gaps
from thalbids.participant.session import SessionPlan, SubjectPlan
from thalbids.participant.stages.person import alignment, registered, siena
from thalbids.participant.step_io import there
from thalbids.qc import visits as qc_visits
from thalbids.qc.measures import asymmetry_index

DIFFERENCE, REGISTRATION, PBVC = "volume_difference", "registration", "pbvc"  # measures
KNOWN_SD, KNOWN_SHARE = 0.0037, 0.16  # error of the logarithm on known change: alone, and of it (docs/methods.md)
NOISE_FACTOR = 4.0  # error without change over what least squares tell, on known change (docs/methods.md)
RANK = ("excluded", "failed", "missing")  # which status of two visits is that of the pair
VOLUMES = ("volume_mm3", "volume_left_mm3", "volume_right_mm3", "volume_low_mm3", "volume_high_mm3")
READ = ("method", "image", "status", *VOLUMES)  # columns of a volume table
AGENT = (
    "a contrast agent in one of the two visits: choroid plexus and veins at the border of the thalamus become "
    "brighter, which registration reads as growth (4 to 8 % on simulated scans)"
)
ODD = 0.003  # share of the border: 0 - .0016 on simulated second scans, .004 - .026 with a contrast agent
ODD_WHY = (
    "blur or motion of one visit, a contrast agent that no sidecar names, something else that one visit alone shows, "
    "or a change of a part"
)
COARSE = ("visit_voxel_size", "visit_slice_thickness")  # rules of a pair that blur the border of one visit alone
COARSE_WHY = "voxels or slices of two sizes blur the border of one visit more than that of the other"
AGENT_WHY = "what the contrast agent of one visit makes brighter"
COPY_SD = 1e-6  # SD of the change by what differs between the images; the noise of two scans leaves about 5e-4
COPIED = "both visits hold the same image, noise and all: was a scan copied?"
NO_INTERVAL = "no interval: no uncertainty is known of both volumes"
NOT_ALIKE = "no interval: not known for visits that are not comparable"
LOGARITHMS = {"LogBoth": "volume_ml", "LogLeft": "volume_left_ml", "LogRight": "volume_right_ml"}  # of these changes
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class ChangeVisit(Params):
    """A visit: label without ``ses-``, years since the first dated one, and why nothing could be measured."""

    session: str
    years: float | None
    problem: str


@dataclass(frozen=True)
class ChangeParams(Params):
    """``visits``: in order of time, of labels where a date is missing."""

    kind = "change"
    visits: tuple[ChangeVisit, ...]
    dictionary: Mapping[str, Any]


@dataclass(frozen=True)
class VisitResults:
    """What is known of a visit: rows by method, the QC document, whether there is an image, why it does not lie on the
    first one and whether as its mirror image, and which files cannot be read.
    """

    visit: ChangeVisit
    rows: Mapping[str, Mapping[str, str | None]]
    document: Mapping[str, Any]
    image: bool
    apart: str
    mirrored: bool
    faults: Mapping[str, str]

    @property
    def told(self) -> list[str]:
        """Why it may be another person, and which files cannot be read, for the reason of a row."""
        return [f"ses-{self.visit.session}: {words}" for words in (self.apart, *self.faults.values()) if words]

    @property
    def doubts(self) -> list[tuple[str, str]]:
        """Rule and words that speak against every pair with this visit."""
        if not self.apart:
            return []
        rule, words = (
            (qc_visits.MIRRORED_VISIT, "left and right may be exchanged")
            if self.mirrored
            else (qc_visits.OTHER_PERSON, "it may show another person")
        )
        return [(rule, f"ses-{self.visit.session}: {words}")]


@dataclass(frozen=True)
class _Movement:
    """A change by registration: the place of its row in the table, the row of the volumes, and what was measured."""

    place: int
    volumes: Row
    first: VisitResults
    later: VisitResults
    measured: Mapping[str, Any]

    @property
    def pair(self) -> tuple[str, str]:
        return self.first.visit.session, self.later.visit.session


def table_of(subject: SubjectPlan) -> Path:
    """The table of all pairs of a person."""
    return subject.file("desc-change_morph.tsv")


def add_steps(subject: SubjectPlan) -> None:
    """One step, after everything that is measured of each visit and between visits."""
    labelled = [plan for plan in subject.sessions if plan.session.session is not None]
    if len(labelled) < 2:
        return
    inputs: dict[str, Path | None] = {"siena": siena.table_of(subject)}
    visits = in_time(labelled, subject.years)
    first = subject.first or labelled[0]
    for plan in (plan for plan in labelled if plan.usable):
        inputs |= {f"{plan.session.session} volumes": plan.volumes, f"{plan.session.session} qc": plan.qc}
        inputs[f"{plan.session.session} image"] = plan.t1w
        if plan is not first:
            inputs[f"{plan.session.session} alignment"] = alignment.path_of(plan, first)
    usable = {str(plan.session.session): plan for plan in labelled if plan.usable}
    for one, two in dated_pairs(visits):
        if one in usable and two in usable and registered.add_step(subject, usable[one], usable[two]):
            inputs[f"{one} {two} registered"] = registered.path_of(subject, one, two)
    subject.add(
        "change",
        change,
        subject.own[-1],
        inputs=inputs,
        outputs={"table": table_of(subject)},
        params=ChangeParams(visits=visits, dictionary=CHANGE_MORPH),
        after=tuple(step.name for step in subject.all_steps),
        version=14,  # what registration sees at the border, and blur, speak against the difference of volumes too
    )


def in_time(plans: Sequence[SessionPlan], years: Mapping[str, float]) -> tuple[ChangeVisit, ...]:
    """The visits in order of time where all are dated, else as they stand."""
    visits = [
        ChangeVisit(str(plan.session.session), years.get(str(plan.session.session)), plan.session.problem or "")
        for plan in plans
    ]
    dated = all(visit.years is not None for visit in visits)
    return tuple(sorted(visits, key=lambda visit: visit.years or 0.0) if dated else visits)


def dated_pairs(visits: Sequence[ChangeVisit]) -> list[tuple[str, str]]:
    """The labels of each pair: the earlier one first where both are dated, also where another visit is not."""
    years = {visit.session: visit.years for visit in visits}
    first = next((visit.session for visit in visits if not visit.problem), visits[0].session)
    pairs = []
    for one, two in pairs_of(list(years), first):
        before, after = years[one], years[two]
        turned = before is not None and after is not None and before > after
        pairs.append((two, one) if turned else (one, two))
    return pairs


@recorded_as("thalbids.participant.change")
def change(inputs: Inputs, outputs: Outputs, params: ChangeParams, upstream: Upstream) -> Done:
    """Every pair of visits by every method that measured one of them; then whole-brain change."""
    seen = {visit.session: _seen(inputs, visit) for visit in params.visits}
    rows: list[Row] = []
    moves: dict[str, list[_Movement]] = {}
    for one, two in dated_pairs(params.visits):
        first, later = seen[one], seen[two]
        methods = dict.fromkeys([*first.rows, *later.rows]) or {"": None}
        record = there(inputs, f"{one} {two} registered")
        moved = read_json(record)["Changes"] if record else {}
        odd = min((one["OddShare"] for one in moved.values() if "OddShare" in one), default=0.0)  # by every mask
        for method in methods:
            of_reference = _of_reference(first, later, method)  # whose border registration looks at
            rows.append(row_of(first, later, method, odd if of_reference else 0.0))
            apart = _contrasts(first, later) if of_reference else ""
            if method in moved:
                moves.setdefault(method, []).append(_Movement(len(rows), rows[-1], first, later, moved[method]))
                rows.append(by_registration(rows[-1], first, later, moved[method]))
            elif apart:
                why = "; ".join(filter(None, [rows[-1]["reason"], apart]))
                told = by_registration(rows[-1], first, later, {"Status": "missing", "Reason": apart})
                rows.append(told | {"reason": why})
    for of_method in moves.values():
        rows = _made_to_agree(rows, of_method)
    whole_brain = there(inputs, "siena")
    rows += [_whole_brain(row, seen) for row in read_table(whole_brain)] if whole_brain else []
    write_table(outputs["table"], rows, CHANGE_COLUMNS)
    return Done({"table": params.dictionary})


def _seen(inputs: Inputs, visit: ChangeVisit) -> VisitResults:
    paths = {what: there(inputs, f"{visit.session} {what}") for what in ("volumes", "qc", "alignment")}
    faults: dict[str, str] = {}
    volumes = _readable(_volume_rows, paths["volumes"], "volumes", faults) or []
    document = _readable(read_document, paths["qc"], "qc", faults) or {}
    record = _readable(read_alignment, paths["alignment"], "alignment", faults)
    apart = alignment.other_person(record) if record else ""
    mirrored = record is not None and alignment.mirrored(record)
    image = there(inputs, f"{visit.session} image") is not None
    rows = {str(row["method"]): row for row in volumes}
    return VisitResults(visit, rows, document, image, apart, mirrored, faults)


def _readable(read: Callable[[Path], T], path: Path | None, what: str, faults: dict[str, str]) -> T | None:
    """What a file holds; None where it is not there or cannot be read, which ``faults`` then tells."""
    try:
        return None if path is None else read(path)
    except MetadataError as error:
        faults[what] = f"{path.name if path else what} cannot be read: {error.problem}"
        return None


def _volume_rows(path: Path) -> list[dict[str, str | None]]:
    rows = read_table(path)
    lacking = [name for name in READ if any(name not in row for row in rows)]
    if lacking:
        raise MetadataError(f"no column {', '.join(lacking)}.", "Run participant again.", path)
    return rows


def row_of(first: VisitResults, later: VisitResults, method: str, odd: float = 0.0) -> Row:
    """One pair by one method; ``method`` is "" where neither visit has a volume table. ``odd`` is the share of the
    border at which the images of the two visits differ by more than a movement explains.
    """
    row = _start(first, later) | {"method": method, "measure": DIFFERENCE}
    row |= _flags(first, later, method)
    row |= _odd_border(row, odd)
    lacking = [_lacking(one, method) for one in (first, later)]
    if any(lacking):
        status = next(name for name in RANK if any(lack and lack[0] == name for lack in lacking))
        told = [*(lack[1] for lack in lacking if lack), *first.told, *later.told]
        return row | {"status": status, "reason": "; ".join(dict.fromkeys(told))}
    before, after = (_volumes(one.rows[method]) for one in (first, later))
    years = _years(first, later)
    row |= difference(before, after, years)
    reasons = [] if years else [_no_rate(years)]
    bounds = interval(before, after, str(first.rows[method]["image"]))
    if bounds is None:
        reasons.append(NO_INTERVAL)
    elif row.get("comparable") == "no":
        reasons.append(NOT_ALIKE)
    else:
        row |= {"delta_percent_low": bounds[0], "delta_percent_high": bounds[1], "interval_source": "uncertainty"}
    apart = bool(first.apart or later.apart)
    return row | {"status": "excluded" if apart else "ok", "reason": "; ".join([*first.told, *later.told, *reasons])}


def by_registration(row: Row, first: VisitResults, later: VisitResults, measured: Mapping[str, Any]) -> Row:
    """The row of the same pair and method by registration, beside that of the volumes (``row``)."""
    kept = ("session_id_baseline", "session_id_followup", "interval_years", "method", "comparable", "flags", "remark")
    row_of_change = {name: row[name] for name in kept if name in row} | {
        "measure": REGISTRATION,
        "status": row["status"],
    }
    before = row.get("volume_baseline_ml")
    if before is None or "Reason" in measured:
        status = row_of_change["status"] if before is None else measured.get("Status", "failed")
        return row_of_change | {"status": status, "reason": row["reason"] if before is None else measured["Reason"]}
    row_of_change |= _odd_border(row, measured["OddShare"])
    if measured["NoiseSd"] < COPY_SD:
        row_of_change["remark"] = "; ".join(filter(None, (row_of_change.get("remark"), COPIED)))
    years = _years(first, later)
    volumes = _volumes(first.rows[row["method"]])
    after = {name: volumes[name] * math.exp(measured[key]) for key, name in LOGARITHMS.items() if name in volumes}
    row_of_change |= difference(volumes, after, years)
    reasons = [] if years else [_no_rate(years)]
    if row_of_change.get("comparable") == "yes":
        half = Z95 * registration_sd(measured["LogBoth"], measured["NoiseSd"])
        ends = [100 * math.expm1(measured["LogBoth"] + sign * half) for sign in (-1, 1)]
        row_of_change |= {
            "delta_percent_low": ends[0],
            "delta_percent_high": ends[1],
            "interval_source": "known_change",
        }
    elif row_of_change.get("comparable") == "no":
        reasons.append(NOT_ALIKE)
    else:
        reasons.append("no interval: comparability unknown")
    agent = "visit_contrast_agent" in str(row.get("flags")).split(", ")
    row_of_change |= {"status": "excluded"} if agent else {}
    return row_of_change | {"reason": "; ".join([*first.told, *later.told, *([AGENT] if agent else []), *reasons])}


def _odd_border(row: Row, share: float) -> Row:
    """What is to be added to a row (its flags, remark) where so large a share of the border differs by more than a
    movement explains.
    """
    flags = [part for part in str(row.get("flags") or "").split(", ") if part]
    if share <= ODD or qc_visits.BORDER in flags:
        return {}
    why = COARSE_WHY if set(flags) & set(COARSE) else AGENT_WHY if "visit_contrast_agent" in flags else ODD_WHY
    remark = f"{100 * share:.1f} % of the border differ by more than a movement explains: {why}"
    return {
        "comparable": "no",
        "flags": ", ".join([*flags, qc_visits.BORDER]),
        "remark": "; ".join(filter(None, (row.get("remark"), remark))),
    }


def registration_sd(log: float, noise: float) -> float:
    """SD of a change by registration (logarithm), with what least squares tell of its noise; never less than known, as
    real visits differ by more than noise.
    """
    return math.hypot(max(KNOWN_SD, NOISE_FACTOR * noise), KNOWN_SHARE * log)


def _made_to_agree(rows: Sequence[Row], moves: Sequence[_Movement]) -> list[Row]:
    """The rows of the table, where changes by registration of one method add up along the visits: those with an
    interval. A pair that is not comparable would spoil the others, and keeps its own change.
    """
    rows = list(rows)
    used = {move.pair: move for move in moves if _usable(rows[move.place])}
    alone = {pair: move.measured["LogBoth"] for pair, move in used.items()}
    sds = {pair: registration_sd(alone[pair], move.measured["NoiseSd"]) for pair, move in used.items()}
    wide = [gap for gap in gaps(alone, sds) if abs(gap.lack) > gap.sd]
    sides = {key: consistent({pair: move.measured[key] for pair, move in used.items()}) for key in LOGARITHMS}
    for pair, move in used.items():
        agreed = {key: sides[key][pair] for key in LOGARITHMS}
        if any(agreed[key] != move.measured[key] for key in LOGARITHMS):
            row = by_registration(move.volumes, move.first, move.later, {**move.measured, **agreed})
            rows[move.place] = row | {"delta_percent_alone": 100 * math.expm1(alone[pair])}
        told = [rows[move.place].get("remark"), _widest(pair, wide)]
        rows[move.place] |= {"remark": "; ".join(filter(None, told))}
    return rows


def _widest(pair: tuple[str, str], wide: Sequence[Gap]) -> str:
    """What is said of a pair that does not add up with a third visit; "" where it does with all."""
    around = [gap for gap in wide if set(pair) <= set(gap.visits)]
    if not around:
        return ""
    gap = max(around, key=lambda gap: abs(gap.lack))
    first, second, third = (f"ses-{label}" for label in gap.visits)
    return (
        f"the changes between {first}, {second} and {third}, each measured by itself, lack {100 * abs(gap.lack):.1f} % "
        f"of adding up; noise explains {100 * gap.sd:.1f} % at most: look at all three visits"
    )


def _usable(row: Row) -> bool:
    return row["status"] == "ok" and "interval_source" in row


def _contrasts(first: VisitResults, later: VisitResults) -> str:
    """Why two visits are not registered with each other: their images are of two contrasts; "" where they are not."""
    told = [seen.document.get("Reference") for seen in (first, later)]
    if not all(isinstance(name, str) for name in told) or told[0] == told[1]:
        return ""
    names = [f"ses-{seen.visit.session} has {name}" for seen, name in zip((first, later), told, strict=True)]
    return f"images of two contrasts are not registered with each other: {' and '.join(names)}"


def _of_reference(first: VisitResults, later: VisitResults, method: str) -> bool:
    """Whether a visit has a mask of this method that was made from its reference image alone."""
    return any(seen.rows.get(method, {}).get("image") == seen.document.get("Reference") for seen in (first, later))


def _start(first: VisitResults, later: VisitResults) -> Row:
    return {
        "session_id_baseline": f"ses-{first.visit.session}",
        "session_id_followup": f"ses-{later.visit.session}",
        "interval_years": _years(first, later),
    }


def _years(first: VisitResults, later: VisitResults) -> float | None:
    one, two = first.visit.years, later.visit.years
    return None if one is None or two is None else two - one


def _no_rate(years: float | None) -> str:
    return "no rate: a session without a date" if years is None else "no rate: both visits are of one day"


def _lacking(seen: VisitResults, method: str) -> tuple[str, str] | None:
    """Status and reason where a visit has no usable volume of a method."""
    session, row = f"ses-{seen.visit.session}", seen.rows.get(method)
    if row is None:
        why = (
            seen.visit.problem
            or seen.faults.get("volumes")
            or ("this method was not run" if seen.rows else "no volume table: it was not finished")
        )
        return "missing", f"{session}: {why}"
    status = row["status"] or "missing"
    if status != "ok":
        return status, f"{session}: {row['reason'] or status}"
    return None if number(row["volume_mm3"]) > 0 else ("failed", f"{session}: the volume is no number above 0")


def _volumes(row: Mapping[str, str | None]) -> dict[str, float]:
    """The volumes of a row in mL, without those that are missing."""
    volumes = {name.replace("_mm3", "_ml"): number(row.get(name)) / 1000 for name in VOLUMES}
    return {name: value for name, value in volumes.items() if not math.isnan(value)}


def _flags(first: VisitResults, later: VisitResults, method: str) -> Row:
    """What the quality control of both visits, and their alignment, say against a comparison."""
    flags = [*first.doubts, *later.doubts]
    known = all(seen.image and qc_visits.acquired(seen.document) for seen in (first, later))
    if not known and not flags:
        return {}
    return _told([*flags, *(_quality(first, later, method) if known else [])])


def _told(flags: Sequence[tuple[str, str]]) -> Row:
    """What these flags (rule, words) say against a comparison."""
    rules = ", ".join(dict.fromkeys(rule for rule, _ in flags))
    remark = "; ".join(dict.fromkeys(words for _, words in flags))
    return {"comparable": "no" if flags else "yes", "flags": rules, "remark": remark}


def _quality(first: VisitResults, later: VisitResults, method: str) -> list[tuple[str, str]]:
    """What the quality control of both visits says against a comparison: (rule, words)."""
    flags = qc_visits.pair_flags(first.document, later.document)
    for seen in (first, later):
        for rule in qc_visits.distrusted_masks(seen.document).get(method, ()):
            flags.append((rule, f"ses-{seen.visit.session}: the mask must not be trusted"))
    balance = qc_visits.balance_remark(*(_asymmetry(seen.rows.get(method, {})) for seen in (first, later)))
    return [*flags, ("visit_asymmetry", balance)] if balance else flags


def _asymmetry(row: Mapping[str, str | None]) -> float | None:
    left, right = number(row.get("volume_left_mm3")), number(row.get("volume_right_mm3"))
    return None if math.isnan(left + right) else asymmetry_index(left, right)


def _whole_brain(row: Mapping[str, str | None], seen: Mapping[str, VisitResults]) -> Row:
    """A row of the table of whole-brain change."""
    labels = [str(row[f"session_id_{when}"]).removeprefix("ses-") for when in ("baseline", "followup")]
    visits = [seen.get(label) for label in labels]
    pbvc: Row = {f"session_id_{when}": row[f"session_id_{when}"] for when in ("baseline", "followup")}
    pbvc |= {"method": "siena", "measure": PBVC, "status": row["status"]}
    value, years = number(row["pbvc"]), None
    if visits[0] is not None and visits[1] is not None:
        years = _years(visits[0], visits[1])
    pbvc["interval_years"] = years
    doubted = [visit for visit in visits if visit is not None and visit.apart]
    reasons = [row["reason"] or "", *(f"ses-{visit.visit.session}: {visit.apart}" for visit in doubted)]
    if doubted:
        pbvc |= {"status": "excluded"} if row["status"] == "ok" else {}
        pbvc |= _told([doubt for visit in doubted for doubt in visit.doubts])
    if not math.isnan(value):
        pbvc["delta_percent"] = value
        pbvc |= {"delta_percent_per_year": value / years} if years else {}
        reasons += [] if years else [_no_rate(years)]
        reasons.append("no interval: SIENA tells none")
    return pbvc | {"reason": "; ".join(filter(None, reasons))}
