"""The group level: read once, let every analysis work, write every table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from thalbids.bids.results.outputs import check_output
from thalbids.bids.tabular.clinical import ClinicalError
from thalbids.bids.tabular.tables import Table
from thalbids.engine.disk import check_writable
from thalbids.errors import NoInputError, ThalbidsError, without_folders
from thalbids.files import write_text
from thalbids.group import plan
from thalbids.group.analyses.masks.manual import check_manual
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.describing import clinical_lines, describe, fitted_lines, last_lines, shown, tables_line
from thalbids.group.intake import harmonise
from thalbids.group.intake.reading import read_cohort
from thalbids.group.registry import ANALYSES
from thalbids.group.writing import begin, end, joined, unfinished, write_all
from thalbids.methods.registry import check_given, check_places
from thalbids.settings import Settings

LOG = logging.getLogger(__name__)
LOGS = Path("logs") / "group"


def group(
    bids_dir: Path,
    out_dir: Path,
    settings: Settings,
    *,
    dry_run: bool = False,
    follow: Path | None = None,
    terse: bool = False,
) -> int:
    """Run the group level; gives the exit code. ``follow`` is an analysis plan, whose settings replace those given;
    ``terse`` leaves the notes to ``logs/group/notes.txt``.

    Raises
    ------
    ThalbidsError
        Nothing could be started (usage, no input, impossible values in a clinical table, output folder).
    """
    fixed: dict[str, Any] | None = None
    before: list[dict[str, str]] = []
    if follow is not None:
        settings, fixed, before = plan.follow(follow, settings)
    check_given(settings.inputs.derivatives)
    check_places({**settings.inputs.derivatives, "PBVC table": settings.siena.table})
    check_manual(settings.inputs.derivatives)
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
        ledgers = [item.ledgers for item in ANALYSES if item.ledgers is not None]
        print(describe(cohort, [row for ledgers_of in ledgers for row in ledgers_of(cohort)]), flush=True)
        check_writable(out_dir)
        return 1 if cohort.lost else 0
    begin(out_dir)
    tables, problems = run_analyses(cohort, ANALYSES)
    tables = [*harmonised, *tables]
    if fixed is not None:
        tables.append(plan.deviations(fixed, before, tables))
    write_all(tables, out_dir)
    notes = [*cohort.notes, *(note for table in tables for note in table.notes), *problems]
    pressing = [*cohort.lost, *cohort.pressing]
    write_text(out_dir / LOGS / "settings.toml", settings.to_toml())
    for name, lines in (("notes.txt", notes), ("pressing.txt", pressing)):
        write_text(out_dir / LOGS / name, "".join(f"{line}\n" for line in lines))
    for note in [*shown(notes), *fitted_lines(tables)] if not terse else problems:
        print(note)
    if settings.outputs.report:
        from thalbids.group import reporting

        kept = without_folders(settings.to_toml())
        page = reporting.write(out_dir, kept, notes, settings.run.nprocs, pressing)[0]
        if not terse:
            print(f"report: {page}")
            if has_norms(tables) and any(out_dir.glob("sub-*.html")):
                print("z against the controls: participant --reports-only puts it on the pages of the people.")
    empty = sum(table.frame.empty for table in tables)
    print(f"  {tables_line(len(tables), empty)}" if terse else f"{tables_line(len(tables), empty)}: group_*.tsv")
    for line in last_lines(cohort):
        print(line)
    end(out_dir)
    return 1 if problems or cohort.lost else 0


def has_norms(tables: Iterable[Table]) -> bool:
    """Whether somebody's volume has a z against the controls."""
    return any(table.name == "group_normative" and bool(table.frame["z"].notna().any()) for table in tables)


def report_again(out_dir: Path, settings: Settings) -> int:
    """Write the page, the figures and the methods paragraph of existing tables again.

    Raises
    ------
    NoInputError
        There are no tables.
    """
    if not any(out_dir.glob("group_*.tsv")):
        raise NoInputError("there are no tables to report on.", "Run group without --reports-only.", out_dir)
    if unfinished(out_dir):
        raise NoInputError(
            "the tables are those of a run that did not end.", "Run group without --reports-only.", out_dir
        )
    from thalbids.group import reporting

    kept = out_dir / LOGS / "settings.toml"
    earlier = kept.read_text(encoding="utf-8") if kept.is_file() else settings.to_toml()
    notes, pressing = (
        path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for path in (out_dir / LOGS / name for name in ("notes.txt", "pressing.txt"))
    )
    print(f"report: {reporting.write(out_dir, without_folders(earlier), notes, settings.run.nprocs, pressing)[0]}")
    return 0


def run_analyses(cohort: Cohort, analyses: Sequence[Analysis]) -> tuple[list[Table], list[str]]:
    """The tables of every analysis, and the problems of those that failed.

    Raises
    ------
    Exception
        A mistake in an analysis, after the tables of all others were written.
    """
    tables: list[Table] = []
    problems: list[str] = []
    bugs: list[Exception] = []
    for analysis in analyses:
        try:
            tables += list(analysis.tables(cohort))
        except ThalbidsError as error:
            problems.append(f"warning: {analysis.name}: {error}")
        except Exception as error:
            LOG.debug("analysis %s", analysis.name, exc_info=True)
            bugs.append(error)
    whole = joined(tables)
    if bugs:
        write_all(whole, cohort.out_dir)
        raise bugs[0]
    return whole, problems
