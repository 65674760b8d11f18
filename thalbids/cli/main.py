"""The command ``thalbids``: from arguments to an exit code.

Expected errors (:class:`thalbids.errors.ThalbidsError`) are shown as their message; anything else is a bug, whose
traceback goes into a file and not onto the terminal.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from thalbids.cli.parser import LEVELS, VERBS, app_parser, hyphenated
from thalbids.cli.terminal import escaped
from thalbids.engine.disk import obstacle
from thalbids.engine.memory import keep_freed_memory
from thalbids.errors import NoInputError, OutputError, ThalbidsError, UsageError
from thalbids.settings import Settings, load

_COMMAND = "The command is: thalbids BIDS_DIR OUTPUT_DIR participant (or group)"

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE, what a program without Python's handler gives
EXIT_TERMINATED = 143  # 128 + SIGTERM, what a batch system expects at the time limit


class _Terminated(KeyboardInterrupt):
    """SIGTERM, taken through the same orderly end as Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    argv
        The arguments without the program's name; ``sys.argv[1:]`` when None.
    """
    with escaped():
        return _main(hyphenated(sys.argv[1:] if argv is None else argv))


def _main(words: Sequence[str]) -> int:
    """The command of these words."""
    if "--version" in words:
        import thalbids

        print(f"thalbids {thalbids.__version__}")
        return 0
    before = signal.signal(signal.SIGTERM, _terminate)
    arguments = argparse.Namespace()
    try:
        arguments = parse(words)
        settings = settings_of(arguments)
        _set_up_log(settings.run.verbose)
        dry_run = getattr(arguments, "dry_run", False)
        _use_work_dir(settings.run.work_dir, dry_run=dry_run)
        if not dry_run:
            _use_cache()
        keep_freed_memory()
        code = _dispatch(arguments, settings)
        sys.stdout.flush()
        return code
    except ThalbidsError as error:
        print(f"thalbids: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        print("thalbids: interrupted.", file=sys.stderr)
        return EXIT_TERMINATED if isinstance(interrupt, _Terminated) else EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of "thalbids ... | head" has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        return _report_bug(error, getattr(arguments, "output_dir", None))
    finally:
        signal.signal(signal.SIGTERM, before)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of whichever command was given; ``command`` is a verb or a level.

    Raises
    ------
    UsageError
        The command line is wrong.
    """
    if words and words[0] in VERBS:
        return verb(words[0]).parser().parse_args(words[1:], argparse.Namespace(command=words[0]))
    if not words:
        app_parser().print_help(sys.stderr)
        raise UsageError("nothing to do.", _COMMAND)
    arguments = app_parser().parse_args(words)
    level = arguments.analysis_level
    if level not in LEVELS:
        early = any(str(path) in LEVELS for path in (arguments.bids_dir, arguments.output_dir))
        told = "The level comes last, after the two folders. " if early else ""
        raise UsageError(f"unknown analysis level {level!r}.", told + _COMMAND)
    arguments.command = level
    return arguments


def verb(name: str) -> ModuleType:
    """The module of a verb (``select-gt`` is ``select_gt.py``)."""
    return importlib.import_module(f"thalbids.cli.{name.replace('-', '_')}")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings: options of the form ``section.key`` over the file of ``--config`` over the defaults."""
    overrides: dict[str, Any] = {}
    for name, value in vars(arguments).items():
        *sections, key = name.split(".")
        if sections:
            functools.reduce(lambda tree, section: tree.setdefault(section, {}), sections, overrides)[key] = value
    return load(arguments.config, overrides, arguments.preset)


def _dispatch(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.command in VERBS:
        code: int = verb(arguments.command).run(arguments, settings)
        return code
    if arguments.boilerplate_only:
        return _boilerplate(arguments.output_dir.absolute())
    if arguments.command == "group":
        return _group(arguments, settings)
    if arguments.plan or arguments.follow_plan:
        raise UsageError("--plan and --follow-plan belong to the group level.", "Leave them out, or name group.")
    from thalbids.participant.run import participant

    switches = {"dry_run": arguments.dry_run, "reports_only": arguments.reports_only}
    code = participant(arguments.bids_dir, arguments.output_dir, settings, **switches)
    if not arguments.dry_run:
        _name_pages(arguments.output_dir)
    return code


def _name_pages(out_dir: Path) -> None:
    """Say where the pages are."""
    people = "sub-*.html" if any(out_dir.glob("sub-*.html")) else ""
    pages = [str(out_dir / name) for name in (people, "qc.html") if name and any(out_dir.glob(name))]
    if pages:
        print(f"reports: {', '.join(pages)}", file=sys.stderr)


def _boilerplate(out_dir: Path) -> int:
    """The methods paragraph of what is there, of both levels."""
    from thalbids.methods.registry import methods
    from thalbids.reports import boilerplate, boilerplate_facts

    paragraphs = boilerplate_facts.both(out_dir, methods().values())
    if not paragraphs.parts:
        raise NoInputError(
            "there are no results to describe.", "Run the participant or the group level first.", out_dir
        )
    for path in boilerplate.write(paragraphs, out_dir / "logs"):
        print(path.relative_to(out_dir))
    return 0


def _group(arguments: argparse.Namespace, settings: Settings) -> int:
    """The group level; two runs of it into one folder do not mix."""
    from thalbids.engine.lock import claim
    from thalbids.group import plan
    from thalbids.group.run import group, report_again
    from thalbids.group.writing import earlier_results

    if arguments.plan:
        plan.write(arguments.plan, settings)
        print(f"plan: {arguments.plan}; nothing was read of any data.")
        return 0
    if arguments.reports_only:
        return report_again(arguments.output_dir.absolute(), settings)
    if arguments.dry_run or not arguments.output_dir.is_dir():
        how = {"dry_run": arguments.dry_run, "follow": arguments.follow_plan}
        return group(arguments.bids_dir, arguments.output_dir, settings, **how)
    with claim(arguments.output_dir.absolute(), ["group"]):
        try:
            return group(arguments.bids_dir, arguments.output_dir, settings, follow=arguments.follow_plan)
        except ThalbidsError as error:
            error.mend = f"{error.mend} {earlier_results(arguments.output_dir)}".strip()
            raise


def _set_up_log(verbose: int) -> None:
    """Messages of our own loggers on standard error: warnings, with -v what is done, with -vv everything."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lower("%(levelname)s: %(message)s"))
    handler.setLevel(max(logging.DEBUG, logging.WARNING - 10 * verbose))
    logger = logging.getLogger("thalbids")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG)  # a log file of the run may want more than the terminal


class _Lower(logging.Formatter):
    """``warning: ...``, as every other message of ours."""

    def format(self, record: logging.LogRecord) -> str:
        lower = logging.makeLogRecord(record.__dict__ | {"levelname": record.levelname.lower()})
        return super().format(lower)


def _use_work_dir(work_dir: Path | None, *, dry_run: bool) -> None:
    """Let temporary files of this process and of those it starts (workers, ANTs) go there; a dry run, which writes
    nothing, only asks whether they could.
    """
    if work_dir is None:
        return
    import tempfile

    try:
        if dry_run:
            if error := obstacle(work_dir):
                raise error
            return
        work_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=work_dir).close()  # else temporary files would silently go elsewhere
    except (FileExistsError, NotADirectoryError):
        raise UsageError("the work directory is or lies in a file.", "Give a folder to --work-dir.", work_dir) from None
    except OSError as error:
        problem = f"the work directory cannot be used ({error.strerror})."
        raise OutputError(problem, "Give another --work-dir.", work_dir) from None
    os.environ["TMPDIR"] = str(work_dir)
    tempfile.tempdir = None  # forget what was found before


def _use_cache() -> None:
    """Let matplotlib, which ANTs and the figures load, keep its list of fonts in our cache, not in the home folder."""
    from thalbids.tools.weights import cache_folder

    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _report_bug(error: Exception, out_dir: Path | None) -> int:
    """Write the traceback where the user will find it: with the logs, else in the system's temporary folder."""
    import platform
    import tempfile

    import thalbids

    text = f"thalbids {thalbids.__version__}, Python {platform.python_version()}, {platform.system()}\n\n"
    text += "".join(traceback.format_exception(error))
    name = f"bug-{os.getpid()}.txt"
    for folder in (None if out_dir is None else out_dir / "logs", Path(tempfile.gettempdir())):
        if folder is not None and os.path.isdir(folder):  # noqa: PTH112 (no error where a folder above is closed)
            try:
                (folder / name).write_text(text, encoding="utf-8")
            except OSError:
                continue
            print(f"thalbids: this is a bug ({type(error).__name__}: {error}).", file=sys.stderr)
            print(f"The details are in {folder / name}; please report them.", file=sys.stderr)
            return EXIT_BUG
    print(text, file=sys.stderr)  # nowhere to write: better here than lost
    return EXIT_BUG
