"""The parsers of ``thalbids`` and its verbs. argparse only; nothing heavy is imported here.

An option whose destination is ``section.key`` is a setting (:mod:`thalbids.settings`); it is absent from the result
when it was not given, so that a settings file or the default holds.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from thalbids import families
from thalbids.errors import UsageError

VERBS = {  # each is a module of this package with parser() and run(arguments, settings)
    "segment": "masks and volumes of single scans",
    "demo": "make a small dataset and measure it",
    "doctor": "what is installed, what is missing, and how to get it",
    "fetch": "bring weights and templates to this machine",
    "setup": "environments of their own for SAMSEG, MindGlide and DBSegment",
    "rate": "a page to rate registrations and masks blinded",
    "share": "a copy of the results that can be given away",
    "select-gt": "whom to segment by hand: a stratified sample",
}
LEVELS = ("participant", "group")

_SPACE = "masks lie in the space of the scan (T1w); --template NAME adds the transform to a template"

# Options of other BIDS Apps and of FastSurfer (hyphenated): what they are called here, and what is different. What
# means the same is an option of its own (--nthreads, --mem-gb, -w).
ELSEWHERE: dict[str, tuple[str, str]] = {
    "--mem-mb": ("--mem GB", "in GB, not MB"),
    "--memory-gb": ("--mem GB", ""),
    "--threads": ("--omp-nthreads N", "threads of one step; --nprocs N for workers"),
    "--ants-nthreads": ("--omp-nthreads N", ""),
    "--sd": ("--fs-subjects-dir DIR", ""),
    "--subjects-dir": ("--fs-subjects-dir DIR", ""),
    "--fs-license": ("--fs-license-file FILE", ""),
    "--fs-no-reconall": ("--methods", "recon-all runs only where --methods names freesurfer"),
    "--no-reconall": ("--methods", "recon-all runs only where --methods names freesurfer"),
    "--subject": ("--participant-label LABEL", ""),
    "--subjects": ("--participant-label LABEL", ""),
    "--subject-label": ("--participant-label LABEL", ""),
    "--participant": ("--participant-label LABEL", ""),
    "--participants": ("--participant-label LABEL", ""),
    "--participant-labels": ("--participant-label LABEL", ""),
    "--session": ("--session-label LABEL", ""),
    "--session-id": ("--session-label LABEL", ""),
    "--session-labels": ("--session-label LABEL", ""),
    "--sessions": ("--session-label LABEL", ""),
    "--output-spaces": ("", _SPACE),
    "--output-space": ("", _SPACE),
    "--skull-strip-template": ("--derivatives brain=PATH", "for brain masks of your own"),
    "--bids-database": ("--bids-database-dir DIR", ""),
    "--fail-fast": ("--stop-on-first-crash", ""),
    "--gpu": ("--device cuda", ""),
    "--use-gpu": ("--device cuda", ""),
    "--no-cuda": ("--device cpu", ""),
    "--dryrun": ("--dry-run", ""),
    "--report-only": ("--reports-only", ""),
    "--random-seed": ("--config FILE", "[run] seed in the settings file"),
    "--verbose-count": ("-v", "-vv says everything"),
    "--config-file": ("--config FILE", "a TOML file of thalbids"),
    "--notrack": ("", "nothing is sent anywhere"),
    "--no-sub": ("", "nothing is sent anywhere"),
    "--low-mem": ("", "steps run within --mem"),
    "--clean-workdir": ("", "temporary files are removed by themselves"),
    "--clean-env": ("", "a container gets its environment from docker or apptainer"),
    "--anat-only": ("", "only anatomical images are read"),
    "--write-graph": ("", "--dry-run shows the plan"),
    "--resource-monitor": ("", "logs/*/summary.json has time and memory of every step"),
}

EXIT_1 = "some sessions failed; the last lines say which and why"
EXIT_CODES = f"""\
exit codes:
  0    all done
  1    {EXIT_1}
  2    wrong usage or settings
  66   no input found
  69   a tool, weight file, licence or optional package is missing
  70   a bug; the message names the file with the details
  130  interrupted; the same command goes on where it stopped
"""

_COMMANDS = "\n".join(f"  {verb:<11}{summary}" for verb, summary in VERBS.items())

_EPILOG = f"""\
commands beside the BIDS App (see thalbids COMMAND --help):
{_COMMANDS}

examples:
  thalbids /data/raw /data/derivatives/thalbids participant
  thalbids raw out participant --participant-label 01 02 --nprocs 4 --mem 16
  thalbids raw out participant --dry-run
  thalbids raw out group --derivatives manual=raters/manual
  thalbids segment T1w.nii.gz -o results

{EXIT_CODES}
Options may be spelled with hyphens or underscores; fMRIPrep's names of the same
(--nthreads, --n_cpus, --mem_gb, -w) do as well. A dataset folder that is
named like a command is written with a path: ./demo
"""


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` in place of ending the process, and explains the traps of BIDS-App command lines."""

    def __init__(self, **texts: str) -> None:
        # an abbreviation that works today is ambiguous tomorrow
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, add_help=False, **texts)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise the usage error."""
        mend = f"See: {self.prog} --help"
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message and unknown.startswith("-"):
            mend = f"{self._near(unknown.split()[0].partition('=')[0])} {mend}".strip()
        if message.startswith("the following arguments are required") and message.endswith("{participant,group}"):
            mend = (
                "The command is: thalbids BIDS_DIR OUTPUT_DIR participant (or group), with options after it "
                f"(an option that takes several values also takes the words that follow). {mend}"
            )
        raise UsageError(f"{message}.", mend)

    def _near(self, option: str) -> str:
        """What an option of another program, or one that was misspelled, is called here; "" when nobody can tell."""
        there = {word for action in self._actions for word in action.option_strings}
        ours, why = ELSEWHERE.get(option, ("", ""))
        if ours and ours.split()[0] in there:
            return f"Here it is {ours}{f' ({why})' if why else ''}."
        if why and not ours:
            return f"{option} is not needed: {why}."
        near = difflib.get_close_matches(option, there, n=1, cutoff=0.75)
        return f"Did you mean {near[0]}?" if near else ""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Eighty columns whatever the terminal, and a little more room for the options' names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=80)


def place(text: str) -> Path:
    """A file or folder; an empty shell variable must not come to mean the current folder.

    Raises
    ------
    argparse.ArgumentTypeError
        The text is empty.
    """
    return Path(not_empty(text))


def not_empty(text: str) -> str:
    """A value that is there.

    Raises
    ------
    argparse.ArgumentTypeError
        The text is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the value is empty (a shell variable that is not set?)")
    return text


class Labels(argparse.Action):
    """Values separated by spaces or commas; a repeated option adds to the first."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        labels = [label.strip() for value in values for label in value.split(",") if label.strip()]
        if not labels:  # an empty shell variable must not come to mean "all"
            parser.error(f"argument {option}: no name given")
        setattr(namespace, self.dest, getattr(namespace, self.dest, []) + labels)


class _Device(argparse.Action):
    """One device for all programs that may use a GPU."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        for entry in families.known().values():
            if entry.device:
                setattr(namespace, f"{entry.device}.device", values)


class _Named(argparse.Action):
    """``NAME=PATH`` values into a table; a repeated option adds to it."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        named = dict(getattr(namespace, self.dest, {}))
        for value in values:
            name, equals, path = value.partition("=")
            if not (equals and name.strip() and path.strip()):
                parser.error(f"argument {option}: {value!r} is not NAME=PATH")
            if name in named:
                parser.error(f"argument {option}: {name} is given twice")
            named[name.strip()] = path
        setattr(namespace, self.dest, named)


def hyphenated(argv: Sequence[str]) -> list[str]:
    """The same arguments with the names of long options spelled with hyphens (``--mem_gb=1_0`` keeps its value)."""
    words = list(argv)
    last = words.index("--") if "--" in words else len(words)
    for index, word in enumerate(words[:last]):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            words[index] = name.replace("_", "-") + equals + value
    return words


def app_parser() -> Parser:
    """``thalbids BIDS_DIR OUTPUT_DIR {participant,group}``."""
    parser = Parser(
        prog="thalbids",
        usage="thalbids BIDS_DIR OUTPUT_DIR {participant,group} [options]\n       thalbids COMMAND ...",
        description="Measure the thalamus in a BIDS dataset: masks, volumes, quality checks, reports.",
        epilog=_EPILOG,
    )
    places = parser.add_argument_group("positional arguments")
    places.add_argument("bids_dir", metavar="BIDS_DIR", type=place, help="root of the BIDS dataset; never written to")
    text = "folder of the derivatives; made when missing"
    places.add_argument("output_dir", metavar="OUTPUT_DIR", type=place, help=text)
    places.add_argument("analysis_level", metavar="{participant,group}", help="the level of the analysis")
    add_inputs(parser.add_argument_group("what to measure"))
    group = parser.add_argument_group("what to do")
    listed = ", ".join(families.known())
    text = f"methods or families ({listed}), or auto (default): all that can run here"
    setting(group, "--methods", "methods.names", text, nargs="+", action=Labels, metavar="NAME")
    add_config(group)
    add_tools(group)
    add_template(group)
    only = group.add_mutually_exclusive_group()
    only.add_argument("--dry-run", action="store_true", help="print the plan and what is missing; write nothing")
    only.add_argument("--reports-only", action="store_true", help="write the reports of existing results again")
    text = "write the methods paragraph of existing results (logs/CITATION.*)"
    only.add_argument("--boilerplate-only", action="store_true", help=text)
    text = "group: write the analysis plan of the settings before data are seen, and stop"
    only.add_argument("--plan", type=place, metavar="FILE", help=text)
    text = "group: use the settings of this plan, and report every deviation from it"
    group.add_argument("--follow-plan", type=place, metavar="FILE", help=text)
    resources = parser.add_argument_group("resources")
    add_run(resources)
    add_compute(resources)
    add_general(parser.add_argument_group("general"))
    return parser


def setting(group: argparse._ArgumentGroup, option: str, dest: str, text: str, **how: Any) -> None:
    """An option that fills ``section.key``; absent from the result unless given."""
    group.add_argument(option, dest=dest, default=argparse.SUPPRESS, help=text, **how)


def add_config(group: argparse._ArgumentGroup) -> None:
    """The settings file."""
    text = "TOML file with any setting; options given here win over it"
    group.add_argument("--config", type=place, metavar="FILE", help=text)
    text = "shipped settings: paper does what the study did; --config and options win over it"
    group.add_argument("--preset", type=not_empty, metavar="NAME", help=text)


def add_template(group: argparse._ArgumentGroup) -> None:
    """Whether each T1w is registered to a template."""
    text = "register each T1w to a template that is on this machine: a name of TemplateFlow or an image"
    setting(group, "--template", "template.name", text, type=not_empty, metavar="NAME|FILE")
    text = "affine (default), or syn: affine and a displacement field, which takes minutes"
    setting(group, "--template-transform", "template.transform", text, choices=("affine", "syn"))


def add_tools(group: argparse._ArgumentGroup) -> None:
    """What methods ask for on the command line, and what computes; their other settings stand in the settings file."""
    computing = [entry for entry in families.known().values() if entry.device]
    for entry in families.known().values():
        for option in entry.options:
            setting(group, option.option, option.setting, option.text, type=place, metavar=option.metavar)
    if computing:
        who = " and ".join(entry.label for entry in computing)
        text = f"where {who} compute: cpu (default); auto takes a GPU that is there"
        dest = f"{computing[0].device}.device"
        setting(group, "--device", dest, text, choices=("auto", "cpu", "cuda"), action=_Device)


def add_inputs(group: argparse._ArgumentGroup) -> None:
    """What is read."""
    labels: dict[str, Any] = {"nargs": "+", "action": Labels, "metavar": "LABEL"}
    text = "only these people, with or without sub-"
    setting(group, "--participant-label", "inputs.participant_label", text, **labels)
    text = "only these sessions, with or without ses-"
    setting(group, "--session-label", "inputs.session_label", text, **labels)
    text = "JSON: which image to take where there are several"
    setting(group, "--bids-filter-file", "inputs.bids_filter_file", text, type=place, metavar="FILE")
    text = "pybids database to read, or to make there"
    setting(group, "--bids-database-dir", "inputs.bids_database_dir", text, type=place, metavar="DIR")
    text = "existing results of a method, brain masks or manual masks"
    how: dict[str, Any] = {"nargs": "+", "action": _Named, "metavar": "NAME=PATH"}
    setting(group, "--derivatives", "inputs.derivatives", text, **how)
    text = "whole-brain change that was measured already (TSV)"
    setting(group, "--pbvc-table", "siena.table", text, type=place, metavar="FILE")
    text = "SIENA results that exist, one folder a pair"
    setting(group, "--siena-dir", "siena.directory", text, type=place, metavar="DIR")
    text = "blinded ratings to apply: tables that the pages of thalbids rate saved"
    setting(group, "--ratings", "ratings.files", text, type=place, metavar="FILE", nargs="+", action="extend")
    text = "accept a dataset without a valid dataset_description.json"
    setting(group, "--skip-bids-validation", "inputs.skip_bids_validation", text, action="store_true")


def add_run(group: argparse._ArgumentGroup) -> None:
    """Resources of a run over many sessions."""
    setting(group, "--nprocs", "run.nprocs", "worker processes (default: 1, no cluster)", type=int, metavar="N")
    text = "memory of all workers together (default: what is free)"
    setting(group, "--mem", "run.mem_gb", text, type=float, metavar="GB")
    text = "for temporary files (default: the system's folder)"
    setting(group, "--work-dir", "run.work_dir", text, type=place, metavar="DIR")
    for alias in ("--nthreads", "--n-cpus", "--n-procs", "--ncpus"):  # fMRIPrep's and MRIQC's names of the same
        setting(group, alias, "run.nprocs", argparse.SUPPRESS, type=int, metavar="N")
    setting(group, "--mem-gb", "run.mem_gb", argparse.SUPPRESS, type=float, metavar="GB")
    setting(group, "-w", "run.work_dir", argparse.SUPPRESS, type=place, metavar="DIR")
    text = "start nothing new after the first failure"
    setting(group, "--stop-on-first-crash", "run.stop_on_first_crash", text, action="store_true")


def add_compute(group: argparse._ArgumentGroup) -> None:
    """Resources of one step."""
    text = "threads of one step (default: the cores shared out)"
    setting(group, "--omp-nthreads", "run.omp_nthreads", text, type=int, metavar="N")
    text = "full (default): same masks on every machine; fast: bfloat16 where the processor has it"
    setting(group, "--precision", "run.precision", text, choices=("full", "fast"))


def add_general(group: argparse._ArgumentGroup) -> None:
    """Help, verbosity, version."""
    group.add_argument("-h", "--help", action="help", help="show this help and stop")
    text = "say more; twice: everything"
    group.add_argument("-v", "--verbose", dest="run.verbose", action="count", default=argparse.SUPPRESS, help=text)
    group.add_argument("--version", action="store_true", default=argparse.SUPPRESS, help="show the version and stop")
