"""``thalbids fetch``: bring weights and templates to this machine, outside of runs."""

from __future__ import annotations

import argparse
import sys

from thalbids import families
from thalbids.cli.parser import EXIT_CODES, Parser, add_config, add_general
from thalbids.settings import Settings

TEMPLATES = {
    "template:MNI152NLin2009cAsym": "T1w template and its brain mask for --template; any template of TemplateFlow",
}


def offered() -> dict[str, str]:
    """What can be fetched, and what it is: what methods need, and templates."""
    return {name: entry.download for name, entry in families.known().items() if entry.download} | TEMPLATES


def parser() -> Parser:
    """``thalbids fetch [WHAT ...]``."""
    result = Parser(
        prog="thalbids fetch",
        usage="thalbids fetch [WHAT ...]",
        description="Bring weights and templates to this machine. Runs never download anything.\n"
        "Without WHAT: list what there is.",
        epilog=f"A fetch that was cut off is continued by the same command. The folder is\n"
        f"THALBIDS_CACHE or the platform's; TEMPLATEFLOW_HOME for templates.\n\n{EXIT_CODES}",
    )
    places = result.add_argument_group("positional arguments")
    places.add_argument("what", metavar="WHAT", nargs="*", help=", ".join(offered()))
    add_config(result.add_argument_group("settings"))
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Fetch what was named, or list what can be; 0 when all is there."""
    from thalbids.tools.download import fetch
    from thalbids.tools.weights import named

    if not arguments.what:
        print(listing())
        return 0
    wanted = [download for what in arguments.what for download in named(what)]  # a wrong name before any download
    for download in wanted:
        print(f"{download.path.name}: from {download.url}", flush=True)
        done = fetch(download, _progress if sys.stderr.isatty() else lambda done, total: None)
        print(f"{download.path}: {done}", flush=True)
    return 0


def listing() -> str:
    """What can be fetched, and what of it is here."""
    from thalbids.tools import templates
    from thalbids.tools.weights import here, named

    lines = []
    for what, text in offered().items():
        lines.append(f"{what}: {text}")
        kind, _, name = what.partition(":")
        if kind == "template":  # only looked at: TemplateFlow's list of files is written when one is fetched
            state = "here" if templates.local(name) else "not here"
            lines.append(f"  {state}: {templates.folder(name)}")
            continue
        for download in named(what):
            state = "here" if here(download) else "not here"
            lines += [f"  {state}: {download.path}", f"  from {download.url}", f"  SHA-256 {download.sha256}"]
    return "\n".join(lines)


def _progress(done: int, total: int | None) -> None:
    of = f" of {total / 1e6:.0f}" if total else ""
    end = "\n" if done == total else ""
    print(f"\r  {done / 1e6:.0f}{of} MB", end=end, file=getattr(sys.stderr, "unescaped", sys.stderr), flush=True)
