"""SIENA's command and what it says."""

from __future__ import annotations

import pytest

from tests.unit.participant.stages.person.test_siena import REPORT, checked, settings_of
from thalbids.errors import UsageError
from thalbids.tools import siena


def test_options_with_spaces_stay_one_word_and_the_folder_is_ours():
    assert siena.command(("-d", "-B", "-f 0.3"))[-3:] == ["-d", "-B", "-f 0.3"]
    with pytest.raises(UsageError, match="-o cannot be passed on"):
        checked(settings_of(("-o", "elsewhere"), table=None))


def test_what_siena_warns_of_and_directions_that_differ_are_told():
    result = siena.parse(REPORT.format(backward="0.9", forward="0.5", final="-0.2") + siena.INCONSISTENT)
    assert result.faults == () and len(result.warnings) == 2
    assert siena.parse("finalPBVC 1\nfinalPBVC -1.5e-1 %").pbvc == -0.15  # the last one counts
