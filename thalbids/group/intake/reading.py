"""From derivatives and clinical tables to the cohort that every analysis works on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from thalbids import families
from thalbids.bids.results import names
from thalbids.bids.results.derivatives import (
    CHANGE,
    CHANGES,
    PAIRS,
    SIENA,
    Place,
    Volumes,
    find_places,
    read_changes,
    read_documents,
    read_icv,
    read_pbvc,
    read_pbvc_table,
    read_volumes,
)
from thalbids.bids.results.dictionaries import STRIPPED_NOTE
from thalbids.bids.results.removed import removal_note, removed
from thalbids.bids.tabular.clinical import ClinicalData, impossible, read_clinical, visits
from thalbids.bids.tabular.given_tables import check_tables
from thalbids.bids.tabular.near_labels import partners, told
from thalbids.bids.tabular.own import VISIT_COLUMNS, own_columns
from thalbids.errors import NoInputError, UsageError, some
from thalbids.group import comparability
from thalbids.group.cohort import PBVC_COLUMNS, VOLUME_COLUMNS, Cohort, check_pair
from thalbids.group.intake import failed, rescans, scanners, trust
from thalbids.group.modelling import sites
from thalbids.qc.visits import APART
from thalbids.raters import summary
from thalbids.settings import Settings, unknown_name

if TYPE_CHECKING:
    from thalbids.settings import Group


KEYS = ["participant_id", "session_id"]

FEWEST_PBVC = 3  # values by which it can be told that a table holds no percent
LARGEST_FRACTION = 0.1  # of the brain; a change of less than 0.1 percent in everybody is as unlikely


def keep_named(read: Volumes, wanted: Collection[str]) -> None:
    """Keep the rows of these methods and families (``--methods``) alone; ``auto`` keeps all.

    Raises
    ------
    UsageError
        The derivatives have no row of one of them.
    """
    if "auto" in wanted:
        return
    there = dict.fromkeys(str(row["method"]) for row in read.rows)
    of = {method: {method, _family(method)} for method in there}
    absent = [name for name in wanted if not any(name in methods for methods in of.values())]
    if absent:
        problem = f"--methods: the derivatives have no volume of {', '.join(absent)}."
        raise UsageError(problem, f"There is: {', '.join(there)}.")
    for rows in (read.rows, read.repeats):
        rows[:] = [row for row in rows if set(wanted) & of.get(str(row["method"]), set())]


def _family(method: str) -> str:
    try:
        return names.by_desc(method).family
    except KeyError:
        return method


def volume_frame(read: Volumes, icv: pd.DataFrame, group: Group, notes: list[str]) -> pd.DataFrame:
    """The frame ``Cohort.volumes``: rows of the asked methods, with the intracranial volume of their session.

    Parameters
    ----------
    icv : participant_id, session_id, icv_ml, icv_source: at most one row per session
    """
    frame = pd.DataFrame(read.rows, columns=[name for name in VOLUME_COLUMNS if not name.startswith("icv_")])
    for name in ("participant_id", "session_id", "method", "image", "status", "reason"):
        frame[name] = frame[name].astype(object)
    if group.methods:
        absent = [name for name in group.methods if name not in set(frame["method"])]
        if absent:
            notes.append(f"warning: no session has the method {', '.join(absent)} (setting group.methods).")
        frame = frame[frame["method"].isin(group.methods)]
    return frame.merge(icv, on=KEYS, how="left")[list(VOLUME_COLUMNS)].fillna({"icv_source": ""})


def icv_frame(rows: Sequence[dict[str, Any]], wanted: str, notes: list[str]) -> pd.DataFrame:
    """One intracranial volume per session, all from one source: two sources differ systematically."""
    columns = [*KEYS, "source", "icv_ml", "note"]
    frame = pd.DataFrame(rows, columns=columns).drop_duplicates([*KEYS, "source"])
    counts = Counter(frame["source"])
    ours = families.icv_sources()  # the first wins where equally many sessions have them
    known = [*ours, *sorted(set(counts) - set(ours))]
    source = wanted if wanted != "auto" else max(known, key=lambda name: counts[name])
    used = frame[frame["source"] == source]
    if not len(used):
        notes.append("warning: there is no intracranial volume" + ("" if wanted == "auto" else f" from {wanted}") + ".")
    elif len(counts) > 1:
        others = ", ".join(f"{name} ({count})" for name, count in counts.items() if name != source)
        notes.append(f"intracranial volume: {source} ({len(used)} sessions) is used for everybody, not {others}.")
    notes += _two_kinds(used["note"].fillna(""))
    return used.rename(columns={"source": "icv_source"})[[*KEYS, "icv_ml", "icv_source"]].astype(
        {"participant_id": object, "session_id": object, "icv_source": object, "icv_ml": float}
    )


def _two_kinds(told: pd.Series) -> list[str]:
    """A warning where some intracranial volumes of one source are those of stripped scans, by their notes."""
    count = int(told.str.startswith(STRIPPED_NOTE).sum())
    if not 0 < count < len(told):
        return []
    text = f"{count} of {len(told)} intracranial volumes are of another kind than the others ({STRIPPED_NOTE})"
    return [f"warning: {text}: models that adjust for them take the difference for the size of the head."]


def sound_icv(rows: Sequence[dict[str, Any]], notes: list[str]) -> list[dict[str, Any]]:
    """The intracranial volumes that their own flag does not distrust."""
    sound = [row for row in rows if row["status"] == "ok"]
    if len(sound) < len(rows):
        count = f"{len(rows) - len(sound)} of {len(rows)} intracranial volumes"
        notes.append(
            f"warning: {count} are distrusted by their own flag and not used (setting group.distrusted_icv); see "
            "group_icv.tsv."
        )
    return sound


def excluded(volumes: pd.DataFrame, exclusions: pd.DataFrame) -> pd.DataFrame:
    """The volumes with status excluded, and the reason, where a rating says so (method "" stands for all)."""
    if not len(exclusions):
        return volumes
    volumes = volumes.copy()
    for row in exclusions.itertuples():
        hit = (volumes["participant_id"] == row.participant_id) & (volumes["session_id"] == row.session_id)
        if row.method:
            hit &= volumes["method"] == row.method
        volumes.loc[hit, ["status", "reason"]] = ["excluded", row.reason]
    return volumes


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
    empty: list[Place] = []
    places = find_places(out_dir, inputs.participant_label, inputs.session_label, empty)
    gone = removed(bids_dir, places)
    places = places if settings.group.keep_removed else [place for place in places if place not in gone]
    read = read_volumes(places)
    if not read.rows:
        there = list(dict.fromkeys(place.participant_id for place in find_places(out_dir)))
        named = f" It holds results of {some(there, 10)}." if there and not places else ""
        mend = f"Run the participant level first, or check OUTPUT_DIR and the labels.{named}"
        raise NoInputError("the derivatives hold no *_desc-thalamus_morph.tsv.", mend, out_dir)
    keep_named(read, settings.methods.names)
    columns = own_columns(settings.group)
    clinical = read_clinical(bids_dir, settings.clinical, inputs.participant_label, columns, settings.group.categorical)
    check_own(columns, clinical, settings.group)
    sessions: dict[str, list[str]] = {}
    for place in places:
        sessions.setdefault(place.participant_id, []).append(place.session_id)
    together = visits(clinical, sessions, {*settings.group.outcomes, *settings.group.outcomes_change})
    unreadable = trust.unreadable_folders(out_dir, inputs.participant_label)
    lost = [*nearly(clinical, sessions), *unlisted(clinical, sessions), *unreadable]
    notes = [*read.notes, *clinical.notes, *together.notes, *lost, *_told(clinical, sessions, together.conflicts)]
    if gone:
        kept = "They are kept (group.keep_removed)." if settings.group.keep_removed else "They are left out."
        notes.append(removal_note(gone, kept))
    documents = read_documents(places)
    pressing = [
        *failed.sessions(read.rows, [place for place in empty if place not in removed(bids_dir, empty)]),
        *trust.same_scans(places),
        *failed.images(documents),
    ]
    notes += pressing
    words = [name for name, number in clinical.own.items() if not number]
    visit_frame = frame_of(together.rows, (*VISIT_COLUMNS, *clinical.own), words)
    icv_found, icv_notes = read_icv(places)
    given = visit_frame[visit_frame["icv_ml"].notna()][["participant_id", "session_id", "icv_ml"]]
    icv_rows = icv_found if settings.group.distrusted_icv else sound_icv(icv_found, notes)
    icv_rows = [*icv_rows, *(row | {"source": "given"} for row in given.to_dict("records"))]
    icv = icv_frame(icv_rows, settings.group.icv, notes)
    volumes = volume_frame(read, icv, settings.group, notes)
    visit_frame["has_mri"] = _has_mri(visit_frame, volumes)
    check_tables((bids_dir, out_dir), inputs.derivatives.get("icv"), settings.siena.table)
    if "icv" in inputs.derivatives:
        notes.append("warning: --derivatives icv=PATH is taken by participant, not by group: run participant with it.")
    edited = [trust.changed_tables(out_dir, ending, places) for ending in (CHANGE, SIENA)]
    pbvc, pbvc_notes = _pbvc(
        out_dir, settings.siena.table, inputs.derivatives.get("siena"), inputs.participant_label, edited[1]
    )
    pbvc_notes += _backwards(pbvc, visit_frame)
    changes, excluded_pairs, change_notes = read_changes(out_dir, inputs.participant_label, APART)
    changes = [row | _edited(row, edited[0]) for row in changes]
    cohort = Cohort(
        volumes=volumes, visits=visit_frame, pbvc=pbvc, settings=settings, bids_dir=bids_dir, out_dir=out_dir,
        repeats=frame_of(read.repeats, (*VOLUME_COLUMNS, "entities")).drop(columns=["icv_ml", "icv_source"]),
        exclusions=frame_of([], ("participant_id", "session_id", "method", "reason")),
        conflicts=pd.DataFrame(together.conflicts), places=places,
        notes=[*notes, *icv_notes, *pbvc_notes, *change_notes],
        columns_found=clinical.found, columns_unused=clinical.unused, lost=lost,
        pressing=pressing, documents=documents, icv=icv_found,
        changes=frame_of(changes, CHANGES, ("measure", "comparable", "flags", "remark")),
        excluded_pairs=frame_of(excluded_pairs, PAIRS),
    )  # fmt: skip
    for name in settings.group.sample_methods:
        if name not in cohort.model_methods:
            raise unknown_name("method of the clinical models (group.sample_methods)", name, cohort.model_methods)
    doubted = trust.distrusted(out_dir, places, [*read.rows, *read.repeats])
    told_of = [trust.note(row) for row in doubted]
    for what, faults in zip(("change between visits", "whole-brain change"), edited, strict=True):
        told_of += [f"warning: {person} {what} left out: {reason}." for person, reason in faults.items()]
    cohort = replace(cohort, notes=[*cohort.notes, *told_of], lost=[*cohort.lost, *told_of])
    left_out = [*summary.exclusions(out_dir, settings.ratings, cohort.volumes), *doubted]
    if left_out:
        cohort = with_exclusions(cohort, frame_of(left_out, tuple(cohort.exclusions.columns)))
    cohort = scanners.named(one_day(rescans.apart(cohort), clinical))
    pairs_out = comparability.notes(cohort)
    return replace(
        cohort, pbvc=comparability.whole_brain(cohort), notes=[*cohort.notes, *pairs_out, *sites.notes(cohort)],
        pressing=[*cohort.pressing, *pairs_out],
    )  # fmt: skip


def one_day(cohort: Cohort, clinical: ClinicalData) -> Cohort:
    """Two sessions with images on one day are a mistake in the tables, unless one is a rescan.

    Their dates count as unknown where impossible values do (``clinical.violations``).

    Raises
    ------
    ClinicalError
        Impossible values stop the run.
    """
    keys = pd.MultiIndex.from_frame(cohort.visits[KEYS])
    scanned = keys.isin(pd.MultiIndex.from_frame(cohort.volumes[KEYS]))
    day = pd.Series([when[:10] if isinstance(when, str) else "" for when in cohort.visits["acq_time"]], dtype=object)
    day.index = cohort.visits.index
    dated = cohort.visits.assign(day=day)[scanned & (day != "").to_numpy()]
    twice = dated[dated.duplicated(["participant_id", "day"], keep=False)]
    if twice.empty:
        return cohort
    problems = [
        f"{person}, acq_time: {' and '.join(sessions['session_id'])} are on one day"
        for (person, _), sessions in twice.groupby(["participant_id", "day"], sort=False)
    ]
    if cohort.settings.clinical.violations == "error":
        stop = impossible(problems, "Where one is a rescan, say so (column rescan_of). ")
        stop.data = clinical
        raise stop
    changed = cohort.visits.copy()
    changed.loc[twice.index, "acq_time"] = ""
    changed.loc[twice.index, "years"] = float("nan")
    return replace(
        cohort, visits=changed, notes=[*cohort.notes, *(f"warning: taken for missing: {one}." for one in problems)]
    )


def check_own(columns: Sequence[str], clinical: ClinicalData, group: Group) -> None:
    """Refuse settings that name columns which no table has, or outcomes that are words.

    Raises
    ------
    UsageError
        With the nearest column.
    """
    there = {column.split(": ", 1)[1] for column in clinical.unused} | set(clinical.own) | set(VISIT_COLUMNS[2:])
    for name in columns:
        if name not in clinical.own:
            raise unknown_name("column of the clinical tables (settings of group)", name, there)
    for name in (*group.outcomes, *group.outcomes_change):
        if clinical.own.get(name) is False or name in _WORDS:
            problem = f"group.outcomes: {name!r} holds words, an outcome needs numbers."
            raise UsageError(problem, "Put its words in order from low to high (clinical.levels).")


_WORDS = ("sex", "site", "diagnosis", "diagnosis_given", "acq_time", "participant_id", "session_id")


def with_exclusions(cohort: Cohort, exclusions: pd.DataFrame) -> Cohort:
    """The cohort without the masks that a rating excludes (participant_id, session_id, method, reason)."""
    changed = excluded(cohort.volumes, exclusions)
    visited = cohort.visits.assign(has_mri=_has_mri(cohort.visits, changed))
    repeats = excluded(cohort.repeats, exclusions)
    return replace(cohort, volumes=changed, repeats=repeats, visits=visited, exclusions=exclusions)


def _has_mri(visit_frame: pd.DataFrame, volume_frame: pd.DataFrame) -> list[bool]:
    """Whether each visit has a usable volume."""
    usable = volume_frame.loc[volume_frame["status"] == "ok", ["participant_id", "session_id"]]
    known = set(usable.itertuples(index=False, name=None))
    return [key in known for key in zip(visit_frame["participant_id"], visit_frame["session_id"], strict=True)]


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], words: Collection[str] = ()) -> pd.DataFrame:
    """A frame with these columns: numbers as float64, text (also ``words``) as object, also when there are no rows."""
    frame = pd.DataFrame(rows, columns=list(columns))
    text = {"participant_id", "session_id", "session_id_baseline", "session_id_followup", "method", "image", "status"}
    text |= {
        "reason",
        "flags",
        "source",
        "acq_time",
        "sex",
        "diagnosis",
        "diagnosis_given",
        "site",
        "rescan_of",
        "entities",
        "icv_source",
        *words,
    }
    for name in columns:
        if name == "has_mri":
            frame[name] = False
        elif name == "order":
            frame[name] = frame[name].astype("int64")
        else:
            frame[name] = frame[name].astype(object if name in text else "float64")
    for name in words:
        frame[name] = frame[name].where(frame[name].notna(), "")
    return frame


def nearly(clinical: ClinicalData, sessions: Mapping[str, Sequence[str]]) -> list[str]:
    """Warnings about people and sessions of the clinical tables that nearly match those of the derivatives."""
    people = partners({person for person, _ in clinical.values}, set(sessions))
    there, here = "those of the derivatives", "of the clinical tables"
    lost = [f"warning: {told(people, f'{len(people)} participants {here}', there)}"] if people else []
    pairs: dict[str, str] = {}
    for person, label in clinical.values:
        if label and (partner := partners([label], sessions.get(person, ())).get(label)) is not None:
            pairs[f"{person} {label}"] = partner
    return lost + ([f"warning: {told(pairs, f'{len(pairs)} sessions {here}', there)}"] if pairs else [])


def unlisted(clinical: ClinicalData, sessions: Mapping[str, Sequence[str]]) -> list[str]:
    """Warnings about people with derivatives who have no row in participants.tsv where there is that table, and about
    clinical tables that are of none of them; people whose label nearly matches a row are named by `nearly`.

    A sessions.tsv of theirs does not replace the row: age, sex and diagnosis stand there.
    """
    people = {person for person, _ in clinical.values}
    listed = clinical.listed or set()
    lost = [] if clinical.listed is None else [person for person in sessions if person not in listed]
    alike = partners(lost, listed)
    lost = [person for person in lost if person not in alike]
    warnings = []
    if lost:
        count = f"{len(lost)} of {len(sessions)} participants with derivatives have no row in participants.tsv"
        warnings.append(f"warning: {count}, and nothing of what stands there: {some(lost)}. Add or correct their rows.")
    warnings += _apart(clinical, sessions)
    if people and not people & set(sessions):
        text = "no participant of the clinical tables has derivatives: compare the labels (01 is not 1)."
        warnings.append(f"warning: {text}")
    return warnings


def _apart(clinical: ClinicalData, sessions: Mapping[str, Sequence[str]]) -> list[str]:
    """A warning about people of whom clinical tables describe visits, but not most of those with derivatives; sessions
    that nearly match are named by `nearly`, and one named like the others (ses-5) is a visit without images.
    """
    described: dict[str, list[str]] = {}
    for person, label in clinical.values:
        if label and person in sessions:
            described.setdefault(person, []).append(label)
    apart = []
    for person, labels in described.items():
        usual = {re.sub(r"\d+", "#", label or "") for label in sessions[person]}
        other = [label for label in labels if label not in sessions[person] and re.sub(r"\d+", "#", label) not in usual]
        without = [label or "no session" for label in sessions[person] if label not in labels]
        if other and 2 * len(without) > len(sessions[person]) and not partners(other, sessions[person]):
            apart.append(f"{person} ({some(other, 3)}, but {some(without, 3)})")
    if not apart:
        return []
    text = f"the clinical tables have sessions of {len(apart)} participants, but not most of those with derivatives"
    return [f"warning: {text}: {some(apart)}. Write the labels alike."]


def _told(clinical: ClinicalData, sessions: Mapping[str, Sequence[str]], conflicts: Sequence[object]) -> list[str]:
    """What to say about the clinical tables."""
    people = {person for person, _ in clinical.values}
    notes = [f"warning: taken for missing: {problem}." for problem in clinical.problems]
    if conflicts:
        notes.append(f"warning: {len(conflicts)} values differ between clinical tables, see group_conflicts.tsv.")
    without = [] if clinical.listed else [person for person in sessions if person not in people]
    only = [person for person in people if person not in sessions]
    if without:
        notes.append(f"participants with derivatives in no clinical table: {len(without)} ({some(without)}).")
    if only:
        notes.append(f"participants of the clinical tables without derivatives: {len(only)} ({some(sorted(only))}).")
    return notes


def _backwards(pbvc: pd.DataFrame, visit_frame: pd.DataFrame) -> list[str]:
    """A warning about pairs of whole-brain change whose second session is the earlier one: no pair of ours is."""
    order = visit_frame.set_index(["participant_id", "session_id"])["order"].to_dict()
    columns = ["participant_id", "session_id_baseline", "session_id_followup"]
    turned = [
        f"{person} {first} {second}"
        for person, first, second in pbvc[columns].itertuples(index=False, name=None)
        if order.get((person, first), 0) > order.get((person, second), float("inf"))
    ]
    if not turned:
        return []
    text = f"{len(turned)} pairs of whole-brain change begin with the later session and are not used: {some(turned)}"
    return [f"warning: {text}. Name the earlier session first, with the sign turned."]


def _edited(row: Mapping[str, Any], faults: Mapping[str, str]) -> dict[str, str]:
    """Status and reason of a row of a table that is not what its record tells of."""
    person = str(row["participant_id"])
    return {"status": "failed", "reason": faults[person]} if person in faults else {}


def _not_percent(values: Sequence[float]) -> list[str]:
    """A warning where changes in percent look like fractions or ratios; of few values nobody can tell."""
    known = [value for value in values if value == value]
    if len(known) < FEWEST_PBVC:
        return []
    if all(abs(value) < LARGEST_FRACTION for value in known):
        what = f"within {LARGEST_FRACTION:g} of 0: are they fractions (-0.005 for -0.5 %)"
    elif all(abs(value - 1) < LARGEST_FRACTION for value in known):
        what = f"within {LARGEST_FRACTION:g} of 1: are they ratios (0.995 for -0.5 %)"
    else:
        return []
    return [f"warning: --pbvc-table: all {len(known)} values lie {what}? They are taken as percent."]


def _pbvc(
    out_dir: Path, table: Path | None, given: Path | None, labels: Sequence[str], edited: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """PBVC of a given table, of ``--derivatives siena=PATH`` and of our own derivatives; the first that is ok wins."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    if table is not None:
        rows += read_pbvc_table(table, labels)
        notes += _not_percent([row["pbvc"] for row in rows])
    for root in ([] if given is None else [given]) + [out_dir]:
        pairs, told = read_pbvc(root, labels)
        rows += [row | (_edited(row, edited) if root == out_dir else {}) for row in pairs]
        notes += told
    frame = frame_of(rows, PBVC_COLUMNS)
    keys = list(PBVC_COLUMNS[:3])
    order = frame["status"].ne("ok")
    return frame.loc[order.sort_values(kind="stable").index].drop_duplicates(keys).sort_index(), notes
