"""The command ``participant``: from settings to an exit code."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import thalbids
from thalbids import families
from thalbids.bids.dataset.filters import read_filters
from thalbids.bids.dataset.inputs import DatasetSessions, read_dataset
from thalbids.bids.results.documents import read_alignment, read_document
from thalbids.bids.results.norms import TABLE as NORMS
from thalbids.bids.results.norms import Norm, read_norms
from thalbids.bids.results.outputs import check_output, open_dataset, read_json, read_table, write_json
from thalbids.bids.results.removed import removed_from
from thalbids.bids.tabular.given_tables import check_tables
from thalbids.engine import engine, lock, machine
from thalbids.engine.disk import check_writable
from thalbids.engine.log import Reporter
from thalbids.engine.step import Step, StepResult
from thalbids.errors import MetadataError, NoInputError, UsageError, some
from thalbids.methods.base import own_settings
from thalbids.methods.registry import check_options, check_places, chosen, with_earlier
from thalbids.participant import all_sessions, describing, foreseen
from thalbids.participant.checks import check_paths, check_results
from thalbids.participant.dates import years_of
from thalbids.participant.plan import plan, rated, steps_of
from thalbids.participant.reporting import PageParams
from thalbids.participant.session import REGISTERED, SubjectPlan
from thalbids.participant.stages.person import alignment, siena
from thalbids.participant.stages.person import change as changes
from thalbids.participant.stages.session import icv, masks, measures
from thalbids.programs import FslSettings
from thalbids.qc.visits import sides_in_doubt, sizes_in_doubt
from thalbids.qmri import unringing
from thalbids.raters import effect
from thalbids.raters.ratings import RatersVerdict
from thalbids.registration.strategies import configured_for
from thalbids.scratch import remove_dead
from thalbids.settings import Inputs, Settings
from thalbids.types import Session

SIZES_OF_OTHERS = "check: voxel sizes or brain mask of {} further sessions, see qc.html"
MOST_TOLD = 10  # excluded masks, sessions of another person, pairs of visits, on the terminal


def participant(
    bids_dir: Path,
    out_dir: Path,
    settings: Settings,
    *,
    dry_run: bool = False,
    reports_only: bool = False,
    terse: bool = False,
) -> int:
    """Run the participant level; gives the exit code. ``terse`` shows progress and what went wrong, nothing else.

    Raises
    ------
    ThalbidsError
        Nothing could be started (usage, no input, missing tool, output folder).
    """
    for image in REGISTERED:
        configured_for(image, settings)
    given = {"PBVC table": settings.siena.table, "SIENA results": settings.siena.directory}
    check_places(links(settings) | given)
    check_options(settings)
    change = siena.check(settings.siena, settings.of(FslSettings))
    choice = chosen(settings)
    out_dir = out_dir.absolute()
    check_output(out_dir, bids_dir)
    check_tables((bids_dir, out_dir), settings.inputs.derivatives.get(icv.GIVEN), settings.siena.table)
    dataset = sessions_of(bids_dir, settings.inputs, dry_run=dry_run)
    sessions = dataset.sessions
    if settings.qmri.unringing != "none" and any(session.raw for session in sessions):
        unringing.check()
    every = every_session(bids_dir, settings.inputs, sessions)
    unmatched = [*check_results(sessions, every, choice, settings)]
    choice = with_earlier(choice, settings, masks.families_in(out_dir, every))
    years, undated = years_of(bids_dir, every, settings.clinical, settings.group)
    norms, unread = norms_of(out_dir, sessions)
    people = plan(sessions, out_dir, choice.methods, settings, every, choice.runnable, choice.kept, years, norms)
    unmatched += [note for note in (undated, unread) if note]
    failed, told = effect.verdicts_on({session.name for session in sessions}, out_dir, settings.ratings)
    verdicts = effect.by_session(failed)
    if dry_run:
        warned = [f"warning: {note}" for note in unmatched]
        seen = foreseen.Foreseen(out_dir, dataset.lost)
        shown = describing.dry_run(checked(people, verdicts, settings), choice, seen)
        print("\n".join([*dataset.remarks, *warned, *told, shown]), flush=True)
        check_writable(out_dir)
        return NoInputError.exit_code if all(session.problem for session in sessions) else int(bool(seen.failing))
    subjects = list(people)
    planned = rated(steps_of(subjects), verdicts)
    if reports_only:
        planned = reports_of(planned)
    check_memory(planned, settings)
    check_paths(planned)
    remove_dead((None, settings.run.work_dir))
    with lock.claim(out_dir, [s.name for s in sessions]):
        with lock.shared_files(out_dir):
            open_dataset(
                out_dir, bids_dir, generated_by(), families=[m.family for m in choice.methods],
                validate=not settings.inputs.skip_bids_validation, links=links(settings),
            )  # fmt: skip
        with Reporter(out_dir, settings=settings.to_toml(), verbose=settings.run.verbose, terse=terse) as reporter:
            asked = {f"sub-{label}" for label in settings.inputs.participant_label} or None
            for remark in (*dataset.remarks, *removed_from(bids_dir, out_dir, asked)):
                reporter.remark(remark)
            for note in (*unmatched, *describing.results_of_removed_images(subjects)):
                reporter.warning(note)
            for name, note in choice.notes.items():
                reporter.log(logging.INFO, f"{name}: {note}", shown=settings.run.verbose > 0)
            for note in describing.notes(choice, settings, [change, *told], subjects):
                reporter.info(note)
            results = engine.run(
                planned,
                out_dir=out_dir,
                nprocs=settings.run.nprocs,
                mem_gb=settings.run.mem_gb or machine.available_gb(),
                omp_nthreads=settings.run.omp_nthreads or max(1, machine.cores() // settings.run.nprocs),
                versions=versions(),
                reporter=reporter,
                stop_on_first_crash=settings.run.stop_on_first_crash,
                cluster=settings.cluster,
            )
            documents = documents_of(planned, results)
            for line in (
                *excluded_masks(planned, results),
                *other_people(planned, results),
                *not_comparable(planned, results),
                *sides_in_doubt(documents),
                *foreseen.first_ones(sizes_in_doubt(documents), MOST_TOLD, SIZES_OF_OTHERS),
            ):
                reporter.remark(line, now=False)
        with lock.shared_files(out_dir):
            add_software(out_dir, planned, results)
    if settings.outputs.report:
        changed = any(not result.cached and result.status != "blocked" for result in results)
        if all_sessions.write(out_dir, [step.record_path for step in planned], changed=changed):
            describe_methods(out_dir)
    code = exit_code([result for step, result in zip(planned, results, strict=True) if not step.look_up])
    return 1 if dataset.lost else code


def checked(
    people: Iterable[SubjectPlan], verdicts: Mapping[str, Sequence[RatersVerdict]], settings: Settings
) -> Iterator[tuple[SubjectPlan, list[Step]]]:
    """Each person with the steps, refused as before a run; at 20 000 people no more than one of them is held."""
    largest: list[Step] = []
    for subject in people:
        steps = rated(subject.all_steps, verdicts)
        check_paths(steps)
        largest = too_large([*largest, *steps], settings)
        yield subject, steps
    check_memory(largest, settings)


def check_memory(planned: Sequence[Step], settings: Settings) -> None:
    """Refuse a limit of memory below what a single step needs that was never computed, in place of going beyond it
    without a word.

    Raises
    ------
    UsageError
        ``--mem`` is too small. Jobs of a cluster have a memory of their own.
    """
    for step in too_large(planned, settings):
        problem = f"--mem {settings.run.mem_gb:g}: the step '{step.name}' needs about {step.memory_gb:.1f} GB alone."
        needed = math.ceil(10 * step.memory_gb) / 10
        raise UsageError(problem, f"Give --mem {needed:g} or more, or leave it out; nothing was done.")


def too_large(planned: Sequence[Step], settings: Settings) -> list[Step]:
    """The largest of the steps that were never computed and need more memory than there may be; empty without one."""
    limit = settings.run.mem_gb
    if limit is None or settings.cluster.system != "none":
        return []
    beyond = (step for step in planned if step.memory_gb > limit and not step.look_up)
    never_computed = [step for step in beyond if not step.record_path.is_file()]
    return [max(never_computed, key=lambda step: step.memory_gb)] if never_computed else []


def excluded_masks(planned: Sequence[Step], results: Sequence[StepResult]) -> list[str]:
    """The masks that quality control excludes in sessions measured in this run or an earlier one, a line each."""
    lines = []
    for step, result in zip(planned, results, strict=True):
        if step.function is measures.measures and result.usable:
            for row in read_table(step.outputs["volumes"]):
                if row["status"] == "excluded":
                    reason = str(row["reason"]).split("; ")[0].removeprefix(f"{row['method']}: ")
                    lines.append(f"excluded: {step.session} {row['method']}: {reason}")
    return foreseen.first_ones(lines, MOST_TOLD, "excluded: {} further masks, see the tables of volumes")


def documents_of(planned: Sequence[Step], results: Sequence[StepResult]) -> dict[str, Mapping[str, Any]]:
    """The QC documents of sessions measured in this run or an earlier one."""
    documents: dict[str, Mapping[str, Any]] = {}
    for step, result in zip(planned, results, strict=True):
        if step.function is measures.measures and result.usable:
            with contextlib.suppress(MetadataError):  # the page says so
                documents[step.session] = read_document(step.outputs["qc"])
    return documents


def other_people(planned: Sequence[Step], results: Sequence[StepResult]) -> list[str]:
    """The sessions that may show another person than the first one, a line each."""
    lines = []
    for step, result in zip(planned, results, strict=True):
        if step.function is alignment.align and result.usable:
            try:
                why = alignment.other_person(read_alignment(step.outputs["alignment"]))
            except MetadataError:
                continue  # the table of change says so
            lines += [f"excluded: change from and to {step.session}: {why}"] if why else []
    others = "excluded: change from and to {} further sessions, see the tables of change"
    return foreseen.first_ones(lines, MOST_TOLD, others)


def not_comparable(planned: Sequence[Step], results: Sequence[StepResult]) -> list[str]:
    """The pairs of visits that have a change but cannot be compared, a line each."""
    lines: dict[str, str | None] = {}
    for step, result in zip(planned, results, strict=True):
        if step.function is changes.change and result.usable:
            person = step.session.split("_")[0]
            for row in read_table(step.outputs["table"]):
                if row["status"] == "ok" and row["comparable"] == "no":
                    ends = f"{row['session_id_baseline']} to {row['session_id_followup']}"
                    lines.setdefault(f"not comparable: change of {person} from {ends}", row["remark"])
    told = [f"{pair}: {remark}" for pair, remark in lines.items()]
    return foreseen.first_ones(told, MOST_TOLD, "not comparable: {} further pairs of visits, see the tables of change")


def norms_of(out_dir: Path, sessions: Sequence[Session]) -> tuple[dict[str, tuple[Norm, ...]], str]:
    """What an earlier group level says of these people's volumes, and why its table, or rows of it, cannot be read."""
    try:
        norms, unread = read_norms(out_dir, {f"sub-{session.subject}" for session in sessions})
    except MetadataError as error:
        return {}, f"{NORMS} is left out of the pages: {error.problem} {error.mend}"
    named = some(unread, MOST_TOLD)
    return norms, f"warning: {NORMS}: {named} cannot be read; no z for it. Run group again." if unread else ""


def describe_methods(out_dir: Path) -> None:
    """Write the methods paragraph of what the folder holds (``logs/CITATION.*``)."""
    from thalbids.methods.registry import methods
    from thalbids.reports import boilerplate, boilerplate_facts

    boilerplate.write(boilerplate_facts.both(out_dir, methods().values()), out_dir / "logs")


def reports_of(planned: Sequence[Step]) -> list[Step]:
    """The plan with everything but the pages of those who have results only looked up.

    Raises
    ------
    NoInputError
        Nobody has results.
    """
    pages = {
        step.name
        for step in planned
        if step.kind == PageParams.kind and any(path and path.exists() for path in step.inputs.values())
    }
    if not pages:
        raise NoInputError("there are no results to report on.", "Run participant without --reports-only.")
    return [step if step.name in pages else replace(step, look_up=True) for step in planned]


def every_session(bids_dir: Path, inputs: Inputs, asked: Sequence[Session]) -> list[Session]:
    """All sessions of the asked participants, for their pages."""
    if not inputs.session_label and inputs.bids_filter_file is None:
        return list(asked)
    subjects = tuple(dict.fromkeys(session.subject for session in asked))
    every = read_dataset(bids_dir, subjects, validate=not inputs.skip_bids_validation).sessions
    known = {session.name: session for session in asked}
    return [known.get(session.name, session) for session in every]


def sessions_of(bids_dir: Path, inputs: Inputs, *, dry_run: bool = False) -> DatasetSessions:
    """The sessions that the settings ask for; a dry run makes no database."""
    database = inputs.bids_database_dir
    if dry_run and database is not None and not database.exists():
        database = None
    filters = None if inputs.bids_filter_file is None else read_filters(inputs.bids_filter_file)
    return read_dataset(
        bids_dir,
        participant_labels=inputs.participant_label,
        session_labels=inputs.session_label,
        filters=filters,
        database_dir=database,
        validate=not inputs.skip_bids_validation,
    )


def exit_code(results: Sequence[StepResult]) -> int:
    """0 when everything was made or was finished already; 1 when something failed, was lost or was excluded."""
    return 0 if all(result.usable for result in results) else 1


def versions() -> dict[str, str]:
    """Versions that results depend on."""
    used = ("antspyx", "nibabel", "numpy", "openvino", "scipy", "simpleitk")
    version = ".".join(str(thalbids.__version__).split(".")[:2])  # a new minor version computes everything again
    return {"thalbids": version, **{name: installed(name) for name in used}}


def generated_by() -> list[dict[str, str]]:
    """thalbids, then the program that computes in each run; those of single steps follow from their records."""
    us: dict[str, str] = {"Name": "thalbids", "Version": str(thalbids.__version__)}
    tools = [
        {"Name": "OpenVINO", "Version": installed("openvino"), "CodeURL": "https://github.com/openvinotoolkit/openvino"}
    ]
    return [us, *tools]


def links(settings: Settings) -> dict[str, Path]:
    """Where the BIDS URIs of given results lead, by their names."""
    places = dict(settings.inputs.derivatives)
    for family, method in families.methods().items():
        root = method.results_root(own_settings(method, settings)) if hasattr(method, "results_root") else None
        if root is not None:
            places.setdefault(family, root)
    return places


def add_software(out_dir: Path, planned: Sequence[Step], results: Sequence[StepResult]) -> None:
    """Name in ``dataset_description.json`` the programs that the results of this run were made with: each version, as
    FreeSurfer's results may come from several.
    """
    usable = {result.name for result in results if result.usable}
    used: list[dict[str, Any]] = []
    for step in planned:
        if step.name in usable and step.record_path.exists():
            told = read_json(step.record_path).get("Software", [])
            used += [tool for tool in told if isinstance(tool, dict) and tool not in used]
    path = out_dir / "dataset_description.json"
    description = read_json(path)
    before = [tool for tool in description["GeneratedBy"] if tool not in used]
    write_json(path, {**description, "GeneratedBy": [*before, *used]}, sort_keys=False)
