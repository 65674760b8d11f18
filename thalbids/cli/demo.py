"""``thalbids demo``: write the demo dataset, measure it, and show what came out."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from thalbids.cli.parser import EXIT_CODES, Parser, add_compute, add_config, add_general, add_run
from thalbids.settings import Settings


def parser() -> Parser:
    """``thalbids demo [DIR]``."""
    result = Parser(
        prog="thalbids demo",
        usage="thalbids demo [DIR] [options]",
        description="Write a small BIDS dataset with known thalamic shrinkage, made from the MNI152\n"
        "template, and measure it.",
        epilog=f'Needs the extra "demo": pip install "thalbids[demo]". Downloads nothing.\n\n{EXIT_CODES}',
    )
    places = result.add_argument_group("positional arguments")
    text = "new folder, gets raw/ and derivatives/ (default: %(default)s)"
    places.add_argument("directory", metavar="DIR", type=Path, nargs="?", default=Path("thalbids-demo"), help=text)
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
    from thalbids.demo import compare, write_dataset

    raw = arguments.directory / "raw"
    out_dir = arguments.directory / "derivatives" / "thalbids"
    print(f"Demo dataset: {raw}", flush=True)
    for name in write_dataset(raw, arguments.subjects, arguments.seed, qmri=arguments.qmri):
        print(f"  made {name}", flush=True)
    if arguments.data_only:
        return 0
    from thalbids.participant.run import participant

    code = participant(raw, out_dir, settings, dry_run=False, reports_only=False)
    print("\nChange of the thalamus between the sessions, in percent:\n  person    true  measured on T1w")
    for label, truth, measured in compare(raw, out_dir):
        print(f"  {label:8}{truth:6.2f}  " + ("missing" if measured is None else f"{measured:6.2f}"))
    print(
        "Each difference between true and measured is the error of one pair of scans: here, with simulated noise,\n"
        "shading and position, one or two points are usual. True change is read about a tenth too small\n"
        "(docs/model_card.md)."
    )
    from thalbids.group.run import group

    print("\nGroup level:", flush=True)
    code = max(code, group(raw, out_dir, settings))
    _show([*sorted(out_dir.glob("sub-*.html")), out_dir / "qc.html", out_dir / "group.html"])
    return code


def _show(reports: list[Path]) -> None:
    """Name the reports that there are; on a desktop, open the first."""
    reports = [path for path in reports if path.is_file()]
    if reports:
        print("\nReports:", *reports, sep="\n  ")
    if reports and sys.stdout.isatty() and _has_desktop():
        import webbrowser

        webbrowser.open(reports[0].resolve().as_uri())


def _has_desktop() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
