"""Which sign is expected, and when the caveat is given."""

from __future__ import annotations

import math

from thalbids.group.statistics import signs


def test_warning_only_where_the_wrong_sign_is_beyond_chance() -> None:
    assert signs.warning("d_edss", 0.7, 0.2, 1.2) == signs.LONGITUDINAL
    assert signs.warning("d_edss", 0.7, -0.2, 1.6) == ""
    assert signs.warning("d_edss", -0.7, -1.2, -0.2) == ""
    assert signs.warning("d_sdmt", -3, -5, -1) == signs.LONGITUDINAL
    assert signs.warning("edss", 0.3, 0.1, 0.5) == signs.CROSS_SECTIONAL
    assert signs.sign("height", 1.0) == "" and signs.sign("edss", math.nan) == ""
