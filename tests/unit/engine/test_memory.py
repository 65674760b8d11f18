"""Peak memory: this process, and what it starts."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from thalbids.engine import memory
from thalbids.engine.memory import PeakMemory


def test_an_array_is_seen() -> None:
    with PeakMemory() as little:
        pass
    with PeakMemory() as much:
        block = bytearray(96 << 20)
        block[::4096] = b"x" * len(block[::4096])
    del block
    assert much.mb >= 96 and little.mb > 0


@pytest.mark.skipif(sys.platform != "linux", reason="children are counted on Linux only")
def test_a_program_that_is_started_counts() -> None:
    with PeakMemory() as measured:
        child = subprocess.Popen([sys.executable, "-c", "b = b'x' * (80 << 20); print(1, flush=True); input()"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        time.sleep(20 * memory.INTERVAL_S)
        child.communicate(b"\n")
    assert measured.mb >= 80


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone can be told")
def test_freed_memory_is_used_again() -> None:
    """Ten times five arrays of 8 MB: their pages are asked for once, not ten times."""
    code = """
import resource
from thalbids.engine.memory import keep_freed_memory
keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    many = [bytearray(b"x" * (8 << 20)) for _ in range(5)]
    del many
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / (40 << 20))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(said) < 3
