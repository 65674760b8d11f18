"""What the machine offers: no more than a container's limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from thalbids.engine import machine


def test_memory_ends_at_the_limit_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "LIMITS", (str(tmp_path / "none"), str(limit)))
    limit.write_text("max\n")
    free = machine.available_gb()
    limit.write_text("50000000\n")
    assert machine.available_gb() == 0.05 < free
    assert machine.cores() >= 1
