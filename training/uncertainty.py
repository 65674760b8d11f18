"""How far a volume and a mask of SynThal may be off: fits, tests the constants of ``thalbids.inference.uncertainty``.

Every real scan is measured as it is, scanned again, turned by its header, with noise, blurred, and with thick slices.
What all of one head should read is the mean of its T1w at 1 mm, as it is and scanned again. The constants are those of
the largest likelihood of the relative errors; how often the intervals hold is that over heads that a fit did not see,
and their width (Z) is that with which nine in ten of these hold.

Run: ``python -m training.uncertainty DATA_DIR ROWS.json [--weights DIR] [--fit-only]``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage, optimize

from thalbids.inference import synthal
from thalbids.inference.head import see_head
from thalbids.inference.network import Network
from training.evaluate import Net, around, rescan
from training.generate import rotation
from training.real import RealScan, scans

RESCANS = 3


def turned(image: nib.Nifti1Image, centre: np.ndarray, rng: np.random.Generator) -> nib.Nifti1Image:
    """The header turned by up to 8 degrees about each axis."""
    turn = np.eye(4)
    turn[:3, :3] = rotation(np.deg2rad(rng.uniform(-8, 8, 3)))
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    return nib.Nifti1Image(image.dataobj, turn @ image.affine)


def noisy(image: nib.Nifti1Image, share: float, rng: np.random.Generator) -> nib.Nifti1Image:
    """Rician noise whose SD is `share` of the 95th percentile."""
    data = np.asarray(image.dataobj, np.float32)
    sd = share * np.percentile(data[data > 0], 95)
    data = np.hypot(data + rng.normal(0, sd, data.shape), rng.normal(0, sd, data.shape)) * (data > 0)
    return nib.Nifti1Image(data.astype(np.float32), image.affine)


def thick(image: nib.Nifti1Image, axis: int, voxels: int) -> nib.Nifti1Image:
    """Slices of several voxels along an axis of the array."""
    data = np.moveaxis(np.asarray(image.dataobj, np.float32), axis, 0)
    n = len(data) // voxels
    data = np.moveaxis(data[: n * voxels].reshape(n, voxels, *data.shape[1:]).mean(1), 0, axis)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (voxels - 1) / 2
    affine[:3, axis] *= voxels
    return nib.Nifti1Image(data, affine)


def variants(scan: RealScan, centre: np.ndarray, seed: int) -> Iterator[tuple[str, nib.Nifti1Image, np.ndarray | None]]:
    """(what was done, image, labels on its grid where they are still right)."""
    rng = np.random.default_rng(seed)
    yield "as it is", scan.image, scan.labels
    for _ in range(RESCANS):
        yield "rescan", rescan(scan.image, rng), None
    for _ in range(2):
        yield "pose", turned(scan.image, centre, rng), scan.labels
    for share in (0.027, 0.05, 0.1):
        for _ in range(2):
            yield f"noise {share}", noisy(scan.image, share, rng), scan.labels
    data = np.asarray(scan.image.dataobj, np.float32)
    for sigma in (0.5, 0.8):
        blurred = ndimage.gaussian_filter(data, sigma)
        yield f"blur {sigma}", nib.Nifti1Image(blurred, scan.image.affine), scan.labels
    for axis in range(3):
        yield f"slices 3 mm, axis {axis}", thick(scan.image, axis, 3), None
    yield "slices 5 mm", thick(scan.image, int(np.abs(scan.image.affine[2, :3]).argmax()), 5), None


def rows_of(scan: RealScan, centre: np.ndarray, roi: Net, seed: int) -> Iterator[dict]:
    for what, image, labels in variants(scan, centre, seed):
        thalami = synthal.see_thalami(image, centre, roi)
        mask, p = thalami.labels() > 0, thalami.probability()
        voxel = float(abs(np.linalg.det(image.affine[:3, :3])))
        yield {
            "scan": scan.name,
            "what": what,
            "hard": float(mask.sum()) * voxel,
            "soft": float(p.sum()) * voxel,
            "slice": float(np.linalg.norm(image.affine[:3, :3], axis=0).max()),
            "plug_in": float(2 * p[mask].sum() / (mask.sum() + p.sum())),
            "dice": None if labels is None else synthal.dice(mask, np.isin(labels, (10, 49))),
            **{k: float(v) for k, v in thalami.diagnostics.items()},
        }


def head_of(row: dict) -> str:
    return "patient07" if row["scan"].startswith("patient07") else str(row["scan"])


def errors_of(rows: list[dict]) -> np.ndarray:
    """Log of volume over what the head should read (n)."""
    still = [r for r in rows if r["what"] in ("as it is", "rescan") and other_contrast(r) == 0]
    should = {head: np.mean([r["hard"] for r in still if head_of(r) == head]) for head in {head_of(r) for r in rows}}
    return np.array([np.log(r["hard"] / should[head_of(r)]) for r in rows])


def other_contrast(row: dict) -> float:
    return float(row["scan"].endswith((" T2", " FLAIR")))


def parts(rows: list[dict]) -> np.ndarray:
    """What multiplies the parts of the SD (n, 5): 1, square of mm beyond 1 mm, other contrast, spread, noise."""
    return np.array([[1, max(0.0, r["slice"] - 1) ** 2, other_contrast(r), r["spread"], r["noise"]] for r in rows])


def fit(rows: list[dict], errors: np.ndarray) -> np.ndarray:
    """The five constants."""
    x = parts(rows) ** 2

    def minus_likelihood(log_constants: np.ndarray) -> float:
        variance = x @ np.exp(2 * log_constants)
        return float(0.5 * (np.log(variance) + errors**2 / variance).sum())

    start = np.log([0.005, 0.004, 0.05, 0.3, 0.1])
    options = {"maxiter": 20000, "maxfev": 20000}
    constants: np.ndarray = np.exp(optimize.minimize(minus_likelihood, start, method="Nelder-Mead", options=options).x)
    return constants


def report(rows: list[dict]) -> str:
    errors = errors_of(rows)
    heads = np.array([head_of(r) for r in rows])
    ratio = np.zeros(len(rows))  # |error| over the SD by constants that the head was not fitted on
    for head in np.unique(heads):
        seen, unseen = heads != head, heads == head
        constants = fit([r for r, s in zip(rows, seen, strict=True) if s], errors[seen])
        if head == "patient07":  # the only head with other contrasts
            constants[2] = fit(rows, errors)[2]
        sd = np.sqrt(parts([r for r, u in zip(rows, unseen, strict=True) if u]) ** 2 @ constants**2)
        ratio[unseen] = np.abs(errors[unseen]) / sd
    z = float(np.quantile(ratio, 0.9))
    held = ratio <= z
    constants = fit(rows, errors)
    lines = [f"constants {np.round(constants, 4).tolist()}, z {z:.2f} by heads that a fit did not see"]
    kinds = [("other contrast: " if other_contrast(r) else "") + r["what"].split(",")[0] for r in rows]
    for kind in sorted(set(kinds)):
        these = np.array([k == kind for k in kinds])
        lines.append(
            f"{kind}: n {these.sum()}, mean error {100 * errors[these].mean():+.1f} %, "
            f"largest {100 * np.abs(errors[these]).max():.1f} %, covered {100 * held[these].mean():.0f} %"
        )
    soft = [np.log(r["soft"] / r["hard"]) for r in rows if r["what"] in ("as it is", "rescan")]
    lines.append(f"soft over hard at 1 mm {100 * np.mean(soft):+.2f} %")
    for kind in ("slices 3 mm", "slices 5 mm"):
        these = [(e, np.log(r["soft"] / r["hard"])) for e, r in zip(errors, rows, strict=True) if kind in r["what"]]
        hard, more = np.array(these).T
        lines.append(
            f"{kind}: hard {100 * hard.mean():+.1f} %, soft {100 * (hard + more - np.mean(soft)).mean():+.1f} %"
        )
    gap = [r["plug_in"] - r["dice"] for r in rows if r["dice"] is not None]
    lines.append(f"plug-in Dice minus Dice: n {len(gap)}, mean {np.mean(gap):.3f}, SD {np.std(gap, ddof=1):.3f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=synthal.WEIGHTS)
    parser.add_argument("--fit-only", action="store_true", help="of the rows that are there")
    args = parser.parse_args()
    if args.fit_only:
        print(report(json.loads(args.out.read_text())))
        return
    head, roi = Network(args.weights / "head.xml", threads=1), Network(args.weights / "roi.xml", threads=1)
    rows: list[dict] = []
    for seed, scan in enumerate(s for s in scans(args.data) if not s.name.startswith("patient12")):
        centre = see_head(scan.image, head).centre
        if centre is None:
            raise ValueError(f"{scan.name}: no head")
        rows += rows_of(around(scan, centre), centre, roi, seed)
        args.out.write_text(json.dumps(rows, indent=0) + "\n")
        print(scan.name, flush=True)
    print(report(rows))


if __name__ == "__main__":
    main()
