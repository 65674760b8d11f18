"""Volumes under a known deformation: uniform growth by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from thalbids.longitudinal import splines
from thalbids.longitudinal.jacobian import LogChange, determinants, integrate
from thalbids.longitudinal.visits import Box

BOX = Box((16, 14, 12), 1.0, np.zeros(3))


def growing(rate: float) -> SimpleNamespace:
    """u = rate x in every direction: a field that cubic splines hold exactly (coefficients on a line)."""
    lattice = splines.lattice(BOX.shape, 4.0, 1.0)
    wanted = rate * BOX.points()
    columns = [np.linalg.pinv(np.asarray(m, dtype=np.float64)) for m in lattice.values]
    c = np.einsum("ai,bj,ck,nijk->nabc", *columns, wanted)
    system = SimpleNamespace(lattice=lattice)
    return SimpleNamespace(
        coefficients=np.concatenate([c, np.zeros_like(c[:1])]).astype(np.float32), system=system, box=BOX
    )


@pytest.mark.parametrize("rate", [0.02, -0.05, 0.0])
def test_uniform_growth(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalbids.longitudinal.jacobian.standard_error", lambda found, mask: 0.0)
    found = growing(rate)
    first, second = determinants(found)  # type: ignore[arg-type]
    np.testing.assert_allclose(first, (1 - rate / 2) ** 3, atol=1e-4)
    np.testing.assert_allclose(second, (1 + rate / 2) ** 3, atol=1e-4)
    change = integrate(found, np.ones(BOX.shape))  # type: ignore[arg-type]
    assert change.log_ratio == pytest.approx(3 * np.log((1 + rate / 2) / (1 - rate / 2)), abs=1e-4)


def test_percent_is_relative_to_the_first_visit() -> None:
    assert LogChange(np.log(0.98), 0.0).percent == pytest.approx(-2.0)
