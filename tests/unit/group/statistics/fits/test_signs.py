"""Which sign is expected, and when the caveat is given."""

from __future__ import annotations

import math

from thalbids.group.statistics.fits import signs


def test_warning_only_where_the_wrong_sign_is_beyond_chance() -> None:
    assert signs.warning("d_edss", 0.7, 0.04) == signs.LONGITUDINAL
    assert signs.warning("d_edss", 0.7, 0.06) == "" and signs.warning("d_edss", 0.7, math.nan) == ""
    assert signs.warning("d_edss", -0.7, 0.01) == ""
    assert signs.warning("d_sdmt", -3, 0.001) == signs.LONGITUDINAL
    assert signs.warning("edss", 0.3, 0.01) == signs.CROSS_SECTIONAL
    assert signs.sign("height", 1.0) == "" and signs.sign("edss", math.nan) == ""
