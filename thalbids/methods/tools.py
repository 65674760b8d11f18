"""What the methods that run external programs share: is the tool here, which version, how many threads."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from thalbids.tools.check import Check
from thalbids.types import tool_entry


def problem_of(check: Check) -> str | None:
    """Why a tool cannot run and how to mend that, in one text; None when it can."""
    return None if check.ok else f"{check.problem} {check.mend}".strip()


def software(said: str | None, name: str, container: str = "") -> tuple[dict[str, Any], ...]:
    """A program for GeneratedBy and sidecars, from what it says of its version (``FSL 6.0.7``)."""
    version = (said or "").removeprefix(name).strip(" ()")
    entry: dict[str, Any] = tool_entry(f"{name} {version}".strip())
    return ({**entry, "Container": {"Tag": container}} if container else entry,)


@cache
def asked_once(function: Any, settings: Any) -> Any:
    """The answer of a program that takes a while to start, asked once a process."""
    return function(settings)


def threads() -> int:
    """Threads of a step, as the engine sets them."""
    return int(os.environ.get("OMP_NUM_THREADS", "1") or 1)
