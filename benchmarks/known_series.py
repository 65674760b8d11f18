"""How well change is measured over several visits of a person: each pair by itself, and pairs made to add up.

Each case is one person of `known_change`, seen four times while both thalami change by known amounts. Visits after the
first are registered with the first, as in a run, each with an error; every pair is measured by itself, then the pairs
are made to add up (:mod:`thalbids.longitudinal.series`). One of the later visits may differ from the others in noise,
voxels or contrast agent. One case takes half a minute of one processor core.

Run: ``python benchmarks/known_series.py --scan T1.mgz aseg.mgz [--scan ...]``. Prints a line for each case, then the
errors of all pairs and what the pairs lacked.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import replace

import numpy as np
from known_change import Change, Field, Person, Scanner, load_person, registered, scan_of, seen_of, true_change

from thalbids.inference import synthal
from thalbids.longitudinal.affine import LabelledVisit, measure
from thalbids.longitudinal.difference import Z95
from thalbids.longitudinal.series import Gap, consistent, gaps
from thalbids.longitudinal.space import mean_space
from thalbids.participant.stages.person.change import ODD, registration_sd

COURSES = (  # percent of the first visit's volume
    (0.0, 0.0, 0.0, 0.0),
    (0.0, -0.6, -1.2, -1.8),
    (0.0, -0.3, -1.5, -2.5),
    (0.0, -1.5, -1.6, -3.5),
    (0.0, 0.0, -2.0, -2.0),
    (0.0, 0.8, 0.0, -1.0),
)
SHAPES = ((1, 1, 1), (0, 3, 0), (1.5, 0, 1.5))  # shares of the change along x, y, z, thrice
FADES = (9.0, 18.0)  # mm


def field_of(person: Person, percent: float, shape: tuple[float, ...], fade: float) -> Field | None:
    """What happens to both thalami between the first visit and one of the later ones."""
    factors = [(1 + percent / 100) ** (share / 3) for share in shape]
    return Field(person, Change((factors[0], factors[1], factors[2]), fade)) if percent else None


def pairs_of(person: Person, fields: list[Field | None], scanners: list[Scanner], seed: int, net: object) -> list[dict]:
    """Each pair of visits: true logarithm, that by registration with its SD and by volumes, share that is odd."""
    middle = person.affine[:3, :3] @ np.argwhere(person.labels > 0).mean(0) + person.affine[:3, 3]
    rng = np.random.default_rng(seed)
    true = [math.log1p(true_change(person, field) / 100) if field else 0.0 for field in fields]
    seen = zip(fields, scanners, itertools.count(10 * seed), strict=False)
    scans = [scan_of(person, field, scanner, own_seed) for field, scanner, own_seed in seen]
    masks = [seen_of(scan, middle, net) for scan in scans]
    poses = [np.eye(4), *(registered(scans[0], scan, middle, rng) for scan in scans[1:])]
    pairs = []
    for one, two in itertools.combinations(range(len(scans)), 2):
        spaces = mean_space({(0, 1): poses[two] @ np.linalg.inv(poses[one])}, 2)
        visits = [LabelledVisit(scans[k].image, masks[k][0], t) for k, t in zip((one, two), spaces, strict=True)]
        change = measure(*visits)
        volumes = math.log(masks[two][1] / masks[one][1])
        ends = (str(one), str(two))
        told = {"alone": change.both, "odd": change.odd, "sd": registration_sd(change.both, change.noise)}
        pairs.append({"ends": ends, "true": true[two] - true[one], "volumes": volumes} | told)
    return pairs


def agree(pairs: list[dict]) -> list[Gap]:
    """Let the pairs that can be compared add up; gives what each three of visits lacked before."""
    usable = {pair["ends"]: pair["alone"] for pair in pairs if pair["odd"] <= ODD}
    agreed = consistent(usable)
    for pair in pairs:
        pair["agreed"] = agreed.get(pair["ends"], pair["alone"])
    return gaps(usable, {pair["ends"]: pair["sd"] for pair in pairs})


def rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values else math.nan


def lacked_by(lacks: list[Gap]) -> float:
    """Root mean square in percent."""
    return 100 * rms([gap.lack for gap in lacks])


def table(pairs: list[dict], lacks: list[Gap]) -> None:
    print("| measure | pairs | mean error (%) | SD | root mean square |")
    print("|---|---:|---:|---:|---:|")
    for name, key in (("volumes", "volumes"), ("registration, each pair", "alone"), ("made to add up", "agreed")):
        error = [100 * (pair[key] - pair["true"]) for pair in pairs]
        print(f"| {name} | {len(error)} | {np.mean(error):.2f} | {np.std(error):.3f} | {rms(error):.3f} |")
    moved = [100 * (pair["agreed"] - pair["alone"]) for pair in pairs]
    held = np.mean([abs(pair["alone"] - pair["true"]) < Z95 * pair["sd"] for pair in pairs])
    widest = max((abs(gap.lack) / gap.sd for gap in lacks), default=math.nan)
    print(f"Intervals of {100 * held:.0f} % of the pairs, each alone, hold the true change.")
    print(
        f"{len(lacks)} threes of visits lacked {lacked_by(lacks):.3f} %, at most {widest:.2f} of what a run remarks on."
    )
    print(f"Pairs moved by {rms(moved):.3f} %, at most {max(map(abs, moved)):.3f} %.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", nargs=2, action="append", required=True, metavar=("T1W", "LABELS"))
    parser.add_argument("--courses", type=int, default=len(COURSES), help="the first so many")
    parser.add_argument("--first-seed", type=int, default=1, help="of the first case, the next one for each further")
    parser.add_argument("--noise", type=float, default=Scanner.noise)
    parser.add_argument("--odd-noise", type=float, help="of one of the later visits")
    parser.add_argument("--odd-zooms", type=float, nargs=3, default=Scanner.zooms)
    parser.add_argument("--odd-agent", type=float, nargs="+", default=[0.0], help="by course, as .15 .3 .8")
    told = parser.parse_args()
    usual = Scanner(noise=told.noise)
    odd = replace(usual, noise=told.odd_noise or told.noise, zooms=tuple(told.odd_zooms))
    net = synthal.networks()[1]
    seeds = itertools.count(told.first_seed)
    pairs, lacks = [], []
    for scan, labels in told.scan:
        person = load_person(scan, scan, labels)
        for number, course in enumerate(COURSES[: told.courses]):
            fields = [field_of(person, percent, SHAPES[number % 3], FADES[number % 2]) for percent in course]
            scanners = [usual] * len(course)
            scanners[1 + number % 3] = replace(odd, agent=told.odd_agent[number % len(told.odd_agent)])
            case = pairs_of(person, fields, scanners, next(seeds), net)
            lacked = agree(case)
            lacks += lacked
            pairs += case
            words = ", ".join(f"{'-'.join(p['ends'])} {100 * p['true']:.2f} {100 * p['agreed']:.2f}" for p in case)
            print(f"{scan} {course}: lacked {lacked_by(lacked):.3f} %; true and measured {words}", flush=True)
    table(pairs, lacks)


if __name__ == "__main__":
    main()
