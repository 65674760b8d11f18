"""A head with a known world, and the stand-ins of the programs on the PATH."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests import standins
from tests.conftest import world_image

SHAPE = (64, 60, 40)
Writer = Callable[[str], tuple[str, ...]]


def head(world: np.ndarray) -> np.ndarray:
    """A ball of radius 28 mm about the middle of the grid, brighter towards the front; 0 around it."""
    centre = np.array([3.0, -5.0, 7.0])[:, None, None, None]
    inside = ((world - centre) ** 2).sum(axis=0) <= 28.0**2
    return np.where(inside, 500 + 20 * (world[1] - centre[1]), 0)


def scan(orientation: str = "RAS") -> nib.Nifti1Image:
    """The head on a grid of this orientation."""
    shape = (70, 60, 20) if orientation.startswith("anisotropic") else SHAPE
    return world_image(orientation, shape, head)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a stand-in of a program first on the PATH."""

    def put(tool: str, mode: str = "good") -> Path:
        path = standins.install(tmp_path / "bin", tool, mode, size=80)
        monkeypatch.setenv("PATH", os.pathsep.join([str(path.parent), os.environ["PATH"]]))
        return path

    return put


def world_centres(labels: np.ndarray, affine: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    """Centre of mass (RAS mm) of each label."""
    return np.array([(affine @ [*np.argwhere(labels == v).mean(axis=0), 1])[:3] for v in values])


@pytest.fixture
def program(tmp_path: Path) -> Writer:
    """Write Python code as a program; gives the words that start it."""

    def write(code: str) -> tuple[str, ...]:
        path = tmp_path / "program.py"
        path.write_text("import os, signal, subprocess, sys, time\n" + textwrap.dedent(code))
        return (sys.executable, str(path))

    return write
