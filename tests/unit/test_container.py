"""The container installs exact versions of everything, and they are versions that the package allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from thalbids.tools.environments import KNOWN

ROOT = Path(__file__).parents[2]
PINS = ("constraints", "dbsegment", "mindglide", "samseg")


def pins(name: str) -> dict[str, str]:
    """Versions by normalised name; each line must be ``NAME==VERSION``."""
    lines = (ROOT / "docker" / f"{name}.txt").read_text().split()
    pairs = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    assert all(pairs), [line for line, pair in zip(lines, pairs, strict=True) if not pair]
    found = {canonicalize_name(pair[1]): pair[2] for pair in pairs if pair}
    assert len(found) == len(lines), "a package stands there twice"
    return found


def installed_extras() -> list[str]:
    named = set(re.findall(r"(?:\.|thalbids)\[([\w,]+)\]", (ROOT / "Dockerfile").read_text()))
    assert len(named) == 1, f"the Dockerfile installs different extras: {named}"
    return named.pop().split(",")


def test_what_the_image_installs_is_pinned_to_a_version_that_pyproject_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in installed_extras():
        wanted += project["optional-dependencies"][extra]
    pinned = pins("constraints")
    for requirement in map(Requirement, wanted):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"docker/constraints.txt pins no {requirement.name}"
        assert requirement.specifier.contains(version), f"{requirement} does not allow the pinned {version}"


def test_dbsegment_gets_a_numpy_that_its_old_torch_can_use() -> None:
    pinned = pins("dbsegment")
    assert (pinned["dbsegment"], pinned["torch"]) == ("0.2.2", "2.3.0")
    assert int(pinned["numpy"].split(".")[0]) < 2


def test_mindglide_is_the_version_that_the_docs_name() -> None:
    version = pins("mindglide")["mindglide"]
    assert f"MindGlide {version}" in (ROOT / "docs" / "container.md").read_text()


def test_every_pin_file_is_used_by_the_build() -> None:
    build = (ROOT / "Dockerfile").read_text() + (ROOT / "docker" / "add").read_text()
    there = {path.name for path in (ROOT / "docker").glob("*.txt")}
    assert there == {f"{name}.txt" for name in PINS}
    assert all(name in build for name in there)


def test_samseg_is_the_version_that_setup_installs() -> None:
    pinned = pins("samseg")
    assert f"samseg=={pinned['samseg']}" in KNOWN["samseg"].packages
    assert int(pinned["numpy"].split(".")[0]) < 2
