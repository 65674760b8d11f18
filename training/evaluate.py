"""Measure SynThal on real scans: agreement, contrasts, rescans, known change, poses, fields of view, moves of the box.

Run: ``python -m training.evaluate DATA_DIR [--weights DIR] [--json FILE]`` (DATA_DIR as in ``training.real``).

No figure here is used for training; which of several trained networks is shipped may be decided by them, and the model
card says so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from thalbids.inference import synthal
from thalbids.inference.head import Head, see_head
from thalbids.inference.network import Network
from training.borders import offsets
from training.generate import rotation, smooth_noise
from training.known_change import FollowingField, changed, slope, true_change
from training.real import RealScan, scans

Net = Callable[[np.ndarray], np.ndarray]


def measure(scan: nib.Nifti1Image, centre: np.ndarray, roi: Net) -> tuple[np.ndarray, float, dict]:
    """Label mask, soft volume (mm3) and diagnostics."""
    thalami = synthal.see_thalami(scan, centre, roi)
    soft = float(thalami.sides.sum() * abs(np.linalg.det(scan.affine[:3, :3])))
    return thalami.labels(), soft, thalami.diagnostics


def moved(scan: nib.Nifti1Image, position: np.ndarray, order: int = 3) -> nib.Nifti1Image:
    """The scan sampled at `position` (3, x, y, z), in voxels."""
    values = ndimage.map_coordinates(np.asarray(scan.dataobj, np.float32), position, order=order, mode="constant")
    return nib.Nifti1Image(values.astype(np.float32), scan.affine)


def around(scan: RealScan, centre: np.ndarray, half: float = 62.0) -> RealScan:
    """The part of a scan within `half` mm of a world position along its axes: what the box can see, quicker to warp."""
    voxel = np.linalg.inv(scan.image.affine) @ np.r_[centre, 1.0]
    reach = half / np.linalg.norm(scan.image.affine[:3, :3], axis=0)
    low = np.clip(np.floor(voxel[:3] - reach).astype(int), 0, None)
    high = np.minimum(np.ceil(voxel[:3] + reach).astype(int) + 1, scan.image.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine = scan.image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    image = nib.Nifti1Image(np.asarray(scan.image.dataobj)[box], affine)
    return RealScan(scan.name, image, None if scan.labels is None else scan.labels[box])


def voxel_grid(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))


def rescan(scan: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
    """The same head scanned again: pose within 4 degrees and 3 mm, another bias field, more noise."""
    shape = scan.shape
    turn = rotation(np.deg2rad(rng.uniform(-4, 4, 3)))
    middle = (np.array(shape) - 1) / 2
    zoom = np.linalg.norm(scan.affine[:3, :3], axis=0)
    shift = middle + rng.uniform(-3, 3, 3) / zoom - turn @ middle
    position = np.einsum("ij,jxyz->ixyz", turn, voxel_grid(shape)) + shift.reshape(3, 1, 1, 1)
    again = moved(scan, position)
    data = np.clip(again.get_fdata(dtype=np.float32), 0, None)
    data *= np.exp(0.15 * smooth_noise(rng, shape, 60))
    level = np.percentile(data[data > 0], 95)
    data += (data > 0) * rng.normal(0, 0.015 * level, shape)
    return nib.Nifti1Image(data.astype(np.float32), scan.affine)


CHANGES = {  # of volume, in which directions, fading over how many mm
    "whole, 6 mm": ("whole", 6.0),
    "whole, 12 mm": ("whole", 12.0),
    "whole, 20 mm": ("whole", 20.0),
    "whole, 35 mm": ("whole", 35.0),
    "left-right, 12 mm": ("x", 12.0),
    "front-back, 12 mm": ("y", 12.0),
    "top-bottom, 12 mm": ("z", 12.0),
}
SIZES = (0.90, 0.95, 1.05)


def factors(direction: str, size: float) -> tuple[float, float, float]:
    """Lengths along x, y, z that give a volume of `size`."""
    if direction == "whole":
        return (size ** (1 / 3),) * 3
    x, y, z = (size if axis == direction else 1.0 for axis in "xyz")
    return x, y, z


def hard_volume(image: nib.Nifti1Image, centre: np.ndarray, roi: Net) -> int:
    return int((measure(image, centre, roi)[0] > 0).sum())


def known_change(scan: RealScan, centre: np.ndarray, roi: Net, names: list[str]) -> dict[str, dict]:
    """Slope of measured on true change, fields following the thalami (of aseg, else as the method sees them)."""
    labels = scan.labels if scan.labels is not None else measure(scan.image, centre, roi)[0]
    first = hard_volume(scan.image, centre, roi)
    rows = {}
    for name in names:
        direction, fade = CHANGES[name]
        pairs = []
        for size in SIZES:
            field = FollowingField(labels, scan.image.affine, factors(direction, size), fade)
            again = hard_volume(changed(scan.image, field), centre, roi)
            pairs.append((true_change(labels, field), 100 * (again / first - 1)))
        rows[name] = {"pairs": pairs, "slope": slope(pairs)}
    return rows


def poses(scan: RealScan, centre: np.ndarray, roi: Net, times: int = 6) -> list[float]:
    """Change in percent of the hard volume when only the header turns the head, by up to 8 degrees about each axis."""
    rng = np.random.default_rng(5)
    first = hard_volume(scan.image, centre, roi)
    changes = []
    for _ in range(times):
        turn = np.eye(4)
        turn[:3, :3] = rotation(np.deg2rad(rng.uniform(-8, 8, 3)))
        turn[:3, 3] = centre - turn[:3, :3] @ centre
        image = nib.Nifti1Image(scan.image.dataobj, turn @ scan.image.affine)
        changes.append(100 * (hard_volume(image, centre, roi) / first - 1))
    return changes


# degrees about right-left, front-back, top-bottom
TILTS = (
    *((20, 0, 0), (25, 0, 0), (44, 0, 0), (-50, 0, 0)),
    *((0, 20, 0), (0, 25, 0), (0, -30, 0)),
    *((0, 0, -25), (0, 0, 44)),
)


def fields_of_view(image: nib.Nifti1Image) -> dict[str, nib.Nifti1Image]:
    """One whole head in other fields of view and poses."""
    image = nib.as_closest_canonical(image)
    data, affine = np.asarray(image.dataobj, np.float32), image.affine
    out = {"256 cube": nib.Nifti1Image(data, affine)}
    for width in (192, 176):
        k = (data.shape[0] - width) // 2
        shifted = affine.copy()
        shifted[:3, 3] += affine[:3, 0] * k
        out[f"{width} slices"] = nib.Nifti1Image(data[k : k + width], shifted)
    for pad in (32, 64):
        shifted = affine.copy()
        shifted[:3, 3] -= affine[:3, :3] @ np.full(3, pad)
        out[f"{pad} zeros around"] = nib.Nifti1Image(np.pad(data, pad), shifted)
    middle = (np.array(data.shape) - 1) / 2
    for tilt in TILTS:
        turn = rotation(np.deg2rad(tilt))
        tilted = ndimage.affine_transform(data, turn, middle - turn @ middle, order=1)
        out[f"tilted {', '.join(map(str, tilt))}"] = nib.Nifti1Image(tilted, affine)
    large = np.zeros((400, 400, 450), np.float32)
    large[72:328, 72:328, 97:353] = data
    shifted = affine.copy()
    shifted[:3, 3] -= affine[:3, :3] @ [72, 72, 97]
    out["400 x 400 x 450"] = nib.Nifti1Image(large, shifted)
    return out


def visible_border(image: nib.Nifti1Image, labels: np.ndarray) -> float:
    """How far (mm, positive: outside) half of the step from thalamus to white matter lies beyond the lateral border.

    Mean profile from left to right over the middle of the thalamus (40 - 70 % from back to front, 30 - 70 % upwards);
    NaN where it has no such step.
    """
    data, mask = (
        nib.as_closest_canonical(nib.Nifti1Image(np.asarray(a, np.float32), image.affine))
        for a in (image.dataobj, np.where(labels == 10, 1, np.where(labels == 49, 2, 0)))
    )
    values, sides = np.asarray(data.dataobj), np.asarray(mask.dataobj)
    away, width = np.arange(-5.0, 8.1), np.linalg.norm(data.affine[:3, 0])
    profiles = []
    for side, sign in ((1, -1), (2, 1)):
        y, z = (np.argwhere(sides == side)[:, axis] for axis in (1, 2))
        (back, front), (low, high) = np.quantile(y, [0.4, 0.7]), np.quantile(z, [0.3, 0.7])
        for j in range(int(back), int(front) + 1):
            for k in range(int(low), int(high) + 1):
                x = np.flatnonzero(sides[:, j, k] == side)
                if x.size:
                    border = x.max() + 0.5 if sign > 0 else x.min() - 0.5
                    line = border + sign * away / width
                    profiles.append(ndimage.map_coordinates(values[:, j, k], [line], order=1))
    profile = np.mean(profiles, 0)
    inside = np.median(values[ndimage.binary_erosion(sides > 0, iterations=3)])
    outer = profile[away >= 2]
    white = outer.max() if profile[-6:].mean() > inside else outer.min()
    step = (profile - inside) / (white - inside)
    crossing = np.flatnonzero((step[:-1] < 0.5) & (step[1:] >= 0.5))
    if not crossing.size:
        return float("nan")
    first = crossing[0]
    return float(away[first] + (0.5 - step[first]) / (step[first + 1] - step[first]))


def agreement(found: dict[str, RealScan], heads: dict[str, Head], roi: Net) -> list[dict]:
    rows = []
    for name, scan in found.items():
        head = heads[name]
        row: dict = {"scan": name, "icv_ml": head.icv_mm3 / 1000}
        if head.centre is not None:
            labels, soft, diagnostics = measure(scan.image, head.centre, roi)
            volume = (labels > 0).sum() * abs(np.linalg.det(scan.image.affine[:3, :3]))
            row |= {"ml": volume / 1000, "soft_ml": soft / 1000} | diagnostics
            row["visible_border_mm"] = visible_border(scan.image, labels)
            row |= {"left_ml": volume / 1000 * (labels == 10).sum() / max(1, (labels > 0).sum())}
            if scan.labels is not None:
                truth = np.isin(scan.labels, (10, 49))
                row["dice"] = synthal.dice(labels > 0, truth)
                row["volume_error_percent"] = 100 * ((labels > 0).sum() / truth.sum() - 1)
                row |= offsets(labels, scan.labels, scan.image.affine)
                row["sides"] = bool(((labels == 10) & (scan.labels == 49)).sum() == 0)
        if scan.brain is not None:
            row["brain_dice"] = synthal.dice(head.brain > 0, scan.brain)
            row["brain_ml"], row["brainmask_ml"] = float(head.brain.sum() / 1000), float(scan.brain.sum() / 1000)
        rows.append(row)
    return rows


def contrasts(found: dict[str, RealScan], heads: dict[str, Head], roi: Net) -> dict[str, dict]:
    """patient07: every contrast against T1 on the same grid."""
    names = {c: f"patient07 {c}" for c in ("T1", "T2", "FLAIR", "T1POST")}
    centre = heads[names["T1"]].centre
    assert centre is not None
    masks = {c: measure(found[n].image, centre, roi)[0] > 0 for c, n in names.items()}
    t1 = masks["T1"]
    return {
        c: {"dice_with_T1": synthal.dice(m, t1), "volume_over_T1_percent": 100 * (m.sum() / t1.sum() - 1)}
        for c, m in masks.items()
        if c != "T1"
    }


def retest(scan: RealScan, centre: np.ndarray, roi: Net, times: int, seed: int) -> list[float]:
    """Change in percent of the hard volume over rescans."""
    rng = np.random.default_rng(seed)
    first = hard_volume(scan.image, centre, roi)
    return [100 * (hard_volume(rescan(scan.image, rng), centre, roi) / first - 1) for _ in range(times)]


def box_moves(scan: RealScan, centre: np.ndarray, roi: Net) -> list[float]:
    """Change in percent of the hard volume when the search starts 6 mm away along each axis."""
    first = hard_volume(scan.image, centre, roi)
    steps = [6 * s * e for e in np.eye(3) for s in (-1, 1)]
    return [100 * (hard_volume(scan.image, centre + d, roi) / first - 1) for d in steps]


def whole_head(image: nib.Nifti1Image, head: Net, roi: Net) -> Head:
    """What the whole-head network sees, upright by the thalami."""
    return see_head(image, head, lambda centre: synthal.box_at(image, centre, roi).axes_at_rest)


def evaluate(root: Path, weights: Path, *, quick: bool) -> dict:
    head_net, roi = Network(weights / "head.xml", threads=1), Network(weights / "roi.xml", threads=1)
    found = {s.name: s for s in scans(root)}
    heads = {n: whole_head(s.image, head_net, roi) for n, s in found.items()}
    report: dict = {"agreement": agreement(found, heads, roi), "patient07": contrasts(found, heads, roi)}
    if quick:
        return report
    labelled = [n for n in found if found[n].labels is not None]
    centres = {n: heads[n].centre for n in found}
    found = {n: around(s, centres[n]) for n, s in found.items() if centres[n] is not None}
    report["retest_percent"] = {
        n: retest(found[n], heads[n].centre, roi, 5, i)
        for i, n in enumerate([*labelled, "patient07 T1", "patient07 FLAIR"])
    }
    change = {n: list(CHANGES) for n in labelled} | {"patient07 FLAIR": ["whole, 6 mm", "whole, 12 mm"]}
    report["known_change"] = {n: known_change(found[n], heads[n].centre, roi, names) for n, names in change.items()}
    report["poses_percent"] = {n: poses(found[n], heads[n].centre, roi) for n in labelled}
    whole = [s for s in scans(root) if s.name.startswith("freesurfer6")]
    report["fields_of_view"] = {
        s.name: {n: whole_head(i, head_net, roi).icv_mm3 / 1000 for n, i in fields_of_view(s.image).items()}
        for s in whole
    }
    report["box_moves_percent"] = {n: box_moves(found[n], heads[n].centre, roi) for n in [*labelled, "patient07 T1"]}
    return report


def table(report: dict) -> str:
    """The report for reading."""
    lines = []
    for row in report["agreement"]:
        lines.append("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in row.items()))
    for c, row in report["patient07"].items():
        lines.append(f"patient07 {c}: " + "  ".join(f"{k} {v:.3f}" for k, v in row.items()))
    for n, values in report.get("retest_percent", {}).items():
        lines.append(f"retest {n}: mean |change| {np.abs(values).mean():.2f} %  {np.round(values, 2).tolist()}")
    for n, rows in report.get("known_change", {}).items():
        lines.append(f"slopes {n}: " + "  ".join(f"{what} {row['slope']:.3f}" for what, row in rows.items()))
    for n, values in report.get("poses_percent", {}).items():
        lines.append(f"pose alone {n}: SD {np.std(values, ddof=1):.2f} %")
    for n, icv in report.get("fields_of_view", {}).items():
        spread = 100 * (max(icv.values()) / min(icv.values()) - 1)
        lines.append(f"ICV {n}: spread {spread:.2f} %  " + "  ".join(f"{what} {ml:.0f}" for what, ml in icv.items()))
    for n, values in report.get("box_moves_percent", {}).items():
        lines.append(f"box moved 6 mm {n}: largest {np.abs(values).max():.2f} %")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=synthal.WEIGHTS)
    parser.add_argument("--quick", action="store_true", help="agreement and contrasts only")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = evaluate(args.data, args.weights, quick=args.quick)
    print(table(report))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
