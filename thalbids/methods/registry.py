"""All methods by name.

A new one is a file in this folder and a line here, or an entry point of the group ``thalbids.methods``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from thalbids.errors import MissingToolError
from thalbids.methods.base import Method
from thalbids.methods.synthal import SynThal
from thalbids.settings import unknown_name

BUILT_IN: tuple[Method, ...] = (SynThal(),)


def methods() -> Mapping[str, Method]:
    """Every known method by family name; built-in ones cannot be replaced by a plug-in."""
    found: dict[str, Method] = {method.family: method for method in BUILT_IN}
    for entry in entry_points(group="thalbids.methods"):
        method = entry.load()()
        found.setdefault(method.family, method)
    return found


def chosen(names: tuple[str, ...]) -> tuple[Method, ...]:
    """The methods of a run; ``auto`` takes all that can run here.

    Raises
    ------
    UsageError
        A name is unknown.
    MissingToolError
        A method that was asked for by name cannot run here.
    """
    known = methods()
    picked: dict[str, Method] = {}
    for name in names:
        if name == "auto":
            picked |= {family: method for family, method in known.items() if method.unavailable() is None}
            continue
        if name not in known:
            raise unknown_name("method", name, ["auto", *known])
        reason = known[name].unavailable()
        if reason is not None:
            raise MissingToolError(
                f"method {name} cannot run: {reason}", "Leave it out of --methods, or mend this first."
            )
        picked[name] = known[name]
    return tuple(picked.values())
