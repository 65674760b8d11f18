"""Turn the label maps of whole heads into what the generators read: compact codes at 0.5 mm (ROI) and 1 mm (head).

Every map becomes RAS. A code says which tissue a voxel shows and which class it is trained as; the tables below are the
only place where the two meet. Half-millimetre codes come from linear interpolation of each label's indicator, so that
boundaries are smooth below the voxel; nothing is blurred beforehand, because blurring rounds the corner of the
pulvinar.

Run: ``python -m training.maps LABEL_DIR RUN_DIR``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

FADE_LEVELS = 6  # steps of "how much white matter is near" inside the thalamus

# name: (FreeSurfer labels, class of the ROI network, class of the head network). The place in this dict
# is the tissue's code.
TISSUES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "air": ((0,), 0, 0),
    "white": ((2, 41, 85), 9, 2),
    "capsule": ((), 9, 2),  # white matter between thalamus and lentiform nucleus, found by distance
    "cortex": ((3, 42), 11, 2),
    "fissure": ((136, 137, 163, 164), 10, 1),  # dark on T1: cerebrospinal fluid and vessels beside the hippocampus
    "ventricle": ((4, 43, 5, 44), 3, 3),
    "ventricle3": ((14, 72), 4, 3),
    "ventricle4": ((15,), 10, 3),
    "caudate": ((11, 50), 5, 2),
    "accumbens": ((26, 58), 5, 2),
    "putamen": ((12, 51), 6, 2),
    "pallidum": ((13, 52), 7, 2),
    "ventraldc": ((28, 60), 8, 2),
    "hippocampus": ((17, 53), 12, 2),
    "amygdala": ((18, 54), 12, 2),
    "brainstem": ((16,), 13, 2),
    "cerebellum_white": ((7, 46), 13, 2),
    "cerebellum_cortex": ((8, 47), 13, 2),
    "lesion": ((25, 57), 9, 2),
    "vessel": ((30, 62), 9, 2),
    "csf": ((24,), 10, 1),
    **{f"outside{n}": ((n,), 0, 0) for n in (502, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530)},
    **{f"thalamus_left{k}": ((), 1, 4) for k in range(FADE_LEVELS)},
    **{f"thalamus_right{k}": ((), 2, 5) for k in range(FADE_LEVELS)},
}
NAMES = list(TISSUES)
CODE = {name: i for i, name in enumerate(NAMES)}
ROI_CLASS = np.array([t[1] for t in TISSUES.values()], np.uint8)
HEAD_CLASS = np.array([t[2] for t in TISSUES.values()], np.uint8)
ROI_CLASSES = 14
HEAD_CLASSES = 6  # outside, cerebrospinal fluid, brain, ventricles, left and right thalamus
MIRROR = np.array(
    [CODE[n.replace("left", "#").replace("right", "left").replace("#", "right")] for n in NAMES], np.uint8
)
BRAIN = HEAD_CLASS >= 2
BOX = 64  # half width in mm of the cube around the thalami that is kept for the ROI network


def load_ras(path: Path) -> np.ndarray:
    """The label map as integers, first axis to the right, second to the front, third upwards (1 mm)."""
    image = nib.as_closest_canonical(nib.load(path))
    if not np.allclose(image.header.get_zooms()[:3], 1.0):
        raise ValueError(f"{path}: expected 1 mm voxels, found {image.header.get_zooms()[:3]}")
    return np.asarray(image.dataobj).round().astype(np.int16)


def encode(labels: np.ndarray) -> np.ndarray:
    """Labels of a whole head to tissue codes, thalamus in fade levels, internal capsule set apart."""
    codes = np.full(labels.shape, 255, np.uint8)
    for name, (numbers, _, _) in TISSUES.items():
        if numbers:
            codes[np.isin(labels, numbers)] = CODE[name]
    unknown = np.unique(labels[(codes == 255) & ~np.isin(labels, (10, 49))])
    if unknown.size:
        raise ValueError(f"labels without a tissue: {unknown.tolist()}")
    thalamus = np.isin(labels, (10, 49))
    lentiform = np.isin(labels, (12, 13, 51, 52))
    near = (ndimage.distance_transform_edt(~thalamus) < 9) & (ndimage.distance_transform_edt(~lentiform) < 9)
    codes[(codes == CODE["white"]) & near] = CODE["capsule"]
    white = np.isin(labels, (2, 41, 28, 60)).astype(np.float32)
    near_white = ndimage.gaussian_filter(white, 2.5) / 0.6 * pulvinar_fading(thalamus)
    level = np.clip(near_white * FADE_LEVELS, 0, FADE_LEVELS - 1).astype(np.uint8)
    codes[labels == 10] = CODE["thalamus_left0"] + level[labels == 10]
    codes[labels == 49] = CODE["thalamus_right0"] + level[labels == 49]
    return codes


def pulvinar_fading(thalamus: np.ndarray) -> np.ndarray:
    """Share of the fading towards white matter at each place (1, y, 1): less in the hindmost third, the pulvinar.

    Scans show its lateral border, while the middle of the thalamus passes into the capsule without one.
    """
    where = np.flatnonzero(thalamus.any((0, 2)))
    third = where[0] + (where[-1] - where[0]) / 3
    return np.clip((np.arange(thalamus.shape[1]) - where[0]) / (third - where[0]), 0.35, 1.0)[None, :, None]


def surface_distance(labels: np.ndarray) -> np.ndarray:
    """Distance in mm from the surface of the left and the right thalamus (2, x, y, z); 0 inside."""
    return np.stack(
        [
            ndimage.gaussian_filter(np.clip(ndimage.distance_transform_edt(labels != n) - 0.5, 0, 60), 0.6)
            for n in (10, 49)
        ]
    ).astype(np.float32)


def upsample(codes: np.ndarray) -> np.ndarray:
    """Codes at half the voxel size: the code whose linearly interpolated indicator is largest."""
    n = np.array(codes.shape) * 2
    axes = [np.clip((np.arange(m) - 0.5) / 2, 0, m // 2 - 1) for m in n]
    best = np.zeros(n, np.float32)
    out = np.zeros(n, np.uint8)
    for code in np.unique(codes):
        # separable linear interpolation: one axis after the other
        value = (codes == code).astype(np.float32)
        for axis, x in enumerate(axes):
            low = np.floor(x).astype(int)
            high = np.minimum(low + 1, codes.shape[axis] - 1)
            w = (x - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
            value = np.take(value, low, axis) * (1 - w) + np.take(value, high, axis) * w
        better = value > best
        best[better] = value[better]
        out[better] = code
    return out


def prepare(path: Path) -> dict[str, np.ndarray]:
    """Everything that the generators need of one map.

    Positions are in mm from the centre of voxel 0 of the head array.
    """
    labels = load_ras(path)
    codes = encode(labels)
    centres = np.array([np.argwhere(labels == n).mean(0) for n in (10, 49)])
    start = np.round(centres.mean(0)).astype(int) - BOX
    padded = np.pad(codes, BOX, mode="edge")
    cube = tuple(slice(s + BOX, s + 3 * BOX) for s in start)
    box = padded[cube]
    ventricles = np.isin(labels, (4, 43, 14)).astype(np.float32)
    smooth = ndimage.gaussian_filter(ventricles, 3.0)[::2, ::2, ::2]
    push = np.stack(np.gradient(smooth))
    push /= np.linalg.norm(push, axis=0).max()
    return {
        "roi": upsample(box),
        "roi_origin": start - 0.25,  # position of the first half-millimetre voxel
        "head": codes,
        "push": push.astype(np.float32),  # 2 mm grid, unit-less, largest length 1, pointing into the ventricles
        "thalami": centres,
        "distance": surface_distance(np.pad(labels, BOX)[cube]),
        "distance_origin": start.astype(float),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("label_dir", type=Path)
    parser.add_argument("run_dir", type=Path)
    args = parser.parse_args()
    args.run_dir.mkdir(parents=True, exist_ok=True)
    for path in sorted(args.label_dir.glob("training_seg_*.nii.gz")):
        np.savez(args.run_dir / (path.name.split(".")[0] + ".npz"), **prepare(path))
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
