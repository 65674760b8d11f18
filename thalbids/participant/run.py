"""The command ``participant``: from settings to an exit code."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import thalbids
from thalbids.bids.filters import read_filters
from thalbids.bids.given import check_tables, people_of
from thalbids.bids.inputs import Found, read_dataset
from thalbids.bids.outputs import check_output, open_dataset, read_json, write_json
from thalbids.engine import engine, lock
from thalbids.engine.log import Reporter
from thalbids.engine.step import Step, StepResult
from thalbids.errors import NoInputError, ThalbidsError
from thalbids.methods.registry import Choice, check_places, chosen, results_of, with_earlier
from thalbids.participant import all_sessions
from thalbids.participant.plan import REGISTERED, plan, steps_of
from thalbids.participant.session import SubjectPlan
from thalbids.participant.stages import brains, masks, siena, steps
from thalbids.raters import effect
from thalbids.registration.strategies import configured_for, note_on
from thalbids.settings import Settings
from thalbids.types import Session


def participant(
    bids_dir: Path, out_dir: Path, settings: Settings, *, dry_run: bool = False, reports_only: bool = False
) -> int:
    """Run the participant level; gives the exit code.

    Raises
    ------
    ThalbidsError
        Nothing could be started (usage, no input, missing tool, output folder).
    """
    for image in REGISTERED:
        configured_for(image, settings)
    given = {"PBVC table": settings.siena.table, "SIENA results": settings.siena.directory}
    check_places(links(settings) | given)
    change = siena.check(settings)
    choice = chosen(settings)
    out_dir = out_dir.absolute()
    check_output(out_dir, bids_dir)
    icv = settings.inputs.derivatives.get(brains.GIVEN_ICV)
    check_tables(people_of(bids_dir, out_dir), icv, settings.siena.table)
    dataset = sessions_of(bids_dir, settings, dry_run=dry_run)
    sessions = dataset.sessions
    every = every_session(bids_dir, settings, sessions)
    unmatched = check_freesurfer(sessions, every, choice, settings)
    choice = with_earlier(choice, settings, masks.families_in(out_dir, every))
    subjects = plan(sessions, out_dir, choice.methods, settings, every, choice.runnable, choice.kept)
    planned, rated = effect.applied(steps_of(subjects), out_dir, settings.ratings)
    if reports_only:
        planned = reports_of(planned)
    if dry_run:
        warned = [f"warning: {note}" for note in unmatched]
        print("\n".join([*dataset.remarks, *warned, *rated, describe(subjects, planned, choice)]))
        return NoInputError.exit_code if all(session.problem for session in sessions) else 0
    with lock.claim(out_dir, [s.name for s in sessions]):
        with lock.shared_files(out_dir):
            open_dataset(
                out_dir, bids_dir, generated_by(sessions), families=[m.family for m in choice.methods],
                validate=not settings.inputs.skip_bids_validation, links=links(settings),
            )  # fmt: skip
        with Reporter(out_dir, settings=settings.to_toml(), verbose=settings.run.verbose) as reporter:
            for remark in dataset.remarks:
                reporter.remark(remark)
            for note in unmatched:
                reporter.warning(note)
            for name, note in choice.notes.items():
                reporter.log(logging.INFO, f"{name}: {note}", shown=settings.run.verbose > 0)
            for note in _notes(choice, settings, [change, *rated], sessions, planned):
                reporter.info(note)
            results = engine.run(
                planned,
                out_dir=out_dir,
                nprocs=settings.run.nprocs,
                mem_gb=settings.run.mem_gb or available_gb(),
                omp_nthreads=settings.run.omp_nthreads or max(1, cores() // settings.run.nprocs),
                versions=versions(),
                reporter=reporter,
                stop_on_first_crash=settings.run.stop_on_first_crash,
                cluster=settings.cluster,
            )
        with lock.shared_files(out_dir):
            add_software(out_dir, planned, results)
        if settings.outputs.report:
            all_sessions.write(out_dir)
            describe_methods(out_dir)
    code = exit_code([result for step, result in zip(planned, results, strict=True) if not step.look_up])
    return 1 if dataset.lost else code


def _notes(
    choice: Choice, settings: Settings, more: Sequence[str], sessions: Sequence[Session], planned: Sequence[Step]
) -> Iterator[str]:
    """What is said before the first step."""
    yield from choice.summary()
    registered: dict[str, list[str]] = {}
    for image in REGISTERED:
        registered.setdefault(note_on(image, settings), []).append(image)
    yield from (f"{', '.join(images)}: {note}" for note, images in registered.items() if note)
    yield from more
    yield from stale(planned)
    everywhere = common_notes(sessions)
    yield from (f"every session: {note}" for note in everywhere)
    yield from (f"{session.name}: {note}" for session in sessions for note in session.notes if note not in everywhere)


def common_notes(sessions: Sequence[Session]) -> list[str]:
    """The notes that every one of several sessions has: they are said once."""
    usable = [session for session in sessions if session.problem is None]
    return [note for note in usable[0].notes if all(note in s.notes for s in usable)] if len(usable) > 1 else []


def stale(planned: Sequence[Step]) -> list[str]:
    """Which masks in the output folder are in no table, as this run cannot tell whether they are current."""
    counts = Counter(
        entry["desc"]
        for step in planned
        if step.function is steps.measures
        for entry in step.params["Methods"]
        if entry["reason"] == steps.STALE
    )
    named = ", ".join(f"{desc} ({n} session{'s' * (n > 1)})" for desc, n in counts.items())
    told = "masks of earlier runs that this run cannot check stay in the folder and count as missing"
    return [f"{told}: {named}"] if named else []


def check_freesurfer(
    sessions: Sequence[Session], every: Sequence[Session], choice: Choice, settings: Settings
) -> list[str]:
    """What there is to say when the subjects directory holds not one of the sessions.

    Raises
    ------
    NoInputError
        The same, FreeSurfer is asked for by name, and its results are not given or made in another way.
    """
    place = settings.tools.freesurfer.subjects_dir
    usable = [session for session in sessions if session.problem is None and "T1w" in session.images]
    if place is None or not usable:
        return []
    single = alone(every)
    if any(_in_freesurfer(place, session, alone=session.subject in single) for session in usable):
        return []
    names = [session.name for session in usable[:3]]
    names += [f"sub-{usable[0].subject}"] if usable[0].session else []
    problem = f"the FreeSurfer subjects directory holds no session of this run (looked for: {', '.join(names)}, ...)."
    elsewhere = "freesurfer" in choice.runnable or results_of(settings, "freesurfer")
    if "freesurfer" in settings.methods.names and not elsewhere:
        raise NoInputError(problem, "Check --fs-subjects-dir and the names of the folders in it.", place)
    return [f"{place.name}: {problem}"]


def alone(every: Sequence[Session]) -> set[str]:
    """The subjects with one session."""
    return {subject for subject, n in Counter(session.subject for session in every).items() if n == 1}


def _in_freesurfer(place: Path, session: Session, *, alone: bool) -> bool:
    """Whether results of a session are there, also such as cannot be used: the plan says why."""
    from thalbids.tools import freesurfer

    try:
        return freesurfer.find(place, session.subject, session.session, only_session=alone) is not None
    except ThalbidsError:
        return True


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
        if step.function is steps.report and any(path and path.exists() for path in step.inputs.values())
    }
    if not pages:
        raise NoInputError("there are no results to report on.", "Run participant without --reports-only.")
    return [step if step.name in pages else replace(step, look_up=True) for step in planned]


def every_session(bids_dir: Path, settings: Settings, asked: Sequence[Session]) -> list[Session]:
    """All sessions of the asked participants, for their pages."""
    if not settings.inputs.session_label and settings.inputs.bids_filter_file is None:
        return list(asked)
    own = tuple(dict.fromkeys(session.subject for session in asked))
    every = read_dataset(bids_dir, own, validate=not settings.inputs.skip_bids_validation).sessions
    known = {session.name: session for session in asked}
    return [known.get(session.name, session) for session in every]


def sessions_of(bids_dir: Path, settings: Settings, *, dry_run: bool = False) -> Found:
    """The sessions that the settings ask for; a dry run makes no database."""
    inputs = settings.inputs
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
    own = ".".join(str(thalbids.__version__).split(".")[:2])  # a new minor version computes everything again
    return {"thalbids": own, **{name: installed(name) for name in used}}


def generated_by(sessions: Sequence[Session]) -> list[dict[str, str]]:
    """thalbids, then the programs that compute here."""
    own: dict[str, str] = {"Name": "thalbids", "Version": str(thalbids.__version__)}
    tools = [
        {"Name": "OpenVINO", "Version": installed("openvino"), "CodeURL": "https://github.com/openvinotoolkit/openvino"}
    ]
    if any({"FLAIR", "R1map"} & set(session.images) for session in sessions):
        tools.append({"Name": "ANTsPy", "Version": installed("antspyx"), "CodeURL": "https://github.com/ANTsX/ANTsPy"})
    return [own, *tools]


def links(settings: Settings) -> dict[str, Path]:
    """Where the BIDS URIs of given results lead, by their names."""
    found = dict(settings.inputs.derivatives)
    if settings.tools.freesurfer.subjects_dir is not None:
        found.setdefault("freesurfer", settings.tools.freesurfer.subjects_dir)
    return found


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


def describe(subjects: Sequence[SubjectPlan], planned: Sequence[Step], choice: Choice) -> str:
    """The plan for reading: per session what is there, what is missing, which mask comes from where, what would run."""
    lines = [f"methods: {', '.join(m.family for m in choice.methods if m.family not in choice.kept)}"]
    lines += [f"  {name}: {note}" for name, note in choice.notes.items()]
    steps: dict[str, list[str]] = {}
    for step in planned:
        steps.setdefault(step.session, []).append(step.name.removeprefix(f"{step.session} "))
    plans = [one for subject in subjects for one in subject.own]
    everywhere = common_notes([one.session for one in plans])
    lines += [f"every session: {note}" for note in everywhere]
    for one in plans:
        lines.append(one.name)
        if one.session.problem:
            lines.append(f"  cannot be processed: {one.session.problem}")
        for name, image in one.session.images.items():
            lines.append(f"  {name}: {image.uri}")
        lines += [f"  note: {note}" for note in one.session.notes if note not in everywhere]
        lines += [f"  {what}: {whence}" for what, whence in one.origins.items()]
        absent = [m for m in one.masks if m.step is None and not m.reason.startswith("the session has no")]
        lines += [f"  {mask.desc}: missing, {mask.reason}" for mask in absent]
        lines.append(f"  steps: {', '.join(steps.get(one.name, ()))}")
    broken = sum(one.session.problem is not None for one in plans)
    lines.append(
        f"{len(plans)} session{'s' * (len(plans) != 1)}, {broken} of them cannot be processed, "
        f"{len(planned)} steps. Nothing was run."
    )
    return "\n".join(lines)


def cores() -> int:
    """Processors that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_gb() -> float:
    """Memory that is free now, in GB, within the limit of a container."""
    import psutil

    free = psutil.virtual_memory().available
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            free = min(free, int(text))
    return float(free) / 1e9
