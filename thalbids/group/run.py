"""The group level: read once, let every analysis work, write every table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from thalbids.bids.clinical import ClinicalData, ClinicalError, read_clinical, visits
from thalbids.bids.derivatives import find_places, read_icv, read_pbvc, read_pbvc_table, read_volumes
from thalbids.bids.outputs import check_output
from thalbids.bids.tables import Table
from thalbids.errors import NoInputError, ThalbidsError, without_folders
from thalbids.files import write_text
from thalbids.group.analyses import (
    change,
    conflicts,
    crosssectional,
    descriptives,
    detectable,
    longitudinal,
    manual,
    maps,
    normative,
    pbvc,
    plots,
    ratings,
    sides,
    volumes,
)
from thalbids.group.cohort import PBVC_COLUMNS, VISIT_COLUMNS, VOLUME_COLUMNS, Cohort, baseline, check_pair, visit_pairs
from thalbids.group.statistics import harmonise, mixed, ordinal, power
from thalbids.group.writing import joined, write_all
from thalbids.methods.registry import check_given, check_places
from thalbids.raters import summary
from thalbids.settings import Settings

LOG = logging.getLogger(__name__)

Analysis = Callable[[Cohort], Iterable[Table]]
Ledger = Callable[[Cohort], Iterable[Mapping[str, Any]]]

# Each is called once with the cohort and gives its tables; with nothing to work on, a table without rows or with rows
# that say why. Tables of one name (group_missing) are put together. One that fails does not end the others.
ANALYSES: tuple[tuple[str, Analysis], ...] = (
    ("volumes", volumes.tables),
    ("conflicts", conflicts.tables),
    ("descriptives", descriptives.tables),
    ("change", change.tables),
    ("crosssectional", crosssectional.tables),
    ("longitudinal", longitudinal.tables),
    ("ordinal", ordinal.tables),
    ("pbvc", pbvc.tables),
    ("sides", sides.tables),
    ("mixed", mixed.tables),
    ("detectable", detectable.tables),
    ("samplesize", power.tables),
    ("normative", normative.tables),
    ("masks", manual.tables),
    ("maps", maps.tables),
    ("plots", plots.tables),
    ("ratings", ratings.tables),
)

# Who would enter each model, for --dry-run: rows of group.missing.ledger, before anything is fitted.
LEDGERS: tuple[Ledger, ...] = (
    change.ledgers,
    crosssectional.ledgers,
    longitudinal.ledgers,
    ordinal.ledgers,
    pbvc.ledgers,
    mixed.ledgers,
)


def group(bids_dir: Path, out_dir: Path, settings: Settings, *, dry_run: bool = False) -> int:
    """Run the group level; gives the exit code.

    Raises
    ------
    ThalbidsError
        Nothing could be started (usage, no input, impossible values in a clinical table, output folder).
    """
    check_given(settings)
    check_places({**settings.inputs.derivatives, "PBVC table": settings.siena.table})
    out_dir = out_dir.absolute()
    check_output(out_dir, bids_dir)
    try:
        read = read_cohort(bids_dir, out_dir, settings)
    except ClinicalError as error:
        if dry_run:
            print("\n".join(clinical_lines(error.data.found, error.data.unused)))
            print("\n".join(["Problems:", *(f"  {problem}" for problem in error.data.problems)]), flush=True)
        raise
    cohort, harmonised = harmonise.prepared(read)
    if dry_run:
        print(describe(cohort))
        return 0
    made, problems = run_analyses(cohort, ANALYSES)
    made = [*harmonised, *made]
    write_all(made, out_dir)
    notes = [*cohort.notes, *(note for table in made for note in table.notes), *problems]
    write_text(out_dir / "logs" / "group" / "settings.toml", settings.to_toml())
    write_text(out_dir / "logs" / "group" / "notes.txt", "".join(f"{note}\n" for note in notes))
    for note in [*shown(notes), *fitted_lines(made)]:
        print(note)
    if settings.outputs.report:
        from thalbids.group import reporting

        print(f"report: {reporting.write(out_dir, without_folders(settings.to_toml()), notes)[0].name}")
    print(f"{len(made)} tables: " + ", ".join(f"{table.name} ({len(table.frame)})" for table in made))
    return 1 if problems else 0


def report_again(out_dir: Path, settings: Settings) -> int:
    """Write the page, the figures and the methods paragraph of existing tables again.

    Raises
    ------
    NoInputError
        There are no tables.
    """
    if not any(out_dir.glob("group_*.tsv")):
        raise NoInputError("there are no tables to report on.", "Run group without --reports-only.", out_dir)
    from thalbids.group import reporting

    kept = out_dir / "logs" / "group" / "settings.toml"
    earlier = kept.read_text(encoding="utf-8") if kept.is_file() else settings.to_toml()
    print(f"report: {reporting.write(out_dir, without_folders(earlier))[0].name}")
    return 0


def run_analyses(cohort: Cohort, analyses: Sequence[tuple[str, Analysis]]) -> tuple[list[Table], list[str]]:
    """The tables of every analysis, and the problems of those that failed.

    Raises
    ------
    Exception
        A mistake in an analysis, after the tables of all others were written.
    """
    found: list[Table] = []
    problems: list[str] = []
    bugs: list[Exception] = []
    for name, analysis in analyses:
        try:
            found += list(analysis(cohort))
        except ThalbidsError as error:
            problems.append(f"warning: {name}: {error}")
        except Exception as error:
            LOG.debug("analysis %s", name, exc_info=True)
            bugs.append(error)
    made = joined(found)
    if bugs:
        write_all(made, cohort.out_dir)
        raise bugs[0]
    return made, problems


def read_cohort(bids_dir: Path, out_dir: Path, settings: Settings) -> Cohort:
    """Read derivatives and clinical tables.

    Raises
    ------
    NoInputError
        There is no folder, or nothing in the derivatives.
    MetadataError
        A clinical table is damaged or holds impossible values.
    UsageError
        A setting is wrong.
    """
    for pair in settings.group.pairs:
        check_pair(pair)
    inputs = settings.inputs
    places = find_places(out_dir, inputs.participant_label, inputs.session_label)
    read = read_volumes(places)
    if not read.rows:
        mend = "Run the participant level first, or check OUTPUT_DIR and the labels."
        raise NoInputError("the derivatives hold no *_desc-thalamus_morph.tsv.", mend, out_dir)
    volumes.keep_named(read, settings.methods.names)
    clinical = read_clinical(bids_dir, settings.clinical, inputs.participant_label)
    sessions: dict[str, list[str]] = {}
    for place in places:
        sessions.setdefault(place.participant_id, []).append(place.session_id)
    together = visits(clinical, sessions)
    notes = [*read.notes, *clinical.notes, *together.notes, *_told(clinical, sessions, together.conflicts)]
    visit_frame = frame_of(together.rows, VISIT_COLUMNS)
    icv_rows, icv_notes = read_icv(places)
    given = visit_frame[visit_frame["icv_ml"].notna()][["participant_id", "session_id", "icv_ml"]]
    icv_rows += [row | {"source": "given"} for row in given.to_dict("records")]
    icv = volumes.icv_frame(icv_rows, settings.group.icv, notes)
    volume_frame = volumes.volume_frame(read, icv, settings.group, notes)
    visit_frame["has_mri"] = _has_mri(visit_frame, volume_frame)
    pbvc, pbvc_notes = _pbvc(out_dir, settings)
    cohort = Cohort(
        volumes=volume_frame, visits=visit_frame, pbvc=pbvc, settings=settings, bids_dir=bids_dir, out_dir=out_dir,
        repeats=frame_of(read.repeats, (*VOLUME_COLUMNS, "entities")).drop(columns=["icv_ml", "icv_source"]),
        exclusions=frame_of([], ("participant_id", "session_id", "method", "reason")),
        conflicts=pd.DataFrame(together.conflicts), places=places, notes=[*notes, *icv_notes, *pbvc_notes],
        columns_found=clinical.found, columns_unused=clinical.unused,
    )  # fmt: skip
    left_out = summary.exclusions(out_dir, settings.ratings, cohort.volumes)
    return with_exclusions(cohort, frame_of(left_out, tuple(cohort.exclusions.columns))) if left_out else cohort


def with_exclusions(cohort: Cohort, exclusions: pd.DataFrame) -> Cohort:
    """The cohort without the masks that a rating excludes (participant_id, session_id, method, reason)."""
    changed = volumes.excluded(cohort.volumes, exclusions)
    visited = cohort.visits.assign(has_mri=_has_mri(cohort.visits, changed))
    repeats = volumes.excluded(cohort.repeats, exclusions)
    return replace(cohort, volumes=changed, repeats=repeats, visits=visited, exclusions=exclusions)


def _has_mri(visit_frame: pd.DataFrame, volume_frame: pd.DataFrame) -> list[bool]:
    """Whether each visit has a usable volume."""
    usable = volume_frame.loc[volume_frame["status"] == "ok", ["participant_id", "session_id"]]
    known = set(usable.itertuples(index=False, name=None))
    return [key in known for key in zip(visit_frame["participant_id"], visit_frame["session_id"], strict=True)]


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A frame with these columns: numbers as float64, text as object, also when there are no rows."""
    frame = pd.DataFrame(rows, columns=list(columns))
    text = {"participant_id", "session_id", "session_id_baseline", "session_id_followup", "method", "image", "status"}
    text |= {"reason", "source", "acq_time", "sex", "diagnosis", "diagnosis_given", "site", "entities", "icv_source"}
    for name in columns:
        if name == "has_mri":
            frame[name] = False
        elif name == "order":
            frame[name] = frame[name].astype("int64")
        else:
            frame[name] = frame[name].astype(object if name in text else "float64")
    return frame


def describe(cohort: Cohort) -> str:
    """What was found where, and who would enter each model, for reading."""
    lines = clinical_lines(cohort.columns_found, cohort.columns_unused)
    base, pairs = baseline(cohort), {pair: visit_pairs(cohort, pair) for pair in cohort.settings.group.pairs}
    lines.append(f"Methods: {', '.join(cohort.methods)}")
    lines.append(f"Participants with a usable volume: {len(base)}")
    for pair, frame in pairs.items():
        dated = int((frame["interval_years"] > 0).sum())
        lines.append(f"Pairs of sessions ({pair}): {len(frame)}, {dated} with both dates")
    lines.append("Rows per analysis, before anything is fitted:")
    lines += [f"  {line}" for line in ledger_lines([row for ledger in LEDGERS for row in ledger(cohort)])]
    lines += [*shown(cohort.notes, "all of them in the notes of a real run"), "Nothing was written."]
    return "\n".join(lines)


def clinical_lines(found: Mapping[str, Sequence[str]], unused: Sequence[str]) -> list[str]:
    """Which columns of the clinical tables stand for what, for reading."""
    lines = ["Clinical columns:"]
    lines += [f"  {name}: {'; '.join(where)}" for name, where in sorted(found.items())] or ["  none"]
    return lines + ([f"  not used: {', '.join(unused)}"] if unused else [])


def shown(notes: Sequence[str], where: str = "see logs/group/notes.txt", most: int = 40) -> list[str]:
    """The notes for the terminal: warnings first, and not thousands of them."""
    ordered = sorted(notes, key=lambda note: not note.startswith("warning:"))
    more = [f"and {len(ordered) - most} more, {where}"] if len(ordered) > most else []
    return [*ordered[:most], *more]


def fitted_lines(tables: Iterable[Table], most: int = 3) -> list[str]:
    """Per table of models how many were fitted, and the most frequent reasons of the others, for the terminal."""
    lines = []
    for made in tables:
        if not {"term", "estimate", "reason"} <= set(made.frame.columns) or made.frame.empty:
            continue
        keys = [name for name in _MODEL if name in made.frame.columns]
        models = made.frame.groupby(keys, dropna=False).agg(
            fitted=("estimate", lambda values: values.notna().any()), reason=("reason", "first")
        )
        fitted = models["fitted"].astype(bool)
        reasons = models.loc[~fitted, "reason"].fillna("").replace("", "no reason given").value_counts()
        told = [f"{reason} ({n})" for reason, n in reasons.items()]
        told = [*told[:most], *([f"{len(told) - most} more reasons in the table"] if len(told) > most else [])]
        name = made.name.removeprefix("group_")
        line = f"{name}: {fitted.sum()} of {len(models)} models fitted"
        lines.append(line + (f": {'; '.join(told)}" if told else "") + ".")
    return lines


_MODEL = ("analysis", "outcome", "method", "threshold", "subset", "sensitivity", "measure", "sessions", "random")


def ledger_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of ledgers for reading: methods with the same numbers share a line."""
    methods: dict[str, list[str]] = {}
    for row in rows:
        name = " ".join(str(row[key]) for key in ("analysis", "outcome", "subset", "sessions") if row.get(key))
        lost = [f"{value} {key.removeprefix('lost_').replace('_', ' ')}" for key, value in row.items()
                if key.startswith("lost_") and value]  # fmt: skip
        counts = f"{row['n_used']} of {row['n_total']}" + (f" (lost: {', '.join(lost)})" if lost else "")
        methods.setdefault(f"{name}: {counts}", []).append(str(row.get("method") or ""))
    told = {line: f"{len(names)} methods" if len(names) > 3 else ", ".join(names) for line, names in methods.items()}
    return [line + (f", for {names}" if names else "") for line, names in told.items()]


def _told(clinical: ClinicalData, sessions: Mapping[str, Sequence[str]], conflicts: Sequence[object]) -> list[str]:
    """What to say about the clinical tables."""
    people = {person for person, _ in clinical.values}
    notes = [f"warning: taken for missing: {problem}." for problem in clinical.problems]
    if conflicts:
        notes.append(f"warning: {len(conflicts)} values differ between clinical tables, see group_conflicts.tsv.")
    without = [person for person in sessions if person not in people]
    only = [person for person in people if person not in sessions]
    if without:
        notes.append(f"{len(without)} participants with derivatives are in no clinical table: {_some(without)}.")
    if only:
        notes.append(f"{len(only)} participants of the clinical tables have no derivatives: {_some(sorted(only))}.")
    if people and len(only) == len(people):
        notes.append(
            "warning: no participant of the clinical tables has derivatives: compare the labels (01 is not 1)."
        )
    seen = [
        key for key, found in clinical.values.items() if key[1] and key[0] in sessions and set(found) - {"acq_time"}
    ]
    if seen and not any(label in sessions[person] for person, label in seen):
        notes.append(
            "warning: no session of the clinical tables has derivatives: compare the labels (ses-01 is not ses-1)."
        )
    return notes


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def _pbvc(out_dir: Path, settings: Settings) -> tuple[pd.DataFrame, list[str]]:
    """PBVC of a given table, of ``--derivatives siena=PATH`` and of our own derivatives; the first that is ok wins."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    if settings.siena.table is not None:
        rows += read_pbvc_table(settings.siena.table, settings.inputs.participant_label)
    given = settings.inputs.derivatives.get("siena")
    for root in ([] if given is None else [given]) + [out_dir]:
        found, told = read_pbvc(root, settings.inputs.participant_label)
        rows += found
        notes += told
    frame = frame_of(rows, PBVC_COLUMNS)
    keys = list(PBVC_COLUMNS[:3])
    order = frame["status"].ne("ok")
    return frame.loc[order.sort_values(kind="stable").index].drop_duplicates(keys).sort_index(), notes
