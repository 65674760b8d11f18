"""``thalbids demo``: write the demo dataset, measure it, and show what came out."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from thalbids.settings import Settings


def run_demo(arguments: argparse.Namespace, settings: Settings) -> int:
    """Give the exit code of the run over the demo dataset (0 with ``--data-only``)."""
    from thalbids.demo import compare, write_dataset

    raw = arguments.directory / "raw"
    out_dir = arguments.directory / "derivatives" / "thalbids"
    print(f"Demo dataset: {raw}", flush=True)
    for name in write_dataset(raw, arguments.subjects, arguments.seed):
        print(f"  made {name}", flush=True)
    if arguments.data_only:
        return 0
    from thalbids.pipeline.run import participant

    code = participant(raw, out_dir, settings, dry_run=False, reports_only=False)
    print("\nChange of the thalamus between the sessions, in percent:\n  person    true  measured on T1w")
    for label, truth, measured in compare(raw, out_dir):
        print(f"  {label:8}{truth:6.2f}  " + ("missing" if measured is None else f"{measured:6.2f}"))
    _show(sorted(out_dir.glob("sub-*.html")))
    return code


def _show(reports: list[Path]) -> None:
    """Name the reports; on a desktop, open the first."""
    if reports:
        print("\nReports:", *reports, sep="\n  ")
    if reports and sys.stdout.isatty() and _has_desktop():
        import webbrowser

        webbrowser.open(reports[0].resolve().as_uri())


def _has_desktop() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
