"""Fixtures of the engine's tests."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from thalbids.engine import engine
from thalbids.engine.log import Reporter


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.txt"
    path.write_text("raw\n")
    return path


@pytest.fixture
def run_plan(out: Path):
    """``run_plan(steps, **options)`` -> {name: result}; ``run_plan.said`` is what the terminal got."""

    def run(steps, **options):
        stream = io.StringIO()
        defaults = {"out_dir": out, "mem_gb": 8, "omp_nthreads": 1, "versions": {"thalbids": "1"}}
        try:
            with Reporter(out, stream=stream, verbose=1) as reporter:
                run.log_directory = reporter.directory
                results = engine.run(steps, **{**defaults, "reporter": reporter, **options})
        finally:
            run.said = stream.getvalue()
        assert [result.name for result in results] == [step.name for step in steps]
        return {result.name: result for result in results}

    return run
