"""``thalbids doctor``: what is installed, in which version, and what each missing piece would enable."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from thalbids.cli.parser import EXIT_CODES, Parser, add_config, add_general, add_tools
from thalbids.settings import Settings

WIDTH = 96


@dataclass(frozen=True)
class Finding:
    """One piece, as it was found.

    Attributes
    ----------
    part : heading under which it stands
    name : the piece
    ok : it can be used
    version, where : what was found
    problem : why it cannot be used
    enables : what it is for
    mend : how to get it
    licence : its licence, where that matters
    """

    part: str
    name: str
    ok: bool
    version: str = ""
    where: str = ""
    problem: str = ""
    enables: str = ""
    mend: str = ""
    licence: str = ""


def parser() -> Parser:
    """``thalbids doctor``."""
    made = Parser(
        prog="thalbids doctor",
        usage="thalbids doctor [options]",
        description="What is installed, in which version, and what each missing piece would enable.",
        epilog=f"Always ends with 0: a missing tool is no error, unless a run asks for it by name.\n\n{EXIT_CODES}",
    )
    group = made.add_argument_group("what to do")
    group.add_argument("--json", action="store_true", help="the same as JSON, for programs")
    add_config(group)
    add_tools(group)
    add_general(made.add_argument_group("general"))
    return made


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the findings."""
    found = examine(settings)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        print(table(found))
    return 0


def examine(settings: Settings) -> list[Finding]:
    """Look at every piece; a piece that cannot be looked at is a finding too."""
    found: list[Finding] = []
    for look in (_embedded, _fsl, _freesurfer, _dbsegment, _mindglide, _templates, _machine):
        found += look(settings)
    return found


def table(found: list[Finding]) -> str:
    """The findings for people."""
    wide = max(len(finding.name) for finding in found)
    lines: list[str] = []
    part = ""
    for finding in found:
        if finding.part != part:
            part = finding.part
            lines += ["", part] if lines else [part]
        state = "ok     " if finding.ok else "missing"
        lines.append(
            f"  {state}  {finding.name:<{wide}}  {finding.version or finding.where or finding.problem}".rstrip()
        )
        if finding.ok:
            continue
        details = {
            "why": finding.problem if finding.version or finding.where else "",  # else the line above says it
            "enables": finding.enables,
            "get it": finding.mend,
            "licence": finding.licence,
        }
        for name, text in details.items():
            if text:
                indent = " " * 13
                lines += textwrap.wrap(f"{name}: {text}", WIDTH, initial_indent=indent, subsequent_indent=indent + "  ",
                                       break_long_words=False, break_on_hyphens=False)  # fmt: skip
    missing = sum(not finding.ok for finding in found)
    lines += [
        "",
        f"{missing} missing; nothing of that is needed for the embedded method." if missing else "All is here.",
    ]
    return "\n".join(lines)


def _embedded(settings: Settings) -> list[Finding]:
    del settings
    part = "embedded (no installation needed)"
    return [
        _synthal(part),
        _package(part, "ANTs", "antspyx", "rigid registration of FLAIR and R1, templates", "pip install antspyx"),
        _package(part, "OpenVINO", "openvino", "the networks of SynThal", "pip install openvino"),
    ]


def _synthal(part: str) -> Finding:
    from thalbids.methods.synthal import SynThal

    enables = "SynThal: thalamus masks of T1w, FLAIR and R1, brain mask, intracranial volume"
    problem = SynThal().unavailable()
    if problem is not None:
        return Finding(part, "SynThal weights", False, problem=problem, enables=enables, mend="Install thalbids again.")
    from thalbids.methods.synthal import weights_checksum

    return Finding(part, "SynThal weights", True, f"SHA-256 {weights_checksum()[:16]}", enables=enables)


def _package(part: str, name: str, package: str, enables: str, mend: str) -> Finding:
    from importlib import metadata

    try:
        return Finding(part, name, True, f"{package} {metadata.version(package)}", enables=enables)
    except metadata.PackageNotFoundError:
        return Finding(part, name, False, problem="not installed.", enables=enables, mend=mend)


def _fsl(settings: Settings) -> list[Finding]:
    from thalbids.tools import first, fsl

    licence = "free for non-commercial use only; look at FSL's licence"
    checked = first.check(settings.tools.fsl)
    found = [
        _of_check(
            "FSL", "FIRST", checked.problem, _without_us(checked.mend), checked.where,
            lambda: first.version(settings.tools.fsl), "FIRST's masks; the paper's envelope of MindGlide", licence,
        )
    ]  # fmt: skip
    for program, name, enables in (
        ("flirt", "FLIRT", "the paper's registration strategies for FLAIR and R1 (ANTs does it without)"),
        ("siena", "SIENA", "percentage brain volume change between sessions"),
    ):
        problem = fsl.missing(program, settings.tools.fsl) or ""
        found.append(
            _of_check("FSL", name, problem, _without_us(fsl.MEND) if problem else "",
                      fsl.located(program, settings.tools.fsl),
                      partial(fsl.version, program, settings.tools.fsl), enables, licence)
        )  # fmt: skip
    return found


def _freesurfer(settings: Settings) -> list[Finding]:
    from thalbids.tools import freesurfer

    own = settings.tools.freesurfer
    part, enables = "FreeSurfer", "FreeSurfer's masks and eTIV"
    checked = freesurfer.check(own)
    licence = freesurfer.license_file(own)
    where = str(own.subjects_dir) if own.subjects_dir else ""
    there = own.subjects_dir is not None and own.subjects_dir.is_dir()
    text = "not given." if own.subjects_dir is None else "the folder is not there."
    return [
        _of_check(part, "recon-all", checked.problem, checked.mend, checked.where,
                  lambda: freesurfer.version(own), enables + ", computed (hours for each session)", ""),
        Finding(part, "licence", licence is not None, where=str(licence or ""),
                problem="" if licence else "no licence file.", enables="recon-all; not needed to read existing results",
                mend="Register, free of charge: https://surfer.nmr.mgh.harvard.edu/registration.html; "
                "then --fs-license-file."),
        Finding(part, "existing results", there, where=where, problem="" if there else text,
                enables=enables + ", read from results that you have", mend="Give them: --fs-subjects-dir DIR"),
    ]  # fmt: skip


def _dbsegment(settings: Settings) -> list[Finding]:
    from thalbids.tools import dbsegment

    own = settings.tools.dbsegment
    checked = dbsegment.check(own)
    enables = "DBSegment's masks; the paper's brain mask"
    return [
        _of_check("DBSegment", "DBSegment", checked.problem, checked.mend, checked.where,
                  lambda: dbsegment.version(own), enables, "GPL-3"),
    ]  # fmt: skip


def _mindglide(settings: Settings) -> list[Finding]:
    from thalbids.tools import mindglide, weights
    from thalbids.tools.check import program_check

    own = settings.tools.mindglide
    enables = "MindGlide's masks of T1w, FLAIR and R1, and their ensembles (with FIRST or another envelope)"
    program = program_check("MindGlide", mindglide.runner(own), mindglide.PROGRAM, "pip install mindglide")
    path = mindglide.checkpoint(own)
    there = path is not None and path.is_file()
    return [
        _of_check("MindGlide", "mindglide", program.problem, program.mend, program.where,
                  lambda: mindglide.version(own), enables, "MIT"),
        Finding("MindGlide", "checkpoint", there, where=str(path or ""),
                problem="" if there else f"not at {path or weights.mindglide().path}.", enables=enables,
                mend="thalbids fetch mindglide", licence="MIT"),
    ]  # fmt: skip


def _templates(settings: Settings) -> list[Finding]:
    del settings
    from thalbids.tools import weights

    name = "MNI152NLin2009cAsym"
    files = weights.template(name)
    there = all(weights.here(download) for download in files)
    return [
        Finding("templates", name, there, where=str(files[0].path.parent) if there else "",
                problem="" if there else "not fetched.", enables="transforms and masks in template space (--template)",
                mend=f"thalbids fetch template:{name}"),
    ]  # fmt: skip


def _machine(settings: Settings) -> list[Finding]:
    del settings
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


def _without_us(mend: str) -> str:
    """Advice without the advice to ask this command."""
    return mend.replace("; see: thalbids doctor", ".")


def _of_check(
    part: str, name: str, problem: str, mend: str, where: str, version: Callable[[], str | None], enables: str,
    licence: str,
) -> Finding:  # fmt: skip
    """A finding; the version is asked for only where there is one."""
    shown = where if not problem or Path(where.split(" ")[0]).is_absolute() else ""
    told = (version() or "version unknown") if not problem else ""
    return Finding(part, name, not problem, told, shown, problem, enables, mend, licence)
