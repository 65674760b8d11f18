"""What the group level fits does not depend on the processor: the same tables under several kernels of OpenBLAS."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KERNELS = ("Haswell", "SkylakeX", "Zen", "Nehalem")
NEEDS = {"Haswell": "avx2", "SkylakeX": "avx512f", "Zen": "avx2"}  # else the program dies of an illegal instruction
TOLERANCE = 1e-6


def runs_here(kernel: str) -> bool:
    """Whether the processor has what the kernel needs; where Linux does not tell, only the plainest is tried."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    return kernel not in NEEDS or NEEDS[kernel] in flags


def fitted(kernel: str) -> dict[str, Any]:
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fits"], env=environment, capture_output=True, text=True, timeout=500, check=True
    )
    return json.loads(done.stdout)


def differences(one: Any, two: Any, where: str) -> list[str]:
    """Places at which two documents differ by more than the tolerance."""
    if isinstance(one, dict) and isinstance(two, dict):
        if one.keys() != two.keys():
            return [f"{where}: {sorted(one.keys() ^ two.keys())}"]
        return [text for key in one for text in differences(one[key], two[key], f"{where} {key}")]
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return [
            text for i, pair in enumerate(zip(one, two, strict=True)) for text in differences(*pair, f"{where} {i}")
        ]
    if isinstance(one, float) and isinstance(two, float):
        same = math.isclose(one, two, rel_tol=TOLERANCE, abs_tol=1e-9) or (math.isnan(one) and math.isnan(two))
        return [] if same else [f"{where}: {one} {two}"]
    return [] if one == two else [f"{where}: {one} {two}"]


@pytest.mark.slow
def test_every_kernel_gives_the_same_tables() -> None:
    here = [kernel for kernel in KERNELS if runs_here(kernel)]
    assert len(here) >= 2, "no two kernels of OpenBLAS run on this processor"
    first = fitted(here[0])
    assert any(name.startswith("mixed") for name in first)
    for kernel in here[1:]:
        assert not differences(first, fitted(kernel), kernel)[:20]


def test_differences_are_seen() -> None:
    assert differences({"a": [1.0, math.nan]}, {"a": [1.0 + 1e-9, math.nan]}, "") == []
    assert differences({"a": [1.0]}, {"a": [1.00001]}, "") and differences({"a": "x"}, {"a": "y"}, "")
