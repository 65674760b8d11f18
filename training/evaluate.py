"""Measure SynThal on real scans: agreement, contrasts, rescans, true shrinkage, moves of the box.

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
from thalbids.inference.network import Network
from training.generate import rotation, smooth_noise
from training.real import RealScan, scans

Net = Callable[[np.ndarray], np.ndarray]


def measure(scan: nib.Nifti1Image, centre: np.ndarray, roi: Net) -> tuple[np.ndarray, float, dict]:
    """Label mask, soft volume (mm3) and diagnostics."""
    thalami = synthal.see_thalami(scan, centre, roi)
    soft = float((thalami.left + thalami.right).sum() * abs(np.linalg.det(scan.affine[:3, :3])))
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


def shrunk(
    scan: RealScan, size: float, rng: np.random.Generator, points: int = 2_000_000
) -> tuple[nib.Nifti1Image, float]:
    """The scan with both thalami shrunk by a smooth field, and the true ratio of volumes.

    The ratio comes from Monte Carlo on the reference labels.
    """
    assert scan.labels is not None
    centres = [np.array(ndimage.center_of_mass(scan.labels == n)) for n in (10, 49)]
    zoom = np.linalg.norm(scan.image.affine[:3, :3], axis=0)

    def deform(position: np.ndarray) -> np.ndarray:
        moved_to = position.copy()
        for centre in centres:
            away = position - centre.reshape(3, *[1] * (position.ndim - 1))
            mm = away * zoom.reshape(3, *[1] * (position.ndim - 1))
            moved_to += away * np.exp(-np.square(np.square(mm).sum(0) / 22.0**2)) * (1 / size - 1)
        return moved_to

    box = np.argwhere(np.isin(scan.labels, (10, 49)))
    low, high = box.min(0) - 12, box.max(0) + 13
    where = rng.uniform(low, high, (points, 3)).T
    mask = np.isin(scan.labels, (10, 49))

    def share(position: np.ndarray) -> float:
        return float(mask[tuple(np.round(position).astype(int))].mean())

    return moved(scan.image, deform(voxel_grid(scan.image.shape).astype(np.float64))), share(deform(where)) / share(
        where
    )


def agreement(found: dict[str, RealScan], heads: dict[str, synthal.Head], roi: Net) -> list[dict]:
    rows = []
    for name, scan in found.items():
        head = heads[name]
        row: dict = {"scan": name, "icv_ml": head.icv_mm3 / 1000}
        if head.centre is not None:
            labels, soft, diagnostics = measure(scan.image, head.centre, roi)
            volume = (labels > 0).sum() * abs(np.linalg.det(scan.image.affine[:3, :3]))
            row |= {"ml": volume / 1000, "soft_ml": soft / 1000} | diagnostics
            row |= {"left_ml": volume / 1000 * (labels == 10).sum() / max(1, (labels > 0).sum())}
            if scan.labels is not None:
                truth = np.isin(scan.labels, (10, 49))
                row["dice"] = synthal.dice(labels > 0, truth)
                row["volume_error_percent"] = 100 * ((labels > 0).sum() / truth.sum() - 1)
                row["sides"] = bool(((labels == 10) & (scan.labels == 49)).sum() == 0)
        if scan.brain is not None:
            row["brain_dice"] = synthal.dice(head.brain > 0, scan.brain)
            row["brain_ml"], row["brainmask_ml"] = float(head.brain.sum() / 1000), float(scan.brain.sum() / 1000)
        rows.append(row)
    return rows


def contrasts(found: dict[str, RealScan], heads: dict[str, synthal.Head], roi: Net) -> dict[str, dict]:
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
    first = (measure(scan.image, centre, roi)[0] > 0).sum()
    return [100 * ((measure(rescan(scan.image, rng), centre, roi)[0] > 0).sum() / first - 1) for _ in range(times)]


def shrinkage(scan: RealScan, centre: np.ndarray, roi: Net, sizes: list[float]) -> list[tuple[float, float]]:
    """Pairs of true and measured change in percent."""
    rng = np.random.default_rng(7)
    first = (measure(scan.image, centre, roi)[0] > 0).sum()
    pairs = []
    for size in sizes:
        image, truth = shrunk(scan, size, rng)
        pairs.append((100 * (truth - 1), 100 * ((measure(image, centre, roi)[0] > 0).sum() / first - 1)))
    return pairs


def box_moves(scan: RealScan, centre: np.ndarray, roi: Net) -> list[float]:
    """Change in percent of the hard volume when the search starts 6 mm away along each axis."""
    first = (measure(scan.image, centre, roi)[0] > 0).sum()
    steps = [6 * s * e for e in np.eye(3) for s in (-1, 1)]
    return [100 * ((measure(scan.image, centre + d, roi)[0] > 0).sum() / first - 1) for d in steps]


def evaluate(root: Path, weights: Path, *, quick: bool) -> dict:
    head_net, roi = Network(weights / "head.xml", threads=1), Network(weights / "roi.xml", threads=1)
    found = {s.name: s for s in scans(root)}
    heads = {n: synthal.see_head(s.image, head_net) for n, s in found.items()}
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
    pairs = {n: shrinkage(found[n], heads[n].centre, roi, [0.90, 0.93, 0.96, 0.98, 1.02]) for n in labelled}
    report["shrinkage"] = {n: {"pairs": p, "slope": float(np.polyfit(*np.array(p).T, 1)[0])} for n, p in pairs.items()}
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
    for n, row in report.get("shrinkage", {}).items():
        lines.append(f"shrinkage {n}: slope {row['slope']:.3f}  {np.round(row['pairs'], 1).tolist()}")
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
