"""How far a volume and a mask of SynThal may be off: the data behind ``thalbids.inference.uncertainty``.

Every real scan is measured as it is, scanned again, turned by its header, with noise, blurred, and with thick slices. What
all of one head should read is the mean of its T1w rescans.

Run: ``python -m training.uncertainty DATA_DIR OUT.json [--weights DIR]``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

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
    for share in (0.05, 0.1):
        yield f"noise {share}", noisy(scan.image, share, rng), scan.labels
    data = np.asarray(scan.image.dataobj, np.float32)
    blurred = ndimage.gaussian_filter(data, 0.8)
    yield "blur", nib.Nifti1Image(blurred, scan.image.affine), scan.labels
    for axis in range(3):
        yield f"thick {axis} 3", thick(scan.image, axis, 3), None
    yield "thick 2 5", thick(scan.image, int(np.abs(scan.image.affine[2, :3]).argmax()), 5), None


def rows_of(scan: RealScan, centre: np.ndarray, roi: Net, seed: int) -> Iterator[dict]:
    for what, image, labels in variants(scan, centre, seed):
        thalami = synthal.see_thalami(image, centre, roi)
        mask, p = thalami.labels() > 0, np.minimum(thalami.left + thalami.right, 1)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=synthal.WEIGHTS)
    args = parser.parse_args()
    head, roi = Network(args.weights / "head.xml", threads=1), Network(args.weights / "roi.xml", threads=1)
    rows: list[dict] = []
    for seed, scan in enumerate(s for s in scans(args.data) if not s.name.startswith("patient12")):
        centre = see_head(scan.image, head).centre
        if centre is None:
            raise ValueError(f"{scan.name}: no head")
        rows += rows_of(around(scan, centre), centre, roi, seed)
        args.out.write_text(json.dumps(rows, indent=0) + "\n")
        print(scan.name, flush=True)


if __name__ == "__main__":
    main()
