"""``thalbids doctor``: what is installed, in which version, and what each missing piece would enable."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import textwrap
from dataclasses import asdict
from functools import partial
from typing import Any

from thalbids import families
from thalbids.cli.parser import EXIT_CODES, Parser, add_config, add_general, add_tools
from thalbids.programs import FslSettings
from thalbids.settings import Settings
from thalbids.tools.findings import EMBEDDED, FSL, FSL_LICENCE, Finding, of_check

WIDTH = 96
OTHERS = "methods of other packages"


def parser() -> Parser:
    """``thalbids doctor``."""
    result = Parser(
        prog="thalbids doctor",
        usage="thalbids doctor [options]",
        description="What is installed, in which version, and what each missing piece would enable.",
        epilog=f"Always ends with 0: a missing tool is no error, unless a run asks for it by name.\n\n{EXIT_CODES}",
    )
    group = result.add_argument_group("what to do")
    group.add_argument("--json", action="store_true", help="the same as JSON, for programs")
    add_config(group)
    add_tools(group)
    add_general(result.add_argument_group("general"))
    return result


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the findings."""
    findings = examine(settings)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        print(table(findings))
    return 0


def examine(settings: Settings) -> list[Finding]:
    """Look at every piece: what methods say of themselves, and what belongs to none of them."""
    pieces = [piece for method in families.methods().values() for piece in _of_method(method, settings)]
    pieces += [*_shared(), *_registration(settings), *_broken()]
    parts = dict.fromkeys([EMBEDDED, FSL, *(piece.part for piece in pieces)])
    pieces = [piece for part in parts for piece in pieces if piece.part == part]
    return [*pieces, *_templates(), *_machine()]


def table(findings: list[Finding]) -> str:
    """The findings for people."""
    wide = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    part = ""
    for finding in findings:
        if finding.part != part:
            part = finding.part
            lines += ["", part] if lines else [part]
        state = "ok     " if finding.ok else "missing"
        start, told = f"  {state}  {finding.name:<{wide}}  ", finding.version or finding.where
        short = bool(told) or len(start + finding.problem) <= WIDTH
        lines.append((start + (told or (finding.problem if short else ""))).rstrip())
        if finding.ok:
            continue
        details = {
            "why": finding.problem if told or not short else "",  # else the line above says it
            "enables": finding.enables,
            "get it": finding.mend,
            "licence": finding.licence,
        }
        for name, text in details.items():
            if text:
                indent = " " * 13
                lines += textwrap.wrap(f"{name}: {text}", WIDTH, initial_indent=indent, subsequent_indent=indent + "  ",
                                       break_long_words=False, break_on_hyphens=False)  # fmt: skip
    missing = sum(not finding.ok for finding in findings)
    lines += [
        "",
        f"{missing} {'piece is' if missing == 1 else 'pieces are'} missing; none of that is needed for SynThal, the "
        "embedded method."
        if missing
        else "All is here.",
    ]
    return "\n".join(lines)


def _of_method(method: Any, settings: Settings) -> list[Finding]:
    """What a method says of its pieces; of one that says nothing, whether it can run."""
    from thalbids.methods.base import own_settings, trait

    pieces, part = getattr(method, "pieces", None), own_settings(method, settings)
    if pieces is not None:
        return list(pieces(part))
    problem = trait(method, "blocked", part) or ""
    entry = families.of(method.family)
    enables = f"{entry.label}'s masks"
    return [Finding(OTHERS, entry.label, not problem, where="runs here", problem=problem, enables=enables)]


def _broken() -> list[Finding]:
    """Methods of other packages that cannot be loaded."""
    return [
        Finding(OTHERS, entry.name, False, problem=f"it cannot be loaded: {entry.error!r}.",
                mend=f"Mend the package {entry.package}, or uninstall it: pip uninstall {entry.package}")
        for entry in families.loaded()[2]
    ]  # fmt: skip


def _shared() -> list[Finding]:
    """What is installed with thalbids."""
    networks = f"the networks of {families.of(families.embedded()).label}"
    return [
        _package(
            EMBEDDED,
            "ANTs",
            "antspyx",
            "registration to templates, of raw quantitative images, and where ANTs is named",
            "pip install antspyx",
        ),
        _package(
            EMBEDDED,
            "OpenVINO",
            "openvino",
            networks,
            "pip install openvino",
        ),
    ]


def _package(part: str, name: str, package: str, enables: str, mend: str) -> Finding:
    from importlib import metadata

    try:
        return Finding(part, name, True, f"{package} {metadata.version(package)}", enables=enables)
    except metadata.PackageNotFoundError:
        return Finding(part, name, False, problem="not installed.", enables=enables, mend=mend)


def _registration(settings: Settings) -> list[Finding]:
    """FSL's programs that belong to no method."""
    from thalbids.tools import fsl

    pieces = []
    for program, name, enables in (
        ("flirt", "FLIRT", "the paper's registration strategies for FLAIR and R1 (thalbids does it without)"),
        ("siena", "SIENA", "percentage brain volume change between sessions"),
    ):
        problem = fsl.missing(program, settings.of(FslSettings)) or ""
        pieces.append(
            of_check(FSL, name, problem, fsl.MEND if problem else "",
                     fsl.located(program, settings.of(FslSettings)),
                     partial(fsl.version, program, settings.of(FslSettings)), enables, FSL_LICENCE)
        )  # fmt: skip
    return pieces


def _templates() -> list[Finding]:
    from thalbids.tools import templates

    name = templates.OFFERED
    there = bool(templates.local(name))
    return [
        Finding("templates", name, there, where=str(templates.folder(name)) if there else "",
                problem="" if there else "not fetched.", enables="transforms and masks in template space (--template)",
                mend=f"thalbids fetch template:{name}"),
    ]  # fmt: skip


def _machine() -> list[Finding]:
    part = "machine"
    gpu = shutil.which("nvidia-smi")
    return [
        Finding(part, "Python", True, platform.python_version(), sys.executable),
        Finding(part, "NVIDIA GPU", True, "driver found" if gpu else "none; the CPU does it all", gpu or ""),
        _program(part, "docker", "tools in containers", "Install Docker, or use Apptainer."),
        _program(part, "apptainer", "tools in containers, without root rights", "Install Apptainer, or use Docker."),
        _program(part, "pandoc", "the methods paragraph as a Word file", "Install pandoc (https://pandoc.org)."),
    ]


def _program(part: str, name: str, enables: str, mend: str) -> Finding:
    path = shutil.which(name) or (shutil.which("singularity") if name == "apptainer" else None)
    return Finding(part, name, path is not None, where=path or "", problem="" if path else "not on the PATH.",
                   enables=enables, mend=mend)  # fmt: skip
