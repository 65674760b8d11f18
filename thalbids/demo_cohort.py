"""A simulated cohort for the group level of the demo: tables and small masks with known effects, no images.

Nobody was scanned, and no method ran: volumes, masks and clinical values are drawn from the model in `TRUTH`, so that
the group report can be held against what was put in (`held_against_truth`). The names of real methods say only which
columns and colours the tables get; their biases and errors are invented.

Volumes are in mL, masks lie on a grid of 1 mm in RAS+. Everything follows from the seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from thalbids.bids.results import dictionaries
from thalbids.bids.results.outputs import description_in
from thalbids.files import read_table, write_json, write_table, write_text
from thalbids.image.io import save_image
from thalbids.registration.transforms import write_itk
from thalbids.types import LEFT_THALAMUS, RIGHT_THALAMUS

NAME = "thalbids demo: a simulated cohort (nobody was scanned, every number is invented)"
VISITS = ("1", "2", "3")  # about a year apart
RESCAN = "1rescan"  # a second scan on the day after the first, without any change
RESCANNED = 4  # people of each diagnosis
DRAWN = 6  # people of each diagnosis with manual masks, by two raters


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis group: how many, mean age, baseline volume (mL), change (%/year), R1 in the thalamus (1/s)."""

    people: int
    age: float
    volume: float
    change: float
    r1: float


@dataclass(frozen=True)
class Measured:
    """How a method errs: bias (mL), SD of a person's own constant error and of each scan's (mL), its masks' border.

    ``border`` is the SD of the border's wobble in units of the thalamus' radius; ``image`` is what it reads.
    """

    image: str
    bias: float
    person: float
    scan: float
    border: float


DIAGNOSES: Mapping[str, Diagnosis] = {
    "HC": Diagnosis(14, 40, 14.6, -0.3, 0.86),
    "RRMS": Diagnosis(16, 40, 13.2, -1.0, 0.83),
    "SPMS": Diagnosis(12, 50, 11.8, -1.8, 0.79),
}
METHODS: Mapping[str, Measured] = {
    "freesurfer": Measured("T1w", 0.90, 0.35, 0.10, 0.10),
    "first": Measured("T1w", 0.45, 0.30, 0.09, 0.09),
    "synthalT1w": Measured("T1w", -0.20, 0.15, 0.05, 0.05),
    "synthalFLAIR": Measured("FLAIR", 0.15, 0.25, 0.09, 0.07),
}
RATERS: Mapping[str, Measured] = {
    "manual": Measured("T1w", 0.0, 0.10, 0.0, 0.03),
    "manual2": Measured("T1w", 0.30, 0.15, 0.0, 0.05),
}
EFFECTS: Mapping[str, tuple[float, float]] = {  # of one mL: between people at the first visit, and of loss within one
    "edss": (-0.70, -3.0), "log_t25fw": (-0.06, -0.30), "log_nhpt": (-0.05, -0.25), "sdmt": (4.0, 15.0),
}  # fmt: skip
SPREAD_VOLUME, SPREAD_CHANGE = 0.9, 0.45  # SD between people of a group: mL, %/year
ICV, OF_ICV, OF_AGE = 1480.0, 0.003, -0.03  # mean (mL), mL of thalamus per mL, mL per year of age
R1_SPREAD = 0.02
PBVC_SHARE, PBVC_NOISE = 0.3, 0.25  # whole-brain change as a share of that of the thalamus; SD of its error (%)
REGISTRATION_NOISE = 0.25  # SD (%) of change measured by registration, without bias

_WAVES = 24
SHAPE = (72, 56, 40)  # of the masks; the left thalamus lies where x is negative
AFFINE = np.array([[1.0, 0, 0, -35.5], [0, 1, 0, -45.0], [0, 0, 1, -13.0], [0, 0, 0, 1]])
CENTRE, RADII, TURN = (12.5, -18.0, 6.5), (8.5, 16.0, 9.5), 25.0  # mm, mm, degrees about z


@dataclass(frozen=True)
class SimulatedPerson:
    """One simulated person: what is true of them. ``volumes`` (mL) and ``years`` per visit."""

    label: str
    number: int
    seed: int
    diagnosis: str
    age: float
    sex: str
    icv: float
    duration: float | None
    site: str
    years: tuple[float, ...]
    volumes: tuple[float, ...]
    r1: float

    def random(self, *what: int) -> np.random.Generator:
        """Random numbers for one purpose, the same whatever else is drawn."""
        return np.random.default_rng([self.seed, self.number, *what])

    @property
    def number_in_group(self) -> int:
        """Counts the people of the diagnosis from 0."""
        before = 0
        for name, group in DIAGNOSES.items():
            if name == self.diagnosis:
                return self.number - before
            before += group.people
        raise ValueError(self.diagnosis)


def people(seed: int) -> list[SimulatedPerson]:
    """Everybody, controls first."""
    names = [name for name, group in DIAGNOSES.items() for _ in range(group.people)]
    return [_person(number, name, seed) for number, name in enumerate(names)]


def _person(number: int, diagnosis: str, seed: int) -> SimulatedPerson:
    group, rng = DIAGNOSES[diagnosis], np.random.default_rng([seed, number, 0])
    age = round(float(group.age + rng.uniform(-12, 12)), 1)
    sex = "F" if rng.uniform() < 0.6 else "M"
    icv = float(rng.normal(ICV, 110))
    start = group.volume + OF_ICV * (icv - ICV) + OF_AGE * (age - group.age) + rng.normal(0, SPREAD_VOLUME)
    rate = rng.normal(group.change, SPREAD_CHANGE)
    years = (0.0, *np.cumsum(rng.normal(1.0, 0.06, len(VISITS) - 1)).tolist())
    onset = rng.uniform(20, 30)
    duration = None if diagnosis == "HC" else round(max(1.0, age - float(onset)), 1)
    volumes = tuple(float(start * (1 + rate * when / 100)) for when in years)
    r1 = float(rng.normal(group.r1, R1_SPREAD))
    site, label = "AB"[int(rng.integers(2))], f"sim{number + 1:02d}"
    return SimulatedPerson(label, number, seed, diagnosis, age, sex, icv, duration, site, years, volumes, r1)


def write_cohort(root: Path, seed: int = 1) -> Iterator[str]:
    """Write ``root/raw``, ``root/derivatives/thalbids``, ``manual`` and ``manual2``; gives each person when written.

    A cohort that is complete is left alone.

    Raises
    ------
    UsageError
        The folder holds something else.
    OutputError
        It is no folder, or cannot be written.
    """
    raw, out = root / "raw", root / "derivatives" / "thalbids"
    readme = _README.format(seed=seed, people=sum(group.people for group in DIAGNOSES.values()))
    if description_in(raw, readme).get("Name") == NAME:
        return
    write_text(raw / "README", readme)
    cohort = people(seed)
    _write_raw(raw, cohort)
    base = _distances()
    for person in cohort:
        _write_person(root, person, base)
        yield f"sub-{person.label}"
    for folder in (out, *(root / "derivatives" / name for name in RATERS)):
        tool = {"Name": "thalbids", "Description": "thalbids demo: simulated, no method ran"}
        about = {**_DESCRIPTION, "DatasetType": "derivative", "GeneratedBy": [tool]}
        write_json(folder / "dataset_description.json", about, sort_keys=False)
    write_json(raw / "dataset_description.json", {**_DESCRIPTION, "DatasetType": "raw"}, sort_keys=False)  # last


def command(root: Path) -> list[str]:
    """The words of the group level's command after ``thalbids``."""
    given = [word for name in RATERS for word in ("--derivatives", f"{name}={root / 'derivatives' / name}")]
    return [str(root / "raw"), str(root / "derivatives" / "thalbids"), "group", *given]


def _write_raw(raw: Path, cohort: Sequence[SimulatedPerson]) -> None:
    """The clinical tables, their dictionaries, and the truth."""
    write_text(raw / ".bidsignore", "truth*\n")
    rows = [
        {
            "participant_id": f"sub-{person.label}",
            "age": person.age,
            "sex": person.sex,
            "diagnosis": person.diagnosis,
            "disease_duration": person.duration,
            "site": person.site,
        }
        for person in cohort
    ]
    write_table(raw / "participants.tsv", rows, list(rows[0]))
    for person in cohort:
        visits = _visits(person)
        write_table(raw / f"sub-{person.label}" / f"sub-{person.label}_sessions.tsv", visits, list(visits[0]))
    volumes = [
        {"participant_id": f"sub-{person.label}", "session_id": f"ses-{visit}", "volume_ml": volume}
        for person in cohort
        for visit, volume in zip(VISITS, person.volumes, strict=True)
    ]
    write_table(raw / "truth_volumes.tsv", volumes, list(volumes[0]))
    write_table(raw / "truth.tsv", [fact.row() for fact in TRUTH], list(TRUTH[0].row()))
    for name, content in _DICTIONARIES.items():
        write_json(raw / f"{name}.json", content, sort_keys=False)


def _visits(person: SimulatedPerson) -> list[dict[str, Any]]:
    """Clinical values at every visit: linear in the true volume of the first, and in what was lost since."""
    rng = person.random(1)
    deviates = rng.normal(0, 1, 4)
    patient = person.diagnosis != "HC"
    day = date(2020, 1, 15) + timedelta(days=int(rng.integers(300)))
    rows = []
    for visit, years, volume in zip(VISITS, person.years, person.volumes, strict=True):
        noise = rng.normal(0, 1, 7)
        first, lost = person.volumes[0] - 13.0, volume - person.volumes[0]
        worse = {name: level * first + change * lost for name, (level, change) in EFFECTS.items()}
        edss = 3.2 + worse["edss"] + 0.6 * deviates[0] + 0.2 * noise[0]
        walk = np.exp(1.6 + worse["log_t25fw"] + 0.08 * deviates[1] + 0.03 * noise[1:3])
        pegs = np.exp(3.0 + worse["log_nhpt"] + 0.07 * deviates[2] + 0.03 * noise[3:5])
        digits = 54 + worse["sdmt"] + 5 * deviates[3] + 1.5 * noise[5]
        steroid = None if visit == VISITS[0] else "yes" if patient and noise[6] > 1.2 else "no"
        rows.append(
            {
                "session_id": f"ses-{visit}",
                "acq_time": f"{day + timedelta(days=round(365.25 * years))}T10:00:00",
                "rescan_of": None,
                "edss": round(2 * float(np.clip(edss, 0, 9.5))) / 2 if patient else None,
                "t25fw_1": round(float(walk[0]), 2),
                "t25fw_2": round(float(walk[1]), 2),
                "nhpt_1": round(float(pegs[0]), 2),
                "nhpt_2": round(float(pegs[1]), 2),
                "sdmt": None if person.number % 17 == 16 else round(float(np.clip(digits, 0, 110))),
                "steroid": steroid,
            }
        )
    if person.number_in_group < RESCANNED:
        empty: dict[str, Any] = dict.fromkeys(rows[0])
        again = {"session_id": f"ses-{RESCAN}", "rescan_of": f"ses-{VISITS[0]}"}
        rows.append(empty | again | {"acq_time": f"{day + timedelta(days=1)}T10:00:00"})
    return rows


def _write_person(root: Path, person: SimulatedPerson, base: np.ndarray) -> None:
    """The derivatives of a person: volumes, intracranial volume, quality control, R1, change; masks of the baseline."""
    out = root / "derivatives" / "thalbids"
    measured = measure(person)
    lost = person.number % 13 == 12  # did not come to the last visit
    sessions = [*VISITS[: 2 if lost else 3], *([RESCAN] if person.number_in_group < RESCANNED else [])]
    for session in sessions:
        _write_session(out, person, session, {name: values[session] for name, values in measured.items()})
    _write_change(out, person, sessions, measured)
    _write_masks(root, person, base, {name: values[VISITS[0]] for name, values in measured.items()})


def measure(person: SimulatedPerson) -> dict[str, dict[str, int]]:
    """By method and session what it measures, in mm3: the true volume with the method's bias and errors.

    The scan's own error does not depend on which other sessions there are.
    """
    volumes: dict[str, dict[str, int]] = {}
    for index, (name, method) in enumerate(METHODS.items()):
        rng = person.random(2, index)
        constant = method.bias + rng.normal(0, method.person)
        truths = dict(zip(VISITS, person.volumes, strict=True)) | {RESCAN: person.volumes[0]}
        volumes[name] = {
            session: round(1000 * (truth + constant + rng.normal(0, method.scan))) for session, truth in truths.items()
        }
    return volumes


def _halves(volume: int) -> tuple[int, int]:
    """Left and right of a volume: the left one is a little larger."""
    left = round(0.505 * volume)
    return left, volume - left


def _write_session(out: Path, person: SimulatedPerson, session: str, volumes: Mapping[str, int]) -> None:
    stem, folder = f"sub-{person.label}_ses-{session}", out / f"sub-{person.label}" / f"ses-{session}" / "anat"
    rows = []
    for name, volume in volumes.items():
        left, right = _halves(volume)
        sides = {"volume_mm3": volume, "volume_left_mm3": left, "volume_right_mm3": right}
        rows.append({"method": name, "image": METHODS[name].image, **sides, "voxels": volume, "voxel_volume_mm3": 1.0,
                     "status": "ok"})  # fmt: skip
    write_table(folder / f"{stem}_desc-thalamus_morph.tsv", rows, list(rows[0]))
    icv = {"source": "synthal", "icv_mm3": round(1000 * person.icv), "note": "simulated", "status": "ok"}
    write_table(folder / f"{stem}_desc-icv_morph.tsv", [icv], list(icv))
    write_json(folder / f"{stem}_desc-thalamus_qc.json", _document(volumes))
    write_table(folder / f"{stem}_desc-thalamusqmri_morph.tsv", list(_r1(person, session, volumes)), _QMRI)


def _document(volumes: Mapping[str, int]) -> dict[str, Any]:
    """What readers of the quality control need: the acquisition, the same for everybody, and no flag."""
    acquisition = {
        "scanner": "simulated", "field_strength_t": 3.0, "voxel_size_mm": [1.0, 1.0, 1.0], "slice_thickness_mm": 1.0,
        "field_of_view_mm": [176.0, 256.0, 256.0], "contrast_agent": None,
    }  # fmt: skip
    image = {"acquisition": acquisition}
    masks: dict[str, dict[str, Any]] = {
        name: {"family": _FAMILY[name], "status": "ok", "trusted": True, "flags": [], "measures": None}
        for name in volumes
    }
    return {"Flags": [], "Registrations": [], "ICV": [], "Masks": masks, "Brain": None, "Images": {"T1w": image}}


def _r1(person: SimulatedPerson, session: str, volumes: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """R1 inside the masks: the person's own, with an error of each method and session."""
    place = (*VISITS, RESCAN).index(session)
    for index, (name, volume) in enumerate(volumes.items()):
        rng = person.random(3, place, index)
        for region, share in (("whole", 1.0), ("eroded", 0.6)):
            for side, half in (("both", 1.0), ("left", 0.505), ("right", 0.495)):
                mean = person.r1 + float(rng.normal(0, 0.004)) - (0.01 if region == "whole" else 0.0)
                yield {"method": name, "map": "R1map", "region": region, "side": side, "undefined": 0,
                       "voxels": round(volume * share * half), "mean": mean, "median": mean, "sd": 0.06,
                       "units": "1/s", "status": "ok"}  # fmt: skip


def _write_change(
    out: Path, person: SimulatedPerson, sessions: Sequence[str], measured: Mapping[str, Mapping[str, int]]
) -> None:
    """Whole-brain change, and change of the thalami by registration, of all pairs of visits."""
    rng, folder = person.random(4), out / f"sub-{person.label}" / "anat"
    visits = [session for session in sessions if session != RESCAN]
    pairs = [(one, two) for i, one in enumerate(visits) for two in visits[i + 1 :]]
    brain, change = [], []
    for one, two in pairs:
        i, j = VISITS.index(one), VISITS.index(two)
        true = 100 * (person.volumes[j] / person.volumes[i] - 1)
        ids = {"session_id_baseline": f"ses-{one}", "session_id_followup": f"ses-{two}"}
        brain.append({**ids, "pbvc": PBVC_SHARE * true + float(rng.normal(0, PBVC_NOISE)), "source": "table",
                      "status": "ok", "reason": None})  # fmt: skip
        percent = true + float(rng.normal(0, REGISTRATION_NOISE))
        change.append({**ids, "interval_years": person.years[j] - person.years[i], "method": "synthalT1w",
                       "measure": "registration", "delta_percent": percent,
                       "volume_baseline_ml": measured["synthalT1w"][one] / 1000, "status": "ok"})  # fmt: skip
    write_table(folder / f"sub-{person.label}_desc-siena_morph.tsv", brain, dictionaries.SIENA_COLUMNS)
    write_table(folder / f"sub-{person.label}_desc-change_morph.tsv", change, dictionaries.CHANGE_COLUMNS)


def _write_masks(root: Path, person: SimulatedPerson, base: np.ndarray, volumes: Mapping[str, int]) -> None:
    """The masks of the baseline: those of the methods have just the volume of the table, on the border of the truth."""
    out, ids = root / "derivatives" / "thalbids", (f"sub-{person.label}", f"ses-{VISITS[0]}")
    shape = base * (1 + 0.06 * _wobble(person.random(5)))
    for index, (name, volume) in enumerate(volumes.items()):
        drawn = shape + METHODS[name].border * _wobble(person.random(6, index))
        file = f"{'_'.join(ids)}_space-T1w_label-thalamus_desc-{name}_mask.nii.gz"
        save_image(_mask(drawn, _halves(volume)), AFFINE, out.joinpath(*ids, "anat", file))
    grid = {"shape": list(SHAPE), "affine": AFFINE.tolist()}
    stem = out.joinpath(*ids, "anat", f"{'_'.join(ids)}_from-T1w_to-simulated_mode-image_xfm")
    write_itk(np.eye(4), stem.with_suffix(".txt"))
    write_json(stem.with_suffix(".json"), {"Template": "simulated", "Transform": "affine", "TemplateGrid": grid})
    if person.number_in_group >= DRAWN:
        return
    for index, (rater, known) in enumerate(RATERS.items()):
        rng = person.random(7, index)
        drawn = shape + known.border * _wobble(rng)
        volume = round(1000 * (person.volumes[0] + known.bias + rng.normal(0, known.person)))
        file = f"{'_'.join(ids)}_label-thalamus_desc-{rater}_mask.nii.gz"
        save_image(_mask(drawn, _halves(volume)), AFFINE, root.joinpath("derivatives", rater, *ids, "anat", file))


def _distances() -> np.ndarray:
    """Distance of every voxel from the nearer thalamus' centre, 1 on its surface; negative in the left half."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    points = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    away = np.abs(points) * (1, 0, 0) + points * (0, 1, 1) - CENTRE  # the left side is looked at in the mirror
    turn = math.radians(TURN)
    x = away[..., 0] * math.cos(turn) + away[..., 1] * math.sin(turn)
    y = away[..., 1] * math.cos(turn) - away[..., 0] * math.sin(turn)
    distance = np.sqrt((x / RADII[0]) ** 2 + (y / RADII[1]) ** 2 + (away[..., 2] / RADII[2]) ** 2)
    return np.where(points[..., 0] < 0, -distance, distance)


def _wobble(rng: np.random.Generator) -> np.ndarray:
    """A smooth random field of SD about 1 on the grid: a sum of products of waves of 12 - 40 mm along the axes."""
    waves = []
    for size in SHAPE:
        steps = 2 * np.pi * np.arange(size) / rng.uniform(12, 40, (_WAVES, 1))
        waves.append(np.cos(steps + rng.uniform(0, 2 * np.pi, (_WAVES, 1))).astype(np.float32))
    x, y, z = waves
    planes = (x[:, :, None] * y[:, None, :]).reshape(_WAVES, -1)
    return np.asarray((planes.T @ z).reshape(SHAPE) * math.sqrt(8 / _WAVES))


def _mask(distance: np.ndarray, voxels: tuple[int, int]) -> np.ndarray:
    """Labels of the ``voxels`` (left, right) that lie nearest to each centre; as many as asked, whatever the shape."""
    labels = np.zeros(SHAPE, np.uint8)
    x = np.arange(SHAPE[0]) + AFFINE[0, 3]
    for label, side, wanted in ((LEFT_THALAMUS, x < 0, voxels[0]), (RIGHT_THALAMUS, x > 0, voxels[1])):
        far = np.where(side[:, None, None], np.abs(distance), np.inf)
        nearest = np.argpartition(far, wanted, axis=None)[:wanted]
        labels.flat[nearest] = label
    return labels


@dataclass(frozen=True)
class Fact:
    """Something that was put in, and where the group level tells it: table, the rows (column -> value), columns."""

    what: str
    truth: float
    unit: str
    table: str
    where: Mapping[str, str]
    estimate: str = "estimate"
    low: str = "ci_low"
    high: str = "ci_high"

    def row(self) -> dict[str, Any]:
        """As a row of ``truth.tsv``."""
        rows = ";".join(f"{column}={value}" for column, value in self.where.items())
        return {"quantity": self.what, "truth": self.truth, "unit": self.unit, "table": self.table, "rows": rows}


@dataclass(frozen=True)
class RecoveredFact:
    """What the group level says of a fact; NaN where its table has no such row."""

    fact: Fact
    estimate: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the 95 % interval holds the truth."""
        return self.low <= self.fact.truth <= self.high


def _facts() -> Iterator[Fact]:
    for method, known in METHODS.items():
        where = {"method": method, "quantity": "bias"}
        yield Fact(f"bias of {method} against the manual mask", known.bias, "mL", "group_agreement", where)
    for diagnosis, group in DIAGNOSES.items():
        where = {"method": "synthalT1w", "diagnosis": _GROUP[diagnosis], "measure": "delta_percent_per_year"}
        what = f"change of the thalamus, {_GROUP[diagnosis]}"
        yield Fact(what, group.change, "%/year", "group_change_summary", where, "mean", "", "")
    same = {"method": "synthalT1w", "subset": "all", "measure": "total", "sensitivity": "none"}
    for outcome, (level, _) in EFFECTS.items():
        name, unit = outcome.removeprefix("log_"), _PER_ML.get(outcome, "log s/mL")
        where = {**same, "outcome": name, "term": "volume_ml"}
        yield Fact(f"{name.upper()} and volume at the first visit", level, unit, "group_crosssectional", where)
    for outcome in ("edss", "sdmt"):
        where = {**same, "outcome": f"d_{outcome}", "term": "delta_volume_ml"}
        what = f"change of {outcome.upper()} and of volume"
        yield Fact(what, EFFECTS[outcome][1], _PER_ML[outcome], "group_longitudinal", where)
    for method, known in METHODS.items():
        where = {"method": method, "measure": "total", "quantity": "sem"}
        yield Fact(f"error of one scan, {method}", known.scan, "mL", "group_retest", where)


def held_against_truth(out_dir: Path) -> list[RecoveredFact]:
    """Every fact of `TRUTH` beside what the tables of the group level say; without intervals of their own, mean and SD
    of the table give them (normal).
    """
    facts = []
    for fact in TRUTH:
        path = out_dir / f"{fact.table}.tsv"
        rows = read_table(path) if path.is_file() else []
        matching = [row for row in rows if all(row.get(column) == value for column, value in fact.where.items())]
        values = {
            name: float(value)
            for name, value in (matching[0] if matching else {}).items()
            if value and _is_number(value)
        }
        estimate = values.get(fact.estimate, math.nan)
        half = 1.96 * values["sd"] / math.sqrt(values["n"]) if {"sd", "n"} <= set(values) else math.nan
        low, high = values.get(fact.low, estimate - half), values.get(fact.high, estimate + half)
        facts.append(RecoveredFact(fact, estimate, low, high))
    return facts


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


_PER_ML = {"edss": "points/mL", "sdmt": "answers/mL"}
_GROUP = {"HC": "HC", "RRMS": "RRMS", "SPMS": "PMS"}  # as the tables and pages of the group level call them
_FAMILY = {"freesurfer": "freesurfer", "first": "first", "synthalT1w": "synthal", "synthalFLAIR": "synthal"}
_QMRI = tuple(dictionaries.QMRI_MORPH)
TRUTH: tuple[Fact, ...] = tuple(_facts())
TOLD = (  # of the facts, those that the terminal shows
    "bias of synthalT1w against the manual mask", "change of the thalamus, HC", "change of the thalamus, PMS",
    "SDMT and volume at the first visit", "error of one scan, synthalT1w",
)  # fmt: skip

_DESCRIPTION = {
    "Name": NAME,
    "BIDSVersion": "1.11.1",
    "License": "CC0",
    "Authors": ["thalbids demo"],
}
_README = """\
thalbids demo, a simulated cohort of {people} people, seed {seed}

Nobody was scanned, and no method ran: there are no images here. Volumes, small masks, R1, whole-brain change and
clinical values are drawn from a model whose effects are in truth.tsv, so that the group report of thalbids can be held
against what was put in; truth_volumes.tsv has the true volume of every visit. The names of real methods (freesurfer,
first) say only which columns and colours the tables get: their biases and errors are invented. Masks are those of the
first visit, and have just the volumes of the tables. The second scan of ses-1 (ses-1rescan) tells the error of a scan.
"""
_DICTIONARIES: Mapping[str, Mapping[str, Any]] = {
    "participants": {
        "age": {"Description": "Age at the first session (simulated)", "Units": "year"},
        "sex": {"Description": "Sex (simulated)", "Levels": {"F": "female", "M": "male"}},
        "diagnosis": {
            "Description": "Diagnosis (simulated)",
            "Levels": {
                "HC": "healthy control",
                "RRMS": "relapsing-remitting multiple sclerosis",
                "SPMS": "secondary progressive multiple sclerosis",
            },
        },
        "disease_duration": {"Description": "Time since the first symptom; n/a for controls", "Units": "year"},
        "site": {"Description": "One of two scanners (simulated); it changes nothing"},
    },
    "sessions": {
        "acq_time": {"Description": "Date and time of the visit (simulated)"},
        "rescan_of": {"Description": "The session that this one repeats without any change"},
        "edss": {"Description": "Expanded Disability Status Scale (simulated)"},
        "t25fw_1": {"Description": "Timed 25-Foot Walk, first trial (simulated)", "Units": "s"},
        "t25fw_2": {"Description": "Timed 25-Foot Walk, second trial (simulated)", "Units": "s"},
        "nhpt_1": {"Description": "Nine-Hole Peg Test, first trial (simulated)", "Units": "s"},
        "nhpt_2": {"Description": "Nine-Hole Peg Test, second trial (simulated)", "Units": "s"},
        "sdmt": {"Description": "Symbol Digit Modalities Test, correct answers (simulated)"},
        "steroid": {"Description": "Steroids since the visit before", "Levels": {"yes": "yes", "no": "no"}},
    },
    "truth": {
        "quantity": {"Description": "What was put into the simulated cohort"},
        "truth": {"Description": "Its value"},
        "unit": {"Description": "Unit of the value"},
        "table": {"Description": "Table of the group level that estimates it"},
        "rows": {"Description": "The row of that table: column=value, separated by semicolons"},
    },
    "truth_volumes": {"volume_ml": {"Description": "True volume of both thalami at the visit", "Units": "mL"}},
}
