"""A synthetic cohort for tests and benchmarks of the group level: clinical tables and morph tables, without images.

What is known about it: the true thalamic volume and its change, the effect of volume on every outcome, and each
method's bias, slope and noise. `write_cohort` returns these numbers, drawn with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

METHODS: Mapping[
    str, tuple[str, float, float, float]
] = {  # image, bias in mL, slope on the truth, SD of the noise in mL
    "freesurfer": ("T1w", 2.0, 1.0, 0.45),
    "first": ("T1w", 1.5, 1.0, 0.40),
    "dbsegment": ("T1w", 4.5, 0.5, 0.30),
    "mindglideT1w": ("T1w", 0.1, 0.95, 0.30),
    "mindglideFLAIR": ("FLAIR", 0.3, 0.95, 0.35),
    "mindglideR1map": ("R1map", -0.1, 0.95, 0.35),
    "synthalT1w": ("T1w", 0.0, 1.0, 0.25),
    "mindglideT1FLAIR": ("ensemble", 0.4, 0.95, 0.28),
    "mindglideT1R1": ("ensemble", 0.2, 0.95, 0.28),
    "mindglideR1FLAIR": ("ensemble", 0.4, 0.95, 0.28),
    "mindglideT1FLAIRR1": ("ensemble", 0.2, 0.95, 0.25),
}
DIAGNOSES = {"RRMS": 0.60, "SPMS": 0.08, "NMOSD": 0.12, "MOGAD": 0.08, "CIS": 0.06, "HC": 0.06}
CHANGE = {"RRMS": -0.8, "SPMS": -1.2, "NMOSD": -0.3, "MOGAD": -0.9, "CIS": -0.5, "HC": 0.0}  # percent a year
EFFECTS = {  # change of the outcome with one mL of thalamus
    "edss": -0.25, "log_t25fw": -0.03, "log_nhpt": -0.03, "sdmt": 2.6, "disease_duration": -1.7,
}  # fmt: skip


@dataclass
class Truth:
    """Arrays with one value per participant, in the order of ``participants``; volumes are (participants, sessions)."""

    participants: list[str]
    diagnosis: np.ndarray
    volume_ml: np.ndarray
    years: np.ndarray
    pbvc: np.ndarray
    effects: Mapping[str, float] = field(default_factory=lambda: dict(EFFECTS))


def write_cohort(
    root: Path,
    people: int = 40,
    sessions: int = 2,
    methods: Sequence[str] = tuple(METHODS),
    seed: int = 1,
    *,
    diagnoses: Mapping[str, float] = DIAGNOSES,
    icv: bool = True,
    siena: bool = True,
) -> tuple[Path, Path, Truth]:
    """Write ``root/raw`` (participants.tsv, sessions.tsv) and ``root/out`` (morph, ICV and SIENA tables).

    Returns
    -------
    (bids_dir, out_dir, truth)
    """
    rng = np.random.default_rng(seed)
    raw, out = root / "raw", root / "out"
    raw.mkdir(parents=True)
    out.mkdir()
    digits = max(2, len(str(people)))
    ids = [f"sub-{number + 1:0{digits}d}" for number in range(people)]
    names = list(diagnoses)
    share = np.array(list(diagnoses.values())) / sum(diagnoses.values())
    diagnosis = np.array(names)[rng.choice(len(names), people, p=share)]
    age = np.round(rng.normal(43, 12, people).clip(18, 75), 1)
    female = rng.uniform(size=people) < 0.67
    icv_ml = rng.normal(1500, 120, people) - 120 * female
    volume = np.empty((people, sessions))
    volume[:, 0] = 12 + 0.004 * (icv_ml - 1450) - 0.03 * (age - 43) + rng.normal(0, 1.2, people)
    gaps = rng.normal(1.0, 0.12, (people, sessions)).clip(0.5, 2)
    years = np.c_[np.zeros(people), gaps[:, 1:]].cumsum(1)
    rate = np.array([CHANGE[name] for name in diagnosis]) + rng.normal(0, 0.6, people)
    for visit in range(1, sessions):
        volume[:, visit] = volume[:, 0] * (1 + rate * years[:, visit] / 100)
    pbvc = 0.3 * rate * years[:, -1] + rng.normal(0, 0.3, people)
    truth = Truth(ids, diagnosis, volume, years, pbvc)
    _write_people(raw, truth, age, female, rng)
    for index, person in enumerate(ids):
        _write_visits(raw, truth, index, person, rng)
        measured = {name: _measure(name, volume[index], rng) for name in methods}
        for visit in range(sessions):
            _write_morph(out, person, visit, methods, measured, icv_ml[index] if icv else None)
        if siena and sessions > 1:
            _write_siena(out, person, sessions, pbvc[index])
    return raw, out, truth


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a table as it stands; None is n/a."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(rows[0])
    lines = ["\t".join(columns), *("\t".join(_cell(row[name]) for name in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def morph_row(
    method: str, volume_mm3: object, left: object = None, right: object = None, **more: object
) -> dict[str, object]:
    """A row of a morph table; ``more`` replaces cells."""
    image = METHODS.get(method, ("T1w",))[0]
    row = {
        "method": method, "image": image, "volume_mm3": volume_mm3, "volume_left_mm3": left, "volume_right_mm3": right,
        "voxels": None, "voxel_volume_mm3": 1.0, "status": "ok", "reason": None,
    }  # fmt: skip
    return row | more


def morph_path(out: Path, person: str, session: str = "") -> Path:
    """Where the morph table of a session lies; ids with their prefixes."""
    stem = f"{person}_{session}" if session else person
    return out / person / session / "anat" / f"{stem}_desc-thalamus_morph.tsv"


def _measure(name: str, volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a method measures at each session: most of its error is the person's own, and stays."""
    _, bias, slope, noise = METHODS[name]
    return bias + slope * volume + rng.normal(0, noise) + rng.normal(0, noise / 6, volume.shape)


def _write_people(raw: Path, truth: Truth, age: np.ndarray, female: np.ndarray, rng: np.random.Generator) -> None:
    centred = truth.volume_ml[:, 0] - truth.volume_ml[:, 0].mean()
    duration = (9 + EFFECTS["disease_duration"] * centred + rng.normal(0, 5, len(age))).clip(0, age - 10)
    rows = [
        {
            "participant_id": person,
            "age": age[index],
            "sex": "F" if female[index] else "M",
            "diagnosis": truth.diagnosis[index],
            "disease_duration": None if truth.diagnosis[index] == "HC" else round(float(duration[index]), 1),
        }
        for index, person in enumerate(truth.participants)
    ]
    write_rows(raw / "participants.tsv", rows)


def _write_visits(raw: Path, truth: Truth, index: int, person: str, rng: np.random.Generator) -> None:
    volume = truth.volume_ml[index] - 12
    patient = truth.diagnosis[index] != "HC"
    own = rng.normal(0, 1, 4)
    start = np.datetime64("2022-03-01T10:00:00") + np.timedelta64(int(rng.integers(600)), "D")
    rows = []
    for visit in range(truth.years.shape[1]):
        edss = 2.5 + EFFECTS["edss"] * volume[visit] + own[0] + rng.normal(0, 0.3)
        walk = np.exp(1.6 + EFFECTS["log_t25fw"] * volume[visit] + 0.15 * own[1] + rng.normal(0, 0.03, 2))
        pegs = np.exp(3.0 + EFFECTS["log_nhpt"] * volume[visit] + 0.12 * own[2] + rng.normal(0, 0.03, 2))
        digits = 55 + EFFECTS["sdmt"] * volume[visit] + 8 * own[3] + rng.normal(0, 3)
        date = start + np.timedelta64(round(truth.years[index, visit] * 365.25 * 86400), "s")
        rows.append(
            {
                "session_id": f"ses-{visit + 1}",
                "acq_time": str(date),
                "edss": round(2 * float(np.clip(edss, 0, 9.5))) / 2 if patient else None,
                "t25fw_1": round(float(walk[0]), 2),
                "t25fw_2": round(float(walk[1]), 2),
                "nhpt_1": round(float(pegs[0]), 2),
                "nhpt_2": round(float(pegs[1]), 2),
                "sdmt": round(float(np.clip(digits, 0, 110))),
                "steroid": None if visit == 0 else "yes" if patient and rng.uniform() < 0.12 else "no",
            }
        )
    write_rows(raw / person / f"{person}_sessions.tsv", rows)


def _write_morph(
    out: Path, person: str, visit: int, methods: Sequence[str], measured: Mapping[str, np.ndarray], icv_ml: float | None
) -> None:
    rows = []
    for name in methods:
        volume = 1000 * float(measured[name][visit])
        rows.append(morph_row(name, volume, 0.505 * volume, 0.495 * volume))
    path = morph_path(out, person, f"ses-{visit + 1}")
    write_rows(path, rows)
    if icv_ml is not None:
        icv = path.with_name(path.name.replace("desc-thalamus", "desc-icv"))
        write_rows(icv, [{"source": "synthal", "icv_mm3": 1000 * float(icv_ml), "note": None}])


def _write_siena(out: Path, person: str, sessions: int, pbvc: float) -> None:
    row = {"session_id_baseline": "ses-1", "session_id_followup": f"ses-{sessions}", "pbvc": float(pbvc),
           "source": "siena", "status": "ok", "reason": None}  # fmt: skip
    write_rows(out / person / "anat" / f"{person}_desc-siena_morph.tsv", [row])


def _cell(value: object) -> str:
    return "n/a" if value is None else str(value)
