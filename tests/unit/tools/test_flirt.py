"""FLIRT's command line."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.registration.test_flirt import FIXED, MASK, MOVING, answer, home  # noqa: F401
from thalbids.registration.strategies import (
    configured,
)
from thalbids.tools import flirt


def test_fsl_gets_its_own_environment(home):  # noqa: F811
    answer(home, 1, np.eye(4))
    configured(["fsl-flair"])[0].estimate(FIXED, MOVING, MASK, seed=1)
    told = dict(line.split("=", 1) for line in (home / "environment").read_text().splitlines() if "=" in line)
    assert told["FSLOUTPUTTYPE"] == "NIFTI_GZ" and told["FSLDIR"] == str(home)
    assert "SGE_ROOT" not in told  # FSL would submit itself and return early
    assert configured(["fsl-mi"])[0].software == "FSL 6.0.7.4"


@pytest.mark.parametrize("argument", ["dof", "cost"])
def test_what_flirt_does_not_know_is_refused(argument):
    with pytest.raises(ValueError, match="FLIRT knows no"):
        flirt.command("a", "b", "c", **({"dof": 6, "cost": "normcorr"} | {argument: 5}))
