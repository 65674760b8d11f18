"""A cohort whose sessions have a table of quantitative maps inside masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.people import make_cohort
from thalbids.bids.results.derivatives import Place
from thalbids.bids.results.dictionaries import QMRI_MORPH
from thalbids.files import write_table
from thalbids.group.cohort import Cohort
from thalbids.group.modelling import map_values


def with_maps(folder: Path, visits: Sequence[Mapping[str, Any]], r1: Mapping[str, Sequence[float]]) -> Cohort:
    """Volumes are 12 mL for everybody; ``r1``: by method, the mean of R1 in the eroded mask of each visit."""
    volumes, places = [], []
    for k, visit in enumerate(visits):
        one = {name: visit[name] for name in ("participant_id", "session_id")}
        volumes += [one | {"method": method, "volume_ml": 12.0, "status": "ok"} for method in r1]
        rows = [
            {"method": method, "map": "R1map", "region": "eroded", "side": "both", "voxels": 900, "undefined": 0,
             "mean": values[k], "median": 0.0, "sd": 0.05, "units": "1/s", "status": "ok"}
            for method, values in r1.items()
        ]  # fmt: skip
        name = f"{one['participant_id']}_{one['session_id']}_{map_values.ENDING}"
        write_table(folder / name, rows, tuple(QMRI_MORPH))
        places.append(Place(one["participant_id"], one["session_id"], folder, (name,)))
    return replace(make_cohort(visits, volumes), places=places)
