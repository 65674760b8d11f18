"""``thalbids demo``: write the demo dataset, measure it, and show what came out."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from thalbids.cli.parser import EXIT_CODES, Parser, add_compute, add_config, add_general, add_run, place
from thalbids.settings import Settings


def parser() -> Parser:
    """``thalbids demo [DIR]``."""
    result = Parser(
        prog="thalbids demo",
        usage="thalbids demo [DIR] [options]",
        description="Write a small BIDS dataset with known thalamic shrinkage, made from the MNI152\n"
        "template, and measure it; and a simulated cohort of 42 people (tables and\n"
        "small masks) for the group level.",
        epilog=f'Needs the extra "demo": pip install "thalbids[demo]". Downloads nothing.\n\n{EXIT_CODES}',
    )
    places = result.add_argument_group("positional arguments")
    text = "new folder, gets raw/, derivatives/ and cohort/ (default: %(default)s)"
    places.add_argument("directory", metavar="DIR", type=place, nargs="?", default=Path("thalbids-demo"), help=text)
    group = result.add_argument_group("what to do")
    group.add_argument("--data-only", action="store_true", help="write the dataset; measure nothing")
    text = "raw multi-parameter mapping in place of R1 maps"
    group.add_argument("--qmri", action="store_true", help=text)
    text = "number of people, each with two sessions (default: %(default)s)"
    group.add_argument("--subjects", type=int, default=3, metavar="N", help=text)
    text = "another seed makes other people (default: %(default)s)"
    group.add_argument("--seed", type=int, default=1, metavar="N", help=text)
    add_config(group)
    resources = result.add_argument_group("resources")
    add_run(resources)
    add_compute(resources)
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Give the exit code of the run over the demo dataset (0 with ``--data-only``)."""
    from thalbids.demo import check_folder, write_dataset
    from thalbids.demo_cohort import write_cohort

    folder: Path = arguments.directory
    raw, out_dir, cohort = folder / "raw", folder / "derivatives" / "thalbids", folder / "cohort"
    check_folder(folder, arguments.subjects, arguments.seed)
    whose = "one made-up person" if arguments.subjects == 1 else f"{arguments.subjects} made-up people"
    print(f"Images of {whose}, two sessions each: {raw}", flush=True)
    threads = settings.run.nprocs
    for name in write_dataset(raw, arguments.subjects, arguments.seed, qmri=arguments.qmri, threads=threads):
        print(f"  made {name}", flush=True)
    written = sum(1 for _ in write_cohort(cohort, arguments.seed))
    print(f"A simulated cohort for the group level (tables and small masks{'' if written else ', there already'}): "
          f"{cohort / 'raw'}", flush=True)  # fmt: skip
    if arguments.data_only:
        return 0
    from thalbids.group.run import group
    from thalbids.participant.run import participant

    print("Measuring the images:", flush=True)
    code = participant(raw, out_dir, settings, dry_run=False, reports_only=False, terse=True)
    print("Group level of the simulated cohort:", flush=True)
    results = cohort / "derivatives" / "thalbids"
    code = max(code, group(cohort / "raw", results, with_manual(settings, cohort), terse=True))
    print("\n".join(["", *_found(raw, out_dir, results), "", *_next(folder, out_dir, results)]))
    _open(sorted(out_dir.glob("sub-*.html")))
    return code


def with_manual(settings: Settings, cohort: Path) -> Settings:
    """The settings with the simulated manual masks of both raters."""
    from thalbids.demo_cohort import RATERS

    masks = {name: cohort / "derivatives" / name for name in RATERS}
    return replace(settings, inputs=replace(settings.inputs, derivatives={**settings.inputs.derivatives, **masks}))


def _found(raw: Path, out_dir: Path, results: Path) -> list[str]:
    """What came out, beside what was put in: one line per person with images, then effects of the cohort."""
    from thalbids.demo import compare
    from thalbids.demo_cohort import TOLD, held_against_truth

    lines = ["Change of the thalamus between two scans, in percent (one pair errs by one or two points):"]
    for label, truth, measured in compare(raw, out_dir):
        lines.append(f"  {label}: true {truth:.2f}, measured " + ("missing" if measured is None else f"{measured:.2f}"))
    facts = held_against_truth(results)
    lines.append("Simulated cohort, what was put in and what the group level found (95 % interval):")
    for fact in facts:
        if fact.fact.what in TOLD:
            estimate = f"{fact.estimate:.2f} [{fact.low:.2f}, {fact.high:.2f}] {fact.fact.unit}"
            lines.append(f"  {fact.fact.what}: {fact.fact.truth:.2f}, found {estimate}")
    held = sum(fact.holds for fact in facts)
    lines.append(
        f"  {held} of {len(facts)} intervals hold what was put in (all: {results.parents[1] / 'raw/truth.tsv'})"
    )
    return lines


def _next(folder: Path, out_dir: Path, results: Path) -> list[str]:
    """Which pages to open, and what to type for one's own data."""
    pages = {
        out_dir / "sub-01.html": "one person: masks, volumes, change",
        out_dir / "qc.html": "every session, what stands out",
        results / "group.html": "the group level of the simulated cohort",
    }
    there = [f"  {path}  ({what})" for path, what in pages.items() if path.is_file()]
    command = "thalbids BIDS_DIR BIDS_DIR/derivatives/thalbids participant"
    return [
        *(["Open:", *there] if there else []),
        f"Your own data: {command} --dry-run  (what would be done; then without --dry-run, then group)",
    ]


def _open(reports: list[Path]) -> None:
    """On a desktop, open the first page."""
    if reports and sys.stdout.isatty() and _has_desktop():
        import webbrowser

        webbrowser.open(reports[0].resolve().as_uri())


def _has_desktop() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
