"""The analyses of the group level, in the order in which they work: a new one is a file and a line here."""

from __future__ import annotations

from thalbids.group.analyses import (
    change,
    comparability,
    conflicts,
    crosssectional,
    descriptives,
    detectable,
    groups,
    longitudinal,
    manual,
    maps,
    microstructure,
    mixed,
    normative,
    ordinal,
    pbvc,
    people,
    plots,
    ratings,
    samplesize,
    sides,
    volumes,
)
from thalbids.group.analyses.checks import influence, lost
from thalbids.group.analyses.trials import baseline_score, progression, retest
from thalbids.group.analysis import Analysis

ANALYSES: tuple[Analysis, ...] = (
    volumes.ANALYSIS,
    people.ANALYSIS,
    conflicts.ANALYSIS,
    descriptives.ANALYSIS,
    groups.ANALYSIS,
    change.ANALYSIS,
    comparability.ANALYSIS,
    crosssectional.ANALYSIS,
    longitudinal.ANALYSIS,
    ordinal.ANALYSIS,
    influence.ANALYSIS,
    lost.ANALYSIS,
    pbvc.ANALYSIS,
    sides.ANALYSIS,
    microstructure.ANALYSIS,
    mixed.ANALYSIS,
    detectable.ANALYSIS,
    retest.ANALYSIS,
    samplesize.ANALYSIS,
    progression.ANALYSIS,
    baseline_score.ANALYSIS,
    normative.ANALYSIS,
    manual.ANALYSIS,
    maps.ANALYSIS,
    plots.ANALYSIS,
    ratings.ANALYSIS,
)
