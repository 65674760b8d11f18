"""The floor plan: no circles of imports, no crowded folders. Exceptions are named here."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "thalbids"
TESTS = ROOT / "tests" / "unit"
MOST = 15  # modules in a folder


def modules() -> dict[str, Path]:
    """Every module with its file; a package is its ``__init__``."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a file imports, anywhere in it: in functions and for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & known.keys()) or {node.module}
    return found & known.keys()


def test_no_module_imports_another_in_a_circle() -> None:
    known = modules()
    graph = {name: imported(path, known) - {name} for name, path in known.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(known)  # raises CycleError with the circle


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in modules().values()}
    crowded = {
        folder.relative_to(SOURCE).as_posix()
        for folder in folders
        if sum(path.name != "__init__.py" for path in folder.glob("*.py")) > MOST
    }
    assert not crowded


def test_every_module_has_a_test_of_its_own() -> None:
    """A file of its name in the same place; or, where several modules are one thing, a file there that imports it."""
    known = modules()
    without = []
    for name, path in known.items():
        folder = TESTS / path.relative_to(SOURCE).parent
        if path.name in ("__init__.py", "_version.py") or (folder / f"test_{path.stem.strip('_')}.py").is_file():
            continue
        if not any(name in imported(test, known) for test in folder.glob("test_*.py")):
            without.append(name)
    assert not without


def test_tests_lie_as_the_source_lies() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert not [folder.as_posix() for folder in folders if not (SOURCE / folder).is_dir()]
