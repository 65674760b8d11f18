"""Models of clinical scores on maps, and agreement between methods, on a cohort whose coefficients are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from tests.people import make_cohort
from thalbids.bids.results.derivatives import Place
from thalbids.bids.results.dictionaries import QMRI_MORPH
from thalbids.files import write_table
from thalbids.group.analyses.clinical import map_models
from thalbids.group.cohort import Cohort
from thalbids.group.modelling import map_values

METHODS = ("synthalT1w", "first")
N = 30


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, np.ndarray, np.ndarray]:
    """Patients with R1 of two visits, by two methods that differ by 0.05 1/s; SDMT follows R1."""
    folder = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(3)
    r1 = np.column_stack([rng.normal(0.8, 0.05, N), np.zeros(N)])
    r1[:, 1] = r1[:, 0] + rng.normal(-0.01, 0.01, N)
    age, sex = rng.uniform(25, 60, N), rng.integers(0, 2, N).astype(float)
    sdmt = 60 + 100 * (r1 - 0.8) - 0.2 * age[:, None] + rng.normal(0, 1, (N, 2))
    visits, volumes, places = [], [], []
    for i in range(N):
        for v in range(2):
            one = {"participant_id": f"sub-{i:02d}", "session_id": f"ses-{v + 1}"}
            visits.append(one | {
                "diagnosis": "RRMS", "age": age[i] + v, "sex": "FM"[int(sex[i])], "female": 1 - sex[i], "order": v,
                "years": float(v), "sdmt": sdmt[i, v], "edss": 3.0 + (i % 3 - 1) * v, "steroid": float(i % 2),
            })  # fmt: skip
            volumes += [one | {"method": m, "volume_ml": 12 + rng.normal(), "status": "ok"} for m in METHODS]
            rows = [
                {"method": m, "map": "R1map", "region": "eroded", "side": "both", "voxels": 900, "undefined": 0,
                 "mean": r1[i, v] + shift, "median": 0.0, "sd": 0.05, "units": "1/s", "status": "ok"}
                for m, shift in zip(METHODS, (0.0, 0.05), strict=True)
            ]  # fmt: skip
            name = f"{one['participant_id']}_{one['session_id']}_{map_values.ENDING}"
            write_table(folder / name, rows, tuple(QMRI_MORPH))
            places.append(Place(one["participant_id"], one["session_id"], folder, (name,)))
    return replace(make_cohort(visits, volumes), places=places), r1, np.column_stack([sdmt, age, sex])


def test_coefficients_are_those_of_statsmodels(people: tuple[Cohort, np.ndarray, np.ndarray]) -> None:
    cohort, r1, other = people
    rows, categories, missing = map_models.tables(cohort)
    frame = rows.frame.set_index(["analysis", "outcome", "method", "subset", "term"])
    sdmt, age, sex = other[:, :2], other[:, 2], other[:, 3]
    own = sm.OLS(sdmt[:, 0], sm.add_constant(np.column_stack([r1[:, 0], age, sex]))).fit()
    row = frame.loc[("crosssectional", "sdmt", "synthalT1w", "all", "R1map")]
    assert row["estimate"] == pytest.approx(own.params[1]) and row["p"] == pytest.approx(own.pvalues[1])
    assert frame.loc[("crosssectional", "sdmt", "first", "all", "R1map"), "estimate"] == pytest.approx(own.params[1])
    design = np.column_stack([r1[:, 1] - r1[:, 0], age, sex, np.arange(N) % 2])
    change = sm.OLS(sdmt[:, 1] - sdmt[:, 0], sm.add_constant(design)).fit()  # one interval for all: it is left out
    row = frame.loc[("longitudinal", "d_sdmt", "synthalT1w", "all", "delta_R1map")]
    assert row["estimate"] == pytest.approx(change.params[1]) and row["n"] == N
    assert "interval_years" in row["left_out"] and row["p_fdr"] >= row["p"]
    assert set(categories.frame["term"]) >= {"delta_R1map"} and "sign" not in rows.frame
    assert set(missing.frame["analysis"]) == {"crosssectional_R1map", "longitudinal_R1map"}


def test_without_maps_there_is_nothing() -> None:
    visit = {"participant_id": "sub-01", "session_id": "ses-1"}
    cohort = make_cohort([visit], [visit | {"method": "first", "volume_ml": 12.0}])
    assert all(one.frame.empty for one in map_models.tables(cohort))
