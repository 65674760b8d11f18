"""The guard ends as its program did, and ends it when we are gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thalbids.tools import _guard

GUARD = [sys.executable, str(Path(_guard.__file__)), "0.2"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(7)", 7), ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM)],
)
def test_the_status_is_the_programs(code: str, status: int) -> None:
    with subprocess.Popen([*GUARD, sys.executable, "-c", code], stdin=subprocess.PIPE) as guard:
        assert guard.wait(60) == status


def test_a_program_that_is_not_there() -> None:
    done = subprocess.run([*GUARD, "/no/such/program"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == _guard.NOT_FOUND and "/no/such/program" in done.stderr


def test_the_program_ends_when_standard_input_does() -> None:
    code = "import time; print('up', flush=True); time.sleep(100)"
    begun = time.monotonic()
    with subprocess.Popen([*GUARD, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None and guard.stdin is not None
        assert guard.stdout.readline() == b"up\n"
        guard.stdin.close()
        assert guard.wait(60) == -signal.SIGTERM
    assert time.monotonic() - begun < 90
