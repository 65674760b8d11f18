"""``thalbids segment``: SynThal on single scans, without BIDS."""

from __future__ import annotations

import argparse

from thalbids.cli.parser import EXIT_1, EXIT_CODES, Parser, add_compute, add_config, add_general, place
from thalbids.settings import Settings

OF_SCANS = {
    EXIT_1: "some scans failed or are not to be trusted; of several scans the last\n       line counts them and names "
    "those that failed",
    "the same command goes on where it stopped": "the same command begins anew",
}


def parser() -> Parser:
    """``thalbids segment SCAN [...] [-o DIR]``."""
    codes = EXIT_CODES
    for of_sessions, of_scans in OF_SCANS.items():
        codes = codes.replace(of_sessions, of_scans)
    result = Parser(
        prog="thalbids segment",
        usage="thalbids segment SCAN [SCAN ...] [-o DIR] [options]",
        description="Thalamus masks and volumes of single scans of any contrast, by the embedded\nnetwork.",
        epilog=f"examples:\n  thalbids segment T1w.nii.gz\n  thalbids segment scans/*.nii.gz -o results\n\n{codes}",
    )
    places = result.add_argument_group("positional arguments")
    text = "NIfTI or MGH image (.nii, .nii.gz, .mgz, .mgh)"
    places.add_argument("scans", metavar="SCAN", type=place, nargs="+", help=text)
    group = result.add_argument_group("what to do")
    text = "where to write (default: beside each scan)"
    group.add_argument("-o", "--output-dir", type=place, metavar="DIR", help=text)
    add_config(group)
    add_compute(result.add_argument_group("resources"))
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Give the exit code."""
    from thalbids.participant.segment import segment

    return segment(arguments.scans, arguments.output_dir, settings)
