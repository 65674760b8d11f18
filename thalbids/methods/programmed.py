"""What the methods that run external programs share: is the tool here, which version, how many threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.errors import without_folders
from thalbids.settings import MethodSettings
from thalbids.types import tool_entry

if TYPE_CHECKING:
    from thalbids.tools.check import Check
    from thalbids.tools.findings import Finding


def problem_of(check: Check) -> str | None:
    """Why a tool cannot run and how to fix that, in one text; None when it can."""
    return None if check.ok else f"{check.problem} {check.mend}".strip()


def software(said: str | None, name: str, container: str = "") -> tuple[dict[str, Any], ...]:
    """A program for GeneratedBy and sidecars, from what it says of its version (``FSL 6.0.7``)."""
    version = (said or "").removeprefix(name).strip(" ()")
    entry: dict[str, Any] = tool_entry(f"{name} {version}".strip())
    return ({**entry, "Container": {"Tag": container}} if container else entry,)


@cache
def asked_once(function: Any, settings: Any) -> Any:
    """What takes a while to learn (a program starts, models are read) and is the same for all: once a process."""
    return function(settings)


def told(options: Sequence[str]) -> list[str]:
    """Options of a program for sidecars: files by name and the beginning of their SHA-256, not by their places."""
    return [_told(option) for option in options]


def _told(option: str) -> str:
    path = Path(option)
    if not path.is_absolute() or not path.is_file():
        return without_folders(option)
    with path.open("rb") as stream:
        return f"{path.name} (SHA-256 {hashlib.file_digest(stream, 'sha256').hexdigest()[:16]})"


def threads() -> int:
    """Threads of a step, as the engine sets them."""
    return int(os.environ.get("OMP_NUM_THREADS", "1") or 1)


@dataclass(frozen=True)
class Tool:
    """The program of a method: whether it can run, its version, and what ``thalbids doctor`` says of it.

    Attributes
    ----------
    program : what is looked for on the PATH
    check, version : functions of its table of settings; without ``version`` nobody can tell it
    name : of the software, for sidecars
    enables, licence : for ``doctor``
    """

    program: str
    check: Callable[[Any], Check]
    version: Callable[[Any], str | None] | None
    name: str
    enables: str
    licence: str


class Programmed:
    """Part of :class:`thalbids.methods.base.Method`: what a method says of the program that it runs.

    Attributes
    ----------
    tables : the first is that of its program, ``tools.NAME``, and the class
    shown : its name for people
    """

    tables: Mapping[str, type] = {}
    shown = ""

    def own(self, settings: MethodSettings) -> Any:
        """Its table of the settings."""
        return settings.of(next(iter(self.tables.values())))

    def unavailable(self) -> str | None:
        return self.blocked(MethodSettings())

    def tool(self) -> Tool:
        """Its program; imported only where it is needed."""
        raise NotImplementedError

    def blocked(self, settings: MethodSettings) -> str | None:
        return problem_of(self.tool().check(self.own(settings)))

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it."""
        from thalbids.tools.findings import of_check

        tool, table = self.tool(), self.own(settings)
        checked = tool.check(table)
        version = tool.version
        return [
            of_check(self.shown, tool.program, checked.problem, checked.mend, checked.where,
                     lambda: None if version is None else version(table), tool.enables, tool.licence),
        ]  # fmt: skip

    def within(self, settings: MethodSettings) -> bool:
        """Whether thalbids itself computes, in place of the program."""
        return False

    def software(self, settings: MethodSettings) -> tuple[dict[str, Any], ...]:
        from thalbids.tools.check import container_name

        tool, table = self.tool(), self.own(settings)
        said = None if tool.version is None else asked_once(tool.version, table)
        return software(said, tool.name, "" if self.within(settings) else container_name(table))
