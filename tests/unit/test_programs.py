"""Settings of the external programs: one class for each table, and what all of them share."""

from __future__ import annotations

import dataclasses
import inspect

from thalbids import families, programs
from thalbids.programs import Program


def test_every_class_is_the_table_of_a_method_and_runs_a_program() -> None:
    tables = families.tables()
    named = {kind for name, kind in tables.items() if name.startswith("tools.")}
    kinds = {kind for _, kind in inspect.getmembers(programs, inspect.isclass) if kind.__module__ == programs.__name__}
    assert named == kinds - {Program, programs.WholeBrainSettings}
    shared = {item.name for item in dataclasses.fields(Program)}
    assert all(
        issubclass(kind, Program) and shared <= {item.name for item in dataclasses.fields(kind)} for kind in named
    )


def test_nothing_runs_in_a_container_unless_it_is_asked_for() -> None:
    assert all(
        kind().runner == "local" and kind().command == () for name, kind in families.tables().items() if "." in name
    )
