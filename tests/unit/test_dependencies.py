"""What can be said of the dependencies without a network. Known weaknesses are looked up in CI, by pip-audit."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SHIPPED = [
    Requirement(r)
    for r in (*PROJECT["dependencies"], *(r for e in ("cluster", "demo", "harmonise") for r in EXTRAS[e]))
]
DIRECT = SHIPPED + [
    r
    for extra in ("test", "dev", "docs", "train", "qmri")
    for r in map(Requirement, EXTRAS[extra])
    if r.name != "thalbids"
]

# Licences whose code may be part of a program under the GPL, version 3 or later, as packages name them.
GOES_WITH_GPL3 = re.compile(r"Apache|BSD|GPL-3\.0|LGPL|MIT|MPL-2\.0|PSF-2\.0|Python Software Foundation", re.IGNORECASE)
DOES_NOT = re.compile(r"AGPL|GPL-2\.0-only|GPLv2|proprietary|non.?commercial|other/proprietary", re.IGNORECASE)


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda r: r.name)
def test_each_dependency_has_a_lower_bound_and_is_explained(requirement: Requirement) -> None:
    assert [s.operator for s in requirement.specifier] == [">="]
    words = (ROOT / "docs" / "dependencies.md").read_text("utf-8").lower()
    assert re.search(rf"(?<![\w-]){re.escape(requirement.name.lower())}(?![\w-])", words)


def test_the_container_pins_each_dependency_within_its_bound() -> None:
    lines = (ROOT / "docker" / "constraints.txt").read_text("utf-8").split()
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    wrong = {r.name: pins.get(canonicalize_name(r.name)) for r in SHIPPED}
    assert {r: v for r, v in wrong.items() if v is None} == {}
    assert [r.name for r in SHIPPED if not r.specifier.contains(pins[canonicalize_name(r.name)])] == []


def installed_with(requirements: list[Requirement]) -> set[str]:
    """Names of all packages that these bring along in this environment."""
    found: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(r.name), extra) for r in requirements for extra in ("", *r.extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for needed in map(Requirement, distribution(name).requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(needed.name), e) for e in ("", *needed.extras)]
    return {name for name, _ in found}


def test_licences_go_with_ours() -> None:
    def licence(name: str) -> str:
        about = distribution(name).metadata
        classifiers = [c for c in about.get_all("Classifier", []) if c.startswith("License")]
        return "; ".join([about.get("License-Expression") or "", *classifiers, (about.get("License") or "")[:40]])

    licences = {name: licence(name) for name in installed_with(SHIPPED)}
    assert len(licences) > len(SHIPPED)
    assert {n: v for n, v in licences.items() if not GOES_WITH_GPL3.search(v) or DOES_NOT.search(v)} == {}
