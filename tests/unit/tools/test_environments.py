"""Environments of tools: made once, found by runs, and never used half-made."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from thalbids.cli.main import main
from thalbids.errors import MissingToolError, UsageError
from thalbids.programs import MindGlideSettings
from thalbids.tools import environments, mindglide

PYTHON = """\
import pathlib, sys
words = sys.argv[1:]
log = pathlib.Path({log!r})
log.write_text((log.read_text() if log.exists() else "") + " ".join(words) + "\\n")
if words[:2] == ["-m", "venv"]:
    folder = pathlib.Path(words[2], "bin")
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.argv[0])
elif "install" in words:
    if {fails}:
        print("ERROR: No matching distribution found")
        sys.exit(1)
    pathlib.Path(sys.argv[0]).parent.joinpath("mindglide").write_text("")
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python whose venv and pip only say what they were asked for."""
    monkeypatch.setenv("THALBIDS_CACHE", str(tmp_path / "my cache"))
    return stand_in(tmp_path, fails=False)


def stand_in(folder: Path, *, fails: bool) -> Path:
    path = folder / "python3.11"
    code = PYTHON.format(log=str(folder / "said.txt"), fails=fails)
    path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(code))
    path.chmod(0o755)
    return path


def test_an_environment_is_made_once_and_then_found(
    tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not environments.ready("mindglide")
    assert mindglide.runner(MindGlideSettings()).missing("mindglide")
    assert main(["setup", "mindglide", "--python", str(python), "--pip", "--index-url https://example.org"]) == 0
    program = environments.folder("mindglide") / "bin" / "mindglide"
    assert str(program) in capsys.readouterr().out
    told = (tmp_path / "said.txt").read_text().splitlines()
    assert told[-1].endswith("install --disable-pip-version-check --index-url https://example.org mindglide==1.3.0")
    assert environments.settled(MindGlideSettings(), "mindglide").command == (str(program),)
    assert environments.settled(MindGlideSettings(command=("own",)), "mindglide").command == ("own",)
    assert environments.settled(MindGlideSettings(runner="docker"), "mindglide").command == ()
    environments.make("mindglide")
    assert (tmp_path / "said.txt").read_text().splitlines() == told
    assert main(["setup"]) == 0
    assert f"  here: {environments.folder('mindglide')}" in capsys.readouterr().out


def test_a_failed_installation_is_told_and_not_used(tmp_path: Path, python: Path) -> None:
    stand_in(tmp_path, fails=True)
    with pytest.raises(MissingToolError, match="exit status 1"):
        environments.make("mindglide", str(python))
    assert environments.program("mindglide") == () and environments.folder("mindglide").is_dir()
    stand_in(tmp_path, fails=False)
    assert environments.make("mindglide", str(python)).is_file()  # anew


def test_without_a_python_that_the_tool_runs_with(
    tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(environments, "sys", type("S", (), {"version_info": type("V", (), {"minor": 14})}))
    with pytest.raises(MissingToolError, match=r"samseg needs Python 3\.11"):
        environments.make("samseg")


def test_a_wrong_name_is_told_before_anything_is_made(python: Path) -> None:
    with pytest.raises(UsageError, match="unknown environment 'samsek'"):
        environments.named("samsek")
    assert main(["setup", "mindglide", "samsek", "--python", str(python)]) == 2
    assert not environments.folder("mindglide").exists()
