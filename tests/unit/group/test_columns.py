"""Columns that several tables share have one meaning each."""

from __future__ import annotations

from thalbids.group import columns


def test_every_shared_column_is_described() -> None:
    shared = {name: value for name, value in vars(columns).items() if name.isupper() and isinstance(value, dict)}
    assert {"METHOD", "STATUS", "REASON"} <= shared.keys()
    for name, described in shared.items():
        for column, meaning in described.items():
            if isinstance(meaning, dict):
                assert meaning.get("Description"), (name, column)


def test_a_reason_becomes_a_column() -> None:
    assert columns.lost_column("no date") != columns.lost_column("no ICV")
    assert columns.lost_column("no date").isidentifier()
