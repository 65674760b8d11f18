"""``thalbids select-gt``: whom to segment by hand."""

from __future__ import annotations

import argparse

from thalbids.cli.parser import EXIT_CODES, Labels, Parser, add_config, add_general, place
from thalbids.errors import UsageError
from thalbids.settings import Settings

_BORDERS = {"age": "18,30,50,70", "duration": "0,5,20,40", "edss": "0,1,3,7"}  # paper, 2.2.2
_OPTIONS = {"age": "age", "duration": "disease_duration", "edss": "edss"}


def parser() -> Parser:
    """``thalbids select-gt BIDS_DIR OUT_FILE``."""
    result = Parser(
        prog="thalbids select-gt",
        usage="thalbids select-gt BIDS_DIR OUT_FILE [options]",
        description="Choose participants for manual segmentation: a random sample, stratified by age,\n"
        "disease duration and EDSS, that resembles the cohort; other diagnoses can be added\nwhole. "
        "Writes the list, the table of strata and histograms.",
        epilog="example, the paper's choice:\n  thalbids select-gt raw manual_sample.tsv -n 34 --diagnosis RRMS "
        "--include PMS\n\n" + EXIT_CODES,
    )
    places = result.add_argument_group("positional arguments")
    text = "root of the BIDS dataset with its clinical tables"
    places.add_argument("bids_dir", metavar="BIDS_DIR", type=place, help=text)
    places.add_argument(
        "out_file", metavar="OUT_FILE", type=place, help="the list, a .tsv file; the rest goes beside it"
    )
    group = result.add_argument_group("how to draw")
    group.add_argument("-n", type=int, default=34, metavar="N", help="people to draw (default: %(default)s)")
    text = "diagnosis group to draw from, or all (default: %(default)s)"
    group.add_argument("--diagnosis", default="RRMS", metavar="NAME", help=text)
    text = "diagnosis groups whose people are added whole"
    group.add_argument("--include", nargs="+", action=Labels, default=[], metavar="NAME", help=text)
    for name, borders in _BORDERS.items():
        text = "borders of the groups; each holds its lower one, the last both (default: %(default)s)"
        group.add_argument(f"--{name}-borders", default=borders, metavar="A,B,...", help=text)
    text = "at least so many of every stratum that is not empty (default: %(default)s)"
    group.add_argument("--min-per-stratum", type=int, default=0, metavar="N", help=text)
    text = "another seed draws other people (default: %(default)s)"
    group.add_argument("--seed", type=int, default=1, metavar="N", help=text)
    add_config(group)
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Give the exit code."""
    from thalbids.raters.sample import SamplingDesign
    from thalbids.raters.sample_list import select_gt

    borders = {_OPTIONS[name]: _numbers(name, getattr(arguments, f"{name}_borders")) for name in _BORDERS}
    if arguments.seed < 0 or arguments.min_per_stratum < 0:
        raise UsageError("--seed and --min-per-stratum are 0 or more.", "See: thalbids select-gt --help")
    design = SamplingDesign(
        n=arguments.n,
        diagnosis=None if arguments.diagnosis.lower() == "all" else arguments.diagnosis,
        include=tuple(dict.fromkeys(arguments.include)),
        borders=borders,
        minimum=arguments.min_per_stratum,
        seed=arguments.seed,
    )
    return select_gt(
        arguments.bids_dir, arguments.out_file.absolute(), design, settings.clinical, settings.inputs.participant_label
    )


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"--{name}-borders: {text!r} are no numbers.", f"Give them as {_BORDERS[name]}.") from None
