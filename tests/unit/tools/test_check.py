"""Versions of packages in other environments, and what a check says."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.unit.tools.conftest import Writer
from thalbids.errors import MissingToolError
from thalbids.programs import DbSegmentSettings
from thalbids.tools import check, dbsegment
from thalbids.tools.runner import Docker, Dry, Local, Prefix


def script(path: Path, first: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{first}\nprint('ran')\n")
    path.chmod(0o755)
    return path


def test_the_python_of_a_script_is_asked_for_the_version_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = script(tmp_path / "bin" / "tool", f"#!{sys.executable}")
    assert check.package_version(Local(Prefix((str(tool),))), "tool", "numpy") == version("numpy")
    monkeypatch.setenv("PATH", str(tool.parent))
    assert check.package_version(Local(), "tool", "numpy") == version("numpy")
    assert check.package_version(Local(), "tool", "no-such-package") is None
    assert check.package_version(Local(), "no-such-tool", "numpy") is None
    assert check.package_version(Dry(), "tool", "numpy") is None


def test_a_prefix_leads_to_its_own_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = script(tmp_path / "bin" / "env-run", '#!/bin/sh\nshift 2; exec "$@"\n#')
    script(tmp_path / "bin" / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n#')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    settings = DbSegmentSettings(command=(str(runs), "-n", "dbs", "DBSegment"))
    assert check.package_version(dbsegment.runner(settings), "DBSegment", "scipy") == version("scipy")


def test_where_and_names(tmp_path: Path, program: Writer) -> None:
    assert check.where_of(Docker("name:1"), "tool") == "docker: name:1"
    assert check.where_of(Local(), "no-such-tool") == "no-such-tool"
    assert check.said_version(Local(), program("print('2.0')")) == "2.0"
    assert check.container_name(DbSegmentSettings(runner="docker", image="reg/dbs:1")) == "dbs:1"
    assert check.container_name(DbSegmentSettings(image="unused")) == ""


def test_a_check_that_failed_stops_with_problem_and_mend() -> None:
    check.Check("Tool").require()
    with pytest.raises(MissingToolError, match=r"Tool cannot run: it is broken\. Mend it\.") as caught:
        check.Check("Tool", "it is broken.", "Mend it.").require()
    assert caught.value.exit_code == 69
