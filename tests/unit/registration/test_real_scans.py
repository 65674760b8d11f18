"""The registration on real scans: near the published transform, and another person is caught."""

from __future__ import annotations

import pytest

from benchmarks.calibrate_gate import Data, head_points
from benchmarks.compare_strategies import between
from thalbids.programs import Program
from thalbids.registration.gate import register
from thalbids.registration.strategies import configured
from thalbids.registration.transforms import displacement
from thalbids.tools import fsl

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture
def data(data_root) -> Data:
    return Data(data_root)


@pytest.mark.parametrize("strategy", ["ants", "mattes"])
@pytest.mark.parametrize("study", ["study1", "study2"])
def test_flair_of_a_patient_is_near_the_published_transform(data, study, strategy):
    fixed, mask = data.image(f"patient12 {study}"), data.mask(f"patient12 {study}")
    outcome = register(data.image(f"patient12 {study} FLAIR"), fixed, mask, configured([strategy]))
    assert outcome.chosen == strategy and outcome.warnings == ()
    distance = displacement(outcome.matrix, data.published(f"{study} FLAIR"), head_points(mask))
    assert distance.mean() < 1.0
    assert outcome.image.shape == fixed.shape


@pytest.mark.parametrize("strategy", ["ants", "mattes"])
@pytest.mark.parametrize(
    ("t1w", "flair"),
    [("patient12 study1", "patient07 FLAIR"), ("sub-06", "patient07 FLAIR"), ("bert", "patient12 study1 FLAIR")],
)
def test_flair_of_another_person_is_excluded(data, t1w, flair, strategy):
    outcome = register(data.image(flair), data.image(t1w), data.mask(t1w), configured([strategy]))
    assert outcome.chosen is None
    assert "another person" in outcome.reason


@pytest.mark.skipif(fsl.missing("flirt", Program()) is not None, reason="FSL's FLIRT is not installed")
@pytest.mark.parametrize(("image", "strategy"), [("FLAIR", "fsl-flair"), ("T1W", "fsl-nc")])
def test_flirt_is_near_the_published_transform(data, image, strategy):
    fixed, mask = data.image("patient12 study1"), data.mask("patient12 study1")
    study = "study1" if image == "FLAIR" else "study2"
    published = data.published("study1 FLAIR") if image == "FLAIR" else between(data, "study1", "study2")
    outcome = register(data.image(f"patient12 {study} {image}"), fixed, mask, configured([strategy]))
    assert outcome.chosen == strategy
    assert displacement(outcome.matrix, published, head_points(mask)).mean() < 1.0
