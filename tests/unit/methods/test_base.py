"""What a method gives back, and what it may leave unsaid."""

from __future__ import annotations

import numpy as np
import pytest

from thalbids.methods.base import OPTIONAL, Segmentation, trait
from thalbids.settings import MethodSettings


def test_volumes_are_voxels_times_their_size_in_any_orientation() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2, 0, 0], labels[3, 3, :] = 10, 49
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]])
    hard = Segmentation(labels, affine)
    assert hard.voxel_volume == pytest.approx(9.0)
    assert hard.volume_mm3 == pytest.approx(6 * 9.0) and hard.volume_soft_mm3 is None
    soft = Segmentation(labels, affine, probability=np.full(labels.shape, 0.25, np.float32))
    assert soft.volume_soft_mm3 == pytest.approx(64 * 0.25 * 9.0)


class Least:
    memory_gb = 1.5

    def unavailable(self) -> str | None:
        return "not here"


class Own(Least):
    def gpu(self, settings: MethodSettings) -> bool:
        return settings.run.nprocs > 0

    def blocked(self, settings: MethodSettings) -> str | None:
        return None


def test_what_a_method_does_not_say_has_a_default() -> None:
    settings = MethodSettings()
    others = {"blocked": "not here", "memory": Least.memory_gb}
    for name, default in OPTIONAL.items():
        assert trait(Least(), name, settings) == others.get(name, default)  # type: ignore[arg-type]
    assert OPTIONAL["builds_on"] == ("brain",) and OPTIONAL["gpu"] is False
    assert trait(Own(), "gpu", settings) is True and trait(Own(), "blocked", settings) is None  # type: ignore[arg-type]
