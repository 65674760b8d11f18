"""The analyses of the group level, in the order in which they work: a new one is a file and a line here."""

from __future__ import annotations

from thalbids.group.analyses.checks import imputed, influence, lost, missing_by_method, same_people
from thalbids.group.analyses.clinical import (
    crosssectional,
    longitudinal,
    map_agreement,
    map_models,
    ordinal,
    plots,
    sides,
)
from thalbids.group.analyses.description import (
    conflicts,
    descriptives,
    groups,
    map_groups,
    normative,
    people,
    volumes,
    who,
)
from thalbids.group.analyses.masks import manual, microstructure, ratings, template_maps
from thalbids.group.analyses.over_time import change, comparability, detectable, map_mixed, mixed, pbvc
from thalbids.group.analyses.trials import baseline_score, detection, progression, retest, samplesize
from thalbids.group.analysis import Analysis

ANALYSES: tuple[Analysis, ...] = (
    volumes.ANALYSIS,
    people.ANALYSIS,
    conflicts.ANALYSIS,
    who.ANALYSIS,
    descriptives.ANALYSIS,
    groups.ANALYSIS,
    change.ANALYSIS,
    comparability.ANALYSIS,
    crosssectional.ANALYSIS,
    longitudinal.ANALYSIS,
    ordinal.ANALYSIS,
    same_people.ANALYSIS,
    missing_by_method.ANALYSIS,
    influence.ANALYSIS,
    lost.ANALYSIS,
    imputed.ANALYSIS,
    pbvc.ANALYSIS,
    sides.ANALYSIS,
    microstructure.ANALYSIS,
    map_models.ANALYSIS,
    map_agreement.ANALYSIS,
    map_groups.ANALYSIS,
    map_mixed.ANALYSIS,
    mixed.ANALYSIS,
    detectable.ANALYSIS,
    retest.ANALYSIS,
    samplesize.ANALYSIS,
    detection.ANALYSIS,
    progression.ANALYSIS,
    baseline_score.ANALYSIS,
    normative.ANALYSIS,
    manual.ANALYSIS,
    template_maps.ANALYSIS,
    plots.ANALYSIS,
    ratings.ANALYSIS,
)
