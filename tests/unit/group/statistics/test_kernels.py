"""Every fit of the group level gives the same numbers whatever processor computes it.

OpenBLAS has a kernel for each family of processors, which adds in an order of its own; numpy has faster loops where the
processor allows them, and BLAS as many threads as there are cores. What stops at a tolerance then stops elsewhere.
"""

from __future__ import annotations

import json
import math
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
RELATIVE = 1e-6
OLD = "AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V3 X86_V4"
PLAIN = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": OLD, "OPENBLAS_NUM_THREADS": "1"}
KERNELS = {  # the first runs on every processor of this kind
    "Prescott": PLAIN,
    "Nehalem": PLAIN | {"OPENBLAS_CORETYPE": "Nehalem"},
    "Sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge", "OPENBLAS_NUM_THREADS": "1"},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"},
    "Zen": {"OPENBLAS_CORETYPE": "Zen", "OPENBLAS_NUM_THREADS": "4"},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX", "OPENBLAS_NUM_THREADS": "1"},
}
slow = pytest.mark.slow
here = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these kernels are of other processors")


Run = Future["subprocess.CompletedProcess[str]"]
Tables = dict[str, dict[str, list[Any]]]


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Run]]:
    """What each kernel computes, one process for each, two at a time."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(_run, chosen) for name, chosen in KERNELS.items()}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def reference(runs: dict[str, Run]) -> Tables:
    return _result(runs[next(iter(KERNELS))])


@slow
@here
def test_there_is_something_to_compare(reference: Tables) -> None:
    """Every kind of fit is there, and of the mixed model both an interior maximum and one at the boundary."""
    fitted = {name for name, columns in reference.items() if any(map(_number, chain(*columns.values())))}
    for name in ("crosssectional", "longitudinal", "ordinal", "pbvc", "sides", "detectable", "samplesize", "normative",
                 "harmonised", "agreement", "raters", "kappa", "overlap tests"):  # fmt: skip
        assert any(table.startswith(name) for table in fitted), name
    some, none = ({"".join(columns["reason"]) for name, columns in reference.items() if name.startswith(f"mixed, {sd}")}
                  for sd in ("some", "none"))  # fmt: skip
    assert some == {""} and any("singular" in reason for reason in none)


@slow
@here
@pytest.mark.parametrize("kernel", list(KERNELS)[1:])
def test_same_numbers(kernel: str, runs: dict[str, Run], reference: Tables) -> None:
    found = differences(_result(runs[kernel]), reference)
    assert not found, "\n".join([f"{len(found)} numbers differ from those of {next(iter(KERNELS))}", *found[:20]])


def test_differences_are_seen() -> None:
    one = {"mixed": {"p": [1e-20, math.nan], "reason": ["", "singular"]}}
    assert differences({"mixed": {"p": [1e-20 * (1 + 1e-9), math.nan], "reason": ["", "singular"]}}, one) == []
    for p, reason in ((1.00001e-20, "singular"), (1e-20, ""), (math.nan, "singular")):
        assert len(differences({"mixed": {"p": [p, math.nan], "reason": ["", reason]}}, one)) == 1
    assert differences({}, one) and differences({"mixed": {"p": [], "reason": []}}, one)


def differences(found: Tables, expected: Tables) -> list[str]:
    """Where tables differ by more than rounding noise, in words."""
    if found.keys() != expected.keys():
        return [f"tables: {sorted(found.keys() ^ expected.keys())}"]
    told = []
    for table, columns in expected.items():
        other = found[table]
        if {name: len(values) for name, values in columns.items()} != {name: len(v) for name, v in other.items()}:
            told.append(f"{table}: other columns or rows")
            continue
        told += [
            f"{table}, {column}, row {row}: {value!r}, not {wanted!r}"
            for column, values in columns.items()
            for row, (value, wanted) in enumerate(zip(other[column], values, strict=True))
            if not _same(value, wanted)
        ]
    return told


def _run(chosen: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in PLAIN}
    words = [sys.executable, "-m", "tests.fits"]
    return subprocess.run(words, cwd=ROOT, env=kept | chosen, text=True, capture_output=True)


def _result(run: Run) -> Tables:
    """What a process found; the test is skipped where the processor lacks the instructions of its kernel."""
    done = run.result()
    if done.returncode == -signal.SIGILL:
        pytest.skip("this processor lacks the instructions of the kernel")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _same(value: object, other: object) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return (math.isnan(value) and math.isnan(other)) or math.isclose(value, other, rel_tol=RELATIVE)
    return value == other
