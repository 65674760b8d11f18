"""Whose definition of the thalamus SynThal follows is said where nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys


def test_the_protocol_is_that_of_the_method_and_needs_nothing_heavy() -> None:
    code = (
        "import sys; from thalbids.inference.label_protocol import PROTOCOL;"
        "from thalbids.methods.embedded import SynThal;"
        "assert SynThal.protocol == PROTOCOL and PROTOCOL.startswith('SynThal 2');"
        "print([m for m in ('openvino', 'numpy', 'nibabel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
