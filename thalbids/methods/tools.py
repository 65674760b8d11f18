"""What the methods that run external programs share: is the tool here, which version, how many threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalbids.errors import without_folders
from thalbids.types import tool_entry

if TYPE_CHECKING:
    from thalbids.tools.check import Check


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
