"""``thalbids rate``: a page on which people rate registrations and masks blinded, and what their tables say."""

from __future__ import annotations

import argparse

from thalbids.cli.parser import EXIT_CODES, Labels, Parser, add_config, add_general, place, setting
from thalbids.errors import UsageError
from thalbids.settings import Settings


def parser() -> Parser:
    """``thalbids rate OUT_DIR``."""
    result = Parser(
        prog="thalbids rate",
        usage="thalbids rate OUT_DIR [options]\n       thalbids rate OUT_DIR --import FILE [FILE ...]",
        description="Write one HTML page on which a rater judges registrations and masks in random\norder, without "
        "knowing whose they are or what made them; or read the tables\nthat raters saved.",
        epilog="example:\n  thalbids rate derivatives/thalbids -o for_raters.html\n"
        "  thalbids rate derivatives/thalbids --import ratings_AB.tsv ratings_CD.tsv\n\n" + EXIT_CODES,
    )
    places = result.add_argument_group("positional arguments")
    places.add_argument("output_dir", metavar="OUT_DIR", type=place, help="results of participant")
    group = result.add_argument_group("the page")
    text = "the page (default: OUT_DIR/rating_PAGE.html)"
    group.add_argument("-o", "--output", dest="page", type=place, metavar="FILE", help=text)
    text = "only these people, with or without sub-"
    labels = {"nargs": "+", "action": Labels, "metavar": "LABEL"}
    setting(group, "--participant-label", "inputs.participant_label", text, **labels)
    text = "what to rate (default: both)"
    group.add_argument("--what", nargs="+", choices=("registrations", "masks"), metavar="WHAT", help=text)
    group.add_argument("--sample", type=int, metavar="N", help="N items at random (default: all)")
    text = "percent of the items shown twice, unannounced (default: 5)"
    group.add_argument("--repeat", type=float, metavar="PERCENT", default=5.0, help=text)
    text = "of sample and order (default: another one each time)"
    group.add_argument("--seed", type=int, metavar="N", help=text)
    group = result.add_argument_group("the ratings")
    text = "tables that raters saved: check, unblind, agreement"
    setting(group, "--import", "ratings.files", text, type=place, metavar="FILE", nargs="+", action="extend")
    add_config(group)
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Give the exit code."""
    out_dir = arguments.output_dir.absolute()
    if "ratings.files" in vars(arguments):  # those of a settings file are for the other commands
        from thalbids.raters.summary import write

        for line in write(out_dir, settings.ratings, settings.run.seed, settings.group.bootstrap):
            print(line)
        return 0
    for name, value, fits in (
        ("--sample", arguments.sample, arguments.sample is None or arguments.sample > 0),
        ("--repeat", arguments.repeat, 0 <= arguments.repeat <= 100),
    ):
        if not fits:
            raise UsageError(f"{name} is {value}.", "Give a number above 0, and at most 100 percent of repeats.")
    from thalbids.raters import rating_page

    pages = rating_page.write(
        out_dir, arguments.page, subjects=settings.inputs.participant_label,
        what=arguments.what or tuple(rating_page.WHAT), sample=arguments.sample, repeats=arguments.repeat / 100,
        seed=arguments.seed,
    )  # fmt: skip
    rating_page.tell(pages)
    return 0
