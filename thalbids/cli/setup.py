"""``thalbids setup``: make the environments of tools that do not live beside thalbids, with pip."""

from __future__ import annotations

import argparse
import textwrap

from thalbids.cli.parser import EXIT_CODES, Parser, add_config, add_general
from thalbids.settings import Settings


def parser() -> Parser:
    """``thalbids setup [NAME ...]``."""
    result = Parser(
        prog="thalbids setup",
        usage="thalbids setup [NAME ...] [options]",
        description="Make an environment of its own for a tool, with venv and pip, in the cache folder\n"
        "(THALBIDS_CACHE or the platform's). Runs find it there; nothing else is changed.\n"
        "Without NAME: list what there is.",
        epilog=f"An environment that was cut off is made anew by the same command.\n\n{EXIT_CODES}",
    )
    places = result.add_argument_group("positional arguments")
    places.add_argument("what", metavar="NAME", nargs="*", help="samseg, samseg-lesion, mindglide, dbsegment")
    group = result.add_argument_group("what to do")
    text = "the Python to make it with (default: one on the PATH that the tool runs with)"
    group.add_argument("--python", metavar="PROGRAM", help=text)
    text = 'options of pip install, in one text ("--index-url https://...")'
    group.add_argument("--pip", metavar="OPTIONS", default="", help=text)
    add_config(group)
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make what was named, or list what can be; 0 when all is there."""
    import shlex

    from thalbids.tools import environments

    if not arguments.what:
        print(listing())
        return 0
    for name in arguments.what:
        environments.named(name)  # a wrong name before any installation
    for name in arguments.what:
        state = "is here" if environments.ready(name) else "is being installed"
        print(f"{name} {state}: {environments.folder(name)}", flush=True)
        print(environments.make(name, arguments.python, shlex.split(arguments.pip)), flush=True)
    return 0


def listing() -> str:
    """What can be made, and what of it is here."""
    from thalbids.tools import environments

    lines = []
    for one in environments.KNOWN.values():
        lines.append(f"{one.name}: {one.program} ({', '.join(one.packages)})")
        lines += textwrap.wrap(one.note, 76, initial_indent="  ", subsequent_indent="  ")
        state = "here" if environments.ready(one.name) else "not here"
        lines.append(f"  {state}: {environments.folder(one.name)}")
    return "\n".join(lines)
