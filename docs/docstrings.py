"""For mkdocstrings: docstrings here name a parameter and say what it is, and leave its type to the signature.

Griffe reads what stands behind ``name :`` as a type. This extension turns each such line into a name and a description,
so that the type comes from the annotation; likewise what is given back.
"""

from __future__ import annotations

import itertools
import re

from griffe import Extension, Object

_HEADINGS = re.compile(r"^(Parameters|Attributes|Returns)\n-+\n", re.MULTILINE)
_ANY_HEADING = re.compile(r"^[A-Z][A-Za-z ]+\n-{3,}$", re.MULTILINE)
_NAMED = re.compile(r"^(\w[\w, ]*?) : (.*)$")
_NAME = re.compile(r"^\w+(, \w+)*$")
_ROLE = re.compile(r":\w+:`~?([^`]+)`")


def rewritten(text: str, returns: str) -> str:
    """The docstring with its sections in the form that Griffe's NumPy parser expects.

    ``returns`` is the annotation of what is given back.
    """
    found = _HEADINGS.search(text)
    if found is None:
        return text
    head, rest = text[: found.start()], text[found.end() :]
    following = _ANY_HEADING.search(rest)
    body, tail = (rest[: following.start()], rest[following.start() :]) if following else (rest, "")
    section = f"{returns}\n{_returned(body)}" if found.group(1) == "Returns" else _named(body)
    return f"{head}{found.group(0)}{section}\n\n{rewritten(tail, returns)}"


def _named(body: str) -> str:
    """``name : text`` becomes the name and, indented below it, the text; ``a, b : text`` becomes two such entries."""
    entries: list[tuple[list[str], list[str]]] = []
    lines = body.strip("\n").splitlines()
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        match = _NAMED.match(line)
        if match:
            entries.append((match.group(1).split(", "), [match.group(2)]))
        elif _NAME.match(line) and following.startswith("    "):
            entries.append((line.split(", "), []))
        elif entries:
            entries[-1][1].append(line.strip())
    return "\n".join(
        f"{name}\n" + "\n".join(f"    {line}" for line in text) for names, text in entries for name in names
    )


def _returned(body: str) -> str:
    """The words that describe what is given back, as one indented line."""
    first, _, rest = body.strip("\n").partition("\n")
    words = rest if _NAME.match(first) and rest.startswith("    ") else body
    return f"    {' '.join(words.split())}"


class PlainDocstrings(Extension):
    """Rewrites each docstring when its object is loaded."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Called by Griffe for every module, class, function and attribute."""
        if obj.docstring is not None:
            returns = str(getattr(obj, "returns", None) or "object")
            obj.docstring.value = rewritten(_ROLE.sub(r"`\1`", obj.docstring.value), returns)
