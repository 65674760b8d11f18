"""``thalbids share``: a copy of the derivatives that can be given away."""

from __future__ import annotations

import argparse

from thalbids.cli.parser import EXIT_CODES, Labels, Parser, add_config, add_general, place
from thalbids.settings import Settings


def parser() -> Parser:
    """``thalbids share OUT_DIR DEST``."""
    result = Parser(
        prog="thalbids share",
        usage="thalbids share OUT_DIR DEST [options]",
        description="Copy results into a new BIDS derivative dataset that can be given away: no\nlogs, reports, dates, "
        "absolute paths or names of machines.",
        epilog="example:\n  thalbids share derivatives/thalbids shared --what masks --license CC0\n\n" + EXIT_CODES,
    )
    places = result.add_argument_group("positional arguments")
    places.add_argument("output_dir", metavar="OUT_DIR", type=place, help="results of participant and group")
    places.add_argument("destination", metavar="DEST", type=place, help="new folder")
    group = result.add_argument_group("what to share")
    text = "tables (default): volumes and quality measures; masks: also thalamus masks; all: also images"
    group.add_argument("--what", choices=("tables", "masks", "all"), default="tables", help=text)
    text = "only these people, with or without sub-; group tables are left out then"
    group.add_argument(
        "--participant-label", dest="labels", nargs="+", action=Labels, metavar="LABEL", default=[], help=text
    )
    text = "remove dates (default), or move those of a person by the same number of days"
    group.add_argument("--dates", choices=("drop", "shift"), default="drop", help=text)
    text = "terms of the copy, such as CC0 (default: those of the dataset)"
    group.add_argument("--license", dest="license_name", default="", metavar="NAME", help=text)
    text = "the images of --what all show no face"
    group.add_argument("--faces-removed", action="store_true", help=text)
    add_config(group)
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Give the exit code."""
    from thalbids.bids.results.share import share

    written = share(
        arguments.output_dir.absolute(),
        arguments.destination.absolute(),
        what=arguments.what,
        subjects=arguments.labels,
        dates=arguments.dates,
        license_name=arguments.license_name,
        faces_removed=arguments.faces_removed,
    )
    people = {path.parts[0] for path in written if path.parts[0].startswith("sub-")}
    print(f"{len(written)} files of {len(people)} participant{'s' * (len(people) != 1)} are in {arguments.destination}")
    return 0
