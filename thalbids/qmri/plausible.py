"""What quantitative maps of a brain are like: values to expect by field strength. Outside them: look at the maps.

R1: Rooney et al. 2007; R2*: Peters et al. 2007; MTsat and the thalamus: Weiskopf et al. 2013. The ranges are wide, as
protocols differ; MTsat follows the MT pulse more than the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

USUAL_FIELD = 3.0  # T, where the sidecars do not say


@dataclass(frozen=True)
class Plausible:
    """Of one map: where the histogram of a brain has its peaks (grey, white matter), and ranges of medians."""

    grey: float
    white: float
    white_matter: tuple[float, float]
    thalamus: tuple[float, float]

    def to_json(self) -> dict[str, object]:
        """For the QC document."""
        return {
            "peaks": [self.grey, self.white],
            "white_matter": list(self.white_matter),
            "thalamus": list(self.thalamus),
        }


_MTSAT = Plausible(0.8, 1.6, (1.0, 2.8), (0.5, 2.0))  # percent units
BY_FIELD: Mapping[float, Mapping[str, Plausible]] = {
    1.5: {
        "R1map": Plausible(0.85, 1.5, (1.1, 2.0), (0.6, 1.6)),
        "R2starmap": Plausible(12.0, 15.0, (9.0, 24.0), (7.0, 28.0)),
        "MTsat": _MTSAT,
    },
    3.0: {
        "R1map": Plausible(0.65, 1.0, (0.7, 1.4), (0.5, 1.2)),
        "R2starmap": Plausible(15.0, 19.0, (13.0, 32.0), (12.0, 40.0)),
        "MTsat": _MTSAT,
    },
    7.0: {
        "R1map": Plausible(0.5, 0.8, (0.6, 1.1), (0.4, 0.95)),
        "R2starmap": Plausible(30.0, 37.0, (22.0, 60.0), (20.0, 80.0)),
        "MTsat": _MTSAT,
    },
}
WINDOWS: Mapping[str, tuple[float, float]] = {  # black and white of pictures
    "R1map": (0.0, 1.6), "R2starmap": (0.0, 50.0), "PDmap": (0.5, 1.6), "MTsat": (0.0, 2.5),
}  # fmt: skip


def expected(suffix: str, field_strength: float | None = None) -> Plausible | None:
    """What a map is like at the nearest field strength (T) that is known; None for other maps."""
    strength = USUAL_FIELD if field_strength is None else field_strength
    nearest = min(BY_FIELD, key=lambda known: abs(known - strength))
    return BY_FIELD[nearest].get(suffix)
