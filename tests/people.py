"""A small cohort as the group level's record, without files, for tests of the statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.tabular.own import VISIT_COLUMNS
from thalbids.group.cohort import PBVC_COLUMNS, VOLUME_COLUMNS, Cohort
from thalbids.group.intake.reading import frame_of
from thalbids.settings import Settings


def make_cohort(
    visits: Sequence[Mapping[str, Any]],
    volumes: Sequence[Mapping[str, Any]],
    *,
    pbvc: Sequence[Mapping[str, Any]] = (),
    repeats: Sequence[Mapping[str, Any]] = (),
    settings: Settings | None = None,
) -> Cohort:
    """Rows with what matters; everything else is missing. Volumes are ok, sides are halves unless given."""
    full = []
    for row in volumes:
        sides = {f"volume_{side}_ml": row.get("volume_ml", np.nan) / 2 for side in ("left", "right")}
        full.append({"status": "ok", "image": "T1w", "reason": "", "icv_source": "given", **sides, **row})
    seen = {(row["participant_id"], row["session_id"]) for row in full if row["status"] == "ok"}
    visit_frame = frame_of([{"diagnosis": "RRMS", "order": 0, **row} for row in visits], VISIT_COLUMNS)
    keys = zip(visit_frame["participant_id"], visit_frame["session_id"], strict=True)
    visit_frame["has_mri"] = [key in seen for key in keys]
    return Cohort(
        volumes=frame_of(full, VOLUME_COLUMNS),
        visits=visit_frame,
        pbvc=frame_of([{"status": "ok", **row} for row in pbvc], PBVC_COLUMNS),
        settings=settings or Settings(),
        bids_dir=Path(),
        out_dir=Path(),
        repeats=frame_of([{"status": "ok", **row} for row in repeats], (*VOLUME_COLUMNS, "entities")),
        exclusions=pd.DataFrame(),
        conflicts=pd.DataFrame(),
    )


def two_visits(
    n: int, seed: int = 0, methods: Sequence[str] = ("first", "synthalT1w")
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Visits and volumes of n people, two visits each, with every value there."""
    rng = np.random.default_rng(seed)
    visits, volumes = [], []
    for i in range(n):
        person, age, female = f"sub-{i:03d}", float(rng.normal(44, 11)), float(rng.integers(0, 2))
        icv, volume = float(rng.normal(1450, 120)), float(rng.normal(12, 1.5))
        for order in (0, 1):
            session = f"ses-{order + 1}"
            visits.append(
                {
                    "participant_id": person, "session_id": session, "order": order, "age": age + order,
                    "female": female,
                    "sex": "F" if female else "M", "years": order * float(rng.normal(1, 0.1)),
                    "edss": float(np.round(2 * rng.uniform(0, 6)) / 2), "t25fw": float(rng.lognormal(1.6, 0.3)),
                    "nhpt": float(rng.lognormal(3, 0.2)), "sdmt": float(rng.normal(50, 10)),
                    "disease_duration": float(rng.exponential(9)), "steroid": float(rng.uniform() < 0.3),
                    "diagnosis": "RRMS" if i % 3 else "PMS",
                }
            )  # fmt: skip
            volumes += [
                {
                    "participant_id": person, "session_id": session, "method": method, "icv_ml": icv,
                    "volume_ml": volume + float(rng.normal(-0.1 * order, 0.2)),
                }
                for method in methods
            ]  # fmt: skip
    return visits, volumes
