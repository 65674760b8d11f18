"""Programs that a test needs and a machine may lack: without them the test is skipped, and fails where they must be.

``THALBIDS_REQUIRE=slurm,chromium`` names those that must be there: CI sets it for what it has installed.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def absent(name: str, reason: str) -> NoReturn:
    """Skip the test that asks, or fail it where THALBIDS_REQUIRE names the program."""
    if name in os.environ.get("THALBIDS_REQUIRE", "").split(","):
        pytest.fail(f"THALBIDS_REQUIRE names {name}: {reason}")
    pytest.skip(reason)
