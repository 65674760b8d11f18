"""``python -m thalbids`` is the command line."""

from __future__ import annotations

import subprocess
import sys


def test_the_module_ends_with_the_exit_code_of_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thalbids", "x", "y", "participant", "--no-such-option"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "--no-such-option" in done.stderr
