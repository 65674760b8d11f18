"""FSL on this machine and in a container."""

from __future__ import annotations

from pathlib import Path

from tests.unit.registration.test_flirt import home  # noqa: F401
from thalbids.programs import FslSettings, Program
from thalbids.registration.strategies import (
    configured_for,
)
from thalbids.settings import Settings
from thalbids.tools import fsl
from thalbids.tools.runner import Command


def test_flirt_in_a_container_gets_the_same_command(home):  # noqa: F811
    docker = FslSettings(runner="docker", image="fsl:6.0.7")
    settings = Settings(of_methods={"tools.fsl": docker})
    assert fsl.located("flirt", docker) == "flirt" and fsl.environment("flirt", docker) == fsl.ENVIRONMENT
    assert [s.name for s in configured_for("FLAIR", settings)] == ["mattes"]  # neither docker nor the image is here
    behind = Program(command=("env", "FSLDIR=/opt/fsl"))
    command = Command("flirt", ("flirt",), home)
    assert fsl.runner(behind).words(command) == ("env", "FSLDIR=/opt/fsl", "flirt")


def test_the_version_elsewhere_is_that_of_fsl_and_not_that_of_flirt(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "fslversion").write_text("6.0.7.9:abcdef\n")
    flirt = tmp_path / "flirt"
    flirt.write_text("#!/bin/sh\necho FLIRT version 6.0\n")
    flirt.chmod(0o755)
    behind = FslSettings(command=("env", f"FSLDIR={tmp_path}", f"PATH={tmp_path}:/usr/bin:/bin"))
    assert fsl.version("flirt", behind) == "FSL 6.0.7.9"
    assert fsl.version("flirt", FslSettings(command=("env", "FSLDIR=/nowhere"))) == "FSL"
